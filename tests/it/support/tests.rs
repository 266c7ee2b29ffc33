//! The tests' own tools do what their users rely on: callers and upstreams face each other, with nothing between.

use http::Request;
use rstest::rstest;

use super::eventually;
use super::http2::Http2Caller;
use super::raw::{Ending, RawConnection};
use super::raw_upstream::{BlackHole, RawUpstream};
use super::store::Log;
use super::stream::{Stream, empty, whole};
use super::upstream::{Answer, AnswerEnd, BodyEnd, FakeUpstream, Gate};

const GET: &str = "GET /a?b=c HTTP/1.1\r\nHost: h\r\n\r\n";

/// A caller on a connection of its own.
async fn caller(upstream: &FakeUpstream) -> RawConnection {
    RawConnection::connect(upstream.address()).await
}

#[tokio::test]
async fn an_echo_says_what_was_asked_and_the_wire_keeps_every_byte() {
    let upstream = FakeUpstream::start();
    let request = "POST /a?b=c HTTP/1.1\r\nHost: h\r\nX-Two: 1\r\nX-One: 2\r\nx-two: 3\r\nContent-Length: 2\r\n\r\nhi";
    let answer = caller(&upstream).await.call(request).await;
    let expected = serde_json::json!({
        "method": "POST",
        "target": "/a?b=c",
        "version": "HTTP/1.1",
        "headers": [["host", "h"], ["x-two", "1"], ["x-two", "3"], ["x-one", "2"], ["content-length", "2"]],
        "body": "hi",
        "trailers": null,
    });
    assert_eq!(answer.json(), expected);
    assert_eq!(upstream.received(0), request.as_bytes());
    let seen = upstream.request(0).await;
    assert_eq!((seen.connection, seen.header("x-one")), (0, Some("2")));
    assert_eq!(seen.header_all("x-two"), ["1", "3"]);
    assert!(upstream.received_pieces(0)[0].0 <= seen.at);
}

#[tokio::test]
async fn a_streamed_answer_goes_on_when_told() {
    let upstream = FakeUpstream::start();
    let stream = Stream::new();
    upstream.on("/a", Answer::events(&stream));
    let mut caller = caller(&upstream).await;
    caller.write(GET).await;
    let head = caller.read_head().await;
    assert_eq!(head.field("Content-Type"), Some("text/event-stream"));
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        stream.send(event);
        assert_eq!(caller.read_chunk().await.as_deref(), Some(event.as_bytes()));
        assert!(caller.is_quiet());
    }
    stream.finish();
    assert_eq!(caller.read_chunk().await, Some(Vec::new()));
    assert_eq!(
        upstream.request(0).await.answer_end().await,
        AnswerEnd::Complete
    );
}

#[tokio::test]
async fn a_gate_holds_the_head_back() {
    let upstream = FakeUpstream::start();
    let gate = Gate::closed();
    upstream.next(Answer::new(200, "late").behind(&gate));
    let mut caller = caller(&upstream).await;
    caller.write(GET).await;
    upstream.request(0).await.body_end().await;
    assert!(caller.is_quiet());
    gate.open();
    assert_eq!(caller.read_answer().await.text(), "late");
}

#[tokio::test]
async fn silence_lasts_until_the_caller_goes_and_that_is_seen() {
    let upstream = FakeUpstream::start();
    upstream.next(Answer::silence());
    let mut caller = caller(&upstream).await;
    caller.write(GET).await;
    let seen = upstream.request(0).await;
    assert_eq!(upstream.open_connections(), 1);
    drop(caller);
    assert_eq!(seen.answer_end().await, AnswerEnd::Dropped);
    eventually("the connection goes", || {
        (upstream.open_connections() == 0).then_some(())
    })
    .await;
}

#[rstest]
#[case::closed(Answer::hang_up(), Ending::Closed)]
#[case::reset(Answer::reset(), Ending::Reset)]
#[tokio::test]
async fn a_connection_can_end_before_the_head(#[case] answer: Answer, #[case] ending: Ending) {
    let upstream = FakeUpstream::start();
    upstream.next(answer);
    let mut caller = caller(&upstream).await;
    caller.write(GET).await;
    assert_eq!(caller.until_closed().await, (Vec::new(), ending));
}

#[rstest]
#[case::closed(false, Ending::Closed)]
#[case::reset(true, Ending::Reset)]
#[tokio::test]
async fn an_answer_can_break_off_in_its_body(#[case] reset: bool, #[case] ending: Ending) {
    let upstream = FakeUpstream::start();
    let stream = Stream::new();
    upstream.next(Answer::streamed(&stream).header("content-length", "100"));
    let mut caller = caller(&upstream).await;
    caller.write(GET).await;
    caller.read_head().await;
    stream.send("part");
    assert_eq!(caller.read_exactly(4).await, b"part");
    if reset {
        upstream.reset_when_closed(0);
    }
    stream.break_off();
    assert_eq!(caller.until_closed().await, (Vec::new(), ending));
}

