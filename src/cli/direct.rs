//! Keys straight on a database, when no server runs or none is to be asked.

use std::sync::Arc;
use std::time::Duration;

use super::failure::{self, Failure};
use super::keys::{
    ApiKeyItem, ApiKeys, AuditLog, AuditLogs, CreatedKey, DeletedKey, InForce, KeyQuery,
    KeyRequest, Owner, PAGE, RotatedKey, Team, Teams, WaitFor,
};
use crate::clock::Clock;
use crate::credential::SecretText;
use crate::key::{self, ApiKey, KeyCategory, KeyFilter, KeySelector, ModelScope, UnixTime};
use crate::registry::{
    self, AuditEntry, Caller, Command, CreateKey, KeyRegistry, Outcome, RefusalKind, RegistryError,
    UpdateKey, Wait, owner_of,
};
use crate::store::{self, Import, Imported, KeyPage, KeyStore, PageMark, StoreConfig};
use crate::telemetry::metrics::Metrics;

/// The database, with the right of whoever may open it.
pub struct Direct {
    registry: KeyRegistry,
    store: Arc<dyn KeyStore>,
}

/// How long a statement on thousands of keys may take: nobody's call waits for it, and on a busy machine it takes
/// seconds.
const BULK: Duration = Duration::from_secs(30);

