//! Looking at the files of certificates: every few seconds, and when told to.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::Group;
use crate::clock::Clock;
use crate::config::Config;
use crate::telemetry::chain;
use crate::telemetry::metrics::{CertificateMetrics, Metrics};
use crate::tls::{ClientTls, Look, ServerTls};
use crate::upstream::UpstreamPlan;

/// What the task is told.
enum Order {
    /// Other upstreams.
    Watch(Vec<Watched>),
    /// Look now.
    Look,
}

/// The task's ear.
pub(super) struct Certificates {
    orders: mpsc::UnboundedSender<Order>,
    metrics: Metrics,
}

/// The files behind one table of settings.
struct Watched {
    place: String,
    side: Side,
    metrics: CertificateMetrics,
}

#[derive(Clone)]
enum Side {
    Callers(Arc<ServerTls>),
    Upstream(Arc<ClientTls>),
}

impl Side {
    fn look(&self, told: bool) -> Look {
        match self {
            Self::Callers(tls) => tls.look(told),
            Self::Upstream(tls) => tls.look(told),
        }
    }

    fn not_after(&self) -> Option<i64> {
        match self {
            Self::Callers(tls) => Some(tls.not_after()),
            Self::Upstream(tls) => tls.not_after(),
        }
    }
}

/// Begins to look at the files of `config`, with a task of `group`.
pub(super) fn begin(
    config: &Config,
    metrics: &Metrics,
    clock: Clock,
    group: &Group,
) -> Certificates {
    let (orders, received) = mpsc::unbounded_channel();
    let certificates = Certificates {
        orders,
        metrics: metrics.clone(),
    };
    let callers = config.tls.clone().map(Side::Callers);
    let callers = callers.map(|side| Watched::new("proxy.tls".to_owned(), side, metrics));
    certificates.adopt(config);
    let every = config.server.certificates_every;
    let task = run(callers, received, clock, every, group.stop.clone());
    group.spawn("certificates", task);
    certificates
}

impl Certificates {
    /// Watches the files of these settings' upstreams. Those of callers stay: their paths wait for a restart.
    pub(super) fn adopt(&self, config: &Config) {
        let watched = config.upstreams.iter().flat_map(UpstreamPlan::met_by);
        let watched = watched.filter(|(_, tls)| tls.has_files());
        let upstreams =
            watched.map(|(place, tls)| Watched::new(place, Side::Upstream(tls), &self.metrics));
        // A task that is gone was stopped.
        let _ = self.orders.send(Order::Watch(upstreams.collect()));
    }

    /// Looks at all files now.
    pub(super) fn look(&self) {
        let _ = self.orders.send(Order::Look);
    }
}

async fn run(
    callers: Option<Watched>,
    mut orders: mpsc::UnboundedReceiver<Order>,
    clock: Clock,
    every: Duration,
    stop: CancellationToken,
) {
    let mut upstreams: Vec<Watched> = Vec::new();
    // They have just been read.
    let mut looks = interval_at(Instant::now() + every, every);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    if let Some(callers) = &callers {
        callers.tell_end(&clock);
    }
    loop {
        let told = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            Some(order) = orders.recv() => match order {
                Order::Look => true,
                Order::Watch(others) => {
                    upstreams = others;
                    for watched in &upstreams {
                        watched.tell_end(&clock);
                    }
                    continue;
                }
            },
            _ = looks.tick() => false,
        };
        for watched in callers.iter().chain(&upstreams) {
            watched.look(told, &clock).await;
        }
    }
}

impl Watched {
    fn new(place: String, side: Side, metrics: &Metrics) -> Self {
        Self {
            metrics: metrics.certificate(&place, side.not_after().is_some()),
            place,
            side,
        }
    }

    async fn look(&self, told: bool, clock: &Clock) {
        let side = self.side.clone();
        // A file system may take its time.
        let looked = tokio::task::spawn_blocking(move || side.look(told)).await;
        match looked {
            Ok(Look::Taken) => {
                self.metrics.taken();
                tracing::info!(certificate = self.place, "certificates read again");
                self.tell_end(clock);
            }
            Ok(Look::Kept(error)) => {
                self.metrics.kept();
                tracing::error!(
                    certificate = self.place,
                    error = %chain(&error),
                    "certificates have changed and cannot be used; the old ones stay in force"
                );
            }
            // Stopped in the middle, with the process.
            Ok(Look::Same) | Err(_) => {}
        }
    }

    fn tell_end(&self, clock: &Clock) {
        let Some(end) = self.side.not_after() else {
            return;
        };
        self.metrics.ends(end);
        let now = i64::try_from(clock.unix_time().as_secs()).unwrap_or(i64::MAX);
        if end <= now {
            tracing::warn!(
                certificate = self.place,
                ended_secs_ago = now - end,
                "the certificate has ended; whoever verifies it will not connect"
            );
        }
    }
}
