//! Postgres, which many instances share.
//!
//! A few connections ask and change, in turns; one more listens for the bell. Everybody else may use the tables at the
//! same time, `psql` among them: the triggers of the schema write the change log, not this code. Nobody but
//! `keyward database migrate` ever changes the schema.

mod bell;
mod columns;
mod error;
mod import;
mod instances;
mod lane;
mod open;
mod place;
mod read;
pub mod sql;
mod write;

use std::future::Future;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::join;
use sqlx::postgres::PgRow;
use tokio::time::timeout_at;

use self::bell::Bell;
use self::error::Fault;
use self::lane::{Lane, ask};
pub use self::place::PLANNED_ONCE;
use self::place::Place;
use self::write::Write;
use super::row::{self, Complaints, EveryKey};
use super::{
    AuditEntry, BadRow, Changes, Cursor, Import, Imported, Instance, InstanceId, InstanceReport,
    KeyPage, KeyStore, ListMark, ListPage, Migrated, PageMark, SnapshotEnd, StoreConfig,
    StoreError,
};
use crate::key::{
    Actor, ApiKey, KeyDigest, KeyFilter, KeyId, KeySelector, KeyUpdate, Name, NewApiKey, OrgId,
    Team, UnixTime,
};
use crate::telemetry::metrics::{StoreMetrics, StoreQuery};

/// How many moments of use one statement writes, so that a change of a key need not wait for all of them.
const LAST_USED_BATCH: usize = 1000;

/// Two for a look at the locks, one of which holds what the other tries.
const FEWEST_CONNECTIONS: u32 = 2;

/// The keys in a Postgres database.
pub struct PostgresStore {
    lane: Lane,
    bell: Bell,
    limit: Duration,
    metrics: StoreMetrics,
    complaints: Complaints,
}

impl PostgresStore {
    /// Whether `config.url` can name a database; nothing is opened.
    pub(super) fn check_url(config: &StoreConfig) -> Result<(), StoreError> {
        Place::of_keys(config).map(drop)
    }

    /// Whether `config.bell_url` can; nothing is opened.
    pub(super) fn check_bell_url(config: &StoreConfig) -> Result<(), StoreError> {
        Place::of_bell(config).map(drop)
    }

    /// Connects to the database that `config.url` names, and makes sure that it is migrated and keeps order.
    ///
    /// # Errors
    ///
    /// [`StoreError::Open`], saying what is wrong and what to do, when it cannot be reached, was never migrated or not
    /// far enough, is of a version that needs a newer program, or lacks what the change log stands on.
    pub async fn open(config: &StoreConfig, metrics: StoreMetrics) -> Result<Self, StoreError> {
        let place = Place::of_keys(config)?;
        let bell = Place::of_bell(config)?;
        let settings = &config.postgres;
        let limit = settings.statement_timeout;
        let lane = Lane::new(
            place,
            settings.connections.max(FEWEST_CONNECTIONS),
            settings.acquire_timeout,
        );
        let start = Instant::now();
        let checked = open::check(&lane).await;
        metrics.query_ended(StoreQuery::Open, start.elapsed(), checked.is_err());
        checked?;
        Ok(Self {
            lane,
            bell: Bell::new(bell, config.bell_url.is_none(), settings.heartbeat, limit),
            limit,
            metrics,
            complaints: Complaints::default(),
        })
    }

    /// Brings the schema of the database that `config.url` names up to date; by `config.bell_url`, where one is given,
    /// because that one does not lead through a pooler.
    ///
    /// # Errors
    ///
    /// As [`PostgresStore::open`], and when the user may not make tables. Nothing was changed then.
    pub async fn migrate(config: &StoreConfig) -> Result<Migrated, StoreError> {
        let place = match (&config.bell_url, Place::of_bell(config)?) {
            (Some(_), Some(bell)) => bell,
            _ => Place::of_keys(config)?,
        };
        let patience = config.postgres.acquire_timeout;
        let lane = Lane::new(place, FEWEST_CONNECTIONS, patience);
        let migrated = open::migrate(&lane).await;
        lane.close(patience).await;
        migrated
    }

