//! Rows, as they are read. A row that anybody may have written is not trusted to be one of ours.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::sqlite::{Sqlite, SqliteRow};
use sqlx::{Decode, Row, Type, ValueRef};

use crate::key::{
    ApiKey, KeyCategory, KeyDigest, KeyId, ModelScope, Name, OldDigest, Operation, OrgId, Team,
    TeamId, TeamRef, UnixTime,
};
use crate::store::{BadRow, Cursor, Instance};

/// The longest id that is shown of a row that cannot be read.
const SHOWN_ID_CHARS: usize = 64;

/// The key in a row of one of the `select_keys!` statements.
pub fn key(row: &SqliteRow) -> Result<ApiKey, BadRow> {
    Fields(row).key().map_err(|why| Fields(row).bad(why))
}

/// The key in a row that may hold none: every column of it is then null.
pub fn key_if_any(row: &SqliteRow) -> Result<Option<ApiKey>, BadRow> {
    match row.try_get_raw("id") {
        Ok(id) if id.is_null() => Ok(None),
        _ => key(row).map(Some),
    }
}

/// The team in a row of `TEAMS` or `TEAM`.
pub fn team(row: &SqliteRow) -> Result<Team, BadRow> {
    Fields(row).team().map_err(|why| Fields(row).bad(why))
}

/// The digest in `column`, if it holds one.
pub fn digest(row: &SqliteRow, column: &'static str) -> Option<KeyDigest> {
    let bytes: &[u8] = row.try_get(column).ok()?;
    KeyDigest::from_stored(bytes)
}

/// The milliseconds since 1970 in `column`, if it holds any.
pub fn millis(row: &SqliteRow, column: &'static str) -> Option<Duration> {
    let millis: Option<i64> = row.try_get(column).ok()?;
    millis.map(since_1970)
}

/// The seconds since 1970 in `column`, if it holds any.
pub fn secs(row: &SqliteRow, column: &'static str) -> Option<Duration> {
    let moment = UnixTime::from_stored(row.try_get(column).ok()?)?;
    Some(Duration::from_secs(moment.as_secs()))
}

/// A stored count of milliseconds; nothing is before 1970.
pub fn since_1970(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// The instance in a row. Whatever was written there by hand is taken as far as it goes: an instance that is left out
/// would not be waited for.
pub fn instance(row: &SqliteRow) -> Result<Instance, sqlx::Error> {
    let count =
        |column| Ok::<u64, sqlx::Error>(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0));
    let name: &str = row.try_get("name")?;
    Ok(Instance {
        name: name.chars().flat_map(shown).collect(),
        started_at: UnixTime::from_secs(count("started_at")?),
        seen_at: UnixTime::from_secs(count("seen_at_ms")? / 1000),
        applied: Cursor::new(count("applied")?),
        behind_by: count("behind_by")?,
        is_heard: row.try_get("is_heard")?,
    })
}

/// A character of a name, escaped when it is none that a name of ours holds.
fn shown(character: char) -> impl Iterator<Item = char> {
    let is_control = character.is_control();
    let escaped = is_control.then(|| character.escape_debug());
    escaped
        .into_iter()
        .flatten()
        .chain((!is_control).then_some(character))
}

struct Fields<'r>(&'r SqliteRow);

