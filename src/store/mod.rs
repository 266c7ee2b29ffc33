//! The key database: the truth that memory follows.
//!
//! [`KeyStore`] is what any database must do; [`open`] is the one list of databases. A change of a key, by whoever,
//! is written to a change log by triggers in the same transaction. [`KeyStore::changed`] is a bell that saves
//! waiting, [`KeyStore::changes`] reads the log itself. Every running server has a row here that says how far it has
//! followed the log, for whoever waits until a change is in force everywhere.

mod audit;
mod bulk;
mod change;
mod config;
mod error;
mod instance;
mod listing;
pub mod postgres;
mod reopening;
mod row;
pub mod sqlite;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use audit::{Action, AuditEntry};
pub use bulk::{Conflict, Import, Imported, KeyPage, OnConflict, PageMark};
pub use change::{BadRow, ChangeBatch, Changes, Cursor, KeyChange, SnapshotEnd};
pub use config::{BellKind, PostgresConfig, StoreConfig};
pub use error::StoreError;
pub use instance::{Instance, InstanceId, InstanceReport};
pub use listing::{InvalidMark, ListMark, ListPage};
pub use postgres::PostgresStore;
pub use reopening::open_or_await;
pub use sqlite::SqliteStore;

use crate::key::{
    Actor, ApiKey, KeyDigest, KeyFilter, KeyId, KeySelector, KeyUpdate, Name, NewApiKey, OrgId,
    Team, UnixTime,
};
use crate::telemetry::metrics::StoreMetrics;

