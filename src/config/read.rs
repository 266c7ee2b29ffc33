//! From the tree to types, through every mistake.

use std::fmt;

use serde::de::value::StringDeserializer;
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer,
    MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::mistake::{Mistakes, place_of, suggestion};
use super::path::{Path, key_text};
use super::tree::{self, Node, Origin, Value};

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

/// One value on its way into a type.
struct Reader {
    node: Node,
    path: Path,
}

impl Reader {
    /// A value from a flag or the environment, read as TOML where the reader does not want text.
    fn typed(self) -> Self {
        let Self { node, path } = self;
        let node = match node.value {
            Value::Raw(text) => tree::parse_value(text.trim(), &node.origin).unwrap_or(Node {
                origin: node.origin,
                value: Value::Text(text),
            }),
            value => Node {
                origin: node.origin,
                value,
            },
        };
        Self { node, path }
    }

    fn visit<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let path = self.path;
        let result = match self.node.value {
            // Who does not say what it wants may get a list or a table, and text otherwise.
            Value::Raw(text) if text.trim_start().starts_with(['[', '{']) => {
                match tree::parse_value(text.trim(), &self.node.origin) {
                    Some(node) => return Self { node, path }.visit(visitor),
                    None => visitor.visit_string(text),
                }
            }
            Value::Raw(text) | Value::Text(text) | Value::Date(text) => visitor.visit_string(text),
            Value::Integer(number) => visitor.visit_i64(number),
            Value::Float(number) => visitor.visit_f64(number),
            Value::Boolean(truth) => visitor.visit_bool(truth),
            Value::List(list) => visitor.visit_seq(Elements {
                list: list.into_iter().enumerate(),
                path: path.clone(),
            }),
            Value::Table(entries) => visitor.visit_map(Entries {
                rest: entries.into_iter(),
                next: None,
                path: path.clone(),
            }),
            Value::Mistaken => visitor.visit_unit(),
        };
        result.map_err(|error| error.at(&path))
    }
}

macro_rules! typed {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            self.typed().visit(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.visit(visitor)
    }

    typed! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16
        deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64 deserialize_seq deserialize_map
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let Self { node, path } = self;
        match node.value {
            Value::Raw(text) => visitor
                .visit_string(text)
                .map_err(|error: ReadError| error.at(&path)),
            value => Self {
                node: Node {
                    origin: node.origin,
                    value,
                },
                path,
            }
            .visit(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.typed().visit(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let reader = match &self.node.value {
            Value::Raw(text) if text.trim_start().starts_with('{') => self.typed(),
            _ => self,
        };
        let path = reader.path.clone();
        if path.is_secret() && matches!(reader.node.value, Value::Text(_)) {
            let message = "must be one of `{ file = … }`, `{ env = … }`, `{ inline = … }`";
            return Err(ReadError::other(message.to_owned()).at(&path));
        }
        let variant = match reader.node.value {
            Value::Raw(name) | Value::Text(name) => Variant { name, inner: None },
            Value::Table(mut entries) if entries.len() == 1 => {
                let (name, node) = entries.remove(0);
                let path = path.key(&name);
                let inner = Some(Self { node, path });
                Variant { name, inner }
            }
            _ => {
                let message = "must be text, or a table with one entry".to_owned();
                return Err(ReadError::other(message).at(&path));
            }
        };
        visitor
            .visit_enum(variant)
            .map_err(|error: ReadError| error.at(&path))
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// The elements of a list, but for those that were mistakes.
struct Elements {
    list: std::iter::Enumerate<std::vec::IntoIter<Node>>,
    path: Path,
}

impl<'de> SeqAccess<'de> for Elements {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ReadError> {
        let next = self
            .list
            .find(|(_, node)| !matches!(node.value, Value::Mistaken));
        let Some((index, node)) = next else {
            return Ok(None);
        };
        let path = self.path.index(index);
        seed.deserialize(Reader { node, path }).map(Some)
    }
}

/// The entries of a table, but for those that were mistakes.
struct Entries {
    rest: std::vec::IntoIter<(String, Node)>,
    next: Option<Reader>,
    path: Path,
}

impl<'de> MapAccess<'de> for Entries {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ReadError> {
        let next = self
            .rest
            .find(|(_, node)| !matches!(node.value, Value::Mistaken));
        let Some((key, node)) = next else {
            return Ok(None);
        };
        let path = self.path.key(&key);
        self.next = Some(Reader { node, path });
        let key: StringDeserializer<ReadError> = key.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let reader = self
            .next
            .take()
            .expect("serde asks for a value after its key only");
        let path = reader.path.clone();
        seed.deserialize(reader).map_err(|error| error.at(&path))
    }
}

/// One choice of an enum: its name, and what belongs to it.
struct Variant {
    name: String,
    inner: Option<Reader>,
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = ReadError;
    type Variant = Content;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Content), ReadError> {
        let name: StringDeserializer<ReadError> = self.name.clone().into_deserializer();
        let content = Content {
            name: self.name,
            inner: self.inner,
        };
        Ok((seed.deserialize(name)?, content))
    }
}

/// What belongs to the choice `name`.
struct Content {
    name: String,
    inner: Option<Reader>,
}

impl Content {
    fn reader(self) -> Result<Reader, ReadError> {
        let name = self.name;
        self.inner
            .ok_or_else(|| ReadError::other(format!("must be a table, such as `{{ {name} = … }}`")))
    }
}

impl<'de> VariantAccess<'de> for Content {
    type Error = ReadError;

    fn unit_variant(self) -> Result<(), ReadError> {
        match self.inner {
            None => Ok(()),
            Some(reader) => Err(ReadError::other("must be text".to_owned()).at(&parent(&reader))),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ReadError> {
        seed.deserialize(self.reader()?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ReadError> {
        self.reader()?.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.reader()?.deserialize_map(visitor)
    }
}

/// The path around what `reader` reads.
fn parent(reader: &Reader) -> Path {
    let steps = reader.path.steps();
    let outer = steps
        .get(..steps.len().saturating_sub(1))
        .unwrap_or_default();
    Path::of(outer.to_vec())
}
