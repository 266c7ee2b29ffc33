//! How a WebSocket ends: by either side, by half, by a break, by silence, and with the process.

use std::time::Duration;

use rstest::rstest;
use rustix::process::Signal;
use tokio::time::sleep;

use super::{Between, SWITCHING, handshake};
use crate::support::keyward::KeywardProcess;
use crate::support::raw::{Ending, RawConnection};
use crate::support::raw_upstream::RawUpstream;
use crate::support::within;

#[rstest]
#[case::the_caller(true)]
#[case::the_upstream(false)]
#[tokio::test]
async fn one_side_that_is_done_still_hears_the_other(#[case] caller_first: bool) {
    let between = Between::start("").await;
    let key = between.keyward.key().await;
    let (mut first, mut second) = between.open(&key).await;
    if !caller_first {
        std::mem::swap(&mut first, &mut second);
    }
    first.write("the last of the first").await;
    first.finish();
    // The second is told at once, and has heard everything.
    let heard = second.until_closed().await;
    assert_eq!(heard, (b"the last of the first".to_vec(), Ending::Closed));
    second.write("the last of the second").await;
    assert_eq!(first.read_exactly(22).await, b"the last of the second");
    second.finish();
    assert_eq!(first.until_closed().await, (Vec::new(), Ending::Closed));
    between.ended("closed").await;
}

#[rstest]
#[case::the_caller(true)]
#[case::the_upstream(false)]
#[tokio::test]
async fn one_side_that_breaks_off_ends_the_other(#[case] caller_first: bool) {
    let between = Between::start("").await;
    let key = between.keyward.key().await;
    let (mut first, mut second) = between.open(&key).await;
    if !caller_first {
        std::mem::swap(&mut first, &mut second);
    }
    first.reset();
    second.until_closed().await;
    between.ended("broken").await;
}

#[tokio::test]
async fn a_silence_ends_it_and_a_word_either_way_does_not() {
    let between = Between::start("proxy.limits.stream_idle_timeout = \"400ms\"\n").await;
    let key = between.keyward.key().await;
    let (mut caller, mut upstream) = between.open(&key).await;
    for round in 0..10 {
        let (from, to) = if round < 5 {
            (&mut caller, &mut upstream)
        } else {
            (&mut upstream, &mut caller)
        };
        from.write("x").await;
        assert_eq!(to.read_exactly(1).await, b"x");
        sleep(Duration::from_millis(60)).await;
    }
    assert_eq!(caller.until_closed().await.0, b"");
    assert_eq!(upstream.until_closed().await.0, b"");
    within("it is counted", async {
        while between.ends("silent").await + between.ends("broken").await < 1.0 {}
    })
    .await;
}

#[rstest]
#[case::the_caller(true)]
#[case::the_upstream(false)]
#[tokio::test]
async fn a_side_that_stays_when_the_other_is_done_is_not_waited_for_long(
    #[case] caller_first: bool,
) {
    let between = Between::start("proxy.limits.websocket_close_timeout = \"50ms\"\n").await;
    let key = between.keyward.key().await;
    let (mut first, mut second) = between.open(&key).await;
    if !caller_first {
        std::mem::swap(&mut first, &mut second);
    }
    first.finish();
    assert_eq!(second.until_closed().await, (Vec::new(), Ending::Closed));
    first.until_closed().await;
    between.ended("silent").await;
}

/// A caller that reads nothing: what we hold for it is bounded, and it is a silence in the end.
#[tokio::test]
async fn a_side_that_does_not_read_holds_the_other_up_and_is_ended() {
    let between = Between::start("proxy.limits.stream_idle_timeout = \"500ms\"\n").await;
    let key = between.keyward.key().await;
    let (_caller, mut upstream) = between.open(&key).await;
    // More than every buffer on the way takes.
    let much = vec![b'x'; 64 << 20];
    assert!(
        upstream.try_write(&much).await.is_err(),
        "somebody took 64 MiB"
    );
    within("it is ended", async {
        while between.keyward.metric("keyward_websockets").await > 0.0 {}
    })
    .await;
}

/// A real process with a WebSocket open through it.
async fn open_process(settings: &str) -> (KeywardProcess, RawConnection, RawUpstream) {
    let upstream = RawUpstream::start(|mut connection| async move {
        connection.read_head().await;
        connection.write(format!("{SWITCHING}\r\n")).await;
        while let Some(byte) = connection.try_read_exactly(1).await {
            connection.write(byte).await;
        }
    });
    let settings = format!("upstreams.default.url = \"{}\"\n{settings}", upstream.url());
    let keyward = KeywardProcess::start(&settings).await;
    let key = keyward.key().await;
    let mut caller = keyward.raw().await;
    caller.write(handshake(&key)).await;
    assert_eq!(caller.read_head().await.status(), 101);
    (keyward, caller, upstream)
}

#[tokio::test]
async fn closing_waits_for_a_websocket_to_end() {
    let (mut keyward, mut caller, _upstream) =
        open_process("shutdown.delay = \"1ms\"\nshutdown.deadline = \"1h\"\n").await;
    keyward.signal(Signal::TERM);
    within("connections are refused", async {
        while tokio::net::TcpStream::connect(keyward.addresses.proxy)
            .await
            .is_ok()
        {}
    })
    .await;
    for _ in 0..10 {
        caller.write("x").await;
        assert_eq!(caller.read_exactly(1).await, b"x");
    }
    assert!(keyward.runs(), "the WebSocket holds it up");
    caller.finish();
    assert_eq!(caller.until_closed().await, (Vec::new(), Ending::Closed));
    assert_eq!(keyward.exit_code().await, Some(0));
}

#[tokio::test]
async fn the_deadline_cuts_a_websocket_that_never_ends() {
    let (mut keyward, mut caller, _upstream) =
        open_process("shutdown.delay = \"1ms\"\nshutdown.deadline = \"2500ms\"\n").await;
    keyward.signal(Signal::TERM);
    caller.until_closed().await;
    assert_eq!(keyward.exit_code().await, Some(0));
}
