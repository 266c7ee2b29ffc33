//! The members of what is asked and answered.

use std::fmt;

use http::StatusCode;
use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::admin::Refusal;
use crate::key::{self, KeyCategory, ModelScope, Name, OrgId, UnixTime};
use crate::registry::{self, AuditEntry, owner_of};

/// A list of what is known about API keys.
#[derive(Serialize, ToSchema)]
#[schema(as = APIKeysV1)]
pub struct ApiKeys {
    /// The keys, newest first.
    pub keys: Vec<ApiKeyInfo>,
    /// The `cursor` of the keys after these, null when there are none; with `limit` or `cursor` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, required = false)]
    #[expect(
        clippy::option_option,
        reason = "null is told, and is not the same as nothing"
    )]
    pub next_cursor: Option<Option<String>>,
}

/// What is known about an API key, except its text.
#[derive(Serialize, ToSchema)]
#[schema(as = APIKeyInfoV1)]
pub struct ApiKeyInfo {
    /// What stands before the dot in the key's text: its only name in this API.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "kw_8fJ2mQ4x")]
    pub prefix: String,
    /// What people call it.
    #[schema(required)]
    pub name: Option<String>,
    /// What it may do: one of the types of `APIKeyCategory`, or a word that this version does not know.
    #[schema(example = "WORKSPACE_INVOKE")]
    pub r#type: String,
    /// The models it may call, or null for every model.
    #[schema(required)]
    pub model_ids: Option<Vec<String>>,
    /// The name of its team.
    #[schema(required)]
    pub team_name: Option<String>,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it was last used, as far as that has been written; null when never.
    #[schema(required, format = DateTime)]
    pub last_used_at: Option<String>,
    /// Whose it is; only personal keys are somebody's.
    #[schema(required)]
    pub owner: Option<ApiKeyOwner>,
    /// From when on it is refused, null when never; with `life=true` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, required = false, format = DateTime)]
    #[expect(
        clippy::option_option,
        reason = "null is told, and is not the same as nothing"
    )]
    pub expires_at: Option<Option<String>>,
    /// Since when it is switched off, null when it is not; with `life=true` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, required = false, format = DateTime)]
    #[expect(
        clippy::option_option,
        reason = "null is told, and is not the same as nothing"
    )]
    pub disabled_at: Option<Option<String>>,
    /// Whether calls under way end with it, even where the settings let them go on; with `life=true` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = bool, required = false)]
    pub ends_calls: Option<bool>,
}

impl ApiKeyInfo {
    /// The same, and when `key` ends.
    pub fn with_life(key: &key::ApiKey) -> Self {
        Self {
            expires_at: Some(key.expires_at.map(UnixTime::to_rfc3339)),
            disabled_at: Some(key.disabled_at.map(UnixTime::to_rfc3339)),
            ends_calls: Some(key.ends_calls),
            ..Self::from(key)
        }
    }
}

impl From<&key::ApiKey> for ApiKeyInfo {
    fn from(key: &key::ApiKey) -> Self {
        Self {
            prefix: key.prefix.to_string(),
            name: key.name.as_ref().map(Name::to_string),
            r#type: key.category.as_str().to_owned(),
            model_ids: match &key.scope {
                ModelScope::Every => None,
                ModelScope::Only(models) => Some(
                    models
                        .iter()
                        .map(|model| model.as_str().to_owned())
                        .collect(),
                ),
            },
            team_name: key.team.as_ref().map(|team| team.name.to_string()),
            created_at: key.created_at.to_rfc3339(),
            last_used_at: key.last_used_at.map(UnixTime::to_rfc3339),
            owner: (key.category == KeyCategory::Personal)
                .then(|| ApiKeyOwner::new(&owner_of(key))),
            expires_at: None,
            disabled_at: None,
            ends_calls: None,
        }
    }
}

/// Whose a personal key is.
#[derive(Serialize, ToSchema)]
#[schema(as = APIKeyOwnerV1)]
pub struct ApiKeyOwner {
    /// The `user_id` that `/v1/users/me` tells whoever calls with the key.
    pub user_id: String,
    /// Always null: keyward knows no addresses.
    #[schema(required)]
    pub email: Option<String>,
    /// The same text as `user_id`.
    #[schema(required)]
    pub name: Option<String>,
}

impl ApiKeyOwner {
    fn new(owner: &Name) -> Self {
        Self {
            user_id: owner.to_string(),
            email: None,
            name: Some(owner.to_string()),
        }
    }
}

