//! Many keys in one transaction: handed over as one JSON text, so that a statement is prepared once, whatever their
//! number.

use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use super::error::Fault;
use super::{read, sql, write};
use crate::key::{ImportedKey, KeyId, KeyPrefix, Name, Operation, UnixTime};
use crate::store::audit::Action;
use crate::store::bulk::{Clash, Plan};
use crate::store::{Import, Imported, StoreError};

/// Stores the keys that can be stored, as the import wants it.
pub async fn import(connection: &mut SqliteConnection, import: &Import) -> Result<Imported, Fault> {
    sqlx::query(sql::IMPORT_PAGES)
        .execute(&mut *connection)
        .await?;
    sqlx::query(sql::IMPORT_LOG)
        .execute(&mut *connection)
        .await?;
    let rows = all(import);
    let plan = plan(&mut *connection, import, &rows).await?;
    let mut imported = plan.imported;
    if plan.keep.is_empty() {
        return Ok(imported);
    }
    let whole = plan.keep.len() == import.keys.len() && imported.unnamed == 0;
    let rows = if whole {
        rows
    } else {
        let kept = plan.keep.iter();
        list(kept.filter_map(|&(place, unnamed)| Some((import.keys.get(place)?, unnamed))))
    };
    write::noting(&mut *connection, true).await?;
    let inserted = sqlx::query(sql::IMPORT)
        .bind(rows.as_str())
        .execute(&mut *connection)
        .await?;
    // A row whose team is not there is made by no join.
    if usize::try_from(inserted.rows_affected()).ok() != Some(plan.keep.len()) {
        return Err(StoreError::NoSuchTeam.into());
    }
    if let Some(by) = &import.by {
        sqlx::query(sql::NOTE_IMPORT)
            .bind(rows)
            .bind(by.name.as_str())
            .bind(by.key.as_ref().map(KeyPrefix::as_str))
            .bind(by.from.to_string())
            .bind(Action::Import.as_str())
            .execute(&mut *connection)
            .await?;
    }
    write::noting(&mut *connection, false).await?;
    imported.written = Some(read::log_end(connection).await?.cursor);
    Ok(imported)
}

/// What would become of the keys.
pub async fn look(connection: &mut SqliteConnection, import: &Import) -> Result<Imported, Fault> {
    Ok(plan(connection, import, &all(import)).await?.imported)
}

async fn plan(
    connection: &mut SqliteConnection,
    import: &Import,
    rows: &str,
) -> Result<Plan, Fault> {
    let rows = sqlx::query(sql::IMPORT_CLASHES)
        .bind(rows)
        .fetch_all(connection)
        .await?;
    let mut clashes = Vec::with_capacity(rows.len());
    for row in rows {
        let place: i64 = row.try_get("place")?;
        let clash: i64 = row.try_get("clash")?;
        let place = usize::try_from(place).map_err(|_| sqlx::Error::RowNotFound)?;
        clashes.push((place, Clash::numbered(clash)));
    }
    Ok(Plan::new(import, clashes))
}

/// Every key of the import, as [`list`] writes it.
fn all(import: &Import) -> String {
    list(import.keys.iter().map(|key| (key, false)))
}

/// The keys as one JSON text, each with whether it does without its name.
fn list<'k>(keys: impl Iterator<Item = (&'k ImportedKey, bool)>) -> String {
    let rows: Vec<_> = keys.map(|(key, unnamed)| row(key, unnamed)).collect();
    serde_json::to_string(&rows).expect("texts and numbers are JSON")
}

/// The columns of a key, in the order in which `IMPORT` and `IMPORT_CLASHES` take them.
fn row(key: &ImportedKey, unnamed: bool) -> impl Serialize + '_ {
    let name = key.name.as_ref().filter(|_| !unnamed);
    let id = key.id.unwrap_or_else(|| KeyId::new(Uuid::now_v7()));
    (
        id.to_string(),
        key.prefix.as_str(),
        key.digest.to_hex(),
        key.old.map(|old| old.digest.to_hex()),
        key.old.map(|old| old.until.to_stored()),
        name.map(Name::as_str),
        key.category.as_str(),
        key.operation.map(Operation::as_str),
        key.scope.to_stored(),
        key.owner.as_ref().map(Name::as_str),
        key.created_at.map(UnixTime::to_stored),
        key.expires_at.map(UnixTime::to_stored),
        key.disabled_at.map(UnixTime::to_stored),
        key.last_used_at.map(UnixTime::to_stored),
        key.team.to_string(),
        key.ends_calls,
    )
}
