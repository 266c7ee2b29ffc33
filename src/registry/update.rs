//! Changing a key that is there: its name, what it may do, its life, its text.

use super::{Caller, DRAWS, KeyRegistry, Outcome, RegistryError, UpdateKey, bulk, draw};
use crate::key::{ApiKey, KeySelector, KeyUpdate, Operation, Rights, Rotation};
use crate::store::{Cursor, StoreError};

/// How often a key is looked at anew when somebody changes at the same moment what it may do.
const LOOKS: usize = 3;

impl KeyRegistry {
    /// Only for whoever may manage what the key is, and what it becomes.
    pub(super) async fn update(
        &self,
        caller: &Caller,
        which: &KeySelector,
        wanted: &UpdateKey,
    ) -> Result<(Outcome, Cursor), RegistryError> {
        self.check_end(wanted.expires_at.flatten())?;
        let decide = |key: &ApiKey| decide(caller, key, wanted);
        let (key, written) = self.change(caller, which, decide).await?;
        tracing::info!(key.prefix = %key.prefix, caller = %caller.owner(), "key changed");
        Ok((Outcome::Updated(Box::new(key)), written))
    }

    /// Only for whoever may manage the key: a new text may do what the key may.
    pub(super) async fn rotate(
        &self,
        caller: &Caller,
        which: &KeySelector,
        grace_secs: u64,
    ) -> Result<(Outcome, Cursor), RegistryError> {
        let mut draws = 1;
        loop {
            let secret = draw()?;
            let rotation = Rotation {
                digest: secret.digest(),
                prefix: secret.prefix(),
                grace_secs,
            };
            let decide = |_: &ApiKey| {
                Ok(KeyUpdate {
                    rotate: Some(rotation.clone()),
                    ..KeyUpdate::default()
                })
            };
            match self.change(caller, which, decide).await {
                Ok((key, written)) => {
                    tracing::info!(
                        key.prefix = %key.prefix,
                        rotation.grace_secs = grace_secs,
                        caller = %caller.owner(),
                        "key rotated"
                    );
                    let key = Box::new(key);
                    return Ok((Outcome::Rotated { key, secret }, written));
                }
                Err(RegistryError::Store(StoreError::PrefixTaken(_))) if draws < DRAWS => {
                    draws += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Changes the key as `decide` says, who is shown the key as it is. What the key may do must be the same when it is
    /// written, or it is looked at again: nobody changes what they may not manage by being quick.
    async fn change(
        &self,
        caller: &Caller,
        which: &KeySelector,
        decide: impl Fn(&ApiKey) -> Result<KeyUpdate, RegistryError>,
    ) -> Result<(ApiKey, Cursor), RegistryError> {
        let mut looks = 1;
        loop {
            let key = self.store.get(which).await?.ok_or(StoreError::NoSuchKey)?;
            if !caller.may_manage(&key.category) {
                return Err(RegistryError::Forbidden);
            }
            let change = KeyUpdate {
                seen: Some(Rights::of(&key)),
                by: Some(caller.actor()),
                ..decide(&key)?
            };
            match self.store.update(&KeySelector::Id(key.id), &change).await {
                Err(StoreError::ChangedMeanwhile) if looks < LOOKS => looks += 1,
                changed => return Ok(changed?),
            }
        }
    }
}

fn decide(caller: &Caller, key: &ApiKey, wanted: &UpdateKey) -> Result<KeyUpdate, RegistryError> {
    let becomes = wanted
        .operation
        .filter(|&operation| Operation::of(&key.category) != Some(operation));
    let category = becomes.map(Operation::category);
    if category.is_some() || wanted.scope.is_some() {
        let category = category.as_ref().unwrap_or(&key.category);
        if !caller.may_manage(category) {
            return Err(RegistryError::Forbidden);
        }
        let scope = wanted.scope.as_ref().unwrap_or(&key.scope);
        bulk::check_rights(category, scope).map_err(RegistryError::Invalid)?;
    }
    Ok(KeyUpdate {
        name: wanted.name.clone(),
        category,
        operation: becomes,
        scope: wanted.scope.clone(),
        team: wanted.team,
        expires_at: wanted.expires_at,
        enabled: wanted.enabled,
        ends_calls: wanted.ends_calls,
        ..KeyUpdate::default()
    })
}