/// A key database. Every method may be called from any task of the background runtime; none is called while a
/// request holds anything. Every method ends in bounded time, with [`StoreError::TimedOut`] if need be, except
/// [`KeyStore::changed`], which waits for news.
#[async_trait]
pub trait KeyStore: Send + Sync + 'static {
    /// Gives every live key to `each`, one by one, and then the place in the log from which to follow.
    ///
    /// The place is read before the first key, so re-applying what lies between is harmless. The whole set is never
    /// held at once.
    async fn snapshot(
        &self,
        each: &mut (dyn FnMut(ApiKey) + Send),
    ) -> Result<SnapshotEnd, StoreError>;

    /// Changes after `cursor`, oldest first; [`Changes::Lost`] when the log no longer reaches back that far, or ends
    /// before it (a database that was put back from a copy).
    async fn changes(&self, cursor: Cursor) -> Result<Changes, StoreError>;

    /// Waits until there may be changes. May return for nothing; returns after every lost connection. Dropping the
    /// future loses nothing: what rang since the last return makes the next call return at once.
    async fn changed(&self) -> Result<(), StoreError>;

    /// The live key known by `digest`: its present one, or the one before a rotation while its grace lasts.
    async fn find(&self, digest: &KeyDigest) -> Result<Option<ApiKey>, StoreError>;

    /// Live keys, newest first. Rows that cannot be read are left out, counted and named in the log.
    async fn list(&self, filter: &KeyFilter) -> Result<Vec<ApiKey>, StoreError>;

    /// At most `limit` keys of the same list, those after `after`. A page costs as much as it has keys, wherever it is, but
    /// for those that a filter leaves out.
    async fn list_page(
        &self,
        filter: &KeyFilter,
        after: Option<&ListMark>,
        limit: usize,
    ) -> Result<ListPage, StoreError>;

    /// The live key selected, if there is one.
    async fn get(&self, which: &KeySelector) -> Result<Option<ApiKey>, StoreError>;

    /// Stores a key; returns it as stored, and the place in the log that its change took.
    async fn insert(&self, key: &NewApiKey) -> Result<(ApiKey, Cursor), StoreError>;

    /// Stores keys that were made elsewhere, each with its digest, in one transaction: all of them, or none where the
    /// import says so. A key that is there already, live and with the same digest and prefix, stays as it is, so that
    /// an import may be done again. [`StoreError::NoSuchTeam`], and nothing is stored, when a team is not there.
    ///
    /// Costs some tens of microseconds a key, and others wait for it to write: a thousand at a time is a good number.
    async fn import(&self, import: &Import) -> Result<Imported, StoreError>;

    /// Live keys in the order of their ids, some at a time, those after `after`. Pages are not of one moment: what is
    /// there all the time is told once, what comes or goes meanwhile may be told or not.
    async fn page(&self, after: Option<&PageMark>) -> Result<KeyPage, StoreError>;

    /// Leaves a tombstone in place of a live key; [`StoreError::NoSuchKey`] when there is none. `by` is noted in the
    /// audit trail, in the same transaction; nothing is noted without.
    async fn delete_by(
        &self,
        which: &KeySelector,
        by: Option<&Actor>,
    ) -> Result<(ApiKey, Cursor), StoreError>;

    /// The same, by nobody.
    async fn delete(&self, which: &KeySelector) -> Result<(ApiKey, Cursor), StoreError> {
        self.delete_by(which, None).await
    }

    /// At most `limit` entries of the audit trail, newest first, those older than the one numbered `before`.
    async fn audit(&self, before: Option<u64>, limit: usize)
    -> Result<Vec<AuditEntry>, StoreError>;

    /// Changes what may change (rotation, expiry, enabled, category, scope, team, name). [`StoreError::NoSuchTeam`] when
    /// the team is not one of the key's organisation; [`StoreError::ChangedMeanwhile`], and nothing is changed, when
    /// the key may not do any more what it was seen to.
    async fn update(
        &self,
        which: &KeySelector,
        change: &KeyUpdate,
    ) -> Result<(ApiKey, Cursor), StoreError>;

    /// Writes the moments; keeps the later of two; a key that is gone is no error. Does not touch the change log.
    async fn record_last_used(&self, batch: &[(KeyId, UnixTime)]) -> Result<(), StoreError>;

    /// The organisation. One exists from the first start.
    async fn org(&self) -> Result<OrgId, StoreError>;

    /// The teams, the default one first, then by name.
    async fn teams(&self) -> Result<Vec<Team>, StoreError>;

    /// Makes a team. `by` is noted in the audit trail, in the same transaction; nothing is noted without.
    async fn insert_team_by(&self, name: &Name, by: Option<&Actor>) -> Result<Team, StoreError>;

    /// The same, by nobody.
    async fn insert_team(&self, name: &Name) -> Result<Team, StoreError> {
        self.insert_team_by(name, None).await
    }

    /// The digest of the admin token, if one was kept.
    async fn admin_token(&self) -> Result<Option<KeyDigest>, StoreError>;

    /// Keeps `digest` as the admin token's unless one is kept already; returns the one that is kept now. `by` is noted in
    /// the audit trail when it was kept, in the same transaction; nothing is noted without.
    async fn keep_admin_token_by(
        &self,
        digest: &KeyDigest,
        by: Option<&Actor>,
    ) -> Result<KeyDigest, StoreError>;

    /// The same, by nobody.
    async fn keep_admin_token(&self, digest: &KeyDigest) -> Result<KeyDigest, StoreError> {
        self.keep_admin_token_by(digest, None).await
    }

    /// Says that an instance is there, and how far it is; takes with it the instances that have been silent for so
    /// long that they serve no key. Does not ring the bell of others, where a bell can tell.
    async fn report_instance(&self, report: &InstanceReport) -> Result<(), StoreError>;

    /// Says that an instance has ended. One that is not there is no error.
    async fn remove_instance(&self, id: InstanceId) -> Result<(), StoreError>;

    /// The instances that may serve keys, by name.
    async fn instances(&self) -> Result<Vec<Instance>, StoreError>;

    /// Asks every instance to report how far it is whenever it has applied a change, for `time` from now at least, and
    /// rings the bell: see [`ChangeBatch::positions_wanted`]. Writes nothing while that has been asked for already, so
    /// that many who wait together write seldom; each asking holds for up to twice `time`.
    async fn want_positions(&self, time: Duration) -> Result<(), StoreError>;

    /// Ends what runs and closes every connection. Calls after it fail.
    async fn close(&self);
}

