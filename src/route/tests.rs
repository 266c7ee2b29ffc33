//! Which route a request takes and which model it names: a table for each row of SECURITY 3.3 that path, host and method
//! decide (S1 to S6, S12), and laws.

use http::Method;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use rstest::rstest;
use snapbox::str;

use super::*;

fn route(host: Option<&str>, path: &str) -> RouteConfig {
    RouteConfig {
        host: host.map(str::to_owned),
        path: path.to_owned(),
        methods: Vec::new(),
        upstream: "model".to_owned(),
        forward: None,
        model: ModelConfig::Named,
        encoded_slash: false,
        errors: None,
    }
}

fn compile(routes: &[RouteConfig]) -> RouteTable {
    RouteTable::compile(routes, ErrorForm::Problem, &["model"]).unwrap()
}

fn built_in() -> RouteTable {
    compile(&baseten("model"))
}

fn host(text: &str) -> RequestHost<'_> {
    RequestHost::parse(text).unwrap()
}

/// What a request comes to: the model it names and the target that goes on; or why not.
fn outcome(table: &RouteTable, method: &Method, host: &str, path: &str) -> String {
    let host = RequestHost::parse(host).unwrap();
    match table.find(method, host, path) {
        Ok(matched) => {
            let model = match matched.model() {
                NamedModel::Named(model) => model.as_str().to_owned(),
                NamedModel::Differ => return "403".to_owned(),
                unnamed => format!("({unnamed:?})"),
            };
            match &matched.forward {
                Forward::AsItCame => format!("{model} as it came"),
                Forward::Rewritten(rewritten) => {
                    format!("{model} {}", rewritten.path_and_query(None))
                }
            }
        }
        Err(NoRoute::NotFound) => "404".to_owned(),
        Err(NoRoute::MethodNotAllowed(allow)) => format!("405 {allow}"),
        Err(NoRoute::NotCanonical(_)) => "400".to_owned(),
    }
}

fn post(table: &RouteTable, host: &str, path: &str) -> String {
    outcome(table, &Method::POST, host, path)
}

#[rstest]
#[case("any", "/models/m1/v1/chat/completions", "m1 /v1/chat/completions")]
#[case(
    "any",
    "/models/m1/v1/messages/count_tokens",
    "m1 /v1/messages/count_tokens"
)]
#[case("any", "/models/m1/predict", "m1 as it came")]
#[case("any", "/models/m1/environments/staging/predict", "m1 as it came")]
#[case("any", "/model_versions/v1/predict", "v1 as it came")]
#[case("any", "/v1/chat/completions", "(NotNamed) as it came")]
#[case("model-m1.api.example.com", "/v1/chat/completions", "m1 as it came")]
#[case("model-m1.api.example.com", "/production/predict", "m1 as it came")]
#[case(
    "model-m1.api.example.com",
    "/deployment/d1/async_predict",
    "m1 as it came"
)]
#[case(
    "model-m1.api.example.com",
    "/environments/production/sync/v1/embeddings",
    "m1 /v1/embeddings"
)]
#[case(
    "model-m1.api.example.com",
    "/environments/production/sync/v1/messages",
    "m1 /v1/messages"
)]
#[case("model-m1-prod-us.api.example.com", "/predict", "m1 as it came")]
#[case(
    "model-m1-prod-us.api.example.com",
    "/sync/v1/completions",
    "m1 /v1/completions"
)]
#[case("chain-c1.api.example.com", "/production/run_remote", "c1 as it came")]
#[case("chain-c1-eu.api.example.com", "/run_remote", "c1 as it came")]
// A regional host names the environment itself.
#[case("model-m1-eu.api.example.com", "/production/predict", "404")]
#[case("model-m1.api.example.com", "/predict", "404")]
#[case("any", "/production/predict", "404")]
fn the_built_in_table_reads_the_model_from_host_and_path(
    #[case] host: &str,
    #[case] path: &str,
    #[case] expected: &str,
) {
    assert_eq!(post(&built_in(), host, path), expected);
}

