use std::time::Duration;

use crate::key::{ApiKey, KeyDigest};

/// A place in the change log: everything up to and including it has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Cursor(u64);

impl Cursor {
    /// The place after the entry with this sequence number.
    #[must_use]
    pub const fn new(seq: u64) -> Self {
        Self(seq)
    }

    /// The sequence number of the last entry read.
    #[must_use]
    pub const fn seq(self) -> u64 {
        self.0
    }
}

/// What became of one digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyChange {
    /// A live key is known by it: the key as it is now. Replaces whatever was remembered.
    Put(Box<ApiKey>),
    /// No live key is known by it: deleted, rotated away, or a row that cannot be read.
    Gone(KeyDigest),
}

/// The answer of one look at the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    /// What changed after the cursor, oldest first; empty when nothing did.
    Read(ChangeBatch),
    /// The log no longer reaches back to the cursor, or never knew it: only a fill helps.
    Lost,
}

/// One batch from the log, bounded by the store; `more` says to ask again at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeBatch {
    /// The changes, oldest first.
    pub changes: Vec<KeyChange>,
    /// The place after the last of them.
    pub cursor: Cursor,
    /// When the oldest of them was written, by the database's clock since 1970: to the millisecond, or to the second
    /// where the log says no more.
    pub oldest_at: Option<Duration>,
    /// When each revocation among them was written, where that is known to the millisecond: a key that is gone or
    /// switched off.
    pub revoked_at: Vec<Duration>,
    /// Whether the log holds more after `cursor`.
    pub more: bool,
    /// Rows that could not be read; each is a [`KeyChange::Gone`] above.
    pub set_aside: Vec<BadRow>,
    /// What the database's clock says, since 1970.
    pub database_time: Duration,
    /// Whether somebody waits to hear how far every instance is: [`KeyStore::want_positions`].
    ///
    /// [`KeyStore::want_positions`]: super::KeyStore::want_positions
    pub positions_wanted: bool,
}

/// What a fill ended with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotEnd {
    /// The place in the log to follow from, read before any key.
    pub cursor: Cursor,
    /// Rows that could not be read: not among the keys, named here so that the log can say so.
    pub set_aside: Vec<BadRow>,
    /// What the database's clock says, since 1970.
    pub database_time: Duration,
}

/// A stored row that is no key of ours. It permits nothing; the others work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// The id column, as far as it can be shown, control characters escaped.
    pub id: String,
    /// What is wrong with it, without any value from the row.
    pub why: &'static str,
}
