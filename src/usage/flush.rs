use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::{Marked, Queue, UsageConfig};
use crate::key::{Grant, KeyId, UnixTime};
use crate::store::{KeyStore, StoreError};
use crate::telemetry::chain;

/// How many moments one statement writes.
const MAX_ROWS: usize = 1000;

/// How long the last flush may take.
const LAST_FLUSH: Duration = Duration::from_secs(5);

/// The task that writes when keys were last used: now and then some of them, at the pace of the settings.
pub struct Flusher {
    store: Arc<dyn KeyStore>,
    queue: Arc<Queue>,
    flush_every: Duration,
    first_within: Duration,
    /// How many moments are written at a time.
    rows: usize,
    /// Marked for the first time that is known; of the others those whose turn it is, and those that gather for the
    /// next. Their marks are read when a statement is made, so that whoever waits longer is written with a later moment.
    first: VecDeque<Arc<Grant>>,
    due: VecDeque<Arc<Grant>>,
    later: VecDeque<Arc<Grant>>,
    /// Taken from their marks and not written yet: one statement. In order of id, so that two instances that write the
    /// same keys lock rows in the same order.
    unwritten: BTreeMap<KeyId, UnixTime>,
    turn_began: Instant,
    /// Failures in a row, and until when not to try again.
    failures: u32,
    not_before: Instant,
}

impl Flusher {
    pub(super) fn new(store: Arc<dyn KeyStore>, queue: Arc<Queue>, config: &UsageConfig) -> Self {
        let first_within = config.first_within.min(config.flush_every);
        let rows = u128::from(config.rows_per_second) * first_within.as_millis() / 1000;
        Self {
            store,
            queue,
            flush_every: config.flush_every,
            first_within,
            rows: usize::try_from(rows).unwrap_or(MAX_ROWS).max(1),
            first: VecDeque::new(),
            due: VecDeque::new(),
            later: VecDeque::new(),
            unwritten: BTreeMap::new(),
            turn_began: Instant::now(),
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
        let mut tick = interval(self.first_within.max(Duration::from_millis(1)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.turn_began = Instant::now();
        loop {
            tick.tick().await;
            self.collect();
            if self.due.is_empty() && self.turn_began.elapsed() >= self.flush_every {
                self.begin_turn();
            }
            let mut rows = self.rows;
            while rows > 0 && Instant::now() >= self.not_before {
                match self.flush(rows.min(MAX_ROWS)).await {
                    0 => break,
                    written => rows -= written,
                }
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
                self.first.push_back(grant);
            } else {
                self.later.push_back(grant);
            }
        }
        self.queue.metrics.pending(self.pending());
    }

    fn begin_turn(&mut self) {
        self.due.append(&mut self.later);
        self.turn_began = Instant::now();
    }

    /// Writes at most `rows` moments in one statement, first uses first; how many were written. What a failure leaves
    /// is written before all others the next time.
    ///
    /// A statement that was carried out and not acknowledged is made again, which changes nothing: the later of two
    /// moments is kept. So dropping this future loses nothing either.
    async fn flush(&mut self, rows: usize) -> usize {
        while self.unwritten.len() < rows {
            let next = self.first.pop_front().or_else(|| self.due.pop_front());
            let Some(grant) = next else { break };
            let moment = grant.last_used().take();
            let latest = self.unwritten.entry(grant.id()).or_insert(moment);
            *latest = moment.max(*latest);
        }
        if self.unwritten.is_empty() {
            return 0;
        }
        let batch: Vec<_> = self.unwritten.iter().map(|(id, at)| (*id, *at)).collect();
        let written = self.store.record_last_used(&batch).await;
        if written.is_ok() {
            self.unwritten.clear();
        }
        self.queue.metrics.pending(self.pending());
        match written {
            Ok(()) => {
                self.queue.metrics.flushed(batch.len());
                self.succeeded();
                batch.len()
            }
            Err(error) => {
                self.failed(&error);
                0
            }
        }
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
                keys = self.pending(),
                "moments of last use could not be written; they are kept and tried again"
            );
        }
        let delay = self.first_within.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.not_before = Instant::now() + delay.min(self.flush_every);
    }

    async fn last_flush(&mut self) {
        let everything = async {
            // The room here is bounded, so there may be more in the queue.
            loop {
                self.collect();
                self.begin_turn();
                if self.pending() == 0 {
                    return;
                }
                self.flush(MAX_ROWS).await;
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
        self.first.len() + self.due.len() + self.later.len() + self.unwritten.len()
    }
}