#[rstest]
#[case("/")]
#[case("/metrics")]
#[case("/v1")]
#[case("/v1/load_lora_adapter")]
#[case("/v1/unload_lora_adapter")]
#[case("/sleep")]
#[case("/wake_up")]
#[case("/v2/repository/models/m1/load")]
#[case("/models/m1")]
#[case("/models/m1/metrics")]
#[case("/models/m1/v1/load_lora_adapter")]
#[case("/production/sync/metrics")]
#[case("/production/sync/v1/load_lora_adapter")]
#[case("/async_request/r1")]
#[case("/admin")]
fn an_administrative_path_stays_closed(#[case] path: &str) {
    for host in [
        "any",
        "model-m1.api.example.com",
        "model-m1-eu.api.example.com",
    ] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            assert_eq!(
                outcome(&built_in(), &method, host, path),
                "404",
                "{method} {host}"
            );
        }
    }
}

#[rstest]
#[case::escaped_letter("/models/%6d1/predict")]
#[case::escaped_slash("/models/m1%2fpredict")]
#[case::escaped_slash_in_the_model("/models/a%2Fm1/predict")]
#[case::escaped_backslash("/models/m1%5cpredict")]
#[case::nul("/models/m1%00/predict")]
#[case::twice_escaped("/models/m1%252fpredict")]
#[case::overlong("/models/m1%c0%afpredict")]
#[case::percent_u("/models/m1%u002fpredict")]
#[case::half_an_escape("/models/m1%2/predict")]
#[case::percent_at_the_end("/models/m1/predict%")]
#[case::dot("/models/./m1/predict")]
#[case::dot_dot("/models/m2/../m1/predict")]
#[case::dot_dot_first("/../models/m1/predict")]
#[case::dot_dot_last("/models/m1/predict/..")]
#[case::escaped_dot_dot("/models/m2/%2e%2e/m1/predict")]
#[case::half_escaped_dot_dot("/models/m2/.%2E/m1/predict")]
#[case::escaped_dots_and_slashes("/models/m2/..%2fm1/predict")]
#[case::three_dots("/models/.../predict")]
#[case::empty_segment("/models//m1/predict")]
#[case::empty_first_segment("//models/m1/predict")]
#[case::closing_slash("/models/m1/predict/")]
#[case::only_slashes("//")]
#[case::parameter("/models/m1;m=m2/predict")]
#[case::parameter_with_dots("/models/m2/..;/m1/predict")]
#[case::backslash("/models/m2\\..\\m1/predict")]
#[case::fragment("/models/m1/predict#/models/m2/predict")]
#[case::question_mark("/models/m1/predict?")]
#[case::eight_bit("/models/m\u{fc}/predict")]
#[case::wide_slash("/models/m1\u{ff0f}predict")]
#[case::control("/models/m1\u{1}/predict")]
#[case::tab("/models/m1\t/predict")]
#[case::space("/models/m1 /predict")]
#[case::trailing_dot("/models/m1./predict")]
#[case::trailing_dot_last("/models/m1/predict.")]
#[case::escaped_trailing_space("/models/m1%20/predict")]
#[case::no_slash("models/m1/predict")]
#[case::star("*")]
#[case::nothing("")]
#[case::absolute("http://any/models/m1/predict")]
fn a_path_with_two_readings_is_refused_whatever_the_route(#[case] path: &str) {
    let open = compile(&[route(None, "/{rest}"), route(None, "/")]);
    for table in [built_in(), open] {
        assert_eq!(post(&table, "any", path), "400");
    }
}

#[rstest]
#[case("/models/m1/v1/chat/completions")]
#[case("/")]
#[case("/a")]
#[case("/.well-known/x")]
#[case("/..a/a..b")]
#[case("/v1beta/models/gemini-1.5:generateContent")]
#[case("/~user/a@b/(c)!$&'*+,=")]
fn a_path_with_one_reading_passes(#[case] path: &str) {
    let open = compile(&[route(None, "/{rest}"), route(None, "/")]);
    assert_eq!(post(&open, "any", path), "(NotNamed) as it came");
}

