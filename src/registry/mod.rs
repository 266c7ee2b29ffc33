//! List, create, change, delete: what administrators do to keys, whatever dialect they speak.
//!
//! Every translator — a dialect, the command line — makes a [`Command`] and puts the [`Outcome`] into its own words.
//! What lies between is here: who may do what (CONTRACTS 2), the making of a key's text, and the promise that a
//! change is in force on this instance before it is answered.

mod bulk;
mod command;
mod in_force;
mod update;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

pub use bulk::contradiction;
pub use command::{
    Caller, Command, CreateKey, Outcome, RefusalKind, RegistryError, UpdateKey, owner_of,
};
pub use in_force::{InForce, InvalidWait, Wait};

use crate::clock::Clock;
use crate::key::{
    Actor, ApiKey, Denial, ENTROPY_BYTES, Grant, KeyCategory, KeyDigest, KeyFilter, KeyId,
    KeySelector, NamedModel, NewApiKey, NewSecret, Origin, PresentedKey, Purpose, UnixTime,
};
pub use crate::store::{AuditEntry, Instance, ListMark};
use crate::store::{Cursor, KeyStore, StoreError};

use in_force::IN_FORCE_WITHIN;

/// How often a key is drawn when its prefix is taken: a chance of one in 10¹⁴ for each key there is.
const DRAWS: usize = 3;

/// Carries out what administrators ask.
pub struct KeyRegistry {
    store: Arc<dyn KeyStore>,
    clock: Clock,
    applied: Option<watch::Receiver<Cursor>>,
}

impl KeyRegistry {
    /// A registry over `store`. `applied` tells how far this process has followed the change log; without it (a
    /// command line straight on a database) nothing needs to be waited for.
    #[must_use]
    pub fn new(
        store: Arc<dyn KeyStore>,
        clock: Clock,
        applied: Option<watch::Receiver<Cursor>>,
    ) -> Self {
        Self {
            store,
            clock,
            applied,
        }
    }

    /// Who presents this key, `from` where. `None` when it is no key of ours, or is deleted, disabled or expired.
    ///
    /// Asks the database, never the memory of the data listener. Whether the caller may do anything is
    /// [`Self::execute`]'s to say.
    ///
    /// # Errors
    ///
    /// When the database did not answer.
    pub async fn authenticate(
        &self,
        presented: PresentedKey<'_>,
        from: Origin,
    ) -> Result<Option<Caller>, RegistryError> {
        let digest = presented.digest();
        let key = self.store.find(&digest).await?;
        Ok(key
            .filter(|key| self.works(key, digest))
            .map(|key| Caller::key(key, from)))
    }

    /// Whether the text with this digest works, by the same decision that the data listener takes.
    fn works(&self, key: &ApiKey, digest: KeyDigest) -> bool {
        let now = self.clock.unix_time();
        Grant::of(key, now).any(|(known_by, grant)| {
            let verdict = grant.check(Purpose::Calling, NamedModel::NotNeeded, now);
            known_by == digest && !matches!(verdict, Err(Denial::Disabled | Denial::Expired))
        })
    }

    /// Carries out `command` for `caller`.
    ///
    /// What was created or deleted is in force on this instance when this returns; if following the change log takes
    /// longer than two seconds, it returns nevertheless and the log says so. Dropping the future leaves the change
    /// either made or not made, whole in both cases.
    ///
    /// # Errors
    ///
    /// When the caller may not, when the command contradicts itself (before anything is written), or when the
    /// database says no or nothing.
    pub async fn execute(
        &self,
        caller: &Caller,
        command: Command,
    ) -> Result<Outcome, RegistryError> {
        let (outcome, _) = self
            .execute_and_wait(caller, command, Wait::Instance)
            .await?;
        Ok(outcome)
    }

