use std::fmt;
use std::time::Duration;

use uuid::Uuid;

use super::Cursor;
use crate::key::{Name, UnixTime};

/// Which run of the program: a UUID v7 made at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(Uuid);

impl InstanceId {
    /// The identity `uuid`.
    #[must_use]
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an instance says of itself in the key database, again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceReport {
    /// Which instance.
    pub id: InstanceId,
    /// What people call it.
    pub name: Name,
    /// How long it has run.
    pub up_for: Duration,
    /// Every change up to here is in force there.
    pub applied: Cursor,
    /// When it has been silent for longer than this, it is not heard any more.
    pub heard_for: Duration,
    /// When it has been silent for longer than this, it serves no key, whether it runs or not.
    pub serves_for: Duration,
}

/// An instance, as the key database knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// What people call it; control characters escaped, should somebody have written some.
    pub name: String,
    /// When it began, by the database's clock.
    pub started_at: UnixTime,
    /// When it was last heard of, by the database's clock.
    pub seen_at: UnixTime,
    /// Every change up to here is in force there.
    pub applied: Cursor,
    /// How many entries of the log it has not applied.
    pub behind_by: u64,
    /// Whether it was heard of lately. One that is not has ended without a word, or is cut off from the database and
    /// may serve on what it remembers.
    pub is_heard: bool,
}
