//! How calls end, as their lines tell it.

use rstest::rstest;
use serde_json::{Value, json};

use super::{Lines, PREDICT};
use crate::support::keyward::{TestKey, TestKeyward, post};
use crate::support::raw::RawConnection;
use crate::support::raw_upstream::RawUpstream;
use crate::support::stream::Stream;
use crate::support::upstream::Answer;

/// A caller in the middle of an answer of which it has read 9 bytes.
async fn in_a_stream(keyward: &TestKeyward, key: &TestKey) -> (RawConnection, Stream) {
    let stream = Stream::new();
    keyward.upstream.next(Answer::events(&stream));
    let mut caller = keyward.raw().await;
    caller.write(post(PREDICT, key, "{}")).await;
    assert_eq!(caller.read_head().await.status(), 200);
    stream.send("data: 1\n\n");
    assert!(caller.read_chunk().await.is_some());
    (caller, stream)
}

async fn only(lines: &Lines) -> Value {
    lines.all(1).await.remove(0)
}

#[tokio::test]
async fn a_stream_that_ends_is_complete_and_counted_to_its_end() {
    let lines = Lines::new();
    let keyward = lines.keyward("", "").await;
    let key = keyward.key().await;
    let (mut caller, stream) = in_a_stream(&keyward, &key).await;
    assert!(lines.now().is_empty(), "it has not ended");
    stream.send("data: 2\n\n");
    assert!(caller.read_chunk().await.is_some());
    stream.finish();
    let line = only(&lines).await;
    assert_eq!(
        (&line["end"], &line["bytes_out"]),
        (&json!("complete"), &json!(18))
    );
    assert_eq!(line["bytes_in"], 2);
}

#[rstest]
#[case::head("HEAD", 200, "five!")]
#[case::no_content("POST", 204, "")]
#[case::nothing("POST", 200, "")]
#[tokio::test]
async fn an_answer_without_a_body_is_complete(
    #[case] method: &str,
    #[case] status: u16,
    #[case] body: &'static str,
) {
    let lines = Lines::new();
    let route = "[[proxy.routes]]\npath = \"/models/{model}/predict\"\nupstream = \"default\"\n";
    let keyward = lines.keyward("", route).await;
    let key = keyward.key().await;
    keyward.upstream.next(Answer::new(status, body));
    let request = post(PREDICT, &key, "{}").replace("POST", method);
    let mut caller = keyward.raw().await;
    caller.write(request).await;
    assert_eq!(caller.read_head().await.status(), status);
    // A refusal has no body either, when it is a head that is asked for.
    caller
        .write(format!("HEAD {PREDICT} HTTP/1.1\r\nHost: h\r\n\r\n"))
        .await;
    assert_eq!(caller.read_head().await.status(), 401);
    for line in lines.all(2).await {
        assert_eq!(
            (&line["end"], &line["bytes_out"]),
            (&json!("complete"), &json!(0))
        );
    }
}

#[tokio::test]
async fn a_caller_that_goes_is_told_whenever_it_goes() {
    let lines = Lines::new();
    let keyward = lines.keyward("", "").await;
    let key = keyward.key().await;
    keyward.upstream.next(Answer::silence());
    let mut caller = keyward.raw().await;
    caller.write(post(PREDICT, &key, "{}")).await;
    keyward.upstream.request(0).await;
    drop(caller);
    let line = only(&lines).await;
    assert_eq!(
        (&line["end"], &line["outcome"]),
        (&json!("caller_gone"), &json!("caller_gone"))
    );
    assert!(
        line["status"].is_null() && line["ttfb_ms"].is_null(),
        "{line}"
    );
    assert_eq!(
        (&line["model"], &line["key_prefix"]),
        (&json!("m"), &json!(key.prefix))
    );

    let (caller, stream) = in_a_stream(&keyward, &key).await;
    drop(caller);
    stream.dropped().await;
    let line = lines.all(2).await.remove(1);
    assert_eq!(
        (&line["end"], &line["outcome"]),
        (&json!("caller_gone"), &json!("forwarded"))
    );
    assert_eq!(
        (&line["status"], &line["bytes_out"]),
        (&json!(200), &json!(9))
    );
}

#[tokio::test]
async fn an_upstream_that_breaks_off_is_told() {
    let lines = Lines::new();
    let keyward = lines.keyward("", "").await;
    let key = keyward.key().await;
    let (_caller, stream) = in_a_stream(&keyward, &key).await;
    stream.break_off();
    let line = only(&lines).await;
    assert_eq!(
        (&line["end"], &line["outcome"]),
        (&json!("upstream_broken"), &json!("forwarded"))
    );
    assert_eq!(line["bytes_out"], 9);
}

#[tokio::test]
async fn an_upstream_that_falls_silent_is_told() {
    let lines = Lines::new();
    let keyward = lines
        .keyward("", "proxy.limits.stream_idle_timeout = \"50ms\"\n")
        .await;
    let key = keyward.key().await;
    let (_caller, _stream) = in_a_stream(&keyward, &key).await;
    assert_eq!(only(&lines).await["end"], "stalled");
}

#[tokio::test]
async fn a_call_that_ends_with_its_key_is_told() {
    let lines = Lines::new();
    let keyward = lines
        .keyward("", "proxy.calls_of_ended_keys = \"end\"\n")
        .await;
    let key = keyward.key().await;
    let (_caller, _stream) = in_a_stream(&keyward, &key).await;
    keyward.delete_key(&key).await;
    let line = only(&lines).await;
    assert_eq!(
        (&line["end"], &line["status"]),
        (&json!("key_ended"), &json!(200))
    );
}

#[tokio::test]
async fn a_websocket_is_told_when_it_ends_with_what_it_carried() {
    const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let upstream = RawUpstream::start(|mut connection| async move {
        connection.read_head().await;
        connection.write(SWITCHING).await;
        connection.read_exactly(4).await;
        connection.write("answer").await;
    });
    let lines = Lines::new();
    let url = format!("upstreams.default.url = \"{}\"\n", upstream.url());
    let keyward = lines.keyward("", &url).await;
    let key = keyward.key().await;
    let mut caller = keyward.raw().await;
    let request = format!(
        "GET /models/m/websocket HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Authorization: Bearer {}\r\n\r\n",
        key.text
    );
    caller.write(request).await;
    assert_eq!(caller.read_head().await.status(), 101);
    caller.write("four").await;
    assert_eq!(caller.read_exactly(6).await, b"answer");
    assert!(lines.now().is_empty(), "it has not ended");
    drop(caller);
    let line = only(&lines).await;
    assert_eq!(
        (&line["status"], &line["outcome"]),
        (&json!(101), &json!("forwarded"))
    );
    assert_eq!(
        (&line["bytes_in"], &line["bytes_out"]),
        (&json!(4), &json!(6))
    );
    assert!(
        ["complete", "broken"].contains(&line["end"].as_str().expect("text")),
        "{line}"
    );
}
