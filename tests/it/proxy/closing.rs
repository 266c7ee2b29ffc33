//! What a signal to close does to the real binary (ARCHITECTURE 14, SECURITY E8).

use http::Request;
use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::support::http2::Http2Caller;
use crate::support::keyward::{KeywardProcess, TestKey, post};
use crate::support::raw::{Ending, Head, RawConnection};
use crate::support::stream::{Stream, empty};
use crate::support::upstream::Answer;
use crate::support::within;

/// No use is written before the end, so what is found then was written by the end.
const NO_FLUSH: &str = "usage.flush_every = \"1h\"\nusage.first_within = \"1h\"\n";

const PREDICT: &str = "/models/m/predict";

/// A caller in the middle of a stream of events.
async fn in_a_stream(keyward: &KeywardProcess, key: &TestKey) -> (RawConnection, Head, Stream) {
    let stream = Stream::new();
    keyward.upstream.next(Answer::events(&stream));
    let mut caller = keyward.raw().await;
    caller.write(post(PREDICT, key, "{}")).await;
    let head = caller.read_head().await;
    stream.send("data: 1\n\n");
    let chunk = caller.read_chunk().await;
    assert_eq!(chunk.as_deref(), Some(&b"data: 1\n\n"[..]));
    (caller, head, stream)
}

/// Waits until nobody accepts callers any more.
async fn refuses_connections(keyward: &KeywardProcess) {
    within("connections are refused", async {
        while TcpStream::connect(keyward.addresses.proxy).await.is_ok() {}
    })
    .await;
}

async fn uses_written(keyward: &KeywardProcess) -> i64 {
    let used = "SELECT count(*) FROM api_keys WHERE last_used_at IS NOT NULL";
    keyward.number(used).await
}

#[tokio::test]
async fn closing_tells_balancers_first_then_callers_finish_and_uses_are_written() {
    let settings = format!("{NO_FLUSH}shutdown.delay = \"2s\"\nshutdown.deadline = \"1m\"\n");
    let mut keyward = KeywardProcess::start(&settings).await;
    let (key, other) = (keyward.key().await, keyward.key().await);
    let (mut streaming, head, stream) = in_a_stream(&keyward, &key).await;
    let mut kept = keyward.raw().await;
    let request = post(PREDICT, &other, "{}");
    let before = kept.call(&request).await;
    assert_eq!(before.head.field("connection"), None);
    assert_eq!(uses_written(&keyward).await, 0);

    keyward.signal(Signal::TERM);
    // The delay is for balancers: not ready any more, but everybody who comes is served, and told to go elsewhere.
    within("readiness ends", async {
        while keyward.readiness().await != 503 {}
    })
    .await;
    for caller in [&mut kept, &mut keyward.raw().await] {
        let answer = caller.call(&request).await;
        assert_eq!(
            (answer.status(), answer.head.field("connection")),
            (200, Some("close"))
        );
        assert_eq!(caller.until_closed().await, (Vec::new(), Ending::Closed));
    }
    // After it nobody is let in, and what runs goes on.
    refuses_connections(&keyward).await;
    assert!(keyward.runs());
    stream.send("data: 2\n\n");
    stream.finish();
    let rest = streaming.read_body(&head).await;
    assert_eq!(
        (&rest.bytes[..], rest.is_complete),
        (&b"data: 2\n\n"[..], true)
    );

    assert_eq!(keyward.exit_code().await, Some(0));
    assert_eq!(uses_written(&keyward).await, 2);
}

#[tokio::test]
async fn idle_callers_do_not_hold_closing_up() {
    let settings = "shutdown.delay = \"1ms\"\nshutdown.deadline = \"1h\"\n";
    let mut keyward = KeywardProcess::start(settings).await;
    let key = keyward.key().await;
    let mut silent = keyward.raw().await;
    let mut kept = keyward.raw().await;
    kept.call(post(PREDICT, &key, "{}")).await;
    let mut http2 = keyward.http2().await;
    http2.call(over_http2(&key)).await;

    keyward.signal(Signal::INT);
    assert_eq!(silent.until_closed().await, (Vec::new(), Ending::Closed));
    assert_eq!(kept.until_closed().await, (Vec::new(), Ending::Closed));
    http2.closed().await.expect("it says goodbye");
    // A second idle caller hears of it, too, though it says nothing itself.
    assert_eq!(keyward.exit_code().await, Some(0));
}

#[tokio::test]
async fn uploads_and_http2_streams_that_have_begun_finish() {
    let settings = "shutdown.delay = \"1ms\"\nshutdown.deadline = \"1h\"\n";
    let mut keyward = KeywardProcess::start(settings).await;
    let key = keyward.key().await;
    let mut uploading = keyward.raw().await;
    let upload = post(PREDICT, &key, "0123456789");
    let (first, second) = upload.split_at(upload.len() - 5);
    uploading.write(first).await;
    keyward.upstream.request(0).await.body_reaches(5).await;
    let stream = Stream::new();
    keyward.upstream.next(Answer::streamed(&stream));
    let mut http2: Http2Caller = keyward.http2().await;
    let response = http2.send(over_http2(&key)).await.expect("a head");

    keyward.signal(Signal::TERM);
    refuses_connections(&keyward).await;
    uploading.write(second).await;
    let answer = uploading.read_answer().await;
    assert_eq!(
        (answer.status(), &answer.json()["body"]),
        (200, &"0123456789".into())
    );
    stream.send("whole");
    stream.finish();
    let body = http_body_util::BodyExt::collect(response.into_body());
    let body = within("the body comes", body).await.expect("it is not cut");
    assert_eq!(body.to_bytes(), "whole");
    http2.closed().await.expect("it says goodbye");
    assert_eq!(keyward.exit_code().await, Some(0));
}

#[tokio::test]
async fn the_deadline_cuts_a_stream_that_never_ends_and_uses_are_written() {
    let settings = format!("{NO_FLUSH}shutdown.delay = \"1ms\"\nshutdown.deadline = \"2500ms\"\n");
    let mut keyward = KeywardProcess::start(&settings).await;
    let key = keyward.key().await;
    let (mut streaming, head, stream) = in_a_stream(&keyward, &key).await;
    keyward.signal(Signal::TERM);
    let rest = streaming.read_body(&head).await;
    assert!(!rest.is_complete, "a stream that was cut has no clean end");
    assert_eq!(keyward.exit_code().await, Some(0));
    stream.dropped().await;
    assert_eq!(uses_written(&keyward).await, 1);
}

#[tokio::test]
async fn a_second_signal_cuts_what_still_runs_and_uses_are_written() {
    let settings = format!("{NO_FLUSH}shutdown.delay = \"1ms\"\nshutdown.deadline = \"1h\"\n");
    let mut keyward = KeywardProcess::start(&settings).await;
    let key = keyward.key().await;
    let (mut streaming, head, _stream) = in_a_stream(&keyward, &key).await;
    keyward.signal(Signal::TERM);
    refuses_connections(&keyward).await;
    assert!(keyward.runs(), "the stream holds it up");
    keyward.signal(Signal::TERM);
    let rest = streaming.read_body(&head).await;
    assert!(!rest.is_complete, "a stream that was cut has no clean end");
    assert_eq!(keyward.exit_code().await, Some(0));
    assert_eq!(uses_written(&keyward).await, 1);
}

fn over_http2(key: &TestKey) -> Request<crate::support::stream::TestBody> {
    let request = Request::post(format!("http://h{PREDICT}"));
    let request = request.header("authorization", format!("Bearer {}", key.text));
    request.body(empty()).expect("a request")
}
