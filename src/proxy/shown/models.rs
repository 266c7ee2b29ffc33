//! A list of models, cut to some of them.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of the whole that are lists of models: of OpenAI's and Anthropic's dialect, and of Ollama's. Some servers
/// send both.
const LISTS: [&str; 2] = ["data", "models"];

/// The members of the whole that name an entry of `data`, so that a caller finds the next page (Anthropic, "List Models").
const FIRST: &str = "first_id";
const LAST: &str = "last_id";

/// An object, as it is written: its members in order.
struct Members<'b>(Vec<(String, &'b RawValue)>);

/// What an entry of `data` is called.
#[derive(Deserialize)]
struct Datum<'b> {
    #[serde(borrow)]
    id: Cow<'b, str>,
}

/// What an entry of `models` is called. Both say the same, and whoever reads either must be shown its own.
#[derive(Deserialize)]
struct Model<'b> {
    #[serde(borrow, default)]
    name: Option<Cow<'b, str>>,
    #[serde(borrow, default)]
    model: Option<Cow<'b, str>>,
}

/// What is left of a list when only entries that `is_for` names stay; `None` when it is no such list.
///
/// All else stays as it is, but for what names the first and the last entry. Whatever reads could differ about, is no
/// list: a list that comes twice, an entry that is named twice or not at all.
pub(super) fn cut(list: &[u8], is_for: impl Fn(&str) -> bool) -> Option<Vec<u8>> {
    let Members(members) = serde_json::from_slice(list).ok()?;
    let times = |name: &str| members.iter().filter(|(other, _)| other == name).count();
    let known = LISTS.iter().chain(&[FIRST, LAST]);
    if LISTS.iter().all(|name| times(name) == 0) || known.clone().any(|name| times(name) > 1) {
        return None;
    }
    let mut ends = (None, None);
    let mut left = Vec::new();
    for (name, value) in &members {
        let value: Cow<'_, str> = match name.as_str() {
            "data" => {
                let entries = Entries::of(value)?;
                let entries = entries.only(|entry| {
                    let Datum { id } = serde_json::from_str(entry).ok()?;
                    Some(is_for(&id).then(|| id.into_owned()))
                })?;
                let id_of = |entry: Option<&(String, &str)>| entry.map(|(id, _)| id.clone());
                ends = (id_of(entries.first()), id_of(entries.last()));
                listed(entries.iter().map(|(_, entry)| *entry)).into()
            }
            "models" => {
                let entries = Entries::of(value)?;
                let entries = entries.only(|entry| {
                    let Model { name, model } = serde_json::from_str(entry).ok()?;
                    if name.is_none() && model.is_none() {
                        return None;
                    }
                    Some(
                        name.iter()
                            .chain(&model)
                            .all(|name| is_for(name))
                            .then_some(()),
                    )
                })?;
                listed(entries.iter().map(|((), entry)| *entry)).into()
            }
            _ => value.get().into(),
        };
        left.push((name, value));
    }
    let mut text = String::with_capacity(list.len());
    for (name, value) in &left {
        let end = match name.as_str() {
            FIRST => Some(written(ends.0.as_deref())),
            LAST => Some(written(ends.1.as_deref())),
            _ => None,
        };
        text.push(if text.is_empty() { '{' } else { ',' });
        text.push_str(&written(Some(name)));
        text.push(':');
        text.push_str(end.as_deref().unwrap_or(value));
    }
    text.push('}');
    Some(text.into_bytes())
}

/// The entries of a list, as they are written.
struct Entries<'b>(Vec<&'b RawValue>);

impl<'b> Entries<'b> {
    fn of(list: &'b RawValue) -> Option<Self> {
        serde_json::from_str(list.get()).ok().map(Self)
    }

    /// Those of which `keep` says something, with what it says; `None` when it cannot tell of one.
    fn only<T>(&self, keep: impl Fn(&'b str) -> Option<Option<T>>) -> Option<Vec<(T, &'b str)>> {
        let mut kept = Vec::new();
        for entry in &self.0 {
            let entry: &'b str = entry.get();
            kept.extend(keep(entry)?.map(|said| (said, entry)));
        }
        Some(kept)
    }
}

fn listed<'b>(entries: impl Iterator<Item = &'b str>) -> String {
    let entries: Vec<_> = entries.collect();
    format!("[{}]", entries.join(","))
}

/// A text, or null, as JSON.
fn written(text: Option<&str>) -> String {
    serde_json::to_string(&text).expect("a text or null is always JSON")
}