impl Direct {
    /// Opens the database at `url`. One that is not there is made when `may_make` says so.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub async fn open(url: &str, may_make: bool) -> anyhow::Result<Self> {
        Self::at(StoreConfig {
            url: url.to_owned(),
            must_exist: !may_make,
            ..StoreConfig::default()
        })
        .await
    }

    /// The same, for statements on thousands of keys each.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub(super) async fn open_for_bulk(url: &str, may_make: bool) -> anyhow::Result<Self> {
        let mut config = StoreConfig {
            url: url.to_owned(),
            must_exist: !may_make,
            statement_timeout: BULK,
            ..StoreConfig::default()
        };
        config.postgres.statement_timeout = BULK;
        Self::at(config).await
    }

    async fn at(config: StoreConfig) -> anyhow::Result<Self> {
        let store = store::open(&config, Metrics::unrecorded().store).await?;
        Ok(Self {
            registry: KeyRegistry::new(Arc::clone(&store), Clock::system(), None),
            store,
        })
    }

    /// Closes the database.
    pub async fn close(self) {
        self.store.close().await;
    }

    pub(super) async fn page(
        &self,
        query: &KeyQuery,
        cursor: Option<&str>,
    ) -> anyhow::Result<ApiKeys> {
        let filter = KeyFilter {
            category: query
                .category
                .map(str::parse)
                .transpose()
                .map_err(invalid)?,
            team: query
                .team
                .as_deref()
                .map(str::parse)
                .transpose()
                .map_err(invalid)?,
            ..KeyFilter::default()
        };
        let item = if query.life { item_with_life } else { item };
        let command = Command::ListPage {
            filter,
            after: cursor.map(str::parse).transpose().map_err(invalid)?,
            limit: PAGE,
        };
        match self.execute(command).await? {
            Outcome::ListedPage(page) => Ok(ApiKeys {
                keys: page.keys.iter().map(item).collect(),
                next_cursor: page.next.map(|mark| mark.to_string()),
            }),
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn find(&self, prefix: &str) -> anyhow::Result<ApiKeyItem> {
        match self.execute(Command::Find(selector(prefix)?)).await? {
            Outcome::Found(key) => Ok(item_with_life(&key)),
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn switch(
        &self,
        prefix: &str,
        enabled: bool,
        wait: Option<WaitFor>,
    ) -> anyhow::Result<ApiKeyItem> {
        let change = UpdateKey {
            enabled: Some(enabled),
            ..UpdateKey::default()
        };
        let command = Command::Update(selector(prefix)?, change);
        match self.execute_and_wait(command, wait).await? {
            (Outcome::Updated(key), _) => Ok(item_with_life(&key)),
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn rotate(
        &self,
        prefix: &str,
        grace_secs: u64,
        wait: Option<WaitFor>,
    ) -> anyhow::Result<RotatedKey> {
        let command = Command::Rotate(selector(prefix)?, grace_secs);
        match self.execute_and_wait(command, wait).await? {
            (Outcome::Rotated { key, secret }, in_force) => Ok(RotatedKey {
                api_key: SecretText::new(secret.reveal().to_owned()),
                prefix: key.prefix.to_string(),
                old_until: key.old.map(|old| old.until.to_rfc3339()),
                in_force,
            }),
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn create(
        &self,
        key: &KeyRequest,
        team: Option<&str>,
        wait: Option<WaitFor>,
    ) -> anyhow::Result<CreatedKey> {
        let wanted = CreateKey {
            name: key
                .name
                .as_deref()
                .map(str::parse)
                .transpose()
                .map_err(invalid)?,
            category: key.category.parse().map_err(invalid)?,
            operation: None,
            scope: ModelScope::from_request(key.model_ids.as_deref()).map_err(invalid)?,
            team: team.map(str::parse).transpose().map_err(invalid)?,
            expires_at: key.expires_in.map(|secs| self.registry.moment_in(secs)),
            ends_calls: key.ends_calls,
        };
        match self.execute_and_wait(Command::Create(wanted), wait).await? {
            (Outcome::Created { secret, .. }, in_force) => Ok(CreatedKey {
                api_key: SecretText::new(secret.reveal().to_owned()),
                in_force,
            }),
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn delete(
        &self,
        prefix: &str,
        wait: Option<WaitFor>,
    ) -> anyhow::Result<DeletedKey> {
        let which = selector(prefix)?;
        match self.execute_and_wait(Command::Delete(which), wait).await? {
            (Outcome::Deleted(key), in_force) => Ok(DeletedKey {
                in_force,
                prefix: key.prefix.to_string(),
            }),
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn import(&self, import: Import) -> anyhow::Result<Imported> {
        match self.execute(Command::Import(import)).await? {
            Outcome::Imported(imported) => Ok(imported),
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn export(&self, after: Option<PageMark>) -> anyhow::Result<KeyPage> {
        match self.execute(Command::Export(after)).await? {
            Outcome::Exported(page) => Ok(page),
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn audit(
        &self,
        limit: usize,
        cursor: Option<u64>,
    ) -> anyhow::Result<AuditLogs> {
        // One more than is shown tells whether there are more.
        let command = Command::Audit {
            before: cursor,
            limit: limit + 1,
        };
        let Outcome::Audited(mut entries) = self.execute(command).await? else {
            return Err(unexpected());
        };
        let are_more = entries.len() > limit;
        entries.truncate(limit);
        let last = entries.last().filter(|_| are_more);
        Ok(AuditLogs {
            next_cursor: last.map(|entry| entry.seq.to_string()),
            audit_logs: entries.into_iter().map(audit_log).collect(),
        })
    }

    pub(super) async fn teams(&self) -> anyhow::Result<Teams> {
        match self.execute(Command::ListTeams).await? {
            Outcome::Teams(teams) => Ok(Teams {
                teams: teams.iter().map(team_item).collect(),
            }),
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn create_team(&self, name: &str) -> anyhow::Result<Team> {
        let name = name.parse().map_err(invalid)?;
        match self.execute(Command::CreateTeam(name)).await? {
            Outcome::TeamCreated(team) => Ok(team_item(&team)),
            _ => Err(unexpected()),
        }
    }

    async fn execute(&self, command: Command) -> Result<Outcome, Failure> {
        Ok(self.execute_and_wait(command, None).await?.0)
    }

    /// There is no instance here that could be waited for, but there may be others on the same database.
    async fn execute_and_wait(
        &self,
        command: Command,
        wait: Option<WaitFor>,
    ) -> Result<(Outcome, Option<InForce>), Failure> {
        let wait = match wait {
            None | Some(WaitFor::Instance) => Wait::Instance,
            Some(WaitFor::All) => Wait::All,
        };
        let registry = &self.registry;
        let outcome = registry.execute_and_wait(&Caller::OPERATOR, command, wait);
        match outcome.await {
            Ok((outcome, in_force)) => Ok((outcome, in_force.map(told))),
            Err(error) => {
                let status = status_of(&error);
                Err(refused(status, failure::told(&error.into())))
            }
        }
    }
}

/// What is no prefix names no key: the admin listener says the same.
fn selector(prefix: &str) -> Result<KeySelector, Failure> {
    let prefix = prefix.parse();
    let prefix = prefix.map_err(|_| refused(404, "there is no such key"))?;
    Ok(KeySelector::Prefix(prefix))
}

/// The same words that the admin listener has for it.
fn told(in_force: registry::InForce) -> InForce {
    InForce {
        after_ms: u64::try_from(in_force.after.as_millis()).unwrap_or(u64::MAX),
        behind: in_force.behind,
        everywhere: in_force.everywhere,
        silent: in_force.silent,
    }
}

/// The status that the admin listener gives such a refusal, and so the exit code of ours.
const fn status_of(error: &RegistryError) -> u16 {
    match error.kind() {
        RefusalKind::Forbidden => 403,
        RefusalKind::Invalid => 400,
        RefusalKind::NotFound => 404,
        RefusalKind::Conflict => 409,
        RefusalKind::Unavailable => 503,
        RefusalKind::Internal => 500,
    }
}

fn refused(status: u16, message: impl Into<String>) -> Failure {
    Failure::Refused {
        status,
        message: message.into(),
    }
}

fn invalid(error: impl std::error::Error) -> Failure {
    refused(400, error.to_string())
}

fn unexpected() -> anyhow::Error {
    anyhow::anyhow!("the registry gave the answer of another command")
}

/// A key as the Baseten dialect lists it.
fn item(key: &ApiKey) -> ApiKeyItem {
    let models = key.scope.patterns().map(|patterns| {
        let ids = patterns.iter().map(|pattern| pattern.as_str().to_owned());
        ids.collect::<Vec<_>>()
    });
    let owner = (key.category == KeyCategory::Personal).then(|| {
        let owner = owner_of(key).to_string();
        Owner {
            email: None,
            name: Some(owner.clone()),
            user_id: Some(owner),
        }
    });
    ApiKeyItem {
        created_at: Some(key.created_at.to_rfc3339()),
        disabled_at: None,
        ends_calls: None,
        expires_at: None,
        last_used_at: key.last_used_at.map(UnixTime::to_rfc3339),
        model_ids: models,
        name: key.name.as_ref().map(ToString::to_string),
        owner,
        prefix: key.prefix.to_string(),
        team_name: key.team.as_ref().map(|team| team.name.to_string()),
        category: key.category.as_str().to_owned(),
    }
}

/// The same, and when it ends.
fn item_with_life(key: &ApiKey) -> ApiKeyItem {
    ApiKeyItem {
        disabled_at: key.disabled_at.map(UnixTime::to_rfc3339),
        ends_calls: Some(key.ends_calls),
        expires_at: key.expires_at.map(UnixTime::to_rfc3339),
        ..item(key)
    }
}

fn audit_log(entry: AuditEntry) -> AuditLog {
    AuditLog {
        action: entry.action,
        actor: entry.actor,
        actor_prefix: entry.actor_prefix,
        changed: entry.changed,
        created_at: entry.at.to_rfc3339(),
        id: entry.seq,
        key_id: entry.key_id,
        prefix: entry.key_prefix,
        source: entry.source,
        team: entry.team,
    }
}

fn team_item(team: &key::Team) -> Team {
    Team {
        created_at: team.created_at.to_rfc3339(),
        default: team.is_default,
        id: team.id.to_string(),
        name: team.name.to_string(),
    }
}
