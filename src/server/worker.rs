//! The threads of the data listener: each its own runtime, its own upstream connections, its own hot keys. A call
//! stays on the thread that was given its connection; what is shared is read, not written.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpStream as StdTcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Request, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::guard::{FramingError, HeadLimits};
use super::guarded::GuardedIo;
use super::io::{CallerIo, Silences};
use super::plan::ServingPlan;
use crate::cache::KeyCache;
use crate::clock::Clock;
use crate::proxy::{ConnectionLoad, LimitsConfig, Proxy, Rejection, WorkerLoad};
use crate::telemetry::metrics::Metrics;
use crate::upstream::Upstreams;
use crate::usage::UsageRecorder;

/// What every worker shares with the rest of the process.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) keys: KeyCache,
    pub(super) usage: UsageRecorder,
    pub(super) metrics: Metrics,
    pub(super) clock: Clock,
    /// Set while answers should say that the connection will close.
    pub(super) draining: CancellationToken,
}

/// A connection on its way to a worker.
pub(super) struct NewConnection {
    pub(super) stream: StdTcpStream,
    pub(super) peer: SocketAddr,
    /// The connection's place among all; given back when it ends.
    pub(super) place: OwnedSemaphorePermit,
}

enum Message {
    Serve(NewConnection),
    Adopt(ServingPlan),
    Drain,
}

/// A worker, seen from outside.
pub(super) struct Worker {
    mailbox: mpsc::UnboundedSender<Message>,
    connections: Arc<AtomicUsize>,
    ended: CancellationToken,
}

impl Worker {
    /// Starts worker number `place` of `of`.
    ///
    /// # Errors
    ///
    /// When the system gives no thread or no event queue.
    pub(super) fn start(
        place: usize,
        of: usize,
        plan: ServingPlan,
        shared: Shared,
        seed: u64,
    ) -> io::Result<Self> {
        let (mailbox, messages) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let ended = CancellationToken::new();
        let end = ended.clone().drop_guard();
        let (begun, begins) = std::sync::mpsc::sync_channel(1);
        std::thread::Builder::new()
            .name(format!("keyward-call-{place}"))
            .spawn(move || {
                let _end = end;
                let mut builder = Builder::new_current_thread();
                let runtime = match builder.enable_all().build_local(LocalOptions::default()) {
                    Ok(runtime) => runtime,
                    Err(error) => return drop(begun.send(Err(error))),
                };
                let _ = begun.send(Ok(()));
                let share = plan.proxy.limits.requests.div_ceil(of);
                let load = WorkerLoad::new(share, shared.metrics.proxy.clone());
                let room = Room::new(&plan, shared, load, seed, count);
                runtime.block_on(serve(room, messages));
            })?;
        begins.recv().map_err(io::Error::other)??;
        Ok(Self {
            mailbox,
            connections,
            ended,
        })
    }

    /// How many connections it serves: the least burdened gets the next.
    pub(super) fn burden(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Gives it a connection.
    pub(super) fn serve(&self, connection: NewConnection) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        // A worker that is gone drops the message, and so closes the connection.
        let _ = self.mailbox.send(Message::Serve(connection));
    }

    /// Gives it new settings; requests in flight end under the old ones.
    pub(super) fn adopt(&self, plan: ServingPlan) {
        let _ = self.mailbox.send(Message::Adopt(plan));
    }

    /// Lets its requests finish and its connections end; [`Worker::ended`] tells when.
    pub(super) fn drain(&self) {
        let _ = self.mailbox.send(Message::Drain);
    }

    /// Waits until its thread has nothing left to do.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

/// Runs what hyper needs to run, on the worker's own thread.
#[derive(Debug, Clone, Copy)]
struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    #[expect(
        clippy::disallowed_methods,
        reason = "the server is where tasks are made"
    )]
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// One worker's own things.
struct Room {
    proxy: RefCell<Rc<Proxy>>,
    keys: Rc<crate::cache::WorkerFront>,
    shared: Shared,
    load: WorkerLoad,
    seed: Cell<u64>,
    silences: Cell<Silences>,
    heads: Cell<HeadLimits>,
    protocols: RefCell<Rc<auto::Builder<LocalExecutor>>>,
    connections: Arc<AtomicUsize>,
    drain: Cell<(usize, Duration)>,
}

impl Room {
    fn new(
        plan: &ServingPlan,
        shared: Shared,
        load: WorkerLoad,
        seed: u64,
        connections: Arc<AtomicUsize>,
    ) -> Self {
        let keys = Rc::new(shared.keys.front());
        let limits = &plan.proxy.limits;
        Self {
            proxy: RefCell::new(Rc::new(make_proxy(plan, &keys, &shared, &load, seed))),
            silences: Cell::new(limits.into()),
            heads: Cell::new(heads(limits)),
            protocols: RefCell::new(Rc::new(protocols(limits))),
            drain: Cell::new((limits.drain_bytes, limits.drain_timeout)),
            seed: Cell::new(seed),
            keys,
            shared,
            load,
            connections,
        }
    }