/// A new API key: the only time its text is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = APIKeyV1)]
pub struct ApiKey<'s> {
    /// The text of the key.
    pub api_key: &'s str,
    /// Where the key works already; with `wait=all` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = InForce, required = false)]
    pub in_force: Option<InForce>,
}

/// An API key with a new text: the only time that is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = RotatedAPIKeyV1)]
pub struct RotatedApiKey<'s> {
    /// The new text of the key.
    pub api_key: &'s str,
    /// Its new prefix.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "kw_8fJ2mQ4x")]
    pub prefix: String,
    /// Until when the text before works; null when it does not any more.
    #[schema(required, format = DateTime)]
    pub old_until: Option<String>,
    /// Where the new text works already; with `wait=all` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = InForce, required = false)]
    pub in_force: Option<InForce>,
}

/// An API key that was changed.
#[derive(Serialize, ToSchema)]
#[schema(as = UpdatedAPIKeyV1)]
pub struct UpdatedApiKey {
    /// The key as it is now.
    #[serde(flatten)]
    pub key: ApiKeyInfo,
    /// Where the change works already; with `wait=all` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = InForce, required = false)]
    pub in_force: Option<InForce>,
}

/// An API key that is no more.
#[derive(Serialize, ToSchema)]
#[schema(as = APIKeyTombstoneV1)]
pub struct ApiKeyTombstone {
    /// The prefix of the deleted key.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "kw_8fJ2mQ4x")]
    pub prefix: String,
    /// Where the key is refused already; with `wait=all` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = InForce, required = false)]
    pub in_force: Option<InForce>,
}

/// Where a change is in force.
#[derive(Serialize, ToSchema)]
#[schema(as = InForceV1)]
pub struct InForce {
    /// Whether it is on every instance that is heard. With nobody in `behind`, false says that this could not be found
    /// out.
    pub everywhere: bool,
    /// The names of the instances that are heard and did not have it in time.
    pub behind: Vec<String>,
    /// The names of the instances that fell silent before they had it: gone without a word, or cut off from the key
    /// database and serving the keys they remember until their `cache.max_stale` is over. Left out when there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub silent: Vec<String>,
    /// How many milliseconds the answer waited for this.
    pub after_ms: u64,
}

