//! Each profile against every route that its server has. A list's head says which source it was checked against.

use rstest::rstest;

use super::*;

/// One route of a server: `METHOD PATH  CLASS`; a host may stand before the path.
struct Row {
    method: Method,
    host: String,
    path: &'static str,
    class: &'static str,
}

const ANTHROPIC: &str = include_str!("servers/anthropic.txt");
const BASETEN: &str = include_str!("servers/baseten.txt");
const LLAMA_CPP: &str = include_str!("servers/llama_cpp.txt");
const OLLAMA: &str = include_str!("servers/ollama.txt");
const OPENAI: &str = include_str!("servers/openai.txt");
const SGLANG: &str = include_str!("servers/sglang.txt");
const TGI: &str = include_str!("servers/tgi.txt");
const TRITON: &str = include_str!("servers/triton.txt");
const VLLM: &str = include_str!("servers/vllm.txt");

fn rows(list: &'static str) -> Vec<Row> {
    let lines = list.lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (method, rest) = line.split_once(' ').expect("a method");
            let (place, class) = rest.split_once(' ').expect("a path");
            let (host, path) = place.split_at(place.find('/').expect("a path"));
            Row {
                method: method.parse().expect("a method"),
                host: sample(if host.is_empty() { "any" } else { host }),
                path,
                class: class.trim(),
            }
        })
        .collect()
}

/// What stands where a pattern has a placeholder.
fn sample(pattern: &str) -> String {
    pattern
        .replace("{model}", "m1")
        .replace("{env}", "eu")
        .replace("{id}", "7")
}

/// Whether the pattern of a server's own route takes a path.
fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, path) = (pattern.split('/'), path.split('/'));
    pattern.clone().count() == path.clone().count()
        && pattern
            .zip(path)
            .all(|(pattern, path)| pattern.starts_with('{') || pattern == path)
}

fn table(profile: Profile, model: Option<&str>) -> (Vec<RouteConfig>, RouteTable) {
    let config = ProfileConfig {
        profile,
        upstream: None,
        host: None,
        model: model.map(str::to_owned),
    };
    let routes = super::super::profile(&config, "model");
    let table = compile(&routes);
    (routes, table)
}

/// The class that a request is given.
fn class_of(table: &RouteTable, method: &Method, host: &str, path: &str) -> String {
    let Ok(matched) = table.find(method, RequestHost::parse(host).unwrap(), path) else {
        return "closed".to_owned();
    };
    let places = &matched.route.places;
    let class = match (&matched.route.class, places.body, places.form) {
        (RouteClass::Models, ..) => "models",
        (RouteClass::Metrics, ..) => "metrics",
        (RouteClass::LabelledMetrics(label), ..) => return format!("metrics by {label}"),
        (RouteClass::Call, true, true) => "body or form",
        (RouteClass::Call, true, false) => "body",
        (RouteClass::Call, false, true) => "form",
        (RouteClass::Call, false, false) => match matched.model() {
            NamedModel::Named(model) => {
                assert_eq!(model.as_str(), "m1", "{path}");
                "path"
            }
            NamedModel::NotNamed => "unnamed",
            NamedModel::NotNeeded => "nothing",
            NamedModel::Differ => "differ",
        },
    };
    class.to_owned()
}

#[rstest]
#[case::anthropic(Profile::Anthropic, ANTHROPIC, 120)]
#[case::baseten(Profile::Baseten, BASETEN, 76)]
#[case::llama_cpp(Profile::LlamaCpp, LLAMA_CPP, 50)]
#[case::ollama(Profile::Ollama, OLLAMA, 34)]
#[case::openai(Profile::Openai, OPENAI, 250)]
#[case::sglang(Profile::Sglang, SGLANG, 100)]
#[case::tgi(Profile::Tgi, TGI, 24)]
#[case::triton(Profile::Triton, TRITON, 40)]
#[case::vllm(Profile::Vllm, VLLM, 70)]
fn every_route_of_a_server_has_the_class_that_its_list_gives_it(
    #[case] profile: Profile,
    #[case] list: &'static str,
    #[case] at_least: usize,
) {
    let (routes, table) = table(profile, None);
    let rows = rows(list);
    assert!(rows.len() >= at_least, "{} rows", rows.len());
    for row in &rows {
        let path = sample(row.path);
        let found = class_of(&table, &row.method, &row.host, &path);
        assert_eq!(found, row.class, "{} {}{path}", row.method, row.host);
    }
    // No other method, and nothing below.
    for row in &rows {
        let path = sample(row.path);
        for method in [
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
            Method::OPTIONS,
        ] {
            let is_listed = rows.iter().any(|other| {
                other.method == method && other.host == row.host && fits(other.path, &path)
            });
            let found = class_of(&table, &method, &row.host, &path);
            assert!(is_listed || found == "closed", "{method} {path}: {found}");
            let below = format!("{}/x/y/z/u/v", path.trim_end_matches('/'));
            assert_eq!(class_of(&table, &method, &row.host, &below), "closed");
        }
    }
    // Nothing is opened that the server does not have. (Baseten's table opens more: see `built_in`.)
    for route in routes.iter().filter(|_| profile != Profile::Baseten) {
        for method in &route.methods {
            let is_listed = rows
                .iter()
                .any(|row| row.method == **method && row.path == route.path);
            assert!(is_listed, "{method} {}", route.path);
        }
    }
}

/// What a server answers with its one model, whatever it is asked for, is that model's.
#[rstest]
#[case(Profile::Sglang, Method::POST, "/generate")]
#[case(Profile::Sglang, Method::POST, "/v1/chat/completions")]
#[case(Profile::Sglang, Method::GET, "/v1/models")]
#[case(Profile::Sglang, Method::GET, "/metrics")]
#[case(Profile::Tgi, Method::POST, "/")]
#[case(Profile::Tgi, Method::GET, "/metrics")]
#[case(Profile::LlamaCpp, Method::POST, "/completion")]
#[case(Profile::LlamaCpp, Method::GET, "/metrics")]
fn a_profile_of_one_model_names_it_everywhere(
    #[case] profile: Profile,
    #[case] method: Method,
    #[case] path: &str,
) {
    let (_, table) = table(profile, Some("m9"));
    let mut matched = table.find(&method, host("any"), path).unwrap();
    assert_eq!(matched.model(), NamedModel::Named(ModelId::new("m9")));
    assert_eq!(matched.route.fixed_model(), Some("m9"));
    matched.also_names("m8".into());
    assert_eq!(matched.model(), NamedModel::Differ);
}

#[test]
fn whether_a_server_lives_is_about_no_model() {
    let (_, table) = table(Profile::Vllm, Some("m9"));
    let matched = table.find(&Method::GET, host("any"), "/health").unwrap();
    assert_eq!(matched.model(), NamedModel::NotNeeded);
}

/// Metrics without labels are about whatever the server serves, whatever else a request names.
#[test]
fn a_host_does_not_say_whose_metrics_are_read() {
    let mut routes = table(Profile::Tgi, None).0;
    routes.push(route(Some("model-{model}.example.com"), "/predict"));
    let table = compile(&routes);
    let host = host("model-m1.example.com");
    let metrics = table.find(&Method::GET, host, "/metrics").unwrap();
    assert_eq!(metrics.model(), NamedModel::NotNamed);
    let list = table.find(&Method::GET, host, "/v1/models").unwrap();
    assert_eq!(list.model(), NamedModel::Named(ModelId::new("m1")));
}
