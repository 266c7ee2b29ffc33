//! Whatever bytes come, in whatever pieces: what is read of them is what hyper reads of those that the guard lets through.

use std::cell::RefCell;
use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::super::guard::HeadLimits;
use super::super::io::Silences;
use super::*;
use crate::message::Response;
use crate::proxy::LimitsConfig;

const LIMITS: HeadLimits = HeadLimits {
    bytes: 8 * 1024,
    fields: 20,
};

/// A request as it was read; no body where that did not come whole.
#[derive(Debug, PartialEq)]
struct Read {
    line: String,
    fields: Vec<(String, Vec<u8>)>,
    body: Option<(Vec<u8>, Option<HeaderMap>)>,
}

impl Read {
    async fn of<B: http_body::Body<Data = Bytes>>(request: Request<B>) -> Self {
        let (head, body) = request.into_parts();
        let body = body.collect().await.ok();
        Self {
            line: format!("{} {} {:?}", head.method, head.uri, head.version),
            fields: fields(&head.headers),
            body: body.map(|body| {
                let trailers = body.trailers().cloned();
                (body.to_bytes().to_vec(), trailers)
            }),
        }
    }
}

fn fields(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let fields = headers.iter();
    let fields = fields.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
    fields.collect()
}

fn answer_to(method: &Method) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    if method == Method::CONNECT {
        // As we do; granted, what follows would be no requests.
        response.status = StatusCode::METHOD_NOT_ALLOWED;
    }
    response
}

/// What we read of `bytes`, which come in pieces that end at `cuts`.
async fn we_read(bytes: &[u8], cuts: &[usize]) -> Vec<Read> {
    let (mut caller, ours) = duplex(64 * 1024);
    let load = ConnectionLoad::default();
    let io = CallerIo::new(ours, load, Silences::from(&LimitsConfig::default()));
    let mut connection = Connection::new(io, Guard::http1(LIMITS));
    let serving = async {
        let mut all = Vec::new();
        while let Ok(Begins::Request(head)) = poll_fn(|cx| connection.poll_next(false, cx)).await {
            let body = connection.body(head.length, head.terms);
            let mut terms = head.terms;
            let response = answer_to(&head.request.method);
            let read = pin!(Read::of(Request::from_parts((*head.request).into(), body)));
            let Ok(read) = connection.wait_for(read).await else {
                break;
            };
            terms.keeps_alive &= read.body.is_some();
            all.push(read);
            let answered = connection.answer(response, terms, || 0);
            if !matches!(answered.await, Ok(true)) || !connection.is_read().await {
                break;
            }
        }
        // What comes now nobody reads.
        drop(connection);
        all
    };
    let calling = async {
        let mut sent = 0;
        for end in cuts.iter().copied().chain([bytes.len()]) {
            if caller.write_all(&bytes[sent..end]).await.is_err() {
                return;
            }
            sent = end;
            tokio::task::yield_now().await;
        }
        // Whoever is gone would not be answered: half of the connection stays.
        let mut answers = Vec::new();
        let _ = tokio::time::timeout(
            LimitsConfig::default().idle_timeout * 2,
            caller.read_to_end(&mut answers),
        )
        .await;
    };
    tokio::join!(serving, calling).0
}

/// Whether a field has said all that it says once its head is read: such a one we leave out.
fn is_done_with((name, value): &(String, Vec<u8>)) -> bool {
    name == "connection" && matches!(value.as_slice(), b"close" | b"keep-alive")
}

/// What hyper reads of `bytes`.
async fn hyper_reads(bytes: &[u8]) -> Vec<Read> {
    let (mut caller, ours) = duplex(64 * 1024);
    let all = RefCell::new(Vec::new());
    let service = service_fn(async |request: Request<Incoming>| {
        let response = answer_to(request.method());
        let mut read = Read::of(request).await;
        read.fields.retain(|field| !is_done_with(field));
        all.borrow_mut().push(read);
        Ok::<_, Infallible>(http::Response::from(response))
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.half_close(true);
    let serving = builder.serve_connection(TokioIo::new(ours), service);
    let calling = async {
        let mut answers = Vec::new();
        // hyper may have heard enough.
        let _ = caller.write_all(bytes).await;
        let _ = caller.shutdown().await;
        let _ = caller.read_to_end(&mut answers).await;
    };
    let _ = tokio::join!(serving, calling);
    all.into_inner()
}

/// Messages, good ones and others, to be put behind one another.
const ROWS: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "\r\nGET /a?b=%20 HTTP/1.1\r\nhost:h\r\nAccept: \t */* \r\nX-Empty:\r\n\r\n",
    "HEAD * HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, x\r\n\r\n",
    "GET http://h:1/x HTTP/1.1\r\nHost: h:1\r\nTE: trailers\r\n\r\n",
    "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nConnection: Close\r\n\r\n",
    "GET / HTTP/1.1\r\nConnection: close\r\nHost: h\r\nX: y\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nConnection: x\r\nconnection: keep-alive\r\n\r\n",
    "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
    "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nX-Many: 1\r\nX-Many: 2\r\n\r\n",
    "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n00A;x=y\r\n0123456789\r\n0\r\n\r\n",
    "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\nTrailer: x\r\n\r\n1\r\n \r\n0\r\nX-T: v\r\n\r\n",
    "POST /p HTTP/1.0\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc",
    "POST /p HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
    "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n",
    "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
];

/// Rows behind one another, a few bytes of which are others.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = select(b"\r\n\t :;,-019afX.GP\x7f\xff".as_slice());
    let changes = prop::collection::vec((any::<Index>(), byte, 0..3_u8), 0..3);
    let rows = prop::collection::vec(select(ROWS), 1..5);
    (rows, changes).prop_map(|(rows, changes)| {
        let mut bytes = rows.concat().into_bytes();
        for (at, byte, what) in changes {
            let at = at.index(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        bytes
    })
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build();
    runtime.expect("a runtime starts").block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_read_is_what_hyper_reads_of_what_the_guard_lets_through(
        bytes in bytes(),
        cuts: Vec<Index>,
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let through = Guard::http1(LIMITS).scan(&bytes);
        let ours = run(we_read(&bytes, &cuts));
        let theirs = run(hyper_reads(&bytes[..through]));
        prop_assert_eq!(ours, theirs);
    }
}
