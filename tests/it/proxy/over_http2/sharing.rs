//! How calls share connections: as many as may, none of them held up by another.

use super::server::{Server, ok, until};
use super::{PREDICT, over_http2};
use crate::support::eventually;
use crate::support::frames::{HEADERS, PING, frame};
use crate::support::keyward::{TestKey, TestKeyward, post};
use crate::support::raw::RawConnection;
use crate::support::stream::Stream;
use crate::support::upstream::Answer;

/// A caller in the middle of a stream.
async fn in_a_stream(keyward: &TestKeyward, key: &TestKey) -> (RawConnection, Stream) {
    let stream = Stream::new();
    keyward.upstream.next(Answer::events(&stream));
    let mut caller = keyward.raw().await;
    caller.write(post(PREDICT, key, "{}")).await;
    caller.read_head().await;
    (caller, stream)
}

#[tokio::test]
async fn a_connection_carries_so_many_calls_and_the_next_gets_another() {
    let settings = "upstreams.default.limits.http2_streams = 2\n\
                    upstreams.default.limits.pool_idle_timeout = \"3s\"\n";
    let keyward = over_http2(settings).await;
    let key = keyward.key().await;
    let mut open = Vec::new();
    for number in 1..=6_usize {
        open.push(in_a_stream(&keyward, &key).await);
        assert_eq!(keyward.upstream.connections(), number.div_ceil(2));
    }
    let on: Vec<usize> = keyward
        .upstream
        .requests()
        .iter()
        .map(|seen| seen.connection)
        .collect();
    assert_eq!(on, [0, 0, 1, 1, 2, 2]);
    // What has room again is used again, from the front, so that what is behind becomes idle and closes.
    for (_, stream) in open.drain(..) {
        stream.finish();
    }
    eventually("all answers are over", || {
        (keyward.counted.in_flight() == 0).then_some(())
    })
    .await;
    for _ in 0..4 {
        assert_eq!(keyward.call(&key, "m").await.status(), 200);
    }
    assert_eq!(keyward.upstream.request(9).await.connection, 0);
    eventually("the connections behind close", || {
        (keyward.upstream.open_connections() <= 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn by_default_a_hundred_calls_share_a_connection() {
    let keyward = over_http2("").await;
    let key = keyward.key().await;
    let mut open = Vec::new();
    for _ in 0..101 {
        open.push(in_a_stream(&keyward, &key).await);
    }
    assert_eq!(keyward.upstream.connections(), 2);
}

/// As many as the server says, where it says less than the settings (RFC 9113, 5.1.2).
#[tokio::test]
async fn a_server_that_takes_one_call_at_once_has_the_next_on_another_connection() {
    const MOST_STREAMS: [u8; 6] = [0, 3, 0, 0, 0, 1];

    let mut server = Server::start();
    let keyward = server.keyward().await;
    let key = keyward.key().await;
    let mut callers = Vec::new();
    for _ in 0..3 {
        callers.push(keyward.raw().await);
    }
    let request = post(PREDICT, &key, "{}");
    callers[0].write(&request).await;
    let (mut first, stream) = server.called_under(&MOST_STREAMS).await;
    // What answers this has read what came before it.
    first.write(frame(PING, 0, 0, b"are you?")).await;
    until(&mut first, PING).await;
    callers[1].write(&request).await;
    let (mut second, other) = server.called_under(&MOST_STREAMS).await;
    first.write(ok(stream)).await;
    assert_eq!(callers[0].read_answer().await.status(), 200);
    // The first has room again.
    callers[2].write(&request).await;
    let (stream, _) = until(&mut first, HEADERS).await;
    for (connection, stream) in [(&mut first, stream), (&mut second, other)] {
        connection.write(ok(stream)).await;
    }
    for caller in &mut callers[1..] {
        assert_eq!(caller.read_answer().await.status(), 200);
    }
    assert!(server.is_called_no_more());
}

/// SECURITY P10: those who do not read hold up nobody else.
#[tokio::test]
async fn callers_that_do_not_read_leave_the_others_their_share() {
    let keyward = over_http2("").await;
    let key = keyward.key().await;
    let mut stalled = Vec::new();
    for _ in 0..40 {
        let (caller, stream) = in_a_stream(&keyward, &key).await;
        // More than any buffer on the way takes, and nobody reads it.
        stream.send(vec![b'x'; 16 << 20]);
        stalled.push((caller, stream));
    }
    let answer = keyward.raw().await;
    let mut caller = answer;
    let sent = "y".repeat(1 << 20);
    let answer = caller.call(post(PREDICT, &key, &sent)).await;
    assert!(
        answer.json()["body"] == *sent,
        "a megabyte comes back changed"
    );
    assert_eq!(keyward.upstream.connections(), 1);
}

#[tokio::test]
async fn an_unused_connection_is_given_up_before_the_upstream_gives_it_up() {
    let keyward = over_http2("upstreams.default.limits.pool_idle_timeout = \"50ms\"\n").await;
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
async fn a_kept_connection_that_was_closed_is_replaced_unnoticed() {
    let keyward = over_http2("").await;
    let key = keyward.key().await;
    for round in 1..=10 {
        assert_eq!(keyward.call(&key, "m").await.status(), 200);
        keyward.upstream.close_idle().await;
        eventually("the connection is closed", || {
            (keyward.upstream.open_connections() == 0).then_some(())
        })
        .await;
        assert_eq!(keyward.upstream.connections(), round);
    }
}
