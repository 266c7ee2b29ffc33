//! What time it is: the database's, not this machine's.
//!
//! A cellar room: everything that decides by time is given a [`Clock`], made in `server`, and tests move theirs by
//! hand. Two questions are kept apart. *Which second is it* ([`Clock::unix_time`]) is answered in the database's
//! time, so that instances whose own clocks are an hour apart agree about expiry and last use (SECURITY D6). *How
//! long ago* ([`Clock::elapsed`]) is answered by the monotonic clock, which no correction moves. What every request asks is
//! answered as of its task's turn ([`turn`]).

mod alarm;
pub mod turn;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

pub use alarm::Alarm;

use crate::key::UnixTime;

/// The clock of a process, cheap to copy; every copy tells the same time.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Source>);

#[derive(Debug)]
enum Source {
    System {
        start: Instant,
        /// Milliseconds since 1970 at `start`, by the clock we follow.
        origin_ms: AtomicI64,
    },
    Manual {
        elapsed_ms: AtomicU64,
        origin_ms: AtomicI64,
        machine_ms: i64,
    },
}

impl Clock {
    /// This machine's clock, until [`Clock::follow`] says what the database's is.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(Source::System {
            start: Instant::now(),
            origin_ms: AtomicI64::new(millis(machine_time())),
        }))
    }

    /// A clock that stands still until [`Clock::advance`] moves it.
    #[must_use]
    pub fn manual(now: UnixTime) -> Self {
        let now_ms = millis(Duration::from_secs(now.as_secs()));
        Self(Arc::new(Source::Manual {
            elapsed_ms: AtomicU64::new(0),
            origin_ms: AtomicI64::new(now_ms),
            machine_ms: now_ms,
        }))
    }

    /// Which second it is, in the database's time.
    #[must_use]
    pub fn unix_time(&self) -> UnixTime {
        self.unix_time_at(self.elapsed())
    }

    /// Which second it was at a moment of [`Clock::elapsed`], as far as is known now: without reading the clock again.
    #[must_use]
    pub fn unix_time_at(&self, elapsed: Duration) -> UnixTime {
        let origin_ms = self.origin_ms().load(Ordering::Relaxed);
        let at_ms = origin_ms.saturating_add(millis(elapsed));
        UnixTime::from_secs(u64::try_from(at_ms / 1000).unwrap_or(0))
    }

    /// What this machine's own clock says, since 1970, whatever database is followed.
    ///
    /// The one measure that outlives a process; it may be set, and jump, at any time.
    #[must_use]
    pub fn machine_time(&self) -> Duration {
        match &*self.0 {
            Source::System { .. } => machine_time(),
            Source::Manual { machine_ms, .. } => {
                let origin = Duration::from_millis(u64::try_from(*machine_ms).unwrap_or(0));
                origin + self.elapsed()
            }
        }
    }

    /// The same to the second, as of the turn of the task that asks ([`turn::now`]): this machine is asked once in each. Where
    /// it is set meanwhile, that shows in the next.
    #[must_use]
    pub fn machine_second_at_turn(&self) -> u64 {
        thread_local! {
            static LAST: Cell<Option<(Instant, u64)>> = const { Cell::new(None) };
        }
        if let Source::Manual { .. } = &*self.0 {
            return self.machine_time().as_secs();
        }
        let now = turn::now();
        if let Some((end, second)) = LAST.get()
            && now < end
        {
            return second;
        }
        let time = machine_time();
        let left = 1_000_000_000 - time.subsec_nanos();
        let end = now + Duration::from_nanos(left.into());
        LAST.set(Some((end, time.as_secs())));
        time.as_secs()
    }

    /// How many milliseconds the database's clock is ahead of this machine's, as far as is known; negative when it is
    /// behind.
    #[must_use]
    pub fn ahead_ms(&self) -> i64 {
        self.unix_ms().saturating_sub(millis(self.machine_time()))
    }

    /// How long the clock has run: monotonic, and the measure of every "how long ago".
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        match &*self.0 {
            Source::System { start, .. } => start.elapsed(),
            Source::Manual { elapsed_ms, .. } => {
                Duration::from_millis(elapsed_ms.load(Ordering::Acquire))
            }
        }
    }

    /// The same as of the turn of the task that asks ([`turn::now`]).
    #[must_use]
    pub fn elapsed_at_turn(&self) -> Duration {
        match &*self.0 {
            Source::System { start, .. } => turn::now().saturating_duration_since(*start),
            Source::Manual { .. } => self.elapsed(),
        }
    }

    /// Takes over the database's time, `since_1970` now.
    pub fn follow(&self, since_1970: Duration) {
        let origin_ms = millis(since_1970).saturating_sub(millis(self.elapsed()));
        self.origin_ms().store(origin_ms, Ordering::Relaxed);
    }

    /// Moves a manual clock on; a system clock goes by itself and is left alone.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual { elapsed_ms, .. } = &*self.0 {
            let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
            elapsed_ms.fetch_add(by, Ordering::AcqRel);
        }
    }

    fn unix_ms(&self) -> i64 {
        let origin_ms = self.origin_ms().load(Ordering::Relaxed);
        origin_ms.saturating_add(millis(self.elapsed()))
    }

    fn origin_ms(&self) -> &AtomicI64 {
        match &*self.0 {
            Source::System { origin_ms, .. } | Source::Manual { origin_ms, .. } => origin_ms,
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where this machine's clock is read"
)]
fn machine_time() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_when_told() {
        let clock = Clock::manual(UnixTime::from_secs(100));
        let copy = clock.clone();
        clock.advance(Duration::from_millis(2_500));
        assert_eq!(copy.unix_time(), UnixTime::from_secs(102));
        assert_eq!(copy.elapsed(), Duration::from_millis(2_500));
    }

    #[test]
    fn what_the_machine_says_stays_apart_from_what_the_database_says() {
        let clock = Clock::manual(UnixTime::from_secs(100));
        clock.follow(Duration::from_secs(3_700));
        clock.advance(Duration::from_secs(5));
        assert_eq!(clock.machine_time(), Duration::from_secs(105));
        assert_eq!(clock.ahead_ms(), 3_600_000);
        assert!(Clock::system().ahead_ms().abs() < 60_000);
    }

    #[tokio::test(start_paused = true)]
    async fn the_machine_is_asked_for_its_second_once_in_each() {
        let clock = Clock::system();
        let first = clock.machine_second_at_turn();
        assert!(clock.machine_time().as_secs() - first <= 1);
        // Only the turns' time goes on: the same second, and then it is asked again.
        tokio::time::advance(Duration::from_secs(1)).await;
        let asked = clock.machine_second_at_turn();
        assert!(clock.machine_time().as_secs() - asked <= 1);

        let manual = Clock::manual(UnixTime::from_secs(100));
        assert_eq!(manual.machine_second_at_turn(), 100);
        manual.advance(Duration::from_millis(1_500));
        assert_eq!(manual.machine_second_at_turn(), 101);
    }

    #[test]
    fn a_clock_an_hour_wrong_follows_the_database() {
        let clock = Clock::system();
        let database = Duration::from_secs(clock.unix_time().as_secs() + 3_600);
        clock.follow(database);
        let told = clock.unix_time().as_secs();
        assert!((database.as_secs()..=database.as_secs() + 1).contains(&told));
    }
}
