use std::fmt;

use super::path::Path;
use super::tree::{Node, Origin};

/// One thing that is wrong with the settings. It never quotes a value that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where it stands: `keyward.toml:12`, `KEYWARD_CACHE__KEYS`, `--upstream`; nothing when it is missing.
    pub place: Option<String>,
    /// Which setting; the root for a file that cannot be read.
    pub path: Path,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if self.path != Path::root() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// The settings are wrong: every mistake, one a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    mistakes: Vec<Mistake>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, mistake) in self.mistakes.iter().enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

/// Gathers mistakes.
#[derive(Debug, Default)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// Notes one that stands at `place`.
    pub fn add(&mut self, place: Option<String>, path: Path, message: impl Into<String>) {
        self.0.push(Mistake {
            place,
            path,
            message: message.into(),
        });
    }

    /// Whether one was noted at, in or around `path`: what is read there is not what was written.
    pub fn touch(&self, path: &Path) -> bool {
        self.0
            .iter()
            .any(|mistake| mistake.path.is_within(path) || path.is_within(&mistake.path))
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Mistakes> for ConfigError {
    fn from(Mistakes(mut mistakes): Mistakes) -> Self {
        mistakes.sort_by(|one, other| one.path.cmp(&other.path));
        mistakes.dedup();
        Self { mistakes }
    }
}

/// How a message names the place that `origin` stands for.
pub fn place(origin: &Origin) -> Option<String> {
    match origin {
        Origin::Default => None,
        Origin::File(file, line) => Some(format!("{}:{line}", file.display())),
        Origin::Environment(name) => Some(name.clone()),
        Origin::Flag(name) => Some((*name).to_owned()),
    }
}

/// The place of what stands at `path`, or of what stands around it.
pub fn place_of(tree: &Node, path: &Path) -> Option<String> {
    place(&tree.nearest(path).origin)
}

/// `; did you mean …?` when one of `known` is like `word`, else nothing.
pub fn suggestion<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len() * 2 / 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
