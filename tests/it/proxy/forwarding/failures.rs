//! Upstreams that fail: what the caller hears, and that the next one hears nothing of it (SECURITY F17, P5).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rstest::rstest;

use super::{PREDICT, over_http2, with};
use crate::support::keyward::{TestKeyward, post};
use crate::support::raw::RawAnswer;
use crate::support::raw_upstream::RawUpstream;
use crate::support::stream::{Stream, whole};
use crate::support::upstream::Answer;
use crate::support::within;

const OK: &str = "HTTP/1.1 200 OK\r\n";

/// A keyward before an upstream that answers every connection with these bytes.
async fn before(bytes: &str) -> (TestKeyward, RawUpstream) {
    let upstream = RawUpstream::answering(bytes);
    let settings = format!("upstreams.default.url = \"{}\"\n", upstream.url());
    (TestKeyward::with(&settings).await, upstream)
}

fn is_bad_gateway(answer: &RawAnswer) {
    assert_eq!(answer.status(), 502, "{}", answer.text());
    assert_eq!(answer.json()["error_code"], "upstream_unavailable");
    assert!(answer.body.is_complete);
}

#[rstest]
#[case::nothing("")]
#[case::garbage("garbage\r\n\r\n")]
#[case::half_a_head("HTTP/1.1 200 OK\r\nContent-Le")]
#[case::no_status("HTTP/1.1 OK\r\n\r\n")]
#[case::another_protocol("SSH-2.0-OpenSSH_9.6\r\n")]
#[case::a_nul_in_a_value("HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n")]
#[case::two_lengths("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc")]
#[case::a_length_that_is_none("HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab")]
#[case::two_equal_lengths("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab")]
#[case::a_list_of_lengths("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab")]
#[case::length_and_chunks(
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
)]
#[case::chunks_and_length(
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n2\r\nab\r\n0\r\n\r\n"
)]
#[case::a_coding_we_do_not_read(
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
)]
#[case::a_coding_without_chunks("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab")]
#[case::other_protocols_unasked(
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
)]
#[tokio::test]
async fn an_answer_that_is_none_is_a_bad_gateway(#[case] bytes: &str) {
    let (keyward, _upstream) = before(bytes).await;
    let key = keyward.key().await;
    let mut caller = keyward.raw().await;
    // The caller did nothing wrong: its connection goes on.
    for _ in 0..2 {
        is_bad_gateway(&caller.call(post(PREDICT, &key, "{}")).await);
    }
    assert_eq!(keyward.counted.outcomes()["upstream_failed"], 2);
}

#[tokio::test]
async fn an_upstream_that_refuses_or_hangs_up_is_a_bad_gateway_until_it_is_back() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    keyward.upstream.next(Answer::hang_up());
    is_bad_gateway(&keyward.call(&key, "m").await);
    keyward.upstream.next(Answer::reset());
    is_bad_gateway(&keyward.call(&key, "m").await);
    keyward.upstream.stop().await;
    is_bad_gateway(&keyward.call(&key, "m").await);
    keyward.upstream.start_again().await;
    assert_eq!(keyward.call(&key, "m").await.status(), 200);
    let failed = keyward.counted.upstream_errors();
    assert_eq!((failed["broken"], failed["connect"]), (2, 1));
}

#[tokio::test]
async fn a_head_larger_than_allowed_is_a_bad_gateway_and_a_smaller_one_is_not() {
    for (size, status) in [(7_000, 200), (9_000, 502)] {
        let padding = "x".repeat(size);
        let upstream =
            RawUpstream::answering(format!("{OK}X-A: {padding}\r\nContent-Length: 0\r\n\r\n"));
        let settings = format!(
            "upstreams.default.url = \"{}\"\n[upstreams.default.limits]\nresponse_head_bytes = 8192\n",
            upstream.url()
        );
        let keyward = TestKeyward::with(&settings).await;
        let key = keyward.key().await;
        assert_eq!(keyward.call(&key, "m").await.status(), status);
    }
}

