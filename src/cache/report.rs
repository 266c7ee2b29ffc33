use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::looks::Standing;
use super::seal::Refusal;
use crate::key::ApiKey;
use crate::store::{BadRow, StoreError};
use crate::telemetry;
use crate::telemetry::chain;
use crate::telemetry::metrics::{RefillReason, SealLoad};

/// How many bad rows are told apart.
const MAX_BAD_ROWS: usize = 10_000;

/// What the follower tells the log and the metrics. The log is told when something has become different, not whenever
/// it is still the same.
pub(super) struct Report {
    shared: Arc<Shared>,
    told: Told,
    is_deaf: bool,
    was_complete: bool,
    bad_rows: BTreeSet<String>,
}

/// The worst that was said of the database since it last answered.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Nothing,
    Trouble,
    Stale,
}

impl Report {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            told: Told::Nothing,
            is_deaf: false,
            was_complete: true,
            bad_rows: BTreeSet::new(),
        }
    }

    /// A fill has ended.
    pub fn filled(&mut self, reason: RefillReason, set_aside: Vec<BadRow>, took: Duration) {
        let memory = &self.shared.memory;
        self.shared.metrics.refilled(reason);
        self.shared.metrics.sealed(false);
        tracing::info!(
            cache.keys = memory.held(),
            cache.is_complete = memory.is_complete(),
            reason = reason.as_str(),
            took_ms = telemetry::millis(took),
            "memory was filled from the key database"
        );
        let before = std::mem::take(&mut self.bad_rows);
        let new = set_aside.iter().filter(|row| !before.contains(&row.id));
        new.for_each(tell_bad_row);
        let ids = set_aside.into_iter().map(|row| row.id);
        self.bad_rows = ids.take(MAX_BAD_ROWS).collect();
        self.count_bad_rows();
    }

    /// Memory is that of the sealed set, which was last confirmed so long ago.
    pub fn unsealed(&mut self, confirmed: Duration, took: Duration) {
        let Shared {
            memory, metrics, ..
        } = &*self.shared;
        memory.tidy();
        metrics.seal_loaded(SealLoad::Loaded);
        metrics.sealed(true);
        metrics.holds(memory.held(), 0, false);
        tracing::warn!(
            cache.keys = memory.held(),
            confirmed_secs_ago = confirmed.as_secs(),
            took_ms = telemetry::millis(took),
            "the key database does not answer at the start; keys are served from the sealed set"
        );
        self.age();
    }

    /// The sealed set is not to be served.
    pub fn seal_refused(&self, path: &Path, refusal: &Refusal) {
        self.shared.metrics.seal_loaded(refusal.label());
        let (path, why) = (path.display(), chain(refusal));
        if matches!(refusal, Refusal::Missing) {
            tracing::warn!(cache.seal = %path, "no key set was sealed yet that could be served from");
        } else {
            tracing::error!(cache.seal = %path, %why, "the sealed set is refused");
        }
    }

    /// Rows that a look found to be no keys.
    pub fn set_aside(&mut self, rows: Vec<BadRow>) {
        for row in rows {
            if self.bad_rows.len() < MAX_BAD_ROWS && !self.bad_rows.contains(&row.id) {
                tell_bad_row(&row);
                self.bad_rows.insert(row.id);
            }
        }
        self.count_bad_rows();
    }

    /// Rows that a look found to be keys, whatever they were before.
    pub fn read<'k>(&mut self, keys: impl Iterator<Item = &'k ApiKey>) {
        if !self.bad_rows.is_empty() {
            for key in keys {
                self.bad_rows.remove(&key.id.to_string());
            }
        }
    }

    /// `count` changes have been applied, the oldest of them `lag` after it was written.
    pub fn applied(&self, count: usize, lag: Duration) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.shared.metrics.changes_applied(count, lag);
    }

    /// Revocations are in force, each so long after it was written.
    pub fn revoked(&self, took: impl Iterator<Item = Duration>) {
        took.for_each(|took| self.shared.metrics.revocation_applied(took));
    }

    /// A look has found everything.
    pub fn calm(&mut self) {
        if std::mem::replace(&mut self.told, Told::Nothing) > Told::Nothing {
            tracing::info!("the key database answers again");
        }
        let memory = &self.shared.memory;
        let is_complete = memory.is_complete();
        self.shared
            .metrics
            .holds(memory.held(), memory.unknown_count(), is_complete);
        if is_complete != std::mem::replace(&mut self.was_complete, is_complete) {
            if is_complete {
                tracing::info!("memory holds every key again");
            } else {
                tracing::warn!("not every key fits into memory; the others are looked up");
            }
        }
        self.age();
    }

    /// A look has failed.
    pub fn trouble(&mut self, error: &StoreError) {
        let error = chain(error);
        if self.told < Told::Trouble {
            self.told = Told::Trouble;
            if self.shared.looks.standing() == Standing::Empty {
                tracing::error!(%error, "the key database does not answer; no key is served until it does");
            } else {
                tracing::warn!(%error, "the key database does not answer; known keys are served on");
            }
        }
        self.age();
    }

    /// The bell could not be waited for, or could.
    pub fn bell(&mut self, rung: &Result<(), StoreError>) {
        let was_deaf = std::mem::replace(&mut self.is_deaf, rung.is_err());
        if let Err(error) = rung
            && !was_deaf
        {
            let error = chain(error);
            tracing::warn!(%error, "the bell of the key database is broken; changes are seen by polling");
        }
    }

    /// Time goes by.
    pub fn age(&mut self) {
        let looks = &self.shared.looks;
        if let Some(age) = looks.age() {
            self.shared.metrics.age(age);
        }
        if looks.standing() == Standing::Stale && self.told < Told::Stale {
            self.told = Told::Stale;
            tracing::error!(
                "the key database has not answered for `cache.max_stale`; no key is served until it does"
            );
        }
    }

    fn count_bad_rows(&self) {
        let count = u32::try_from(self.bad_rows.len()).unwrap_or(u32::MAX);
        self.shared.metrics.bad_rows(count);
    }
}

fn tell_bad_row(row: &BadRow) {
    tracing::warn!(
        key.id = row.id,
        why = row.why,
        "a row of the key database is no key; it permits nothing"
    );
}
