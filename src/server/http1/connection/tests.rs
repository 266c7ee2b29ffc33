use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::task::Waker;

use futures_util::stream;
use futures_util::{FutureExt, StreamExt};
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use proptest::prelude::*;
use rstest::rstest;
use tokio::io::{AsyncReadExt, BufStream, DuplexStream, duplex};
use tokio::time::{Instant, timeout};

use super::super::super::guard::{HeadLimits, too_many};
use super::super::super::io::Silences;
use super::*;
use crate::proxy::{ConnectionLoad, LimitsConfig};

const LIMITS: HeadLimits = HeadLimits {
    bytes: 32 * 1024,
    fields: 100,
};
const NOW: Duration = Duration::from_secs(1_709_210_096);
const DATE: &str = "date: Thu, 29 Feb 2024 12:34:56 GMT\r\n";
const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";
/// Behind its first letter.
const GET_REST: &str = "ET / HTTP/1.1\r\nhost: h\r\n\r\n";
const ROOM: usize = 64 * 1024;

fn over<S>(stream: S) -> (Connection<S>, ConnectionLoad)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let load = ConnectionLoad::default();
    let silences = Silences::from(&LimitsConfig::default());
    let io = CallerIo::new(stream, load.clone(), silences);
    (Connection::new(io, Guard::new(LIMITS)), load)
}

/// A connection on which each side may be so many bytes ahead of the other, and its caller.
fn connection(room: usize) -> (Connection<DuplexStream>, DuplexStream) {
    let (caller, ours) = duplex(room);
    (over(ours).0, caller)
}

/// What comes of `future` before there is nothing to be done.
async fn now<F: Future>(future: F) -> Option<F::Output> {
    // The clock goes on only then.
    timeout(Duration::from_nanos(1), future).await.ok()
}

/// What the caller is told by now.
async fn said(caller: &mut DuplexStream) -> String {
    let mut all = Vec::new();
    while let Some(Ok(1..)) = now(caller.read_buf(&mut all)).await {}
    String::from_utf8(all).unwrap().replace(DATE, "")
}

async fn write(caller: &mut DuplexStream, text: &str) {
    caller.write_all(text.as_bytes()).await.unwrap();
}

/// What begins next.
async fn next<S>(connection: &mut Connection<S>) -> Result<Begins, Gone>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    poll_fn(|cx| connection.poll_next(false, cx)).await
}

/// What begins next, when we are about to leave.
async fn next_when_leaving(connection: &mut Connection<DuplexStream>) -> Result<Begins, Gone> {
    poll_fn(|cx| connection.poll_next(true, cx)).await
}

/// The next request, and its body.
async fn request<S>(connection: &mut Connection<S>) -> (Head, Body)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match next(connection).await {
        Ok(Begins::Request(head)) => {
            let body = connection.body(head.length, head.terms);
            (*head, body)
        }
        other => panic!("no request but {}", name(&other)),
    }
}

fn name(begins: &Result<Begins, Gone>) -> String {
    match begins {
        Ok(Begins::Request(head)) => head.request.uri().to_string(),
        Ok(Begins::Refused(error)) => format!("refused: {error}"),
        Ok(Begins::Http2) => "HTTP/2".to_owned(),
        Ok(Begins::Nothing) => "nothing".to_owned(),
        Err(Gone) => "gone".to_owned(),
    }
}

fn answer_of(text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::new(Full::new(text.into()))
}

/// An answer in parts, behind which nothing comes and no end.
fn parts(
    parts: &[&'static str],
) -> Response<impl AnyBody<Data = Bytes, Error = Infallible> + Unpin> {
    let parts: Vec<_> = parts.iter().map(|part| Ok(data(part))).collect();
    Response::new(StreamBody::new(
        stream::iter(parts).chain(stream::pending()),
    ))
}

fn data(part: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(part.as_bytes()))
}

/// What comes of a body now, whose reader is in another task.
fn part(body: &mut Body) -> String {
    match body.frame().now_or_never() {
        None => "nothing yet".to_owned(),
        Some(None) => "the end".to_owned(),
        Some(Some(Err(error))) => error.to_string(),
        Some(Some(Ok(frame))) => {
            let part = frame.into_data().unwrap();
            String::from_utf8(part.to_vec()).unwrap()
        }
    }
}

/// Waits for an answer that does not come, until there is nothing to be done; whether the caller is still there.
async fn looked_after<S>(connection: &mut Connection<S>) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    now(connection.wait_for(pin!(pending::<()>())))
        .await
        .is_none()
}

/// Answers every request by what it said, until there is none; how many there were.
async fn serve(connection: &mut Connection<DuplexStream>) -> (usize, &'static str) {
    for count in 0.. {
        let (head, body) = match next(connection).await {
            Ok(Begins::Request(head)) => {
                let body = connection.body(head.length, head.terms);
                (head, body)
            }
            Ok(Begins::Refused(_)) => return (count, "refused"),
            Ok(_) => return (count, "nothing"),
            Err(Gone) => return (count, "gone"),
        };
        let reading = pin!(body.collect());
        let Ok(Ok(read)) = connection.wait_for(reading).await else {
            return (count, "broken");
        };
        let trailers = read.trailers().cloned().unwrap_or_default();
        let mut text = format!("{} {}", head.request.method(), head.request.uri()).into_bytes();
        text.extend_from_slice(&read.to_bytes());
        text.extend(format!("{trailers:?}").into_bytes());
        match connection.answer(answer_of(text), head.terms, NOW).await {
            Ok(true) if connection.is_read().await => connection.rest(),
            Ok(_) => return (count + 1, "last"),
            Err(Gone) => return (count, "gone"),
        }
    }
    unreachable!()
}

