//! The handles of memory: look-ups, the log that is followed, and the sealed set.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Recorder};

use super::{register_counter, register_gauge, register_histogram};

/// Why memory was filled again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefillReason {
    /// The start.
    Start,
    /// The log no longer reaches back to our place in it.
    LogTrimmed,
    /// Memory holds only a part of the keys, and may hold all again.
    Partial,
}

impl RefillReason {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 3] = [Self::Start, Self::LogTrimmed, Self::Partial];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::LogTrimmed => "log_trimmed",
            Self::Partial => "partial",
        }
    }
}

/// What came of reading the sealed key set, at a start without the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SealLoad {
    /// Keys are served from it.
    Loaded,
    /// There is none.
    Missing,
    /// It cannot be read.
    Unreadable,
    /// Others may write it.
    Writable,
    /// It is torn, altered, or something else.
    Damaged,
    /// Another version has written it.
    Version,
    /// It is older than keys may be served.
    TooOld,
    /// It is of a time that this machine says is still to come.
    Future,
}

impl SealLoad {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 8] = [
        Self::Loaded,
        Self::Missing,
        Self::Unreadable,
        Self::Writable,
        Self::Damaged,
        Self::Version,
        Self::TooOld,
        Self::Future,
    ];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
            Self::Writable => "writable",
            Self::Damaged => "damaged",
            Self::Version => "version",
            Self::TooOld => "too_old",
            Self::Future => "future",
        }
    }
}

/// What came of sealing the key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SealWrite {
    /// All of it was written.
    Written,
    /// It was what the file holds already, and is confirmed.
    Confirmed,
    /// It could not be written; the file is as it was.
    Failed,
}

impl SealWrite {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 3] = [Self::Written, Self::Confirmed, Self::Failed];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Confirmed => "confirmed",
            Self::Failed => "failed",
        }
    }
}

/// What the cache counts.
#[derive(Clone)]
pub struct CacheMetrics {
    known: Counter,
    unknown: Counter,
    loaded: Counter,
    refused: Counter,
    known_keys: Gauge,
    unknown_keys: Gauge,
    complete: Gauge,
    age: Gauge,
    discarded_loads: Counter,
    changes_applied: Counter,
    change_lag: Histogram,
    revocation_propagation: Histogram,
    refills: [Counter; RefillReason::ALL.len()],
    bad_rows: Gauge,
    sealed: Gauge,
    seal_loads: [Counter; SealLoad::ALL.len()],
    seal_writes: [Counter; SealWrite::ALL.len()],
}

impl CacheMetrics {
    pub(super) fn register(recorder: &dyn Recorder) -> Self {
        let lookups = |result| {
            register_counter(
                recorder,
                "keyward_cache_lookups_total",
                &[("result", result)],
            )
        };
        let keys = |memory| register_gauge(recorder, "keyward_cache_keys", &[("memory", memory)]);
        Self {
            known: lookups("known"),
            unknown: lookups("unknown"),
            loaded: lookups("loaded"),
            refused: lookups("refused"),
            known_keys: keys("known"),
            unknown_keys: keys("unknown"),
            complete: register_gauge(recorder, "keyward_cache_complete", &[]),
            age: register_gauge(recorder, "keyward_cache_age_seconds", &[]),
            discarded_loads: register_counter(recorder, "keyward_cache_discarded_loads_total", &[]),
            changes_applied: register_counter(recorder, "keyward_changes_applied_total", &[]),
            change_lag: register_histogram(recorder, "keyward_change_lag_seconds", &[]),
            revocation_propagation: register_histogram(
                recorder,
                "keyward_revocation_propagation_seconds",
                &[],
            ),
            refills: RefillReason::ALL.map(|reason| {
                register_counter(
                    recorder,
                    "keyward_refills_total",
                    &[("reason", reason.as_str())],
                )
            }),
            bad_rows: register_gauge(recorder, "keyward_bad_key_rows", &[]),
            sealed: register_gauge(recorder, "keyward_cache_sealed", &[]),
            seal_loads: SealLoad::ALL.map(|result| {
                let labels = [("result", result.as_str())];
                register_counter(recorder, "keyward_seal_loads_total", &labels)
            }),
            seal_writes: SealWrite::ALL.map(|result| {
                let labels = [("result", result.as_str())];
                register_counter(recorder, "keyward_seal_writes_total", &labels)
            }),
        }
    }

    /// Memory knew the key.
    pub fn lookup_known(&self) {
        self.known.increment(1);
    }

    /// Memory knew that there is no such key.
    pub fn lookup_unknown(&self) {
        self.unknown.increment(1);
    }

    /// The database was asked, and answered.
    pub fn lookup_loaded(&self) {
        self.loaded.increment(1);
    }

    /// The database was not asked, or did not answer: the budget, the queue or the database itself.
    pub fn lookup_refused(&self) {
        self.refused.increment(1);
    }

    /// How much both memories hold, and whether the first holds every key.
    pub fn holds(&self, known: u64, unknown: u64, is_complete: bool) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a count of keys is far below 2^52"
        )]
        let gauge = |count: u64| count as f64;
        self.known_keys.set(gauge(known));
        self.unknown_keys.set(gauge(unknown));
        self.complete.set(if is_complete { 1.0 } else { 0.0 });
    }

    /// How long ago the last look at the log succeeded.
    pub fn age(&self, age: Duration) {
        self.age.set(age.as_secs_f64());
    }

    /// A load lost against a change that came while it ran.
    pub fn discarded_load(&self) {
        self.discarded_loads.increment(1);
    }

    /// `count` changes were applied, the oldest of them `lag` after it was written.
    pub fn changes_applied(&self, count: u64, lag: Duration) {
        self.changes_applied.increment(count);
        self.change_lag.record(lag.as_secs_f64());
    }

    /// A revocation is in force on this instance, on every worker, `took` after it was written.
    pub fn revocation_applied(&self, took: Duration) {
        self.revocation_propagation.record(took.as_secs_f64());
    }

    /// Memory was filled.
    pub fn refilled(&self, reason: RefillReason) {
        self.refills[reason as usize].increment(1);
    }

    /// How many rows the last fill could not read.
    pub fn bad_rows(&self, count: u32) {
        self.bad_rows.set(f64::from(count));
    }

    /// Whether memory is that of the sealed set, and not yet the database's.
    pub fn sealed(&self, is_sealed: bool) {
        self.sealed.set(if is_sealed { 1.0 } else { 0.0 });
    }

    /// The sealed set was to be read.
    pub fn seal_loaded(&self, result: SealLoad) {
        self.seal_loads[result as usize].increment(1);
    }

    /// The set was to be sealed.
    pub fn seal_written(&self, result: SealWrite) {
        self.seal_writes[result as usize].increment(1);
    }
}
