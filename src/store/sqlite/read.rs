//! The questions, each on a connection of its own turn. Where one fails, the connection goes with it.

use std::time::Duration;

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::error::Fault;
use super::sql;
use crate::key::{KeyDigest, KeyFilter, KeySelector, TeamId};
use crate::store::{ChangeBatch, Changes, Cursor, ListMark, PageMark, row};

/// How many entries of the log one look takes.
const CHANGES_BATCH: usize = 1000;

/// How many keys a fill takes at a time.
pub const SNAPSHOT_BATCH: usize = 1000;

/// The end of the log, and the database's clock.
pub struct LogEnd {
    pub cursor: Cursor,
    pub database_time: Duration,
    pub positions_wanted: bool,
}

/// Reads the end of the log.
pub async fn log_end(connection: &mut SqliteConnection) -> Result<LogEnd, sqlx::Error> {
    let row = sqlx::query(sql::LOG_END).fetch_one(connection).await?;
    let seq: i64 = row.try_get("seq")?;
    let now_ms: i64 = row.try_get("now_ms")?;
    Ok(LogEnd {
        cursor: Cursor::new(u64::try_from(seq).unwrap_or(0)),
        database_time: row::since_1970(now_ms),
        positions_wanted: row.try_get("positions_wanted")?,
    })
}

/// What the log holds after `cursor`, at most one batch. Reads twice: the caller has begun a transaction.
pub async fn changes(connection: &mut SqliteConnection, cursor: Cursor) -> Result<Changes, Fault> {
    let end = log_end(&mut *connection).await?;
    let mut batch = ChangeBatch {
        changes: Vec::new(),
        cursor,
        oldest_at: None,
        revoked_at: Vec::new(),
        more: false,
        set_aside: Vec::new(),
        database_time: end.database_time,
        positions_wanted: end.positions_wanted,
    };
    if cursor == end.cursor {
        return Ok(Changes::Read(batch));
    }
    let after = i64::try_from(cursor.seq()).unwrap_or(i64::MAX);
    let rows = sqlx::query(sql::CHANGES)
        .bind(after)
        .bind(as_limit(CHANGES_BATCH))
        .fetch_all(connection)
        .await?;
    // Numbers follow one another: a gap is what was trimmed before it was read, and nothing at all is left of a log that
    // ends before the cursor.
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Ok(Changes::Lost);
    };
    if seq(first)? != cursor.seq() + 1 {
        return Ok(Changes::Lost);
    }
    batch.cursor = Cursor::new(seq(last)?);
    batch.more = batch.cursor < end.cursor;
    batch.oldest_at = row::written_at(first);
    row::collapse(&rows, &mut batch);
    Ok(Changes::Read(batch))
}

/// The row of the live key known by `digest`.
pub async fn find(
    connection: &mut SqliteConnection,
    digest: &KeyDigest,
) -> Result<Option<SqliteRow>, sqlx::Error> {
    sqlx::query(sql::FIND)
        .bind(digest.as_bytes().as_slice())
        .fetch_optional(connection)
        .await
}

/// The row of the live key that `which` selects.
pub async fn get(
    connection: &mut SqliteConnection,
    which: &KeySelector,
) -> Result<Option<SqliteRow>, sqlx::Error> {
    let (statement, name) = match which {
        KeySelector::Id(id) => (sql::GET_BY_ID, id.to_string()),
        KeySelector::Prefix(prefix) => (sql::GET_BY_PREFIX, prefix.to_string()),
    };
    sqlx::query(statement)
        .bind(name)
        .fetch_optional(connection)
        .await
}

/// The rows of the live keys that `filter` lets through, newest first.
pub async fn list(
    connection: &mut SqliteConnection,
    filter: &KeyFilter,
) -> Result<Vec<SqliteRow>, sqlx::Error> {
    sqlx::query(sql::LIST)
        .bind(
            filter
                .category
                .as_ref()
                .map(|category| category.as_str().to_owned()),
        )
        .bind(filter.owner.as_ref().map(|owner| owner.as_str().to_owned()))
        .bind(filter.team.map(|team: TeamId| team.to_string()))
        .fetch_all(connection)
        .await
}

/// The rows of at most `limit` of them, those after `after`, and where to go on while there may be more.
pub async fn list_page(
    connection: &mut SqliteConnection,
    filter: &KeyFilter,
    after: Option<&ListMark>,
    limit: usize,
) -> Result<(Vec<SqliteRow>, Option<ListMark>), sqlx::Error> {
    let category = filter.category.as_ref();
    let rows = sqlx::query(sql::LIST_PAGE)
        .bind(category.map(|category| category.as_str().to_owned()))
        .bind(filter.owner.as_ref().map(|owner| owner.as_str().to_owned()))
        .bind(filter.team.map(|team: TeamId| team.to_string()))
        .bind(after.map_or(i64::MAX, |mark| mark.created_at))
        .bind(after.map(|mark| mark.id.to_string()).unwrap_or_default())
        .bind(as_limit(limit))
        .fetch_all(connection)
        .await?;
    let next = match rows.last() {
        Some(last) if rows.len() == limit => Some(ListMark::after(
            last.try_get("created_at")?,
            last.try_get("id")?,
        )),
        _ => None,
    };
    Ok((rows, next))
}

/// The live keys after `mark`, at most one batch, and where to go on while there may be more.
pub async fn page(
    connection: &mut SqliteConnection,
    after: Option<&PageMark>,
) -> Result<(Vec<SqliteRow>, Option<PageMark>), sqlx::Error> {
    let rows = sqlx::query(sql::PAGE)
        .bind(after.map_or("", PageMark::as_str).to_owned())
        .bind(as_limit(SNAPSHOT_BATCH))
        .fetch_all(connection)
        .await?;
    let next = match rows.last() {
        Some(last) if rows.len() == SNAPSHOT_BATCH => Some(PageMark::after(last.try_get("id")?)),
        _ => None,
    };
    Ok((rows, next))
}

fn seq(row: &SqliteRow) -> Result<u64, sqlx::Error> {
    let seq: i64 = row.try_get("seq")?;
    Ok(u64::try_from(seq).unwrap_or(0))
}

/// A count as SQLite takes it.
pub fn as_limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// At most `limit` entries of the audit trail before the one numbered `before`, newest first.
pub async fn audit(
    connection: &mut SqliteConnection,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<SqliteRow>, sqlx::Error> {
    let before = before.and_then(|before| i64::try_from(before).ok());
    sqlx::query(sql::AUDIT)
        .bind(before.unwrap_or(i64::MAX))
        .bind(as_limit(limit))
        .fetch_all(connection)
        .await
}
