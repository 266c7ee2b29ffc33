use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::key::Name;
use crate::store::{Cursor, InstanceId, InstanceReport, KeyStore, StoreError};
use crate::telemetry::chain;

/// After how many reports that did not come an instance is no longer heard: one may be late, and one may fail.
const REPORTS_MISSED: u32 = 3;

/// Who an instance is, and how often it says so.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Which instance.
    pub id: InstanceId,
    /// What people call it.
    pub name: Name,
    /// How often it reports though nobody asks.
    pub report_every: Duration,
}

/// The task that says in the key database that this instance is there, and how far it is.
///
/// While nobody waits for positions it writes one row every [`Identity::report_every`], however many keys change. While
/// somebody does, it writes whenever the follower has applied something; what is applied during a write goes with the
/// next one. It never holds up the follower.
///
/// A position is the follower's: every change up to it is in memory, and the generation was raised after that, so that
/// no copy of any worker counts any more.
pub struct Presence {
    store: Arc<dyn KeyStore>,
    identity: Identity,
    /// How long known keys are served without the database.
    max_stale: Duration,
    clock: Clock,
    started: Duration,
    applied: watch::Receiver<Cursor>,
    /// The place that somebody wants to know.
    wanted: watch::Receiver<Cursor>,
    /// Whether this instance is known to the database, or could not be made known when it was there: see
    /// [`Presence::announce`].
    announced: watch::Sender<bool>,
    reported: Option<Cursor>,
    /// Whether a look at the database has succeeded.
    has_looked: bool,
    has_failed: bool,
}

impl Presence {
    pub(super) fn new(
        store: Arc<dyn KeyStore>,
        identity: Identity,
        max_stale: Duration,
        clock: Clock,
        applied: watch::Receiver<Cursor>,
        wanted: watch::Receiver<Cursor>,
        announced: watch::Sender<bool>,
    ) -> Self {
        announced.send_replace(false);
        Self {
            store,
            identity,
            max_stale,
            started: clock.elapsed(),
            clock,
            applied,
            wanted,
            announced,
            reported: None,
            has_looked: false,
            has_failed: false,
        }
    }

    /// Says for the first time that this instance is there, before it has applied anything.
    ///
    /// To be awaited before memory is filled: whoever then makes a change either finds this instance, and waits for it,
    /// or has made it early enough for the fill to see it. A failure is logged, and no reason not to start; what was
    /// filled without an announcement is believed only after [`Presence::run`] has tried once more and the log was read
    /// after that.
    pub async fn announce(&mut self) {
        self.report().await;
    }

    /// Reports until `stop`, and then says that this instance has ended.
    ///
    /// To be stopped when no worker accepts calls any more.
    pub async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            never = self.report_on() => match never {},
        }
        // What stays is taken away by others when it is old.
        let _ = self.store.remove_instance(self.identity.id).await;
    }

    async fn report_on(&mut self) -> Infallible {
        loop {
            let next = Instant::now() + self.identity.report_every;
            while !self.is_due(next).await {}
            self.report().await;
        }
    }

    /// Waits until `next`, or until somebody wants to know a place that was not reported yet: whether it is time. One
    /// that could not be announced is, as soon as a look at the database has succeeded.
    async fn is_due(&mut self, next: Instant) -> bool {
        let Self {
            applied,
            wanted,
            reported,
            has_looked,
            ..
        } = self;
        let asked = async {
            if wanted.changed().await.is_err() {
                // The cache is gone; the reports go on until somebody stops them.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = asked => {
                *has_looked = true;
                *reported != Some(*wanted.borrow())
            }
            Ok(()) = applied.changed(), if reported.is_none() => {
                *has_looked = true;
                true
            }
            () = sleep_until(next) => true,
        }
    }

    async fn report(&mut self) {
        let applied = *self.applied.borrow();
        let report = InstanceReport {
            id: self.identity.id,
            name: self.identity.name.clone(),
            up_for: self.clock.elapsed().saturating_sub(self.started),
            applied,
            heard_for: self.identity.report_every * REPORTS_MISSED,
            serves_for: self.serves_for(),
        };
        match self.store.report_instance(&report).await {
            Ok(()) => {
                self.reported = Some(applied);
                if std::mem::take(&mut self.has_failed) {
                    tracing::info!("this instance is known to the key database again");
                }
            }
            Err(error) => self.failed(&error),
        }
        if self.reported.is_some() || self.has_looked {
            self.announced.send_replace(true);
        }
    }

    /// How long it may serve after its last report: the last look may have come after that, within the time in which
    /// the next report was due.
    fn serves_for(&self) -> Duration {
        let heard = self.identity.report_every * REPORTS_MISSED;
        self.max_stale.saturating_add(heard)
    }

    fn failed(&mut self, error: &StoreError) {
        if !std::mem::replace(&mut self.has_failed, true) {
            tracing::warn!(
                error = %chain(error),
                "this instance could not say in the key database how far it is; whoever waits for every instance will \
                 not hear of it"
            );
        }
    }
}