#[tokio::test]
async fn an_early_answer_comes_while_the_request_body_still_comes() {
    let upstream = FakeUpstream::start();
    upstream.next(Answer::new(413, "too large").early());
    let mut caller = caller(&upstream).await;
    caller
        .write("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\nhalf")
        .await;
    assert_eq!(caller.read_answer().await.status(), 413);
    let seen = upstream.request(0).await;
    caller.write("full").await;
    seen.body_reaches(8).await;
    assert_eq!(
        (seen.body_end().await, seen.body()),
        (BodyEnd::Complete, b"halffull".to_vec())
    );
}

#[tokio::test]
async fn a_request_body_can_stay_unread_and_no_continue_is_said() {
    let upstream = FakeUpstream::start();
    upstream.next(Answer::new(403, "no").unread());
    let mut caller = caller(&upstream).await;
    let head = "POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    assert_eq!(caller.call(head).await.status(), 403);
    assert_eq!(upstream.request(0).await.body(), b"");
}

#[tokio::test]
async fn a_request_body_that_breaks_off_is_seen_as_broken() {
    let upstream = FakeUpstream::start();
    let mut caller = caller(&upstream).await;
    caller
        .write("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\nhalf")
        .await;
    let seen = upstream.request(0).await;
    seen.body_reaches(4).await;
    caller.reset();
    assert_eq!(
        (seen.body_end().await, seen.body()),
        (BodyEnd::Broken, b"half".to_vec())
    );
}

#[tokio::test]
async fn informational_answers_come_before_the_answer() {
    let upstream = FakeUpstream::start();
    upstream.next(Answer::new(200, "ok").after_informational(103, &[("Link", "</a>")]));
    let mut caller = caller(&upstream).await;
    let head = "POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    assert_eq!(caller.call(head).await.status(), 100);
    caller.write("hi").await;
    let hint = caller.read_answer().await;
    assert_eq!(
        (hint.status(), hint.head.field("link")),
        (103, Some("</a>"))
    );
    assert_eq!(caller.read_answer().await.text(), "ok");
}

#[tokio::test]
async fn trailers_come_both_ways() {
    let upstream = FakeUpstream::start();
    let stream = Stream::new();
    upstream.next(Answer::streamed(&stream).header("trailer", "grpc-status"));
    stream.finish_with(&[("grpc-status", "0")]);
    let request = "POST /a HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n\
                   2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n";
    let answer = caller(&upstream).await.call(request).await;
    assert_eq!(
        answer.body.trailers,
        [("grpc-status".to_owned(), "0".to_owned())]
    );
    let seen = upstream.request(0).await;
    assert_eq!(
        seen.trailers(),
        Some(vec![("x-sum".to_owned(), "7".to_owned())])
    );
}

#[rstest]
#[case::head("HEAD", 200, Some("2"))]
#[case::no_content("GET", 204, None)]
#[case::not_modified("GET", 304, None)]
#[tokio::test]
async fn answers_without_a_body_have_none(
    #[case] method: &str,
    #[case] status: u16,
    #[case] length: Option<&str>,
) {
    let upstream = FakeUpstream::start();
    upstream.on(
        "/a",
        Answer::new(status, if length.is_some() { "hi" } else { "" }),
    );
    let mut caller = caller(&upstream).await;
    let answer = caller.call(GET.replace("GET", method)).await;
    assert_eq!(
        (answer.status(), answer.head.field("content-length")),
        (status, length)
    );
    assert_eq!(
        upstream.request(0).await.answer_end().await,
        AnswerEnd::Complete
    );
    // Nothing of a body stands in the way of the next answer.
    assert_eq!(caller.call(GET.replace("/a", "/b")).await.status(), 200);
}

#[tokio::test]
async fn a_connection_ends_with_the_request_it_was_told() {
    let upstream = FakeUpstream::start();
    upstream.close_after(2);
    let mut caller = caller(&upstream).await;
    assert_eq!(caller.call(GET).await.head.field("connection"), None);
    assert_eq!(
        caller.call(GET).await.head.field("connection"),
        Some("close")
    );
    assert_eq!(caller.until_closed().await, (Vec::new(), Ending::Closed));
    assert_eq!((upstream.connections(), upstream.requests().len()), (1, 2));
}

#[tokio::test]
async fn idle_connections_close_without_a_word_and_busy_ones_after_their_answer() {
    let upstream = FakeUpstream::start();
    let gate = Gate::closed();
    let mut idle = caller(&upstream).await;
    idle.call(GET).await;
    upstream.next(Answer::new(200, "ok").behind(&gate));
    let mut busy = caller(&upstream).await;
    busy.write(GET).await;
    upstream.request(1).await;
    upstream.close_idle().await;
    assert_eq!(idle.until_closed().await, (Vec::new(), Ending::Closed));
    gate.open();
    assert_eq!(busy.read_answer().await.text(), "ok");
    assert_eq!(busy.until_closed().await, (Vec::new(), Ending::Closed));
}

