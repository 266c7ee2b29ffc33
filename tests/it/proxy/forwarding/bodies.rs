//! Bodies, frame by frame, both ways.

use http_body_util::BodyExt;
use hyper::body::Incoming;
use rstest::rstest;

use super::{PREDICT, Protocol, head, over_http2, with};
use crate::support::keyward::{TestKey, TestKeyward, post};
use crate::support::raw::{Ending, Head};
use crate::support::stream::{Stream, empty, whole};
use crate::support::upstream::{Answer, BodyEnd};
use crate::support::within;

/// The next frame of an HTTP/2 answer, which is one of data.
async fn next_data(body: &mut Incoming) -> Vec<u8> {
    let frame = within("a frame comes", body.frame()).await;
    let frame = frame.expect("the body goes on").expect("it is not cut");
    frame.into_data().expect("a frame of data").to_vec()
}

#[rstest]
#[case::counted("Content-Length: 10\r\n", ["01234", "56789"])]
#[case::chunked("Transfer-Encoding: chunked\r\n", ["5\r\n01234\r\n", "5;x=y\r\n56789\r\n0\r\n\r\n"])]
#[tokio::test]
async fn the_first_half_of_a_body_is_there_before_the_second_is_sent(
    #[case] framing: &str,
    #[case] halves: [&str; 2],
) {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let mut caller = keyward.raw().await;
    caller.write(head(&key, framing)).await;
    caller.write(halves[0]).await;
    let seen = keyward.upstream.request(0).await;
    seen.body_reaches(5).await;
    caller.write(halves[1]).await;
    let answer = caller.read_answer().await;
    assert_eq!(answer.json()["body"], "0123456789");
    // What a chunk says beside its size is between the caller and us.
    let received = String::from_utf8(keyward.upstream.received(0)).expect("text");
    assert!(!received.contains("x=y"), "{received}");
}

#[tokio::test]
async fn the_first_half_is_there_before_the_second_over_http2_and_empty_frames_end_nothing() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let caller = keyward.http2().await;
    let stream = Stream::new();
    let telling = async {
        stream.send("01234");
        let seen = keyward.upstream.request(0).await;
        seen.body_reaches(5).await;
        stream.send("");
        // An empty chunk would end the body here, and what follows would be a request (SECURITY F16).
        stream.send("GET /admin HTTP/1.1\r\n\r\n");
        stream.finish();
        seen
    };
    let request = with(over_http2(PREDICT, &key), stream.body());
    let (answer, seen) = tokio::join!(caller.call(request), telling);
    let echo: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(echo["body"], "01234GET /admin HTTP/1.1\r\n\r\n");
    assert_eq!(seen.header_all("transfer-encoding"), ["chunked"]);
    assert_eq!(keyward.upstream.requests().len(), 1);
}

/// The upstream sends each only once the caller has the one before: whoever holds one back, for however short a time,
/// waits for ever. So nothing has to be timed.
const EVENTS: usize = 1_000;

#[tokio::test]
async fn each_event_is_out_before_the_next_comes_in() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let stream = Stream::new();
    keyward.upstream.next(Answer::events(&stream));
    let mut caller = keyward.raw().await;
    caller.write(post(PREDICT, &key, "{}")).await;
    let head = caller.read_head().await;
    assert_eq!(head.field("content-type"), Some("text/event-stream"));
    assert_eq!(head.field("cache-control"), Some("no-cache"));
    for number in 0..EVENTS {
        assert!(caller.is_quiet());
        let event = format!("data: {number}\n\n");
        stream.send(event.clone());
        assert_eq!(caller.read_chunk().await.as_deref(), Some(event.as_bytes()));
    }
    stream.finish();
    assert!(caller.read_body(&head).await.is_complete);
}

#[tokio::test]
async fn each_event_is_out_before_the_next_comes_in_over_http2() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let stream = Stream::new();
    keyward.upstream.next(Answer::events(&stream));
    let caller = keyward.http2().await;
    let answer = caller.send(with(over_http2(PREDICT, &key), whole("{}")));
    let mut body = answer.await.expect("an answer").into_body();
    for number in 0..EVENTS {
        let event = format!("data: {number}\n\n");
        stream.send(event.clone());
        assert_eq!(next_data(&mut body).await, event.as_bytes());
    }
    stream.finish();
    let rest = within("the end comes", body.collect()).await;
    assert_eq!(rest.expect("it is not cut").to_bytes(), "");
}