impl<'r> Fields<'r> {
    fn key(&self) -> Result<ApiKey, &'static str> {
        let old_digest: Option<&[u8]> = self.get("old_digest", "its old digest is no digest")?;
        let old = match (old_digest, self.moment("old_until")?) {
            (None, _) => None,
            (Some(digest), Some(until)) => Some(OldDigest {
                digest: KeyDigest::from_stored(digest).ok_or("its old digest is no digest")?,
                until,
            }),
            (Some(_), None) => return Err("its old digest has no end"),
        };
        let prefix: &str = self.required("prefix", "its prefix is no text")?;
        let digest: &[u8] = self.required("digest", "its digest is no digest")?;
        let category: &str = self.required("category", "its category is no text")?;
        let operation: Option<&str> = self.get("operation", "its operation is no text")?;
        let scope: Option<&str> = self.get("scope", "its scope is no text")?;
        Ok(ApiKey {
            id: KeyId::new(self.uuid("id")?.ok_or("its id is missing")?),
            prefix: prefix.parse().map_err(|_| "its prefix is no key prefix")?,
            digest: KeyDigest::from_stored(digest).ok_or("its digest is no digest")?,
            old,
            name: self.name("name")?,
            category: KeyCategory::from_stored(category),
            operation: match operation {
                Some(word) => Some(Operation::from_stored(word).ok_or("its operation is unknown")?),
                None => None,
            },
            scope: ModelScope::from_stored(scope)
                .map_err(|_| "its scope is no list of model ids")?,
            org: OrgId::new(self.uuid("org_id")?.ok_or("its organisation is missing")?),
            team: match (self.uuid("team_id")?, self.name("team_name")?) {
                (None, _) => None,
                (Some(id), Some(name)) => Some(TeamRef {
                    id: TeamId::new(id),
                    name,
                }),
                (Some(_), None) => return Err("its team does not exist"),
            },
            owner: self.name("owner")?,
            created_at: self.moment("created_at")?.ok_or("it was never made")?,
            expires_at: self.moment("expires_at")?,
            disabled_at: self.moment("disabled_at")?,
            last_used_at: self.moment("last_used_at")?,
        })
    }

    fn team(&self) -> Result<Team, &'static str> {
        Ok(Team {
            id: TeamId::new(self.uuid("id")?.ok_or("its id is missing")?),
            org: OrgId::new(self.uuid("org_id")?.ok_or("its organisation is missing")?),
            name: self.name("name")?.ok_or("its name is missing")?,
            is_default: self.required("is_default", "whether it is the default is no number")?,
            created_at: self.moment("created_at")?.ok_or("it was never made")?,
        })
    }

    fn get<T>(&self, column: &'static str, why: &'static str) -> Result<Option<T>, &'static str>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite>,
    {
        self.0.try_get(column).map_err(|_| why)
    }

    fn required<T>(&self, column: &'static str, why: &'static str) -> Result<T, &'static str>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite>,
    {
        self.get(column, why)?.ok_or(why)
    }

    /// A UUID as we write them. Another spelling of it would not be found by its id again.
    fn uuid(&self, column: &'static str) -> Result<Option<uuid::Uuid>, &'static str> {
        const WHY: &str = "an id of it is no UUID in lower case";
        let Some(text) = self.get::<&str>(column, WHY)? else {
            return Ok(None);
        };
        let uuid: uuid::Uuid = text.parse().map_err(|_| WHY)?;
        let mut buffer = uuid::Uuid::encode_buffer();
        if *uuid.hyphenated().encode_lower(&mut buffer) == *text {
            Ok(Some(uuid))
        } else {
            Err(WHY)
        }
    }

    fn name(&self, column: &'static str) -> Result<Option<Name>, &'static str> {
        const WHY: &str = "a name of it is too long, empty or holds control characters";
        let text: Option<&str> = self.get(column, WHY)?;
        text.map(str::parse).transpose().map_err(|_| WHY)
    }

    fn moment(&self, column: &'static str) -> Result<Option<UnixTime>, &'static str> {
        const WHY: &str = "a moment of it is before 1970 or no number";
        let Some(secs) = self.get(column, WHY)? else {
            return Ok(None);
        };
        UnixTime::from_stored(secs).map(Some).ok_or(WHY)
    }

    fn bad(&self, why: &'static str) -> BadRow {
        let id: &[u8] = self.0.try_get("id").unwrap_or_default();
        let id = String::from_utf8_lossy(id);
        let shown = id.chars().take(SHOWN_ID_CHARS);
        BadRow {
            id: shown.flat_map(char::escape_debug).collect(),
            why,
        }
    }
}

/// Which rows have been complained about: each is once, however often it is read.
#[derive(Default)]
pub struct Complaints(Mutex<HashSet<String>>);

impl Complaints {
    /// Past this many, rows are no longer named in the log.
    const MOST: usize = 1000;

    /// Says in the log, once, that a row cannot be read.
    pub fn note(&self, table: &'static str, row: &BadRow) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() < Self::MOST && noted.insert(format!("{table}/{}", row.id)) {
            tracing::warn!(
                store.table = table,
                row.id = row.id,
                row.why = row.why,
                "a stored row cannot be read and is left aside"
            );
        }
    }
}
