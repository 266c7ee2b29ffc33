//! Many keys in one transaction: handed over column by column, so that a statement is one message, whatever their number.

use sqlx::Row;
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query;
use uuid::Uuid;

use super::error::Fault;
use super::lane::{Lease, Session};
use super::{read, sql};
use crate::key::{Actor, ImportedKey, KeyId, KeyPrefix, Name, Operation, UnixTime};
use crate::store::audit::Action;
use crate::store::bulk::{Clash, Plan};
use crate::store::{Cursor, Import, Imported, StoreError};

/// Stores the keys that can be stored, as the import wants it.
pub async fn import(
    lease: &mut Lease<'_>,
    import: &Import,
    columns: &Columns,
) -> Result<Imported, Fault> {
    if import.keys.is_empty() {
        return Ok(Imported::default());
    }
    let by = import.by.as_ref();
    if let Some(imported) = at_once(lease, columns, by).await? {
        return Ok(imported);
    }
    let plan = plan(lease, import, columns).await?;
    let mut imported = plan.imported;
    if plan.keep.is_empty() {
        return Ok(imported);
    }
    let mut kept = Columns::default();
    for (place, unnamed) in &plan.keep {
        if let Some(key) = import.keys.get(*place) {
            kept.add(key, *unnamed);
        }
    }
    imported.written = Some(insert(lease, &kept, by).await?);
    Ok(imported)
}

/// Stores all keys, unless something stands in the way of one: mostly nothing does, and to look for it costs a quarter
/// of an import's time.
async fn at_once(
    lease: &mut Lease<'_>,
    columns: &Columns,
    by: Option<&Actor>,
) -> Result<Option<Imported>, Fault> {
    lease.run(sql::MARK).await?;
    match insert(lease, columns, by).await {
        Ok(written) => Ok(Some(Imported {
            stored: columns.id.len(),
            written: Some(written),
            ..Imported::default()
        })),
        Err(Fault::Sqlx(sqlx::Error::Database(said))) if said.is_unique_violation() => {
            lease.run(sql::ROLLBACK_TO_MARK).await?;
            Ok(None)
        }
        Err(fault) => Err(fault),
    }
}

/// Stores these keys; the place in the log that they took.
async fn insert(
    lease: &mut Lease<'_>,
    columns: &Columns,
    by: Option<&Actor>,
) -> Result<Cursor, Fault> {
    lease.query(sql::IMPORT_PLANS).execute(&mut **lease).await?;
    let inserted = columns.bind(lease.query(sql::IMPORT));
    let inserted = inserted.execute(&mut **lease).await?.rows_affected();
    // A row whose team is not there is made by no join.
    if usize::try_from(inserted).ok() != Some(columns.id.len()) {
        return Err(StoreError::NoSuchTeam.into());
    }
    if let Some(by) = by {
        lease
            .query(sql::NOTE_IMPORT)
            .bind(by.name.to_string())
            .bind(by.key.as_ref().map(KeyPrefix::to_string))
            .bind(by.from.to_string())
            .bind(Action::Import.as_str())
            .bind(&columns.id)
            .bind(&columns.prefix)
            .execute(&mut **lease)
            .await?;
    }
    Ok(read::log_end(lease).await?.cursor)
}

/// What would become of the keys.
pub async fn look(
    lease: &mut Lease<'_>,
    import: &Import,
    columns: &Columns,
) -> Result<Imported, Fault> {
    Ok(plan(lease, import, columns).await?.imported)
}

async fn plan(lease: &mut Lease<'_>, import: &Import, columns: &Columns) -> Result<Plan, Fault> {
    let clashes = columns.bind(lease.query(sql::IMPORT_CLASHES));
    let rows = clashes.fetch_all(&mut **lease).await?;
    let mut clashes = Vec::with_capacity(rows.len());
    for row in rows {
        // Counted from 1.
        let place: i64 = row.try_get("place")?;
        let place = usize::try_from(place - 1).map_err(|_| sqlx::Error::RowNotFound)?;
        clashes.push((place, Clash::numbered(row.try_get("clash")?)));
    }
    Ok(Plan::new(import, clashes))
}

/// The keys of an import, column by column.
#[derive(Default)]
pub struct Columns {
    id: Vec<String>,
    prefix: Vec<String>,
    digest: Vec<Vec<u8>>,
    old_digest: Vec<Option<Vec<u8>>>,
    old_until: Vec<Option<i64>>,
    name: Vec<Option<String>>,
    category: Vec<String>,
    operation: Vec<Option<&'static str>>,
    scope: Vec<Option<String>>,
    owner: Vec<Option<String>>,
    created_at: Vec<Option<i64>>,
    expires_at: Vec<Option<i64>>,
    disabled_at: Vec<Option<i64>>,
    last_used_at: Vec<Option<i64>>,
    team: Vec<String>,
    ends_calls: Vec<bool>,
}

impl Columns {
    /// Those of all `keys`.
    pub fn of(keys: &[ImportedKey]) -> Self {
        let mut columns = Self::default();
        for key in keys {
            columns.add(key, false);
        }
        columns
    }

    fn add(&mut self, key: &ImportedKey, unnamed: bool) {
        let id = key.id.unwrap_or_else(|| KeyId::new(Uuid::now_v7()));
        let name = key.name.as_ref().filter(|_| !unnamed);
        let old = key.old.as_ref();
        self.id.push(id.to_string());
        self.prefix.push(key.prefix.to_string());
        self.digest.push(key.digest.as_bytes().to_vec());
        self.old_digest
            .push(old.map(|old| old.digest.as_bytes().to_vec()));
        self.old_until.push(old.map(|old| old.until.to_stored()));
        self.name.push(name.map(Name::to_string));
        self.category.push(key.category.as_str().to_owned());
        self.operation.push(key.operation.map(Operation::as_str));
        self.scope.push(key.scope.to_stored());
        self.owner.push(key.owner.as_ref().map(Name::to_string));
        self.created_at
            .push(key.created_at.map(UnixTime::to_stored));
        self.expires_at
            .push(key.expires_at.map(UnixTime::to_stored));
        self.disabled_at
            .push(key.disabled_at.map(UnixTime::to_stored));
        self.last_used_at
            .push(key.last_used_at.map(UnixTime::to_stored));
        self.team.push(key.team.to_string());
        self.ends_calls.push(key.ends_calls);
    }

    /// In the order of `imported!` in `sql.rs`.
    fn bind<'q>(
        &'q self,
        query: Query<'q, Postgres, PgArguments>,
    ) -> Query<'q, Postgres, PgArguments> {
        query
            .bind(&self.id)
            .bind(&self.prefix)
            .bind(&self.digest)
            .bind(&self.old_digest)
            .bind(&self.old_until)
            .bind(&self.name)
            .bind(&self.category)
            .bind(&self.operation)
            .bind(&self.scope)
            .bind(&self.owner)
            .bind(&self.created_at)
            .bind(&self.expires_at)
            .bind(&self.disabled_at)
            .bind(&self.last_used_at)
            .bind(&self.team)
            .bind(&self.ends_calls)
    }
}
