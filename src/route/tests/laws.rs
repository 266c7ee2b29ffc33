//! What holds for every path, host and table.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::route::path::check_canonical;

/// The path that remains when every habit of servers is applied: decoding, dots, parameters, doubled slashes.
fn normalised(path: &str) -> String {
    let mut decoded = Vec::new();
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let digits = bytes.clone().take(2).map(char::from).collect::<String>();
        match u8::from_str_radix(&digits, 16) {
            Ok(value) if byte == b'%' && digits.len() == 2 => {
                decoded.push(value);
                bytes.nth(1);
            }
            _ => decoded.push(byte),
        }
    }
    let decoded = String::from_utf8_lossy(&decoded).replace('\\', "/");
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split('/') {
        let segment = segment.split([';', '?', '#']).next().unwrap();
        match segment.trim_end_matches(['.', ' ']) {
            "" if segment == ".." => drop(segments.pop()),
            "" => {}
            segment => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

fn any_path() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "/", "/", "/", "models", "m1", "m2", "predict", "v1", "..", ".", "%2f", "%2F", "%2e", "%",
        ";", "\\", ":", "a", " ",
    ];
    prop::collection::vec(select(PIECES), 0..12).prop_map(|pieces| pieces.concat())
}

/// Routes that fit many of the paths and hosts below, all different.
fn many_routes() -> Vec<RouteConfig> {
    let hosts = [None, Some("h.x"), Some("model-{model}.*"), Some("*.x")];
    let paths = [
        "/{rest}",
        "/a",
        "/a/{rest}",
        "/a/{id}",
        "/a/b",
        "/{id}/b",
        "/m/{model}",
        "/m/{model}/{rest}",
        "/m/{model}/b",
    ];
    let methods: [&[&str]; 3] = [&[], &["GET"], &["POST"]];
    let mut routes = Vec::new();
    for (host, path, methods) in hosts.iter().flat_map(|host| {
        let with_method = move |path| {
            methods
                .into_iter()
                .map(move |methods| (host, path, methods))
        };
        paths.into_iter().flat_map(with_method)
    }) {
        let place = routes.len();
        routes.push(RouteConfig {
            methods: methods.iter().map(|&method| method.to_owned()).collect(),
            forward: Some(format!("/line{place}")),
            ..route(*host, path)
        });
    }
    routes
}

proptest! {
    #[test]
    fn no_bytes_panic(host: String, path: String, method in select(&[Method::GET, Method::CONNECT][..])) {
        let table = built_in();
        if let Some(host) = RequestHost::parse(&host) {
            let _ = table.find(&method, host, &path);
        }
        let _ = table.find(&method, RequestHost::parse("a").unwrap(), &path);
        let _ = table.error_form(None, &path);
    }

    #[test]
    fn a_canonical_path_is_what_every_server_makes_of_it(path in any_path()) {
        if check_canonical(&path) == Ok(HoldsEncodedSlash(false)) {
            prop_assert_eq!(normalised(&path), path);
        }
    }

    #[test]
    fn a_path_that_servers_change_finds_no_route(path in any_path()) {
        let table = compile(&[route(None, "/{rest}"), route(None, "/"), route(None, "/models/{model}/predict")]);
        if normalised(&path) != path {
            let found = table.find(&Method::POST, host("any"), &path);
            prop_assert!(matches!(found, Err(NoRoute::NotCanonical(_))));
        }
    }

    #[test]
    fn a_model_is_exactly_one_segment_of_the_path(path in any_path()) {
        let table = compile(&[route(None, "/models/{model}/predict")]);
        if let Ok(matched) = table.find(&Method::POST, host("any"), &path) {
            let segments: Vec<&str> = path.split('/').collect();
            let ["", "models", model, "predict"] = segments[..] else {
                return Err(TestCaseError::fail("another path"));
            };
            prop_assert_eq!(matched.model(), NamedModel::Named(crate::key::ModelId::new(model)));
        }
    }

    #[test]
    fn a_host_has_no_case(name in "(model|chain)-[a-zA-Z0-9]{1,4}(-[a-z-]{1,4})?[.][a-zA-Z]{1,3}", mask: u32) {
        let other: String = name.char_indices().map(|(place, char)| {
            if mask & (1 << place) == 0 { char.to_ascii_lowercase() } else { char.to_ascii_uppercase() }
        }).collect();
        let table = built_in();
        for path in ["/predict", "/production/predict", "/models/m/predict", "/sync/v1/messages"] {
            prop_assert_eq!(post(table, &name, path), post(table, &other, path));
        }
    }

    #[test]
    fn the_order_of_the_lines_means_nothing(
        (routes, shuffled) in subsequence(many_routes(), 0..40)
            .prop_flat_map(|routes| (Just(routes.clone()), Just(routes).prop_shuffle())),
        host in select(&["h.x", "model-m1.x", "y.x", "y"][..]),
        path in prop::collection::vec(select(&["a", "b", "m", "m1"][..]), 1..5).prop_map(|path| format!("/{}", path.join("/"))),
        method in select(&[Method::GET, Method::POST, Method::PUT][..]),
    ) {
        let found = outcome(&compile(&routes), &method, host, &path);
        prop_assert_eq!(outcome(&compile(&shuffled), &method, host, &path), found);
    }
}
