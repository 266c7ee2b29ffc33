//! SQLite, inside the process.
//!
//! One connection writes and a few read beside it, so that nobody waits for a writer but the next writer; one more
//! listens for the bell. Each is a thread of sqlx's. Other processes may use the file at the same time, `sqlite3`
//! among them: the triggers of the schema write the change log, not this code.

mod bell;
mod columns;
mod error;
mod file;
mod import;
mod instances;
mod lane;
mod open;
mod packed;
mod read;
mod snapshot;
pub mod sql;
mod write;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;

use self::bell::Bell;
use self::error::Fault;
use self::file::Place;
use self::lane::{Lane, Lease};
use self::write::Write;
use super::row::{self, Complaints};
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

/// How many moments of use one transaction writes, so that a change of a key need not wait for all of them.
const LAST_USED_BATCH: usize = 2000;

/// The keys in an SQLite file.
pub struct SqliteStore {
    writer: Lane,
    readers: Lane,
    bell: Bell,
    limit: Duration,
    metrics: StoreMetrics,
    complaints: Complaints,
}

impl SqliteStore {
    /// Whether `config.url` can name a file; nothing is opened.
    pub(super) fn check_url(config: &StoreConfig) -> Result<(), StoreError> {
        Place::parse(&config.url, config.statement_timeout).map(drop)
    }

    /// Opens the file that `config.url` names, or makes it unless `config.must_exist`.
    ///
    /// A file that is there is checked first, all of it (`PRAGMA quick_check`): for a million keys, 640 MB, that is
    /// about a second when the file is in the page cache, and otherwise as long as reading it takes. Nothing else here
    /// depends on how many keys there are.
    ///
    /// # Errors
    ///
    /// [`StoreError::Open`], saying what is wrong and what to do, when the file cannot be made, read or written, is
    /// damaged or empty, belongs to another program or was written by a newer version. It is then as it was.
    /// [`StoreError::Away`] when it is kept locked, has no room, or must exist and does not.
    pub async fn open(config: &StoreConfig, metrics: StoreMetrics) -> Result<Self, StoreError> {
        let limit = config.statement_timeout;
        let start = Instant::now();
        let place = Place::parse(&config.url, limit)?;
        let opened = open::open(place, config.must_exist).await;
        metrics.query_ended(StoreQuery::Open, start.elapsed(), opened.is_err());
        let file = Arc::new(opened?);
        let (writer, reader) = (file.place.writer(), file.place.reader());
        Ok(Self {
            writer: Lane::new(Arc::clone(&file), writer, 1),
            readers: Lane::new(Arc::clone(&file), reader, config.readers.max(1)),
            bell: Bell::new(file, config.bell_every, limit),
            limit,
            metrics,
            complaints: Complaints::default(),
        })
    }

    /// Opens the file as [`SqliteStore::open`] does, and closes it again.
    ///
    /// # Errors
    ///
    /// As [`SqliteStore::open`].
    pub(super) async fn migrate(config: &StoreConfig) -> Result<Migrated, StoreError> {
        let place = Place::parse(&config.url, config.statement_timeout)?;
        let was = open::version(&place).await;
        let opened = open::open(place, config.must_exist).await?;
        let is = open::version(&opened.place).await;
        Ok(Migrated { was, is })
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

    /// Gives up when `work` takes longer than a statement may. What it was doing is then interrupted and undone.
    async fn bounded<T>(&self, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let ended = tokio::time::timeout(self.limit, work).await;
        ended.unwrap_or(Err(Fault::Late))
    }

    /// Begins a transaction, in bounded time.
    async fn begin(&self) -> Result<Write<'_>, Fault> {
        self.bounded(Write::begin(&self.writer)).await
    }

    /// Ends it, in bounded time of its own: a commit is not given up because what came before it took long.
    async fn end<T>(&self, write: Write<'_>, done: Result<T, Fault>) -> Result<T, Fault> {
        let ended = self.bounded(write.end(done)).await;
        if ended.is_ok() {
            self.bell.look_now();
        }
        ended
    }

