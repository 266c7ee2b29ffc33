//! The fake upstream's thread: accepts, answers by script, keeps what it sees.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc as tokio_mpsc, watch};
use tokio::task::JoinSet;

use super::answer::{Payload, Reading};
use super::{Answer, AnswerEnd, BodyEnd, Order, Seen, Shared};
use crate::support::stream::{TestBody, empty, whole};
use crate::support::wire::{Wire, WireIo};

/// Serves until nobody gives orders any more.
pub(super) fn run(
    shared: &Arc<Shared>,
    orders: tokio_mpsc::UnboundedReceiver<Order>,
    tell_address: &mpsc::Sender<SocketAddr>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime starts").block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        tell_address.send(address).expect("the test waits for it");
        accept(shared, orders, listener, address).await;
    });
}

async fn accept(
    shared: &Arc<Shared>,
    mut orders: tokio_mpsc::UnboundedReceiver<Order>,
    listener: TcpListener,
    address: SocketAddr,
) {
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    let close_idle = watch::Sender::new(());
    loop {
        // Biased: an order counts from the moment it was given.
        let done = tokio::select! {
            biased;
            order = orders.recv() => match order {
                None => return,
                Some(Order::CloseIdle(done)) => {
                    close_idle.send_replace(());
                    done
                }
                Some(Order::Stop(done)) => {
                    listener = None;
                    connections.shutdown().await;
                    done
                }
                Some(Order::StartAgain(done)) => {
                    listener = Some(TcpListener::bind(address).await.expect("the port is still ours"));
                    done
                }
            },
            stream = accepted(listener.as_ref()) => {
                connections.spawn(serve(Arc::clone(shared), stream, close_idle.subscribe()));
                continue;
            }
        };
        let _whoever_gave_the_order_may_have_gone = done.send(());
    }
}

async fn accepted(listener: Option<&TcpListener>) -> TcpStream {
    match listener {
        Some(listener) => listener.accept().await.expect("loopback accepts").0,
        None => std::future::pending().await,
    }
}

async fn serve(shared: Arc<Shared>, stream: TcpStream, mut close_idle: watch::Receiver<()>) {
    let (io, wire) = WireIo::new(stream);
    let number = {
        let mut state = shared.state();
        state.wires.push(Arc::clone(&wire));
        state.wires.len() - 1
    };
    shared.news.send_replace(());
    let served = std::sync::atomic::AtomicUsize::new(0);
    let service = service_fn(|request| {
        let count = 1 + served.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let is_last = shared.state().requests_per_connection == Some(count);
        answer(
            Arc::clone(&shared),
            Arc::clone(&wire),
            number,
            is_last,
            request,
        )
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
    loop {
        tokio::select! {
            biased;
            // A connection that ends badly is what many tests are about.
            _ = connection.as_mut() => return,
            Ok(()) = close_idle.changed() => connection.as_mut().graceful_shutdown(),
        }
    }
}

async fn answer(
    shared: Arc<Shared>,
    wire: Arc<Wire>,
    connection: usize,
    is_last: bool,
    request: Request<Incoming>,
) -> Result<Response<ReportedBody>, io::Error> {
    let (parts, body) = request.into_parts();
    let seen = Arc::new(Seen::new(&parts, connection));
    let report = Report(Arc::clone(&seen));
    let mut answer = {
        let mut state = shared.state();
        state.seen.push(Arc::clone(&seen));
        let by_path = state
            .by_path
            .iter()
            .find(|(path, _)| path == parts.uri.path());
        let by_path = by_path.map(|(_, answer)| answer.clone());
        state
            .next
            .pop_front()
            .or(by_path)
            .unwrap_or_else(Answer::echo)
    };
    shared.news.send_replace(());
    if is_last {
        answer
            .headers
            .push((header::CONNECTION, HeaderValue::from_static("close")));
    }

    let mut unread = None;
    match answer.reading {
        Reading::First => read(&seen, body).await,
        Reading::Beside => {
            let seen = Arc::clone(&seen);
            TokioExecutor::new().execute(async move { read(&seen, body).await });
        }
        Reading::Never => unread = Some(body),
    }
    if !answer.aside.is_empty() {
        wire.write_aside(&answer.aside);
    }
    if let Some(gate) = &answer.gate {
        gate.passed().await;
    }
    let body = match answer.payload {
        Payload::Echo => whole(seen.to_json().to_string()),
        Payload::Whole(bytes) if bytes.is_empty() => empty(),
        Payload::Whole(bytes) => whole(bytes),
        Payload::Streamed(stream) => stream.body(),
        Payload::Silence => std::future::pending().await,
        Payload::HangUp { reset } => {
            if reset {
                wire.reset_when_closed();
            }
            return Err(io::Error::other("the script hangs up"));
        }
    };
    // Such a body is never asked for.
    let is_bodiless = parts.method == Method::HEAD || answer.status == StatusCode::NOT_MODIFIED;
    if is_bodiless || body.is_end_stream() {
        seen.end_answer(AnswerEnd::Complete);
    }
    let mut response = Response::new(ReportedBody {
        body,
        report,
        _unread: unread,
    });
    *response.status_mut() = answer.status;
    for (name, value) in answer.headers {
        response.headers_mut().append(name, value);
    }
    Ok(response)
}

/// Reads a request's body to its end, and keeps it.
async fn read(seen: &Seen, mut body: Incoming) {
    // Once the answer is out, hyper does not say the end before the next request; a counted body knows its own.
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else {
            break;
        };
        let Ok(frame) = frame else {
            return seen.end_body(BodyEnd::Broken);
        };
        match frame.into_data() {
            Ok(chunk) => seen.add_chunk(chunk),
            Err(other) => seen.set_trailers(other.trailers_ref().expect("a frame is one of two")),
        }
    }
    seen.end_body(BodyEnd::Complete);
}

/// An answer's body that says what became of it, and keeps an unread request body from being given up.
struct ReportedBody {
    body: TestBody,
    report: Report,
    _unread: Option<Incoming>,
}

/// Says that the answer was dropped, unless something was said before.
struct Report(Arc<Seen>);

impl Drop for Report {
    fn drop(&mut self) {
        self.0.end_answer(AnswerEnd::Dropped);
    }
}

impl Body for ReportedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() || matches!(&frame, Some(Ok(_)) if self.body.is_end_stream()) {
            self.report.0.end_answer(AnswerEnd::Complete);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
