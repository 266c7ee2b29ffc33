//! Paths: the model that we find is the one that every server finds, whatever its habits.

use std::sync::LazyLock;

use http::Method;
use http::uri::PathAndQuery;
use keyward::key::{ModelId, NamedModel};
use keyward::route::{ErrorForm, ModelConfig, RequestHost, RouteClass, RouteConfig, RouteTable};
use proptest::prelude::*;

use super::{corpus, inputs};
use crate::support::cases;

static TABLE: LazyLock<RouteTable> = LazyLock::new(|| {
    let route = |path: &str, encoded_slash: bool| RouteConfig {
        host: None,
        path: path.to_owned(),
        methods: Vec::new(),
        upstream: "u".to_owned(),
        forward: None,
        model: ModelConfig::Named,
        model_in: Vec::new(),
        refused_members: Vec::new(),
        class: RouteClass::default(),
        encoded_slash,
        errors: None,
    };
    let routes = [
        route("/models/{model}/predict", false),
        route("/open/{model}/predict", true),
        route("/v1/models", false),
    ];
    RouteTable::compile(&routes, ErrorForm::Problem, &["u"]).expect("three routes")
});

/// What a server does to a path before it looks at it.
type Habit = fn(&[u8]) -> Vec<u8>;

const HABITS: &[(&str, Habit)] = &[
    ("decodes", decode),
    ("merges slashes", merge_slashes),
    ("resolves dots", resolve_dots),
    ("takes backslashes for slashes", |path| {
        path.iter()
            .map(|byte| if *byte == b'\\' { b'/' } else { *byte })
            .collect()
    }),
    ("cuts parameters off", |path| {
        let segments = path.split(|byte| *byte == b'/');
        let cut = |segment: &[u8]| {
            segment
                .split(|byte| *byte == b';')
                .next()
                .unwrap_or_default()
                .to_vec()
        };
        segments.map(cut).collect::<Vec<_>>().join(&b'/')
    }),
    ("ends at a NUL, a fragment or a question mark", |path| {
        path.split(|byte| matches!(byte, 0 | b'#' | b'?'))
            .next()
            .unwrap_or_default()
            .to_vec()
    }),
    ("drops dots and spaces at the ends of names", |path| {
        let segments = path.split(|byte| *byte == b'/');
        let drop = |segment: &[u8]| {
            let end = segment.iter().rposition(|byte| !b". ".contains(byte));
            segment[..end.map_or(0, |end| end + 1)].to_vec()
        };
        segments.map(drop).collect::<Vec<_>>().join(&b'/')
    }),
    ("drops what is no ASCII", |path| {
        path.iter().copied().filter(u8::is_ascii).collect()
    }),
];

fn decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = path;
    while let Some((byte, after)) = rest.split_first() {
        let digits = after
            .get(..2)
            .and_then(|digits| str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) if *byte == b'%' => {
                decoded.push(value);
                rest = &after[2..];
            }
            _ => {
                decoded.push(*byte);
                rest = after;
            }
        }
    }
    decoded
}

fn merge_slashes(path: &[u8]) -> Vec<u8> {
    let mut merged = path.to_vec();
    merged.dedup_by(|one, other| (*one, *other) == (b'/', b'/'));
    merged
}

fn resolve_dots(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for segment in path.split(|byte| *byte == b'/') {
        match segment {
            b"." => {}
            b".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    kept.join(&b'/')
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn no_habit_of_a_server_makes_it_another_model(
        input in inputs(corpus(include_str!("corpus/paths.txt")), b"/.%2fF5c;\\?#model m1"),
        habits in prop::collection::vec(prop::sample::select(HABITS), 1..6),
    ) {
        let Ok(target) = PathAndQuery::from_maybe_shared(bytes::Bytes::from(input)) else {
            return Ok(());
        };
        let host = RequestHost::parse("h").expect("a host");
        let Ok(found) = TABLE.find(&Method::POST, host, target.path()) else {
            return Ok(());
        };
        let is_open = target.path().starts_with("/open/");
        let mut read = target.path().as_bytes().to_vec();
        for (habit, apply) in habits {
            read = apply(&read);
            let told = || format!("{}: {habit}: {}", target.path(), read.escape_ascii());
            if is_open {
                // What is between the two segments of ours is the model, its slashes decoded.
                let NamedModel::Named(model) = found.model() else {
                    return Err(TestCaseError::fail("no model"));
                };
                let expected = format!("/open/{}/predict", model.as_str());
                prop_assert!(decode(&read) == expected.as_bytes(), "{}", told());
            } else {
                prop_assert!(read == target.path().as_bytes(), "{}", told());
            }
        }
        let segments: Vec<&str> = target.path().split('/').collect();
        if let ["", "models", model, "predict"] = segments[..] {
            prop_assert_eq!(found.model(), NamedModel::Named(ModelId::new(model)));
        }
    }
}
