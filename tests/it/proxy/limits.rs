//! Every limit of the data listener: what stays within it goes through, what passes it is told so (SECURITY 4).

use std::time::Duration;

use rstest::rstest;

use crate::support::eventually;
use crate::support::keyward::{TestKey, TestKeyward, post};
use crate::support::raw::{Ending, RawConnection};
use crate::support::raw_upstream::{BlackHole, RawUpstream};
use crate::support::stream::{Stream, whole};
use crate::support::upstream::Answer;

const PREDICT: &str = "/models/m/predict";

/// A keyward with one limit of the data listener set.
async fn limited(limit: &str) -> TestKeyward {
    TestKeyward::with(&format!("[proxy.limits]\n{limit}\n")).await
}

/// A keyward in front of `address`, with one limit of the upstream set.
async fn before(address: std::net::SocketAddr, limit: &str) -> TestKeyward {
    let settings = format!(
        "upstreams.default.url = \"http://{address}\"\n[upstreams.default.limits]\n{limit}\n"
    );
    TestKeyward::with(&settings).await
}

fn head(key: &TestKey, lines: &str) -> String {
    format!(
        "POST {PREDICT} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n{lines}\r\n",
        key.text
    )
}

/// Waits out a limit on purpose: what is shown is that nothing happens in that time.
async fn for_a_while(time: Duration) {
    tokio::time::sleep(time).await;
}

#[rstest]
#[case::of_the_whole("head_bytes = 8192", "x-padding", 5_000, 200)]
#[case::of_the_whole_passed("head_bytes = 8192", "x-padding", 9_000, 431)]
#[case::of_the_default("", "x-padding", 30_000, 200)]
#[case::of_the_default_passed("", "x-padding", 34_000, 431)]
#[tokio::test]
async fn a_head_has_a_size(
    #[case] limit: &str,
    #[case] name: &str,
    #[case] size: usize,
    #[case] status: u16,
) {
    let keyward = limited(limit).await;
    let key = keyward.key().await;
    let padding = "x".repeat(size);
    let request = head(&key, &format!("{name}: {padding}\r\nContent-Length: 0\r\n"));
    assert_eq!(keyward.raw().await.call(request).await.status(), status);
    assert_eq!(
        keyward.upstream.requests().len(),
        usize::from(status == 200)
    );
}

#[rstest]
#[case::within(7, 200)]
#[case::passed(8, 431)]
#[tokio::test]
async fn a_head_has_a_number_of_fields(#[case] further: usize, #[case] status: u16) {
    let keyward = limited("head_fields = 10").await;
    let key = keyward.key().await;
    // With Host, Authorization and Content-Length that makes ten, or one more.
    let lines = "x-more: 1\r\n".repeat(further);
    let request = head(&key, &format!("{lines}Content-Length: 0\r\n"));
    assert_eq!(keyward.raw().await.call(request).await.status(), status);
    assert_eq!(
        keyward.upstream.requests().len(),
        usize::from(status == 200)
    );
}

#[rstest]
#[case::within(100, 200)]
#[case::passed(101, 414)]
#[tokio::test]
async fn a_target_has_a_length(#[case] length: usize, #[case] status: u16) {
    let keyward = limited("target_bytes = 100").await;
    let key = keyward.key().await;
    let target = format!("{PREDICT}?q=");
    let target = format!("{target}{}", "x".repeat(length - target.len()));
    let request = post(&target, &key, "{}");
    assert_eq!(keyward.raw().await.call(request).await.status(), status);
}