/// A megabyte in which no two kilobytes are alike.
fn megabyte() -> String {
    let lines = (0..16_384).map(|line| format!("{line:063}\n"));
    lines.collect()
}

#[rstest]
#[case::http1(Protocol::Http1)]
#[case::http2(Protocol::Http2)]
#[tokio::test]
async fn a_megabyte_comes_back_as_it_went(#[case] protocol: Protocol) {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let sent = megabyte();
    let echo = match protocol {
        Protocol::Http1 => {
            let mut caller = keyward.raw().await;
            caller.call(post(PREDICT, &key, &sent)).await.json()
        }
        Protocol::Http2 => {
            let request = with(over_http2(PREDICT, &key), whole(sent.clone()));
            let answer = keyward.http2().await.call(request).await;
            serde_json::from_slice(&answer.body).expect("JSON")
        }
    };
    assert!(echo["body"] == *sent, "a megabyte comes back changed");
    assert_eq!(keyward.upstream.request(0).await.body(), sent.as_bytes());
}

#[rstest]
#[case::http1(Protocol::Http1)]
#[case::http2(Protocol::Http2)]
#[tokio::test]
async fn trailers_of_an_answer_come_through(#[case] protocol: Protocol) {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let stream = Stream::new();
    let answer = Answer::streamed(&stream).header("trailer", "grpc-status");
    keyward.upstream.next(answer);
    stream.send("message");
    stream.finish_with(&[("grpc-status", "0")]);
    match protocol {
        Protocol::Http1 => {
            let mut caller = keyward.raw().await;
            let request = head(&key, "TE: trailers\r\nContent-Length: 0\r\n");
            let answer = caller.call(request).await;
            assert_eq!(answer.text(), "message");
            assert_eq!(answer.head.field("trailer"), Some("grpc-status"));
            let expected = ("grpc-status".to_owned(), "0".to_owned());
            assert_eq!(answer.body.trailers, [expected]);
        }
        Protocol::Http2 => {
            let request = over_http2(PREDICT, &key).header("te", "trailers");
            let answer = keyward.http2().await.call(with(request, empty())).await;
            assert_eq!(answer.body, "message");
            assert_eq!(answer.trailers.expect("trailers")["grpc-status"], "0");
        }
    }
    let seen = keyward.upstream.request(0).await;
    assert_eq!(seen.header("te"), Some("trailers"));
}

/// Trailers a caller may send; those that go on come first.
const TRAILERS: [(&str, &str); 8] = [
    ("x-checksum", "7"),
    ("grpc-metadata-bin", "AA"),
    ("authorization", "Bearer forged"),
    ("x_api_key", "forged"),
    ("x-keyward-org", "forged"),
    ("x_keyward_model", "forged"),
    ("cookie", "a=forged"),
    ("x-forwarded-for", "forged"),
];

#[rstest]
#[case::http1(Protocol::Http1)]
#[case::http2(Protocol::Http2)]
#[tokio::test]
async fn trailers_of_a_request_go_on_without_credentials_and_identities(
    #[case] protocol: Protocol,
) {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let names = TRAILERS.map(|(name, _)| name).join(", ");
    match protocol {
        Protocol::Http1 => {
            let lines = TRAILERS.map(|(name, value)| format!("{name}: {value}\r\n"));
            let framing = format!("Trailer: {names}\r\nTransfer-Encoding: chunked\r\n");
            let body = format!("2\r\nhi\r\n0\r\n{}\r\n", lines.concat());
            let request = head(&key, &framing) + &body;
            assert_eq!(keyward.raw().await.call(request).await.status(), 200);
        }
        Protocol::Http2 => {
            let stream = Stream::new();
            let request = over_http2(PREDICT, &key).header("trailer", &names);
            let request = with(request, stream.body());
            stream.send("hi");
            stream.finish_with(&TRAILERS);
            assert_eq!(keyward.http2().await.call(request).await.status, 200);
        }
    }
    let seen = keyward.upstream.request(0).await;
    assert_eq!(seen.body_end().await, BodyEnd::Complete);
    let trailers = seen.trailers().expect("those that may go on");
    let mut trailers: Vec<_> = trailers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    trailers.sort_unstable_by_key(|(name, _)| *name != "x-checksum");
    assert_eq!(trailers, TRAILERS[..2]);
    let received = String::from_utf8(keyward.upstream.received(0)).expect("text");
    assert!(!received.contains("forged"), "{received}");
}

