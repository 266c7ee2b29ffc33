use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use http::header::RETRY_AFTER;

use crate::key::UnixTime;
use crate::message::Fields;
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

/// After how long the upstream says to come back, in seconds or as a date in any of the three forms (RFC 9110, 10.2.3 and
/// 5.6.7); a date that is past by `now` is now. Not bounded: [`Rest::refused`] does that.
pub(super) fn retry_after(answer: &Fields, now: UnixTime) -> Option<Duration> {
    let text = answer.get(&RETRY_AFTER)?.to_str()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More than can be counted is as long as there is.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let date = date.duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(date.saturating_sub(Duration::from_secs(now.as_secs())))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

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

    #[rstest]
    #[case::seconds("5", Some(5))]
    #[case::spaces(" 5 ", Some(5))]
    #[case::now("0", Some(0))]
    #[case::many("86400", Some(86_400))]
    #[case::more_than_can_be_counted("99999999999999999999", Some(u64::MAX))]
    #[case::negative("-1", None)]
    #[case::signed("+1", None)]
    #[case::a_part("1.5", None)]
    #[case::a_unit("5s", None)]
    #[case::nothing("", None)]
    // Now is Fri, 15 Jan 2027 08:00:00 GMT.
    #[case::a_date("Fri, 15 Jan 2027 08:00:30 GMT", Some(30))]
    #[case::a_date_of_rfc_850("Friday, 15-Jan-27 08:00:30 GMT", Some(30))]
    #[case::a_date_of_asctime("Fri Jan 15 08:00:30 2027", Some(30))]
    #[case::this_moment("Fri, 15 Jan 2027 08:00:00 GMT", Some(0))]
    #[case::past("Fri, 31 Dec 1999 23:59:59 GMT", Some(0))]
    #[case::far("Fri, 31 Dec 9999 23:59:59 GMT", Some(251_602_300_799))]
    #[case::no_zone("Fri, 15 Jan 2027 08:00:30", None)]
    #[case::another_zone("Fri, 15 Jan 2027 08:00:30 CET", None)]
    #[case::no_day("Fri, 32 Jan 2027 08:00:30 GMT", None)]
    #[case::of_iso("2027-01-15T08:00:30Z", None)]
    fn a_time_to_come_back_is_read_in_seconds_and_as_a_date(
        #[case] text: &str,
        #[case] secs: Option<u64>,
    ) {
        let mut answer = Fields::new();
        answer.append(RETRY_AFTER, text.parse().unwrap());
        let now = UnixTime::from_secs(1_800_000_000);
        assert_eq!(retry_after(&answer, now), secs.map(Duration::from_secs));
    }
}
