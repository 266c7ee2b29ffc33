use std::collections::BTreeSet;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::freshness::Standing;
use super::memory::keyed_hasher;
use super::{CacheConfig, Shared};
use crate::store::{BadRow, ChangeBatch, Changes, Cursor, KeyChange, KeyStore, StoreError};
use crate::telemetry::metrics::RefillReason;

/// How often at most partial memory is filled again, in the hope that every key fits.
const PARTIAL_REFILL_EVERY: Duration = Duration::from_mins(1);

/// How many bad rows are told apart.
const MAX_BAD_ROWS: usize = 10_000;

/// The task that keeps memory in step with the database.
pub struct Follower {
    shared: Arc<Shared>,
    store: Arc<dyn KeyStore>,
    poll_every: Duration,
    max_lag: Duration,
    capacity: u64,
    /// Where in the log we are; without a place only a fill helps.
    place: Option<Cursor>,
    refill: RefillReason,
    filled_at: Duration,
    /// How many digests the database holds, at least.
    live: u64,
    bad_rows: BTreeSet<String>,
    backoff: Backoff,
    was_complete: bool,
    told: Told,
}

/// What the log has been told, so that it is told once.
#[derive(Default)]
struct Told {
    trouble: bool,
    stale: bool,
    deaf: bool,
}

impl Follower {
    pub(super) fn new(shared: Arc<Shared>, store: Arc<dyn KeyStore>, config: &CacheConfig) -> Self {
        Self {
            shared,
            store,
            poll_every: config.poll_every,
            max_lag: config.max_lag,
            capacity: config.keys,
            place: None,
            refill: RefillReason::Start,
            filled_at: Duration::ZERO,
            live: 0,
            bad_rows: BTreeSet::new(),
            backoff: Backoff::new(config.max_lag / 2),
            was_complete: true,
            told: Told::default(),
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
        let store = Arc::clone(&self.store);
        // Kept across looks: what rings during a look is heard after it.
        let mut bell = store.changed();
        loop {
            match self.look().await {
                Ok(Next::Wait) => {}
                Ok(Next::LookOn) => continue,
                Ok(Next::StartOver) => {
                    self.back_off().await;
                    continue;
                }
                Err(error) => {
                    self.tell_trouble(&error);
                    self.back_off().await;
                    continue;
                }
            }
            self.calm();
            tokio::select! {
                biased;
                () = self.shared.freshness.wanted() => {}
                rung = &mut bell => {
                    bell = store.changed();
                    self.heard(rung).await;
                }
                () = sleep(self.poll_every) => {}
            }
        }
    }

    /// One look at the database: at what came after our place, or at everything.
    async fn look(&mut self) -> Result<Next, StoreError> {
        match self.place {
            Some(cursor) => self.catch_up(cursor).await,
            None => self.fill().await,
        }
    }

    async fn fill(&mut self) -> Result<Next, StoreError> {
        let shared = Arc::clone(&self.shared);
        let store = Arc::clone(&self.store);
        let began = shared.clock.elapsed();
        let filling = shared.memory.begin_fill();
        let mut keys: u64 = 0;
        let mut each = |key| {
            keys += filling.put(&key);
        };
        let end = self.attempt(began, store.snapshot(&mut each)).await?;
        filling.end();
        self.live = keys;
        self.filled_at = began;
        self.place = Some(end.cursor);
        self.bad_rows.clear();
        self.set_aside(end.set_aside);
        self.follow_clock(end.database_time);
        shared.metrics.refilled(self.refill);
        shared.freshness.succeeded(began);
        shared.applied.send_replace(end.cursor);
        tracing::info!(
            cache.keys = shared.memory.known_count(),
            cache.is_complete = shared.memory.is_complete(),
            reason = self.refill.as_str(),
            took_ms = (shared.clock.elapsed().saturating_sub(began)).as_millis(),
            "memory was filled from the key database"
        );
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
            self.forget_place(RefillReason::LogTrimmed);
            return Ok(Next::StartOver);
        };
        let (cursor, more) = (batch.cursor, batch.more);
        self.apply(batch);
        self.place = Some(cursor);
        shared.applied.send_replace(cursor);
        if more {
            return Ok(Next::LookOn);
        }
        shared.freshness.succeeded(began);
        if self.all_may_fit_again() {
            self.forget_place(RefillReason::Partial);
            return Ok(Next::LookOn);
        }
        Ok(Next::Wait)
    }

    fn apply(&mut self, batch: ChangeBatch) {
        self.follow_clock(batch.database_time);
        self.set_aside(batch.set_aside);
        if batch.changes.is_empty() {
            return;
        }
        let memory = &self.shared.memory;
        let count = batch.changes.len() as u64;
        let gone = batch
            .changes
            .iter()
            .filter(|change| matches!(change, KeyChange::Gone(_)))
            .count() as u64;
        for change in &batch.changes {
            if let KeyChange::Put(key) = change {
                self.bad_rows.remove(&key.id.to_string());
            }
        }
        let was_complete = memory.is_complete();
        memory.apply(batch.changes);
        if was_complete {
            // As long as memory was complete, what it held is what there is.
            self.live = memory.held();
        } else {
            self.live = self.live.saturating_sub(gone);
        }
        let now = batch.database_time;
        let lag = batch.oldest_at.map_or(Duration::ZERO, |at| {
            now.saturating_sub(Duration::from_secs(at.as_secs()))
        });
        self.shared.metrics.changes_applied(count, lag);
    }