    /// Begins to read: everything up to [`end_read`] is of one moment.
    async fn begin_read(&self) -> Result<Lease<'_>, Fault> {
        let mut reader = self.readers.lease().await?;
        sqlx::query(sql::BEGIN_READ).execute(&mut *reader).await?;
        Ok(reader)
    }

    /// The key in `row`; a row that cannot be read is no key.
    fn key_in(&self, row: Option<&SqliteRow>) -> Option<ApiKey> {
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

#[async_trait]
impl KeyStore for SqliteStore {
    async fn snapshot(
        &self,
        each: &mut (dyn FnMut(ApiKey) + Send),
    ) -> Result<SnapshotEnd, StoreError> {
        let end = self.measured(StoreQuery::Snapshot, self.give_every_key(each));
        let end = end.await?;
        self.note_bad_keys(&end.set_aside);
        Ok(end)
    }

    async fn changes(&self, cursor: Cursor) -> Result<Changes, StoreError> {
        let work = async {
            let mut reader = self.begin_read().await?;
            let changes = read::changes(&mut reader, cursor).await?;
            end_read(reader).await?;
            Ok(changes)
        };
        let changes = self
            .measured(StoreQuery::Changes, self.bounded(work))
            .await?;
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
        let work = async {
            let mut reader = self.readers.lease().await?;
            let row = read::find(&mut reader, digest).await?;
            reader.give_back();
            Ok(row)
        };
        let row = self.measured(StoreQuery::Find, self.bounded(work)).await?;
        Ok(self.key_in(row.as_ref()))
    }

    async fn list(&self, filter: &KeyFilter) -> Result<Vec<ApiKey>, StoreError> {
        let work = async {
            let mut reader = self.readers.lease().await?;
            let rows = read::list(&mut reader, filter).await?;
            reader.give_back();
            Ok(rows)
        };
        let rows = self.measured(StoreQuery::List, self.bounded(work)).await?;
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
        let work = async {
            let mut reader = self.readers.lease().await?;
            let page = read::list_page(&mut reader, filter, after, limit).await?;
            reader.give_back();
            Ok(page)
        };
        let (rows, next) = self.measured(StoreQuery::List, self.bounded(work)).await?;
        let (keys, set_aside) = row::keys(&rows);
        self.note_bad_keys(&set_aside);
        Ok(ListPage {
            keys,
            next,
            set_aside,
        })
    }

    async fn get(&self, which: &KeySelector) -> Result<Option<ApiKey>, StoreError> {
        let work = async {
            let mut reader = self.readers.lease().await?;
            let row = read::get(&mut reader, which).await?;
            reader.give_back();
            Ok(row)
        };
        let row = self.measured(StoreQuery::Find, self.bounded(work)).await?;
        Ok(self.key_in(row.as_ref()))
    }

    async fn insert(&self, key: &NewApiKey) -> Result<(ApiKey, Cursor), StoreError> {
        let work = async {
            let mut write = self.begin().await?;
            let done = self.bounded(write::insert(write.connection(), key)).await;
            self.end(write, done).await
        };
        self.measured(StoreQuery::Insert, work).await
    }

    async fn import(&self, import: &Import) -> Result<Imported, StoreError> {
        let work = async {
            if import.dry_run {
                let mut reader = self.bounded(self.begin_read()).await?;
                let imported = self.bounded(import::look(&mut reader, import)).await?;
                self.bounded(end_read(reader)).await?;
                return Ok(imported);
            }
            let mut write = self.begin().await?;
            let done = self.bounded(import::import(write.connection(), import));
            let done = done.await;
            self.end(write, done).await
        };
        self.measured(StoreQuery::Import, work).await
    }

    async fn page(&self, after: Option<&PageMark>) -> Result<KeyPage, StoreError> {
        let work = async {
            let mut reader = self.readers.lease().await?;
            let page = read::page(&mut reader, after).await?;
            reader.give_back();
            Ok(page)
        };
        let (rows, next) = self.measured(StoreQuery::Page, self.bounded(work)).await?;
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
            let mut write = self.begin().await?;
            let done = write::delete(write.connection(), which, by);
            let done = self.bounded(done).await;
            self.end(write, done).await
        };
        self.measured(StoreQuery::Delete, work).await
    }

    async fn audit(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let work = async {
            let mut reader = self.readers.lease().await?;
            let rows = read::audit(&mut reader, before, limit).await?;
            reader.give_back();
            Ok(rows)
        };
        let rows = self.measured(StoreQuery::Audit, self.bounded(work)).await?;
        Ok(rows.iter().filter_map(row::audit).collect())
    }

    async fn update(
        &self,
        which: &KeySelector,
        change: &KeyUpdate,
    ) -> Result<(ApiKey, Cursor), StoreError> {
        let work = async {
            let mut write = self.begin().await?;
            let done = write::update(write.connection(), which, change);
            let done = self.bounded(done).await;
            self.end(write, done).await
        };
        self.measured(StoreQuery::Update, work).await
    }

    async fn record_last_used(&self, batch: &[(KeyId, UnixTime)]) -> Result<(), StoreError> {
        for batch in batch.chunks(LAST_USED_BATCH) {
            let work = async {
                let mut write = self.begin().await?;
                let done = write::record_last_used(write.connection(), batch);
                let done = self.bounded(done).await;
                self.bounded(write.end(done)).await
            };
            self.measured(StoreQuery::RecordLastUsed, work).await?;
        }
        Ok(())
    }

    async fn org(&self) -> Result<OrgId, StoreError> {
        let work = async {
            let mut reader = self.readers.lease().await?;
            let id: String = sqlx::query_scalar(sql::ORG).fetch_one(&mut *reader).await?;
            reader.give_back();
            Ok(id.parse().map_err(|_| sqlx::Error::RowNotFound)?)
        };
        self.measured(StoreQuery::Teams, self.bounded(work)).await
    }

    async fn teams(&self) -> Result<Vec<Team>, StoreError> {
        let work = async {
            let mut reader = self.readers.lease().await?;
            let rows = sqlx::query(sql::TEAMS).fetch_all(&mut *reader).await?;
            reader.give_back();
            Ok(rows)
        };
        let rows = self.measured(StoreQuery::Teams, self.bounded(work)).await?;
        let teams = rows.iter().filter_map(|row| {
            row::team(row)
                .inspect_err(|bad| self.complaints.note("teams", bad))
                .ok()
        });
        Ok(teams.collect())
    }

    async fn insert_team_by(&self, name: &Name, by: Option<&Actor>) -> Result<Team, StoreError> {
        let work = async {
            let mut write = self.begin().await?;
            let done = self
                .bounded(write::insert_team(write.connection(), name, by))
                .await;
            self.end(write, done).await
        };
        self.measured(StoreQuery::Teams, work).await
    }

    async fn admin_token(&self) -> Result<Option<KeyDigest>, StoreError> {
        let work = async {
            let mut reader = self.readers.lease().await?;
            let row = sqlx::query(sql::ADMIN_TOKEN)
                .fetch_optional(&mut *reader)
                .await?;
            reader.give_back();
            Ok(row.and_then(|row| row::digest(&row, "digest")))
        };
        self.measured(StoreQuery::AdminToken, self.bounded(work))
            .await
    }

    async fn keep_admin_token_by(
        &self,
        digest: &KeyDigest,
        by: Option<&Actor>,
    ) -> Result<KeyDigest, StoreError> {
        let work = async {
            let mut write = self.begin().await?;
            let done = write::keep_admin_token(write.connection(), digest, by);
            let done = self.bounded(done).await;
            self.end(write, done).await
        };
        self.measured(StoreQuery::AdminToken, work).await
    }

    async fn report_instance(&self, report: &InstanceReport) -> Result<(), StoreError> {
        let work = async {
            let mut write = self.begin().await?;
            let done = instances::report(write.connection(), report);
            let done = self.bounded(done).await;
            self.bounded(write.end(done)).await
        };
        self.measured(StoreQuery::Instances, work).await
    }

    async fn remove_instance(&self, id: InstanceId) -> Result<(), StoreError> {
        let work = async {
            let mut write = self.begin().await?;
            let done = self
                .bounded(instances::remove(write.connection(), id))
                .await;
            self.bounded(write.end(done)).await
        };
        self.measured(StoreQuery::Instances, work).await
    }

    async fn instances(&self) -> Result<Vec<Instance>, StoreError> {
        let work = async {
            let mut reader = self.readers.lease().await?;
            let rows = instances::list(&mut reader).await?;
            reader.give_back();
            Ok(row::instances(&rows).ok_or(sqlx::Error::RowNotFound)?)
        };
        self.measured(StoreQuery::Instances, self.bounded(work))
            .await
    }

    async fn want_positions(&self, time: Duration) -> Result<(), StoreError> {
        let work = async {
            let mut write = self.begin().await?;
            let done = instances::want_positions(write.connection(), time);
            let done = self.bounded(done).await;
            self.end(write, done).await
        };
        self.measured(StoreQuery::Instances, work).await.map(drop)
    }

    async fn close(&self) {
        self.bell.close().await;
        self.readers.close(self.limit).await;
        // Last, so that it takes the WAL into the file.
        self.writer.close(self.limit).await;
    }
}

async fn end_read(mut reader: Lease<'_>) -> Result<(), Fault> {
    sqlx::query(sql::COMMIT).execute(&mut *reader).await?;
    reader.give_back();
    Ok(())
}