impl StoreConfig {
    /// Looks at the url, and opens nothing.
    ///
    /// # Errors
    ///
    /// When no database has such a url: what would be right, in words.
    pub fn check_url(&self) -> Result<(), String> {
        in_words(match self.url.split_once(':') {
            Some(("sqlite", _)) => SqliteStore::check_url(self),
            Some(("postgres" | "postgresql", _)) => PostgresStore::check_url(self),
            scheme => Err(unknown_scheme(scheme.map(|(scheme, _)| scheme))),
        })
    }

    /// Looks at the url of the bell, if there is one, and opens nothing.
    ///
    /// # Errors
    ///
    /// When it cannot be listened to: what would be right, in words.
    pub fn check_bell_url(&self) -> Result<(), String> {
        match self.bell_url {
            Some(_) if self.url.starts_with("sqlite:") => {
                Err("is for Postgres alone; SQLite needs none".to_owned())
            }
            Some(_) if self.bell == BellKind::Poll => Err(
                "must not be set when `store.bell` is \"poll\", which does not listen".to_owned(),
            ),
            Some(_) => in_words(PostgresStore::check_bell_url(self)),
            None => Ok(()),
        }
    }
}

fn in_words(checked: Result<(), StoreError>) -> Result<(), String> {
    checked.map_err(|error| match error {
        StoreError::Open { advice, .. } => advice,
        other => other.to_string(),
    })
}

/// Opens the key database that `config.url` names, making it when it is a file that is not there yet, unless
/// `config.must_exist`. A Postgres database must have been migrated ([`migrate`]).
///
/// This, with [`StoreConfig::check_url`] and [`migrate`], is the one list of databases: a scheme a line.
///
/// # Errors
///
/// When the scheme is unknown, or the database cannot be opened or is damaged. [`StoreError::is_away`] says whether
/// trying again may help; [`open_or_await`] does that.
pub async fn open(
    config: &StoreConfig,
    metrics: StoreMetrics,
) -> Result<Arc<dyn KeyStore>, StoreError> {
    match config.url.split_once(':') {
        Some(("sqlite", _)) => Ok(Arc::new(SqliteStore::open(config, metrics).await?)),
        Some(("postgres" | "postgresql", _)) => {
            Ok(Arc::new(PostgresStore::open(config, metrics).await?))
        }
        scheme => Err(unknown_scheme(scheme.map(|(scheme, _)| scheme))),
    }
}

/// What a migration has done, by the numbers of migrations. They are equal when there was nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// The newest one before; 0 when there was none.
    pub was: i64,
    /// The newest one now.
    pub is: i64,
}

/// Brings the schema of the key database that `config.url` names up to date. For SQLite that is what [`open`] does;
/// Postgres, where other programs run on the same database, is migrated by this alone.
///
/// # Errors
///
/// When the scheme is unknown, or the database cannot be opened or changed; then nothing was changed.
pub async fn migrate(config: &StoreConfig) -> Result<Migrated, StoreError> {
    match config.url.split_once(':') {
        Some(("sqlite", _)) => SqliteStore::migrate(config).await,
        Some(("postgres" | "postgresql", _)) => PostgresStore::migrate(config).await,
        scheme => Err(unknown_scheme(scheme.map(|(scheme, _)| scheme))),
    }
}

/// Not the url: another database's may hold a password.
fn unknown_scheme(scheme: Option<&str>) -> StoreError {
    StoreError::Open {
        address: scheme.unwrap_or("the configured url").to_owned(),
        advice: "a database url begins with `sqlite:`, as in `sqlite:///var/lib/keyward/keyward.db`, or with \
                 `postgres:`, as in `postgres://keyward@localhost/keyward`"
            .to_owned(),
        cause: None,
    }
}
