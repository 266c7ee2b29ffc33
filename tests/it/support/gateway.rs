//! Real gateways with the examples of `deploy`: Envoy and Traefik, as packages of `PyPI` ship them.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::postgres::free_port;
use super::source;
use super::tools::unpacked;
use super::within;

/// Which gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Envoy,
    Traefik,
}

/// A running gateway; gone when it is dropped.
pub struct Gateway {
    port: u16,
    child: Child,
    _directory: TempDir,
}

impl Gateway {
    /// Before `models`, asking `keyward`, with its example of `deploy`; nothing when `KEYWARD_TEST_ENVOY` or
    /// `KEYWARD_TEST_TRAEFIK` says `skip`.
    pub async fn start(kind: Kind, models: SocketAddr, keyward: SocketAddr) -> Option<Self> {
        let (program, example) = match kind {
            Kind::Envoy => ("envoy", "deploy/envoy/envoy.yaml"),
            Kind::Traefik => ("traefik", "deploy/traefik/dynamic.yaml"),
        };
        let program = unpacked(program)?;
        let directory = TempDir::new().expect("a temporary directory");
        let port = free_port();
        let example = fs::read_to_string(source::package().join(example));
        let mut settings = example.expect("the example is there");
        for (theirs, ours) in [
            ("8080", keyward.port()),
            ("8000", models.port()),
            ("8088", port),
        ] {
            for before in ["127.0.0.1:", "127.0.0.1, port_value: "] {
                let (theirs, ours) = (format!("{before}{theirs}"), format!("{before}{ours}"));
                settings = settings.replace(&theirs, &ours);
            }
        }
        let file = directory.path().join("gateway.yaml");
        fs::write(&file, settings).expect("the directory is ours");
        let file = file.to_str().expect("a path of ours is text");
        let mut command = Command::new(program);
        match kind {
            Kind::Envoy => command
                .args(["-c", file, "--concurrency", "1", "--log-level", "error"])
                .arg("--disable-hot-restart"),
            Kind::Traefik => command
                .arg(format!("--entryPoints.calls.address=127.0.0.1:{port}"))
                .arg(format!("--providers.file.filename={file}"))
                .args(["--log.level=ERROR", "--global.checkNewVersion=false"]),
        };
        let child = command
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the gateway runs");
        let mut gateway = Self {
            port,
            child,
            _directory: directory,
        };
        within("the gateway passes calls on", gateway.ready()).await;
        Some(gateway)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Until it passes calls on. Traefik listens before it has read where to.
    async fn ready(&mut self) {
        while !passes(self.address()).await.is_ok_and(|passes| passes) {
            let ended = self.child.try_wait().expect("it is our child");
            assert!(ended.is_none(), "the gateway ended: {ended:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn passes(address: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    let question = b"GET /nowhere HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    stream.write_all(question).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    // Traefik's own word when it has no routes yet.
    Ok(answer.starts_with("HTTP/1.1 ") && !answer.ends_with("404 page not found\n"))
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
