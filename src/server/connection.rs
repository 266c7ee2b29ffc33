//! One connection of a caller, from the handshake to its end.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::CONNECTION;
use http::{HeaderValue, Request, StatusCode, Version};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::guard::{FramingError, Guard};
use super::guarded::GuardedIo;
use super::handshake::{Http, shake_hands};
use super::io::CallerIo;
use super::worker::{NewConnection, Room};
use crate::proxy::{ConnectionLoad, Peer, Rejection, Tunnel};

/// Starts to serve one connection. Its place is taken already: a handshake counts as a connection does.
#[expect(
    clippy::disallowed_methods,
    reason = "the server is where tasks are made"
)]
pub(super) fn serve(room: &Rc<Room>, connection: NewConnection, graceful: &GracefulShutdown) {
    let NewConnection {
        stream,
        peer,
        place,
    } = connection;
    let ends = Ends {
        room: Rc::clone(room),
        _place: place,
        _watcher: graceful.watcher(),
    };
    room.shared.metrics.proxy.connection_opened();
    let Ok(stream) = TcpStream::from_std(stream) else {
        return;
    };
    let watcher = graceful.watcher();
    match room.shared.tls.clone() {
        None => {
            let serving = over(ends, stream, Http::Either, plain(peer), watcher);
            tokio::task::spawn_local(serving);
        }
        Some(tls) => {
            tokio::task::spawn_local(async move {
                let silences = ends.room.silences.get();
                let metrics = &ends.room.shared.metrics.tls;
                let shaken = shake_hands(stream, peer, &tls, silences, metrics);
                let shaken = ends.room.leaving.run_until_cancelled(shaken).await;
                if let Some(Some((stream, http))) = shaken {
                    let peer = Peer {
                        is_tls: true,
                        ..plain(peer)
                    };
                    over(ends, stream, http, peer, watcher).await;
                }
            });
        }
    }
}

const fn plain(peer: SocketAddr) -> Peer {
    Peer {
        address: peer.ip(),
        is_tls: false,
    }
}

/// Serves what is spoken on `stream`, until it ends.
async fn over<S>(ends: Ends, stream: S, http: Http, peer: Peer, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let room = Rc::clone(&ends.room);
    let load = ConnectionLoad::default();
    let io = CallerIo::new(stream, load.clone(), room.silences.get());
    let io = GuardedIo::new(io, guard(&room, http));
    let verdict = io.verdict();
    let judged = verdict.clone();
    let requests = Cell::new(0);
    let tunnel = Rc::new(RefCell::new(None));
    let begins = Rc::clone(&tunnel);
    let protocols = room.protocols();
    let service = service_fn(move |request: Request<Incoming>| {
        let room = Rc::clone(&room);
        let load = load.clone();
        let refused = verdict.of(requests.replace(requests.get() + 1));
        let begins = Rc::clone(&begins);
        async move {
            let answer = match refused {
                None => answer(&room, request, peer, &load, &begins).await,
                Some(error) => refuse(&room, error, &load),
            };
            // An `Err` would cut the connection; there is always something to say.
            Ok::<_, Infallible>(answer)
        }
    });
    let io = TokioIo::new(io);
    let served = match http {
        Http::Two => {
            let serving = protocols.http2.serve_connection(io, service).into_owned();
            watcher.watch(serving).await
        }
        Http::Either | Http::One => {
            let serving = protocols.either.serve_connection_with_upgrades(io, service);
            watcher.watch(serving.into_owned()).await
        }
    };
    if let Err(error) = served {
        tracing::trace!(%error, "a caller's connection ended early");
    }
    // A caller that spoke before it was answered, and then no HTTP, has no WebSocket.
    if let Some(tunnel) = tunnel.take().filter(|_| !judged.is_given()) {
        tunnel.run().await;
    }
    drop(ends);
}

fn guard(room: &Room, http: Http) -> Guard {
    let heads = room.heads.get();
    match http {
        Http::Either => Guard::new(heads),
        Http::One => Guard::http1(heads),
        Http::Two => Guard::http2(heads),
    }
}

/// Gives a connection's place back, however it ends.
struct Ends {
    room: Rc<Room>,
    _place: OwnedSemaphorePermit,
    /// Makes draining wait, for a WebSocket too, of which hyper knows nothing.
    _watcher: Watcher,
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.room.connections.fetch_sub(1, Ordering::Relaxed);
        self.room.shared.metrics.proxy.connection_closed();
    }
}

async fn answer(
    room: &Rc<Room>,
    request: Request<Incoming>,
    peer: Peer,
    load: &ConnectionLoad,
    begins: &RefCell<Option<Box<Tunnel>>>,
) -> http::Response<crate::proxy::ProxyBody> {
    let version = request.version();
    let proxy = Rc::clone(&room.proxy.borrow());
    let mut answer = proxy.handle(request, peer, load).await;
    if let Some(unread) = answer.unread {
        read_away(unread, room.drain.get());
    }
    let is_switching = answer.response.status() == StatusCode::SWITCHING_PROTOCOLS;
    begins.replace(answer.tunnel);
    if room.shared.draining.is_cancelled() && version <= Version::HTTP_11 && !is_switching {
        let close = HeaderValue::from_static("close");
        answer.response.headers_mut().insert(CONNECTION, close);
    }
    answer.response
}

/// Answers a head that was refused before hyper saw it.
fn refuse(
    room: &Rc<Room>,
    error: FramingError,
    load: &ConnectionLoad,
) -> http::Response<crate::proxy::ProxyBody> {
    let why = match error {
        FramingError::TargetTooLong => Rejection::TargetTooLong,
        FramingError::HeadTooLarge => Rejection::HeadTooLarge,
        FramingError::TooManyFields => Rejection::TooManyFields,
        FramingError::HeadTooSlow => Rejection::HeadTooSlow,
        error => Rejection::Malformed(error.to_string()),
    };
    room.proxy.borrow().refuse_head(why, load)
}

/// Reads the rest of a refused request, so that the connection can be used again; past the limit it is dropped, which
/// closes the connection.
#[expect(
    clippy::disallowed_methods,
    reason = "the server is where tasks are made"
)]
fn read_away(mut unread: Incoming, (most, limit): (usize, Duration)) {
    let mut left = most;
    // What has come by now is read at once; of a small body that is all.
    while let Some(next) = unread.frame().now_or_never() {
        if !is_read_on(next, &mut left) || unread.is_end_stream() {
            return;
        }
    }
    tokio::task::spawn_local(timeout(limit, async move {
        while is_read_on(unread.frame().await, &mut left) {}
    }));
}

/// Whether more is to be read behind that part, which is taken from what is `left`.
fn is_read_on(next: Option<Result<Frame<Bytes>, hyper::Error>>, left: &mut usize) -> bool {
    let Some(Ok(frame)) = next else { return false };
    let rest = left.checked_sub(frame.data_ref().map_or(0, Bytes::len));
    *left = rest.unwrap_or(0);
    rest.is_some()
}
