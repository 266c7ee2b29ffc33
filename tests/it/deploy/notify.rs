//! What a service manager is told: `sd_notify(3)`, over a real socket.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rstest::rstest;
use rustix::process::Signal;

use crate::support::eventually;
use crate::support::keyward::KeywardProcess;

/// The next datagram, once there is one.
async fn told(manager: &UnixDatagram) -> String {
    let mut bytes = [0; 4096];
    eventually("the manager is told something", || {
        let length = manager.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
    })
    .await
}

#[rstest]
#[case::path(false)]
#[case::abstract_name(true)]
#[tokio::test]
async fn the_manager_hears_of_the_start_a_reload_and_the_end(#[case] is_abstract: bool) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notify");
    let path = path.to_str().expect("text");
    let (name, address) = if is_abstract {
        let name = format!("keyward-test{path}");
        let address = SocketAddr::from_abstract_name(&name);
        (format!("@{name}"), address.expect("a short name"))
    } else {
        let address = SocketAddr::from_pathname(path);
        (path.to_owned(), address.expect("a short path"))
    };
    let manager = UnixDatagram::bind_addr(&address).expect("nobody is there");
    manager.set_nonblocking(true).expect("it is a socket");

    let mut keyward =
        KeywardProcess::start_in("shutdown.delay = \"0s\"\n", &[("NOTIFY_SOCKET", &name)]).await;
    assert_eq!(told(&manager).await, "READY=1\nSTATUS=serving\n");
    keyward.signal(Signal::HUP);
    assert!(told(&manager).await.starts_with("RELOADING=1\n"));
    assert!(told(&manager).await.starts_with("READY=1\n"));
    keyward.signal(Signal::TERM);
    assert!(told(&manager).await.starts_with("STOPPING=1\n"));
    assert_eq!(keyward.exit_code().await, Some(0));
    assert!(manager.recv(&mut [0; 16]).is_err(), "and nothing else");
}

#[tokio::test]
async fn a_manager_that_is_gone_is_no_reason_not_to_serve() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("nobody");
    let path = path.to_str().expect("text");
    let mut keyward =
        KeywardProcess::start_in("shutdown.delay = \"0s\"\n", &[("NOTIFY_SOCKET", path)]).await;
    eventually("it says so", || {
        keyward.said().contains("did not hear us").then_some(())
    })
    .await;
    keyward.signal(Signal::TERM);
    assert_eq!(keyward.exit_code().await, Some(0));
}
