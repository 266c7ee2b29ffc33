//! Models in headers and in the query (SECURITY S5 to S7, S12).

use http::{HeaderMap, HeaderName, HeaderValue};
use rstest::rstest;

use super::*;

/// What a request with these header lines and this query comes to.
fn read(table: &RouteTable, path: &str, lines: &str, query: &str) -> String {
    let mut headers = HeaderMap::new();
    for line in lines.split(" | ").filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let headers = Fields::from(headers);
    let mut matched = table.find(&Method::POST, host("h"), path).unwrap();
    match matched.read_head(&headers, Some(query).filter(|query| !query.is_empty())) {
        Err(_) => "400".to_owned(),
        Ok(()) => match matched.model() {
            NamedModel::Named(model) => model.as_str().to_owned(),
            NamedModel::Differ => "403".to_owned(),
            unnamed => format!("({unnamed:?})"),
        },
    }
}

#[rstest]
#[case::named("x-model-id: m1", "m1")]
#[case::slash("x-model-id: meta/llama", "meta/llama")]
#[case::capitals("x-model-id: M1", "M1")]
#[case::not_ascii("x-model-id: é", "é")]
#[case::absent("x-other: m1", "(NotNamed)")]
#[case::twice("x-model-id: m1 | x-model-id: m1", "400")]
#[case::two("x-model-id: m1 | x-model-id: m2", "400")]
#[case::a_list("x-model-id: m1, m2", "400")]
#[case::a_list_of_one("x-model-id: m1,", "400")]
#[case::empty("x-model-id: ", "400")]
#[case::tab("x-model-id: m\t1", "400")]
#[case::underscores("x-model-id: m1 | x_model_id: m2", "400")]
#[case::underscores_alone("x_model_id: m1", "400")]
#[case::dots("x-model-id: m1 | x.model-id: m1", "400")]
#[case::another_length("x-model-id: m1 | x-model-idx: m2", "m1")]
fn a_header_names_one_model(#[case] lines: &str, #[case] expected: &str) {
    let table = compile(&[RouteConfig {
        model_in: vec![ModelPlace::Header("X-Model-Id".to_owned())],
        ..route(None, "/run")
    }]);
    assert_eq!(read(&table, "/run", lines, ""), expected);
}

#[rstest]
#[case::named("model=m1", "m1")]
#[case::among_others("a=1&model=m1&b=", "m1")]
#[case::escaped("model=meta%2Fllama", "meta/llama")]
#[case::escaped_not_ascii("model=%C3%A9", "é")]
#[case::escaped_percent("model=%2541", "%41")]
#[case::equals("model=a=b", "a=b")]
#[case::absent("a=1", "(NotNamed)")]
#[case::no_query("", "(NotNamed)")]
#[case::longer_name("models=x&model_=y", "(NotNamed)")]
#[case::twice("model=m1&model=m1", "400")]
#[case::two("model=m1&model=m2", "400")]
#[case::no_value("model", "400")]
#[case::empty("model=", "400")]
#[case::plus("model=a+b", "400")]
#[case::semicolon("model=m1;model=m2", "400")]
#[case::semicolon_before("a=1;model=m2&model=m1", "400")]
#[case::broken_escape("model=%4", "400")]
#[case::no_hex("model=%zz", "400")]
#[case::not_utf8("model=%ff", "400")]
#[case::overlong("model=%c0%af", "400")]
#[case::nul("model=m1%00", "400")]
#[case::line_end("model=m1%0d%0a", "400")]
#[case::name_in_capitals("Model=m2&model=m1", "400")]
#[case::name_in_capitals_alone("MODEL=m1", "400")]
#[case::name_escaped("mod%65l=m2&model=m1", "400")]
#[case::name_escaped_alone("%6dodel=m1", "400")]
#[case::name_cut("model%00=m2&model=m1", "400")]
#[case::name_of_a_list("model[]=m2&model=m1", "400")]
#[case::name_of_a_list_escaped("model%5B0%5D=m2&model=m1", "400")]
#[case::name_with_a_space("+model=m2&model=m1", "400")]
#[case::name_with_an_escaped_space("model%20=m2&model=m1", "400")]
fn a_query_names_one_model(#[case] query: &str, #[case] expected: &str) {
    let table = compile(&[RouteConfig {
        model_in: vec![ModelPlace::Query("model".to_owned())],
        ..route(None, "/run")
    }]);
    assert_eq!(read(&table, "/run", "", query), expected);
}

#[rstest]
#[case::header("x-m: m1", "", "m1")]
#[case::query("", "model=m1", "m1")]
#[case::both("x-m: m1", "model=m1", "m1")]
#[case::neither("", "", "m1")]
#[case::header_differs("x-m: m2", "", "403")]
#[case::query_differs("", "model=m2", "403")]
#[case::one_differs("x-m: m1", "model=m2", "403")]
#[case::both_differ("x-m: m2", "model=m2", "403")]
fn all_places_agree_with_the_path_and_with_a_fixed_model(
    #[case] lines: &str,
    #[case] query: &str,
    #[case] expected: &str,
) {
    let places = vec![
        ModelPlace::Header("x-m".to_owned()),
        ModelPlace::Query("model".to_owned()),
    ];
    let table = compile(&[
        RouteConfig {
            model_in: places.clone(),
            ..route(None, "/models/{model}/run")
        },
        RouteConfig {
            model_in: places,
            model: ModelConfig::Fixed("m1".to_owned()),
            ..route(None, "/fixed")
        },
    ]);
    assert_eq!(read(&table, "/models/m1/run", lines, query), expected);
    assert_eq!(read(&table, "/fixed", lines, query), expected);
}

#[test]
fn a_place_that_no_route_names_is_not_read() {
    let table = compile(&[route(None, "/models/{model}/run")]);
    assert_eq!(
        read(&table, "/models/m1/run", "x-model-id: m2", "model=m3"),
        "m1"
    );
}
