//! Rows of Unkey's table `keys` (`pkg/db/schema.sql` of unkeyed/unkey), by the names of its columns or of its API.
//!
//! `hash` is the SHA-256 of the whole text in base64; `start` its first characters. The owner is the identity's
//! `external_id`, which stands in another table.

use super::notes::{Lost, Notes};
use super::record::{Moments, Problem, Record};
use super::{Defaults, Row, digest, prefix};
use crate::key::{ImportedKey, KeyCategory, KeyDigest, ModelScope, UnixTime};

/// The columns that are understood, if only to say that they are not taken over.
pub const COLUMNS: &[&str] = &[
    "hash",
    "start",
    "name",
    "external_id",
    "externalId",
    "owner_id",
    "ownerId",
    "expires",
    "enabled",
    "created_at_m",
    "created_at",
    "createdAt",
    "deleted_at_m",
    "deleted_at",
    "deletedAt",
    "last_used_at",
    "lastUsedAt",
    "pending_migration_id",
    // Secrets: refused.
    "key",
    "plaintext",
    "encrypted",
    // Not taken over, and told.
    "remaining_requests",
    "remaining",
    "credits",
    "refill",
    "refill_interval",
    "refill_day",
    "refill_amount",
    "ratelimit",
    "ratelimits",
    "ratelimit_limit",
    "ratelimit_duration",
    "permissions",
    "roles",
    "environment",
    "meta",
    "identity",
    // Of no use here.
    "pk",
    "id",
    "keyId",
    "key_auth_id",
    "keyAuthId",
    "api_id",
    "apiId",
    "workspace_id",
    "workspaceId",
    "for_workspace_id",
    "identity_id",
    "identityId",
    "updated_at_m",
    "updated_at",
    "updatedAt",
    "last_refill_at",
    "ratelimit_async",
];

/// What cannot be taken over.
const LOST: [Lost; 4] = [
    Lost {
        what: "credits and refills",
        columns: &[
            "remaining_requests",
            "remaining",
            "credits",
            "refill",
            "refill_interval",
            "refill_day",
            "refill_amount",
        ],
        zero_counts: true,
    },
    Lost {
        what: "rate limits",
        columns: &[
            "ratelimit",
            "ratelimits",
            "ratelimit_limit",
            "ratelimit_duration",
        ],
        zero_counts: true,
    },
    Lost {
        what: "permissions and roles",
        columns: &["permissions", "roles"],
        zero_counts: false,
    },
    Lost {
        what: "environments, identities and metadata",
        columns: &["environment", "identity", "meta"],
        zero_counts: true,
    },
];

/// What a key begins with that is made here: a text that only begins like one is refused before it is looked up.
const OUR_MARK: &str = "kw_";

/// The longest `start` that is shown: Unkey's own prefix, and a few characters.
const START_CHARS: usize = 24;

/// The key in `record`; nothing when it was deleted there.
pub fn read(
    record: &Record,
    defaults: &Defaults,
    notes: &mut Notes,
) -> Result<Option<Row>, Problem> {
    if record.holds_any(&["key", "plaintext", "encrypted"]) {
        let why = "the key itself stands in this file: leave that column out, and remove the file";
        return Err(Problem::row(why));
    }
    if record.holds_any(&["deleted_at_m", "deleted_at", "deletedAt"]) {
        return Ok(None);
    }
    if record.holds_any(&["pending_migration_id"]) {
        let why = "its hash may not be a SHA-256 of the whole key before it is first used there";
        return Err(Problem::at("pending_migration_id", why));
    }
    let missing = || Problem::at("hash", "this is required");
    let digest = digest(record, "hash")?.ok_or_else(missing)?;
    // A key whose uses are up is refused there until it gets new ones.
    let is_used_up = ["remaining_requests", "remaining"]
        .iter()
        .any(|column| record.is_zero(column));
    let is_off = is_used_up || record.flag("enabled")? == Some(false);
    let key = ImportedKey {
        id: None,
        prefix: prefix(&stem(record, &digest)?, &digest)?,
        digest,
        old: None,
        name: record.parsed("name")?,
        category: defaults
            .category
            .clone()
            .unwrap_or(KeyCategory::WorkspaceInvoke),
        operation: None,
        scope: defaults.scope.clone(),
        team: defaults.team,
        owner: first(
            record,
            &["external_id", "externalId", "owner_id", "ownerId"],
            Record::parsed,
        )?,
        created_at: moment(record, &["created_at_m", "created_at", "createdAt"])?,
        expires_at: moment(record, &["expires"])?,
        disabled_at: is_off.then_some(defaults.now),
        ends_calls: false,
        last_used_at: moment(record, &["last_used_at", "lastUsedAt"])?,
    };
    notes.lost(record, &LOST);
    if key.scope == ModelScope::Every {
        notes
            .remark("Unkey knows no models: these keys may call every one; --model-id limits them");
    }
    Ok(Some(Row { key, team: None }))
}

/// What people know the key by, unless it is too much of it.
fn stem(record: &Record, digest: &KeyDigest) -> Result<String, Problem> {
    let start = record.text("start")?.unwrap_or_default();
    if KeyDigest::of(start.as_bytes()) == *digest {
        return Err(Problem::at("start", "the whole key stands here"));
    }
    if start.starts_with(OUR_MARK) {
        let why =
            "a text that begins with `kw_` is refused unless it was made here: it needs a new key";
        return Err(Problem::at("start", why));
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let is_shown = (1..=START_CHARS).contains(&start.len()) && start.chars().all(is_plain);
    Ok(if is_shown { start } else { "unkey" }.to_owned())
}

/// What the first of `columns` holds that holds something.
fn first<T>(
    record: &Record,
    columns: &[&'static str],
    read: impl Fn(&Record, &'static str) -> Result<Option<T>, Problem>,
) -> Result<Option<T>, Problem> {
    let mut found = columns.iter().map(|column| read(record, column));
    found.find_map(Result::transpose).transpose()
}

/// The moment in the first of `columns` that holds one. Zero is Unkey's word for not knowing it.
fn moment(record: &Record, columns: &[&'static str]) -> Result<Option<UnixTime>, Problem> {
    first(record, columns, |record, column| {
        if record.holds_any(&[column]) {
            record.moment(column, Moments::Database)
        } else {
            Ok(None)
        }
    })
}
