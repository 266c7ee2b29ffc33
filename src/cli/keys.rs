//! The keys and teams that commands speak of, and the two ways to them: through the admin listener, or straight on
//! the database. What comes back has one shape, so that both ways print the same bytes.

use anyhow::bail;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::Common;
use super::direct::Direct;
use super::print;
use super::remote::Remote;
use super::session;
use crate::credential::SecretText;

/// How many keys are asked for at once: the most that the admin listener tells in one answer. Each page is a query of its
/// own, so that no number of keys is too many for one.
pub const PAGE: usize = 1000;

/// What a key may do, in the words of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyType {
    /// A person's key: everything.
    Personal,
    /// Reads exported metrics.
    WorkspaceExportMetrics,
    /// Calls models.
    WorkspaceInvoke,
    /// Calls every model, and manages the workspace keys.
    WorkspaceManageAll,
}

impl KeyType {
    /// The word of the dialect and the database.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Personal => "PERSONAL",
            Self::WorkspaceExportMetrics => "WORKSPACE_EXPORT_METRICS",
            Self::WorkspaceInvoke => "WORKSPACE_INVOKE",
            Self::WorkspaceManageAll => "WORKSPACE_MANAGE_ALL",
        }
    }

    /// How `word` is shown: in kebab case; a word we do not know as it is.
    #[must_use]
    pub fn show(word: &str) -> String {
        let known = Self::value_variants()
            .iter()
            .any(|known| known.word() == word);
        if known {
            word.to_ascii_lowercase().replace('_', "-")
        } else {
            word.to_owned()
        }
    }
}

/// Keys, newest first: all that were asked for, or some of them.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeys {
    /// The keys.
    pub keys: Vec<ApiKeyItem>,
    /// Where the list goes on, while there may be more; never written.
    #[serde(default, skip_serializing)]
    pub next_cursor: Option<String>,
}

/// A key in a list. Members stand in the order in which they are written.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyItem {
    /// When it was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// Since when it is switched off, RFC 3339; told to whoever asks for its life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<String>,
    /// Whether calls under way end with it, whatever the settings say; told to whoever asks for its life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_calls: Option<bool>,
    /// From when on it is refused, RFC 3339; told to whoever asks for its life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// When it was last used, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<String>,
    /// Its models; none: every model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_ids: Option<Vec<String>>,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whose it is; only personal keys are somebody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// Its public name.
    pub prefix: String,
    /// The name of its team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team_name: Option<String>,
    /// What it may do.
    #[serde(rename = "type")]
    pub category: String,
}

/// Whose a key is. Members stand in the order in which they are written.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// An address, where the server knows one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// What people call the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
}

/// Which keys are asked for, and what of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct KeyQuery {
    /// Only of this type, in the dialect's word.
    pub category: Option<&'static str>,
    /// Only of the team with this id.
    pub team: Option<String>,
    /// Whether it is asked when they end, too.
    pub life: bool,
}

/// A key to be made.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct KeyRequest {
    /// Whether calls under way end with it, whatever the settings say.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ends_calls: bool,
    /// After how many seconds it is refused; none: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
    /// Its models; none: every model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_ids: Option<Vec<String>>,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it may do.
    #[serde(rename = "type")]
    pub category: &'static str,
}

/// For which instances a command waits, in the words of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WaitFor {
    /// The one that is asked.
    Instance,
    /// All that run.
    All,
}

/// A key that was made: its text, once.
#[derive(Debug, Deserialize)]
pub struct CreatedKey {
    /// The text.
    pub api_key: SecretText,
    /// Where it works already, for whoever waited for that.
    #[serde(default)]
    pub in_force: Option<InForce>,
}

/// A key that has a new text: that text, once.
#[derive(Debug, Deserialize)]
pub struct RotatedKey {
    /// The text.
    pub api_key: SecretText,
    /// Its new public name.
    pub prefix: String,
    /// Until when the text before works, RFC 3339.
    #[serde(default)]
    pub old_until: Option<String>,
    /// Where the new text works already, for whoever waited for that.
    #[serde(default)]
    pub in_force: Option<InForce>,
}

/// A key that was deleted.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedKey {
    /// Where it is refused already, for whoever waited for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_force: Option<InForce>,
    /// Its public name.
    pub prefix: String,
}

