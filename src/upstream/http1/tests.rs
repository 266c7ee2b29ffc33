//! Whole calls over a connection in memory: what is heard of an answer, beside what hyper's client hears of it, and what
//! becomes of the connection.

mod kept;

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Method, Request};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::Builder;
use hyper_util::rt::{TokioExecutor, TokioIo};
use proptest::prelude::*;
use proptest::sample::select;
use rstest::rstest;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::message::Response;
use crate::upstream::UpstreamLimits;
use crate::upstream::connect::{Opener, Place};
use crate::upstream::deadline::HeadDeadline;
use crate::upstream::framing;
use crate::upstream::lent::Outbound;
use crate::upstream::payload::{Again, Payload};
use crate::upstream::pool::Idle;

const MOST: usize = 8 * 1024;

/// What a caller hears of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one thing to compare"
)]
struct Heard {
    /// Its status, if there was a head.
    status: Option<u16>,
    body: Vec<u8>,
    trailers: Vec<(String, Vec<u8>)>,
    /// Whether it came to its end.
    is_whole: bool,
    /// Whether its end was the connection's.
    is_at_close: bool,
    /// Whether the connection may be used again.
    is_kept: bool,
    /// Whether its head frames it in one way: otherwise nothing of it is handed on.
    is_sound: bool,
    why: String,
}

async fn hear<B, E>(answer: Result<Response<B>, E>, said: impl Fn(E) -> String) -> Heard
where
    B: Body<Data = Bytes, Error: std::fmt::Display> + Unpin,
{
    let mut heard = Heard::default();
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            heard.why = said(error);
            return heard;
        }
    };
    heard.status = Some(answer.status.as_u16());
    heard.is_sound = framing::is_sound(&answer.headers);
    let mut body = answer.body;
    while let Some(frame) = body.frame().await {
        match frame.map(http_body::Frame::into_data) {
            Err(error) => {
                heard.why = error.to_string();
                return heard;
            }
            Ok(Ok(part)) => heard.body.extend(part),
            Ok(Err(frame)) => {
                let fields = frame.into_trailers().expect("data or trailers");
                let fields = fields.iter();
                let fields =
                    fields.map(|(name, value)| (name.to_string(), value.as_bytes().into()));
                heard.trailers.extend(fields);
            }
        }
    }
    heard.is_whole = true;
    heard
}

fn home() -> Rc<Idle> {
    let limits = UpstreamLimits::default();
    let place = Place::at("http://h".parse().expect("a place"), None);
    let opener = Opener::new(&limits, place, &TokioExecutor::new());
    Rc::new(Idle::new(&limits, opener.tasks()))
}

