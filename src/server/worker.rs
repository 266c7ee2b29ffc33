//! The threads of the data listener: each its own runtime, its own upstream connections, its own hot keys. A call
//! stays on the thread that was given its connection; what is shared is read, not written.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpStream as StdTcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::TokioTimer;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::connection;
use super::group::Draining;
use super::guard::HeadLimits;
use super::io::Silences;
use super::plan::ServingPlan;
use crate::cache::KeyCache;
use crate::clock::Clock;
use crate::clock::turn::in_turns;
use crate::proxy::{AccessLog, LimitsConfig, OpenStreams, Proxy, RefusalLog, Shortage, WorkerLoad};
use crate::telemetry::access::AccessSink;
use crate::telemetry::count_alone;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::refusals::Refusals;
use crate::tls::ServerTls;
use crate::upstream::{Fleet, HeldBodies, Upstreams};
use crate::usage::UsageRecorder;

/// What every worker shares with the rest of the process.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) keys: KeyCache,
    pub(super) usage: UsageRecorder,
    pub(super) metrics: Metrics,
    /// Where refusals are written down for whoever watches.
    pub(super) refusals: Refusals,
    pub(super) clock: Clock,
    pub(super) held: HeldBodies,
    pub(super) fleet: Fleet,
    /// While memory is short, few calls are taken.
    pub(super) shortage: Shortage,
    /// Where the log of calls goes, if there is one.
    pub(super) access: Option<AccessSink>,
    /// What callers are met with; nothing where they are met in the open.
    pub(super) tls: Option<Arc<ServerTls>>,
    /// Set while answers should say that the connection will close.
    pub(super) draining: Draining,
}

/// A connection on its way to a worker.
pub(super) struct NewConnection {
    pub(super) stream: StdTcpStream,
    pub(super) peer: SocketAddr,
    /// The connection's place among all; given back when it ends.
    pub(super) place: OwnedSemaphorePermit,
}

/// So much longer than the settings say is an unused connection to an upstream open; it is not used again.
const SWEEP_EVERY: Duration = Duration::from_millis(500);

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
                count_alone();
                let share = plan.proxy.limits.requests.div_ceil(of);
                let metrics = shared.metrics.proxy.clone();
                let load = WorkerLoad::new(share, shared.shortage.clone(), metrics);
                let logs = Logs::of(&shared, of);
                let room = Room::new(&plan, shared, load, logs, seed, count);
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
pub(super) struct LocalExecutor;

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
        tokio::task::spawn_local(in_turns(future));
    }
}

/// One worker's own things.
pub(super) struct Room {
    pub(super) proxy: RefCell<Rc<Proxy>>,
    keys: Rc<crate::cache::WorkerFront>,
    pub(super) shared: Shared,
    load: WorkerLoad,
    open: OpenStreams,
    logs: Logs,
    seed: Cell<u64>,
    pub(super) silences: Cell<Silences>,
    pub(super) heads: Cell<HeadLimits>,
    http2: RefCell<http2::Builder<LocalExecutor>>,
    pub(super) connections: Arc<AtomicUsize>,
    /// Set when connections are to end: whoever has not shaken hands by then has nothing to lose.
    pub(super) leaving: CancellationToken,
    /// The same, for whoever asks at every request.
    pub(super) is_leaving: Cell<bool>,
    pub(super) drain: Cell<(usize, Duration)>,
}

/// What one worker tells of calls.
struct Logs {
    calls: Option<Rc<AccessLog>>,
    refusals: Rc<RefusalLog>,
}

impl Logs {
    /// Those of one of so many workers.
    fn of(shared: &Shared, workers: usize) -> Self {
        let calls = |sink: &AccessSink| {
            Rc::new(AccessLog::new(sink.lines(), workers, shared.clock.clone()))
        };
        Self {
            calls: shared.access.as_ref().map(calls),
            refusals: Rc::default(),
        }
    }
}

impl Room {
    fn new(
        plan: &ServingPlan,
        shared: Shared,
        load: WorkerLoad,
        logs: Logs,
        seed: u64,
        connections: Arc<AtomicUsize>,
    ) -> Self {
        let keys = Rc::new(shared.keys.front());
        let open = OpenStreams::default();
        let limits = &plan.proxy.limits;
        let proxy = make_proxy(plan, &keys, &shared, &load, &open, &logs, seed);
        Self {
            proxy: RefCell::new(Rc::new(proxy)),
            silences: Cell::new(limits.into()),
            heads: Cell::new(heads(limits)),
            http2: RefCell::new(http2(limits)),
            drain: Cell::new((limits.drain_bytes, limits.drain_timeout)),
            seed: Cell::new(seed),
            keys,
            shared,
            load,
            open,
            logs,
            connections,
            leaving: CancellationToken::new(),
            is_leaving: Cell::new(false),
        }
    }