    /// The same; with [`Wait::All`] it returns when what was changed is in force on every instance that is heard, or
    /// after two seconds, and says which it was. Nothing is said about a command that changes no key.
    ///
    /// # Errors
    ///
    /// As [`Self::execute`]: that a change is not in force somewhere is no error, for it is made.
    pub async fn execute_and_wait(
        &self,
        caller: &Caller,
        command: Command,
        wait: Wait,
    ) -> Result<(Outcome, Option<InForce>), RegistryError> {
        let (outcome, written) = self.carry_out(caller, command).await?;
        let Some(written) = written else {
            return Ok((outcome, None));
        };
        let deadline = Instant::now() + IN_FORCE_WITHIN;
        let here = self.in_force_here(written, deadline);
        let in_force = match wait {
            Wait::Instance => {
                here.await;
                None
            }
            Wait::All => {
                let everywhere = self.in_force_everywhere(written, deadline);
                Some(tokio::join!(here, everywhere).1)
            }
        };
        Ok((outcome, in_force))
    }

    /// What became of the command, and the place that its change of a key took in the log.
    async fn carry_out(
        &self,
        caller: &Caller,
        command: Command,
    ) -> Result<(Outcome, Option<Cursor>), RegistryError> {
        if !caller.may_administer() {
            return Err(RegistryError::Forbidden);
        }
        let outcome = match command {
            Command::Create(wanted) => {
                let (created, written) = self.create(caller, wanted).await?;
                return Ok((created, Some(written)));
            }
            Command::Delete(which) => {
                let (deleted, written) = self.delete(caller, &which).await?;
                return Ok((deleted, Some(written)));
            }
            Command::Update(which, change) => {
                let (updated, written) = self.update(caller, &which, &change).await?;
                return Ok((updated, Some(written)));
            }
            Command::Rotate(which, grace_secs) => {
                let (rotated, written) = self.rotate(caller, &which, grace_secs).await?;
                return Ok((rotated, Some(written)));
            }
            Command::Import(import) => return self.import(caller, import).await,
            Command::Export(after) => self.export(caller, after.as_ref()).await?,
            Command::List(filter) => self.list(caller, &filter).await?,
            Command::Find(which) => {
                let key = self.store.get(&which).await?;
                let key = key.filter(|key| caller.may_manage(&key.category));
                Outcome::Found(Box::new(key.ok_or(StoreError::NoSuchKey)?))
            }
            Command::ListPage {
                filter,
                after,
                limit,
            } => {
                let page = self.store.list_page(&filter, after.as_ref(), limit);
                let mut page = page.await?;
                page.keys.retain(|key| caller.may_manage(&key.category));
                Outcome::ListedPage(page)
            }
            Command::Audit { before, limit } => {
                // It names keys of every category.
                if !caller.may_manage(&KeyCategory::Personal) {
                    return Err(RegistryError::Forbidden);
                }
                Outcome::Audited(self.store.audit(before, limit).await?)
            }
            Command::ListInstances => Outcome::Instances(self.store.instances().await?),
            Command::ListTeams => Outcome::Teams(self.store.teams().await?),
            Command::CreateTeam(name) => {
                // Not named by the contract, so only for whoever may do everything.
                if !caller.may_manage(&KeyCategory::Personal) {
                    return Err(RegistryError::Forbidden);
                }
                let team = self
                    .store
                    .insert_team_by(&name, Some(&caller.actor()))
                    .await?;
                tracing::info!(team.name = %team.name, caller = %caller.owner(), "team created");
                Outcome::TeamCreated(team)
            }
            Command::WhoAmI => Outcome::You {
                owner: caller.owner(),
                org: match caller.holds() {
                    Some(key) => key.org,
                    None => self.store.org().await?,
                },
            },
        };
        Ok((outcome, None))
    }

    /// Whoever may not manage a key does not see it either.
    async fn list(&self, caller: &Caller, filter: &KeyFilter) -> Result<Outcome, RegistryError> {
        let mut keys = self.store.list(filter).await?;
        keys.retain(|key| caller.may_manage(&key.category));
        Ok(Outcome::Listed(keys))
    }

    async fn create(
        &self,
        caller: &Caller,
        wanted: CreateKey,
    ) -> Result<(Outcome, Cursor), RegistryError> {
        if !caller.may_manage(&wanted.category) {
            return Err(RegistryError::Forbidden);
        }
        self.check(&wanted)?;
        let (key, secret, written) = self.store_new(caller, &wanted).await?;
        tracing::info!(
            key.prefix = %key.prefix,
            key.category = key.category.as_str(),
            caller = %caller.owner(),
            "key created"
        );
        let created = Outcome::Created {
            key: Box::new(key),
            secret,
        };
        Ok((created, written))
    }

