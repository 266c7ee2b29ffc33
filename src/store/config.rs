use std::fmt;
use std::time::Duration;

use serde::Deserialize;

/// Which key database, and how long it may take.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// `sqlite://keyward.db` (relative to the working directory), `sqlite:///var/lib/keyward/keyward.db`, or
    /// `postgres://user:password@host:5432/keyward?sslmode=verify-full`. May hold a password: never shown whole.
    pub url: String,
    /// How long a statement may take in SQLite, which waits this long for another writer, too.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub statement_timeout: Duration,
    /// How often the bell of SQLite looks whether another process has changed the file.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub bell_every: Duration,
    /// SQLite: connections that read beside the one that writes.
    pub readers: u32,
    /// How Postgres tells that there is news.
    pub bell: BellKind,
    /// Where Postgres is listened to, when `url` leads through a pooler in transaction mode, which cannot listen.
    pub bell_url: Option<String>,
    /// What is Postgres' alone.
    pub postgres: PostgresConfig,
    /// Whether a file that is not there is an error, rather than made. No setting: a server makes its database; a
    /// command that only looks must not leave one behind where a name was mistyped.
    #[serde(skip)]
    pub must_exist: bool,
}

/// How Postgres tells that there is news.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BellKind {
    /// By `LISTEN`, on a connection of its own.
    Listen,
    /// Not at all: only the poll finds it.
    Poll,
}

/// Settings for Postgres.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PostgresConfig {
    /// Connections at once, beside the one that listens.
    pub connections: u32,
    /// How long to wait for one of them.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub acquire_timeout: Duration,
    /// How long a statement may take, here and on the server.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub statement_timeout: Duration,
    /// How often the connection that listens is asked whether it lives.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub heartbeat: Duration,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            url: "sqlite://keyward.db".to_owned(),
            statement_timeout: Duration::from_secs(5),
            bell_every: Duration::from_millis(20),
            readers: 2,
            bell: BellKind::Listen,
            bell_url: None,
            postgres: PostgresConfig::default(),
            must_exist: false,
        }
    }
}

impl Default for PostgresConfig {
    fn default() -> Self {
        Self {
            connections: 8,
            acquire_timeout: Duration::from_secs(1),
            statement_timeout: Duration::from_secs(2),
            heartbeat: Duration::from_secs(5),
        }
    }
}

/// Without the urls, which may hold a password.
impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig")
            .field("url", &"***")
            .field("statement_timeout", &self.statement_timeout)
            .field("bell_every", &self.bell_every)
            .field("readers", &self.readers)
            .field("bell", &self.bell)
            .field("bell_url", &self.bell_url.as_ref().map(|_| "***"))
            .field("postgres", &self.postgres)
            .field("must_exist", &self.must_exist)
            .finish()
    }
}