#[tokio::test]
async fn a_stopped_upstream_refuses_and_comes_back_on_its_port() {
    let upstream = FakeUpstream::start();
    let mut before = caller(&upstream).await;
    before.call(GET).await;
    upstream.stop().await;
    assert_eq!(before.until_closed().await.0, b"");
    assert!(
        tokio::net::TcpStream::connect(upstream.address())
            .await
            .is_err()
    );
    upstream.start_again().await;
    assert_eq!(upstream.url(), format!("http://{}", upstream.address()));
    assert_eq!(caller(&upstream).await.call(GET).await.status(), 200);
}

#[tokio::test]
async fn http2_is_spoken_with_many_streams_on_one_connection() {
    let upstream = FakeUpstream::start();
    let stream = Stream::new();
    upstream.on("/slow", Answer::streamed(&stream));
    let caller = Http2Caller::connect(upstream.address()).await;
    let request = |path| Request::get(format!("http://model.test{path}"));
    let slow = caller.send(request("/slow").body(empty()).expect("a request"));
    let slow = slow.await.expect("a head");
    let fast = caller
        .call(request("/fast").body(whole("hi")).expect("a request"))
        .await;
    let echo: serde_json::Value = serde_json::from_slice(&fast.body).expect("JSON");
    assert_eq!(
        (&echo["version"], &echo["body"]),
        (&"HTTP/2.0".into(), &"hi".into())
    );
    drop(slow);
    stream.dropped().await;
    assert_eq!(
        upstream.request(0).await.answer_end().await,
        AnswerEnd::Dropped
    );
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn http2_answers_carry_trailers_and_a_closed_connection_is_noticed() {
    let upstream = FakeUpstream::start();
    let stream = Stream::new();
    upstream.next(Answer::streamed(&stream));
    stream.send("message");
    stream.finish_with(&[("grpc-status", "0")]);
    let mut caller = Http2Caller::connect(upstream.address()).await;
    let answer = caller
        .call(
            Request::post("http://h/a")
                .body(empty())
                .expect("a request"),
        )
        .await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body[..]),
        (200, &b"message"[..])
    );
    assert_eq!(answer.trailers.expect("trailers")["grpc-status"], "0");
    assert!(!answer.headers.contains_key("grpc-status"));
    upstream.close_idle().await;
    caller.closed().await.expect("it closes well");
}

#[tokio::test]
async fn a_raw_upstream_answers_any_bytes() {
    let upstream = RawUpstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab");
    let mut caller = RawConnection::connect(upstream.address()).await;
    let answer = caller.call(GET).await;
    assert_eq!(
        (answer.text().as_str(), answer.body.is_complete),
        ("ab", false)
    );
    let upstream = RawUpstream::answering("garbage");
    let mut caller = RawConnection::connect(upstream.address()).await;
    caller.write(GET).await;
    assert_eq!(
        caller.until_closed().await,
        (b"garbage".to_vec(), Ending::Closed)
    );
}

#[tokio::test]
async fn a_raw_upstream_plays_a_script_on_every_connection() {
    let upstream = RawUpstream::start(|mut connection| async move {
        while let Some(head) = connection.try_read_head().await {
            let body = connection.read_body(&head).await;
            let answer = format!(
                "HTTP/1.1 200 {}\r\nContent-Length: 0\r\n\r\n",
                body.bytes.len()
            );
            connection.write(answer).await;
        }
    });
    assert!(upstream.url().starts_with("http://127.0.0.1:"));
    let mut caller = RawConnection::connect(upstream.address()).await;
    let chunked = "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for (request, reason) in [(chunked, "200 3"), (GET, "200 0")] {
        assert_eq!(
            caller.call(request).await.head.start,
            format!("HTTP/1.1 {reason}")
        );
    }
    caller.finish();
    assert_eq!(caller.until_closed().await, (Vec::new(), Ending::Closed));
}

#[tokio::test]
async fn a_black_hole_neither_takes_a_connection_nor_refuses_it() {
    let hole = BlackHole::open();
    let connecting = tokio::net::TcpStream::connect(hole.address());
    let patience = std::time::Duration::from_millis(200);
    assert!(tokio::time::timeout(patience, connecting).await.is_err());
}

#[test]
fn a_log_hears_a_line_that_another_thread_spoke_first() {
    let speak = || tracing::warn!("a line that is spoken here alone");
    let log = Log::default();
    let listening = log.listen();
    std::thread::spawn(speak)
        .join()
        .expect("speaking is harmless");
    speak();
    drop(listening);
    assert_eq!(log.text().lines().count(), 1, "{}", log.text());
}
