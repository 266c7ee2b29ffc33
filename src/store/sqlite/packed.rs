//! A page of keys as one text.
//!
//! A row of eighteen values costs SQLite and sqlx some forty allocations, made by one thread and freed by another; as
//! JSON, a page of a thousand costs a few. What each value must be is the same as for rows.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, de};

use crate::key::KeyDigest;
use crate::store::row::{Columns, WrongType};

/// The keys of a page; `None` when the text is not what the statement makes of rows of ours.
pub fn rows(page: &str) -> Option<Vec<PackedRow<'_>>> {
    serde_json::from_str(page).ok()
}

/// What `select_keys!` names, in its order.
#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'p"))]
pub struct PackedRow<'p> {
    id: Option<Text<'p>>,
    prefix: Option<Text<'p>>,
    digest: Option<Digest>,
    old_digest: Option<Digest>,
    old_until: Option<i64>,
    name: Option<Text<'p>>,
    category: Option<Text<'p>>,
    operation: Option<Text<'p>>,
    scope: Option<Text<'p>>,
    org_id: Option<Text<'p>>,
    team_id: Option<Text<'p>>,
    team_name: Option<Text<'p>>,
    owner: Option<Text<'p>>,
    created_at: Option<i64>,
    expires_at: Option<i64>,
    disabled_at: Option<i64>,
    ends_calls: Option<i64>,
    last_used_at: Option<i64>,
}

/// Borrowed from the page, unless something in it is escaped there.
#[derive(Deserialize)]
struct Text<'p>(#[serde(borrow)] Cow<'p, str>);

struct Digest(KeyDigest);

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(hex) = Text::deserialize(deserializer)?;
        hex.parse().map(Self).map_err(de::Error::custom)
    }
}

impl Columns for PackedRow<'_> {
    fn text(&self, column: &'static str) -> Result<Option<&str>, WrongType> {
        let text = match column {
            "id" => &self.id,
            "prefix" => &self.prefix,
            "name" => &self.name,
            "category" => &self.category,
            "operation" => &self.operation,
            "scope" => &self.scope,
            "org_id" => &self.org_id,
            "team_id" => &self.team_id,
            "team_name" => &self.team_name,
            "owner" => &self.owner,
            _ => return Err(WrongType),
        };
        Ok(text.as_ref().map(|text| &*text.0))
    }

    fn bytes(&self, column: &'static str) -> Result<Option<&[u8]>, WrongType> {
        let digest = match column {
            "digest" => &self.digest,
            "old_digest" => &self.old_digest,
            _ => return Err(WrongType),
        };
        Ok(digest
            .as_ref()
            .map(|Digest(digest)| digest.as_bytes().as_slice()))
    }

    fn number(&self, column: &'static str) -> Result<Option<i64>, WrongType> {
        match column {
            "old_until" => Ok(self.old_until),
            "created_at" => Ok(self.created_at),
            "expires_at" => Ok(self.expires_at),
            "disabled_at" => Ok(self.disabled_at),
            "ends_calls" => Ok(self.ends_calls),
            "last_used_at" => Ok(self.last_used_at),
            _ => Err(WrongType),
        }
    }

    fn truth(&self, column: &'static str) -> Result<Option<bool>, WrongType> {
        Ok(self.number(column)?.map(|number| number != 0))
    }

    fn is_null(&self, column: &'static str) -> bool {
        !matches!(self.text(column), Ok(Some(_)))
    }

    fn raw(&self, column: &'static str) -> &[u8] {
        let text = self.text(column).ok().flatten();
        text.unwrap_or_default().as_bytes()
    }
}