impl From<registry::InForce> for InForce {
    fn from(in_force: registry::InForce) -> Self {
        Self {
            everywhere: in_force.everywhere,
            behind: in_force.behind,
            silent: in_force.silent,
            after_ms: u64::try_from(in_force.after.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// A team.
#[derive(Serialize, ToSchema)]
#[schema(as = TeamV1)]
pub struct Team {
    /// Which team.
    #[schema(value_type = uuid::Uuid)]
    pub id: String,
    /// Its name, unique in the organisation.
    pub name: String,
    /// Whether keys made without naming a team belong here.
    pub default: bool,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
}

impl From<key::Team> for Team {
    fn from(team: key::Team) -> Self {
        Self {
            id: team.id.to_string(),
            name: team.name.to_string(),
            default: team.is_default,
            created_at: team.created_at.to_rfc3339(),
        }
    }
}

/// A list of teams.
#[derive(Serialize, ToSchema)]
#[schema(as = TeamsV1)]
pub struct Teams {
    /// The teams, the default one first.
    pub teams: Vec<Team>,
}

/// Who calls.
#[derive(Serialize, ToSchema)]
#[schema(as = UserInfoV1)]
pub struct UserInfo {
    /// In whose name the caller acts.
    pub user_id: String,
    /// Always null: keyward knows no addresses.
    #[schema(required)]
    pub email: Option<String>,
    /// The same text as `user_id`.
    #[schema(required)]
    pub name: Option<String>,
    /// The id of the organisation.
    #[schema(required)]
    pub workspace_name: Option<String>,
}

impl UserInfo {
    /// Whoever acts in the name of `owner` in `org`.
    pub fn new(owner: &Name, org: OrgId) -> Self {
        Self {
            user_id: owner.to_string(),
            email: None,
            name: Some(owner.to_string()),
            workspace_name: Some(org.to_string()),
        }
    }
}

/// Some of the audit trail.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditLogsV1)]
pub struct AuditLogs {
    /// The entries, newest first.
    pub audit_logs: Vec<AuditLog>,
    /// The `cursor` of the entries before these; null when there are none.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

/// One change: of a key, of a team, or of the admin token.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditLogV1)]
pub struct AuditLog {
    /// Its number: later ones are greater.
    pub id: u64,
    /// When.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// In whose name; `admin` is the operator. Null when nobody can know: the key was changed by plain SQL.
    #[schema(required)]
    pub actor: Option<String>,
    /// The prefix of the key that was presented; null for the admin token, and straight on the database.
    #[schema(required)]
    pub actor_prefix: Option<String>,
    /// From where: an address; `database` for the command line straight on it, `sql` for whoever else opened it, `start` for
    /// the first start of a server.
    pub source: String,
    /// What was done: `create`, `import`, `update`, `rotate` or `delete` of a key, `create_team`, `create_admin_token`.
    #[schema(example = "update")]
    pub action: String,
    /// Which key; null when it is none.
    #[schema(required)]
    pub key_id: Option<String>,
    /// Its prefix, as it is after the change.
    #[schema(required)]
    pub prefix: Option<String>,
    /// The name of the team; null when it is none.
    #[schema(required)]
    pub team: Option<String>,
    /// The names of what changed, never what it was or is.
    pub changed: Vec<String>,
}

impl From<AuditEntry> for AuditLog {
    fn from(entry: AuditEntry) -> Self {
        Self {
            id: entry.seq,
            created_at: entry.at.to_rfc3339(),
            actor: entry.actor,
            actor_prefix: entry.actor_prefix,
            source: entry.source,
            action: entry.action,
            key_id: entry.key_id,
            prefix: entry.key_prefix,
            team: entry.team,
            changed: entry.changed,
        }
    }
}

/// Why the API did not do what was asked.
#[derive(Serialize, ToSchema)]
#[schema(as = ErrorV1)]
pub struct ErrorBody {
    /// What sort of mistake it is.
    pub code: ErrorCode,
    /// What is wrong, for a person.
    pub message: String,
}

/// What sort of mistake it is.
#[derive(Serialize, ToSchema)]
#[schema(as = ErrorCodeV1)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// The request is not one of this API's.
    ValidationError,
    /// Nobody, or too many wrong credentials from one address.
    Unauthorized,
    /// The caller may not.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// Something else has the name.
    Conflict,
    /// keyward could not.
    Internal,
}

impl ErrorBody {
    /// The refusal in this form.
    pub fn new(refusal: &Refusal) -> Self {
        Self {
            code: match refusal.status {
                StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS => ErrorCode::Unauthorized,
                StatusCode::FORBIDDEN => ErrorCode::Forbidden,
                StatusCode::NOT_FOUND => ErrorCode::NotFound,
                StatusCode::CONFLICT => ErrorCode::Conflict,
                status if status.is_client_error() => ErrorCode::ValidationError,
                _ => ErrorCode::Internal,
            },
            message: refusal.message.to_string(),
        }
    }
}

/// What is asked for in a new API key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateApiKey {
    #[serde(rename = "type")]
    pub category: String,
    pub name: Option<String>,
    pub model_ids: Option<Vec<String>>,
    pub team_id: Option<String>,
    /// An extension of ours.
    pub expires_in: Option<Seconds>,
    /// The same.
    pub ends_calls: Option<bool>,
}

/// What is to change about an API key: what is missing stays as it is.
#[derive(Deserialize)]
#[expect(
    clippy::option_option,
    reason = "null takes away, and is not the same as nothing"
)]
#[serde(deny_unknown_fields)]
pub struct UpdateApiKey {
    #[serde(default, deserialize_with = "given")]
    pub name: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    pub model_ids: Option<Option<Vec<String>>>,
    pub team_id: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub expires_in: Option<Option<Seconds>>,
    pub enabled: Option<bool>,
    pub ends_calls: Option<bool>,
}

/// A number of whole seconds. `60.0` is one, too: JSON Schema calls every number an integer whose fraction is zero
/// (JSON Schema Core 2020-12, 4.2.3).
#[derive(Clone, Copy)]
pub struct Seconds(pub u64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(WholeNumber).map(Self)
    }
}

struct WholeNumber;

impl Visitor<'_> for WholeNumber {
    type Value = u64;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a whole number")
    }

    fn visit_u64<E>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<u64, E> {
        /// Every whole number up to it is told from its neighbours: 2^53.
        const MOST: f64 = 9_007_199_254_740_992.0;
        if number.fract() == 0.0 && (0.0..=MOST).contains(&number) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is whole, and from 0 to 2^53"
            )]
            return Ok(number as u64);
        }
        Err(E::invalid_value(Unexpected::Float(number), &self))
    }
}

/// Tells null, which is given, from a member that is missing.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// What is asked for in a new team.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateTeam {
    pub name: String,
}
