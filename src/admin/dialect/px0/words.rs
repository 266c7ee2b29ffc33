//! The members of what is asked and answered.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::key::{self, KeyCategory, Name, Operation, OrgId, UnixTime};

/// A list of what is known about API keys.
#[derive(Serialize, ToSchema)]
#[schema(as = APIKeys)]
pub struct ApiKeys {
    /// The keys, newest first.
    pub api_keys: Vec<ApiKey>,
    /// The `cursor` of the keys after these, null when there are none; with `limit` or `cursor` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, required = false)]
    #[expect(
        clippy::option_option,
        reason = "null is told, and is not the same as nothing"
    )]
    pub next_cursor: Option<Option<String>>,
}

impl ApiKeys {
    /// The keys of `org` among `keys`, which are all that were asked for.
    pub fn of(keys: &[key::ApiKey], org: OrgId) -> Self {
        let keys = keys.iter().filter(|key| key.org == org);
        Self {
            api_keys: keys.map(ApiKey::from).collect(),
            next_cursor: None,
        }
    }

    /// The same, where more may come after `next`.
    pub fn going_on(self, next: Option<String>) -> Self {
        Self {
            next_cursor: Some(next),
            ..self
        }
    }
}

/// What is known about an API key, except its text.
#[derive(Serialize, ToSchema)]
#[schema(as = APIKey)]
pub struct ApiKey {
    /// Which key.
    #[schema(value_type = uuid::Uuid)]
    pub id: String,
    /// What people call it; empty when nobody gave it a name.
    pub name: String,
    /// Its organisation.
    #[schema(value_type = uuid::Uuid)]
    pub org_id: String,
    /// Its team.
    #[schema(required, value_type = Option<uuid::Uuid>)]
    pub team_id: Option<String>,
    /// What it may do: `read_render`, `all` or `admin`, or a type of key that this version does not know.
    #[schema(example = "read_render")]
    pub operation: String,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it was last used, as far as that has been written; null when never.
    #[schema(required, format = DateTime)]
    pub last_used_at: Option<String>,
}

impl From<&key::ApiKey> for ApiKey {
    fn from(key: &key::ApiKey) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name.as_ref().map(Name::to_string).unwrap_or_default(),
            org_id: key.org.to_string(),
            team_id: key.team.as_ref().map(|team| team.id.to_string()),
            operation: operation_of(&key.category).to_owned(),
            created_at: key.created_at.to_rfc3339(),
            last_used_at: key.last_used_at.map(UnixTime::to_rfc3339),
        }
    }
}

/// What a key may do, in this dialect's words. By the category alone, which decides it.
fn operation_of(category: &KeyCategory) -> &str {
    match Operation::of(category) {
        Some(operation) => operation.as_str(),
        None => category.as_str(),
    }
}

/// A new API key: the only time its text is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = APIKeyCreatedResponse)]
pub struct CreatedApiKey<'s> {
    /// Which key.
    #[schema(value_type = uuid::Uuid)]
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The text of the key.
    pub key: &'s str,
    /// What it may do: `read_render`, `all` or `admin`.
    #[schema(example = "read_render")]
    pub operation: String,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
}

impl<'s> CreatedApiKey<'s> {
    /// `key`, whose text is `text`.
    pub fn new(key: &key::ApiKey, text: &'s str) -> Self {
        let shown = ApiKey::from(key);
        Self {
            id: shown.id,
            name: shown.name,
            key: text,
            operation: shown.operation,
            created_at: shown.created_at,
        }
    }
}

/// An API key that has changed.
#[derive(Serialize, ToSchema)]
#[schema(as = APIKeyUpdatedResponse)]
pub struct UpdatedApiKey {
    /// As it is now.
    pub api_key: ApiKey,
}

/// An API key with a new text: the only time that is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = APIKeyRegeneratedResponse)]
pub struct RegeneratedApiKey<'s> {
    /// Which key: the same as before.
    #[schema(value_type = uuid::Uuid)]
    pub id: String,
    /// What people call it; empty when nobody gave it a name.
    pub name: String,
    /// The new text of the key.
    pub key: &'s str,
    /// Its organisation.
    #[schema(value_type = uuid::Uuid)]
    pub org_id: String,
    /// Its team.
    #[schema(required, value_type = Option<uuid::Uuid>)]
    pub team_id: Option<String>,
    /// What it may do: `read_render`, `all` or `admin`, or a type of key that this version does not know.
    #[schema(example = "read_render")]
    pub operation: String,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
}

impl<'s> RegeneratedApiKey<'s> {
    /// `key`, whose text is `text`.
    pub fn new(key: &key::ApiKey, text: &'s str) -> Self {
        let shown = ApiKey::from(key);
        Self {
            id: shown.id,
            name: shown.name,
            key: text,
            org_id: shown.org_id,
            team_id: shown.team_id,
            operation: shown.operation,
            created_at: shown.created_at,
        }
    }
}

/// Why the API did not do what was asked.
#[derive(Serialize, ToSchema)]
#[schema(as = APIError)]
pub struct ApiError<'s> {
    /// What is wrong.
    pub error: &'s str,
}

/// What is asked for in a new API key. What px0 takes for missing is missing here.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateApiKey {
    pub name: Option<String>,
    pub org_id: Option<String>,
    pub team_ids: Option<Vec<String>>,
    pub operation: Option<String>,
}

/// What is to change about an API key. What is missing, or empty, stays as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateApiKey {
    pub name: Option<String>,
    pub team_ids: Option<Vec<String>>,
    pub operation: Option<String>,
}
