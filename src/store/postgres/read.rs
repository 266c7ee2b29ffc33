//! The questions, each one statement, so that what it sees is of one moment.

use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::error::Fault;
use super::lane::{Lease, Session};
use super::sql;
use crate::key::{KeyDigest, KeyFilter, KeySelector, OrgId, TeamId};
use crate::store::{ChangeBatch, Changes, Cursor, ListMark, PageMark, row};

/// How many entries of the log one look takes.
const CHANGES_BATCH: i64 = 1000;

/// How many keys a fill or an export takes at a time.
const PAGE_ROWS: usize = 1000;

/// The end of the log, and the database's clock.
pub struct LogEnd {
    pub cursor: Cursor,
    pub database_time: Duration,
    pub positions_wanted: bool,
}

/// Reads the end of the log.
pub async fn log_end(lease: &mut Lease<'_>) -> Result<LogEnd, Fault> {
    let row = lease.query(sql::LOG_END).fetch_one(&mut **lease).await?;
    Ok(end_in(&row)?)
}

fn end_in(row: &PgRow) -> Result<LogEnd, sqlx::Error> {
    let seq: i64 = row.try_get("last_seq")?;
    let now_ms: i64 = row.try_get("now_ms")?;
    Ok(LogEnd {
        cursor: Cursor::new(u64::try_from(seq).unwrap_or(0)),
        database_time: row::since_1970(now_ms),
        positions_wanted: row.try_get("positions_wanted")?,
    })
}

/// The live keys after `after`, at most one batch, and where to go on while there may be more.
pub async fn page(
    lease: &mut Lease<'_>,
    after: Option<&PageMark>,
) -> Result<(Vec<PgRow>, Option<PageMark>), Fault> {
    let mut rows = lease
        .query(sql::PAGE)
        .bind(after.map_or("", PageMark::as_str).to_owned())
        .bind(i64::try_from(PAGE_ROWS).unwrap_or(i64::MAX))
        .fetch_all(&mut **lease)
        .await?;
    let next = match rows.last() {
        Some(last) if rows.len() == PAGE_ROWS => Some(PageMark::after(last.try_get("id")?)),
        _ => None,
    };
    rows.retain(|row| !row.try_get("is_deleted").unwrap_or(false));
    Ok((rows, next))
}

/// What the log holds after `cursor`, at most one batch.
pub async fn changes(session: &mut impl Session, cursor: Cursor) -> Result<Changes, Fault> {
    let after = i64::try_from(cursor.seq()).unwrap_or(i64::MAX);
    let rows = session
        .query(sql::CHANGES)
        .bind(after)
        .bind(CHANGES_BATCH)
        .fetch_all(&mut **session)
        .await?;
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        // The row that counts the log was taken away.
        return Err(sqlx::Error::RowNotFound.into());
    };
    let end = end_in(first)?;
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
    // Numbers follow one another: a gap is what was trimmed before it was read, and nothing at all is left of a log
    // that ends before the cursor.
    let (Some(first_seq), Some(last_seq)) = (seq(first)?, seq(last)?) else {
        return Ok(Changes::Lost);
    };
    if first_seq != cursor.seq() + 1 {
        return Ok(Changes::Lost);
    }
    batch.cursor = Cursor::new(last_seq);
    batch.more = batch.cursor < end.cursor;
    batch.oldest_at = row::written_at(first);
    row::collapse(&rows, &mut batch);
    Ok(Changes::Read(batch))
}

/// The row of the live key known by `digest`.
pub async fn find(lease: &mut Lease<'_>, digest: &KeyDigest) -> Result<Option<PgRow>, Fault> {
    let query = lease.query(sql::FIND).bind(digest.as_bytes().to_vec());
    Ok(query.fetch_optional(&mut **lease).await?)
}

/// The row of the live key that `which` selects.
pub async fn get(lease: &mut Lease<'_>, which: &KeySelector) -> Result<Option<PgRow>, Fault> {
    let (statement, name) = match which {
        KeySelector::Id(id) => (sql::GET_BY_ID, id.to_string()),
        KeySelector::Prefix(prefix) => (sql::GET_BY_PREFIX, prefix.to_string()),
    };
    let query = lease.query(statement).bind(name);
    Ok(query.fetch_optional(&mut **lease).await?)
}

/// The rows of the live keys that `filter` lets through, newest first.
pub async fn list(lease: &mut Lease<'_>, filter: &KeyFilter) -> Result<Vec<PgRow>, Fault> {
    let category = filter.category.as_ref();
    let query = lease
        .query(sql::LIST)
        .bind(category.map(|category| category.as_str().to_owned()))
        .bind(filter.owner.as_ref().map(|owner| owner.as_str().to_owned()))
        .bind(filter.team.map(|team: TeamId| team.to_string()));
    Ok(query.fetch_all(&mut **lease).await?)
}

/// The rows of at most `limit` of them, those after `after`, and where to go on while there may be more.
pub async fn list_page(
    lease: &mut Lease<'_>,
    filter: &KeyFilter,
    after: Option<&ListMark>,
    limit: usize,
) -> Result<(Vec<PgRow>, Option<ListMark>), Fault> {
    let category = filter.category.as_ref();
    let query = lease
        .query(sql::LIST_PAGE)
        .bind(category.map(|category| category.as_str().to_owned()))
        .bind(filter.owner.as_ref().map(|owner| owner.as_str().to_owned()))
        .bind(filter.team.map(|team: TeamId| team.to_string()))
        .bind(after.map_or(i64::MAX, |mark| mark.created_at))
        .bind(after.map(|mark| mark.id.to_string()).unwrap_or_default())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let rows = query.fetch_all(&mut **lease).await?;
    let next = match rows.last() {
        Some(last) if rows.len() == limit => Some(ListMark::after(
            last.try_get("created_at")?,
            last.try_get("id")?,
        )),
        _ => None,
    };
    Ok((rows, next))
}

/// The organisation.
pub async fn org(lease: &mut Lease<'_>) -> Result<OrgId, Fault> {
    let row = lease.query(sql::ORG).fetch_one(&mut **lease).await?;
    let id: String = row.try_get("id")?;
    Ok(id.parse().map_err(|_| sqlx::Error::RowNotFound)?)
}

/// The rows of the teams.
pub async fn teams(lease: &mut Lease<'_>) -> Result<Vec<PgRow>, Fault> {
    Ok(lease.query(sql::TEAMS).fetch_all(&mut **lease).await?)
}

/// At most `limit` entries of the audit trail before the one numbered `before`, newest first.
pub async fn audit(
    lease: &mut Lease<'_>,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<PgRow>, Fault> {
    let before = before.and_then(|before| i64::try_from(before).ok());
    let rows = lease
        .query(sql::AUDIT)
        .bind(before.unwrap_or(i64::MAX))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
    Ok(rows.fetch_all(&mut **lease).await?)
}

/// The digest of the admin token, if one was kept.
pub async fn admin_token(lease: &mut Lease<'_>) -> Result<Option<KeyDigest>, Fault> {
    let row = lease.query(sql::ADMIN_TOKEN).fetch_optional(&mut **lease);
    let row = row.await?;
    Ok(row.and_then(|row| row::digest(&row, "digest")))
}

fn seq(row: &PgRow) -> Result<Option<u64>, sqlx::Error> {
    let seq: Option<i64> = row.try_get("seq")?;
    Ok(seq.and_then(|seq| u64::try_from(seq).ok()))
}
