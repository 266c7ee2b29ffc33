//! What becomes of an upstream's connection behind an answer, and of answers that begin before their requests end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rstest::rstest;
use tokio::sync::mpsc;

use super::{PREDICT, head, over_http2, with};
use crate::support::keyward::{TestKeyward, post};
use crate::support::raw::RawConnection;
use crate::support::raw_upstream::RawUpstream;
use crate::support::stream::Stream;
use crate::support::upstream::{Answer, BodyEnd};

/// What a server does when it has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    GoesOn,
    Closes,
    Resets,
}

async fn before(upstream: &RawUpstream) -> TestKeyward {
    with_routes(upstream, "").await
}

async fn with_routes(upstream: &RawUpstream, routes: &str) -> TestKeyward {
    let settings = format!("upstreams.default.url = \"{}\"\n{routes}", upstream.url());
    TestKeyward::with(&settings).await
}

/// How many connections three calls take.
#[rstest]
#[case::counted("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Then::GoesOn, 1)]
#[case::chunks(
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    Then::GoesOn,
    1
)]
#[case::more_than_it_said(
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more",
    Then::GoesOn,
    3
)]
#[case::more_than_the_last_chunk(
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n\r\n",
    Then::GoesOn,
    3
)]
#[case::says_close(
    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    Then::GoesOn,
    3
)]
#[case::an_old_one("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", Then::GoesOn, 3)]
#[case::an_old_one_that_stays(
    "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    Then::GoesOn,
    1
)]
#[case::until_it_closes("HTTP/1.1 200 OK\r\n\r\nok", Then::Closes, 3)]
#[case::an_old_one_until_it_closes("HTTP/1.0 200 OK\r\n\r\nok", Then::Closes, 3)]
#[tokio::test]
async fn a_connection_is_used_again_when_its_answer_says_so_and_is_over(
    #[case] answer: &'static str,
    #[case] then: Then,
    #[case] connections: usize,
) {
    let (upstream, seen) = answering(answer, then);
    let keyward = before(&upstream).await;
    let key = keyward.key().await;
    let mut caller = keyward.raw().await;
    for _ in 0..3 {
        let answer = caller.call(post(PREDICT, &key, "{}")).await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
        assert!(answer.body.is_complete);
        assert_eq!(answer.head.field("connection"), None);
        assert!(answer.head.start.starts_with("HTTP/1.1"));
    }
    assert_eq!(seen.load(Ordering::Relaxed), connections);
}

/// Answers without a body, and with none where one may be.
#[rstest]
#[case::no_content("GET", "HTTP/1.1 204 No Content\r\n\r\n", Then::GoesOn, 204, 1)]
#[case::not_modified(
    "GET",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    Then::GoesOn,
    304,
    1
)]
#[case::head(
    "HEAD",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    Then::GoesOn,
    200,
    1
)]
#[case::nothing_until_it_closes("GET", "HTTP/1.1 200 OK\r\n\r\n", Then::Closes, 200, 2)]
#[case::many_before_the_answer(
    "GET",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    Then::GoesOn,
    200,
    1
)]
#[tokio::test]
async fn an_answer_without_a_body_ends_with_its_head(
    #[case] method: &str,
    #[case] answer: &'static str,
    #[case] then: Then,
    #[case] status: u16,
    #[case] connections: usize,
) {
    let (upstream, seen) = answering(answer, then);
    let route = "[[proxy.routes]]\npath = \"/{model}\"\nupstream = \"default\"\n";
    let keyward = with_routes(&upstream, route).await;
    let key = keyward.key().await;
    let mut caller = keyward.raw().await;
    for _ in 0..2 {
        let request = post("/m", &key, "").replace("POST", method);
        let answer = caller.call(request).await;
        assert_eq!((answer.status(), answer.text().as_str()), (status, ""));
        assert!(answer.body.is_complete);
    }
    assert_eq!(seen.load(Ordering::Relaxed), connections);
}

#[tokio::test]
async fn a_body_that_ends_with_a_reset_has_no_end() {
    let (upstream, _) = answering("HTTP/1.1 200 OK\r\n\r\npart", Then::Resets);
    let keyward = before(&upstream).await;
    let key = keyward.key().await;
    let mut caller = keyward.raw().await;
    caller.write(post(PREDICT, &key, "{}")).await;
    let head = caller.read_head().await;
    assert!(!caller.read_body(&head).await.is_complete);
}

/// A server that answers every request so; how many connections it saw.
fn answering(answer: &'static str, then: Then) -> (RawUpstream, Arc<AtomicUsize>) {
    let connections = Arc::<AtomicUsize>::default();
    let seen = Arc::clone(&connections);
    let upstream = RawUpstream::start(move |mut connection: RawConnection| {
        connections.fetch_add(1, Ordering::Relaxed);
        async move {
            while let Some(head) = connection.try_read_head().await {
                connection.read_body(&head).await;
                if connection.try_write(answer).await.is_err() {
                    return;
                }
                match then {
                    Then::GoesOn => {}
                    Then::Closes => return,
                    Then::Resets => return connection.reset(),
                }
            }
        }
    });
    (upstream, seen)
}