#[rstest]
#[case::as_it_came("/m/org%2Fm1/predict", "org/m1 as it came")]
#[case::small("/m/org%2fm1/predict", "org/m1 as it came")]
#[case::without("/m/m1/predict", "m1 as it came")]
#[case::rewritten("/r/org%2Fm1/predict", "org/m1 /x/org%2Fm1")]
#[case::leading("/m/%2Fm1/predict", "400")]
#[case::closing("/m/m1%2F/predict", "400")]
#[case::twice("/m/org%2F%2Fm1/predict", "400")]
#[case::dots("/m/..%2Fm1/predict", "400")]
#[case::closing_dots("/m/org%2F../predict", "400")]
#[case::another_escape("/m/org%2Fm%31/predict", "400")]
#[case::twice_escaped("/m/org%252Fm1/predict", "400")]
#[case::in_text_of_ours("/m%2Forg/predict", "400")]
#[case::in_another_placeholder("/m/m1/d%2Fe/predict", "400")]
#[case::in_the_rest("/m/m1/files/a%2Fb", "400")]
#[case::after_text_of_ours("/p/v%2Fm1/predict", "400")]
#[case::before_text_of_ours("/s/m1%2F:run", "400")]
#[case::between_text_of_ours("/s/org%2Fm1:run", "org/m1 as it came")]
fn an_encoded_slash_stands_only_in_a_model_of_a_route_that_says_so(
    #[case] path: &str,
    #[case] expected: &str,
) {
    let with_slash = |path| RouteConfig {
        encoded_slash: true,
        ..route(None, path)
    };
    let table = compile(&[
        with_slash("/m/{model}/predict"),
        with_slash("/m/{model}/{id}/predict"),
        with_slash("/m/{model}/files/{rest}"),
        with_slash("/p/v{model}/predict"),
        with_slash("/s/{model}:run"),
        RouteConfig {
            forward: Some("/x/{model}".to_owned()),
            ..with_slash("/r/{model}/predict")
        },
    ]);
    assert_eq!(post(&table, "any", path), expected);
}

#[rstest]
#[case::as_written("model-m1.api.example.com", "m1 as it came")]
#[case::port("model-m1.api.example.com:8443", "m1 as it came")]
#[case::closing_dot("model-m1.api.example.com.", "m1 as it came")]
#[case::closing_dot_and_port("model-m1.api.example.com.:80", "m1 as it came")]
#[case::capitals("MODEL-M1.API.Example.COM", "m1 as it came")]
#[case::no_model("model-.api.example.com", "404")]
#[case::no_domain("model-m1", "404")]
#[case::other_kind("models-m1.api.example.com", "404")]
#[case::not_first("x.model-m1.api.example.com", "404")]
#[case::underscore("model_m1.api.example.com", "404")]
fn a_host_is_read_without_case_port_and_closing_dot(#[case] host: &str, #[case] expected: &str) {
    assert_eq!(post(&built_in(), host, "/production/predict"), expected);
}

#[rstest]
#[case("")]
#[case(".")]
#[case(":80")]
#[case("a b")]
#[case(" a")]
#[case("a,b")]
#[case("a, b")]
#[case("a;b")]
#[case("user@a")]
#[case("user:pass@a")]
#[case("http://a")]
#[case("a/b")]
#[case("a?b")]
#[case("a#b")]
#[case("a\\b")]
#[case("a%2eb")]
#[case("a..b")]
#[case(".a")]
#[case("a..")]
#[case("a:b")]
#[case("a:80:80")]
#[case("a:65536")]
#[case("a:+80")]
#[case("a:80 ")]
#[case("a\u{0}")]
#[case("m\u{fc}")]
#[case("::1")]
#[case("[::1")]
#[case("[::1]a")]
#[case("[::1]80")]
#[case("[]")]
#[case("[1.2.3.4]")]
#[case("[fe80::1%25eth0]")]
#[case("[v1.x]")]
#[case("*.example.com")]
fn what_is_no_host_is_refused(#[case] text: &str) {
    assert!(RequestHost::parse(text).is_none());
}

#[rstest]
#[case("a", "a")]
#[case("A.b.", "A.b")]
#[case("a:", "a")]
#[case("a.b:80", "a.b")]
#[case("127.0.0.1:1", "127.0.0.1")]
#[case("[::1]", "[::1]")]
#[case("[2001:db8::1]:8080", "[2001:db8::1]")]
#[case("x_y-z.0", "x_y-z.0")]
fn a_host_is_its_name_without_port(#[case] text: &str, #[case] name: &str) {
    assert_eq!(host(text).name(), name);
}

