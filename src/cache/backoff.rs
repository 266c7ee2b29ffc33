use std::time::Duration;

use ahash::RandomState;

use super::memory::keyed_hasher;

/// How long to wait after failures in a row: doubling up to a second, each time a random part of it, so that
/// instances do not come back together.
pub(super) struct Backoff {
    random: RandomState,
    failures: u32,
    longest: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(1);

    pub fn new(longest: Duration) -> Self {
        Self {
            random: keyed_hasher(),
            failures: 0,
            longest: longest.min(Self::LONGEST),
        }
    }

    /// Between half of the present step and the whole.
    pub fn next(&mut self) -> Duration {
        let step = Self::FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(self.longest);
        self.failures = self.failures.saturating_add(1);
        let half = step / 2;
        let random = u32::try_from(self.random.hash_one(self.failures) >> 32).unwrap_or(0);
        half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_again() {
        let mut backoff = Backoff::new(Duration::from_millis(700));
        for step_ms in [50, 100, 200, 400, 700, 700] {
            let wait = backoff.next();
            let step = Duration::from_millis(step_ms);
            assert!(step / 2 <= wait && wait <= step, "{wait:?}, not {step:?}");
        }
        for _ in 0..1_000 {
            assert!(backoff.next() <= Duration::from_millis(700));
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(50));
    }
}