/// What a server says while nobody asks is no answer to whoever asks next.
#[tokio::test]
async fn a_connection_that_spoke_unasked_is_not_used_again() {
    let (tell, told) = mpsc::unbounded_channel::<()>();
    let told = Arc::new(tokio::sync::Mutex::new(told));
    let (say, mut said) = mpsc::unbounded_channel::<()>();
    let upstream = RawUpstream::start(move |mut connection: RawConnection| {
        let (told, say) = (Arc::clone(&told), say.clone());
        async move {
            while let Some(head) = connection.try_read_head().await {
                connection.read_body(&head).await;
                connection
                    .write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    .await;
                told.lock().await.recv().await;
                let stale = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstale";
                connection.write(stale).await;
                let _ = say.send(());
            }
        }
    });
    let keyward = before(&upstream).await;
    let key = keyward.key().await;
    let mut caller = keyward.raw().await;
    for _ in 0..10 {
        let answer = caller.call(post(PREDICT, &key, "{}")).await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
        tell.send(()).expect("the script listens");
        said.recv().await;
    }
}

/// A server that has heard enough answers and goes, with the rest of the request unread: by then it may not be possible to
/// write any more, but the answer is there.
#[rstest]
#[case::and_closes(Then::Closes)]
#[case::and_resets(Then::GoesOn)]
#[tokio::test]
async fn an_answer_counts_though_its_server_takes_no_more(
    #[case] then: Then,
    #[values("Content-Length: 100000000\r\n", "Transfer-Encoding: chunked\r\n")] framing: &str,
) {
    let upstream = RawUpstream::start(move |mut connection: RawConnection| async move {
        connection.read_head().await;
        let answer =
            "HTTP/1.1 413 Payload Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno";
        connection.write(answer).await;
        if then == Then::Closes {
            // Only the unread part of the request makes a reset of it.
            connection.finish();
            connection.until_closed().await;
        }
    });
    let keyward = before(&upstream).await;
    let key = keyward.key().await;
    for _ in 0..5 {
        let mut caller = keyward.raw().await;
        caller.write(head(&key, framing)).await;
        let part = if framing.starts_with('T') {
            format!("100000\r\n{}\r\n", "x".repeat(1 << 20))
        } else {
            "x".repeat(1 << 20)
        };
        // Nobody may listen any more.
        drop(caller.try_write(part).await);
        let answer = caller.read_answer().await;
        assert_eq!((answer.status(), answer.text().as_str()), (413, "no"));
    }
}

const LARGE: usize = 20 << 20;

/// Bytes of which no two kilobytes are alike.
fn large() -> Vec<u8> {
    let lines = (0..LARGE / 64).map(|line| format!("{line:063}\n"));
    lines.collect::<String>().into_bytes()
}

/// A caller that does not read its answer while it still sends: nobody waits for another.
#[tokio::test]
async fn an_upload_goes_on_while_its_answer_waits() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let stream = Stream::new();
    keyward.upstream.next(Answer::streamed(&stream).early());
    // More than any buffer on the way takes.
    for _ in 0..64 {
        stream.send(vec![b'x'; 1 << 20]);
    }
    let mut caller = keyward.raw().await;
    caller
        .write(head(&key, &format!("Content-Length: {LARGE}\r\n")))
        .await;
    let answer = caller.read_head().await;
    let sent = large();
    caller.write(&sent).await;
    let seen = keyward.upstream.request(0).await;
    assert_eq!(seen.body_end().await, BodyEnd::Complete);
    assert!(seen.body() == sent, "the upload arrives changed");
    stream.finish();
    let body = caller.read_body(&answer).await;
    assert_eq!((body.bytes.len(), body.is_complete), (64 << 20, true));
}

/// A server that reads its request in small pieces, and slowly at first: what is on its way stands still between.
#[rstest]
#[case::counted(Some(LARGE))]
#[case::chunked(None)]
#[tokio::test]
async fn a_large_upload_arrives_byte_by_byte(#[case] length: Option<usize>) {
    let (tell, mut told) = mpsc::unbounded_channel();
    let upstream = RawUpstream::start(move |mut connection: RawConnection| {
        let tell = tell.clone();
        async move {
            let head = connection.read_head().await;
            assert_eq!(head.field("content-length").is_none(), length.is_none());
            drop(tell.send(connection.read_body(&head).await));
            connection.write("HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    });
    let keyward = before(&upstream).await;
    let key = keyward.key().await;
    let caller = keyward.http2().await;
    let stream = Stream::new();
    let sent = large();
    for part in sent.chunks(100_000) {
        stream.send(part.to_vec());
    }
    stream.finish();
    let mut request = over_http2(PREDICT, &key);
    if let Some(length) = length {
        request = request.header("content-length", length);
    }
    assert_eq!(caller.call(with(request, stream.body())).await.status, 204);
    let body = told
        .recv()
        .await
        .expect("it was told before it was answered");
    assert!(body.is_complete);
    assert!(body.bytes == sent, "the upload arrives changed");
}

#[rstest]
#[case::counted(true)]
#[case::chunked(false)]
#[tokio::test]
async fn a_large_answer_arrives_byte_by_byte(#[case] is_counted: bool) {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let sent = large();
    keyward.upstream.next(if is_counted {
        Answer::new(200, sent.clone())
    } else {
        let stream = Stream::new();
        for part in sent.chunks(100_000) {
            stream.send(part.to_vec());
        }
        stream.finish();
        Answer::streamed(&stream)
    });
    let mut caller = keyward.raw().await;
    let answer = caller.call(post(PREDICT, &key, "{}")).await;
    assert_eq!(answer.head.field("content-length").is_some(), is_counted);
    assert!(answer.body.is_complete);
    assert!(answer.body.bytes == sent, "the answer arrives changed");
    assert_eq!(keyward.call(&key, "m").await.status(), 200);
    assert_eq!(keyward.upstream.connections(), 1);
}