/// Where a change is in force. Members stand in the order in which they are written.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// How many milliseconds that took, or was waited for.
    pub after_ms: u64,
    /// The instances that did not have it in time.
    pub behind: Vec<String>,
    /// Whether it is on every instance that is heard.
    pub everywhere: bool,
    /// The instances that are not heard any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent: Vec<String>,
}

impl InForce {
    /// The same in a sentence or two, for a person.
    #[must_use]
    pub fn words(&self) -> String {
        let names = |names: &[String]| {
            let shown = names.iter().map(|name| print::cell(name));
            shown.collect::<Vec<_>>().join(", ")
        };
        let after = self.after_ms;
        let mut words = match (self.everywhere, self.behind.is_empty()) {
            (true, _) => format!("In force on every instance after {after} ms"),
            (false, false) => {
                format!("Not in force after {after} ms on: {}", names(&self.behind))
            }
            (false, true) => "Where it is in force could not be found out".to_owned(),
        };
        if !self.silent.is_empty() {
            let silent = names(&self.silent);
            words.push_str("\nNot heard of (gone, or cut off from the database): ");
            words.push_str(&silent);
        }
        words
    }
}

/// Some of the audit trail, newest first. Members stand in the order in which they are written.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLogs {
    /// The entries.
    pub audit_logs: Vec<AuditLog>,
    /// Where it goes on, while there is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// One change: of a key, of a team, or of the admin token. Members stand in the order in which they are written.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLog {
    /// What was done.
    pub action: String,
    /// In whose name; none when nobody can know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The prefix of the key that was presented, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_prefix: Option<String>,
    /// The names of what changed.
    pub changed: Vec<String>,
    /// When, RFC 3339.
    pub created_at: String,
    /// Its number.
    pub id: u64,
    /// Which key, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// Its prefix after the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// From where.
    pub source: String,
    /// The name of the team, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
}

/// Teams, the default one first.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Teams {
    /// The teams.
    pub teams: Vec<Team>,
}

/// A team. Members stand in the order in which they are written.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Team {
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// Whether keys go there when nobody says where.
    pub default: bool,
    /// Which team.
    pub id: String,
    /// What people call it.
    pub name: String,
}

/// A list of keys, page by page, each when it is asked for: what was made or deleted meanwhile moves nothing.
pub struct Pages<'k> {
    keys: &'k Keys,
    query: KeyQuery,
    next: Next,
}

/// Where a list goes on.
enum Next {
    First,
    After(String),
    Ended,
}

impl Pages<'_> {
    /// The next keys; none when all were told. There may be none among them although more follow.
    ///
    /// # Errors
    ///
    /// As [`Keys::page`]; when a server goes round in a circle, too.
    pub async fn next(&mut self) -> anyhow::Result<Option<Vec<ApiKeyItem>>> {
        let cursor = match &self.next {
            Next::First => None,
            Next::After(cursor) => Some(cursor.as_str()),
            Next::Ended => return Ok(None),
        };
        let ApiKeys { keys, next_cursor } = self.keys.page(&self.query, cursor).await?;
        if next_cursor.is_some() && next_cursor.as_deref() == cursor {
            bail!("the server tells the same page again and again");
        }
        self.next = next_cursor.map_or(Next::Ended, Next::After);
        Ok(Some(keys))
    }
}

/// The way to the keys.
pub enum Keys {
    /// Through the admin listener.
    Remote(Box<Remote>),
    /// Straight on the database.
    Direct(Direct),
}

impl Keys {
    /// Does `work` by the way that the flags and the environment ask for. A database that is not there is made when
    /// `may_make` says so: not by whoever only looks, or deletes.
    ///
    /// # Errors
    ///
    /// When no server is known, the database cannot be opened, or `work` fails.
    pub async fn with<T>(
        common: &Common,
        may_make: bool,
        work: impl AsyncFnOnce(&Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let keys = Self::open(common, may_make).await?;
        let result = work(&keys).await;
        if let Self::Direct(direct) = keys {
            direct.close().await;
        }
        result
    }

    async fn open(common: &Common, may_make: bool) -> anyhow::Result<Self> {
        if let Some(url) = common.database() {
            if common.verbose {
                print::words("using the database itself");
            }
            return Ok(Self::Direct(Direct::open(url, may_make).await?));
        }
        let server = session::server(common)?;
        Ok(Self::Remote(Box::new(Remote::new(&server, common)?)))
    }

    /// At most [`PAGE`] of the keys that `query` asks for, those after `cursor`.
    ///
    /// # Errors
    ///
    /// When the way is blocked or the other side refuses; so with the others.
    pub async fn page(&self, query: &KeyQuery, cursor: Option<&str>) -> anyhow::Result<ApiKeys> {
        match self {
            Self::Remote(remote) => remote.page(query, cursor).await,
            Self::Direct(direct) => direct.page(query, cursor).await,
        }
    }

    /// All the keys that `query` asks for, page by page.
    #[must_use]
    pub const fn pages(&self, query: KeyQuery) -> Pages<'_> {
        Pages {
            keys: self,
            query,
            next: Next::First,
        }
    }

