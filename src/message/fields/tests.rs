use http::header::{ACCEPT, COOKIE, HOST};
use proptest::prelude::*;
use rstest::rstest;

use super::*;

/// What may be done with fields, and with a list of names and texts that does it in the plainest way.
#[derive(Debug, Clone)]
enum Step {
    Append(usize, String),
    Insert(usize, String),
    Remove(usize),
    RemoveAll(Vec<usize>),
    Retain(usize),
}

const NAMES: [HeaderName; 4] = [HOST, ACCEPT, COOKIE, HeaderName::from_static("x-own")];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (name, text) = (0..NAMES.len(), "[!-~]{0,8}");
    let step = prop_oneof![
        3 => (name.clone(), text).prop_map(|(name, text)| Step::Append(name, text)),
        2 => (name.clone(), text).prop_map(|(name, text)| Step::Insert(name, text)),
        1 => name.clone().prop_map(Step::Remove),
        1 => prop::collection::vec(name.clone(), 0..4).prop_map(Step::RemoveAll),
        1 => name.prop_map(Step::Retain),
    ];
    prop::collection::vec(step, 0..20)
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap()
}

/// The fields that stand in `head`, a line each, `name: value`.
fn came(head: &'static str) -> Fields {
    let mut places = Places::new();
    let mut at = 0;
    for line in head.lines() {
        let (name, _) = line.split_once(": ").unwrap();
        let begin = at + name.len() + 2;
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        places.note(name, begin..at + line.len());
        at += line.len() + 1;
    }
    places.within(Bytes::from_static(head.as_bytes()))
}

fn listed(fields: &Fields) -> Vec<(HeaderName, String)> {
    let text = |value: Value<'_>| value.to_str().unwrap().to_owned();
    let all = fields.iter();
    all.map(|(name, value)| (name.clone(), text(value)))
        .collect()
}

proptest! {
    #[test]
    fn fields_are_a_list_of_names_and_values(steps in steps()) {
        let mut fields = came("host: h\nx-own: 1\naccept: a\nx-own: 2");
        let mut list = listed(&fields);
        for step in steps {
            match step {
                Step::Append(name, text) => {
                    fields.append(NAMES[name].clone(), value(&text));
                    list.push((NAMES[name].clone(), text));
                }
                Step::Insert(name, text) => {
                    fields.insert(&NAMES[name], value(&text));
                    let place = list.iter().position(|(other, _)| *other == NAMES[name]);
                    let mut at = 0;
                    list.retain(|(other, _)| {
                        at += 1;
                        *other != NAMES[name] || place == Some(at - 1)
                    });
                    match place {
                        Some(place) => list[place].1 = text,
                        None => list.push((NAMES[name].clone(), text)),
                    }
                }
                Step::Remove(name) => {
                    fields.remove(&NAMES[name]);
                    list.retain(|(other, _)| *other != NAMES[name]);
                }
                Step::RemoveAll(names) => {
                    let names: Vec<_> = names.into_iter().map(|name| NAMES[name].clone()).collect();
                    fields.remove_all(names.clone());
                    list.retain(|(other, _)| !names.contains(other));
                }
                Step::Retain(name) => {
                    fields.retain(|other| *other == NAMES[name]);
                    list.retain(|(other, _)| *other == NAMES[name]);
                }
            }
            prop_assert_eq!(listed(&fields), &list[..]);
        }
        prop_assert_eq!((fields.len(), fields.is_empty()), (list.len(), list.is_empty()));
        for name in &NAMES {
            let named = list.iter().filter(|(other, _)| other == name);
            let named: Vec<&str> = named.map(|(_, text)| &**text).collect();
            let found: Vec<_> = fields.get_all(name).filter_map(Value::to_str).collect();
            prop_assert_eq!(&found, &named);
            prop_assert_eq!(fields.get(name).and_then(Value::to_str), named.first().copied());
            prop_assert_eq!(fields.contains_key(name), !named.is_empty());
            let only = (named.len() == 1).then(|| named[0]);
            prop_assert_eq!(fields.only(name).and_then(Value::to_str), only);
        }

        // The same in the crate's table, where fields of one name stand together, and back.
        let mut table = HeaderMap::new();
        for (name, text) in &list {
            table.append(name.clone(), value(text));
        }
        let mut others = Fields::new();
        others.extend(&fields);
        prop_assert_eq!(&HeaderMap::from(fields), &table);
        prop_assert_eq!(&HeaderMap::from(others), &table);
        prop_assert_eq!(&HeaderMap::from(Fields::from(table.clone())), &table);
    }
}

#[rstest]
#[case::visible(b"a b~!", Some("a b~!"))]
#[case::tab(b"a\tb", Some("a\tb"))]
#[case::nothing(b"", Some(""))]
#[case::utf8("\u{e9}".as_bytes(), None)]
#[case::no_utf8(b"\xff", None)]
#[case::delete(b"a\x7f", None)]
fn a_text_is_visible(#[case] bytes: &[u8], #[case] expected: Option<&str>) {
    assert_eq!(Value(bytes).to_str(), expected);
    let other = HeaderValue::from_bytes(bytes);
    let other = other
        .ok()
        .and_then(|it| it.to_str().ok().map(str::to_owned));
    assert_eq!(other.as_deref(), expected);
}

#[test]
fn a_value_is_never_shown() {
    let mut fields = came("authorization: Bearer secret");
    fields.append(COOKIE, value("secret"));
    let value = fields.get(&COOKIE);
    let shown = format!("{fields:?} {fields:#?} {value:?}");
    assert!(
        shown.contains("authorization") && !shown.contains("secret"),
        "{shown}"
    );
}

/// A table is told how many names it is to have room for, and panics when told of more than it can have.
#[test]
fn as_many_fields_of_one_name_as_a_table_holds_make_one() {
    let mut table = HeaderMap::new();
    for _ in 0..30_000 {
        table.append(HOST, value("h"));
    }
    let fields = Fields::from(table);
    assert_eq!(fields.len(), 30_000);
    assert_eq!(HeaderMap::from(fields).len(), 30_000);
}

#[test]
fn a_sensitive_value_stays_one() {
    let mut fields = Fields::new();
    let mut secret = value("s");
    secret.set_sensitive(true);
    fields.append(COOKIE, secret);
    assert!(HeaderMap::from(fields)[COOKIE].is_sensitive());
}

#[test]
fn room_is_used_again_and_holds_nothing_of_what_it_held() {
    SPARE.take();
    let first = came("host: h\naccept: a");
    let room = first.all.capacity();
    assert!(room >= USUAL_FIELDS);
    drop(first);
    let Places(second) = Places::new();
    assert_eq!((second.len(), second.all.capacity()), (0, room));
    assert!(second.head.is_empty() && SPARE.take().is_empty());
}

#[test]
fn neither_large_room_nor_too_much_of_it_is_kept() {
    SPARE.take();
    let all: Vec<Places> = (0..=MOST_KEPT).map(|_| Places::new()).collect();
    drop(all);
    assert_eq!(SPARE.take().len(), MOST_KEPT);
    drop(Fields::new());
    let mut large = Fields::new();
    for _ in 0..=MOST_FIELDS_KEPT {
        large.append(HOST, value("h"));
    }
    drop(large);
    assert!(SPARE.take().is_empty());
}
