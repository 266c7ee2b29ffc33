//! Tokens that keys stand for: fetched before they are needed, renewed before they end, by one task alone.
//!
//! A call takes the token that is there, and never fetches one. Where there is none yet, or it has ended, the call says so
//! and waits for the task's next attempt; so however many calls wait, one question is asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use crate::clock::Clock;
use crate::credential::SecretText;
use crate::telemetry::metrics::UpstreamKeyMetrics;
use crate::upstream::UpstreamError;

/// How long a call waits for a token that is not there.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long before its end a token is renewed, at most: a fifth of its life if that is less.
const AHEAD: Duration = Duration::from_mins(5);
/// How long before its end a token is not used any more, at most: a tenth of its life if that is less. A call is on its way
/// for a while, and clocks differ.
const MARGIN: Duration = Duration::from_secs(30);
/// How long after a failure the next attempt is made; each further one doubles it, up to the longest.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_mins(1);
/// How often the clock is looked at while nothing is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The token of one key, as all workers see it.
pub(super) struct Token {
    current: ArcSwapOption<Held>,
    trouble: Mutex<Trouble>,
    /// Counts attempts that have ended, well or not.
    attempts: watch::Sender<u64>,
    wanted: Notify,
    clock: Clock,
    metrics: UpstreamKeyMetrics,
}

struct Held {
    text: Arc<SecretText>,
    renew_at: Duration,
    good_until: Duration,
}

#[derive(Debug, Clone, Copy, Default)]
struct Trouble {
    failures: u32,
    /// When the next attempt is made.
    retry_at: Option<Duration>,
}

/// A token that was fetched.
pub(super) struct Fetched {
    pub(super) text: SecretText,
    pub(super) life: Duration,
}

impl Token {
    pub(super) fn new(clock: Clock, metrics: UpstreamKeyMetrics) -> Self {
        Self {
            current: ArcSwapOption::empty(),
            trouble: Mutex::default(),
            attempts: watch::channel(0).0,
            wanted: Notify::new(),
            clock,
            metrics,
        }
    }

    /// The token, as long as it is good. Waits for nothing once there is one.
    ///
    /// # Errors
    ///
    /// When there is none, and the task could not fetch one.
    pub(super) async fn get(&self) -> Result<Arc<SecretText>, UpstreamError> {
        if let Some(text) = self.current() {
            return Ok(text);
        }
        let mut attempts = self.attempts.subscribe();
        let waiting = async {
            loop {
                if let Some(text) = self.current() {
                    return Some(text);
                }
                let now = self.clock.elapsed();
                if self.trouble().retry_at.is_some_and(|at| now < at) {
                    return None;
                }
                self.wanted.notify_one();
                attempts.changed().await.ok()?;
            }
        };
        let text = timeout(PATIENCE, waiting).await.ok().flatten();
        text.ok_or(UpstreamError::NoToken)
    }

    fn current(&self) -> Option<Arc<SecretText>> {
        let now = self.clock.elapsed();
        let held = self.current.load();
        let held = held.as_ref().filter(|held| now < held.good_until)?;
        if now >= held.renew_at {
            self.wanted.notify_one();
        }
        Some(Arc::clone(&held.text))
    }

    /// Whether it is good still.
    pub(super) fn is_good(&self) -> bool {
        self.current().is_some()
    }

    /// What it is fetched with has changed: it is renewed at once, and used until then.
    pub(super) fn renew_now(&self) {
        *self.trouble() = Trouble::default();
        if let Some(held) = self.current.load_full() {
            self.current.store(Some(Arc::new(Held {
                text: Arc::clone(&held.text),
                renew_at: Duration::ZERO,
                good_until: held.good_until,
            })));
        }
        self.wanted.notify_one();
    }

    /// Waits until the next attempt is due.
    pub(super) async fn due(&self) {
        loop {
            let now = self.clock.elapsed();
            let at = match (self.trouble().retry_at, &*self.current.load()) {
                (Some(at), _) => at,
                (None, Some(held)) => held.renew_at,
                (None, None) => Duration::ZERO,
            };
            let Some(left) = at.checked_sub(now).filter(|left| !left.is_zero()) else {
                return;
            };
            tokio::select! {
                biased;
                () = self.wanted.notified() => {}
                () = sleep(left.min(LOOK_EVERY)) => {}
            }
        }
    }

    /// One was fetched, by a question that was asked at `asked_at`.
    pub(super) fn fetched(&self, fetched: Fetched, asked_at: Duration) {
        let life = fetched.life;
        let end = asked_at + life;
        self.current.store(Some(Arc::new(Held {
            text: Arc::new(fetched.text),
            renew_at: end.saturating_sub(AHEAD.min(life / 5)),
            good_until: end.saturating_sub(MARGIN.min(life / 10)),
        })));
        *self.trouble() = Trouble::default();
        self.metrics.token_fetched(true);
        self.attempts.send_modify(|count| *count += 1);
    }

    /// None was fetched. Returns how many attempts in a row that were.
    pub(super) fn failed(&self) -> u32 {
        let failures = {
            let mut trouble = self.trouble();
            let doubled = 1_u32.checked_shl(trouble.failures).unwrap_or(u32::MAX);
            trouble.failures = trouble.failures.saturating_add(1);
            let wait = RETRY.saturating_mul(doubled).min(LONGEST_RETRY);
            trouble.retry_at = Some(self.clock.elapsed() + wait);
            trouble.failures
        };
        self.metrics.token_fetched(false);
        self.attempts.send_modify(|count| *count += 1);
        failures
    }

    /// What it guards is whole at any moment.
    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