#[tokio::test]
async fn a_caller_that_waits_for_100_gets_it_once_it_is_let_in() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let waiting = head(&key, "Expect: 100-continue\r\nContent-Length: 2\r\n");
    let mut caller = keyward.raw().await;
    let go_on = caller.call(&waiting).await;
    assert_eq!(go_on.status(), 100);
    caller.write("hi").await;
    let answer = caller.read_answer().await;
    assert_eq!(
        (answer.status(), &answer.json()["body"]),
        (200, &"hi".into())
    );
    assert_eq!(keyward.upstream.request(0).await.header("expect"), None);
    assert_eq!(caller.call(post(PREDICT, &key, "")).await.status(), 200);
    // Whoever is not let in hears no 100 first (SECURITY P3).
    let mut caller = keyward.raw().await;
    let answer = caller.call(waiting.replace(&key.text, "nobody")).await;
    assert_eq!(answer.status(), 401);
    assert_eq!(caller.until_closed().await, (Vec::new(), Ending::Closed));
}

#[tokio::test]
async fn a_get_may_have_a_body() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let request = post("/v1/models", &key, "hi").replace("POST", "GET");
    let answer = keyward.raw().await.call(request).await;
    assert_eq!(answer.json()["body"], "hi");
}

#[tokio::test]
async fn an_early_answer_is_passed_on_while_the_body_still_comes() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    keyward.upstream.next(Answer::new(413, "too large").early());
    let mut caller = keyward.raw().await;
    caller
        .write(head(&key, "Content-Length: 10\r\n") + "01234")
        .await;
    let answer = caller.read_answer().await;
    assert_eq!(
        (answer.status(), answer.text().as_str()),
        (413, "too large")
    );
    // The rest is no request, and neither connection is used again before it has come.
    caller.write("GET /").await;
    let seen = keyward.upstream.request(0).await;
    seen.body_reaches(10).await;
    assert_eq!(seen.body(), b"01234GET /");
    assert_eq!(keyward.call(&key, "m").await.status(), 200);
    assert_eq!(keyward.upstream.requests().len(), 2);
}

/// What a caller sends that is no body: the upstream sees it break off, the caller is told, nothing is used again.
#[rstest]
#[case::no_size("x\r\n01234\r\n")]
#[case::a_sign("+5\r\n56789\r\n")]
#[case::no_line_end("5\r\n56789XX")]
#[case::too_large("fffffffffffffffff\r\n")]
#[tokio::test]
async fn a_body_that_is_no_body_is_refused_and_no_connection_survives_it(#[case] garbage: &str) {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let mut caller = keyward.raw().await;
    caller
        .write(head(&key, "Transfer-Encoding: chunked\r\n") + "5\r\n01234\r\n")
        .await;
    let seen = keyward.upstream.request(0).await;
    seen.body_reaches(5).await;
    caller.write(garbage).await;
    assert_eq!(caller.read_answer().await.status(), 400);
    assert_eq!(caller.until_closed().await.0, b"");
    assert_eq!(seen.body_end().await, BodyEnd::Broken);
    next_is_undisturbed(&keyward, &key).await;
    assert_eq!(keyward.counted.outcomes()["malformed_framing"], 1);
}

/// A call after something went wrong is answered as if nothing had, over another upstream connection.
async fn next_is_undisturbed(keyward: &TestKeyward, key: &TestKey) {
    let before = keyward.upstream.requests().len();
    let answer = keyward.call(key, "m").await;
    assert_eq!(
        (answer.status(), &answer.json()["body"]),
        (200, &"{}".into())
    );
    let seen = keyward.upstream.request(before).await;
    let used = keyward.upstream.requests()[before - 1].connection;
    assert_ne!(seen.connection, used);
}

#[tokio::test]
async fn the_length_of_an_answer_is_as_the_upstream_says_it() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    keyward.upstream.next(Answer::new(200, "counted"));
    let counted = keyward.call(&key, "m").await;
    assert_eq!(framing(&counted.head), (Some("7"), None));
    let stream = Stream::new();
    keyward.upstream.next(Answer::streamed(&stream));
    stream.send("not counted");
    stream.finish();
    let chunked = keyward.call(&key, "m").await;
    assert_eq!(framing(&chunked.head), (None, Some("chunked")));
}

fn framing(head: &Head) -> (Option<&str>, Option<&str>) {
    (
        head.field("content-length"),
        head.field("transfer-encoding"),
    )
}