#[rstest]
#[case("a", "A.", true)]
#[case("a:80", "a:80", true)]
#[case("a:80", "a", true)]
#[case("a", "a:443", true)]
#[case("a:", "a", true)]
#[case("a:8080", "a", false)]
#[case("a:80", "a:443", false)]
#[case("a", "b", false)]
#[case("a", "a.b", false)]
fn two_hosts_agree_when_name_and_port_do(
    #[case] one: &str,
    #[case] other: &str,
    #[case] same: bool,
) {
    assert_eq!(host(one).is_same_as(host(other)), same);
    assert_eq!(host(other).is_same_as(host(one)), same);
}

#[rstest]
#[case::same("model-m1.example.com", "/models/m1/predict", "m1 as it came")]
#[case::differ("model-m1.example.com", "/models/m2/predict", "403")]
#[case::differ_stripped("model-m1.example.com", "/models/m2/v1/chat/completions", "403")]
#[case::differ_in_a_region("model-m1-eu.example.com", "/models/m2/predict", "403")]
#[case::differ_from_a_chain("chain-m1.example.com", "/models/m2/predict", "403")]
#[case::differ_in_case("model-M1.example.com", "/models/M1/predict", "403")]
#[case::agree_in_lower_case("model-M1.example.com", "/models/m1/predict", "m1 as it came")]
fn host_and_path_name_one_model(#[case] host: &str, #[case] path: &str, #[case] expected: &str) {
    assert_eq!(post(&built_in(), host, path), expected);
}

#[rstest]
#[case::alone("other", "/run", "fixed as it came")]
#[case::host_agrees("model-fixed.x", "/run", "fixed as it came")]
#[case::host_differs("model-m1.x", "/run", "403")]
#[case::host_narrower_than_the_placeholder("model-own.x", "/run", "fixed as it came")]
#[case::rest_agrees("own.x", "/models/fixed/predict", "fixed as it came")]
#[case::rest_differs("own.x", "/models/m1/predict", "403")]
#[case::rest_names_none("own.x", "/files/a", "fixed as it came")]
fn a_fixed_model_agrees_with_what_host_and_path_name(
    #[case] host: &str,
    #[case] path: &str,
    #[case] expected: &str,
) {
    let fixed = |host, path| RouteConfig {
        model: ModelConfig::Fixed("fixed".to_owned()),
        ..route(host, path)
    };
    let table = compile(&[
        fixed(None, "/run"),
        fixed(Some("own.x"), "/{rest}"),
        fixed(Some("model-own.x"), "/run"),
        route(None, "/models/{model}/predict"),
        route(Some("model-{model}.*"), "/predict"),
    ]);
    assert_eq!(post(&table, host, path), expected);
}

#[rstest]
#[case::names_none("other", "/health", "(NotNeeded) as it came")]
#[case::host_names_one("model-m1.x", "/health", "m1 as it came")]
#[case::rest_names_one("other", "/open/models/m1", "m1 as it came")]
#[case::rest_names_none("other", "/open/list", "(NotNeeded) as it came")]
#[case::no_word_of_the_route("other", "/closed/list", "(NotNamed) as it came")]
fn a_model_that_is_named_counts_even_where_none_is_needed(
    #[case] host: &str,
    #[case] path: &str,
    #[case] expected: &str,
) {
    let not_needed = |host, path| RouteConfig {
        model: ModelConfig::NotNeeded,
        ..route(host, path)
    };
    let table = compile(&[
        not_needed(None, "/health"),
        not_needed(Some("other"), "/open/{rest}"),
        route(None, "/open/models/{model}"),
        route(None, "/closed/{rest}"),
        route(Some("model-{model}.*"), "/predict"),
    ]);
    assert_eq!(post(&table, host, path), expected);
}