    /// Runs a query, and notes how long it took.
    async fn measured<T>(
        &self,
        query: StoreQuery,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, StoreError> {
        let start = Instant::now();
        let result = work.await.map_err(|fault| fault.of(query));
        let failed = result.as_ref().is_err_and(StoreError::is_outage);
        self.metrics.query_ended(query, start.elapsed(), failed);
        result
    }

    /// Ends a change, in bounded time of its own: a commit is not given up because what came before it took long.
    async fn end<T>(&self, write: Write<'_>, done: Result<T, Fault>) -> Result<T, Fault> {
        let ended = self.lane.bounded(write.end(done)).await;
        if ended.is_ok() {
            self.bell.look_now();
        }
        ended
    }

    /// The key in `row`; a row that cannot be read is no key.
    fn key_in(&self, row: Option<&PgRow>) -> Option<ApiKey> {
        let key = row::key(row?);
        key.inspect_err(|bad| self.complaints.note("api_keys", bad))
            .ok()
    }

    fn note_bad_keys(&self, rows: &[BadRow]) {
        for row in rows {
            self.complaints.note("api_keys", row);
        }
    }
}

/// Asks what an instance asks again and again, on the connection that listens, or by the lane where that cannot be
/// or does not answer: either may be done twice.
macro_rules! ask_bell {
    ($store:ident, |$session:ident| $question:expr) => {
        async {
            if let Some(mut lent) = $store.bell.lend().await {
                let answer = async {
                    let (until, mut $session) = lent.session().await?;
                    let answer = timeout_at(until, $question).await;
                    answer.unwrap_or(Err(Fault::Late))
                };
                if let Ok(answer) = answer.await {
                    lent.sound();
                    return Ok(answer);
                }
            }
            ask!($store.lane, |$session| $question).await
        }
    };
}

#[async_trait]
impl KeyStore for PostgresStore {
    async fn snapshot(
        &self,
        each: &mut (dyn FnMut(ApiKey) + Send),
    ) -> Result<SnapshotEnd, StoreError> {
        let end = self.measured(StoreQuery::Snapshot, async {
            let end = ask!(self.lane, |lease| read::log_end(&mut lease)).await?;
            let mut keys = EveryKey::new(each);
            // No transaction around the pages: what changes between them comes after the place read above.
            let first = ask!(self.lane, |lease| read::page(&mut lease, None));
            let mut page = Some(first.await?);
            while let Some((rows, next)) = page {
                let take = async { keys.take(&rows) };
                page = if next.is_some() {
                    // The next one is asked for, and made by the server, while this one is taken in.
                    let following = ask!(self.lane, |lease| read::page(&mut lease, next.as_ref()));
                    Some(join(following, take).await.0?)
                } else {
                    take.await;
                    None
                };
            }
            Ok(SnapshotEnd {
                cursor: end.cursor,
                set_aside: keys.set_aside,
                database_time: end.database_time,
            })
        });
        let end = end.await?;
        self.note_bad_keys(&end.set_aside);
        Ok(end)
    }

    async fn changes(&self, cursor: Cursor) -> Result<Changes, StoreError> {
        self.lane.tidy();
        let work = ask_bell!(self, |session| read::changes(&mut session, cursor));
        let changes = self.measured(StoreQuery::Changes, work).await?;
        if let Changes::Read(batch) = &changes {
            self.note_bad_keys(&batch.set_aside);
        }
        Ok(changes)
    }

    async fn changed(&self) -> Result<(), StoreError> {
        let rung = self.bell.wait().await;
        rung.map_err(|cause| Fault::Sqlx(cause).of(StoreQuery::Changes))
    }

    async fn find(&self, digest: &KeyDigest) -> Result<Option<ApiKey>, StoreError> {
        let work = ask!(self.lane, |lease| read::find(&mut lease, digest));
        let row = self.measured(StoreQuery::Find, work).await?;
        Ok(self.key_in(row.as_ref()))
    }

    async fn list(&self, filter: &KeyFilter) -> Result<Vec<ApiKey>, StoreError> {
        let work = ask!(self.lane, |lease| read::list(&mut lease, filter));
        let rows = self.measured(StoreQuery::List, work).await?;
        let (keys, bad) = row::keys(&rows);
        self.note_bad_keys(&bad);
        Ok(keys)
    }

    async fn list_page(
        &self,
        filter: &KeyFilter,
        after: Option<&ListMark>,
        limit: usize,
    ) -> Result<ListPage, StoreError> {
        let work = ask!(self.lane, |lease| read::list_page(
            &mut lease, filter, after, limit
        ));
        let (rows, next) = self.measured(StoreQuery::List, work).await?;
        let (keys, set_aside) = row::keys(&rows);
        self.note_bad_keys(&set_aside);
        Ok(ListPage {
            keys,
            next,
            set_aside,
        })
    }

    async fn get(&self, which: &KeySelector) -> Result<Option<ApiKey>, StoreError> {
        let work = ask!(self.lane, |lease| read::get(&mut lease, which));
        let row = self.measured(StoreQuery::Find, work).await?;
        Ok(self.key_in(row.as_ref()))
    }

    async fn insert(&self, key: &NewApiKey) -> Result<(ApiKey, Cursor), StoreError> {
        let work = async {
            let mut write = Write::begin(&self.lane).await?;
            let done = write::insert(write.connection(), key);
            let done = self.lane.bounded(done).await;
            self.end(write, done).await
        };
        self.measured(StoreQuery::Insert, work).await
    }

    async fn import(&self, import: &Import) -> Result<Imported, StoreError> {
        let columns = import::Columns::of(&import.keys);
        let work = async {
            if import.dry_run {
                let look = ask!(self.lane, |lease| import::look(
                    &mut lease, import, &columns
                ));
                return look.await;
            }
            let mut write = Write::begin(&self.lane).await?;
            let done = import::import(write.connection(), import, &columns);
            let done = self.lane.bounded(done).await;
            self.end(write, done).await
        };
        self.measured(StoreQuery::Import, work).await
    }

