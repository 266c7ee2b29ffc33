//! The settings before they have types: values, and where each came from.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::path::{Path, Step};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said otherwise.
    Default,
    /// This line of this file.
    File(Arc<PathBuf>, usize),
    /// This environment variable.
    Environment(String),
    /// This flag.
    Flag(&'static str),
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub origin: Origin,
    pub value: Value,
}

/// A value as written. `Debug` shows secrets: print it nowhere.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Date(String),
    List(Vec<Node>),
    /// In the order in which it is written.
    Table(Vec<(String, Node)>),
    /// From a flag or the environment: what it is depends on who reads it.
    Raw(String),
    /// What stood here was a mistake, and has been told.
    Mistaken,
}

impl Node {
    /// A table with nothing in it.
    pub const fn empty() -> Self {
        Self {
            origin: Origin::Default,
            value: Value::Table(Vec::new()),
        }
    }

    /// The entry `key`, if this is a table and has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Table(entries) => entries
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, node)| node),
            _ => None,
        }
    }

    /// What stands at `path`.
    pub fn at(&self, path: &Path) -> Option<&Self> {
        path.steps().iter().try_fold(self, Self::step)
    }

    /// The path of the first table, from this one at `path` inwards, that has an entry `key`.
    pub fn table_with(&self, key: &str, path: Path) -> Option<Path> {
        match &self.value {
            Value::Table(_) if self.get(key).is_some() => Some(path),
            Value::Table(entries) => entries
                .iter()
                .find_map(|(name, node)| node.table_with(key, path.key(name))),
            Value::List(list) => list
                .iter()
                .enumerate()
                .find_map(|(place, node)| node.table_with(key, path.index(place))),
            _ => None,
        }
    }

    /// What stands at `path`, or else at the innermost table or list around it that is there.
    pub fn nearest(&self, path: &Path) -> &Self {
        let mut node = self;
        for step in path.steps() {
            match node.step(step) {
                Some(inner) => node = inner,
                None => break,
            }
        }
        node
    }

    /// What stands at `path`, to be changed.
    pub fn at_mut(&mut self, path: &Path) -> Option<&mut Self> {
        path.steps()
            .iter()
            .try_fold(self, |node, step| match (&mut node.value, step) {
                (Value::Table(entries), Step::Key(key)) => entries
                    .iter_mut()
                    .find(|(name, _)| name == key)
                    .map(|(_, inner)| inner),
                (Value::List(list), Step::Index(index)) => list.get_mut(*index),
                _ => None,
            })
    }

    /// Puts `node` under `key`, in place of what is there. Anything but a table becomes one.
    pub fn set(&mut self, key: &str, node: Self) {
        if !matches!(self.value, Value::Table(_)) {
            self.value = Value::Table(Vec::new());
        }
        if let Value::Table(entries) = &mut self.value {
            match entries.iter_mut().find(|(name, _)| name == key) {
                Some((_, old)) => *old = node,
                None => entries.push((key.to_owned(), node)),
            }
        }
    }

    /// Takes out what stands under `key`.
    pub fn forget(&mut self, key: &str) {
        if let Value::Table(entries) = &mut self.value {
            entries.retain(|(name, _)| name != key);
        }
    }

    /// The same, to be changed, and whether nothing but this node itself is there.
    pub fn nearest_mut(&mut self, path: &Path) -> (&mut Self, bool) {
        let steps = path.steps();
        let there = (0..=steps.len())
            .rev()
            .map(|length| Path::of(steps[..length].to_vec()))
            .find(|path| self.at(path).is_some())
            .unwrap_or_default();
        let is_root = there == Path::root();
        let node = self
            .at_mut(&there)
            .expect("the path was followed a line above");
        (node, is_root)
    }

    /// Puts `node` at `path`, in place of what is there, and makes the tables on the way. Steps into lists lead nowhere.
    pub fn put(&mut self, path: &Path, node: Self) {
        let mut at = self;
        for step in path.steps() {
            let Step::Key(key) = step else { return };
            if let Value::Raw(text) = &at.value
                && let Some(parsed) = parse_value(text.trim(), &at.origin)
            {
                *at = parsed;
            }
            if at.get(key).is_none() {
                let origin = node.origin.clone();
                at.set(
                    key,
                    Self {
                        origin,
                        ..Self::empty()
                    },
                );
            }
            let Some(inner) = at.at_mut(&Path::root().key(key)) else {
                return;
            };
            at = inner;
        }
        *at = node;
    }

    /// Lays `upper` over this: tables entry by entry, everything else as a whole.
    pub fn overlay(&mut self, upper: Self) {
        let is_table = matches!(self.value, Value::Table(_));
        match upper.value {
            Value::Table(entries) if is_table => {
                if self.origin == Origin::Default {
                    self.origin = upper.origin;
                }
                for (key, node) in entries {
                    match self.at_mut(&Path::root().key(&key)) {
                        Some(old) => old.overlay(node),
                        None => self.set(&key, node),
                    }
                }
            }
            value => {
                self.origin = upper.origin;
                self.value = value;
            }
        }
    }

    /// The key of the entry of this table that a variable may mean by `name`, which knows neither case nor `-`.
    pub fn key_like(&self, name: &str) -> Option<&str> {
        let fold = |key: &str| key.to_ascii_lowercase().replace('-', "_");
        match &self.value {
            Value::Table(entries) => entries
                .iter()
                .map(|(key, _)| key.as_str())
                .find(|key| fold(key) == fold(name)),
            _ => None,
        }
    }

    fn step(&self, step: &Step) -> Option<&Self> {
        match (&self.value, step) {
            (Value::Table(_), Step::Key(key)) => self.get(key),
            (Value::List(list), Step::Index(index)) => list.get(*index),
            _ => None,
        }
    }
}

