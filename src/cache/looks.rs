use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::CacheConfig;
use crate::clock::Clock;

/// How long a grant waits for one look after a pause.
const LOOK_WAIT: Duration = Duration::from_millis(400);

/// What the looks at the database say about memory: how fresh it is, and what that allows.
///
/// All moments are [`Clock::elapsed`]. A look that succeeds vouches for the moment it *began*.
#[derive(Debug)]
pub(super) struct Looks {
    clock: Clock,
    max_lag: Duration,
    max_stale: Duration,
    fresh_at: Moment,
    /// Whether memory is that of a sealed set, and no look of this process has succeeded yet.
    is_sealed: AtomicBool,
    /// When somebody last saw, being awake, that the database does not answer.
    troubled_at: Moment,
    /// When the look that ended last began.
    looked: watch::Sender<Option<Duration>>,
    wanted: Notify,
}

/// What may be done with memory now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It was never filled.
    Empty,
    /// The last look is recent.
    Fresh,
    /// The last look is not recent, and that is because the database does not answer.
    Outage,
    /// The last look is not recent, and nobody knows why: this process did not run.
    Paused,
    /// The last look is too long ago for anything.
    Stale,
}

impl Standing {
    /// Whether what is known may be served without waiting for a look.
    pub const fn may_serve_at_once(self) -> bool {
        matches!(self, Self::Fresh | Self::Outage)
    }
}

impl Looks {
    pub fn new(config: &CacheConfig, clock: Clock) -> Self {
        Self {
            clock,
            max_lag: config.max_lag,
            max_stale: config.max_stale,
            fresh_at: Moment::never(),
            is_sealed: AtomicBool::new(false),
            troubled_at: Moment::never(),
            looked: watch::Sender::new(None),
            wanted: Notify::new(),
        }
    }

    /// What may be done with memory, as of the turn of the task that asks ([`turn::now`](crate::clock::turn::now)): a process that
    /// is stopped in the middle of a turn goes on with what it had read before. Two loads when memory is fresh.
    pub fn standing(&self) -> Standing {
        let now = self.clock.elapsed_at_turn();
        let Some(age) = self.fresh_at.before(now) else {
            return Standing::Empty;
        };
        if age <= self.max_lag {
            Standing::Fresh
        } else if age > self.max_stale {
            Standing::Stale
        } else if self.is_troubled(now) {
            Standing::Outage
        } else {
            Standing::Paused
        }
    }

    /// How long ago the last successful look began; `None` before the first.
    pub fn age(&self) -> Option<Duration> {
        self.fresh_at.before(self.clock.elapsed())
    }

    /// Whether memory is that of a sealed set, and not what a look of this process has seen.
    pub fn is_sealed(&self) -> bool {
        self.is_sealed.load(Ordering::Acquire)
    }

    /// Waits, for a short while, for one look that begins after now.
    ///
    /// When none comes, that counts as seeing that the database does not answer: the next caller does not wait.
    pub async fn one_more(&self) {
        let asked_at = self.clock.elapsed();
        let mut looked = self.looked.subscribe();
        self.wanted.notify_one();
        let ended = looked.wait_for(|began| began.is_some_and(|began| began >= asked_at));
        if timeout(LOOK_WAIT, ended).await.is_err() {
            self.troubled();
        }
    }

    /// Waits until memory holds something that may be believed: for the first look that succeeds, or a sealed set.
    pub async fn filled(&self) {
        let mut looked = self.looked.subscribe();
        // The sender is ours, so this ends only when the condition holds.
        let _ = looked.wait_for(|_| self.age().is_some()).await;
    }

    /// Returns when somebody waits for a look, and at the latest after `time`.
    pub async fn wanted_within(&self, time: Duration) {
        // Either way it is time to look.
        let _ = timeout(time, self.wanted.notified()).await;
    }

    /// A look that began then has succeeded, and memory holds what it saw.
    pub fn succeeded(&self, began: Duration) {
        self.fresh_at.set(began);
        self.is_sealed.store(false, Ordering::Release);
        self.looked.send_replace(Some(began));
    }

    /// Memory holds what a process before this one saw in a look that began so long ago.
    pub fn unsealed(&self, age: Duration) {
        self.is_sealed.store(true, Ordering::Release);
        self.fresh_at.set_before(self.clock.elapsed(), age);
        // No look has ended; but whoever waits for memory to be filled waits no longer.
        self.looked.send_modify(|_| {});
    }

    /// A look that began then has failed.
    pub fn failed(&self, began: Duration) {
        self.looked.send_replace(Some(began));
    }

    /// The database does not answer now, and whoever says so has been awake.
    pub fn troubled(&self) {
        self.troubled_at.set(self.clock.elapsed());
    }

    fn is_troubled(&self, now: Duration) -> bool {
        let ago = self.troubled_at.before(now);
        ago.is_some_and(|ago| ago <= self.max_lag)
    }
}

/// A moment of [`Clock::elapsed`], or some time before it began, or none yet; to the microsecond.
#[derive(Debug)]
struct Moment(AtomicU64);

impl Moment {
    const NEVER: u64 = u64::MAX;
    /// Moments are counted from so long before the clock began: longer than anything may be stale.
    const BEFORE: Duration = Duration::from_hours(24 * 400);

    const fn never() -> Self {
        Self(AtomicU64::new(Self::NEVER))
    }

    /// How long before `now` it was; nothing when it never was.
    fn before(&self, now: Duration) -> Option<Duration> {
        match self.0.load(Ordering::Acquire) {
            Self::NEVER => None,
            micros => {
                let at = Duration::from_micros(micros);
                Some((now + Self::BEFORE).saturating_sub(at))
            }
        }
    }

    fn set(&self, at: Duration) {
        self.set_before(at, Duration::ZERO);
    }

    /// Release: whoever sees the moment sees the memory that goes with it.
    fn set_before(&self, now: Duration, ago: Duration) {
        let at = (now + Self::BEFORE).saturating_sub(ago);
        let micros = u64::try_from(at.as_micros()).unwrap_or(Self::NEVER - 1);
        self.0.store(micros, Ordering::Release);
    }
}
