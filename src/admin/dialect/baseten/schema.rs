//! What the OpenAPI document says that a type of ours cannot: which members of a request may stand together, what a
//! text may hold, and what any call may be refused with.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoResponses, ToSchema};

use super::super::document::{self, documented, name};
use super::words::ErrorBody;
use crate::key::{KeyCategory, MAX_MODEL_BYTES, MAX_PATTERNS};

/// What a [`ModelPattern`](crate::key::ModelPattern) takes: no control characters, and a star only at the end.
const MODEL: &str = r"^[^\u0000-\u001f\u007f-\u009f*]*[^\u0000-\u001f\u007f-\u009f]$";
/// What a [`KeyPrefix`](crate::key::KeyPrefix) takes.
const PREFIX: &str = "^[A-Za-z0-9_-]{1,64}$";

/// The longest time that can be asked for, in seconds: a hundred years.
pub const MAX_SECS: u64 = 3_155_760_000;

/// What any call may be answered with instead of what was asked.
pub struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        document::refusals(&ErrorBody::name())
    }
}

documented! {
    /// The types of key that can be asked for.
    Category as "APIKeyCategory": words(&KeyCategory::ALL)
}
documented! {
    /// A key's prefix.
    Prefix as "APIKeyPrefix": json!({ "type": "string", "pattern": PREFIX })
}
documented! {
    /// For which instances an answer waits.
    Wait as "WaitFor": json!({ "type": "string", "enum": ["instance", "all"] })
}
documented! {
    /// The body that makes a key.
    CreateKey as "CreateAPIKeyRequestV1": create_key(&[
        ("team_id", team_id("Its team; the default team unless given")),
        ("expires_in", expires_in("never unless given")),
        ("ends_calls", ends_calls()),
    ])
}
documented! {
    /// The body that makes a key in the team of the path. It may name that team once more, which nobody needs to know.
    CreateTeamKey as "CreateTeamAPIKeyRequestV1": create_key(&[
        ("expires_in", expires_in("never unless given")),
        ("ends_calls", ends_calls()),
    ])
}
documented! {
    /// The body that changes a key.
    UpdateKey as "UpdateAPIKeyRequestV1": json!({
        "type": "object",
        "description": "What is to change about an API key; what is missing stays as it is.",
        "properties": {
            "name": name(&json!(["string", "null"]), "What people shall call it; null for nothing"),
            "model_ids": models("The models it is for, null for every model"),
            "team_id": team_id("Its team"),
            "expires_in": expires_in("null for never"),
            "enabled": {
                "type": ["boolean", "null"],
                "description": "Whether it works; a key that is switched off can be switched on again",
            },
            "ends_calls": ends_calls(),
        },
        "additionalProperties": false,
    })
}
documented! {
    /// How long the text before a rotation works.
    Grace as "GraceSeconds": json!({ "type": "integer", "minimum": 0, "maximum": MAX_SECS })
}
documented! {
    /// Where a list goes on.
    PageCursor as "Cursor": json!({ "type": "string", "pattern": "^[0-9]{1,19}$" })
}
documented! {
    /// The body that makes a team.
    CreateTeam as "CreateTeamRequestV1": json!({
        "type": "object",
        "description": "What is asked for in a new team.",
        "required": ["name"],
        "properties": { "name": name(&json!("string"), "Its name, unique in the organisation") },
        "additionalProperties": false,
    })
}

/// Two forms: only two of the types can be limited to models.
fn create_key(further: &[(&str, Value)]) -> Value {
    let form = |types: &[KeyCategory], model_ids: Value| {
        let mut properties = json!({
            "type": words(types),
            "name": name(
                &json!(["string", "null"]),
                "What people call it; unique among the keys of its team, or of its owner when personal",
            ),
            "model_ids": model_ids,
        });
        for (member, schema) in further {
            properties[member] = schema.clone();
        }
        json!({
            "type": "object",
            "required": ["type"],
            "properties": properties,
            "additionalProperties": false,
        })
    };
    let no_models = json!({
        "type": "null",
        "description": "A key of this type is for every model",
    });
    let models = models("The models it is for, every model unless given");
    let (scoped, unscoped): (Vec<_>, Vec<_>) = KeyCategory::ALL
        .into_iter()
        .partition(KeyCategory::may_have_scope);
    json!({ "oneOf": [form(&unscoped, no_models), form(&scoped, models)] })
}

fn words(types: &[KeyCategory]) -> Value {
    let words: Vec<&str> = types.iter().map(KeyCategory::as_str).collect();
    json!({ "type": "string", "description": "What the key may do", "enum": words })
}

fn models(description: &str) -> Value {
    json!({
        "type": ["array", "null"],
        "description": format!(
            "{description}; at most {MAX_PATTERNS}: exact ids, or beginnings that end in `*`"
        ),
        "minItems": 1,
        "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_MODEL_BYTES,
            "pattern": MODEL,
        },
    })
}

fn team_id(description: &str) -> Value {
    json!({ "type": ["string", "null"], "format": "uuid", "description": description })
}

fn ends_calls() -> Value {
    json!({
        "type": ["boolean", "null"],
        "description": "Whether calls under way end with the key, even where the settings let them go on",
    })
}

fn expires_in(otherwise: &str) -> Value {
    json!({
        "type": ["integer", "null"],
        "minimum": 1,
        "maximum": MAX_SECS,
        "description": format!("After how many seconds from now it is refused; {otherwise}"),
    })
}
