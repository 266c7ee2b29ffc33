//! The handles of the key database.

use std::time::Duration;

use metrics::{Counter, Histogram, Recorder};

use super::{register_counter, register_histogram};

/// A statement to the key database, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreQuery {
    /// Opening and migrating.
    Open,
    /// Every key.
    Snapshot,
    /// The change log.
    Changes,
    /// One key by its digest.
    Find,
    /// Keys for a list.
    List,
    /// A new key.
    Insert,
    /// Keys that were made elsewhere.
    Import,
    /// Some of the keys, one batch after another.
    Page,
    /// A tombstone.
    Delete,
    /// A change of a key.
    Update,
    /// The audit trail.
    Audit,
    /// Moments of use.
    RecordLastUsed,
    /// The organisation and its teams.
    Teams,
    /// The admin token's digest.
    AdminToken,
    /// The instances, and how far each is.
    Instances,
}

impl StoreQuery {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 15] = [
        Self::Open,
        Self::Snapshot,
        Self::Changes,
        Self::Find,
        Self::List,
        Self::Insert,
        Self::Import,
        Self::Page,
        Self::Delete,
        Self::Update,
        Self::Audit,
        Self::RecordLastUsed,
        Self::Teams,
        Self::AdminToken,
        Self::Instances,
    ];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Snapshot => "snapshot",
            Self::Changes => "changes",
            Self::Find => "find",
            Self::List => "list",
            Self::Insert => "insert",
            Self::Import => "import",
            Self::Page => "page",
            Self::Delete => "delete",
            Self::Update => "update",
            Self::Audit => "audit",
            Self::RecordLastUsed => "record_last_used",
            Self::Teams => "teams",
            Self::AdminToken => "admin_token",
            Self::Instances => "instances",
        }
    }
}

/// What the key database counts.
#[derive(Clone)]
pub struct StoreMetrics {
    durations: [Histogram; StoreQuery::ALL.len()],
    errors: [Counter; StoreQuery::ALL.len()],
}

impl StoreMetrics {
    pub(super) fn register(recorder: &dyn Recorder) -> Self {
        Self {
            durations: StoreQuery::ALL.map(|query| {
                register_histogram(
                    recorder,
                    "keyward_store_query_duration_seconds",
                    &[("query", query.as_str())],
                )
            }),
            errors: StoreQuery::ALL.map(|query| {
                register_counter(
                    recorder,
                    "keyward_store_errors_total",
                    &[("query", query.as_str())],
                )
            }),
        }
    }

    /// A query ended after `took`; `failed` when the database did not answer it.
    pub fn query_ended(&self, query: StoreQuery, took: Duration, failed: bool) {
        self.durations[query as usize].record(took.as_secs_f64());
        if failed {
            self.errors[query as usize].increment(1);
        }
    }
}