    /// Whether partial memory is worth filling again: so many keys are gone that all may fit, and some time has passed.
    fn all_may_fit_again(&self) -> bool {
        let waited = self.shared.clock.elapsed().saturating_sub(self.filled_at);
        !self.shared.memory.is_complete()
            && self.live <= self.capacity
            && waited >= PARTIAL_REFILL_EVERY
    }

    fn forget_place(&mut self, reason: RefillReason) {
        self.place = None;
        self.refill = reason;
    }

    /// Awaits one call of the store, and meanwhile says whether somebody is awake to see that it does not answer.
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
                    // Only someone who did not sleep can tell that it is the database that does.
                    if awake.still(shared.clock.elapsed()) {
                        shared.freshness.troubled();
                    }
                    self.tell_age();
                }
                outcome = &mut call => break outcome,
            }
        };
        if outcome.is_err() {
            if awake.still(shared.clock.elapsed()) {
                shared.freshness.troubled();
            }
            shared.freshness.failed(began);
        }
        outcome
    }

    /// Waits before the next attempt; less when somebody waits for a look.
    async fn back_off(&mut self) {
        let delay = self.backoff.next();
        tokio::select! {
            biased;
            () = self.shared.freshness.wanted() => {}
            () = sleep(delay) => {}
        }
    }

    /// A bell that is broken must not be asked again and again: until the next poll we do without.
    async fn heard(&mut self, rung: Result<(), StoreError>) {
        let Err(error) = rung else {
            self.told.deaf = false;
            return;
        };
        if !self.told.deaf {
            self.told.deaf = true;
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the bell of the key database is broken; changes are seen by polling"
            );
        }
        tokio::select! {
            biased;
            () = self.shared.freshness.wanted() => {}
            () = sleep(self.poll_every) => {}
        }
    }

    /// Follows the database's clock, unless both agree to the second.
    fn follow_clock(&self, database: Duration) {
        let clock = &self.shared.clock;
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

    fn set_aside(&mut self, rows: Vec<BadRow>) {
        for BadRow { id, why } in rows {
            if self.bad_rows.len() < MAX_BAD_ROWS && self.bad_rows.insert(id.clone()) {
                tracing::warn!(
                    key.id = id,
                    why,
                    "a row of the key database is no key; it permits nothing"
                );
            }
        }
        let count = u32::try_from(self.bad_rows.len()).unwrap_or(u32::MAX);
        self.shared.metrics.bad_rows(count);
    }

    /// After a look that succeeded.
    fn calm(&mut self) {
        self.backoff.reset();
        if std::mem::take(&mut self.told.trouble) {
            tracing::info!("the key database answers again");
        }
        self.told.stale = false;
        let memory = &self.shared.memory;
        memory.tidy();
        let is_complete = memory.is_complete();
        self.shared
            .metrics
            .holds(memory.known_count(), memory.unknown_count(), is_complete);
        if is_complete != std::mem::replace(&mut self.was_complete, is_complete) {
            if is_complete {
                tracing::info!("memory holds every key again");
            } else {
                tracing::warn!(
                    cache.capacity = self.capacity,
                    "not every key fits into memory; others are looked up"
                );
            }
        }
        self.tell_age();
    }

    fn tell_trouble(&mut self, error: &StoreError) {
        if !self.told.trouble {
            self.told.trouble = true;
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "the key database does not answer; known keys are served on"
            );
        }
        self.tell_age();
    }

    fn tell_age(&mut self) {
        let freshness = &self.shared.freshness;
        if let Some(age) = freshness.age() {
            self.shared.metrics.age(age);
        }
        if freshness.standing() == Standing::Stale && !self.told.stale {
            self.told.stale = true;
            tracing::error!(
                "the key database has not answered for `cache.max_stale`; every key is refused until it does"
            );
        }
    }
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

/// How long to wait after failures in a row: doubling up to a second, each time a random part of it, so that
/// instances do not come back together.
struct Backoff {
    random: RandomState,
    failures: u32,
    longest: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(1);

    fn new(longest: Duration) -> Self {
        Self {
            random: keyed_hasher(),
            failures: 0,
            longest: longest.min(Self::LONGEST),
        }
    }

    /// Between half of the present step and the whole.
    fn next(&mut self) -> Duration {
        let step = Self::FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(self.longest);
        self.failures = self.failures.saturating_add(1);
        let half = step / 2;
        let random = u32::try_from(self.random.hash_one(self.failures) >> 32).unwrap_or(0);
        half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    fn reset(&mut self) {
        self.failures = 0;
    }
}
