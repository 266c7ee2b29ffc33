use std::borrow::Cow;
use std::collections::BTreeMap;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder, Schema};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

use crate::admin::Refusal;
use crate::key::{
    self, KeyCategory, MAX_MODEL_BYTES, MAX_NAME_CHARS, MAX_PATTERNS, ModelScope, Name, OrgId,
    UnixTime,
};
use crate::registry::owner_of;

/// A list of what is known about API keys.
#[derive(Serialize, ToSchema)]
#[schema(as = APIKeysV1)]
pub struct ApiKeys {
    /// The keys, newest first.
    pub keys: Vec<ApiKeyInfo>,
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
}

/// An API key that is no more.
#[derive(Serialize, ToSchema)]
#[schema(as = APIKeyTombstoneV1)]
pub struct ApiKeyTombstone {
    /// The prefix of the deleted key.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "kw_8fJ2mQ4x")]
    pub prefix: String,
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

/// What any call may be answered with instead of what was asked.
pub struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let refusals = [
            ("400", "The request is not one of this API's"),
            ("401", "No credential, or one that is not valid"),
            ("403", "The caller may not do this, or is a web page"),
            ("408", "The body did not come in time"),
            ("413", "The body is too large"),
            ("421", "The listener is not called by this host name"),
            ("429", "Too many failed attempts from this address"),
            ("500", "keyward could not do this"),
            ("503", "The key database did not do this; try again"),
        ];
        let body = ContentBuilder::new().schema(Some(Ref::from_schema_name(ErrorBody::name())));
        let body = body.build();
        refusals
            .map(|(status, description)| {
                let response = ResponseBuilder::new().description(description);
                let response = response.content("application/json", body.clone()).build();
                (status.to_owned(), response.into())
            })
            .into()
    }
}

/// What is asked for in a new API key. Its schema is written out below: which members may stand together depends on
/// the type.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateApiKey {
    #[serde(rename = "type")]
    pub category: String,
    pub name: Option<String>,
    pub model_ids: Option<Vec<String>>,
    pub team_id: Option<String>,
}

/// What is asked for in a new team.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateTeam {
    pub name: String,
}

/// No control characters and nothing that rearranges a line: what [`Name`] takes.
const NAME: &str = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]+$";
/// No control characters, and a star only at the end: what a model pattern takes.
const MODEL: &str = r"^[^\u0000-\u001f\u007f-\u009f*]*[^\u0000-\u001f\u007f-\u009f]$";
const PREFIX: &str = "^[A-Za-z0-9_-]{1,64}$";

/// Schemas as they stand in the document: a fixed text.
macro_rules! schema {
    ($(#[$doc:meta])* $type:ident as $name:literal, $schema:expr) => {
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                serde_json::from_value($schema).expect("a fixed text that is a schema")
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                $name.into()
            }
        }
    };
}

/// The types of key that can be asked for.
pub struct ApiKeyCategory;

/// A key's prefix.
pub struct Prefix;

schema!(ApiKeyCategory as "APIKeyCategory", json!({
    "type": "string",
    "description": "What a key may do.",
    "enum": KeyCategory::ALL.map(|category| category.as_str().to_owned()),
}));

schema!(Prefix as "APIKeyPrefix", json!({
    "type": "string",
    "pattern": PREFIX,
    "example": "kw_8fJ2mQ4x",
}));

schema!(CreateTeam as "CreateTeamRequestV1", json!({
    "type": "object",
    "description": "What is asked for in a new team.",
    "required": ["name"],
    "properties": { "name": {
        "type": "string",
        "description": "Its name, unique in the organisation",
        "minLength": 1, "maxLength": MAX_NAME_CHARS, "pattern": NAME,
    } },
    "additionalProperties": false,
}));

schema!(CreateApiKey as "CreateAPIKeyRequestV1", {
    let with = |types: [KeyCategory; 2], model_ids: serde_json::Value| json!({
        "type": "object",
        "required": ["type"],
        "properties": {
            "type": {
                "type": "string",
                "description": "What the key may do",
                "enum": types.map(|category| category.as_str().to_owned()),
            },
            "name": {
                "type": ["string", "null"],
                "description": "What people call it; unique among the keys of its team, or of its owner when personal",
                "minLength": 1, "maxLength": MAX_NAME_CHARS, "pattern": NAME,
            },
            "team_id": {
                "type": ["string", "null"],
                "format": "uuid",
                "description": "Its team; the default team unless given",
            },
            "model_ids": model_ids,
        },
        "additionalProperties": false,
    });
    json!({ "oneOf": [
        with(
            [KeyCategory::Personal, KeyCategory::WorkspaceManageAll],
            json!({ "type": "null", "description": "A key of this type is for every model" }),
        ),
        with(
            [KeyCategory::WorkspaceExportMetrics, KeyCategory::WorkspaceInvoke],
            json!({
                "type": ["array", "null"],
                "description": "The models it is for: exact ids, or beginnings that end in `*`; every model unless given",
                "minItems": 1, "maxItems": MAX_PATTERNS,
                "items": {
                    "type": "string",
                    "minLength": 1, "maxLength": MAX_MODEL_BYTES, "pattern": MODEL,
                },
            }),
        ),
    ] })
});
