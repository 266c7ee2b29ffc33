//! One connection of a caller, from the handshake to its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::call::answer;
use super::guard::Guard;
use super::guarded::GuardedIo;
use super::handshake::{Http, shake_hands};
use super::http1;
use super::io::CallerIo;
use super::worker::{NewConnection, Room};
use crate::clock::turn::in_turns;
use crate::http1::Tcp;
use crate::proxy::{ConnectionLoad, Peer};
use crate::upstream::CallerBody;

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
            let serving = over(ends, Tcp::from(stream), Http::Either, plain(peer), watcher);
            tokio::task::spawn_local(in_turns(serving));
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
                    in_turns(over(ends, stream, http, peer, watcher)).await;
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
    let guard = guard(&room, http);
    let http2 = match http {
        Http::Two => Some(GuardedIo::new(io, guard)),
        Http::Either | Http::One => Box::pin(http1::serve(&room, io, guard, peer, &load)).await,
    };
    if let Some(io) = http2 {
        over_http2(room, io, peer, load, watcher).await;
    }
    drop(ends);
}

async fn over_http2<S>(
    room: Rc<Room>,
    io: GuardedIo<S>,
    peer: Peer,
    load: ConnectionLoad,
    watcher: Watcher,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let protocol = room.http2();
    let service = service_fn(move |request: Request<Incoming>| {
        let room = Rc::clone(&room);
        let load = load.clone();
        async move {
            let (head, body) = request.into_parts();
            let mut answered = answer(
                &room,
                Box::new(head.into()),
                CallerBody::Http2(body),
                peer,
                &load,
            )
            .await;
            answered.unwritten.write(&mut answered.response.headers);
            // An `Err` would cut the connection; there is always something to say.
            Ok::<_, Infallible>(http::Response::from(answered.response))
        }
    });
    let serving = protocol.serve_connection(TokioIo::new(io), service);
    if let Err(error) = watcher.watch(serving).await {
        tracing::trace!(%error, "a caller's connection ended early");
    }
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