const REQUESTS: &str = "GET /a HTTP/1.1\r\nhost: h\r\n\r\n\
    POST /b HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhello\
    \r\nPOST /c HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nGET\r\n2\r\n /\r\n0\r\nx-a: 1\r\n\r\n\
    HEAD /d HTTP/1.1\r\nhost: h\r\n\r\n\
    POST /e HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\nconnection: close\r\n\r\n\n";

const ANSWERS: &str = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nGET /a{}\
    HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\nPOST /bhello{}\
    HTTP/1.1 200 OK\r\ncontent-length: 24\r\n\r\nPOST /cGET /{\"x-a\": \"1\"}\
    HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n\
    HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\nPOST /e\n{}";

#[tokio::test(start_paused = true)]
async fn requests_are_the_same_wherever_they_are_cut() {
    for cut in 0..=REQUESTS.len() {
        let (mut connection, mut caller) = connection(ROOM);
        let (begins, rest) = REQUESTS.split_at(cut);
        let calling = async {
            write(&mut caller, begins).await;
            let mut all = said(&mut caller).await;
            write(&mut caller, rest).await;
            all.push_str(&said(&mut caller).await);
            all
        };
        let (served, all) = tokio::join!(serve(&mut connection), calling);
        assert_eq!(served, (5, "last"), "{cut}");
        assert_eq!(all, ANSWERS, "{cut}");
        assert!(
            connection.read.is_empty() && connection.judged == 0,
            "{cut}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn requests_are_the_same_byte_for_byte() {
    let (mut connection, mut caller) = connection(1);
    let (mut reads, mut writes) = tokio::io::split(&mut caller);
    let mut all = Vec::new();
    let all_of_it = async {
        tokio::join!(
            async { writes.write_all(REQUESTS.as_bytes()).await.unwrap() },
            async {
                let date = DATE.len() * 5;
                while all.len() < ANSWERS.len() + date {
                    reads.read_buf(&mut all).await.unwrap();
                }
            },
            serve(&mut connection),
        )
        .2
    };
    let served = timeout(Duration::from_mins(1), all_of_it).await;
    assert_eq!(served, Ok((5, "last")));
    assert_eq!(String::from_utf8(all).unwrap().replace(DATE, ""), ANSWERS);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_behind_its_last_answer_has_no_more_to_say() {
    for (begun, expected) in [("", "nothing"), ("\r\n", "nothing"), ("GE", "nothing")] {
        let (mut connection, mut caller) = connection(ROOM);
        write(&mut caller, &format!("{GET}{begun}")).await;
        caller.shutdown().await.unwrap();
        let served = serve(&mut connection).await;
        // It is gone already while it is answered, if nothing is left to be read before its end.
        let expected = if begun.is_empty() {
            (1, "nothing")
        } else {
            (1, expected)
        };
        assert_eq!(served, expected, "{begun:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_is_read_as_it_is_wished_and_no_further() {
    let (mut connection, mut caller) = connection(8);
    let head = "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 20\r\n\r\n";
    let ((), (_, mut body)) = tokio::join!(write(&mut caller, head), request(&mut connection));
    let (first, second, last) = ("01234567", "89abcdef", "ghij");
    write(&mut caller, first).await;
    // Nobody wishes anything.
    assert!(looked_after(&mut connection).await);
    assert!(connection.read.is_empty());
    assert_eq!(body.size_hint().exact(), Some(20));

    assert_eq!(part(&mut body), "nothing yet");
    assert!(looked_after(&mut connection).await);
    write(&mut caller, second).await;
    assert!(looked_after(&mut connection).await);
    // What was wished is given, and nothing more is read.
    assert!(connection.read.is_empty());
    assert_eq!(body.size_hint().exact(), Some(20));
    assert_eq!(part(&mut body), first);
    assert_eq!(body.size_hint().exact(), Some(12));
    assert!(looked_after(&mut connection).await);
    assert!(connection.read.is_empty());

    assert_eq!(part(&mut body), "nothing yet");
    assert!(looked_after(&mut connection).await);
    assert_eq!(part(&mut body), second);
    write(&mut caller, last).await;
    assert_eq!(part(&mut body), "nothing yet");
    assert!(looked_after(&mut connection).await);
    assert!(matches!(connection.receiving, Receiving::Nothing));
    assert_eq!(part(&mut body), last);
    assert!(body.is_end_stream());
}

#[tokio::test(start_paused = true)]
async fn of_a_body_and_a_request_behind_it_each_has_its_own_bytes() {
    let (mut connection, mut caller) = connection(ROOM);
    write(
        &mut caller,
        "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 20\r\n\r\n01234",
    )
    .await;
    let (head, mut body) = request(&mut connection).await;
    let rest = "GET /x HTTP/1.1";
    write(
        &mut caller,
        &format!("{rest}GET /b HTTP/1.1\r\nhost: h\r\n\r\n"),
    )
    .await;
    let mut read = String::new();
    while !body.is_end_stream() {
        let part = part(&mut body);
        if part == "nothing yet" {
            assert!(looked_after(&mut connection).await);
        } else {
            read.push_str(&part);
        }
    }
    assert_eq!(read, format!("01234{rest}"));
    let kept = connection.answer(answer_of(""), head.terms, NOW).await;
    assert!(matches!(kept, Ok(true)));
    assert_eq!(request(&mut connection).await.0.request.uri(), "/b");
}

/// Polls of an answer are counted: one that is polled for nothing, again and again, would never end.
#[tokio::test(start_paused = true)]
async fn an_answer_is_polled_when_there_is_something_new() {
    let (mut connection, mut caller) = connection(ROOM);
    let chunked = "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
    write(&mut caller, chunked).await;
    let (_, mut body) = request(&mut connection).await;
    let mut polls = 0;
    let mut answer = pin!(poll_fn(|cx| {
        polls += 1;
        // It asks once, and never looks again.
        if polls == 1 {
            assert!(Pin::new(&mut body).poll_frame(cx).is_pending());
        }
        assert!(polls < 100);
        Poll::<()>::Pending
    }));
    assert!(now(connection.wait_for(answer.as_mut())).await.is_none());
    write(&mut caller, "1\r\na\r\n1\r\nb\r\n").await;
    assert!(now(connection.wait_for(answer.as_mut())).await.is_none());
    write(&mut caller, "0\r\n\r\n").await;
    assert!(now(connection.wait_for(answer.as_mut())).await.is_none());
    assert!(polls <= 10, "{polls}");
}

const EXPECTING: &str = "POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\n";
const OLD: &str = "POST / HTTP/1.0\r\nexpect: 100-continue\r\n";
const ASKED_FOR: &str = "HTTP/1.1 100 Continue\r\n\r\n";

#[rstest]
#[case::counted(EXPECTING, "content-length: 2\r\n\r\n", ASKED_FOR)]
#[case::chunked(EXPECTING, "transfer-encoding: chunked\r\n\r\n", ASKED_FOR)]
#[case::there(EXPECTING, "content-length: 2\r\n\r\nab", "")]
#[case::chunks_that_are_there(
    EXPECTING,
    "transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    ""
)]
#[case::begun(EXPECTING, "transfer-encoding: chunked\r\n\r\n2", "")]
#[case::none(EXPECTING, "\r\n", "")]
#[case::empty(EXPECTING, "content-length: 0\r\n\r\n", "")]
#[case::not_expected("POST / HTTP/1.1\r\nhost: h\r\n", "content-length: 2\r\n\r\n", "")]
#[case::old(OLD, "content-length: 2\r\n\r\n", "")]
#[tokio::test(start_paused = true)]
async fn a_body_that_is_kept_back_is_asked_for_once(
    #[case] head: &str,
    #[case] rest: &str,
    #[case] expected: &str,
) {
    let (mut connection, mut caller) = connection(ROOM);
    write(&mut caller, &format!("{head}{rest}")).await;
    let (_, mut body) = request(&mut connection).await;
    assert!(looked_after(&mut connection).await);
    assert_eq!(said(&mut caller).await, "");
    let _ = part(&mut body);
    assert!(looked_after(&mut connection).await);
    assert_eq!(said(&mut caller).await, expected);
    let _ = part(&mut body);
    assert!(looked_after(&mut connection).await);
    assert_eq!(said(&mut caller).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_was_asked_for_is_read() {
    let (mut connection, mut caller) = connection(ROOM);
    write(
        &mut caller,
        &format!("{EXPECTING}content-length: 2\r\n\r\n"),
    )
    .await;
    let (served, ()) = tokio::join!(serve(&mut connection), async {
        assert_eq!(said(&mut caller).await, ASKED_FOR);
        write(&mut caller, "ab").await;
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nPOST /ab{}";
        assert_eq!(said(&mut caller).await, answer);
        caller.shutdown().await.unwrap();
    });
    assert_eq!(served, (1, "nothing"));
}

#[tokio::test(start_paused = true)]
async fn behind_the_beginning_of_an_answer_no_body_is_asked_for() {
    let (mut connection, mut caller) = connection(ROOM);
    write(
        &mut caller,
        &format!("{EXPECTING}content-length: 2\r\n\r\n"),
    )
    .await;
    let (head, mut body) = request(&mut connection).await;
    assert_eq!(part(&mut body), "nothing yet");
    let mut answering = pin!(connection.answer(parts(&["a"]), head.terms, NOW));
    assert!(now(answering.as_mut()).await.is_none());
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n";
    assert_eq!(said(&mut caller).await, answer);
    // Whoever sends it all the same is read.
    write(&mut caller, "ab").await;
    assert!(now(answering.as_mut()).await.is_none());
    assert_eq!(part(&mut body), "ab");
    assert_eq!(said(&mut caller).await, "");
}

#[tokio::test(start_paused = true)]
async fn what_asks_for_a_body_is_written_whole_before_an_answer() {
    let (mut connection, mut caller) = connection(100);
    let head = format!("{EXPECTING}content-length: 2\r\n\r\n");
    write(&mut caller, &head).await;
    // So much of the room for what we say is taken.
    connection.io.write_all(&[b'x'; 90]).await.unwrap();
    let (head, mut body) = request(&mut connection).await;
    assert_eq!(part(&mut body), "nothing yet");
    assert!(looked_after(&mut connection).await);
    let mut begins = [0; 100];
    caller.read_exact(&mut begins).await.unwrap();
    let (begun, rest) = ASKED_FOR.split_at(10);
    assert_eq!(&begins[90..], begun.as_bytes());
    drop(body);
    let answer = answer_of("a");
    let answer = tokio::join!(
        connection.answer(answer, head.terms, NOW),
        said(&mut caller)
    );
    assert!(matches!(answer.0, Ok(false)));
    let expected = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\na";
    assert_eq!(answer.1, format!("{rest}{expected}"));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_refused_comes_behind_the_requests_before_it() {
    let (mut connection, mut caller) = connection(ROOM);
    write(
        &mut caller,
        &format!("{GET}{GET}GET  / HTTP/1.1\r\n\r\n{GET}"),
    )
    .await;
    for _ in 0..2 {
        let (head, _) = request(&mut connection).await;
        let kept = connection.answer(answer_of(""), head.terms, NOW).await;
        assert!(matches!(kept, Ok(true)));
    }
    for _ in 0..2 {
        let next = name(&next(&mut connection).await);
        assert_eq!(next, format!("refused: {}", FramingError::RequestLine));
    }
    let refused = connection.answer(answer_of(""), Terms::REFUSED, NOW).await;
    assert!(matches!(refused, Ok(false)));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_no_uri_is_refused() {
    let (mut connection, mut caller) = connection(ROOM);
    write(&mut caller, "GET http:// HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let next = name(&next(&mut connection).await);
    assert_eq!(next, format!("refused: {}", FramingError::Target));
}

#[rstest]
#[case::size("5\r\nhello\r\nx", "hello")]
#[case::end("5\r\nhello!", "hello")]
#[case::extension("5\r\nhello\r\n1;\x01\r\na", "hello")]
#[case::line_feed("5\r\nhello\r\n1\n", "hello")]
#[case::trailer("5\r\nhello\r\n0\r\nhost: x\r\n\r\n", "hello")]
#[case::at_once("x", "")]
#[tokio::test(start_paused = true)]
async fn chunks_that_are_refused_break_off_behind_the_good_ones(
    #[case] chunks: &str,
    #[case] good: &str,
) {
    for cut in 0..=chunks.len() {
        let (mut connection, mut caller) = connection(ROOM);
        let head = "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
        let (begun, rest) = chunks.split_at(cut);
        write(&mut caller, &format!("{head}{begun}")).await;
        let (head, mut body) = request(&mut connection).await;
        let mut read = String::new();
        let mut collecting = pin!(async {
            loop {
                match body.frame().await {
                    Some(Ok(frame)) => {
                        read.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
                    }
                    other => return other,
                }
            }
        });
        let early = now(connection.wait_for(collecting.as_mut())).await;
        write(&mut caller, &format!("{rest}{GET}")).await;
        let ended = match early {
            Some(ended) => ended,
            None => connection.wait_for(collecting).await,
        };
        let ended = ended.unwrap_or_else(|Gone| panic!("gone"));
        assert!(matches!(ended, Some(Err(BodyError::Malformed(_)))), "{cut}");
        assert_eq!(read, good, "{cut}");
        // Nobody knows where a next request would begin.
        let kept = connection.answer(answer_of(""), head.terms, NOW).await;
        assert!(matches!(kept, Ok(false)));
        assert!(!connection.is_read().await);
        assert!(
            said(&mut caller)
                .await
                .contains("\r\nconnection: close\r\n")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_while_its_answer_is_awaited_is_missed() {
    // Some send an empty line behind a body (RFC 9112, 2.2).
    for behind in ["", "\r\n"] {
        let (mut connection, mut caller) = connection(ROOM);
        write(&mut caller, &format!("{GET}{behind}")).await;
        let _request = request(&mut connection).await;
        assert!(looked_after(&mut connection).await);
        drop(caller);
        assert!(!looked_after(&mut connection).await, "{behind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_behind_a_line_end_in_pieces_is_missed_at_once() {
    let (mut connection, mut caller) = connection(ROOM);
    write(&mut caller, GET).await;
    let _request = request(&mut connection).await;
    let going = async {
        for piece in ["\r", "\n"] {
            write(&mut caller, piece).await;
            assert!(now(pending::<()>()).await.is_none());
        }
        drop(caller);
    };
    let answer = pin!(pending::<()>());
    let waiting = timeout(Duration::from_secs(1), connection.wait_for(answer));
    let waited = tokio::join!(biased; waiting, going).0;
    assert!(matches!(waited, Ok(Err(Gone))));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_while_its_answer_comes_is_missed() {
    let (mut connection, mut caller) = connection(ROOM);
    write(&mut caller, GET).await;
    let (head, _) = request(&mut connection).await;
    let mut answering = pin!(connection.answer(parts(&["a"]), head.terms, NOW));
    assert!(now(answering.as_mut()).await.is_none());
    assert!(said(&mut caller).await.ends_with("1\r\na\r\n"));
    drop(caller);
    assert!(matches!(now(answering).await, Some(Err(Gone))));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_while_it_takes_nothing_is_missed() {
    for closes in [false, true] {
        let (mut connection, mut caller) = connection(40);
        write(&mut caller, GET).await;
        let (head, _) = request(&mut connection).await;
        let mut answering = pin!(connection.answer(answer_of("abc"), head.terms, NOW));
        assert!(now(answering.as_mut()).await.is_none());
        // It takes no more of the answer, and either is gone or says that it will say no more.
        let _caller = if closes {
            drop(caller);
            None
        } else {
            caller.shutdown().await.unwrap();
            Some(caller)
        };
        assert!(matches!(now(answering).await, Some(Err(Gone))), "{closes}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_within_its_body_breaks_it_off() {
    let (mut connection, mut caller) = connection(ROOM);
    write(
        &mut caller,
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nab",
    )
    .await;
    let (_, body) = request(&mut connection).await;
    drop(caller);
    let collected = connection.wait_for(pin!(body.collect())).await;
    let collected = collected.unwrap_or_else(|Gone| panic!("gone"));
    assert!(matches!(collected, Err(BodyError::Incomplete)));
    assert!(!connection.is_read().await);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_is_silent_within_its_body_breaks_it_off() {
    let (caller, ours) = duplex(ROOM);
    let (mut caller, (mut connection, load)) = (caller, over(ours));
    write(
        &mut caller,
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nab",
    )
    .await;
    let (_, body) = request(&mut connection).await;
    let (_busy, begun) = (load.begin(), Instant::now());
    let collected = connection.wait_for(pin!(body.collect())).await;
    let collected = collected.unwrap_or_else(|Gone| panic!("gone"));
    let Err(BodyError::Io(error)) = collected else {
        panic!("it came to its end");
    };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    let limit = LimitsConfig::default().stream_idle_timeout;
    assert_eq!(begun.elapsed().as_secs(), limit.as_secs());
}

const COUNTED: &str = "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\n";
const CHUNKED: &str = "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";

/// What came with the head, and what behind it before the answer; whether another request is served behind a body that nobody
/// reads.
#[rstest]
#[case::whole(COUNTED, "123456789", "", true)]
#[case::in_two(COUNTED, "1234", "56789", true)]
#[case::all_behind(COUNTED, "", "123456789", true)]
#[case::not_all(COUNTED, "1234", "5678", false)]
#[case::nothing(COUNTED, "", "", false)]
#[case::chunks(CHUNKED, "1\r\na\r\n1\r\nb\r\n0\r\n\r\n", "", true)]
#[case::chunks_in_two(CHUNKED, "1\r\na\r\n1\r", "\nb\r\n0\r\nx: y\r\n\r\n", true)]
#[case::chunks_behind(CHUNKED, "", "1\r\na\r\n0\r\n\r\n", true)]
#[case::no_last_chunk(CHUNKED, "1\r\na\r\n", "1\r\nb\r\n", false)]
#[case::no_end(CHUNKED, "1\r\na\r\n0\r\n", "\r", false)]
#[case::no_chunks(CHUNKED, "", "", false)]
#[case::bad_chunks(CHUNKED, "1\r\na\r\nx\r\n", "", false)]
#[tokio::test(start_paused = true)]
async fn a_body_that_nobody_reads_is_passed_over_if_it_is_there(
    #[case] head: &str,
    #[case] with_head: &str,
    #[case] behind: &str,
    #[case] is_kept: bool,
    #[values(false, true)] is_looked_after: bool,
) {
    let (mut connection, mut caller) = connection(ROOM);
    write(&mut caller, &format!("{head}{with_head}")).await;
    let (head, body) = request(&mut connection).await;
    let next = if is_kept {
        "GET /b HTTP/1.1\r\nhost: h\r\n\r\n"
    } else {
        ""
    };
    write(&mut caller, &format!("{behind}{next}")).await;
    drop(body);
    if is_looked_after {
        assert!(looked_after(&mut connection).await);
    }
    let kept = connection.answer(answer_of(""), head.terms, NOW).await;
    assert_eq!(kept.ok(), Some(is_kept));
    assert_eq!(now(connection.is_read()).await, Some(is_kept));
    let close = if is_kept { "" } else { "connection: close\r\n" };
    let expected = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{close}\r\n");
    assert_eq!(said(&mut caller).await, expected);
    if is_kept {
        assert_eq!(request(&mut connection).await.0.request.uri(), "/b");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_let_go_while_it_is_answered_ends_the_connection_behind_the_answer() {
    let (mut connection, mut caller) = connection(ROOM);
    write(&mut caller, COUNTED).await;
    let (head, mut body) = request(&mut connection).await;
    assert_eq!(part(&mut body), "nothing yet");
    let kept = connection.answer(answer_of("a"), head.terms, NOW).await;
    assert!(matches!(kept, Ok(true)));
    let expected = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na";
    assert_eq!(said(&mut caller).await, expected);
    drop(body);
    assert_eq!(now(connection.is_read()).await, Some(false));
}

/// The rest of a request may be read by another task, for so long, behind its answer.
#[tokio::test(start_paused = true)]
async fn a_connection_whose_body_is_let_go_by_another_task_waits_for_nothing() {
    let (mut connection, mut caller) = connection(ROOM);
    write(&mut caller, COUNTED).await;
    let (head, mut body) = request(&mut connection).await;
    assert_eq!(part(&mut body), "nothing yet");
    let kept = connection.answer(answer_of("a"), head.terms, NOW).await;
    assert!(matches!(kept, Ok(true)));
    let letting_go = async {
        // By now the connection waits for the caller.
        assert!(now(pending::<()>()).await.is_none());
        drop(body);
        Instant::now()
    };
    let (is_read, let_go) = tokio::join!(biased; connection.is_read(), letting_go);
    assert!(!is_read);
    assert_eq!(let_go.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_read_behind_its_answer_is_followed_by_the_next_request() {
    let (mut connection, mut caller) = connection(ROOM);
    write(&mut caller, COUNTED).await;
    let (head, mut body) = request(&mut connection).await;
    assert_eq!(part(&mut body), "nothing yet");
    let kept = connection.answer(answer_of("a"), head.terms, NOW).await;
    assert!(matches!(kept, Ok(true)));
    let mut reading = Box::pin(connection.is_read());
    write(&mut caller, "1234").await;
    assert_eq!(now(reading.as_mut()).await, None);
    assert_eq!(part(&mut body), "1234");
    write(&mut caller, &format!("56789{GET}")).await;
    assert_eq!(now(reading.as_mut()).await, None);
    assert_eq!(part(&mut body), "nothing yet");
    assert_eq!(now(reading.as_mut()).await, Some(true));
    drop(reading);
    assert_eq!(part(&mut body), "56789");
    assert_eq!(name(&next(&mut connection).await), "/");
}

/// Under TLS, what is written waits to be sent while the caller takes nothing.
#[tokio::test(start_paused = true)]
async fn a_body_is_read_though_the_caller_takes_nothing_of_its_answer() {
    let (mut caller, ours) = duplex(64);
    let (mut connection, _load) = over(BufStream::new(ours));
    let (head, mut body) = tokio::join!(write(&mut caller, COUNTED), request(&mut connection)).1;
    let mut answering = pin!(connection.answer(answer_of(vec![b'a'; 100]), head.terms, NOW));
    assert!(now(answering.as_mut()).await.is_none());
    write(&mut caller, "123456789").await;
    assert_eq!(part(&mut body), "nothing yet");
    assert!(now(answering.as_mut()).await.is_none());
    assert_eq!(part(&mut body), "123456789");
    let (kept, answer) = tokio::join!(answering, said(&mut caller));
    assert!(matches!(kept, Ok(true)));
    assert!(answer.ends_with("aaa"));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_whole_is_refused_in_time() {
    for begun in ["P", "PRI * HTTP", "GET / HTTP/1.1\r\nhost", "\r\nG"] {
        let (mut connection, mut caller) = connection(ROOM);
        write(&mut caller, begun).await;
        let start = Instant::now();
        let next = name(&next(&mut connection).await);
        assert_eq!(next, format!("refused: {}", FramingError::HeadTooSlow));
        let limit = LimitsConfig::default().head_timeout;
        assert_eq!(start.elapsed().as_secs(), limit.as_secs());
        let told = connection.answer(answer_of(""), Terms::REFUSED, NOW).await;
        assert!(matches!(told, Ok(false)));
        assert!(said(&mut caller).await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_says_nothing_is_told_nothing() {
    for begun in ["", "\r", "\r\n"] {
        let (mut connection, mut caller) = connection(ROOM);
        write(&mut caller, begun).await;
        assert_eq!(name(&next(&mut connection).await), "gone");
    }
}

#[tokio::test(start_paused = true)]
async fn when_leaving_only_what_has_begun_is_served() {
    for (begun, rest, expected) in [
        ("", GET, "nothing"),
        ("\r\n", GET, "nothing"),
        ("\r", "\n", "nothing"),
        ("G", GET_REST, "/"),
        ("\r\nG", GET_REST, "/"),
        (GET, "", "/"),
        ("GET  ", "", "refused: the request line is not valid"),
    ] {
        let (mut connection, mut caller) = connection(ROOM);
        write(&mut caller, &format!("{GET}{begun}")).await;
        let (head, _) = request(&mut connection).await;
        let kept = connection.answer(answer_of(""), head.terms, NOW).await;
        assert!(matches!(kept, Ok(true)));
        let (next, ()) = tokio::join!(next_when_leaving(&mut connection), async {
            // We hear of what has begun before the rest comes.
            let _ = said(&mut caller).await;
            write(&mut caller, rest).await;
        });
        assert_eq!(name(&next), expected, "{begun:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_is_idle_is_left_when_leaving_begins() {
    let (mut connection, _caller) = connection(ROOM);
    let is_leaving = std::cell::Cell::new(false);
    let mut next = pin!(poll_fn(|cx| connection.poll_next(is_leaving.get(), cx)));
    assert!(now(next.as_mut()).await.is_none());
    is_leaving.set(true);
    assert_eq!(
        now(next).await.map(|next| name(&next)).as_deref(),
        Some("nothing")
    );
}

/// An answer that is not as long as it says, or breaks off, in whatever part.
#[rstest]
#[case::short("3", &[Ok("ab")])]
#[case::nothing("3", &[])]
#[case::long("3", &[Ok("ab"), Ok("cd")])]
#[case::broken("3", &[Ok("ab"), Err("gone")])]
#[case::broken_chunks("", &[Ok("ab"), Err("gone")])]
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_whole_is_not_taken_for_whole(
    #[case] length: &str,
    #[case] steps: &[Result<&'static str, &'static str>],
) {
    let (mut connection, mut caller) = connection(ROOM);
    write(&mut caller, GET).await;
    let (head, _) = request(&mut connection).await;
    let steps: Vec<_> = steps.iter().map(|step| step.map(data)).collect();
    let mut response = Response::new(StreamBody::new(stream::iter(steps)));
    if !length.is_empty() {
        let headers = response.headers_mut();
        headers.insert(http::header::CONTENT_LENGTH, length.parse().unwrap());
    }
    let answered = connection.answer(response, head.terms, NOW).await;
    assert!(matches!(answered, Err(Gone)));
    drop(connection);
    let said = said(&mut caller).await;
    assert!(
        !said.ends_with("abc") && !said.ends_with("0\r\n\r\n"),
        "{said}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_comes_as_it_is_there() {
    let (mut connection, mut caller) = connection(ROOM);
    write(&mut caller, GET).await;
    let (head, _) = request(&mut connection).await;
    let (give, parts) = tokio::sync::mpsc::channel::<Frame<Bytes>>(1);
    let parts = stream::unfold(parts, async |mut parts| {
        let next = parts.recv().await?;
        Some((Ok::<_, Infallible>(next), parts))
    });
    let response = Response::new(StreamBody::new(Box::pin(parts)));
    let mut answering = Box::pin(connection.answer(response, head.terms, NOW));
    assert!(now(answering.as_mut()).await.is_none());
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(said(&mut caller).await, head);
    for _ in 0..2 {
        give.send(data("abc")).await.unwrap();
        assert!(now(answering.as_mut()).await.is_none());
        assert_eq!(said(&mut caller).await, "3\r\nabc\r\n");
    }
    // What comes meanwhile is the next request.
    write(&mut caller, GET).await;
    assert!(now(answering.as_mut()).await.is_none());
    drop(give);
    assert!(matches!(now(answering.as_mut()).await, Some(Ok(true))));
    drop(answering);
    assert_eq!(said(&mut caller).await, "0\r\n\r\n");
    assert_eq!(name(&next(&mut connection).await), "/");
}

#[tokio::test(start_paused = true)]
async fn a_large_answer_is_written_whatever_room_there_is() {
    let text: Vec<u8> = (b'a'..=b'z').cycle().take(200_000).collect();
    for room in [7, 1_000, ROOM] {
        let (mut connection, mut caller) = connection(room);
        let (head, _) = tokio::join!(request(&mut connection), write(&mut caller, GET)).0;
        let answer = answer_of(text.clone());
        let (kept, said) = tokio::join!(
            connection.answer(answer, head.terms, NOW),
            said(&mut caller)
        );
        assert!(matches!(kept, Ok(true)));
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n";
        assert!(said.strip_prefix(head).unwrap().as_bytes() == text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_at_rest_takes_little_memory() {
    let (mut connection, mut caller) = connection(1024 * 1024);
    let head = format!(
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n",
        600_000
    );
    write(&mut caller, &format!("{head}{}", "x".repeat(600_000))).await;
    let (head, body) = request(&mut connection).await;
    let read = connection.wait_for(pin!(body.collect())).await;
    drop(read);
    let parts = stream::iter(
        (0..50).map(|_| Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b'a'; 4_000])))),
    );
    let answer = Response::new(StreamBody::new(parts));
    let kept = connection.answer(answer, head.terms, NOW).await;
    assert!(matches!(kept, Ok(true)));
    assert!(connection.out.capacity() > MOST_ROOM);
    connection.rest();
    assert!(connection.out.capacity() <= MOST_ROOM);
    assert!(connection.read.capacity() <= 2 * 8 * 1024);
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// What is there to be read behind a hand-over.
async fn read_on(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(Ok(1..)) = now(stream.read_buf(&mut all)).await {}
    all
}

#[tokio::test(start_paused = true)]
async fn http2_has_all_that_was_read() {
    // A frame's head follows that is not whole yet.
    let all = [PREFACE, b"\0\0\x02\x06\0\0"].concat();
    let rest = b"\0\0\0ab";
    for cut in 0..=all.len() {
        let (mut connection, mut caller) = connection(ROOM);
        caller.write_all(&all[..cut]).await.unwrap();
        let early = now(next(&mut connection)).await;
        caller.write_all(&all[cut..]).await.unwrap();
        let begins = match early {
            Some(begins) => begins,
            None => next(&mut connection).await,
        };
        assert_eq!(name(&begins), "HTTP/2", "{cut}");
        let mut http2 = connection.into_http2();
        assert_eq!(read_on(&mut http2).await, PREFACE, "{cut}");
        caller.write_all(rest).await.unwrap();
        let expected = [&all[PREFACE.len()..], rest].concat();
        assert_eq!(read_on(&mut http2).await, expected, "{cut}");
    }
}

#[tokio::test(start_paused = true)]
async fn http2_with_too_many_frames_from_the_first_is_http2_all_the_same() {
    let (mut connection, mut caller) = connection(ROOM);
    let resets = [0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8].repeat(600);
    caller
        .write_all(&[PREFACE, &resets].concat())
        .await
        .unwrap();
    assert_eq!(name(&next(&mut connection).await), "HTTP/2");
    let read = read_on(connection.into_http2()).await;
    let last = too_many(LIMITS.bytes);
    let good = read.strip_suffix(&last[..]).unwrap();
    let good = good.strip_prefix(PREFACE).unwrap();
    assert!(resets.starts_with(good) && good.len() % 13 == 0 && good.len() < resets.len());
}

#[tokio::test(start_paused = true)]
async fn another_protocol_has_what_came_behind_the_head_that_asked_for_it() {
    let (mut connection, mut caller) = connection(ROOM);
    write(&mut caller, GET).await;
    let (head, _) = request(&mut connection).await;
    let mut answer = Response::new(Empty::<Bytes>::new());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let kept = connection.answer(answer, head.terms, NOW).await;
    assert!(matches!(kept, Ok(true)));
    write(&mut caller, "early").await;
    let mut rewound = connection.into_rewound().unwrap();
    write(&mut caller, " late").await;
    assert_eq!(read_on(&mut rewound).await, b"early late");
    rewound.write_all(b"back").await.unwrap();
    assert!(said(&mut caller).await.ends_with("\r\n\r\nback"));
}

#[tokio::test(start_paused = true)]
async fn what_was_read_before_the_protocol_changed_is_read_first() {
    for early in ["\r\n", "GET / HTTP/1.1\r\nhost: h\r\n\r\nGET"] {
        let (mut connection, mut caller) = connection(ROOM);
        write(&mut caller, &format!("{GET}{early}")).await;
        let _request = request(&mut connection).await;
        let mut rewound = connection.into_rewound().unwrap();
        write(&mut caller, " late").await;
        let mut byte = [0];
        rewound.read_exact(&mut byte).await.unwrap();
        assert_eq!(byte, early.as_bytes()[..1]);
        let rest = [&early.as_bytes()[1..], b" late"].concat();
        assert_eq!(read_on(rewound).await, rest);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_speaks_another_protocol_before_it_is_agreed_on_is_not_heard() {
    let (mut connection, mut caller) = connection(ROOM);
    write(&mut caller, GET).await;
    let _request = request(&mut connection).await;
    caller.write_all(b"\x81\x05hello").await.unwrap();
    assert!(looked_after(&mut connection).await);
    assert!(connection.into_rewound().is_none());
}

/// Nobody waits for what will never be told: whoever is not ready has said who wakes it.
#[tokio::test(start_paused = true)]
async fn a_body_that_another_task_wishes_later_is_read() {
    let (mut connection, mut caller) = connection(ROOM);
    write(&mut caller, COUNTED).await;
    let (head, mut body) = request(&mut connection).await;
    assert_eq!(head.request.method(), Method::POST);
    write(&mut caller, "123456789").await;
    let mut cx = Context::from_waker(Waker::noop());
    let answer = pin!(pending::<()>());
    let looking = pin!(connection.wait_for(answer));
    let wishing = async {
        // By now the connection waits, and nobody else.
        assert!(now(pending::<()>()).await.is_none());
        assert!(Pin::new(&mut body).poll_frame(&mut cx).is_pending());
        assert!(now(pending::<()>()).await.is_none());
        part(&mut body)
    };
    tokio::select! {
        biased;
        _ = looking => panic!("nothing is answered"),
        read = wishing => assert_eq!(read, "123456789"),
    }
}

/// What chunks are made of, and what looks like it.
fn chunked_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "0\r\n",
        "\r\n",
        "\r\n",
        "0\r\n\r\n",
        "5\r\nhello\r\n",
        "2;a=b\r\nab\r\n",
        "A\r\n0123456789\r\n",
        "1;\"\r\n",
        "x: y\r\n",
        "3",
        "00",
        ";",
        " ",
        "\t",
        "\r",
        "\n",
        "é",
    ]);
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat().into_bytes())
}

/// Where the end of the chunks that stand in `text` was read, if it was.
fn end_of_chunks(text: &[u8]) -> Option<usize> {
    let (mut chunks, mut read) = (Chunks::default(), BytesMut::from(text));
    loop {
        match chunks.next(&mut read) {
            Ok(Next::Data(_)) => {}
            Ok(Next::Trailers(_) | Next::End) => return Some(text.len() - read.len()),
            Ok(Next::More) | Err(_) => return None,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Nobody takes a byte of the next message for one of this, nor the other way round.
    #[test]
    fn a_body_in_chunks_ends_where_the_guard_says(text in chunked_bytes()) {
        let mut guard = Guard::http1(LIMITS);
        guard.scan(CHUNKED.as_bytes());
        // A byte that begins no head is refused as one where a head may begin, and there only.
        let end = (0..=text.len()).find(|at| {
            let mut guard = guard.clone();
            guard.scan(&text[..*at]);
            guard.scan(b"\0");
            matches!(guard.refused(), Some((_, Part::Head)))
        });
        let safe = guard.scan(&text);
        prop_assert_eq!(end_of_chunks(&text[..safe]), end);
    }
}