    fn check(&self, wanted: &CreateKey) -> Result<(), RegistryError> {
        bulk::check_rights(&wanted.category, &wanted.scope).map_err(RegistryError::Invalid)?;
        self.check_end(wanted.expires_at)
    }

    fn check_end(&self, end: Option<UnixTime>) -> Result<(), RegistryError> {
        if end.is_some_and(|end| end <= self.clock.unix_time()) {
            return Err(RegistryError::Invalid("a key cannot expire in the past"));
        }
        Ok(())
    }

    async fn store_new(
        &self,
        caller: &Caller,
        wanted: &CreateKey,
    ) -> Result<(ApiKey, NewSecret, Cursor), RegistryError> {
        let mut draws = 1;
        loop {
            let secret = draw()?;
            let new = NewApiKey {
                id: KeyId::new(Uuid::now_v7()),
                prefix: secret.prefix(),
                digest: secret.digest(),
                name: wanted.name.clone(),
                category: wanted.category.clone(),
                operation: wanted.operation,
                scope: wanted.scope.clone(),
                team: wanted.team,
                owner: Some(caller.owner()),
                expires_at: wanted.expires_at,
                ends_calls: wanted.ends_calls,
                by: Some(caller.actor()),
            };
            match self.store.insert(&new).await {
                Ok((key, written)) => return Ok((key, secret, written)),
                Err(StoreError::PrefixTaken(_)) if draws < DRAWS => draws += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn delete(
        &self,
        caller: &Caller,
        which: &KeySelector,
    ) -> Result<(Outcome, Cursor), RegistryError> {
        // Should its category change meanwhile, the deletion came first for whoever may not manage the new one.
        let key = self.store.get(which).await?.ok_or(StoreError::NoSuchKey)?;
        if !caller.may_manage(&key.category) {
            return Err(RegistryError::Forbidden);
        }
        let which = KeySelector::Id(key.id);
        let (key, written) = self.store.delete_by(&which, Some(&caller.actor())).await?;
        tracing::info!(
            key.prefix = %key.prefix,
            key.category = key.category.as_str(),
            caller = %caller.owner(),
            "key deleted"
        );
        Ok((Outcome::Deleted(Box::new(key)), written))
    }

    /// The moment `secs` seconds from now, by the clock that decides about expiry.
    #[must_use]
    pub fn moment_in(&self, secs: u64) -> UnixTime {
        UnixTime::from_secs(self.clock.unix_time().as_secs().saturating_add(secs))
    }

    /// The digest of the admin token, if one was kept.
    ///
    /// # Errors
    ///
    /// When the database did not answer.
    pub async fn admin_token(&self) -> Result<Option<KeyDigest>, RegistryError> {
        Ok(self.store.admin_token().await?)
    }

    /// Keeps `digest` as the admin token's unless one is kept already; returns the one that is kept now. The audit trail
    /// tells that it was made, by nobody but the start itself.
    ///
    /// # Errors
    ///
    /// When the database did not answer.
    pub async fn keep_admin_token(&self, digest: &KeyDigest) -> Result<KeyDigest, RegistryError> {
        let by = Actor {
            name: "keyward".parse().expect("seven letters are a name"),
            key: None,
            from: Origin::Start,
        };
        let kept = self.store.keep_admin_token_by(digest, Some(&by));
        Ok(kept.await?)
    }
}

/// A new key's text, from the operating system's randomness.
fn draw() -> Result<NewSecret, RegistryError> {
    NewSecret::from_entropy(&entropy()?).ok_or(RegistryError::Entropy)
}

/// A new admin token, from the operating system's randomness.
///
/// # Errors
///
/// When the operating system gives none.
pub fn draw_admin_token() -> Result<NewSecret, RegistryError> {
    NewSecret::admin_token_from_entropy(&entropy()?).ok_or(RegistryError::Entropy)
}

fn entropy() -> Result<[u8; ENTROPY_BYTES], RegistryError> {
    let mut entropy = [0; ENTROPY_BYTES];
    getrandom::fill(&mut entropy).map_err(|_| RegistryError::Entropy)?;
    Ok(entropy)
}