#[rstest]
#[case(Method::POST, "/models/m1/predict", "m1 as it came")]
#[case(Method::GET, "/models/m1/predict", "405 POST")]
#[case(Method::HEAD, "/models/m1/v1/models", "405 GET")]
#[case(
    Method::CONNECT,
    "/any/m1",
    "405 DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
)]
#[case(
    Method::TRACE,
    "/any/m1",
    "405 DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
)]
#[case(Method::DELETE, "/any/m1", "m1 as it came")]
#[case(Method::PATCH, "/any/m1", "m1 as it came")]
#[case(Method::from_bytes(b"PURGE").unwrap(), "/any/m1", "m1 as it came")]
#[case(Method::from_bytes(b"post").unwrap(), "/models/m1/predict", "405 POST")]
#[case::closed_there("DELETE".parse().unwrap(), "/wide/narrow", "405 GET, PUT")]
#[case::open_there(Method::PUT, "/wide/narrow", "(NotNamed) as it came")]
#[case::open_here(Method::DELETE, "/wide/other", "(NotNamed) as it came")]
fn a_method_is_taken_as_written_and_never_by_a_wider_route(
    #[case] method: Method,
    #[case] path: &str,
    #[case] expected: &str,
) {
    let only = |methods: &[&str], path| RouteConfig {
        methods: methods.iter().map(|&method| method.to_owned()).collect(),
        ..route(None, path)
    };
    let mut routes = baseten("model");
    routes.extend([
        route(None, "/any/{model}"),
        route(None, "/wide/{rest}"),
        only(&["GET"], "/wide/narrow"),
        only(&["PUT"], "/wide/narrow"),
    ]);
    assert_eq!(outcome(&compile(&routes), &method, "any", path), expected);
}

#[rstest]
#[case::exact_host("a.b.c", "/x", 0)]
#[case::placeholder_host("model-m.b", "/x", 1)]
#[case::star_first("y.b.c", "/x", 3)]
#[case::more_text("y.a.b.c", "/x", 2)]
#[case::star_last("z.b", "/x", 4)]
#[case::any_host("other", "/x", 5)]
#[case::host_before_path("z.b", "/x/y", 6)]
#[case::path_text("other", "/x/y", 7)]
#[case::path_text_around("other", "/x/v1", 8)]
#[case::path_placeholder("other", "/x/z", 9)]
#[case::path_rest("other", "/x/y/z", 10)]
fn the_narrowest_route_is_taken(#[case] host_text: &str, #[case] path: &str, #[case] line: usize) {
    let lines = [
        (Some("a.b.c"), "/x"),
        (Some("model-{model}.b"), "/x"),
        (Some("*.a.b.c"), "/x"),
        (Some("*.b.c"), "/x"),
        (Some("z.*"), "/x"),
        (None, "/x"),
        (Some("z.*"), "/{rest}"),
        (None, "/x/y"),
        (None, "/x/v{id}"),
        (None, "/x/{id}"),
        (None, "/x/{rest}"),
    ];
    let names: Vec<String> = (0..lines.len()).map(|line| format!("u{line}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let routes = lines
        .iter()
        .zip(&names)
        .map(|((host, path), name)| RouteConfig {
            upstream: (*name).to_owned(),
            ..route(*host, path)
        });
    let routes: Vec<RouteConfig> = routes.collect();
    let table = RouteTable::compile(&routes, ErrorForm::Problem, &names).unwrap();
    let matched = table.find(&Method::GET, host(host_text), path).unwrap();
    assert_eq!(matched.route.upstream, UpstreamId(line));
}

#[rstest]
#[case("/a/{model}/{id}/{rest}", "/b/{rest}", "/a/m/i/r/s", "m /b/r/s")]
#[case("/a/{model}/{id}", "/{id}/x{model}y", "/a/m/i", "m /i/xmy")]
#[case("/a/{model}", "/", "/a/m", "m /")]
#[case(
    "/v1beta/models/{model}:run",
    "/{model}/run",
    "/v1beta/models/m:run",
    "m /m/run"
)]
#[case("/v1beta/models/{model}:run", "/x", "/v1beta/models/m:run:run", "404")]
#[case("/v1beta/models/{model}:run", "/x", "/v1beta/models/m.:run", "404")]
#[case("/v1beta/models/{model}:run", "/x", "/v1beta/models/:run", "404")]
fn a_forwarded_path_is_made_of_what_was_matched(
    #[case] path: &str,
    #[case] forward: &str,
    #[case] asked: &str,
    #[case] expected: &str,
) {
    let table = compile(&[RouteConfig {
        forward: Some(forward.to_owned()),
        ..route(None, path)
    }]);
    assert_eq!(post(&table, "any", asked), expected);
}

