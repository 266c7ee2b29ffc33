//! What a connection reads and writes, with its caller in memory.

mod answers;
mod bodies;
mod gone;
mod handed_on;
mod kept_back;
mod requests;
mod unread;

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::task::Waker;
use std::time::Duration;

use futures_util::stream;
use futures_util::{FutureExt, StreamExt};
use http::{HeaderName, Method, StatusCode};
use http_body::Body as AnyBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use proptest::prelude::*;
use rstest::rstest;
use tokio::io::{AsyncReadExt, BufStream, DuplexStream, duplex};
use tokio::time::{Instant, timeout};

use super::super::super::guard::{HeadLimits, too_many};
use super::super::super::io::Silences;
use super::*;
use crate::message::{Places, Response};
use crate::proxy::{ConnectionLoad, LimitsConfig};

const LIMITS: HeadLimits = HeadLimits {
    bytes: 32 * 1024,
    fields: 100,
};
const fn second() -> u64 {
    1_709_210_096
}
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
            (head, body)
        }
        other => panic!("no request but {}", name(&other)),
    }
}

fn name(begins: &Result<Begins, Gone>) -> String {
    match begins {
        Ok(Begins::Request(head)) => head.request.uri.to_string(),
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
    let mut count = 0;
    loop {
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
        let mut text = format!("{} {}", head.request.method, head.request.uri).into_bytes();
        text.extend_from_slice(&read.to_bytes());
        text.extend(format!("{trailers:?}").into_bytes());
        match connection.answer(answer_of(text), head.terms, second).await {
            Ok(true) if connection.is_read().await => connection.rest(),
            Ok(_) => return (count + 1, "last"),
            Err(Gone) => return (count, "gone"),
        }
        count += 1;
    }
}

const COUNTED: &str = "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\n";
const CHUNKED: &str = "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