/// What is wrong with the shape of a TOML text, and on which line.
pub struct SyntaxMistake {
    pub line: usize,
    pub message: String,
}

/// Reads a TOML file; every mistake in its shape at once.
///
/// The message never holds a part of the text, which may be a secret.
pub fn parse(text: &str, file: &Arc<PathBuf>) -> Result<Node, Vec<SyntaxMistake>> {
    let lines = Lines::of(text);
    let (table, mistakes) = DeTable::parse_recoverable(text);
    if !mistakes.is_empty() {
        let mistake = |error: toml::de::Error| SyntaxMistake {
            line: error.span().map_or(1, |span| lines.line(&span)),
            message: error.message().to_owned(),
        };
        let mut mistakes: Vec<_> = mistakes.into_iter().map(mistake).collect();
        mistakes.sort_by_key(|mistake| mistake.line);
        return Err(mistakes);
    }
    let origin = |span: &Range<usize>| Origin::File(Arc::clone(file), lines.line(span));
    Ok(table_node(table.into_inner(), origin(&(0..0)), &origin))
}

/// Reads one value as TOML writes it, such as `["a", "b"]`.
pub fn parse_value(text: &str, origin: &Origin) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    Some(value_node(value.into_inner(), origin.clone(), &|_| {
        origin.clone()
    }))
}

fn table_node(
    table: DeTable<'_>,
    origin: Origin,
    origin_of: &dyn Fn(&Range<usize>) -> Origin,
) -> Node {
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let entries = entries.into_iter().map(|(key, value): (Spanned<_>, _)| {
        let origin = origin_of(&key.span());
        let node = value_node(value.into_inner(), origin, origin_of);
        (key.into_inner().into_owned(), node)
    });
    let value = Value::Table(entries.collect());
    Node { origin, value }
}

fn value_node(
    value: DeValue<'_>,
    origin: Origin,
    origin_of: &dyn Fn(&Range<usize>) -> Origin,
) -> Node {
    let value = match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            // Larger than any setting: a float, so that it is told as the wrong kind of number.
            Err(_) => Value::Float(f64::INFINITY),
        },
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(truth) => Value::Boolean(truth),
        DeValue::Datetime(date) => Value::Date(date.to_string()),
        DeValue::Array(list) => Value::List(
            list.iter()
                .map(|element| {
                    let origin = origin_of(&element.span());
                    value_node(element.get_ref().clone(), origin, origin_of)
                })
                .collect(),
        ),
        DeValue::Table(table) => return table_node(table, origin, origin_of),
    };
    Node { origin, value }
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let after_ends = text.match_indices('\n').map(|(place, _)| place + 1);
        Self(std::iter::once(0).chain(after_ends).collect())
    }

    fn line(&self, span: &Range<usize>) -> usize {
        self.0.partition_point(|start| *start <= span.start)
    }
}
