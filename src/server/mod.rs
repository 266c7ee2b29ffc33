//! The process: build, wire, serve, close.
//!
//! [`Server::start`] builds every room and wires them; nothing here decides anything about a request or a key. The
//! data listener has threads of its own (`worker`); everything else runs beside them, on the runtime that `start` is
//! called on, so that no background work ever delays a call.

mod access;
mod aside;
mod call;
mod certificates;
mod config;
mod connection;
mod group;
mod guard;
mod guarded;
mod handover;
mod handshake;
mod http1;
mod identity;
mod io;
mod limits;
mod listen;
mod memory;
mod notify;
mod plan;
mod preface;
mod secrets;
mod shortage;
mod shutdown;
mod token;
mod told;
mod views;
mod worker;

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::future::select_all;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

pub use config::{ServerConfig, ShutdownConfig};
pub use guard::{FramingError, Guard, HeadLimits, Part};
pub use handover::HandoverError;
pub use listen::ListenError;
pub use shutdown::Signals;
pub use told::until_told;

use crate::admin::probe::{self, ProbeState, Readiness};
use crate::admin::{self, AdminConfigError, AdminState, TokenError};
use crate::cache;
use crate::clock::Clock;
use crate::config::Config;
use crate::key::NewSecret;
use crate::registry::KeyRegistry;
use crate::store::{self, KeyStore, StoreConfig, StoreError};
use crate::telemetry::Telemetry;
use crate::telemetry::access::AccessSink;
use crate::telemetry::metrics::Metrics;
use crate::upstream::{self, Fleet, HeldBodies, KeyCatalogue, UpstreamPlan};
use crate::usage::UsageRecorder;
use certificates::Certificates;
use group::{Closing, Group};
use handover::{Successor, Turns};
use listen::Ports;
use plan::ServingPlan;
use views::ServerViews;
use worker::{Shared, Worker};