    /// The key with the prefix `prefix`, and when it ends.
    ///
    /// # Errors
    ///
    /// As [`Keys::page`]; when there is no such key, too.
    pub async fn find(&self, prefix: &str) -> anyhow::Result<ApiKeyItem> {
        match self {
            Self::Remote(remote) => remote.find(prefix).await,
            Self::Direct(direct) => direct.find(prefix).await,
        }
    }

    /// Switches the key with the prefix `prefix` on or off.
    ///
    /// # Errors
    ///
    /// As [`Keys::page`].
    pub async fn switch(
        &self,
        prefix: &str,
        enabled: bool,
        wait: Option<WaitFor>,
    ) -> anyhow::Result<ApiKeyItem> {
        match self {
            Self::Remote(remote) => remote.switch(prefix, enabled, wait).await,
            Self::Direct(direct) => direct.switch(prefix, enabled, wait).await,
        }
    }

    /// Gives the key with the prefix `prefix` a new text; the one before works `grace_secs` seconds more.
    ///
    /// # Errors
    ///
    /// As [`Keys::page`].
    pub async fn rotate(
        &self,
        prefix: &str,
        grace_secs: u64,
        wait: Option<WaitFor>,
    ) -> anyhow::Result<RotatedKey> {
        match self {
            Self::Remote(remote) => remote.rotate(prefix, grace_secs, wait).await,
            Self::Direct(direct) => direct.rotate(prefix, grace_secs, wait).await,
        }
    }

    /// Makes a key, in the team with the id `team` or the default one.
    ///
    /// # Errors
    ///
    /// As [`Keys::page`]. That it does not work everywhere in time is none.
    pub async fn create(
        &self,
        key: &KeyRequest,
        team: Option<&str>,
        wait: Option<WaitFor>,
    ) -> anyhow::Result<CreatedKey> {
        match self {
            Self::Remote(remote) => remote.create(key, team, wait).await,
            Self::Direct(direct) => direct.create(key, team, wait).await,
        }
    }

    /// Deletes the key with the prefix `prefix`.
    ///
    /// # Errors
    ///
    /// As [`Keys::page`]. That it is not refused everywhere in time is none.
    pub async fn delete(&self, prefix: &str, wait: Option<WaitFor>) -> anyhow::Result<DeletedKey> {
        match self {
            Self::Remote(remote) => remote.delete(prefix, wait).await,
            Self::Direct(direct) => direct.delete(prefix, wait).await,
        }
    }

    /// At most `limit` entries of the audit trail, those after `cursor`.
    ///
    /// # Errors
    ///
    /// As [`Keys::page`].
    pub async fn audit(&self, limit: usize, cursor: Option<u64>) -> anyhow::Result<AuditLogs> {
        match self {
            Self::Remote(remote) => remote.audit(limit, cursor).await,
            Self::Direct(direct) => direct.audit(limit, cursor).await,
        }
    }

    /// Every team.
    ///
    /// # Errors
    ///
    /// As [`Keys::page`].
    pub async fn teams(&self) -> anyhow::Result<Teams> {
        match self {
            Self::Remote(remote) => remote.teams().await,
            Self::Direct(direct) => direct.teams().await,
        }
    }

    /// Makes a team.
    ///
    /// # Errors
    ///
    /// As [`Keys::page`].
    pub async fn create_team(&self, name: &str) -> anyhow::Result<Team> {
        match self {
            Self::Remote(remote) => remote.create_team(name).await,
            Self::Direct(direct) => direct.create_team(name).await,
        }
    }
}
