//! serde's readings: by a structure that knows `model` alone, by a map that keeps the last of equal names, and by the
//! first of them.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::written;

/// What servers in Rust usually have.
#[derive(Deserialize)]
struct Once {
    model: String,
}

/// The three readings.
pub fn readings(body: &[u8]) -> [String; 3] {
    [once(body), last(body), first(body)]
}

/// Other members are skipped unread; a repeated or missing `model`, or one that is no text, is an error.
fn once(body: &[u8]) -> String {
    match serde_json::from_slice::<Once>(body) {
        Ok(Once { model }) => written(&model),
        Err(_) => "-".to_owned(),
    }
}

fn last(body: &[u8]) -> String {
    match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(members)) => members.get("model").map_or("?".to_owned(), kind),
        Ok(_) => "?".to_owned(),
        Err(_) => "-".to_owned(),
    }
}

fn first(body: &[u8]) -> String {
    match serde_json::from_slice::<First>(body) {
        Ok(First(Some(model))) => kind(&model),
        Ok(First(None)) => "?".to_owned(),
        Err(_) => "-".to_owned(),
    }
}

fn kind(model: &Value) -> String {
    let kind = match model {
        Value::String(model) => return written(model),
        Value::Null => "null",
        Value::Bool(true) => "true",
        Value::Bool(false) => "false",
        Value::Number(_) => "number",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    kind.to_owned()
}

/// The first member of an object that is called `model`.
struct First(Option<Value>);

impl<'de> Deserialize<'de> for First {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = First;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<First, A::Error> {
                let mut model = None;
                while let Some(name) = members.next_key::<Cow<'_, str>>()? {
                    if name == "model" && model.is_none() {
                        model = Some(members.next_value()?);
                    } else {
                        members.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(First(model))
            }
        }
        from.deserialize_map(Members)
    }
}