fn request(method: Method, lines: &[(&str, &str)], parts: &[&'static str]) -> Box<Outbound> {
    let parts: Vec<Bytes> = parts
        .iter()
        .map(|part| Bytes::from_static(part.as_bytes()))
        .collect();
    let mut request = Request::builder().method(method).uri("http://h/m");
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    let (head, ()) = request.body(()).expect("a request").into_parts();
    Outbound::new(Box::new(head.into()), Payload::Again(Again::new(&parts)))
}

/// A connection on which nothing is under way.
fn over(near: DuplexStream) -> Connection {
    Connection::new(Stream::Memory(near), MOST)
}

fn deadline(request: &Outbound) -> HeadDeadline {
    HeadDeadline::new(&request.body, Duration::from_mins(1))
}

/// Lets a server say `pieces` to whoever waits in `turn`, which tells when it has heard all it will.
fn play(
    mut server: DuplexStream,
    pieces: &[&[u8]],
    mut turn: impl FnMut() -> Option<Heard>,
) -> Heard {
    let mut heard = turn();
    for piece in pieces {
        let said = server.write_all(piece).now_or_never();
        // Nobody may listen any more.
        drop(said.expect("there is room"));
        heard = heard.or_else(&mut turn);
    }
    let is_at_close = heard.is_none();
    if is_at_close {
        drop(server.shutdown().now_or_never());
    }
    let heard = heard.or_else(&mut turn).expect("all was said");
    // It stays open until somebody has looked at what is left.
    let heard = Heard {
        is_at_close,
        ..heard
    };
    drop(turn());
    drop(server);
    heard
}

fn heard_by_us(method: &Method, pieces: &[&[u8]]) -> Heard {
    // For the deadline's timer.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().build().expect("a runtime");
    let _entered = runtime.enter();
    let (near, server) = duplex(1 << 20);
    let home = home();
    let request = request(method.clone(), &[], &[]);
    let deadline = deadline(&request);
    let exchange = Exchange::new(Box::new(over(near)), request, &deadline, Rc::clone(&home));
    let said = |error| match error {
        NotAnswered::Unsent(_, error) => format!("unsent: {error}"),
        NotAnswered::Broken(error) => error.to_string(),
        NotAnswered::Late => "late".to_owned(),
    };
    let mut call = Box::pin(async move { hear(exchange.await, said).await });
    let mut is_over = false;
    let mut is_kept = false;
    let heard = play(server, pieces, || {
        if is_over {
            is_kept = home.take(tokio::time::Instant::now()).is_some();
            return None;
        }
        let mut cx = Context::from_waker(Waker::noop());
        match call.as_mut().poll(&mut cx) {
            Poll::Pending => None,
            Poll::Ready(heard) => {
                is_over = true;
                Some(heard)
            }
        }
    });
    Heard { is_kept, ..heard }
}

fn heard_by_hyper(method: &Method, pieces: &[&[u8]]) -> Heard {
    let (near, server) = duplex(1 << 20);
    let mut builder = Builder::new();
    builder.max_buf_size(MOST);
    let shaken = builder
        .handshake::<_, Empty<Bytes>>(TokioIo::new(near))
        .now_or_never();
    let (mut sender, connection) = shaken
        .expect("nothing is waited for")
        .expect("no handshake");
    let mut connection = Box::pin(connection.with_upgrades());
    let request = Request::builder().method(method.clone()).uri("/m");
    let request = request.body(Empty::<Bytes>::new()).expect("a request");
    let answer = sender.send_request(request);
    let said = |error: hyper::Error| error.to_string();
    let mut call = Box::pin(async move { hear(answer.await.map(Response::from), said).await });
    let mut is_over = false;
    let mut is_gone = false;
    let heard = play(server, pieces, || {
        let mut cx = Context::from_waker(Waker::noop());
        // One wakes the other, a few times.
        for _ in 0..32 {
            is_gone = is_gone || connection.as_mut().poll(&mut cx).is_ready();
            if !is_over && let Poll::Ready(heard) = call.as_mut().poll(&mut cx) {
                is_over = true;
                is_gone = is_gone || connection.as_mut().poll(&mut cx).is_ready();
                return Some(heard);
            }
        }
        None
    });
    let is_kept = !is_gone && sender.is_ready();
    Heard { is_kept, ..heard }
}

/// Heads, and what may follow them, well or ill.
fn answers() -> impl Strategy<Value = Vec<u8>> {
    let start = select(vec![
        "HTTP/1.1 200 OK",
        "HTTP/1.1 200 OK",
        "HTTP/1.0 200 OK",
        "HTTP/1.1 204 No Content",
        "HTTP/1.1 304 Not Modified",
        "HTTP/1.1 500 Oh",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK",
        "HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 200 OK",
        "HTTP/1.1 200",
        "HTTP/2 200 OK",
    ]);
    let framing = select(vec![
        "",
        "content-length: 5\r\n",
        "Content-Length: 0\r\n",
        "content-length: 15\r\n",
        "content-length: +5\r\n",
        "content-length: 5, 5\r\n",
        "transfer-encoding: chunked\r\n",
        "Transfer-Encoding: Chunked\r\n",
        "transfer-encoding: chunked\r\n",
        "transfer-encoding: gzip, chunked\r\n",
    ]);
    let field = select(vec![
        "connection: close\r\n",
        "connection: keep-alive\r\n",
        "connection: x, close\r\n",
        "connection: x\r\n",
        "x-a:\r\n",
        "x-b: \tb \t\r\n",
        "x-c : 1\r\n",
        "x-d: 1\n",
        "content-length: 5\r\n",
    ]);
    let token = select(vec![
        "hello",
        "5\r\nhello\r\n",
        "5\r\nhello\r\n",
        "A;b=c\r\n0123456789\r\n",
        "0\r\n\r\n",
        "0\r\n\r\n",
        "0\r\n",
        "\r\n",
        "\n",
        "x-t: 1\r\n",
        "x-u: 1\n",
        "5 \r\nhello\r\n",
        "00000000000000005\r\nhello\r\n",
        "5;\x01\r\nhello\r\n",
        "5\nhello\r\n",
        "5\r\nhello!\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ]);
    let fields = prop::collection::vec(field, 0..3);
    let tokens = prop::collection::vec(token, 0..6);
    (start, framing, fields, tokens).prop_map(|(start, framing, fields, tokens)| {
        let (fields, tokens) = (fields.concat(), tokens.concat());
        format!("{start}\r\n{framing}{fields}\r\n{tokens}").into_bytes()
    })
}

fn methods() -> impl Strategy<Value = Method> {
    prop_oneof![4 => Just(Method::GET), 1 => Just(Method::HEAD)]
}

/// `bytes`, cut there.
fn cut<'b>(mut bytes: &'b [u8], cuts: &[prop::sample::Index]) -> Vec<&'b [u8]> {
    let mut pieces = Vec::new();
    for cut in cuts {
        if bytes.is_empty() {
            break;
        }
        let (piece, rest) = bytes.split_at(1 + cut.index(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces.push(bytes);
    pieces
}

/// Where we hear less than hyper does: what can be read in two ways.
fn is_stricter(why: &str) -> bool {
    [
        // More digits than a length has, though zeros; control characters in extensions.
        "does not say its size",
        // In trailers: some take a line feed for a line's end, and some do not.
        "a line ends without a carriage return",
        // Equal lengths in a list, which hyper reads as one.
        "did not say clearly where its answer ends",
    ]
    .iter()
    .any(|reason| why.ends_with(reason))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn an_answer_is_the_same_in_whatever_pieces_it_comes(
        bytes in answers(),
        method in methods(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let whole = heard_by_us(&method, &[&bytes]);
        let pieces = cut(&bytes, &cuts);
        prop_assert_eq!(heard_by_us(&method, &pieces), whole, "{:?}", pieces);
        let bytes: Vec<&[u8]> = bytes.chunks(1).collect();
        let whole = heard_by_us(&method, &[&bytes.concat()]);
        prop_assert_eq!(heard_by_us(&method, &bytes), whole);
    }

    #[test]
    fn an_answer_is_what_hyper_takes_it_for(bytes in answers(), method in methods()) {
        let ours = heard_by_us(&method, &[&bytes]);
        let theirs = heard_by_hyper(&method, &[&bytes]);
        if ours.status.is_some() && !ours.is_sound {
            // Nothing is handed on of one whose head frames it in two ways.
            return Ok(());
        }
        if !ours.is_whole {
            prop_assert!(!theirs.is_whole || is_stricter(&ours.why), "{ours:?} {theirs:?}");
            prop_assert!(!ours.is_kept);
            prop_assert!(theirs.body.starts_with(&ours.body));
            return Ok(());
        }
        prop_assert_eq!(ours, theirs);
    }
}

/// What stands at its end is whose, and what becomes of its connection then.
#[rstest]
#[case::counted("content-length: 5\r\n\r\nhello", true)]
#[case::counted_and_more("content-length: 5\r\n\r\nhello and more", false)]
#[case::chunks("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", true)]
#[case::chunks_and_more("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n\r\n", false)]
#[case::said_to_close("connection: close\r\ncontent-length: 5\r\n\r\nhello", false)]
#[case::at_its_close("\r\nhello", false)]
fn a_connection_is_kept_at_its_answers_end(#[case] rest: &str, #[case] is_kept: bool) {
    let bytes = format!("HTTP/1.1 200 OK\r\n{rest}");
    let heard = heard_by_us(&Method::GET, &[bytes.as_bytes()]);
    assert_eq!(
        (heard.body.as_slice(), heard.is_whole),
        (&b"hello"[..], true)
    );
    assert_eq!(heard.is_kept, is_kept);
}

/// Over a connection that turns out to have ended nothing is sent, and the whole request is sent over another.
#[rstest]
#[case::no_body(&[], &[])]
#[case::counted(&[("content-length", "5")], &["hel", "lo"])]
#[case::chunks(&[], &["hel", "lo"])]
#[tokio::test]
async fn a_request_that_could_not_be_written_is_whole(
    #[case] lines: &[(&str, &str)],
    #[case] parts: &[&'static str],
) {
    let (near, server) = duplex(1024);
    drop(server);
    let request = || {
        let mut request = request(Method::POST, lines, parts);
        request.joins = b"x-joins: 1\r\n".to_vec();
        request
    };
    let first = request();
    let late = deadline(&first);
    let answer = Exchange::new(Box::new(over(near)), first, &late, home()).await;
    let Err(NotAnswered::Unsent(again, _)) = answer else {
        panic!("nothing of it was written");
    };
    let mut written = Vec::new();
    for request in [again, request()] {
        let (near, mut server) = duplex(1024);
        server
            .write_all(b"HTTP/1.1 204 Fine\r\n\r\n")
            .await
            .unwrap();
        let late = deadline(&request);
        assert!(
            Exchange::new(Box::new(over(near)), request, &late, home())
                .await
                .is_ok()
        );
        let mut bytes = String::new();
        server.read_to_string(&mut bytes).await.unwrap();
        written.push(bytes);
    }
    assert_eq!(written[0], written[1]);
    assert!(written[0].starts_with("POST /m HTTP/1.1\r\n"));
    assert!(written[0].contains("\r\nx-joins: 1\r\n"));
}

/// What came of an answer counts, though the request could not be written to its end.
#[tokio::test]
async fn an_answer_is_heard_though_the_request_was_not() {
    let (near, mut server) = duplex(64);
    let large: &'static str = "0123456789".repeat(1_000).leak();
    let request = request(Method::POST, &[], &[large]);
    let late = deadline(&request);
    let exchange = Exchange::new(Box::new(over(near)), request, &late, home());
    let answering = async {
        let mut first = [0; 64];
        server.read_exact(&mut first).await.unwrap();
        server
            .write_all(b"HTTP/1.1 413 Large\r\n\r\nno")
            .await
            .unwrap();
        drop(server);
    };
    let (answer, ()) = tokio::join!(exchange, answering);
    let heard = hear(answer, |_| String::new()).await;
    assert_eq!(
        (heard.status, heard.body.as_slice()),
        (Some(413), &b"no"[..])
    );
    assert!(heard.is_whole);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_nothing_behind_its_answer_is_given_up_after_a_while() {
    static LARGE: [u8; 64 * 1024] = [b'x'; 64 * 1024];
    let large = str::from_utf8(&LARGE).expect("letters");
    let (near, mut server) = duplex(1024);
    let request = request(Method::POST, &[("content-length", "65536")], &[large]);
    let deadline = deadline(&request);
    let early = b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n";
    server.write_all(early).await.expect("there is room");
    let answer = Exchange::new(Box::new(over(near)), request, &deadline, home()).await;
    let Ok(answer) = answer else {
        unreachable!("it was answered");
    };
    assert_eq!(answer.status, 413);
    drop(answer);
    // The rest has as long as the head of an answer would have.
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert!(server.write_all(b"x").await.is_ok());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(server.write_all(b"x").await.is_err());
}
