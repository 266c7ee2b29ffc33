//! Rows in our own form: what `export` writes and `import` reads.

use serde_json::Value;
use uuid::Uuid;

use super::record::{Moments, Problem, Record};
use super::{Defaults, Row, digest};
use crate::key::{
    ApiKey, ImportedKey, InvalidScope, KeyCategory, KeyId, ModelPattern, ModelScope, OldDigest,
    Operation, UnixTime,
};

/// The columns, in the order in which they are written.
pub const COLUMNS: [&str; 17] = [
    "digest",
    "prefix",
    "name",
    "type",
    "model_ids",
    "team",
    "owner",
    "created_at",
    "expires_at",
    "enabled",
    "last_used_at",
    "id",
    "operation",
    "disabled_at",
    "old_digest",
    "old_until",
    "ends_calls",
];

/// The values of a key, in the order of [`COLUMNS`].
pub fn values(key: &ApiKey) -> [Option<Value>; COLUMNS.len()] {
    let text = |text: &str| Some(Value::from(text));
    let moment = |at: Option<UnixTime>| at.map(|at| Value::from(at.to_rfc3339()));
    let models = key.scope.patterns().map(|models| {
        let models = models.iter().map(ModelPattern::as_str);
        models.collect::<Value>()
    });
    [
        text(&key.digest.to_hex()),
        text(key.prefix.as_str()),
        key.name.as_ref().and_then(|name| text(name.as_str())),
        text(key.category.as_str()),
        models,
        key.team.as_ref().and_then(|team| text(team.name.as_str())),
        key.owner.as_ref().and_then(|owner| text(owner.as_str())),
        moment(Some(key.created_at)),
        moment(key.expires_at),
        Some(Value::from(key.disabled_at.is_none())),
        moment(key.last_used_at),
        text(&key.id.to_string()),
        key.operation.and_then(|operation| text(operation.as_str())),
        moment(key.disabled_at),
        key.old.and_then(|old| text(&old.digest.to_hex())),
        moment(key.old.map(|old| old.until)),
        key.ends_calls.then(|| Value::from(true)),
    ]
}

/// The key in `record`.
pub fn read(record: &Record, defaults: &Defaults) -> Result<Row, Problem> {
    let moment = |column| record.moment(column, Moments::Zoned);
    let required = |column| Problem::at(column, "this is required");
    let key = ImportedKey {
        digest: digest(record, "digest")?.ok_or_else(|| required("digest"))?,
        prefix: record.parsed("prefix")?.ok_or_else(|| required("prefix"))?,
        id: id(record)?,
        old: old(record)?,
        name: record.parsed("name")?,
        category: category(record, defaults)?,
        operation: operation(record)?,
        scope: scope(record.list("model_ids")?.as_deref(), "model_ids", defaults)?,
        team: defaults.team,
        owner: record.parsed("owner")?,
        created_at: moment("created_at")?,
        expires_at: moment("expires_at")?,
        disabled_at: disabled_at(record, defaults)?,
        ends_calls: record.flag("ends_calls")?.unwrap_or(false),
        last_used_at: moment("last_used_at")?,
    };
    let team = record.text("team")?.map(str::to_owned);
    Ok(Row { key, team })
}

/// The scope that `models` are; the default one where there are none. No model is shown: see [`super`].
pub(super) fn scope(
    models: Option<&[String]>,
    column: &'static str,
    defaults: &Defaults,
) -> Result<ModelScope, Problem> {
    if models.is_none() {
        return Ok(defaults.scope.clone());
    }
    ModelScope::from_request(models).map_err(|error| {
        let why = match error {
            InvalidScope::Pattern { why, .. } => why.to_string(),
            other => other.to_string(),
        };
        Problem::at(column, why)
    })
}

fn id(record: &Record) -> Result<Option<KeyId>, Problem> {
    let id: Option<Result<Uuid, _>> = record.text("id")?.map(str::parse);
    let id = id
        .transpose()
        .map_err(|_| Problem::at("id", "this is no UUID"))?;
    Ok(id.map(KeyId::new))
}

fn category(record: &Record, defaults: &Defaults) -> Result<KeyCategory, Problem> {
    let Some(word) = record.text("type")? else {
        let why = "this is required, here or as --type";
        let given = defaults.category.clone();
        return given.ok_or_else(|| Problem::at("type", why));
    };
    let word = word.to_ascii_uppercase().replace('-', "_");
    let why = "there is no such type of key";
    word.parse().map_err(|_| Problem::at("type", why))
}

fn operation(record: &Record) -> Result<Option<Operation>, Problem> {
    let Some(word) = record.text("operation")? else {
        return Ok(None);
    };
    let why = "this is read_render, all or admin";
    Operation::from_stored(word)
        .map(Some)
        .ok_or_else(|| Problem::at("operation", why))
}

fn disabled_at(record: &Record, defaults: &Defaults) -> Result<Option<UnixTime>, Problem> {
    let since = record.moment("disabled_at", Moments::Zoned)?;
    match (record.flag("enabled")?, since) {
        (Some(true), Some(_)) => Err(Problem::at("disabled_at", "the key is said to be enabled")),
        (Some(false), None) => Ok(Some(defaults.now)),
        (_, since) => Ok(since),
    }
}

fn old(record: &Record) -> Result<Option<OldDigest>, Problem> {
    let until = record.moment("old_until", Moments::Zoned)?;
    match (digest(record, "old_digest")?, until) {
        (None, None) => Ok(None),
        (Some(digest), Some(until)) => Ok(Some(OldDigest { digest, until })),
        _ => Err(Problem::row("old_digest and old_until belong together")),
    }
}
