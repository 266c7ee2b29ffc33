use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ahash::RandomState;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::fence::Epoch;
use super::memory::{grants_of, keyed_hasher};
use super::{CacheConfig, Shared};
use crate::key::{Grant, KeyDigest};
use crate::store::KeyStore;
use crate::telemetry::chain;

/// How much of a second's budget may be spent at once.
const BURST: Duration = Duration::from_millis(100);

/// What the database said about a digest.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// A key is known by it.
    Known(Arc<Grant>),
    /// No key is.
    Unknown,
    /// It did not answer.
    None,
}

/// The look-ups asked for and not answered yet: one per digest, however many callers wait.
#[derive(Debug)]
pub(super) struct LookUps {
    state: Mutex<State>,
    queue: mpsc::UnboundedSender<LookUp>,
    limit: usize,
    budget: Budget,
}

#[derive(Debug)]
struct State {
    by_digest: HashMap<KeyDigest, Flight, RandomState>,
    under_way: usize,
}

/// A look-up that callers may still join.
#[derive(Debug)]
struct Flight {
    epoch: Epoch,
    answer: watch::Receiver<Option<Answer>>,
}

/// One question to the database.
#[derive(Debug)]
pub(super) struct LookUp {
    digest: KeyDigest,
    epoch: Epoch,
    answer: watch::Sender<Option<Answer>>,
}

/// The loader's end of [`LookUps`].
pub(super) type Asked = mpsc::UnboundedReceiver<LookUp>;

impl LookUps {
    pub fn new(config: &CacheConfig) -> (Self, Asked) {
        // Not bounded by the channel but by `limit`, which counts what is under way as well.
        let (queue, asked) = mpsc::unbounded_channel();
        let state = State {
            by_digest: HashMap::with_hasher(keyed_hasher()),
            under_way: 0,
        };
        let lookups = Self {
            state: Mutex::new(state),
            queue,
            limit: config.lookups_waiting,
            budget: Budget::new(config.lookups_per_second),
        };
        (lookups, asked)
    }

    /// Whether a look-up may begin `now`, as far as the budget goes. Costs one load.
    pub fn may_begin(&self, now: Duration) -> bool {
        self.budget.wait(now).is_zero()
    }

    /// As [`LookUps::ask`], but `None` unless the look-up may begin `now`, so that it need not wait its turn. Past the
    /// budget that costs one load.
    pub fn ask_now(
        &self,
        digest: KeyDigest,
        epoch: Epoch,
        now: Duration,
    ) -> Option<watch::Receiver<Option<Answer>>> {
        let may_begin_behind = |behind| self.budget.wait_behind(behind, now).is_zero();
        // Those under way may have been paid for already: rather one too few.
        (self.may_begin(now) && may_begin_behind(self.lock().under_way))
            .then(|| self.ask(digest, epoch))
            .flatten()
    }

    /// Asks for `digest`, or joins those who have asked already; `None` when too much is asked for.
    ///
    /// Only a look-up of the present `epoch` is joined: an older one may have asked the database before a change that
    /// has been applied here, and whoever comes after that must not be told what was before it.
    pub fn ask(&self, digest: KeyDigest, epoch: Epoch) -> Option<watch::Receiver<Option<Answer>>> {
        let mut state = self.lock();
        if let Some(flight) = state.by_digest.get(&digest)
            && flight.epoch == epoch
        {
            return Some(flight.answer.clone());
        }
        if state.under_way >= self.limit {
            return None;
        }
        let (sender, answer) = watch::channel(None);
        let lookup = LookUp {
            digest,
            epoch,
            answer: sender,
        };
        self.queue.send(lookup).ok()?;
        state.under_way += 1;
        let flight = Flight {
            epoch,
            answer: answer.clone(),
        };
        state.by_digest.insert(digest, flight);
        Some(answer)
    }

    /// Answers all who asked; whoever comes from now on asks anew.
    fn end(&self, lookup: &LookUp, answer: Answer) {
        let mut state = self.lock();
        state.under_way -= 1;
        if let Some(flight) = state.by_digest.get(&lookup.digest)
            && flight.epoch == lookup.epoch
        {
            state.by_digest.remove(&lookup.digest);
        }
        drop(state);
        lookup.answer.send_replace(Some(answer));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task that asks the database for keys that memory does not hold.
pub struct Loader {
    asked: Asked,
    asking: Arc<Asking>,
}

struct Asking {
    shared: Arc<Shared>,
    store: Arc<dyn KeyStore>,
    timeout: Duration,
}

impl Loader {
    pub(super) fn new(
        asked: Asked,
        shared: Arc<Shared>,
        store: Arc<dyn KeyStore>,
        config: &CacheConfig,
    ) -> Self {
        Self {
            asked,
            asking: Arc::new(Asking {
                shared,
                store,
                timeout: config.lookup_timeout,
            }),
        }
    }

    /// Answers look-ups until `stop`; those under way then stay unanswered.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.answer_all() => {}
        }
    }

