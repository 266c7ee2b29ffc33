//! What a file says that is not taken over: told once, whatever the number of rows.

use std::collections::{BTreeMap, BTreeSet};

/// How many columns that are not known are named.
const NAMED: usize = 20;

/// The longest name of such a column.
const NAME_CHARS: usize = 40;

/// What was left out of the rows read so far.
#[derive(Debug, Default)]
pub struct Notes {
    /// What it is, and of how many keys.
    lost: BTreeMap<&'static str, u64>,
    others: BTreeSet<String>,
    remarks: BTreeSet<&'static str>,
}

impl Notes {
    /// One more key has something that is not kept here.
    pub fn lost(&mut self, what: &'static str) {
        *self.lost.entry(what).or_default() += 1;
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
