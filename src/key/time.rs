use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

/// A moment in whole seconds since 1970-01-01 UTC: the only clock type that is stored, compared or shown.
///
/// Pure: it is made from a number, never from a clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(u64);

impl UnixTime {
    /// The moment `secs` seconds after 1970 began.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs)
    }

    /// Reads a stored value; a negative one is not a moment of ours.
    #[must_use]
    pub fn from_stored(secs: i64) -> Option<Self> {
        u64::try_from(secs).ok().map(Self)
    }

    /// Whole seconds since 1970.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// The value as both databases store it.
    #[must_use]
    pub fn to_stored(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }

    /// How long after `earlier` this is; zero when it is not after.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// The moment as RFC 3339 with the zone `Z`, as every dialect shows it.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        Timestamp::from_second(self.to_stored())
            .unwrap_or(Timestamp::MAX)
            .to_string()
    }
}

impl fmt::Debug for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnixTime({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_shown_with_its_zone() {
        assert_eq!(
            UnixTime::from_secs(1_700_000_000).to_rfc3339(),
            "2023-11-14T22:13:20Z"
        );
        assert_eq!(UnixTime::from_secs(0).to_rfc3339(), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn a_moment_past_the_calendar_is_shown_as_its_end() {
        assert!(
            UnixTime::from_secs(u64::MAX)
                .to_rfc3339()
                .starts_with("9999-")
        );
    }

    #[test]
    fn a_negative_stored_moment_is_refused() {
        assert_eq!(UnixTime::from_stored(-1), None);
        assert_eq!(UnixTime::from_stored(7), Some(UnixTime::from_secs(7)));
    }
}