    async fn page(&self, after: Option<&PageMark>) -> Result<KeyPage, StoreError> {
        let work = ask!(self.lane, |lease| read::page(&mut lease, after));
        let (rows, next) = self.measured(StoreQuery::Page, work).await?;
        let (keys, set_aside) = row::keys(&rows);
        self.note_bad_keys(&set_aside);
        Ok(KeyPage {
            keys,
            next,
            set_aside,
        })
    }

    async fn delete_by(
        &self,
        which: &KeySelector,
        by: Option<&Actor>,
    ) -> Result<(ApiKey, Cursor), StoreError> {
        let work = async {
            let mut write = Write::begin(&self.lane).await?;
            let done = write::delete(write.connection(), which, by);
            let done = self.lane.bounded(done).await;
            self.end(write, done).await
        };
        self.measured(StoreQuery::Delete, work).await
    }

    async fn audit(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let work = ask!(self.lane, |lease| read::audit(&mut lease, before, limit));
        let rows = self.measured(StoreQuery::Audit, work).await?;
        Ok(rows.iter().filter_map(row::audit).collect())
    }

    async fn update(
        &self,
        which: &KeySelector,
        change: &KeyUpdate,
    ) -> Result<(ApiKey, Cursor), StoreError> {
        let work = async {
            let mut write = Write::begin(&self.lane).await?;
            let done = write::update(write.connection(), which, change);
            let done = self.lane.bounded(done).await;
            self.end(write, done).await
        };
        self.measured(StoreQuery::Update, work).await
    }

    async fn record_last_used(&self, batch: &[(KeyId, UnixTime)]) -> Result<(), StoreError> {
        for batch in batch.chunks(LAST_USED_BATCH) {
            // Done twice it is the same, so that it may be asked again like a question.
            let work = ask_bell!(self, |session| write::record_last_used(&mut session, batch));
            self.measured(StoreQuery::RecordLastUsed, work).await?;
        }
        Ok(())
    }

    async fn org(&self) -> Result<OrgId, StoreError> {
        let work = ask!(self.lane, |lease| read::org(&mut lease));
        self.measured(StoreQuery::Teams, work).await
    }

    async fn teams(&self) -> Result<Vec<Team>, StoreError> {
        let work = ask!(self.lane, |lease| read::teams(&mut lease));
        let rows = self.measured(StoreQuery::Teams, work).await?;
        let teams = rows.iter().filter_map(|row| {
            row::team(row)
                .inspect_err(|bad| self.complaints.note("teams", bad))
                .ok()
        });
        Ok(teams.collect())
    }

    async fn insert_team_by(&self, name: &Name, by: Option<&Actor>) -> Result<Team, StoreError> {
        let work = async {
            let mut write = Write::begin(&self.lane).await?;
            let done = write::insert_team(write.connection(), name, by);
            let done = self.lane.bounded(done).await;
            self.end(write, done).await
        };
        self.measured(StoreQuery::Teams, work).await
    }

    async fn admin_token(&self) -> Result<Option<KeyDigest>, StoreError> {
        let work = ask!(self.lane, |lease| read::admin_token(&mut lease));
        self.measured(StoreQuery::AdminToken, work).await
    }

    async fn keep_admin_token_by(
        &self,
        digest: &KeyDigest,
        by: Option<&Actor>,
    ) -> Result<KeyDigest, StoreError> {
        let work = async {
            let mut write = Write::begin(&self.lane).await?;
            let done = write::keep_admin_token(write.connection(), digest, by);
            let done = self.lane.bounded(done).await;
            self.end(write, done).await
        };
        self.measured(StoreQuery::AdminToken, work).await
    }

    async fn report_instance(&self, report: &InstanceReport) -> Result<(), StoreError> {
        let work = ask_bell!(self, |session| instances::report(&mut session, report));
        self.measured(StoreQuery::Instances, work).await
    }

    async fn remove_instance(&self, id: InstanceId) -> Result<(), StoreError> {
        let work = ask!(self.lane, |lease| instances::remove(&mut lease, id));
        self.measured(StoreQuery::Instances, work).await
    }

    async fn instances(&self) -> Result<Vec<Instance>, StoreError> {
        let work = ask!(self.lane, |lease| instances::list(&mut lease));
        let rows = self.measured(StoreQuery::Instances, work).await?;
        row::instances(&rows)
            .ok_or_else(|| Fault::Sqlx(sqlx::Error::RowNotFound).of(StoreQuery::Instances))
    }

    async fn want_positions(&self, time: Duration) -> Result<(), StoreError> {
        let work = ask!(self.lane, |lease| instances::want_positions(
            &mut lease, time
        ));
        self.measured(StoreQuery::Instances, work).await?;
        self.bell.look_now();
        Ok(())
    }

    async fn close(&self) {
        self.bell.close().await;
        self.lane.close(self.limit).await;
    }
}
