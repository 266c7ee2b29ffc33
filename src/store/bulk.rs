//! Many keys at once: what an import asks of a database and what became of it, and the pages of an export.

use std::collections::HashSet;

use super::{BadRow, Cursor};
use crate::key::{
    Actor, ApiKey, ImportedKey, KeyCategory, KeyDigest, KeyId, KeyPrefix, Name, TeamId,
};

/// Keys to be stored in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The keys. Each is found again by its place here.
    pub keys: Vec<ImportedKey>,
    /// What to do when one cannot be stored because of what is there.
    pub on_conflict: OnConflict,
    /// Whether only to say what would become of them.
    pub dry_run: bool,
    /// Who is noted in the audit trail for each key; nothing is noted without.
    pub by: Option<Actor>,
}

/// What to do with keys that cannot be stored because of what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// Store none of the keys that came together with it.
    Fail,
    /// Leave it out, and store the others.
    Skip,
    /// Store it without its name when only that is taken; else as [`OnConflict::Fail`].
    Unname,
}

/// Why a key cannot be stored. In the order in which they are told: the first one that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Conflict {
    /// It was here and has been deleted: a deleted key never works again.
    Deleted,
    /// Its text is that of a key with another prefix, or was until a rotation.
    Digest,
    /// Another key, live or deleted, has the prefix.
    Prefix,
    /// Another key has the id.
    Id,
    /// Another live key of the same team (for a personal key: of the same owner) has the name.
    Name,
}

impl Conflict {
    /// It in words, without any value.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::Deleted => "this key was here and has been deleted",
            Self::Digest => "a key with this text exists already, under another prefix",
            Self::Prefix => "another key has this prefix",
            Self::Id => "another key has this id",
            Self::Name => {
                "another key of the team (for a personal key: of the owner) has this name"
            }
        }
    }
}

/// What became of an [`Import`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// How many keys were stored: zero when there were conflicts that were to fail.
    pub stored: usize,
    /// How many were there already, live and with the same digest and prefix. They stay as they are.
    pub there: usize,
    /// How many of those stored had to do without their name.
    pub unnamed: usize,
    /// The places of the keys that were not stored, in order, and why.
    pub conflicts: Vec<(usize, Conflict)>,
    /// The place in the log that the change took, if there was one.
    pub written: Option<Cursor>,
}

/// Where a page of keys ended: its next one begins after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageMark(Box<str>);

impl PageMark {
    /// After the row with this id, whatever the id looks like.
    #[must_use]
    pub fn after(id: &str) -> Self {
        Self(id.into())
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Some of the live keys, in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPage {
    /// The keys.
    pub keys: Vec<ApiKey>,
    /// Where to go on, while there may be more.
    pub next: Option<PageMark>,
    /// Rows that could not be read.
    pub set_aside: Vec<BadRow>,
}

/// What stands in the way of a key, as a database finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Clash {
    /// The same key, live.
    Same,
    /// Anything else.
    With(Conflict),
}

impl Clash {
    /// The one that a statement `IMPORT_CLASHES` numbers so, whatever the database.
    pub const fn numbered(number: i64) -> Self {
        match number {
            0 => Self::Same,
            1 => Self::With(Conflict::Deleted),
            2 => Self::With(Conflict::Digest),
            3 => Self::With(Conflict::Prefix),
            4 => Self::With(Conflict::Id),
            _ => Self::With(Conflict::Name),
        }
    }
}

/// Which keys of an import are to be stored, and what becomes of the others.
#[derive(Debug, Default)]
pub struct Plan {
    /// The places of those to be stored, in order, each with whether it loses its name.
    pub keep: Vec<(usize, bool)>,
    /// The answer, as far as it is known before anything is written.
    pub imported: Imported,
}

impl Plan {
    /// Decides, from what a database `found` in the way of each key by its place, and from what the keys are to each
    /// other: of two that cannot both be stored, the earlier one is.
    pub fn new(import: &Import, found: impl IntoIterator<Item = (usize, Clash)>) -> Self {
        let mut clashes: Vec<Option<Clash>> = vec![None; import.keys.len()];
        for (place, clash) in found {
            if let Some(known) = clashes.get_mut(place) {
                *known = Some(known.map_or(clash, |known| known.min(clash)));
            }
        }
        let mut plan = Self::default();
        let mut kept = Kept::default();
        for (place, key) in import.keys.iter().enumerate() {
            let here = clashes.get(place).copied().flatten();
            let clash = [here, kept.clash(key)].into_iter().flatten().min();
            plan.place(import, place, clash);
            if plan.keep.last().is_some_and(|(last, _)| *last == place) {
                kept.add(key);
            }
        }
        let fails = import.on_conflict != OnConflict::Skip && !import.dry_run;
        if fails && !plan.imported.conflicts.is_empty() {
            plan.keep.clear();
            plan.imported.unnamed = 0;
        }
        plan.imported.stored = plan.keep.len();
        plan
    }

    fn place(&mut self, import: &Import, place: usize, clash: Option<Clash>) {
        match clash {
            None => self.keep.push((place, false)),
            Some(Clash::Same) => self.imported.there += 1,
            Some(Clash::With(Conflict::Name)) if import.on_conflict == OnConflict::Unname => {
                self.keep.push((place, true));
                self.imported.unnamed += 1;
            }
            Some(Clash::With(conflict)) => self.imported.conflicts.push((place, conflict)),
        }
    }
}

/// What the keys hold that are to be stored together.
#[derive(Default)]
struct Kept<'k> {
    digests: HashSet<KeyDigest>,
    same: HashSet<(KeyDigest, &'k KeyPrefix)>,
    prefixes: HashSet<&'k KeyPrefix>,
    ids: HashSet<KeyId>,
    names: HashSet<NamePlace<'k>>,
}

/// Where a name is taken: among the keys of a team, or the personal ones of an owner.
#[derive(PartialEq, Eq, Hash)]
enum NamePlace<'k> {
    Team(TeamId, &'k str),
    Owner(Option<&'k str>, &'k str),
}

impl<'k> Kept<'k> {
    fn clash(&self, key: &'k ImportedKey) -> Option<Clash> {
        let conflict = if self.same.contains(&(key.digest, &key.prefix)) {
            return Some(Clash::Same);
        } else if key.digests().any(|digest| self.digests.contains(&digest)) {
            Conflict::Digest
        } else if self.prefixes.contains(&key.prefix) {
            Conflict::Prefix
        } else if key.id.is_some_and(|id| self.ids.contains(&id)) {
            Conflict::Id
        } else if name_place(key).is_some_and(|name| self.names.contains(&name)) {
            Conflict::Name
        } else {
            return None;
        };
        Some(Clash::With(conflict))
    }

    fn add(&mut self, key: &'k ImportedKey) {
        self.digests.extend(key.digests());
        self.same.insert((key.digest, &key.prefix));
        self.prefixes.insert(&key.prefix);
        self.ids.extend(key.id);
        self.names.extend(name_place(key));
    }
}

fn name_place(key: &ImportedKey) -> Option<NamePlace<'_>> {
    let name = key.name.as_ref()?.as_str();
    Some(match key.category {
        KeyCategory::Personal => NamePlace::Owner(key.owner.as_ref().map(Name::as_str), name),
        _ => NamePlace::Team(key.team, name),
    })
}
