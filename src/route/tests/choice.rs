//! Which of several routes is taken (SECURITY S4), and what goes on.

use rstest::rstest;

use super::*;

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
