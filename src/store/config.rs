use std::time::Duration;

use serde::Deserialize;

/// Which key database, and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// `sqlite://keyward.db` (relative to the working directory) or `sqlite:///var/lib/keyward/keyward.db`.
    pub url: String,
    /// How long a statement may take. SQLite waits this long for another writer, too.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub statement_timeout: Duration,
    /// How often the bell looks whether another process has changed the file.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub bell_every: Duration,
    /// Connections that read beside the one that writes.
    pub readers: u32,
    /// Whether a file that is not there is an error, rather than made. No setting: a server makes its database; a
    /// command that only looks must not leave one behind where a name was mistyped.
    #[serde(skip)]
    pub must_exist: bool,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            url: "sqlite://keyward.db".to_owned(),
            statement_timeout: Duration::from_secs(5),
            bell_every: Duration::from_millis(20),
            readers: 2,
            must_exist: false,
        }
    }
}
