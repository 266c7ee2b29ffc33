//! The changes, each in one transaction.

use uuid::Uuid;

use super::error::{Constraint, Fault};
use super::lane::{Lane, Lease, Session};
use super::{read, sql};
use crate::key::{
    Actor, ApiKey, KeyDigest, KeyId, KeyPrefix, KeySelector, KeyUpdate, ModelScope, Name,
    NewApiKey, Operation, Rights, Rotation, Team, UnixTime,
};
use crate::store::audit::{self, Action};
use crate::store::{Cursor, StoreError, row};

/// The longest grace: 136 years. More would not fit the database's arithmetic.
const MAX_GRACE_SECS: u64 = u32::MAX as u64;

/// A transaction that changes keys. Dropping it undoes it, and ends its connection.
pub struct Write<'l>(Lease<'l>);

impl<'l> Write<'l> {
    /// Waits for a connection, and then for the turn among all who change keys: what is read in it stays so until its
    /// end.
    pub async fn begin(lane: &'l Lane) -> Result<Self, Fault> {
        Ok(Self(lane.begin(Some(sql::LOCK_LOG)).await?))
    }

    /// The connection, in the transaction.
    pub const fn connection(&mut self) -> &mut Lease<'l> {
        &mut self.0
    }

    /// Commits what is done, or undoes what was refused. After any other fault the connection is not used again: what
    /// became of its transaction is not known.
    pub async fn end<T>(mut self, done: Result<T, Fault>) -> Result<T, Fault> {
        let statement = match &done {
            Ok(_) => sql::COMMIT,
            Err(Fault::Answer(_)) => sql::ROLLBACK,
            Err(Fault::Sqlx(_) | Fault::Late) => return done,
        };
        self.0.run(statement).await?;
        self.0.give_back();
        done
    }
}

/// Stores a key.
pub async fn insert(lease: &mut Lease<'_>, key: &NewApiKey) -> Result<(ApiKey, Cursor), Fault> {
    let inserted = lease
        .query(sql::INSERT)
        .bind(key.id.to_string())
        .bind(key.prefix.to_string())
        .bind(key.digest.as_bytes().to_vec())
        .bind(key.name.as_ref().map(Name::to_string))
        .bind(key.category.as_str().to_owned())
        .bind(key.operation.map(Operation::as_str))
        .bind(key.scope.to_stored())
        .bind(key.team.map(|team| team.to_string()))
        .bind(key.owner.as_ref().map(Name::to_string))
        .bind(key.expires_at.map(UnixTime::to_stored))
        .bind(key.ends_calls)
        .execute(&mut **lease)
        .await
        .map_err(|cause| refusal(cause, key.name.as_ref(), Some(&key.prefix)))?;
    if inserted.rows_affected() == 0 {
        return Err(StoreError::NoSuchTeam.into());
    }
    let (stored, written) = as_it_is_now(lease, key.id).await?;
    if let Some(by) = &key.by {
        note(lease, by, Action::Create, &stored, &[]).await?;
    }
    Ok((stored, written))
}

/// Leaves a tombstone, and returns the key as it was.
pub async fn delete(
    lease: &mut Lease<'_>,
    which: &KeySelector,
    by: Option<&Actor>,
) -> Result<(ApiKey, Cursor), Fault> {
    let key = select(lease, which).await?;
    lease
        .query(sql::DELETE)
        .bind(key.id.to_string())
        .execute(&mut **lease)
        .await?;
    if let Some(by) = by {
        note(lease, by, Action::Delete, &key, &[]).await?;
    }
    let end = read::log_end(lease).await?;
    Ok((key, end.cursor))
}

/// Changes what may change.
pub async fn update(
    lease: &mut Lease<'_>,
    which: &KeySelector,
    change: &KeyUpdate,
) -> Result<(ApiKey, Cursor), Fault> {
    let key = select(lease, which).await?;
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
    let updated = lease
        .query(sql::UPDATE)
        .bind(key.id.to_string())
        .bind(name.is_some())
        .bind(name.flatten().map(Name::to_string))
        .bind(change.scope.is_some())
        .bind(change.scope.as_ref().and_then(ModelScope::to_stored))
        .bind(change.expires_at.is_some())
        .bind(change.expires_at.flatten().map(UnixTime::to_stored))
        .bind(change.enabled)
        .bind(rotate.map(|rotate| rotate.digest.as_bytes().to_vec()))
        .bind(rotate.map(|rotate| rotate.prefix.to_string()))
        .bind(rotate.map(grace))
        .bind(
            change
                .category
                .as_ref()
                .map(|category| category.as_str().to_owned()),
        )
        .bind(change.operation.map(Operation::as_str))
        .bind(change.team.map(|team| team.to_string()))
        .bind(change.ends_calls)
        .execute(&mut **lease)
        .await
        .map_err(|cause| {
            let name = name.flatten().or(key.name.as_ref());
            refusal(cause, name, rotate.map(|rotate| &rotate.prefix))
        })?;
    // The key is there: only a team can be missing.
    if updated.rows_affected() == 0 {
        return Err(StoreError::NoSuchTeam.into());
    }
    let (stored, written) = as_it_is_now(lease, key.id).await?;
    if let Some(by) = &change.by {
        let action = rotate.map_or(Action::Update, |_| Action::Rotate);
        let changed = audit::changed(&key, &stored);
        note(lease, by, action, &stored, &changed).await?;
    }
    Ok((stored, written))
}