#[test]
fn a_query_goes_on_as_it_came() {
    let table = built_in();
    let host = host("model-M1-Prod-US.example.com");
    let target = |path, query| match table.find(&Method::POST, host, path).unwrap().forward {
        Forward::AsItCame => "as it came".to_owned(),
        Forward::Rewritten(rewritten) => rewritten.path_and_query(query),
    };
    let query = Some("a=%2F..&b=/models/m2;c?");
    assert_eq!(
        target("/sync/v1/messages", query),
        "/v1/messages?a=%2F..&b=/models/m2;c?"
    );
    assert_eq!(target("/sync/v1/messages", None), "/v1/messages");
    assert_eq!(target("/sync/v1/messages", Some("")), "/v1/messages?");
}

#[test]
fn what_the_host_names_goes_on_in_lower_case() {
    let table = compile(&[RouteConfig {
        forward: Some("/{env}/{model}".to_owned()),
        ..route(Some("model-{model}-{env}.*"), "/predict")
    }]);
    assert_eq!(
        post(&table, "Model-M1-Prod-US.x", "/predict"),
        "m1 /prod-us/m1"
    );
}

#[rstest]
#[case("/models/m1/v1/chat/completions", ErrorForm::Openai)]
#[case("/models/m1/v1/messages", ErrorForm::Anthropic)]
#[case("/production/predict", ErrorForm::Baseten)]
#[case("/nothing", ErrorForm::Problem)]
#[case("//", ErrorForm::Problem)]
#[case("", ErrorForm::Problem)]
fn a_refusal_before_the_match_has_the_form_of_the_path(
    #[case] path: &str,
    #[case] form: ErrorForm,
) {
    assert_eq!(built_in().error_form(path), form);
}