    fn adopt(&self, plan: &ServingPlan) {
        // Another seed, so that ids go on being new.
        self.seed.set(self.seed.get().wrapping_add(1));
        let proxy = make_proxy(plan, &self.keys, &self.shared, &self.load, self.seed.get());
        let limits = &plan.proxy.limits;
        self.proxy.replace(Rc::new(proxy));
        self.silences.set(limits.into());
        self.heads.set(heads(limits));
        self.protocols.replace(Rc::new(protocols(limits)));
        self.drain.set((limits.drain_bytes, limits.drain_timeout));
    }
}

/// The limits of heads, which hyper has as well: the guard's come first, because it has an answer.
fn heads(limits: &LimitsConfig) -> HeadLimits {
    HeadLimits {
        bytes: limits.head_bytes,
        fields: limits.head_fields,
    }
}

fn make_proxy(
    plan: &ServingPlan,
    keys: &Rc<crate::cache::WorkerFront>,
    shared: &Shared,
    load: &WorkerLoad,
    seed: u64,
) -> Proxy {
    let metrics = |name: &str| shared.metrics.upstream(name);
    Proxy::new(
        Arc::clone(&plan.proxy),
        Rc::clone(keys),
        shared.usage.clone(),
        Upstreams::new(&plan.upstreams, metrics, &LocalExecutor),
        load.clone(),
        shared.metrics.proxy.clone(),
        shared.clock.clone(),
        seed,
    )
}

/// hyper, with every limit of ours set.
fn protocols(limits: &LimitsConfig) -> auto::Builder<LocalExecutor> {
    let mut builder = auto::Builder::new(LocalExecutor);
    builder
        .http1()
        .timer(TokioTimer::new())
        // Silences are CallerIo's matter.
        .header_read_timeout(None)
        .half_close(false)
        .max_headers(limits.head_fields)
        .max_buf_size(limits.head_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.http2_streams)
        .initial_stream_window_size(limits.http2_stream_window_bytes)
        .initial_connection_window_size(limits.http2_connection_window_bytes)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .max_frame_size(16 * 1024)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(100)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

/// Takes messages until told to drain, then lets what runs end.
async fn serve(room: Room, mut messages: mpsc::UnboundedReceiver<Message>) {
    let room = Rc::new(room);
    let graceful = GracefulShutdown::new();
    while let Some(message) = messages.recv().await {
        match message {
            Message::Serve(connection) => {
                serve_connection(&room, connection, &graceful);
            }
            Message::Adopt(plan) => room.adopt(&plan),
            Message::Drain => break,
        }
    }
    // Connections that were on their way when draining began are served, too.
    while let Ok(message) = messages.try_recv() {
        if let Message::Serve(connection) = message {
            serve_connection(&room, connection, &graceful);
        }
    }
    graceful.shutdown().await;
}

/// Starts to serve one connection.
#[expect(
    clippy::disallowed_methods,
    reason = "the server is where tasks are made"
)]
fn serve_connection(room: &Rc<Room>, connection: NewConnection, graceful: &GracefulShutdown) {
    let NewConnection {
        stream,
        peer,
        place,
    } = connection;
    let ends = Ends {
        room: Rc::clone(room),
        _place: place,
    };
    room.shared.metrics.proxy.connection_opened();
    let Ok(stream) = TcpStream::from_std(stream) else {
        return;
    };
    let load = ConnectionLoad::default();
    let io = CallerIo::new(stream, load.clone(), room.silences.get());
    let io = GuardedIo::new(io, room.heads.get());
    let verdict = io.verdict();
    let requests = Cell::new(0);
    let service = {
        let room = Rc::clone(room);
        service_fn(move |request: Request<Incoming>| {
            let room = Rc::clone(&room);
            let load = load.clone();
            let refused = verdict.of(requests.replace(requests.get() + 1));
            async move {
                let answer = match refused {
                    None => answer(&room, request, peer, &load).await,
                    Some(error) => refuse(&room, error, &load),
                };
                // An `Err` would cut the connection; there is always something to say.
                Ok::<_, Infallible>(answer)
            }
        })
    };
    let protocols = Rc::clone(&room.protocols.borrow());
    let serving = protocols
        .serve_connection_with_upgrades(TokioIo::new(io), service)
        .into_owned();
    let serving = graceful.watch(serving);
    tokio::task::spawn_local(async move {
        if let Err(error) = serving.await {
            tracing::trace!(%error, "a caller's connection ended early");
        }
        drop(ends);
    });
}

/// Gives a connection's place back, however it ends.
struct Ends {
    room: Rc<Room>,
    _place: OwnedSemaphorePermit,
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
    peer: SocketAddr,
    load: &ConnectionLoad,
) -> http::Response<crate::proxy::ProxyBody> {
    let version = request.version();
    let proxy = Rc::clone(&room.proxy.borrow());
    let mut answer = proxy.handle(request, peer.ip(), load).await;
    if let Some(unread) = answer.unread {
        read_away(unread, room.drain.get());
    }
    if room.shared.draining.is_cancelled() && version <= Version::HTTP_11 {
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
    use http_body::Body;

    if unread.is_end_stream() {
        return;
    }
    tokio::task::spawn_local(timeout(limit, async move {
        let mut left = most;
        while let Some(Ok(frame)) = unread.frame().await {
            let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, bytes::Bytes::len)) else {
                return;
            };
            left = rest;
        }
    }));
}
