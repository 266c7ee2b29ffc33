//! The changes, each in one transaction.

use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use super::error::{Constraint, Fault};
use super::lane::{Lane, Lease};
use super::{read, sql};
use crate::key::{
    Actor, ApiKey, KeyCategory, KeyDigest, KeyId, KeyPrefix, KeySelector, KeyUpdate, ModelScope,
    Name, NewApiKey, Operation, Rights, Rotation, Team, UnixTime,
};
use crate::store::audit::{self, Action};
use crate::store::{Cursor, StoreError, row};

/// The longest grace: 136 years. More would not fit the database's arithmetic.
const MAX_GRACE_SECS: u64 = u32::MAX as u64;

/// A transaction that writes. Dropping it undoes it, and ends its connection.
pub struct Write<'l>(Lease<'l>);

impl<'l> Write<'l> {
    /// Waits for the turn of this process, then for the turn among processes.
    pub async fn begin(lane: &'l Lane) -> Result<Self, Fault> {
        let mut lease = lane.lease().await?;
        sqlx::query(sql::BEGIN_WRITE).execute(&mut *lease).await?;
        Ok(Self(lease))
    }

    /// The connection, in the transaction.
    pub fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.0
    }

    /// Commits what is done, or undoes what was refused. After any other fault the connection is not used again: what
    /// SQLite made of its transaction is not known.
    pub async fn end<T>(mut self, done: Result<T, Fault>) -> Result<T, Fault> {
        let statement = match &done {
            Ok(_) => sql::COMMIT,
            Err(Fault::Answer(_)) => sql::ROLLBACK,
            Err(Fault::Sqlx(_) | Fault::Late) => return done,
        };
        sqlx::query(statement).execute(&mut *self.0).await?;
        self.0.give_back();
        done
    }
}

/// Says that what follows is noted by us, or, once it is done, that it is by triggers again. What fails in between is undone
/// with it.
pub async fn noting(connection: &mut SqliteConnection, ourselves: bool) -> Result<(), Fault> {
    let statement = if ourselves { sql::NOTES } else { sql::NOTED };
    sqlx::query(statement).execute(connection).await?;
    Ok(())
}

/// Stores a key.
pub async fn insert(
    connection: &mut SqliteConnection,
    key: &NewApiKey,
) -> Result<(ApiKey, Cursor), Fault> {
    noting(&mut *connection, true).await?;
    let inserted = sqlx::query(sql::INSERT)
        .bind(key.id.to_string())
        .bind(key.prefix.as_str())
        .bind(key.digest.as_bytes().as_slice())
        .bind(key.name.as_ref().map(Name::as_str))
        .bind(key.category.as_str())
        .bind(key.operation.map(Operation::as_str))
        .bind(key.scope.to_stored())
        .bind(key.team.map(|team| team.to_string()))
        .bind(key.owner.as_ref().map(Name::as_str))
        .bind(key.expires_at.map(UnixTime::to_stored))
        .bind(key.ends_calls)
        .execute(&mut *connection)
        .await
        .map_err(|cause| refusal(cause, key.name.as_ref(), Some(&key.prefix)))?;
    if inserted.rows_affected() == 0 {
        return Err(StoreError::NoSuchTeam.into());
    }
    let (stored, written) = as_it_is_now(&mut *connection, key.id).await?;
    if let Some(by) = &key.by {
        note(&mut *connection, by, Action::Create, &stored, &[]).await?;
    }
    noting(connection, false).await?;
    Ok((stored, written))
}

/// Leaves a tombstone, and returns the key as it was.
pub async fn delete(
    connection: &mut SqliteConnection,
    which: &KeySelector,
    by: Option<&Actor>,
) -> Result<(ApiKey, Cursor), Fault> {
    let key = select(&mut *connection, which).await?;
    noting(&mut *connection, true).await?;
    sqlx::query(sql::DELETE)
        .bind(key.id.to_string())
        .execute(&mut *connection)
        .await?;
    if let Some(by) = by {
        note(&mut *connection, by, Action::Delete, &key, &[]).await?;
    }
    noting(&mut *connection, false).await?;
    let end = read::log_end(connection).await?;
    Ok((key, end.cursor))
}

/// Changes what may change.
pub async fn update(
    connection: &mut SqliteConnection,
    which: &KeySelector,
    change: &KeyUpdate,
) -> Result<(ApiKey, Cursor), Fault> {
    let key = select(&mut *connection, which).await?;
    if change
        .seen
        .as_ref()
        .is_some_and(|seen| *seen != Rights::of(&key))
    {
        return Err(StoreError::ChangedMeanwhile.into());
    }
    let name = change.name.as_ref().map(Option::as_ref);
    let rotate = change.rotate.as_ref();
    let grace = |rotate: &Rotation| rotate.grace_secs.min(MAX_GRACE_SECS).cast_signed();
    noting(&mut *connection, true).await?;
    let updated = sqlx::query(sql::UPDATE)
        .bind(key.id.to_string())
        .bind(name.is_some())
        .bind(name.flatten().map(Name::as_str))
        .bind(change.scope.is_some())
        .bind(change.scope.as_ref().and_then(ModelScope::to_stored))
        .bind(change.expires_at.is_some())
        .bind(change.expires_at.flatten().map(UnixTime::to_stored))
        .bind(change.enabled)
        .bind(rotate.map(|rotate| rotate.digest.as_bytes().as_slice()))
        .bind(rotate.map(|rotate| rotate.prefix.as_str()))
        .bind(rotate.map(grace))
        .bind(change.category.as_ref().map(KeyCategory::as_str))
        .bind(change.operation.map(Operation::as_str))
        .bind(change.team.map(|team| team.to_string()))
        .bind(change.ends_calls)
        .execute(&mut *connection)
        .await
        .map_err(|cause| {
            let name = name.flatten().or(key.name.as_ref());
            refusal(cause, name, rotate.map(|rotate| &rotate.prefix))
        })?;
    // The key is there: only a team can be missing.
    if updated.rows_affected() == 0 {
        return Err(StoreError::NoSuchTeam.into());
    }
    let (stored, written) = as_it_is_now(&mut *connection, key.id).await?;
    if let Some(by) = &change.by {
        let action = rotate.map_or(Action::Update, |_| Action::Rotate);
        let changed = audit::changed(&key, &stored);
        note(&mut *connection, by, action, &stored, &changed).await?;
    }
    noting(connection, false).await?;
    Ok((stored, written))
}

