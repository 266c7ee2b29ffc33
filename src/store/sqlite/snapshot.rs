//! Every live key, page by page, as of one moment.

use futures_util::future::join;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::error::Fault;
use super::packed::{self, PackedRow};
use super::read::{self, SNAPSHOT_BATCH, as_limit};
use super::{SqliteStore, end_read, sql};
use crate::key::ApiKey;
use crate::store::SnapshotEnd;
use crate::store::row::EveryKey;

impl SqliteStore {
    /// Gives every live key to `each`, and says as of when.
    pub(super) async fn give_every_key(
        &self,
        each: &mut (dyn FnMut(ApiKey) + Send),
    ) -> Result<SnapshotEnd, Fault> {
        let mut reader = self.bounded(self.begin_read()).await?;
        let end = self
            .bounded(async { Ok(read::log_end(&mut reader).await?) })
            .await?;
        let mut keys = EveryKey::new(each);
        let mut unpacked = Vec::new();
        let first = packed_page(&mut reader, i64::MIN);
        let mut page = Some(self.bounded(first).await?);
        while let Some(PackedPage { after, row, next }) = page {
            let take = async {
                match packed(&row) {
                    Some(rows) => keys.take(&rows),
                    None => unpacked.push(after),
                }
            };
            page = if let Some(after) = next {
                // The next one is asked for, and made by SQLite's thread, while this one is taken in.
                let following = self.bounded(packed_page(&mut reader, after));
                Some(join(following, take).await.0?)
            } else {
                take.await;
                None
            };
        }
        // A page with a row that cannot be told as text is read again, so that the others of it count.
        for after in unpacked {
            let page = rows(&mut reader, after);
            keys.take(&self.bounded(page).await?);
        }
        self.bounded(end_read(reader)).await?;
        Ok(SnapshotEnd {
            cursor: end.cursor,
            set_aside: keys.set_aside,
            database_time: end.database_time,
        })
    }
}

/// Live keys, as one text.
struct PackedPage {
    /// The place after which they are stored.
    after: i64,
    /// The text.
    row: SqliteRow,
    /// The place after them, while there may be more.
    next: Option<i64>,
}

/// The live keys stored after `place`, at most one batch.
async fn packed_page(connection: &mut SqliteConnection, place: i64) -> Result<PackedPage, Fault> {
    let row = sqlx::query(sql::SNAPSHOT_PACKED)
        .bind(place)
        .bind(as_limit(SNAPSHOT_BATCH))
        .fetch_one(connection)
        .await?;
    let keys: i64 = row.try_get("keys")?;
    let next = if keys == as_limit(SNAPSHOT_BATCH) {
        Some(row.try_get("last")?)
    } else {
        None
    };
    Ok(PackedPage {
        after: place,
        row,
        next,
    })
}

/// The keys of such a page; `None` when it holds what cannot be told as text.
fn packed(page: &SqliteRow) -> Option<Vec<PackedRow<'_>>> {
    packed::rows(page.try_get("packed").ok()?)
}

/// The same keys, row by row.
async fn rows(connection: &mut SqliteConnection, place: i64) -> Result<Vec<SqliteRow>, Fault> {
    let rows = sqlx::query(sql::SNAPSHOT)
        .bind(place)
        .bind(as_limit(SNAPSHOT_BATCH))
        .fetch_all(connection);
    Ok(rows.await?)
}
