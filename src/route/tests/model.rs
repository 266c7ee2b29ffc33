//! Which model a request names when several places name one (SECURITY S6, S12).

use rstest::rstest;

use super::*;

#[rstest]
#[case::same("model-m1.example.com", "/models/m1/predict", "m1 as it came")]
#[case::differ("model-m1.example.com", "/models/m2/predict", "403")]
#[case::differ_stripped("model-m1.example.com", "/models/m2/v1/chat/completions", "403")]
#[case::differ_in_a_region("model-m1-eu.example.com", "/models/m2/predict", "403")]
#[case::differ_from_a_chain("chain-m1.example.com", "/models/m2/predict", "403")]
#[case::differ_in_case("model-M1.example.com", "/models/M1/predict", "403")]
#[case::agree_in_lower_case("model-M1.example.com", "/models/m1/predict", "m1 as it came")]
fn host_and_path_name_one_model(#[case] host: &str, #[case] path: &str, #[case] expected: &str) {
    assert_eq!(post(built_in(), host, path), expected);
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