/// Writes what was done to `key` to the audit trail.
async fn note(
    connection: &mut SqliteConnection,
    by: &Actor,
    action: Action,
    key: &ApiKey,
    changed: &[&str],
) -> Result<(), Fault> {
    sqlx::query(sql::NOTE)
        .bind(by.name.as_str())
        .bind(by.key.as_ref().map(KeyPrefix::as_str))
        .bind(by.from.to_string())
        .bind(action.as_str())
        .bind(key.id.to_string())
        .bind(key.prefix.as_str())
        .bind(audit::to_stored(changed))
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes what was done to something else than a key: to the team called `team`, if it is one.
async fn note_other(
    connection: &mut SqliteConnection,
    by: &Actor,
    action: Action,
    team: Option<&Name>,
) -> Result<(), Fault> {
    sqlx::query(sql::NOTE_OTHER)
        .bind(by.name.as_str())
        .bind(by.key.as_ref().map(KeyPrefix::as_str))
        .bind(by.from.to_string())
        .bind(action.as_str())
        .bind(team.map(Name::as_str))
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes moments of use.
pub async fn record_last_used(
    connection: &mut SqliteConnection,
    batch: &[(KeyId, UnixTime)],
) -> Result<(), Fault> {
    let batch: Vec<(String, i64)> = batch
        .iter()
        .map(|(id, at)| (id.to_string(), at.to_stored()))
        .collect();
    let batch = serde_json::to_string(&batch).expect("texts and numbers are always JSON");
    sqlx::query(sql::RECORD_LAST_USED)
        .bind(batch)
        .execute(connection)
        .await?;
    Ok(())
}

/// Makes a team.
pub async fn insert_team(
    connection: &mut SqliteConnection,
    name: &Name,
    by: Option<&Actor>,
) -> Result<Team, Fault> {
    let id = Uuid::now_v7().to_string();
    sqlx::query(sql::INSERT_TEAM)
        .bind(id.as_str())
        .bind(name.as_str())
        .execute(&mut *connection)
        .await
        .map_err(|cause| refusal(cause, Some(name), None))?;
    if let Some(by) = by {
        note_other(&mut *connection, by, Action::CreateTeam, Some(name)).await?;
    }
    let stored = sqlx::query(sql::TEAM)
        .bind(id)
        .fetch_one(connection)
        .await?;
    Ok(row::team(&stored).map_err(|_| sqlx::Error::RowNotFound)?)
}

/// Keeps the admin token's digest unless one is kept; the one that is kept now.
pub async fn keep_admin_token(
    connection: &mut SqliteConnection,
    digest: &KeyDigest,
    by: Option<&Actor>,
) -> Result<KeyDigest, Fault> {
    let made = sqlx::query(sql::KEEP_ADMIN_TOKEN)
        .bind(digest.as_bytes().as_slice())
        .execute(&mut *connection)
        .await?;
    if let Some(by) = by.filter(|_| made.rows_affected() > 0) {
        note_other(&mut *connection, by, Action::CreateAdminToken, None).await?;
    }
    let kept = sqlx::query(sql::ADMIN_TOKEN).fetch_one(connection).await?;
    Ok(row::digest(&kept, "digest").ok_or(sqlx::Error::RowNotFound)?)
}

/// The key that `which` selects. A row that cannot be read is no key: it permits nothing, and there is nothing to take
/// from it.
async fn select(connection: &mut SqliteConnection, which: &KeySelector) -> Result<ApiKey, Fault> {
    let row = read::get(connection, which).await?;
    let key = row.and_then(|row| row::key(&row).ok());
    key.ok_or(Fault::Answer(StoreError::NoSuchKey))
}

async fn as_it_is_now(
    connection: &mut SqliteConnection,
    id: KeyId,
) -> Result<(ApiKey, Cursor), Fault> {
    let key = select(&mut *connection, &KeySelector::Id(id)).await?;
    let end = read::log_end(connection).await?;
    Ok((key, end.cursor))
}

/// What the broken constraint means to whoever asked for `name` and `prefix`.
fn refusal(cause: sqlx::Error, name: Option<&Name>, prefix: Option<&KeyPrefix>) -> Fault {
    let answer = match (Constraint::broken(&cause), name, prefix) {
        (Some(Constraint::KeyName), Some(name), _) => StoreError::NameTaken(name.clone()),
        (Some(Constraint::TeamName), Some(name), _) => StoreError::TeamNameTaken(name.clone()),
        (Some(Constraint::Prefix), _, Some(prefix)) => StoreError::PrefixTaken(prefix.clone()),
        (Some(Constraint::Digest), ..) => StoreError::DigestTaken,
        _ => return cause.into(),
    };
    answer.into()
}
