//! Paths: the model that we find is the one that every server finds, whatever its habits.

use std::sync::LazyLock;

use http::Method;
use http::uri::PathAndQuery;
use keyward::key::{ModelId, NamedModel};
use keyward::route::{ErrorForm, ModelConfig, RequestHost, RouteClass, RouteConfig, RouteTable};

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

/// No habit of a server, nor several one after the other, makes it another model.
pub fn law(input: &[u8]) {
    let Ok(target) = PathAndQuery::from_maybe_shared(bytes::Bytes::copy_from_slice(input)) else {
        return;
    };
    let host = RequestHost::parse("h").expect("a host");
    let Ok(found) = TABLE.find(&Method::POST, host, target.path()) else {
        return;
    };
    let is_open = target.path().starts_with("/open/");
    let holds = |read: &[u8]| match found.model() {
        // What is between the two segments of ours is the model, its slashes decoded.
        NamedModel::Named(model) if is_open => {
            decode(read) == format!("/open/{}/predict", model.as_str()).as_bytes()
        }
        _ => !is_open && read == target.path().as_bytes(),
    };
    // Every reading that habits lead to; there are few, or one of them is wrong.
    let mut readings = vec![target.path().as_bytes().to_vec()];
    let mut next = 0;
    while let Some(read) = readings.get(next).cloned() {
        for (habit, apply) in HABITS {
            let read = apply(&read);
            assert!(
                holds(&read),
                "{}: {habit}: {}",
                target.path(),
                read.escape_ascii()
            );
            if !readings.contains(&read) {
                readings.push(read);
            }
        }
        next += 1;
    }
    let segments: Vec<&str> = target.path().split('/').collect();
    if let ["", "models", model, "predict"] = segments[..] {
        assert_eq!(found.model(), NamedModel::Named(ModelId::new(model)));
    }
}
