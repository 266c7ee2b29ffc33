//! The latest refusals, for whoever watches: a few of each reason, however many there are.
//!
//! How many there were is what `keyward_requests_total` counts. Here are examples of them, and taking one must cost the
//! refusing thread next to nothing: a [`RefusalTap`] belongs to one thread and lets so many of each reason through in a
//! second; only those are written down, under a lock that is tried and never waited for.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Duration;

use super::metrics::RequestOutcome;

/// How many refusals of one reason are kept: a flood of one does not wash the others away.
pub const KEPT_OF_A_REASON: usize = 16;
/// How many of one reason one thread writes down in a second.
pub const WRITTEN_A_SECOND: u8 = 4;

const REASONS: usize = RequestOutcome::ALL.len();

/// One refusal. Nothing in it came from a caller: the route is a line of the settings, and the prefix that of a key
/// that is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// When, in seconds since 1970.
    pub at_secs: u64,
    /// Why.
    pub reason: RequestOutcome,
    /// The route that was asked for, if there is one.
    pub route: Option<Arc<str>>,
    /// The prefix of the key that was presented, if it is one of ours.
    pub prefix: Option<Box<str>>,
}

/// The refusals that are kept. Cheap to copy; every copy is the same.
#[derive(Debug, Clone, Default)]
pub struct Refusals(Arc<Mutex<Kept>>);

#[derive(Debug)]
struct Kept {
    /// How many were ever written down: the order of those that came in one second.
    written: u64,
    of_reason: [VecDeque<(u64, Refused)>; REASONS],
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            written: 0,
            of_reason: std::array::from_fn(|_| VecDeque::with_capacity(KEPT_OF_A_REASON)),
        }
    }
}

impl Refusals {
    /// Where one thread writes refusals down.
    #[must_use]
    pub fn tap(&self) -> RefusalTap {
        RefusalTap {
            refusals: self.clone(),
            second: Cell::new(0),
            written: std::array::from_fn(|_| Cell::new(0)),
        }
    }

    /// What is kept, newest first: at most [`KEPT_OF_A_REASON`] of each reason.
    #[must_use]
    pub fn latest(&self) -> Vec<Refused> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<(u64, Refused)> = kept.of_reason.iter().flatten().cloned().collect();
        drop(kept);
        all.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
        all.into_iter().map(|(_, refused)| refused).collect()
    }

    /// Where somebody reads just now, it is not written.
    fn write(&self, refused: Refused) {
        let mut kept = match self.0.try_lock() {
            Ok(kept) => kept,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        kept.written += 1;
        let number = kept.written;
        let of_reason = &mut kept.of_reason[refused.reason as usize];
        if of_reason.len() == KEPT_OF_A_REASON {
            of_reason.pop_front();
        }
        of_reason.push_back((number, refused));
    }
}

/// Where one thread writes refusals down. Not shared between threads.
#[derive(Debug)]
pub struct RefusalTap {
    refusals: Refusals,
    /// The second that `written` counts.
    second: Cell<u64>,
    written: [Cell<u8>; REASONS],
}

impl RefusalTap {
    /// Writes down what `describe` says of a refusal for `reason`, unless enough of them were written down in this second
    /// of `elapsed`, the time that this thread's clock has run; then nothing is described. Never waits.
    pub fn note(
        &self,
        reason: RequestOutcome,
        elapsed: Duration,
        describe: impl FnOnce() -> Refused,
    ) {
        let second = elapsed.as_secs();
        if self.second.replace(second) != second {
            self.written.iter().for_each(|count| count.set(0));
        }
        let written = &self.written[reason as usize];
        if written.get() < WRITTEN_A_SECOND {
            written.set(written.get() + 1);
            self.refusals.write(describe());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(reason: RequestOutcome, at_secs: u64) -> Refused {
        Refused {
            at_secs,
            reason,
            route: None,
            prefix: None,
        }
    }

    #[test]
    fn a_flood_is_written_down_a_few_times_a_second_and_washes_nothing_else_away() {
        let refusals = Refusals::default();
        let tap = refusals.tap();
        tap.note(RequestOutcome::NoRoute, Duration::ZERO, || {
            refused(RequestOutcome::NoRoute, 0)
        });
        let mut described = 0;
        for second in 0..100 {
            for _ in 0..10_000 {
                tap.note(
                    RequestOutcome::UnknownKey,
                    Duration::from_secs(second),
                    || {
                        described += 1;
                        refused(RequestOutcome::UnknownKey, second)
                    },
                );
            }
        }
        assert_eq!(described, 100 * u32::from(WRITTEN_A_SECOND));
        let latest = refusals.latest();
        assert_eq!(latest.len(), KEPT_OF_A_REASON + 1);
        assert_eq!(latest[0].at_secs, 99);
        assert_eq!(latest[KEPT_OF_A_REASON].reason, RequestOutcome::NoRoute);
    }

    #[test]
    fn whoever_writes_never_waits_for_whoever_reads() {
        let refusals = Refusals::default();
        let tap = refusals.tap();
        let reading = refusals.0.lock().unwrap();
        // It would never return if it waited.
        tap.note(RequestOutcome::NoRoute, Duration::ZERO, || {
            refused(RequestOutcome::NoRoute, 0)
        });
        drop(reading);
        assert_eq!(refusals.latest(), []);
    }

    #[test]
    fn the_newest_comes_first_whatever_the_reason() {
        let refusals = Refusals::default();
        let tap = refusals.tap();
        let reasons = [
            RequestOutcome::NoRoute,
            RequestOutcome::UnknownKey,
            RequestOutcome::NoRoute,
        ];
        for (at, reason) in (0..).zip(reasons) {
            tap.note(reason, Duration::ZERO, || refused(reason, at));
        }
        let order: Vec<u64> = refusals.latest().iter().map(|one| one.at_secs).collect();
        assert_eq!(order, [2, 1, 0]);
    }
}