impl<'de: 'b, 'b> Deserialize<'de> for Members<'b> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                if members.is_empty() {
                    return Err(A::Error::custom("nothing in it"));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn m1(list: &str) -> Option<String> {
        let left = cut(list.as_bytes(), |name| name == "m1");
        left.map(|left| String::from_utf8(left).unwrap())
    }

    #[rstest]
    #[case(
        r#"{"object":"list","data":[{"id":"m1","x":[1, {"id":"m2"}]},{"id":"m2"},{"x":1e2,"id":"m\u0031"}]}"#,
        r#"{"object":"list","data":[{"id":"m1","x":[1, {"id":"m2"}]},{"x":1e2,"id":"m\u0031"}]}"#
    )]
    #[case(
        r#" {"data" : [ {"id":"m2"} ] , "n" : 1.50 } "#,
        r#"{"data":[],"n":1.50}"#
    )]
    #[case(
        r#"{"models":[{"name":"m1","model":"m1"},{"name":"m2","model":"m2"},{"name":"m1"},{"model":"m1","name":"m2"}]}"#,
        r#"{"models":[{"name":"m1","model":"m1"},{"name":"m1"}]}"#
    )]
    #[case(
        r#"{"models":[{"model":"m2"}],"object":"list","data":[{"id":"m1"}]}"#,
        r#"{"models":[],"object":"list","data":[{"id":"m1"}]}"#
    )]
    #[case(
        r#"{"first_id":"m0","data":[{"id":"m0"},{"id":"m1"},{"id":"m2"}],"last_id":"m2","has_more":true}"#,
        r#"{"first_id":"m1","data":[{"id":"m1"}],"last_id":"m1","has_more":true}"#
    )]
    #[case(
        r#"{"data":[{"id":"m2"}],"first_id":"m2","last_id":"m2"}"#,
        r#"{"data":[],"first_id":null,"last_id":null}"#
    )]
    #[case(r#"{"d\u0061ta":[{"id":"m2"}]}"#, r#"{"data":[]}"#)]
    fn a_list_is_cut_to_what_is_named(#[case] list: &str, #[case] left: &str) {
        assert_eq!(m1(list).as_deref(), Some(left));
    }

    #[rstest]
    #[case("")]
    #[case("[]")]
    #[case("{}")]
    #[case("null")]
    #[case(r#"{"object":"list"}"#)]
    #[case(r#"{"data":{}}"#)]
    #[case(r#"{"data":null}"#)]
    #[case(r#"{"data":["m1"]}"#)]
    #[case(r#"{"data":[{"name":"m1"}]}"#)]
    #[case(r#"{"data":[{"id":1}]}"#)]
    #[case(r#"{"data":[{"id":"m1","id":"m2"}]}"#)]
    #[case(r#"{"data":[{"id":"m1"}],"data":[{"id":"m2"}]}"#)]
    #[case(r#"{"data":[],"last_id":"m1","last_id":"m2"}"#)]
    #[case(r#"{"models":[{"id":"m1"}]}"#)]
    #[case(r#"{"models":[{"name":1}]}"#)]
    #[case(r#"{"data":[{"id":"m1"}]"#)]
    #[case(r#"{"data":[{"id":"m1"}]} x"#)]
    #[case(r#"{"data":[{"id":"m1\ud800"}]}"#)]
    #[case("{\"data\":[{\"id\":\"m1\",\"x\":NaN}]}")]
    fn what_is_no_list_is_not_cut(#[case] list: &str) {
        assert_eq!(m1(list), None);
    }

    #[test]
    fn how_deep_an_entry_nests_does_not_matter() {
        let deep = |id| {
            let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
            format!(r#"{{"data":[{{"id":"{id}","x":{open}{close}}}]}}"#)
        };
        assert_eq!(m1(&deep("m1")), Some(deep("m1")));
        assert_eq!(m1(&deep("m2")).as_deref(), Some(r#"{"data":[]}"#));
    }

    proptest! {
        #[test]
        fn nothing_else_is_ever_left(ids in prop::collection::vec("[a-c]{1,2}", 0..8), more in any::<i32>()) {
            let data: Vec<_> = ids.iter().map(|id| serde_json::json!({"id": id, "more": more})).collect();
            let list = serde_json::json!({"object": "list", "data": data, "more": more}).to_string();
            let left = cut(list.as_bytes(), |id| id.starts_with('a')).unwrap();
            let left: serde_json::Value = serde_json::from_slice(&left).unwrap();
            let kept: Vec<_> = data.into_iter().filter(|datum| datum["id"].as_str().unwrap().starts_with('a')).collect();
            prop_assert_eq!(&left, &serde_json::json!({"object": "list", "data": kept, "more": more}));
        }
    }
}
