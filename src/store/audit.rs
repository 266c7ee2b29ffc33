//! The audit trail: who changed which key, when, from where and in what; who made a team; when the admin token was made.
//! Written in the transaction of the change, and only ever added to: triggers refuse everything else, whoever asks. A key
//! that is changed by plain SQL is noted by triggers, as changed by nobody known. A team that is changed so is not noted.

use crate::key::{ApiKey, UnixTime};

/// One change: of a key, of a team, or of the admin token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number: later ones are greater.
    pub seq: u64,
    /// When, by the database's clock.
    pub at: UnixTime,
    /// In whose name; none when nobody can know, because it was done by plain SQL.
    pub actor: Option<String>,
    /// The prefix of the key that was presented; none for the admin token, and for whoever has the database itself.
    pub actor_prefix: Option<String>,
    /// An address; `database` for the command line straight on it, `sql` for whoever else opened it, `start` for the first
    /// start of a server.
    pub source: String,
    /// What was done: see [`Action`]. A word that a newer version wrote is told as it is.
    pub action: String,
    /// Which key, if it is one.
    pub key_id: Option<String>,
    /// Its prefix, as it is after the change.
    pub key_prefix: Option<String>,
    /// The name of the team, if it is one.
    pub team: Option<String>,
    /// What changed, in the words of [`changed`].
    pub changed: Vec<String>,
}

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A key was made.
    Create,
    /// It was stored with a digest from elsewhere.
    Import,
    /// It was changed.
    Update,
    /// It got a new text.
    Rotate,
    /// It was deleted.
    Delete,
    /// A team was made.
    CreateTeam,
    /// The admin token was made.
    CreateAdminToken,
}

impl Action {
    /// The word, as it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Import => "import",
            Self::Update => "update",
            Self::Rotate => "rotate",
            Self::Delete => "delete",
            Self::CreateTeam => "create_team",
            Self::CreateAdminToken => "create_admin_token",
        }
    }
}

/// The names of what differs: never what it was or is.
pub fn changed(before: &ApiKey, after: &ApiKey) -> Vec<&'static str> {
    let differs = [
        ("name", before.name != after.name),
        ("type", before.category != after.category),
        ("model_ids", before.scope != after.scope),
        (
            "team",
            before.team.as_ref().map(|team| team.id) != after.team.as_ref().map(|team| team.id),
        ),
        ("expires_at", before.expires_at != after.expires_at),
        (
            "enabled",
            before.disabled_at.is_some() != after.disabled_at.is_some(),
        ),
        ("ends_calls", before.ends_calls != after.ends_calls),
        ("key", before.digest != after.digest),
        ("prefix", before.prefix != after.prefix),
    ];
    let names = differs.into_iter().filter(|(_, differs)| *differs);
    names.map(|(name, _)| name).collect()
}

/// The list as it is stored.
pub fn to_stored(changed: &[&str]) -> String {
    serde_json::to_string(changed).expect("a list of strings is always JSON")
}
