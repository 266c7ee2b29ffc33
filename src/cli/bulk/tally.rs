//! How an import went, in numbers.

use std::fmt;

use serde::Serialize;

use super::source::Batch;
use crate::store::Imported;

/// The numbers. Members stand in the order in which they are written.
#[derive(Debug, Serialize)]
pub struct Tally {
    /// Keys that were not stored because of what is there.
    pub conflicts: u64,
    /// Whether nothing was written.
    pub dry_run: bool,
    /// Keys that were stored.
    pub imported: u64,
    /// Rows that are no keys.
    pub invalid: u64,
    /// Keys that had been deleted where they come from.
    pub left_out: u64,
    /// Keys that were there already.
    pub skipped: u64,
    /// Keys that were stored without their name.
    pub unnamed: u64,
}

impl Tally {
    /// Nothing yet.
    pub const fn new(dry_run: bool) -> Self {
        Self {
            conflicts: 0,
            dry_run,
            imported: 0,
            invalid: 0,
            left_out: 0,
            skipped: 0,
            unnamed: 0,
        }
    }

    /// Counts the rows of a batch that are no keys.
    pub fn bad(&mut self, batch: &Batch) {
        self.invalid += count(batch.bad.len());
        self.left_out += batch.left_out;
    }

    /// Counts what became of the others.
    pub fn add(&mut self, imported: &Imported) {
        self.imported += count(imported.stored);
        self.skipped += count(imported.there);
        self.unnamed += count(imported.unnamed);
        self.conflicts += count(imported.conflicts.len());
    }
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.dry_run {
            f.write_str("nothing was written; otherwise: ")?;
        }
        let (imported, skipped, invalid) = (self.imported, self.skipped, self.invalid);
        write!(
            f,
            "imported {imported}, skipped {skipped} (already there), invalid {invalid}"
        )?;
        let seldom = [
            (self.conflicts, "in conflict"),
            (self.unnamed, "without their names"),
            (self.left_out, "left out (deleted there)"),
        ];
        for (keys, what) in seldom {
            if keys > 0 {
                write!(f, ", {keys} {what}")?;
            }
        }
        Ok(())
    }
}
