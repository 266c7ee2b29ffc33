//! From the tree to types, through every mistake.

mod reader;

use std::fmt;

use serde::de::{self, Deserialize, Expected, Unexpected};

use reader::Reader;

use super::mistake::{Mistakes, place_of, suggestion};
use super::path::{Path, key_text};
use super::tree::{Node, Origin, Value};

/// Reads `tree` as a `T`. Each mistake is noted and taken out of the tree, and reading goes on without it.
pub fn read<T: for<'de> Deserialize<'de> + Default>(tree: &mut Node, mistakes: &mut Mistakes) -> T {
    loop {
        let reader = Reader {
            node: tree.clone(),
            path: Path::root(),
        };
        let error = match T::deserialize(reader) {
            Ok(read) => return read,
            Err(error) => error.found_in(tree),
        };
        note(tree, &error, mistakes);
        if !repair(tree, &error) {
            return T::default();
        }
    }
}

/// What stopped a pass, and where.
#[derive(Debug)]
pub struct ReadError {
    path: Option<Path>,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    UnknownField {
        field: String,
        known: &'static [&'static str],
    },
    Other(String),
}

impl ReadError {
    fn other(message: String) -> Self {
        Self {
            path: None,
            problem: Problem::Other(message),
        }
    }

    /// Where serde kept a table back to choose a type by its tag, only the table's place is known: an unknown field
    /// is looked for inside it.
    fn found_in(mut self, tree: &Node) -> Self {
        let path = self.path.take().unwrap_or_default();
        let inner = match &self.problem {
            Problem::UnknownField { field, .. } => tree
                .at(&path)
                .and_then(|node| node.table_with(field, path.clone())),
            Problem::Other(_) => None,
        };
        self.path = Some(inner.unwrap_or(path));
        self
    }

    /// The innermost reader knows best where it was.
    fn at(mut self, path: &Path) -> Self {
        self.path.get_or_insert_with(|| path.clone());
        self
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            Problem::UnknownField { .. } => f.write_str("is no setting"),
            Problem::Other(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for ReadError {}

/// None of these quotes a value: it may be a secret.
impl de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        // What the types of other crates say in words of their own.
        let message = message.to_string();
        let known = WORDINGS
            .iter()
            .find(|(start, _)| message.starts_with(start));
        Self::other(known.map_or(message, |(_, must)| format!("must be {must}")))
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match unexpected {
            Unexpected::Bool(_) => "true or false",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a whole number",
            Unexpected::Float(_) => "a number that is not whole or too large",
            Unexpected::Seq => "a list",
            Unexpected::Map => "a table",
            _ => "text",
        };
        Self::other(format!("is {found}, but must be {}", wording(expected)))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::other(format!("must be {}", wording(expected)))
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        let meant = suggestion(variant, known.iter().copied())
            .map(|known| format!("; did you mean `{known}`?"))
            .unwrap_or_default();
        let known = known.join("`, `");
        Self::other(format!("must be one of `{known}`{meant}"))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self {
            path: None,
            problem: Problem::UnknownField {
                field: field.to_owned(),
                known,
            },
        }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::other(format!("lacks `{field}`"))
    }
}

const ADDRESS: &str = "an address and a port, such as `127.0.0.1:8080`";
const TIME: &str = "a time, such as `1m 30s`, with units from `h` down to `ms`";

/// How messages of other crates begin, and what they mean.
const WORDINGS: [(&str, &str); 2] = [
    ("invalid socket address", ADDRESS),
    ("failed to parse input in the \"friendly\"", TIME),
];

/// What a type expects, in the words of this program.
fn wording(expected: &dyn Expected) -> String {
    let expected = expected.to_string();
    match expected.as_str() {
        "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "u16" => format!("a whole number from 0 to {}", u16::MAX),
        "f64" => "a number".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a string" => "text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "socket address" => ADDRESS.to_owned(),
        text if text.contains("duration") => TIME.to_owned(),
        text if text.starts_with("struct") || text.contains("enum") || text == "a map" => {
            "a table".to_owned()
        }
        _ => expected,
    }
}

/// Writes the mistake down; an unknown field with what was probably meant.
fn note(tree: &Node, error: &ReadError, mistakes: &mut Mistakes) {
    let table = error.path.clone().unwrap_or_default();
    let Problem::UnknownField { field, known } = &error.problem else {
        mistakes.add(place_of(tree, &table), table, error.to_string());
        return;
    };
    let path = table.key(field);
    let origin = &tree.nearest(&path).origin;
    let message = match suggestion(field, known.iter().copied()) {
        Some(meant) => format!(
            "is no setting; did you mean `{}`?",
            meant_name(origin, &path, meant)
        ),
        None if known.is_empty() => "is no setting here".to_owned(),
        None => format!("is no setting; here are `{}`", known.join("`, `")),
    };
    mistakes.add(place_of(tree, &path), path, message);
}

/// How the setting `meant` is written in place of the last step of `path`.
fn meant_name(origin: &Origin, path: &Path, meant: &str) -> String {
    let Origin::Environment(name) = origin else {
        return key_text(meant);
    };
    let mut words: Vec<_> = name.trim_start_matches("KEYWARD_").split("__").collect();
    let meant = meant.to_ascii_uppercase();
    if let Some(word) = words.get_mut(path.steps().len() - 1) {
        *word = &meant;
    }
    format!("KEYWARD_{}", words.join("__"))
}

/// Makes the next pass get further: an unknown field takes the name that was meant, anything else goes. `false` when
/// nothing could be done.
fn repair(tree: &mut Node, error: &ReadError) -> bool {
    let path = error.path.clone().unwrap_or_default();
    let (node, is_root) = tree.nearest_mut(&path);
    match (&mut node.value, &error.problem) {
        (Value::Table(entries), Problem::UnknownField { field, known })
            if entries.iter().any(|(name, _)| name == field) =>
        {
            let meant = suggestion(field, known.iter().copied())
                .filter(|meant| entries.iter().all(|(name, _)| name != meant));
            match (meant, entries.iter_mut().find(|(name, _)| name == field)) {
                (Some(meant), Some((name, _))) => meant.clone_into(name),
                _ => entries.retain(|(name, _)| name != field),
            }
            true
        }
        _ if is_root => false,
        (value, _) => {
            *value = Value::Mistaken;
            true
        }
    }
}
