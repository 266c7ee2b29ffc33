//! What a file says that is not taken over: told of each row, and once for all of them.

use std::collections::{BTreeMap, BTreeSet};

use super::record::Record;

/// How many columns that are not known are named.
const NAMED: usize = 20;

/// The longest name of such a column.
const NAME_CHARS: usize = 40;

/// Something that a file can say and nobody here keeps.
#[derive(Debug)]
pub struct Lost {
    /// What to call it.
    pub what: &'static str,
    /// Where it stands.
    pub columns: &'static [&'static str],
    /// Whether zero says something: a limit of zero is one, a count of zero is none.
    pub zero_counts: bool,
}

/// What was left out of the rows read so far.
#[derive(Debug, Default)]
pub struct Notes {
    /// What it is, of the row that is being read.
    row: Vec<&'static str>,
    /// What it is, and of how many keys.
    lost: BTreeMap<&'static str, u64>,
    others: BTreeSet<String>,
    remarks: BTreeSet<&'static str>,
}

impl Notes {
    /// Notes what `record` says of `kinds`.
    pub fn lost(&mut self, record: &Record, kinds: &[Lost]) {
        let said = kinds.iter().filter(|kind| {
            if kind.zero_counts {
                record.says_any(kind.columns)
            } else {
                record.holds_any(kind.columns)
            }
        });
        self.row.extend(said.map(|kind| kind.what));
    }

    /// What this row loses, at its end. Nothing is counted of one that is not imported.
    pub fn end_row(&mut self, is_imported: bool) -> Vec<&'static str> {
        let row = std::mem::take(&mut self.row);
        for what in row.iter().filter(|_| is_imported) {
            *self.lost.entry(what).or_default() += 1;
        }
        row
    }

    /// A column that is not understood. Only a plain name is kept: another one may be anything.
    pub fn other(&mut self, name: &str) {
        let is_plain = |c: char| c.is_ascii_lowercase() || c == '_';
        if self.others.len() < NAMED && name.len() <= NAME_CHARS && name.chars().all(is_plain) {
            self.others.insert(name.to_owned());
        }
    }

    /// Something to be known about such a file.
    pub fn remark(&mut self, sentence: &'static str) {
        self.remarks.insert(sentence);
    }

    /// The sentences to be told.
    pub fn sentences(&self) -> Vec<String> {
        let lost = self.lost.iter().map(|(what, keys)| {
            let s = if *keys == 1 { "" } else { "s" };
            format!("not taken over: {what} ({keys} key{s})")
        });
        let others: Vec<&str> = self.others.iter().map(String::as_str).collect();
        let others = (!others.is_empty()).then(|| {
            format!(
                "not taken over: columns not known here: {}",
                others.join(", ")
            )
        });
        let remarks = self.remarks.iter().map(|remark| (*remark).to_owned());
        lost.chain(others).chain(remarks).collect()
    }
}
