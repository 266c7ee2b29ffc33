use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::UnixTime;

/// The latest moment a key was used, and whether that moment still waits to be written.
#[derive(Debug, Default)]
pub struct LastUsed {
    seen: AtomicU64,
    queued: AtomicBool,
}

/// What a touch asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    /// Nothing: this second is noted, or the mark already waits to be written.
    Noted,
    /// Queue the mark; the key was used before.
    Queue,
    /// Queue the mark, and soon: this is the first use of the key that is known.
    QueueFirst,
}

impl LastUsed {
    /// A clean mark; `last` is what the database says.
    #[must_use]
    pub fn new(last: Option<UnixTime>) -> Self {
        Self {
            seen: AtomicU64::new(last.map_or(0, UnixTime::as_secs)),
            queued: AtomicBool::new(false),
        }
    }

    /// Notes that the key was used at `now`, in whole seconds.
    ///
    /// Keeps the latest moment; an older `now` changes nothing. Never blocks or allocates; within one second it is a
    /// single relaxed load. Exactly one caller of a clean mark is asked to queue it.
    pub fn touch(&self, now: UnixTime) -> Touch {
        if self.seen.load(Ordering::Relaxed) >= now.as_secs() {
            return Touch::Noted;
        }
        let before = self.seen.fetch_max(now.as_secs(), Ordering::Relaxed);
        // Release: whoever clears the mark must also see the moment stored above.
        if self.queued.swap(true, Ordering::AcqRel) {
            Touch::Noted
        } else if before == 0 {
            Touch::QueueFirst
        } else {
            Touch::Queue
        }
    }

    /// Clears the mark and returns the moment to be written.
    pub fn take(&self) -> UnixTime {
        self.queued.swap(false, Ordering::AcqRel);
        UnixTime::from_secs(self.seen.load(Ordering::Relaxed))
    }

    /// The latest moment, if there is one; the mark stays as it is.
    #[must_use]
    pub fn latest(&self) -> Option<UnixTime> {
        match self.seen.load(Ordering::Relaxed) {
            0 => None,
            secs => Some(UnixTime::from_secs(secs)),
        }
    }

    /// Forgets that the mark was to be queued and that this second was noted, so that the next touch asks again.
    ///
    /// For a caller whose queue was full.
    pub fn forget(&self, moment: UnixTime) {
        // Only our own second is taken back; a later touch keeps what it noted.
        let earlier = moment.as_secs().saturating_sub(1);
        let _ = self.seen.compare_exchange(
            moment.as_secs(),
            earlier,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        self.queued.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs)
    }

    #[test]
    fn one_caller_of_a_clean_mark_queues_it() {
        let mark = LastUsed::new(None);
        assert_eq!(mark.touch(at(5)), Touch::QueueFirst);
        assert_eq!(mark.touch(at(5)), Touch::Noted);
        assert_eq!(mark.touch(at(6)), Touch::Noted);
        assert_eq!(mark.take(), at(6));
        assert_eq!(mark.touch(at(6)), Touch::Noted);
        assert_eq!(mark.touch(at(7)), Touch::Queue);
    }

    #[test]
    fn an_older_moment_changes_nothing() {
        let mark = LastUsed::new(Some(at(9)));
        assert_eq!(mark.touch(at(8)), Touch::Noted);
        assert_eq!(mark.take(), at(9));
    }

    #[test]
    fn a_forgotten_mark_is_asked_for_again_within_the_same_second() {
        let mark = LastUsed::new(Some(at(3)));
        assert_eq!(mark.touch(at(5)), Touch::Queue);
        mark.forget(at(5));
        assert_eq!(mark.touch(at(5)), Touch::Queue);
    }
}
