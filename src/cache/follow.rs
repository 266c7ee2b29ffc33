use std::convert::Infallible;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::looks::Standing;
use super::report::Report;
use super::{CacheConfig, Shared, seal};
use crate::store::{ChangeBatch, Changes, Cursor, KeyChange, KeyStore, StoreError};
use crate::telemetry::metrics::RefillReason;

/// How often at most partial memory is filled again, in the hope that every key fits.
const PARTIAL_REFILL_EVERY: Duration = Duration::from_mins(1);

/// The task that keeps memory in step with the database.
pub struct Follower {
    shared: Arc<Shared>,
    store: Arc<dyn KeyStore>,
    poll_every: Duration,
    max_lag: Duration,
    max_stale: Duration,
    capacity: u64,
    /// The sealed set, as long as it may be needed: nothing has been read from the database yet.
    seal: Option<PathBuf>,
    place: Place,
    filled_at: Duration,
    /// How many digests the database holds, at least.
    live: u64,
    backoff: Backoff,
    report: Report,
}

/// Where in the log we are.
#[derive(Clone, Copy)]
enum Place {
    /// Everything up to here is applied.
    At(Cursor),
    /// Nowhere: only a fill helps.
    Lost(RefillReason),
}

/// What comes after a look that succeeded.
enum Next {
    /// Another, at once.
    LookOn,
    /// Another, but not at once: many instances may have to start over together.
    StartOver,
    /// Nothing, until there may be news.
    Wait,
}

impl Follower {
    pub(super) fn new(shared: Arc<Shared>, store: Arc<dyn KeyStore>, config: &CacheConfig) -> Self {
        Self {
            report: Report::new(Arc::clone(&shared)),
            shared,
            store,
            poll_every: config.poll_every,
            max_lag: config.max_lag,
            max_stale: config.max_stale,
            capacity: config.keys,
            seal: config.seal.clone(),
            place: Place::Lost(RefillReason::Start),
            filled_at: Duration::ZERO,
            live: 0,
            // Twice within the lag, so that an outage is known all the time.
            backoff: Backoff::new(config.max_lag / 2),
        }
    }