/// Why the process could not start, or serve on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A port.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Another process, at the start.
    #[error(transparent)]
    Handover(#[from] HandoverError),
    /// The key database.
    #[error("the key database cannot be used")]
    Store(#[from] StoreError),
    /// The admin listener's settings.
    #[error("the admin listener cannot be set up")]
    Admin(#[from] AdminConfigError),
    /// The admin token.
    #[error("there is no admin token")]
    Token(#[from] TokenError),
    /// The file of the log of calls.
    #[error("the access log cannot be opened")]
    AccessLog(#[source] std::io::Error),
    /// A thread, a signal handler, or randomness.
    #[error("the system refuses what a server needs")]
    System(#[from] std::io::Error),
    /// A mistake of ours, while serving.
    #[error("something has ended that nothing works without; the log says what")]
    Broken,
}

/// Where the listeners are, with the ports that the system chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The data listener.
    pub proxy: SocketAddr,
    /// The admin listener.
    pub admin: SocketAddr,
    /// Probes and metrics.
    pub probes: SocketAddr,
}

impl Addresses {
    fn tell(&self) {
        for (listener, address) in [
            ("calls", self.proxy),
            ("administration", self.admin),
            ("probes", self.probes),
        ] {
            tracing::info!(listener, %address, "listening");
        }
    }
}

/// A running keyward.
pub struct Server {
    addresses: Addresses,
    first_token: mpsc::Receiver<NewSecret>,
    workers: Arc<[Worker]>,
    readiness: Readiness,
    store: Arc<dyn KeyStore>,
    certificates: Certificates,
    /// Where the log of calls goes, if there is one.
    access: Option<AccessSink>,
    /// The upstreams whose servers are asked how they do.
    asked: watch::Sender<Arc<[UpstreamPlan]>>,
    /// What administrators are shown.
    views: Arc<ServerViews>,
    /// The next process, once it accepts callers in our place.
    successor: mpsc::Receiver<Successor>,
    closing: Closing,
    shutdown: ShutdownConfig,
}

impl Server {
    /// Opens the ports and the key database, begins to fill memory, and begins to serve. `/readyz` says when memory is
    /// filled; until then keys are not known and callers are told to try again. A database that is away is waited for.
    ///
    /// # Errors
    ///
    /// When a port cannot be opened, or the database cannot be and will not be by itself. Nothing goes on then but what
    /// ends with the process.
    pub async fn start(
        config: &Config,
        telemetry: &Telemetry,
        clock: Clock,
    ) -> Result<Self, ServeError> {
        limits::leave_no_dumps();
        limits::take_open_files();
        let metrics = &telemetry.metrics;
        let fleet = begin_fleet(config, metrics, clock.clone())?;
        let (mut turns, given) = Turns::begin(config.server.handover.as_deref()).await?;
        let ports = Ports::open(config, given)?;
        let addresses = ports.addresses()?;
        let to_hand_over = ports.copies()?;
        let store = open_store(config, metrics).await?;
        let closing = Closing::new();

        // Memory, and what keeps it in step.
        let readiness = Readiness::default();
        let keys = memory::begin(
            config,
            Arc::clone(&store),
            clock.clone(),
            metrics.cache.clone(),
            &readiness,
            &closing,
        )
        .await;

        let usage = begin_usage(config, &store, metrics, &closing.writers);

        // Who administers, and who asks how we are.
        let registry = KeyRegistry::new(Arc::clone(&store), clock.clone(), Some(keys.applied()));
        let (token, first_token) = token::ensure(
            config.admin_token.clone(),
            KeyRegistry::new(Arc::clone(&store), clock.clone(), None),
            keys.applied(),
            &closing.followers,
        )
        .await?;
        let plan = ServingPlan::of(config);
        let (asked, plans) = watch::channel(Arc::clone(&plan.upstreams));
        let views = ServerViews::new(config, addresses.proxy, &plan, &keys, telemetry);
        let views = Arc::new(views);
        let state = AdminState::new(
            &config.admin,
            registry,
            KeyCatalogue::of(plans.clone()),
            token,
            clock.clone(),
            metrics.clone(),
            views.clone(),
        )?;
        views::begin(telemetry, &clock, &closing.followers);
        // Nobody is accepted before it is our turn.
        let turn = CancellationToken::new();
        let admin = (TcpListener::from_std(ports.admin)?, admin::router(&state));
        let probes = probe::router(probe_state(&readiness, telemetry));
        let probes = (TcpListener::from_std(ports.probes)?, probes);
        serve_aside(admin, probes, config, &closing.aside, &turn);

        // Who calls, and the certificates between us.
        let group = &closing.followers;
        let certificates = certificates::begin(config, metrics, clock.clone(), group);
        let filled = keys.clone();
        let log = &config.access_log;
        let access = access::begin(log, metrics.access_log.clone(), &closing.writers)?;
        let shared = Shared {
            keys,
            usage,
            metrics: metrics.clone(),
            refusals: telemetry.refusals.clone(),
            clock,
            held: HeldBodies::new(metrics.proxy.clone()),
            fleet: fleet.clone(),
            shortage: shortage::begin(&config.proxy.limits, metrics, &closing.followers),
            tls: config.tls.clone(),
            access: access.clone(),
            draining: closing.draining.clone(),
        };
        let workers = start_workers(config.proxy.workers, &plan, &shared)?;
        attend_upstreams(fleet, plans, config.server.certificates_every, group);
        let places = limits::connections(config.proxy.limits.connections);
        let acceptor = listen::accept(
            TcpListener::from_std(ports.proxy)?,
            Arc::clone(&workers),
            Arc::new(Semaphore::new(places)),
            listen::full(config.tls.is_some()),
            closing.acceptor.stop.clone(),
        );
        closing.acceptor.spawn_in_turn("acceptor", &turn, acceptor);

        let (succeeded, successor) = mpsc::channel(1);
        let taking = async move {
            turns.take(filled.filled(), turn).await;
            addresses.tell();
            turns.hand_over(to_hand_over, succeeded).await;
        };
        closing.acceptor.spawn_until_stopped("turns", taking);
        Ok(Self {
            addresses,
            first_token,
            workers,
            readiness,
            store,
            certificates,
            access,
            asked,
            views,
            successor,
            closing,
            shutdown: config.shutdown.clone(),
        })
    }

    /// Where the listeners are.
    #[must_use]
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The admin token's text, if this start has made one by now: to be shown once.
    pub fn take_first_token(&mut self) -> Option<NewSecret> {
        self.first_token.try_recv().ok()
    }

    /// Takes over what may change while serving: routes, credentials, upstreams and the limits of callers. Requests in
    /// flight end under the old settings.
    pub fn adopt(&self, config: &Config) {
        let plan = ServingPlan::of(config);
        for worker in self.workers.iter() {
            worker.adopt(plan.clone());
        }
        self.views.adopt(&plan);
        self.asked.send_replace(plan.upstreams);
        self.certificates.adopt(config);
    }

    /// Waits until a task or a thread has ended that must not.
    async fn broken(&self) {
        let workers = self.workers.iter().map(|worker| Box::pin(worker.ended()));
        tokio::select! {
            biased;
            () = self.closing.broken.cancelled() => {}
            _ = select_all(workers) => tracing::error!("a thread that serves calls has ended"),
        }
    }

    /// Closes, in order: not ready; a pause in which answers say that connections will close; no new callers; requests
    /// finish; memory is no longer followed; last uses are written and the key set is sealed; admin closes; the database closes. All within the
    /// deadline of the settings; what still runs then is cut.
    pub async fn close(self) {
        self.close_before(pending(), None).await;
    }

    /// The same, but what still runs when `hurry` ends is cut, and only the last steps are taken. A `successor` serves
    /// whoever comes from now on.
    async fn close_before(self, hurry: impl Future<Output = ()>, successor: Option<Successor>) {
        let deadline = Instant::now() + self.shutdown.deadline;
        // The last steps need a moment even when a caller takes all the time there is.
        let callers_until = deadline
            .checked_sub(LAST_STEPS)
            .map_or(deadline, |until| until.max(Instant::now()));
        tracing::info!("closing: requests in flight may finish");
        let deadline = tokio::select! {
            biased;
            left = timeout_at(callers_until, self.let_callers_leave(successor)) => {
                if left.is_err() {
                    tracing::warn!("closing: requests that did not finish in time are cut");
                }
                deadline
            }
            () = hurry => {
                tracing::warn!("closing: told again, so requests in flight are cut");
                deadline.min(Instant::now() + LAST_STEPS)
            }
        };
        let Closing {
            acceptor,
            followers,
            writers,
            aside,
            ..
        } = &self.closing;
        for group in [acceptor, followers, writers, aside] {
            // What is late is told to stop, and not waited for.
            let _ = timeout_at(deadline, group.end()).await;
        }
        let _ = timeout_at(deadline, self.store.close()).await;
        tracing::info!("closed");
    }

    /// Sends callers away: first by words, then by a closed door, and waits until the last has gone.
    ///
    /// Where there is a successor the door is closed at once, for it has another: whoever knocks is heard there.
    async fn let_callers_leave(&self, successor: Option<Successor>) {
        if let Some(successor) = successor {
            self.closing.aside.stop.cancel();
            self.closing.acceptor.end().await;
            drop(successor);
        }
        self.readiness.drain();
        self.closing.draining.begin();
        sleep(self.shutdown.delay).await;
        self.closing.acceptor.end().await;
        for worker in self.workers.iter() {
            worker.drain();
        }
        for worker in self.workers.iter() {
            worker.ended().await;
        }
    }
}

/// Connections at once on the listener of probes.
const PROBE_CONNECTIONS: usize = 64;
/// What the steps after the last request may take.
const LAST_STEPS: Duration = Duration::from_secs(2);

async fn open_store(config: &Config, metrics: &Metrics) -> Result<Arc<dyn KeyStore>, StoreError> {
    let store = StoreConfig {
        must_exist: config.store.must_exist || cache::was_sealed(&config.cache),
        ..config.store.clone()
    };
    store::open_or_await(&store, metrics.store.clone()).await
}

/// Notes when keys were used, and writes it down.
fn begin_usage(
    config: &Config,
    store: &Arc<dyn KeyStore>,
    metrics: &Metrics,
    group: &Group,
) -> UsageRecorder {
    let (store, metrics) = (Arc::clone(store), metrics.usage.clone());
    let (usage, flusher) = UsageRecorder::new(store, &config.usage, metrics);
    group.spawn("flusher", flusher.run(group.stop.clone()));
    usage
}

/// What will be known of every upstream's servers.
fn begin_fleet(config: &Config, metrics: &Metrics, clock: Clock) -> Result<Fleet, ServeError> {
    // Not only by the workers, which come to it later: every series is there before anyone reads them.
    for upstream in &config.upstreams {
        drop(metrics.upstream(&upstream.name));
        for server in &upstream.servers {
            let metrics = metrics.upstream_server(&upstream.name, &server.name);
            metrics.healthy(true);
        }
        for key in &upstream.keys {
            metrics.upstream_key(&upstream.name, &key.id).resting(false);
        }
    }
    Ok(Fleet::new(metrics.clone(), clock, random()?))
}

/// Asks the servers of upstreams how they do, looks whether keys for them have changed, and fetches the tokens that some of
/// them stand for.
fn attend_upstreams(
    fleet: Fleet,
    plans: watch::Receiver<Arc<[UpstreamPlan]>>,
    look_every: Duration,
    group: &Group,
) {
    let looking = secrets::look(fleet.clone(), plans.clone(), look_every);
    group.spawn_until_stopped("secrets", looking);
    let renewing = upstream::renew(fleet.clone(), plans.clone(), TokioExecutor::new());
    group.spawn_until_stopped("tokens", renewing);
    let asking = upstream::probe(fleet, plans, TokioExecutor::new());
    group.spawn_until_stopped("prober", asking);
}

fn probe_state(readiness: &Readiness, telemetry: &Telemetry) -> ProbeState {
    let renderer = telemetry.renderer.clone();
    let metrics = telemetry.metrics.server.clone();
    let asked = readiness.clone();
    ProbeState {
        readiness: readiness.clone(),
        metrics: Arc::new(move || {
            metrics.ready(asked.is_ready());
            renderer.render()
        }),
    }
}

/// Serves administrators, so many at once, and whoever asks how we are.
fn serve_aside(
    (admin, administrators): (TcpListener, Router),
    (probes, askers): (TcpListener, Router),
    config: &Config,
    group: &Group,
    turn: &CancellationToken,
) {
    let stop = || group.stop.clone();
    let connections = config.admin.connections;
    let admin = aside::serve(admin, administrators, connections, stop());
    group.spawn_in_turn("admin", turn, admin);
    let probes = aside::serve(probes, askers, PROBE_CONNECTIONS, stop());
    group.spawn_in_turn("probes", turn, probes);
}

fn start_workers(
    count: usize,
    plan: &ServingPlan,
    shared: &Shared,
) -> Result<Arc<[Worker]>, ServeError> {
    let count = match count {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        count => count,
    };
    let start = |place| {
        Ok(Worker::start(
            place,
            count,
            plan.clone(),
            shared.clone(),
            random()?,
        )?)
    };
    (0..count).map(start).collect()
}

fn random() -> Result<u64, ServeError> {
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).map_err(std::io::Error::other)?;
    Ok(u64::from_le_bytes(seed))
}
