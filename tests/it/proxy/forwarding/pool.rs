//! Connections that are kept, on both sides.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rstest::rstest;

use super::{PREDICT, over_http2, with};
use crate::support::eventually;
use crate::support::keyward::{TestKeyward, post};
use crate::support::raw_upstream::RawUpstream;
use crate::support::stream::{Stream, whole};
use crate::support::upstream::Answer;

#[tokio::test]
async fn many_calls_of_one_caller_use_one_connection_on_either_side() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let mut caller = keyward.raw().await;
    for number in 0..10 {
        let answer = caller.call(post(PREDICT, &key, &number.to_string())).await;
        assert_eq!(answer.json()["body"], number.to_string());
        assert_eq!(answer.head.field("connection"), None);
    }
    // Another caller, even one of HTTP/2, finds the connection that is kept.
    let http2 = keyward.http2().await;
    for _ in 0..10 {
        let answer = http2
            .call(with(over_http2(PREDICT, &key), whole("{}")))
            .await;
        assert_eq!(answer.status, 200);
    }
    assert_eq!(keyward.upstream.requests().len(), 20);
    assert_eq!(keyward.upstream.connections(), 1);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let requests: Vec<String> = (0..5)
        .map(|number| post(PREDICT, &key, &number.to_string()))
        .collect();
    let mut caller = keyward.raw().await;
    caller.write(requests.concat()).await;
    for number in 0..5 {
        assert_eq!(
            caller.read_answer().await.json()["body"],
            number.to_string()
        );
    }
}

#[tokio::test]
async fn a_caller_that_says_close_is_closed_and_the_upstream_is_not() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let request = post(PREDICT, &key, "{}").replace("Host: h", "Host: h\r\nConnection: close");
    for _ in 0..3 {
        let mut caller = keyward.raw().await;
        let answer = caller.call(&request).await;
        assert_eq!(answer.head.field("connection"), Some("close"));
        assert_eq!(caller.until_closed().await.0, b"");
    }
    assert_eq!(keyward.upstream.connections(), 1);
}

#[tokio::test]
async fn an_upstream_that_says_close_is_not_used_again_and_the_caller_is() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    keyward.upstream.close_after(1);
    let mut caller = keyward.raw().await;
    for _ in 0..3 {
        let answer = caller.call(post(PREDICT, &key, "{}")).await;
        assert_eq!(
            (answer.status(), answer.head.field("connection")),
            (200, None)
        );
    }
    assert_eq!(keyward.upstream.connections(), 3);
}

#[tokio::test]
async fn a_kept_connection_that_died_unused_is_replaced_unnoticed() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let mut caller = keyward.raw().await;
    for round in 1..=20 {
        let answer = caller.call(post(PREDICT, &key, "once")).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(keyward.upstream.requests().len(), round);
        keyward.upstream.close_idle().await;
        eventually("the connection is closed", || {
            (keyward.upstream.open_connections() == 0).then_some(())
        })
        .await;
    }
    assert_eq!(keyward.upstream.connections(), 20);
}

#[tokio::test]
async fn an_unused_connection_is_given_up_before_the_upstream_gives_it_up() {
    let settings = "[upstreams.default.limits]\npool_idle_timeout = \"50ms\"\n";
    let keyward = TestKeyward::with(settings).await;
    let key = keyward.key().await;
    keyward.call(&key, "m").await;
    eventually("the connection is closed", || {
        (keyward.upstream.open_connections() == 0).then_some(())
    })
    .await;
    assert_eq!(keyward.call(&key, "m").await.status(), 200);
    assert_eq!(keyward.upstream.connections(), 2);
}

#[tokio::test]
async fn so_many_unused_connections_are_kept_and_the_one_used_last_is_used_next() {
    let settings =
        "[upstreams.default.limits]\npool_idle_connections = 2\npool_idle_timeout = \"1m\"\n";
    let keyward = TestKeyward::with(settings).await;
    let key = keyward.key().await;
    let mut calls = Vec::new();
    for number in 1..=3 {
        let stream = Stream::new();
        keyward.upstream.next(Answer::streamed(&stream));
        let mut caller = keyward.raw().await;
        caller.write(post(PREDICT, &key, "{}")).await;
        let head = caller.read_head().await;
        assert_eq!(keyward.upstream.connections(), number);
        calls.push((caller, head, stream));
    }
    for (number, (mut caller, head, stream)) in calls.into_iter().enumerate() {
        stream.finish();
        assert!(caller.read_body(&head).await.is_complete);
        eventually("the call is over", || {
            (keyward.counted.in_flight() == 2 - number as u64).then_some(())
        })
        .await;
    }
    // There was no room for the last one.
    eventually("two are kept", || {
        (keyward.upstream.open_connections() == 2).then_some(())
    })
    .await;
    for number in 3..6 {
        assert_eq!(keyward.call(&key, "m").await.status(), 200);
        assert_eq!(keyward.upstream.request(number).await.connection, 1);
    }
    assert_eq!(keyward.upstream.connections(), 3);
}

/// What was written may have been read: whatever the method, it is not sent again (SECURITY P6).
#[rstest]
#[case::with_a_body("POST")]
#[case::without("GET")]
#[tokio::test]
async fn a_request_that_was_written_is_never_sent_twice(#[case] method: &str) {
    let seen = Arc::new(AtomicUsize::new(0));
    let upstream = {
        let seen = Arc::clone(&seen);
        RawUpstream::start(move |mut connection| {
            let seen = Arc::clone(&seen);
            async move {
                while let Some(head) = connection.try_read_head().await {
                    connection.read_body(&head).await;
                    // Every second request is read and never answered.
                    if seen.fetch_add(1, Ordering::Relaxed) % 2 == 1 {
                        return;
                    }
                    connection
                        .write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                        .await;
                }
            }
        })
    };
    let settings = format!(
        "upstreams.default.url = \"{}\"\n[[proxy.routes]]\npath = \"/{{model}}\"\nupstream = \"default\"\n",
        upstream.url()
    );
    let keyward = TestKeyward::with(&settings).await;
    let key = keyward.key().await;
    let mut caller = keyward.raw().await;
    for round in 0..5 {
        for status in [200, 502] {
            let request = post("/m", &key, "once").replace("POST", method);
            assert_eq!(caller.call(request).await.status(), status);
        }
        assert_eq!(seen.load(Ordering::Relaxed), 2 * (round + 1));
    }
}