/// Writes what was done to `key` to the audit trail.
async fn note(
    lease: &mut Lease<'_>,
    by: &Actor,
    action: Action,
    key: &ApiKey,
    changed: &[&str],
) -> Result<(), Fault> {
    lease
        .query(sql::NOTE)
        .bind(by.name.to_string())
        .bind(by.key.as_ref().map(KeyPrefix::to_string))
        .bind(by.from.to_string())
        .bind(action.as_str())
        .bind(key.id.to_string())
        .bind(key.prefix.to_string())
        .bind(audit::to_stored(changed))
        .execute(&mut **lease)
        .await?;
    Ok(())
}

/// Writes what was done to something else than a key: to the team called `team`, if it is one.
async fn note_other(
    lease: &mut Lease<'_>,
    by: &Actor,
    action: Action,
    team: Option<&Name>,
) -> Result<(), Fault> {
    lease
        .query(sql::NOTE_OTHER)
        .bind(by.name.to_string())
        .bind(by.key.as_ref().map(KeyPrefix::to_string))
        .bind(by.from.to_string())
        .bind(action.as_str())
        .bind(team.map(Name::to_string))
        .execute(&mut **lease)
        .await?;
    Ok(())
}

/// Writes moments of use. No transaction of its own: one statement.
pub async fn record_last_used(
    session: &mut impl Session,
    batch: &[(KeyId, UnixTime)],
) -> Result<(), Fault> {
    let ids: Vec<String> = batch.iter().map(|(id, _)| id.to_string()).collect();
    let moments: Vec<i64> = batch.iter().map(|(_, at)| at.to_stored()).collect();
    session
        .query(sql::RECORD_LAST_USED)
        .bind(ids)
        .bind(moments)
        .execute(&mut **session)
        .await?;
    Ok(())
}

/// Makes a team.
pub async fn insert_team(
    lease: &mut Lease<'_>,
    name: &Name,
    by: Option<&Actor>,
) -> Result<Team, Fault> {
    let id = Uuid::now_v7().to_string();
    lease
        .query(sql::INSERT_TEAM)
        .bind(id.clone())
        .bind(name.to_string())
        .execute(&mut **lease)
        .await
        .map_err(|cause| refusal(cause, Some(name), None))?;
    if let Some(by) = by {
        note_other(lease, by, Action::CreateTeam, Some(name)).await?;
    }
    let stored = lease.query(sql::TEAM).bind(id);
    let stored = stored.fetch_one(&mut **lease).await?;
    Ok(row::team(&stored).map_err(|_| sqlx::Error::RowNotFound)?)
}

/// Keeps the admin token's digest unless one is kept; the one that is kept now.
pub async fn keep_admin_token(
    lease: &mut Lease<'_>,
    digest: &KeyDigest,
    by: Option<&Actor>,
) -> Result<KeyDigest, Fault> {
    let made = lease
        .query(sql::KEEP_ADMIN_TOKEN)
        .bind(digest.as_bytes().to_vec())
        .execute(&mut **lease)
        .await?;
    if let Some(by) = by.filter(|_| made.rows_affected() > 0) {
        note_other(lease, by, Action::CreateAdminToken, None).await?;
    }
    let kept = lease.query(sql::ADMIN_TOKEN);
    let kept = kept.fetch_one(&mut **lease).await?;
    Ok(row::digest(&kept, "digest").ok_or(sqlx::Error::RowNotFound)?)
}

/// The key that `which` selects. A row that cannot be read is no key: it permits nothing, and there is nothing to take
/// from it.
async fn select(lease: &mut Lease<'_>, which: &KeySelector) -> Result<ApiKey, Fault> {
    let row = read::get(lease, which).await?;
    let key = row.and_then(|row| row::key(&row).ok());
    key.ok_or(Fault::Answer(StoreError::NoSuchKey))
}

async fn as_it_is_now(lease: &mut Lease<'_>, id: KeyId) -> Result<(ApiKey, Cursor), Fault> {
    let key = select(lease, &KeySelector::Id(id)).await?;
    let end = read::log_end(lease).await?;
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
