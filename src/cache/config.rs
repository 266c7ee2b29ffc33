use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

/// What is remembered about keys, and how it is kept in step, as written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    /// How many keys memory may hold. While all fit, memory is complete.
    pub keys: u64,
    /// How many texts that are no keys memory may hold.
    pub unknown_keys: u64,
    /// How long such a text is remembered.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub unknown_for: Duration,
    /// How often the change log is read though no bell rang.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub poll_every: Duration,
    /// How long after the last look memory counts as fresh.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub max_lag: Duration,
    /// How long known keys are served while the database does not answer.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub max_stale: Duration,
    /// The file in which the key set is sealed, so that a start without the database can serve from it; none, no file.
    pub seal: Option<PathBuf>,
    /// How often it may be written anew when keys have changed.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub seal_every: Duration,
    /// Look-ups of keys that memory does not hold, a second, for the whole process.
    pub lookups_per_second: u32,
    /// Look-ups that may be under way or waiting at once.
    pub lookups_waiting: usize,
    /// How long a caller waits for its look-up.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub lookup_timeout: Duration,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            keys: 100_000,
            unknown_keys: 65_536,
            unknown_for: Duration::from_secs(1),
            poll_every: Duration::from_secs(1),
            max_lag: Duration::from_secs(2),
            max_stale: Duration::from_hours(1),
            seal: None,
            seal_every: Duration::from_secs(30),
            lookups_per_second: 500,
            lookups_waiting: 64,
            lookup_timeout: Duration::from_secs(2),
        }
    }
}