    fn adopt(&self, plan: &ServingPlan) {
        // Another seed, so that ids go on being new.
        let seed = self.seed.get().wrapping_add(1);
        self.seed.set(seed);
        let Self {
            keys,
            shared,
            load,
            open,
            logs,
            ..
        } = self;
        let proxy = make_proxy(plan, keys, shared, load, open, logs, seed);
        let limits = &plan.proxy.limits;
        self.proxy.replace(Rc::new(proxy));
        self.silences.set(limits.into());
        self.heads.set(heads(limits));
        self.http2.replace(http2(limits));
        self.drain.set((limits.drain_bytes, limits.drain_timeout));
    }

    /// Ends the calls whose keys end, where the settings say so, for as long as it is polled.
    fn end_calls_with_their_keys(&self) -> impl Future<Output = ()> + use<> {
        let (keys, clock) = (Rc::clone(&self.keys), self.shared.clock.clone());
        let metrics = self.shared.metrics.proxy.clone();
        self.open.clone().end_with_their_keys(keys, clock, metrics)
    }

    /// Closes upstream connections that have been unused for too long, for as long as it is polled.
    async fn sweep(self: Rc<Self>) {
        let mut times = interval(SWEEP_EVERY);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            times.tick().await;
            self.proxy.borrow().sweep();
        }
    }

    /// hyper, set up for a connection of HTTP/2.
    pub(super) fn http2(&self) -> http2::Builder<LocalExecutor> {
        self.http2.borrow().clone()
    }
}

/// The limits of heads.
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
    open: &OpenStreams,
    logs: &Logs,
    seed: u64,
) -> Proxy {
    let metrics = |name: &str| shared.metrics.upstream(name);
    Proxy::new(
        Arc::clone(&plan.proxy),
        Rc::clone(keys),
        shared.usage.clone(),
        Upstreams::new(
            &plan.upstreams,
            &shared.fleet,
            metrics,
            &LocalExecutor,
            seed,
        ),
        shared.held.clone(),
        load.clone(),
        open.clone(),
        logs.calls.clone(),
        Rc::clone(&logs.refusals),
        shared.metrics.proxy.clone(),
        shared.refusals.tap(),
        shared.clock.clone(),
        seed,
    )
}

/// hyper, with every limit of ours set.
///
/// What is set here bounds what one connection can make us hold or do (SECURITY 4, P11): so many streams and so
/// large windows (settings); a list of fields no larger than a head may be over HTTP/1, in at most five CONTINUATION frames,
/// which is h2's own bound for lists so small; tables of 4 KiB each way, which is h2's default and its most; 20 streams that
/// were reset before we saw them, and 100 that we had to reset, past which h2 says `ENHANCE_YOUR_CALM`; a PING every 20 s,
/// to be answered in 10, so that a dead peer gives its place back. h2 bounds empty and tiny DATA frames itself; all other
/// frames that bring nothing the guard counts.
fn http2(limits: &LimitsConfig) -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
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
#[expect(
    clippy::disallowed_methods,
    reason = "the server is where tasks are made"
)]
async fn serve(room: Room, mut messages: mpsc::UnboundedReceiver<Message>) {
    let room = Rc::new(room);
    tokio::task::spawn_local(room.end_calls_with_their_keys());
    tokio::task::spawn_local(Rc::clone(&room).sweep());
    tokio::task::spawn_local(Rc::clone(&room.logs.refusals).attend());
    if let Some(calls) = room.logs.calls.clone() {
        tokio::task::spawn_local(calls.attend());
    }
    let graceful = GracefulShutdown::new();
    while let Some(message) = messages.recv().await {
        match message {
            Message::Serve(connection) => {
                connection::serve(&room, connection, &graceful);
            }
            Message::Adopt(plan) => room.adopt(&plan),
            Message::Drain => break,
        }
    }
    // Connections that were on their way when draining began are served, too.
    while let Ok(message) = messages.try_recv() {
        if let Message::Serve(connection) = message {
            connection::serve(&room, connection, &graceful);
        }
    }
    room.is_leaving.set(true);
    room.leaving.cancel();
    graceful.shutdown().await;
    if let Some(calls) = &room.logs.calls {
        calls.close();
    }
}