/// An answer that breaks off has no clean end.
#[rstest]
#[case::counted("Content-Length: 10\r\n\r\npart")]
#[case::chunked("Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n")]
#[case::in_a_chunk("Transfer-Encoding: chunked\r\n\r\n9\r\npart")]
#[case::a_bad_chunk("Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\nXX\r\n")]
#[tokio::test]
async fn an_answer_that_breaks_off_never_ends_well(#[case] rest: &str) {
    let (keyward, _upstream) = before(&format!("{OK}{rest}")).await;
    let key = keyward.key().await;
    let mut caller = keyward.raw().await;
    caller.write(post(PREDICT, &key, "{}")).await;
    // What has been read from the upstream when it breaks off may or may not be out.
    if let Some(head) = caller.try_read_head().await {
        let body = caller.read_body(&head).await;
        assert!(!body.is_complete, "{body:?}");
        assert!(b"part".starts_with(&body.bytes), "{body:?}");
    }
    let http2 = keyward.http2().await;
    let answer = http2
        .send(with(over_http2(PREDICT, &key), whole("{}")))
        .await;
    if let Ok(answer) = answer {
        let body = http_body_util::BodyExt::collect(answer.into_body());
        assert!(within("the stream ends", body).await.is_err());
    }
}

#[tokio::test]
async fn a_stream_that_is_reset_in_the_middle_is_told_so() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let stream = Stream::new();
    keyward.upstream.next(Answer::events(&stream));
    let mut caller = keyward.raw().await;
    caller.write(post(PREDICT, &key, "{}")).await;
    let head = caller.read_head().await;
    stream.send("data: 1\n\n");
    assert!(caller.read_chunk().await.is_some());
    keyward.upstream.reset_when_closed(0);
    stream.break_off();
    let rest = caller.read_body(&head).await;
    assert_eq!((rest.bytes.len(), rest.is_complete), (0, false));
}

/// What an upstream says beyond its answer is nobody's.
#[rstest]
#[case::another_answer(
    "Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstale"
)]
#[case::more_than_it_said("Content-Length: 2\r\n\r\nok and more")]
#[case::after_the_last_chunk(
    "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstale"
)]
#[tokio::test]
async fn the_next_caller_never_sees_leftovers(#[case] rest: &str) {
    let (keyward, _upstream) = keeping(format!("{OK}{rest}"), &Arc::default()).await;
    let key = keyward.key().await;
    let mut caller = keyward.raw().await;
    for _ in 0..5 {
        let answer = caller.call(post(PREDICT, &key, "{}")).await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
    }
}

#[tokio::test]
async fn a_connection_that_framed_an_answer_in_two_ways_is_not_used_again() {
    let connections = Arc::new(AtomicUsize::new(0));
    let answer = "Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let (keyward, _upstream) = keeping(format!("{OK}{answer}"), &connections).await;
    let key = keyward.key().await;
    for number in 1..=3 {
        is_bad_gateway(&keyward.call(&key, "m").await);
        assert_eq!(connections.load(Ordering::Relaxed), number);
    }
}

/// A keyward before an upstream that answers every request with these bytes, keeps its connections and counts them.
async fn keeping(bytes: String, connections: &Arc<AtomicUsize>) -> (TestKeyward, RawUpstream) {
    let connections = Arc::clone(connections);
    let upstream = RawUpstream::start(move |mut connection| {
        let bytes = bytes.clone();
        connections.fetch_add(1, Ordering::Relaxed);
        async move {
            while let Some(head) = connection.try_read_head().await {
                connection.read_body(&head).await;
                if connection.try_write(&bytes).await.is_err() {
                    return;
                }
            }
        }
    });
    let settings = format!("upstreams.default.url = \"{}\"\n", upstream.url());
    (TestKeyward::with(&settings).await, upstream)
}
