//! Values of the tree, handed to the types that ask for them.

use serde::de::value::StringDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::ReadError;
use crate::config::path::Path;
use crate::config::tree::{self, Node, Value};

/// One value on its way into a type.
pub(super) struct Reader {
    pub(super) node: Node,
    pub(super) path: Path,
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
