//! Calls that a server says it did not look at (RFC 9113, 8.7): they go once more, unless something of their body has gone.
//! And what a server hears of a call whose caller went away.

use rstest::rstest;

use super::server::{Server, ok, until};
use super::{HTTP2, PREDICT};
use crate::support::eventually;
use crate::support::frames::{DATA, GOAWAY, RST_STREAM, frame};
use crate::support::keyward::{TestKey, TestKeyward};
use crate::support::raw::RawConnection;

const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;

fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

fn go_away(last: u32, code: u32) -> Vec<u8> {
    frame(
        GOAWAY,
        0,
        0,
        &[last.to_be_bytes(), code.to_be_bytes()].concat(),
    )
}

/// A keyward before `server`, and a caller that has sent a head which announces so many bytes, and these.
async fn asked(server: &Server, length: usize, body: &str) -> (TestKeyward, RawConnection) {
    let keyward = server.keyward().await;
    let key = keyward.key().await;
    let mut caller = keyward.raw().await;
    caller.write(post(&key, length, body)).await;
    (keyward, caller)
}

fn post(key: &TestKey, length: usize, body: &str) -> String {
    format!(
        "POST {PREDICT} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {}\r\ncontent-length: {length}\r\n\r\n{body}",
        key.text
    )
}

#[rstest]
#[case::by_its_stream(|stream| reset(stream, REFUSED_STREAM))]
#[case::by_going_away(|_| go_away(0, NO_ERROR))]
#[case::by_going_away_in_trouble(|_| go_away(0, INTERNAL_ERROR))]
#[tokio::test]
async fn a_call_that_was_not_looked_at_goes_once_more(#[case] refusal: fn(u32) -> Vec<u8>) {
    let mut server = Server::start();
    let (keyward, mut caller) = asked(&server, 0, "").await;
    let (mut first, stream) = server.called().await;
    first.write(refusal(stream)).await;
    // On another connection: the first may refuse everything.
    let (mut second, stream) = server.called().await;
    second.write(ok(stream)).await;
    assert_eq!(caller.read_answer().await.status(), 200);
    assert_eq!(keyward.counted.upstream_retries(), 1);
    assert_eq!(keyward.counted.upstream_errors()["refused"], 1);
}

#[rstest]
#[case::that_was_broken_off(|stream| reset(stream, INTERNAL_ERROR))]
#[case::that_was_canceled(|stream| reset(stream, CANCEL))]
#[case::that_may_have_been_looked_at(|stream| [go_away(stream, NO_ERROR), reset(stream, INTERNAL_ERROR)].concat())]
#[tokio::test]
async fn a_call_goes_once(#[case] end: fn(u32) -> Vec<u8>) {
    let mut server = Server::start();
    let (keyward, mut caller) = asked(&server, 0, "").await;
    let (mut connection, stream) = server.called().await;
    connection.write(end(stream)).await;
    assert_eq!(caller.read_answer().await.status(), 502);
    assert!(server.is_called_no_more());
    assert_eq!(keyward.counted.upstream_errors()["broken"], 1);
}

/// Its connection ends after a GOAWAY that names it as the last: it was looked at.
#[tokio::test]
async fn the_last_call_of_a_connection_that_goes_away_goes_once() {
    let mut server = Server::start();
    let (_keyward, mut caller) = asked(&server, 0, "").await;
    let (mut connection, stream) = server.called().await;
    connection.write(go_away(stream, NO_ERROR)).await;
    connection.finish();
    assert_eq!(caller.read_answer().await.status(), 502);
    assert!(server.is_called_no_more());
}

#[tokio::test]
async fn a_call_whose_body_has_gone_goes_once() {
    let mut server = Server::start();
    let (keyward, mut caller) = asked(&server, 2, "{}").await;
    let (mut connection, stream) = server.called().await;
    let (_, body) = until(&mut connection, DATA).await;
    assert_eq!(body, b"{}");
    connection.write(reset(stream, REFUSED_STREAM)).await;
    assert_eq!(caller.read_answer().await.status(), 502);
    assert!(server.is_called_no_more());
    assert_eq!(keyward.counted.upstream_errors()["refused"], 1);
    assert_eq!(keyward.counted.upstream_retries(), 0);
}

#[tokio::test]
async fn a_call_whose_body_has_not_begun_takes_it_along() {
    let mut server = Server::start();
    let (_keyward, mut caller) = asked(&server, 2, "").await;
    let (mut first, stream) = server.called().await;
    first.write(reset(stream, REFUSED_STREAM)).await;
    let (mut second, stream) = server.called().await;
    caller.write("{}").await;
    let (_, body) = until(&mut second, DATA).await;
    assert_eq!(body, b"{}");
    second.write(ok(stream)).await;
    assert_eq!(caller.read_answer().await.status(), 200);
}

#[tokio::test]
async fn a_call_that_is_refused_twice_goes_no_third_time() {
    let mut server = Server::start();
    let (keyward, mut caller) = asked(&server, 0, "").await;
    for _ in 0..2 {
        let (mut connection, stream) = server.called().await;
        connection.write(reset(stream, REFUSED_STREAM)).await;
    }
    assert_eq!(caller.read_answer().await.status(), 502);
    assert!(server.is_called_no_more());
    assert_eq!(keyward.counted.upstream_errors()["refused"], 2);
}

#[tokio::test]
async fn where_there_is_another_server_it_goes_there() {
    let [mut one, mut other] = [(); 2].map(|()| Server::start());
    let settings = format!(
        "{HTTP2}[upstreams.default.servers.a]\nurl = \"{}\"\n[upstreams.default.servers.b]\nurl = \"{}\"\n",
        one.url(),
        other.url()
    );
    let keyward = TestKeyward::with(&settings).await;
    let key = keyward.key().await;
    let mut caller = keyward.raw().await;
    caller.write(post(&key, 0, "")).await;
    let (mut first, stream) = tokio::select! {
        first = one.called() => first,
        first = other.called() => {
            std::mem::swap(&mut one, &mut other);
            first
        }
    };
    first.write(reset(stream, REFUSED_STREAM)).await;
    let (mut second, stream) = other.called().await;
    second.write(ok(stream)).await;
    assert_eq!(caller.read_answer().await.status(), 200);
    assert!(one.is_called_no_more());
}

#[tokio::test]
async fn a_server_hears_that_a_caller_went_away() {
    let mut server = Server::start();
    let (keyward, caller) = asked(&server, 0, "").await;
    let (mut connection, stream) = server.called().await;
    drop(caller);
    let (told, code) = until(&mut connection, RST_STREAM).await;
    assert_eq!((told, code), (stream, CANCEL.to_be_bytes().to_vec()));
    eventually("nothing is in flight", || {
        (keyward.counted.in_flight() == 0).then_some(())
    })
    .await;
}
