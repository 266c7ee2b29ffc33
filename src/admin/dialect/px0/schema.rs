//! What the OpenAPI document says that a type of ours cannot: what a text may hold, and what any call may be refused
//! with.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoResponses, ToSchema};

use super::super::document::{self, documented, name};
use super::words::ApiError;

/// What any call may be answered with instead of what was asked.
pub struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        document::refusals(&ApiError::name())
    }
}

documented! {
    /// The body that makes a key.
    CreateKey as "CreateAPIKeyRequest": json!({
        "type": "object",
        "description": "What is asked for in a new API key.",
        "required": ["name", "org_id"],
        "properties": {
            "name": name(
                &json!("string"),
                "What people call it; unique among the keys of its team, or of its owner when it may do everything",
            ),
            "org_id": { "type": "string", "format": "uuid", "description": "The organisation" },
            "team_ids": team_ids("Its team, at most one; the default team unless given"),
            "operation": operation("What it may do; `read_render` unless given"),
        },
        "additionalProperties": false,
    })
}

documented! {
    /// The body that changes a key.
    UpdateKey as "UpdateAPIKeyRequest": json!({
        "type": "object",
        "description": "What is to change about an API key; what is missing stays as it is.",
        "properties": {
            "name": {
                "oneOf": [
                    name(&json!("string"), "What people shall call it"),
                    { "type": ["string", "null"], "description": "The name stays", "enum": ["", null] },
                ],
            },
            "team_ids": team_ids("Its team, at most one; an empty list is the default team"),
            "operation": operation("What it may do"),
        },
        "additionalProperties": false,
    })
}

fn team_ids(description: &str) -> Value {
    json!({
        "type": ["array", "null"],
        "description": description,
        "maxItems": 1,
        "items": { "type": "string", "format": "uuid" },
    })
}

fn operation(description: &str) -> Value {
    json!({
        "type": ["string", "null"],
        "description": description,
        "enum": ["read_render", "all", "admin", "", null],
    })
}
