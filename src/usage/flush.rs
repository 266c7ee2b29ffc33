use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::{Marked, Queue, UsageConfig};
use crate::key::{Grant, KeyId, UnixTime};
use crate::store::{KeyStore, StoreError};
use crate::telemetry::chain;

/// How many moments are written in one statement.
const MAX_ROWS: usize = 1000;

/// How long the last flush may take.
const LAST_FLUSH: Duration = Duration::from_secs(5);

/// The task that writes when keys were last used.
pub struct Flusher {
    store: Arc<dyn KeyStore>,
    queue: Arc<Queue>,
    flush_every: Duration,
    first_within: Duration,
    /// Marked for the first time that is known; the others.
    first: Vec<Arc<Grant>>,
    later: Vec<Arc<Grant>>,
    /// Taken from their marks and not written yet. In order of id, so that two instances that write the same keys
    /// lock rows in the same order.
    unwritten: BTreeMap<KeyId, UnixTime>,
    flushed_at: Instant,
    /// Failures in a row, and until when not to try again.
    failures: u32,
    not_before: Instant,
}

impl Flusher {
    pub(super) fn new(store: Arc<dyn KeyStore>, queue: Arc<Queue>, config: &UsageConfig) -> Self {
        Self {
            store,
            queue,
            flush_every: config.flush_every,
            first_within: config.first_within.min(config.flush_every),
            first: Vec::new(),
            later: Vec::new(),
            unwritten: BTreeMap::new(),
            flushed_at: Instant::now(),
            failures: 0,
            not_before: Instant::now(),
        }
    }

    /// Writes until `stop`, and then once more, within five seconds.
    ///
    /// To be stopped after the last request has ended. Dropped before, it loses what was not written.
    pub async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.flush_now_and_then() => {}
        }
        self.last_flush().await;
    }

    async fn flush_now_and_then(&mut self) {
        // Twice within the time a first use has: one half to be seen, the other to be written.
        let period = (self.first_within / 2).max(Duration::from_millis(1));
        let mut tick = interval(period);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.flushed_at = Instant::now();
        loop {
            tick.tick().await;
            self.collect();
            let all = self.flushed_at.elapsed() >= self.flush_every;
            if Instant::now() >= self.not_before {
                self.flush(all).await;
            }
        }
    }

    /// Takes over what was marked, as long as there is room here: past it the queue fills, and drops.
    fn collect(&mut self) {
        let room = self.queue.room.saturating_sub(self.pending());
        for Marked {
            grant,
            is_first_use,
        } in self.queue.take(room)
        {
            if is_first_use {
                self.first.push(grant);
            } else {
                self.later.push(grant);
            }
        }
        self.queue.metrics.pending(self.pending());
    }

    /// Writes first uses, and `all` the others too when their time has come.
    async fn flush(&mut self, all: bool) {
        let mut marked = std::mem::take(&mut self.first);
        if all {
            marked.append(&mut self.later);
            self.flushed_at = Instant::now();
        }
        for grant in marked {
            let moment = grant.last_used().take();
            let latest = self.unwritten.entry(grant.id()).or_insert(moment);
            *latest = moment.max(*latest);
        }
        match self.write().await {
            Ok(()) => self.succeeded(),
            Err(error) => self.failed(&error),
        }
        self.queue.metrics.pending(self.pending());
    }

    /// Writes everything that is unwritten; what a failure leaves stays.
    ///
    /// A batch that was written and not acknowledged is written again, which changes nothing: the later of two moments
    /// is kept. So dropping this future loses nothing either.
    async fn write(&mut self) -> Result<(), StoreError> {
        while !self.unwritten.is_empty() {
            let batch: Vec<_> = self
                .unwritten
                .iter()
                .take(MAX_ROWS)
                .map(|(id, moment)| (*id, *moment))
                .collect();
            self.store.record_last_used(&batch).await?;
            for (id, _) in &batch {
                self.unwritten.remove(id);
            }
            self.queue.metrics.flushed(batch.len());
        }
        Ok(())
    }

    fn succeeded(&mut self) {
        if std::mem::take(&mut self.failures) > 0 {
            tracing::info!("moments of last use are written again");
        }
    }

    fn failed(&mut self, error: &StoreError) {
        if self.failures == 0 {
            tracing::warn!(
                error = %chain(error),
                keys = self.unwritten.len(),
                "moments of last use could not be written; they are kept and tried again"
            );
        }
        let delay = self.first_within.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.not_before = Instant::now() + delay.min(self.flush_every);
    }

    async fn last_flush(&mut self) {
        let everything = async {
            // The room here is bounded, so it may take more than one turn.
            loop {
                self.collect();
                if self.pending() == 0 {
                    return;
                }
                self.flush(true).await;
                if self.failures > 0 {
                    return;
                }
            }
        };
        let ended = timeout(LAST_FLUSH, everything).await.is_ok();
        let lost = self.pending() + self.queue.take(usize::MAX).len();
        if lost > 0 || !ended {
            tracing::warn!(
                keys = lost,
                "the last moments of use could not be written, and are lost"
            );
        }
    }

    fn pending(&self) -> usize {
        self.first.len() + self.later.len() + self.unwritten.len()
    }
}
