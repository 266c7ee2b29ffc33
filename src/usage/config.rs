use std::time::Duration;

use serde::Deserialize;

/// How moments of use are written, as written in the settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UsageConfig {
    /// How often moments are written; a crash loses at most this much of them, or as much as waits for its turn when
    /// more keys were used meanwhile than `rows_per_second` lets through.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub flush_every: Duration,
    /// How soon the first use of a key is written, and how long it is between two statements.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub first_within: Duration,
    /// How many keys may wait to be written; past it a use is counted as dropped, and the next one tries again.
    pub queue: usize,
    /// How many moments are written in a second, all keys together; the others wait for their turn.
    pub rows_per_second: u32,
}

impl Default for UsageConfig {
    fn default() -> Self {
        Self {
            flush_every: Duration::from_secs(10),
            first_within: Duration::from_secs(1),
            queue: 65_536,
            rows_per_second: 200,
        }
    }
}