#[test]
fn every_mistake_is_named() {
    let wrong = |change: fn(&mut RouteConfig)| {
        let mut config = route(None, "/x");
        change(&mut config);
        config
    };
    let routes = [
        wrong(|route| route.path = "x".into()),
        wrong(|route| route.path = "/a//b".into()),
        wrong(|route| route.path = "/a/".into()),
        wrong(|route| route.path = "/a/..".into()),
        wrong(|route| route.path = "/a%2Fb".into()),
        wrong(|route| route.path = "/a;b".into()),
        wrong(|route| route.path = "/{model}/{model}".into()),
        wrong(|route| route.path = "/{modle}".into()),
        wrong(|route| route.path = "/{tenant}".into()),
        wrong(|route| route.path = "/{model".into()),
        wrong(|route| route.path = "/{model}{id}".into()),
        wrong(|route| route.path = "/{rest}/a".into()),
        wrong(|route| route.path = "/a{rest}".into()),
        wrong(|route| route.path = "/{model}:a.".into()),
        wrong(|route| route.host = Some(String::new())),
        wrong(|route| route.host = Some("*".into())),
        wrong(|route| route.host = Some("*.a.*".into())),
        wrong(|route| route.host = Some("a.*.b".into())),
        wrong(|route| route.host = Some("a:80".into())),
        wrong(|route| route.host = Some("[::1]:80".into())),
        wrong(|route| route.host = Some("model{model}.a".into())),
        wrong(|route| route.host = Some("{env}-{model}.a".into())),
        wrong(|route| route.host = Some("{model}.{model}".into())),
        wrong(|route| (route.host, route.path) = (Some("{env}.a".into()), "/{env}".into())),
        wrong(|route| route.methods = vec!["GET".into(), "CONNECT".into()]),
        wrong(|route| route.methods = vec!["get".into()]),
        wrong(|route| route.methods = vec!["G E T".into()]),
        wrong(|route| route.upstream = "modle".into()),
        wrong(|route| route.upstream = "other".into()),
        wrong(|route| route.forward = Some("/v1/{rest}".into())),
        wrong(|route| route.forward = Some("v1".into())),
        wrong(|route| route.encoded_slash = true),
        wrong(|route| route.model = ModelConfig::Fixed(String::new())),
        wrong(|route| (route.path, route.model) = ("/{model}".into(), ModelConfig::NotNeeded)),
        wrong(|route| (route.host, route.upstream) = (Some("a b".into()), "nobody".into())),
        wrong(|_| ()),
        wrong(|_| ()),
    ];
    let mistakes = RouteTable::compile(&routes, ErrorForm::Problem, &["model"]).unwrap_err();
    let mistakes: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    snapbox::assert_data_eq!(
        mistakes.join("\n"),
        str![[r"
routes[0].path: a path begins with `/`
routes[1].path: a segment is empty
routes[2].path: a segment is empty
routes[3].path: a segment ends with a dot
routes[4].path: a path may not hold `%`
routes[5].path: a path may not hold `;`
routes[6].path: `{model}` appears twice
routes[7].path: `{modle}` is no placeholder; did you mean `{model}`?
routes[8].path: `{tenant}` is no placeholder; there are `{model}`, `{env}`, `{id}` and `{rest}`
routes[9].path: `{model`: a brace is not closed
routes[10].path: `{model}{id}`: one placeholder for each segment
routes[11].path: `{rest}` stands only at the end
routes[12].path: `{rest}` stands alone
routes[13].path: a segment ends with a dot
routes[14].host: a label is empty
routes[15].host: `*` alone is every host; leave `host` out
routes[16].host: `*` stands first or last, not both
routes[17].host: `*` stands only for the first or the last labels
routes[18].host: `a:80` is no part of a host
routes[19].host: `[::1]:80` is no address
routes[20].host: `model{model}`: a host knows `{model}` and `{env}`, each alone between `-` and `.`
routes[21].host: `{env}` stands only at the end of a label
routes[22].host: `{model}` appears twice
routes[23].path: `{env}` stands in the host already
routes[24].methods: `CONNECT` is never forwarded
routes[25].methods: `get` is another method than `GET`
routes[26].methods: `G E T` is no method
routes[27].upstream: no upstream is called `modle`; did you mean `model`?
routes[28].upstream: no upstream is called `other`
routes[29].forward: neither host nor path holds `{rest}`
routes[30].forward: a path begins with `/`
routes[31].encoded_slash: the path holds no `{model}`
routes[32].model: a model id has 1 to 256 bytes
routes[33].model: the route names a model by `{model}`, so a key must be allowed to call it
routes[34].host: `a b` is no part of a host
routes[34].upstream: no upstream is called `nobody`
routes[36].path: takes the same requests as routes[35], and neither is narrower
"]]
    );
}

#[rstest]
#[case::placeholders_have_no_name((None, "/a/{model}"), (None, "/a/{id}"), true)]
#[case::text_differs((None, "/a/{model}"), (None, "/b/{model}"), false)]
#[case::text_around_may_fit_both((None, "/a{id}"), (None, "/{id}a"), true)]
#[case::text_before_differs((None, "/a{id}"), (None, "/b{id}"), false)]
#[case::text_after_differs((None, "/{id}:a"), (None, "/{id}:b"), false)]
#[case::hosts_differ((Some("a.x"), "/a"), (Some("b.x"), "/a"), false)]
#[case::hosts_differ_in_case((Some("a.x"), "/a"), (Some("A.X"), "/a"), true)]
#[case::hosts_of_one_width((Some("*.a-{model}.x"), "/a"), (Some("*.a-{env}.x"), "/a"), true)]
#[case::hosts_by_their_ends((Some("*.a.b"), "/a"), (Some("*.a.c"), "/a"), false)]
#[case::hosts_with_more_labels((Some("{model}.a"), "/a"), (Some("{model}.{env}.a"), "/a"), false)]
#[case::environments_hold_dashes((Some("a-{env}.*"), "/a"), (Some("{model}-a-{env}.*"), "/a"), true)]
#[case::models_hold_none((Some("a-{model}.*"), "/a"), (Some("a-{model}-{env}.*"), "/a"), false)]
fn two_routes_with_equal_right_are_a_mistake(
    #[case] one: (Option<&str>, &str),
    #[case] other: (Option<&str>, &str),
    #[case] equal: bool,
) {
    let routes = [route(one.0, one.1), route(other.0, other.1)];
    let compiled = RouteTable::compile(&routes, ErrorForm::Problem, &["model"]);
    assert_eq!(compiled.is_err(), equal);
}

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
        let _ = table.error_form(&path);
    }

    #[test]
    fn a_canonical_path_is_what_every_server_makes_of_it(path in any_path()) {
        if path::check_canonical(&path) == Ok(HoldsEncodedSlash(false)) {
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
            prop_assert_eq!(post(&table, &name, path), post(&table, &other, path));
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