    async fn answer_all(mut self) {
        let shared = Arc::clone(&self.asking.shared);
        let (budget, clock) = (&shared.lookups.budget, &shared.clock);
        let mut under_way = FuturesUnordered::new();
        loop {
            let wait = budget.wait(clock.elapsed());
            tokio::select! {
                biased;
                Some(()) = under_way.next() => {}
                asked = self.asked.recv(), if wait.is_zero() => {
                    // The other end is in `shared`, which we hold.
                    let Some(lookup) = asked else { return };
                    // Learned since: whoever asked had looked there before another's look-up ended, or waited its turn.
                    if let Some(grant) = shared.memory.known(&lookup.digest) {
                        shared.lookups.end(&lookup, Answer::Known(grant));
                        continue;
                    }
                    budget.spend(clock.elapsed());
                    under_way.push(Arc::clone(&self.asking).answer(lookup));
                }
                () = sleep(wait), if !wait.is_zero() => {}
            }
        }
    }
}

impl Asking {
    async fn answer(self: Arc<Self>, lookup: LookUp) {
        let answer = self.ask_database(&lookup).await;
        // Memory first: whoever comes now finds it there, or joins this look-up.
        self.remember(&lookup, &answer);
        self.shared.lookups.end(&lookup, answer);
    }

    async fn ask_database(&self, lookup: &LookUp) -> Answer {
        match timeout(self.timeout, self.store.find(&lookup.digest)).await {
            Ok(Ok(Some(key))) => grants_of(&key)
                .find(|(digest, _)| *digest == lookup.digest)
                .map_or(Answer::Unknown, |(_, grant)| Answer::Known(grant)),
            Ok(Ok(None)) => Answer::Unknown,
            Ok(Err(error)) => {
                tracing::debug!(
                    error = %chain(&error),
                    "a key could not be looked up"
                );
                Answer::None
            }
            Err(_) => Answer::None,
        }
    }

    fn remember(&self, lookup: &LookUp, answer: &Answer) {
        let memory = &self.shared.memory;
        match answer {
            Answer::Known(grant) => {
                if !memory.remember_loaded(lookup.digest, grant, lookup.epoch) {
                    self.shared.metrics.discarded_load();
                }
            }
            Answer::Unknown => {
                memory.remember_unknown(lookup.digest, lookup.epoch, self.shared.clock.elapsed());
            }
            Answer::None => {}
        }
    }
}

/// Look-ups per second for the whole process, evenly spread, with a tenth of a second's worth at once. The loader spends it.
#[derive(Debug)]
struct Budget {
    interval: Duration,
    /// When everything spent so far will have been earned, in nanoseconds (the generic cell rate algorithm, ITU-T I.371).
    earned_at: AtomicU64,
}

impl Budget {
    fn new(per_second: u32) -> Self {
        Self {
            interval: Duration::from_secs(1) / per_second.max(1),
            earned_at: AtomicU64::new(0),
        }
    }

    /// How long to wait before the next look-up may begin.
    fn wait(&self, now: Duration) -> Duration {
        self.wait_behind(0, now)
    }

    /// The same for one behind so many others.
    fn wait_behind(&self, others: usize, now: Duration) -> Duration {
        let others = self
            .interval
            .saturating_mul(u32::try_from(others).unwrap_or(u32::MAX));
        let earned_at = self.earned_at().max(now).saturating_add(others);
        earned_at.saturating_sub(now.saturating_add(BURST))
    }

    fn spend(&self, now: Duration) {
        let earned_at = self.earned_at().max(now) + self.interval;
        // Far less than the 584 years that these are enough for.
        let nanos = u64::try_from(earned_at.as_nanos()).unwrap_or(u64::MAX);
        self.earned_at.store(nanos, Ordering::Relaxed);
    }

    /// Relaxed: it is one number, which the loader alone writes.
    fn earned_at(&self) -> Duration {
        Duration::from_nanos(self.earned_at.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_allows_a_burst_and_then_its_rate() {
        let budget = Budget::new(500);
        let mut now = Duration::from_secs(9);
        let spend_all = |now| {
            let mut spent = 0;
            while budget.wait(now).is_zero() {
                budget.spend(now);
                spent += 1;
            }
            spent
        };
        assert_eq!(spend_all(now), 51);
        now += Duration::from_millis(10);
        assert_eq!(spend_all(now), 5);
        now += Duration::from_mins(1);
        assert_eq!(spend_all(now), 51);
    }
}