#[tokio::test]
async fn a_head_that_never_ends_loses_its_connection_and_a_slow_one_does_not() {
    let keyward = limited("head_timeout = \"400ms\"").await;
    let key = keyward.key().await;
    let mut slow = keyward.raw().await;
    let request = post(PREDICT, &key, "{}");
    let (first, second) = request.split_at(20);
    slow.write(first).await;
    for_a_while(Duration::from_millis(50)).await;
    assert_eq!(slow.call(second).await.status(), 200);

    let mut never = keyward.raw().await;
    never.write("POST /models/m/predict HTTP/1.1\r\n").await;
    let (answer, _) = never.until_closed().await;
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    // A drop at a time does not help: the limit is on the whole head.
    let mut drops = keyward.raw().await;
    while drops.try_write("x-drop: 1\r\n").await.is_ok() {
        for_a_while(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_idle_connection_closes_and_one_in_use_does_not() {
    let keyward = limited("idle_timeout = \"300ms\"").await;
    let key = keyward.key().await;
    let mut caller = keyward.raw().await;
    for _ in 0..8 {
        assert_eq!(caller.call(post(PREDICT, &key, "{}")).await.status(), 200);
        for_a_while(Duration::from_millis(50)).await;
    }
    assert_eq!(caller.until_closed().await, (Vec::new(), Ending::Closed));
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_broken_off_and_one_that_speaks_is_not() {
    let keyward = limited("stream_idle_timeout = \"400ms\"").await;
    let key = keyward.key().await;
    let stream = Stream::new();
    keyward.upstream.next(Answer::events(&stream));
    let mut caller = keyward.raw().await;
    caller.write(post(PREDICT, &key, "{}")).await;
    caller.read_head().await;
    for _ in 0..10 {
        stream.send("data: x\n\n");
        assert!(caller.read_chunk().await.is_some());
        for_a_while(Duration::from_millis(60)).await;
    }
    // No clean end: the caller can tell that something is missing.
    assert_eq!(caller.read_chunk().await, None);
    stream.dropped().await;
}

#[tokio::test]
async fn a_body_that_stalls_is_broken_off_and_a_slow_one_is_not() {
    let keyward = limited("body_stall_timeout = \"400ms\"").await;
    let key = keyward.key().await;
    let mut slow = keyward.raw().await;
    slow.write(head(&key, "Content-Length: 10\r\n")).await;
    for _ in 0..9 {
        slow.write("x").await;
        for_a_while(Duration::from_millis(60)).await;
    }
    assert_eq!(slow.call("x").await.status(), 200);

    let mut stalled = keyward.raw().await;
    stalled.write(head(&key, "Content-Length: 10\r\n")).await;
    stalled.write("x").await;
    let answer = stalled.read_answer().await;
    assert_eq!(answer.status(), 400, "{}", answer.text());
    assert_eq!(keyward.counted.outcomes()["caller_gone"], 1);
}

#[tokio::test]
async fn connecting_has_a_limit() {
    let nowhere = BlackHole::open();
    let keyward = before(nowhere.address(), "connect_timeout = \"200ms\"").await;
    let key = keyward.key().await;
    assert_eq!(keyward.call(&key, "m").await.status(), 504);
    assert_eq!(keyward.counted.outcomes()["upstream_timed_out"], 1);
}

#[tokio::test]
async fn an_answer_has_time_to_begin_and_no_more() {
    let settings = "[upstreams.default.limits]\nhead_timeout = \"500ms\"\n";
    let keyward = TestKeyward::with(settings).await;
    let key = keyward.key().await;
    assert_eq!(keyward.call(&key, "m").await.status(), 200);
    keyward.upstream.next(Answer::silence());
    assert_eq!(keyward.call(&key, "m").await.status(), 504);
    assert_eq!(keyward.counted.outcomes()["upstream_timed_out"], 1);
}

/// The time of an answer begins once the upstream has all there is: a caller that takes its time costs it nothing.
#[tokio::test]
async fn a_slow_upload_does_not_make_the_answer_late() {
    let settings = "[upstreams.default.limits]\nhead_timeout = \"200ms\"\n";
    let keyward = TestKeyward::with(settings).await;
    let key = keyward.key().await;
    let mut slow = keyward.raw().await;
    slow.write(head(&key, "Content-Length: 2\r\n")).await;
    slow.write("{").await;
    for_a_while(Duration::from_millis(600)).await;
    assert_eq!(slow.call("}").await.status(), 200);
}

/// An upstream that reads no more of an upload holds caller and connection no longer than one that does not answer.
#[tokio::test]
async fn an_upstream_that_stops_reading_an_upload_is_late() {
    let upstream = RawUpstream::start(async |mut connection: RawConnection| {
        connection.read_head().await;
        std::future::pending::<()>().await;
    });
    let keyward = before(upstream.address(), "head_timeout = \"400ms\"").await;
    let key = keyward.key().await;
    let caller = keyward.http2().await;
    let upload = Stream::new();
    for _ in 0..1024 {
        upload.send(vec![b'x'; 64 * 1024]);
    }
    let request = http::Request::post(format!("http://h{PREDICT}"))
        .version(http::Version::HTTP_2)
        .header("authorization", format!("Bearer {}", key.text));
    let sent = caller.send(request.body(upload.body()).expect("a request"));
    assert_eq!(sent.await.expect("an answer").status(), 504);
    assert_eq!(keyward.counted.outcomes()["upstream_timed_out"], 1);
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_the_next_has_its_place() {
    let keyward = limited("connections = 2").await;
    let key = keyward.key().await;
    let mut first = keyward.raw().await;
    let mut second = keyward.raw().await;
    for caller in [&mut first, &mut second] {
        assert_eq!(caller.call(post(PREDICT, &key, "{}")).await.status(), 200);
    }
    let third = keyward.raw().await.read_answer().await;
    assert_eq!(third.status(), 503);
    assert_eq!(third.head.field("retry-after"), Some("1"));
    drop(first);
    // A place is free once the worker has seen the end.
    loop {
        let mut next = keyward.raw().await;
        if next.try_write(post(PREDICT, &key, "{}")).await.is_ok()
            && next
                .try_read_head()
                .await
                .is_some_and(|head| head.status() == 200)
        {
            break;
        }
    }
    assert_eq!(second.call(post(PREDICT, &key, "{}")).await.status(), 200);
}

#[tokio::test]
async fn one_request_too_many_is_told_so_and_the_next_has_its_place() {
    let keyward = limited("requests = 1").await;
    let key = keyward.key().await;
    let stream = Stream::new();
    keyward.upstream.next(Answer::events(&stream));
    let mut first = keyward.raw().await;
    first.write(post(PREDICT, &key, "{}")).await;
    first.read_head().await;
    let refused = keyward.call(&key, "m").await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.head.field("retry-after"), Some("1"));
    assert_eq!(keyward.counted.outcomes()["overloaded"], 1);
    stream.finish();
    eventually("nothing is in flight", || {
        (keyward.counted.in_flight() == 0).then_some(())
    })
    .await;
    assert_eq!(keyward.call(&key, "m").await.status(), 200);
}

/// The limit is told to the caller in the settings of the connection: the one too many waits at the caller.
#[tokio::test]
async fn streams_of_one_connection_have_a_number() {
    let keyward = limited("http2_streams = 1").await;
    let key = keyward.key().await;
    let caller = keyward.http2().await;
    let request = || {
        let request = http::Request::post(format!("http://h{PREDICT}"))
            .version(http::Version::HTTP_2)
            .header("authorization", format!("Bearer {}", key.text));
        request.body(whole("{}")).expect("a request")
    };
    assert_eq!(caller.call(request()).await.status, 200);
    let stream = Stream::new();
    keyward.upstream.next(Answer::events(&stream));
    let first = caller.send(request()).await.expect("an answer");
    let second = caller.call(request());
    tokio::pin!(second);
    assert!(
        tokio::time::timeout(Duration::from_millis(300), &mut second)
            .await
            .is_err()
    );
    assert_eq!(keyward.upstream.requests().len(), 2);
    drop(first);
    stream.finish();
    assert_eq!(second.await.status, 200);
}
