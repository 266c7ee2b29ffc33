//! Rows, as any database gives them. A row that anybody may have written is not trusted to be one of ours.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{AuditEntry, BadRow, ChangeBatch, Cursor, Instance, KeyChange};
use crate::key::{
    ApiKey, KeyCategory, KeyDigest, KeyId, Name, OldDigest, Operation, OrgId, ScopesRead, Team,
    TeamId, TeamRef, UnixTime,
};

/// What a column holds is of another type, or no UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongType;

/// The columns of a row, by their names. `None` is a null.
pub trait Columns {
    /// A text.
    fn text(&self, column: &'static str) -> Result<Option<&str>, WrongType>;
    /// Bytes.
    fn bytes(&self, column: &'static str) -> Result<Option<&[u8]>, WrongType>;
    /// A number.
    fn number(&self, column: &'static str) -> Result<Option<i64>, WrongType>;
    /// Yes or no.
    fn truth(&self, column: &'static str) -> Result<Option<bool>, WrongType>;
    /// Whether there is nothing in it.
    fn is_null(&self, column: &'static str) -> bool;
    /// Whatever it holds, to be shown.
    fn raw(&self, column: &'static str) -> &[u8];
}

/// The longest id that is shown of a row that cannot be read.
const SHOWN_ID_CHARS: usize = 64;

/// The key in a row of one of the `select_keys!` statements.
pub fn key(row: &impl Columns) -> Result<ApiKey, BadRow> {
    key_among(row, &mut ScopesRead::default())
}

fn key_among(row: &impl Columns, scopes: &mut ScopesRead) -> Result<ApiKey, BadRow> {
    Fields(row).key(scopes).map_err(|why| Fields(row).bad(why))
}

/// Every key, as a fill reads them row by row.
pub struct EveryKey<'e> {
    each: &'e mut (dyn FnMut(ApiKey) + Send),
    scopes: ScopesRead,
    /// The rows that hold none.
    pub set_aside: Vec<BadRow>,
}

impl<'e> EveryKey<'e> {
    /// Gives them to `each`.
    pub fn new(each: &'e mut (dyn FnMut(ApiKey) + Send)) -> Self {
        Self {
            each,
            scopes: ScopesRead::default(),
            set_aside: Vec::new(),
        }
    }

    /// Gives the keys in `rows`.
    pub fn take<R: Columns>(&mut self, rows: &[R]) {
        for row in rows {
            match key_among(row, &mut self.scopes) {
                Ok(key) => (self.each)(key),
                Err(bad) => self.set_aside.push(bad),
            }
        }
    }
}

/// The key in a row that may hold none: every column of it is then null.
pub fn key_if_any(row: &impl Columns) -> Result<Option<ApiKey>, BadRow> {
    if row.is_null("id") {
        return Ok(None);
    }
    key(row).map(Some)
}

/// The keys in `rows`, and the rows that hold none.
pub fn keys<R: Columns>(rows: &[R]) -> (Vec<ApiKey>, Vec<BadRow>) {
    let mut keys = Vec::with_capacity(rows.len());
    let mut bad = Vec::new();
    for row in rows {
        match key(row) {
            Ok(key) => keys.push(key),
            Err(row) => bad.push(row),
        }
    }
    (keys, bad)
}

/// The team in a row of `TEAMS` or `TEAM`.
pub fn team(row: &impl Columns) -> Result<Team, BadRow> {
    Fields(row).team().map_err(|why| Fields(row).bad(why))
}

/// The digest in `column`, if it holds one.
pub fn digest(row: &impl Columns, column: &'static str) -> Option<KeyDigest> {
    KeyDigest::from_stored(row.bytes(column).ok()??)
}

/// When the entry of the log in a row was written, since 1970: to the millisecond where the log says so.
pub fn written_at(row: &impl Columns) -> Option<Duration> {
    millis(row, "changed_at_ms").or_else(|| {
        let moment = UnixTime::from_stored(row.number("changed_at").ok()??)?;
        Some(Duration::from_secs(moment.as_secs()))
    })
}

/// The milliseconds since 1970 in `column`, if it holds any.
fn millis(row: &impl Columns, column: &'static str) -> Option<Duration> {
    row.number(column).ok()?.map(since_1970)
}

/// A stored count of milliseconds; nothing is before 1970.
pub fn since_1970(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// The instances in `rows`, or nothing when they are none. Whatever was written there by hand is taken as far as it
/// goes: an instance that is left out would not be waited for.
pub fn instances<R: Columns>(rows: &[R]) -> Option<Vec<Instance>> {
    rows.iter().map(instance).collect()
}

fn instance(row: &impl Columns) -> Option<Instance> {
    let count = |column| Some(u64::try_from(row.number(column).ok()??).unwrap_or(0));
    let name = row.text("name").ok()??;
    Some(Instance {
        name: name.chars().flat_map(shown).collect(),
        started_at: UnixTime::from_secs(count("started_at")?),
        seen_at: UnixTime::from_secs(count("seen_at_ms")? / 1000),
        applied: Cursor::new(count("applied")?),
        behind_by: count("behind_by")?,
        is_heard: row.truth("is_heard").ok()??,
    })
}

/// The entry of the audit trail in a row of `AUDIT`. Whatever somebody wrote by hand is told, too: only what is no text
/// is left out.
pub fn audit(row: &impl Columns) -> Option<AuditEntry> {
    let text = |column| Some(row.text(column).ok()??.to_owned());
    // What a column cannot leave out it holds empty.
    let some = |column| text(column).filter(|text: &String| !text.is_empty());
    let number = |column| u64::try_from(row.number(column).ok()??).ok();
    let changed = row.text("changed").ok()?.unwrap_or_default();
    Some(AuditEntry {
        seq: number("seq")?,
        at: UnixTime::from_secs(number("at")?),
        actor: some("actor"),
        actor_prefix: text("actor_prefix"),
        source: text("source")?,
        action: text("action")?,
        key_id: some("key_id"),
        key_prefix: some("key_prefix"),
        team: some("team"),
        changed: serde_json::from_str(changed).unwrap_or_default(),
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

/// Adds the last word about each digest in `rows` to `batch`, in the order in which it was said. A row says what is so
/// now, so that the entries before it add nothing.
pub fn collapse<R: Columns>(rows: &[R], batch: &mut ChangeBatch) {
    let mut told = HashSet::new();
    let mut keys_told = HashSet::new();
    for row in rows.iter().rev() {
        // A digest that is none is nobody's.
        let Some(digest) = digest(row, "changed_digest") else {
            continue;
        };
        if !told.insert(digest) {
            continue;
        }
        let is_revoked = match key_if_any(row) {
            Ok(None) => {
                batch.changes.push(KeyChange::Gone(digest));
                true
            }
            Ok(Some(key)) if keys_told.insert(key.id) => {
                let is_off = key.disabled_at.is_some();
                batch.changes.push(KeyChange::Put(Box::new(key)));
                is_off
            }
            Ok(Some(_)) => false,
            Err(bad) => {
                batch.changes.push(KeyChange::Gone(digest));
                batch.set_aside.push(bad);
                true
            }
        };
        if is_revoked {
            batch.revoked_at.extend(millis(row, "changed_at_ms"));
        }
    }
    batch.changes.reverse();
    batch.revoked_at.reverse();
    batch.set_aside.reverse();
}

struct Fields<'r, R>(&'r R);

impl<'r, R: Columns> Fields<'r, R> {
    fn key(&self, scopes: &mut ScopesRead) -> Result<ApiKey, &'static str> {
        let old_digest = self
            .0
            .bytes("old_digest")
            .map_err(|_| "its old digest is no digest")?;
        let old = match (old_digest, self.moment("old_until")?) {
            (None, _) => None,
            (Some(digest), Some(until)) => Some(OldDigest {
                digest: KeyDigest::from_stored(digest).ok_or("its old digest is no digest")?,
                until,
            }),
            (Some(_), None) => return Err("its old digest has no end"),
        };
        let prefix = self.text("prefix", "its prefix is no text")?;
        let prefix = prefix.ok_or("its prefix is no text")?;
        let category = self.text("category", "its category is no text")?;
        let category = category.ok_or("its category is no text")?;
        let operation = self.text("operation", "its operation is no text")?;
        let scope = self.text("scope", "its scope is no text")?;
        Ok(ApiKey {
            id: KeyId::new(self.uuid("id")?.ok_or("its id is missing")?),
            prefix: prefix.parse().map_err(|_| "its prefix is no key prefix")?,
            digest: digest(self.0, "digest").ok_or("its digest is no digest")?,
            old,
            name: self.name("name")?,
            category: KeyCategory::from_stored(category),
            operation: match operation {
                Some(word) => Some(Operation::from_stored(word).ok_or("its operation is unknown")?),
                None => None,
            },
            scope: scopes
                .from_stored(scope)
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
            ends_calls: self
                .0
                .truth("ends_calls")
                .ok()
                .flatten()
                .ok_or("whether calls end with it is not said")?,
            last_used_at: self.moment("last_used_at")?,
        })
    }

    fn team(&self) -> Result<Team, &'static str> {
        Ok(Team {
            id: TeamId::new(self.uuid("id")?.ok_or("its id is missing")?),
            org: OrgId::new(self.uuid("org_id")?.ok_or("its organisation is missing")?),
            name: self.name("name")?.ok_or("its name is missing")?,
            is_default: self
                .0
                .truth("is_default")
                .ok()
                .flatten()
                .ok_or("whether it is the default is not said")?,
            created_at: self.moment("created_at")?.ok_or("it was never made")?,
        })
    }

    fn text(
        &self,
        column: &'static str,
        why: &'static str,
    ) -> Result<Option<&'r str>, &'static str> {
        self.0.text(column).map_err(|_| why)
    }

    /// A UUID as we write them. Another spelling of it would not be found by its id again.
    fn uuid(&self, column: &'static str) -> Result<Option<uuid::Uuid>, &'static str> {
        const WHY: &str = "an id of it is no UUID in lower case";
        let Some(text) = self.text(column, WHY)? else {
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
        let text = self.text(column, WHY)?;
        text.map(str::parse).transpose().map_err(|_| WHY)
    }

    fn moment(&self, column: &'static str) -> Result<Option<UnixTime>, &'static str> {
        const WHY: &str = "a moment of it is before 1970 or no number";
        let Some(secs) = self.0.number(column).map_err(|_| WHY)? else {
            return Ok(None);
        };
        UnixTime::from_stored(secs).map(Some).ok_or(WHY)
    }

    fn bad(&self, why: &'static str) -> BadRow {
        let id = String::from_utf8_lossy(self.0.raw("id"));
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