    /// Fills memory and follows the log until `stop`. Memory then stays as it is, and ages.
    pub async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            never = self.follow() => match never {},
        }
    }

    async fn follow(&mut self) -> Infallible {
        loop {
            match self.look().await {
                Ok(Next::LookOn) => {}
                Ok(Next::StartOver) => self.back_off().await,
                Ok(Next::Wait) => {
                    self.backoff.reset();
                    self.shared.memory.tidy();
                    self.report.calm();
                    self.news().await;
                }
                Err(error) => {
                    self.serve_sealed().await;
                    self.report.trouble(&error);
                    self.back_off().await;
                }
            }
        }
    }

    /// Fills memory from the sealed set when there is nothing else, and has not been since the start. Tried once: what is
    /// refused now is not better later.
    async fn serve_sealed(&mut self) {
        let Some(path) = self.seal.take() else {
            return;
        };
        let shared = Arc::clone(&self.shared);
        if shared.looks.standing() != Standing::Empty {
            return;
        }
        let began = shared.clock.elapsed();
        match seal::load(&path, &shared, self.max_stale).await {
            Ok((confirmed, age)) => {
                self.follow_clock(confirmed.database_time(age), shared.clock.elapsed());
                shared.looks.unsealed(age);
                let took = shared.clock.elapsed().saturating_sub(began);
                self.report.unsealed(age, took);
            }
            Err(refusal) => self.report.seal_refused(&path, &refusal),
        }
    }

    /// Waits until the bell rings, somebody waits for a look, or it is time to look unasked.
    async fn news(&mut self) {
        let looks = &self.shared.looks;
        let due = Instant::now() + self.poll_every;
        let rung = tokio::select! {
            biased;
            rung = self.store.changed() => rung,
            () = looks.wanted_within(self.poll_every) => return,
        };
        self.report.bell(&rung);
        if rung.is_err() {
            // A broken bell must not be asked again and again: until the poll, which it does not put off, we do without.
            let rest = due.saturating_duration_since(Instant::now());
            looks.wanted_within(rest).await;
        }
    }

    async fn back_off(&mut self) {
        let delay = self.backoff.next();
        self.shared.looks.wanted_within(delay).await;
    }

    /// One look at the database: at what came after our place, or at everything.
    async fn look(&mut self) -> Result<Next, StoreError> {
        match self.place {
            Place::At(cursor) => self.catch_up(cursor).await,
            Place::Lost(reason) => self.fill(reason).await,
        }
    }

    async fn fill(&mut self, reason: RefillReason) -> Result<Next, StoreError> {
        let shared = Arc::clone(&self.shared);
        let store = Arc::clone(&self.store);
        let began = shared.clock.elapsed();
        let filling = shared.memory.begin_fill();
        let mut digests = 0;
        let mut each = |key| digests += filling.put(&key);
        let end = self.attempt(began, store.snapshot(&mut each)).await?;
        filling.end();
        self.live = digests;
        self.filled_at = began;
        self.place = Place::At(end.cursor);
        // Read before the first key.
        self.follow_clock(end.database_time, began);
        let was_announced = *shared.announced.borrow();
        if was_announced {
            shared.looks.succeeded(began);
        }
        self.is_in_force(end.cursor, true);
        if !was_announced {
            // Whoever makes a change now does not find this instance and does not wait for it. So nothing is served
            // before the log is read once more, by which time it is known, or could not be made known.
            let mut announced = shared.announced.subscribe();
            // The sender is ours, so this ends only when the condition holds.
            let _ = announced.wait_for(|&announced| announced).await;
        }
        let took = shared.clock.elapsed().saturating_sub(began);
        self.report.filled(reason, end.set_aside, took);
        Ok(Next::LookOn)
    }

    async fn catch_up(&mut self, cursor: Cursor) -> Result<Next, StoreError> {
        let shared = Arc::clone(&self.shared);
        let store = Arc::clone(&self.store);
        let began = shared.clock.elapsed();
        let Changes::Read(batch) = self.attempt(began, store.changes(cursor)).await? else {
            tracing::warn!(
                cursor = cursor.seq(),
                "the change log does not reach back to our place in it; memory is filled again"
            );
            self.place = Place::Lost(RefillReason::LogTrimmed);
            return Ok(Next::StartOver);
        };
        let (cursor, more, wanted) = (batch.cursor, batch.more, batch.positions_wanted);
        self.apply(batch, began);
        self.place = Place::At(cursor);
        self.is_in_force(cursor, wanted);
        if more {
            return Ok(Next::LookOn);
        }
        shared.looks.succeeded(began);
        if self.all_may_fit_again() {
            self.place = Place::Lost(RefillReason::Partial);
            return Ok(Next::LookOn);
        }
        Ok(Next::Wait)
    }

    /// Every change up to `cursor` is in memory, and what workers have copied from it before does not count any more:
    /// to be said after that and never before.
    fn is_in_force(&self, cursor: Cursor, wanted: bool) {
        self.shared.applied.send_replace(cursor);
        if wanted {
            // Even when it is the same place: the last report of it may have failed.
            self.shared.wanted.send_replace(cursor);
        }
    }

    /// Takes in what a look that began then has found.
    fn apply(&mut self, batch: ChangeBatch, began: Duration) {
        self.follow_clock(batch.database_time, self.shared.clock.elapsed());
        let changes = batch.changes;
        let put = changes.iter().filter_map(|change| match change {
            KeyChange::Put(key) => Some(&**key),
            KeyChange::Gone(_) => None,
        });
        self.report.read(put.clone());
        self.report.set_aside(batch.set_aside);
        if changes.is_empty() {
            return;
        }
        let (count, gone) = (changes.len(), changes.len() - put.count());
        let memory = &self.shared.memory;
        let was_complete = memory.is_complete();
        memory.apply(changes);
        self.live = if was_complete {
            // As long as memory was complete, what it held is what there is; what it could not hold is counted.
            memory.held() + memory.lacking()
        } else {
            self.live
                .saturating_sub(u64::try_from(gone).unwrap_or(u64::MAX))
        };
        // The database told its time after the look began, so that what is measured is at most too long.
        let took = self.shared.clock.elapsed().saturating_sub(began);
        let since = |written| (batch.database_time + took).saturating_sub(written);
        let lag = batch.oldest_at.map_or(Duration::ZERO, since);
        self.report.applied(count, lag);
        self.report.revoked(batch.revoked_at.into_iter().map(since));
    }

    /// Whether partial memory is worth filling again: so many keys are gone that all may fit, and some time has passed.
    fn all_may_fit_again(&self) -> bool {
        let waited = self.shared.clock.elapsed().saturating_sub(self.filled_at);
        !self.shared.memory.is_complete()
            && self.live <= self.capacity
            && waited >= PARTIAL_REFILL_EVERY
    }

    /// Follows the database's clock, which said `database` when ours had run for `then`, unless both agree to the second.
    fn follow_clock(&self, database: Duration, then: Duration) {
        let clock = &self.shared.clock;
        let database = database + clock.elapsed().saturating_sub(then);
        let apart = clock.unix_time().as_secs().abs_diff(database.as_secs());
        // Two: one second may be mere rounding, and a clock should not jump to and fro.
        if apart >= 2 {
            clock.follow(database);
            tracing::info!(
                apart_secs = apart,
                "this machine's clock and the key database's differ; the database's counts"
            );
        }
    }

    /// Awaits one call of the store, and meanwhile says that the database does not answer.
    ///
    /// Only somebody who was awake all the time can say so: after a pause it may be the pause that the call did not
    /// survive.
    async fn attempt<T>(
        &mut self,
        began: Duration,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        let mut call = pin!(call);
        let mut beat = interval((self.max_lag / 4).max(Duration::from_millis(1)));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beat.reset();
        let mut awake = Awake::since(began, self.max_lag);
        let outcome = loop {
            tokio::select! {
                biased;
                _ = beat.tick() => {
                    if awake.still(shared.clock.elapsed()) {
                        shared.looks.troubled();
                    }
                    self.report.age();
                }
                outcome = &mut call => break outcome,
            }
        };
        if outcome.is_err() {
            if awake.still(shared.clock.elapsed()) {
                shared.looks.troubled();
            }
            shared.looks.failed(began);
        }
        outcome
    }
}

/// Whether whoever watches an attempt has watched all of it, without being stopped or starved meanwhile.
struct Awake {
    last: Duration,
    limit: Duration,
    always: bool,
}

impl Awake {
    const fn since(now: Duration, limit: Duration) -> Self {
        Self {
            last: now,
            limit,
            always: true,
        }
    }

    fn still(&mut self, now: Duration) -> bool {
        self.always &= now.saturating_sub(self.last) <= self.limit;
        self.last = now;
        self.always
    }
}
