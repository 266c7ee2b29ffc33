//! `keyward org api-key import | export`: many keys by their digests, straight on a database.
//!
//! An import streams: [`source`] cuts a file into [`record`]s, a [`Shape`] makes a [`Row`] of each, and [`import`] hands
//! them to the registry a batch at a time. No value of a file is ever printed, because it may be a key in the wrong
//! column: mistakes are told by line, column and kind.

mod csv;
pub mod export;
pub mod import;
mod litellm;
mod native;
mod notes;
mod record;
mod source;
mod tally;
mod teams;
mod unkey;

use clap::ValueEnum;

use self::notes::Notes;
use self::record::{Problem, Record};
use crate::key::{ImportedKey, KeyCategory, KeyDigest, KeyPrefix, ModelScope, TeamId, UnixTime};
use crate::registry;

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// Our own, as comma-separated values.
    Csv,
    /// Our own, one JSON object a line.
    Jsonl,
    /// Rows of LiteLLM's `LiteLLM_VerificationToken`, as either.
    Litellm,
    /// Rows of Unkey's `keys`, as either.
    Unkey,
}

/// What holds for rows that do not say it themselves.
#[derive(Debug, Clone)]
struct Defaults {
    team: TeamId,
    category: Option<KeyCategory>,
    scope: ModelScope,
    now: UnixTime,
}

/// A key as a file has it.
#[derive(Debug)]
struct Row {
    key: ImportedKey,
    /// The name or the id of its team, where the file says it.
    team: Option<String>,
}

impl Shape {
    /// The columns that are understood.
    const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Csv | Self::Jsonl => &native::COLUMNS,
            Self::Litellm => litellm::COLUMNS,
            Self::Unkey => unkey::COLUMNS,
        }
    }

    /// The column that every file of this shape has.
    const fn digest_column(self) -> &'static str {
        match self {
            Self::Csv | Self::Jsonl => "digest",
            Self::Litellm => "token",
            Self::Unkey => "hash",
        }
    }

    /// Whether a column that is not understood is a mistake: in a file of our own it is a misspelt one, and a key whose
    /// `model_ids` went unread could call every model.
    const fn refuses_others(self) -> bool {
        matches!(self, Self::Csv | Self::Jsonl)
    }

    /// The key in `record`; nothing when it is one that was deleted where it comes from.
    fn read(
        self,
        record: &Record,
        defaults: &Defaults,
        notes: &mut Notes,
    ) -> Result<Option<Row>, Problem> {
        match self {
            Self::Csv | Self::Jsonl => native::read(record, defaults).map(Some),
            Self::Litellm => litellm::read(record, defaults, notes).map(Some),
            Self::Unkey => unkey::read(record, defaults, notes),
        }
    }
}

/// `row`, unless its key contradicts itself.
fn checked(row: Row) -> Result<Row, Problem> {
    match registry::contradiction(&row.key) {
        Some(why) => Err(Problem::row(why)),
        None => Ok(row),
    }
}

/// The digest in `column`.
fn digest(record: &Record, column: &'static str) -> Result<Option<KeyDigest>, Problem> {
    let Some(text) = record.text(column)? else {
        return Ok(None);
    };
    let read = text.parse::<KeyDigest>();
    read.map(Some)
        .map_err(|_| Problem::at(column, not_a_digest(text)))
}

/// What is wrong with a text that stands where a digest should.
fn not_a_digest(text: &str) -> &'static str {
    let seems_a_key = ["kw_", "sk-"].iter().any(|mark| text.starts_with(mark));
    if seems_a_key {
        "this is no digest but seems to be the key itself; give its SHA-256, and never write keys to files"
    } else {
        "this is no SHA-256 digest: 64 hexadecimal digits, or base64"
    }
}

/// A prefix for a key that has none of its own: `stem`, and enough of the digest to tell it from every other. The same
/// each time, so that an import may be done again.
fn prefix(stem: &str, digest: &KeyDigest) -> Result<KeyPrefix, Problem> {
    let digest: String = digest.to_hex().chars().take(12).collect();
    let prefix = format!("{stem}-{digest}").parse();
    prefix.map_err(|_| Problem::row("no prefix can be made for it"))
}
