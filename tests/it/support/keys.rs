//! Keys for tests that make none through the registry.

use keyward::key::{ApiKey, KeyCategory, KeyDigest, KeyId, ModelScope, OrgId};
use uuid::Uuid;

use super::gated_store::START;

/// The `n`th key, for every model.
pub fn key(n: u128) -> ApiKey {
    let id = KeyId::new(Uuid::from_u128(n));
    ApiKey {
        id,
        prefix: format!("kw_{n}").parse().expect("a prefix"),
        digest: KeyDigest::of(text_of_id(id).as_bytes()),
        old: None,
        name: None,
        category: KeyCategory::WorkspaceInvoke,
        operation: None,
        scope: ModelScope::Every,
        org: OrgId::new(Uuid::from_u128(1)),
        team: None,
        owner: None,
        created_at: START,
        expires_at: None,
        disabled_at: None,
        ends_calls: false,
        last_used_at: None,
    }
}

/// The text of a key made by [`key`].
pub fn text_of(key: &ApiKey) -> String {
    text_of_id(key.id)
}

fn text_of_id(id: KeyId) -> String {
    format!("text-{id}")
}
