use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::telemetry::metrics::UpstreamKeyMetrics;
use crate::upstream::KeyRules;

/// Whether a key may be used, as all workers together have learnt it.
///
/// While it was not refused, asking costs one load.
pub(super) struct Rest {
    is_resting: AtomicBool,
    until: Mutex<Until>,
    metrics: UpstreamKeyMetrics,
}

#[derive(Debug, Clone, Copy, Default)]
struct Until {
    /// When it is over, on the clock that runs; `None` without one.
    over: Option<Duration>,
    /// Whether the upstream said when to come back.
    is_told: bool,
    /// Refusals without an answer between them.
    refusals: u32,
}

/// What a key that rests is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readiness {
    /// It does not rest.
    Ready,
    /// It rests for so long, by our own judgement: it may be tried if nothing else is left.
    Doubtful(Duration),
    /// The upstream said to come back after so long.
    Told(Duration),
}

impl Rest {
    pub(super) fn new(metrics: UpstreamKeyMetrics) -> Self {
        metrics.resting(false);
        Self {
            is_resting: AtomicBool::new(false),
            until: Mutex::default(),
            metrics,
        }
    }

    /// What it is good for at `now`.
    pub(super) fn readiness(&self, now: Duration) -> Readiness {
        if !self.is_resting.load(Ordering::Relaxed) {
            return Readiness::Ready;
        }
        let until = *self.lock();
        match until.over {
            Some(over) if over > now => {
                let left = over.saturating_sub(now);
                if until.is_told {
                    Readiness::Told(left)
                } else {
                    Readiness::Doubtful(left)
                }
            }
            _ => {
                self.metrics.resting(false);
                Readiness::Ready
            }
        }
    }

    /// The upstream answered a call with it, whatever it said.
    pub(super) fn answered(&self) {
        if self.is_resting.load(Ordering::Relaxed) {
            *self.lock() = Until::default();
            self.is_resting.store(false, Ordering::Relaxed);
            self.metrics.resting(false);
        }
    }

    /// The upstream refused it at `now`, and said to come back after `retry_after`, or did not. Returns whether it did
    /// not rest before.
    pub(super) fn refused(
        &self,
        retry_after: Option<Duration>,
        rules: &KeyRules,
        now: Duration,
    ) -> bool {
        let mut until = self.lock();
        let is_new = until.over.is_none_or(|over| over <= now);
        let doubled = 1_u32.checked_shl(until.refusals).unwrap_or(u32::MAX);
        let rest = match retry_after {
            Some(told) => told.min(rules.longest_rest),
            None => rules.rest.saturating_mul(doubled).min(rules.longest_rest),
        };
        if is_new {
            // Calls that went out together are refused together, and once is enough.
            until.refusals = until.refusals.saturating_add(1);
        }
        let over = now + rest;
        if is_new
            || until
                .over
                .is_some_and(|before| before < over && retry_after.is_some())
        {
            until.over = Some(over);
            until.is_told = retry_after.is_some();
        }
        self.is_resting.store(true, Ordering::Relaxed);
        self.metrics.resting(true);
        is_new
    }

    /// No one panics with it, and what it guards is whole at any moment.
    fn lock(&self) -> MutexGuard<'_, Until> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    const RULES: KeyRules = KeyRules {
        attempts: 3,
        rest: Duration::from_secs(10),
        longest_rest: Duration::from_mins(1),
        sent_again_bytes: 0,
        signed_body_bytes: 0,
    };

    fn rest() -> Rest {
        Rest::new(Metrics::unrecorded().upstream_key("u", "k"))
    }

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_key_rests_longer_with_each_refusal_until_it_is_answered() {
        let rest = rest();
        let mut now = secs(0);
        for expected in [10, 20, 40, 60, 60] {
            assert_eq!(rest.readiness(now), Readiness::Ready);
            assert!(rest.refused(None, &RULES, now));
            assert!(!rest.refused(None, &RULES, now), "refused together");
            assert_eq!(rest.readiness(now), Readiness::Doubtful(secs(expected)));
            now += secs(expected);
        }
        rest.answered();
        assert!(rest.refused(None, &RULES, now));
        assert_eq!(rest.readiness(now), Readiness::Doubtful(secs(10)));
    }

    #[test]
    fn what_the_upstream_says_counts_up_to_the_longest_rest() {
        let rest = rest();
        rest.refused(None, &RULES, secs(0));
        rest.refused(Some(secs(30)), &RULES, secs(0));
        assert_eq!(rest.readiness(secs(0)), Readiness::Told(secs(30)));
        assert_eq!(rest.readiness(secs(30)), Readiness::Ready);
        rest.refused(Some(secs(86_400)), &RULES, secs(30));
        assert_eq!(rest.readiness(secs(30)), Readiness::Told(secs(60)));
        rest.refused(Some(secs(0)), &RULES, secs(90));
        assert_eq!(rest.readiness(secs(90)), Readiness::Ready);
    }
}
