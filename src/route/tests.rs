//! Which route a request takes, and which model it names: tables for the rows of SECURITY 3.3 that path and host
//! decide, and laws.

use http::Method;
use rstest::rstest;

use super::*;

fn table() -> RouteTable {
    RouteTable::compile(&baseten("model"), ErrorForm::Problem, &["model"]).unwrap()
}

fn host(text: &str) -> RequestHost<'_> {
    RequestHost::parse(text).unwrap()
}

/// What a `POST` leads to: the model and what goes on.
fn post(table: &RouteTable, host_text: &str, path: &str) -> Result<(String, String), NoRoute> {
    let matched = table.find(&Method::POST, host(host_text), path)?;
    let NamedModel::Named(model) = matched.model() else {
        return Ok((String::new(), String::new()));
    };
    let forward = match &matched.forward {
        Forward::AsItCame => path.to_owned(),
        Forward::Rewritten(rewritten) => rewritten.path_and_query(None),
    };
    Ok((model.as_str().to_owned(), forward))
}

#[rstest]
#[case::stripped("any", "/models/m1/v1/chat/completions", "m1", "/v1/chat/completions")]
#[case::as_it_came("any", "/models/m1/predict", "m1", "/models/m1/predict")]
#[case::host(
    "model-m1.api.example.com",
    "/production/predict",
    "m1",
    "/production/predict"
)]
#[case::region("model-m1-eu.api.example.com:8080", "/predict", "m1", "/predict")]
#[case::chain(
    "chain-m1.api.example.com.",
    "/environments/e/run_remote",
    "m1",
    "/environments/e/run_remote"
)]
#[case::sync(
    "model-m1.example.com",
    "/environments/production/sync/v1/messages",
    "m1",
    "/v1/messages"
)]
fn the_built_in_table_reads_the_model_from_host_and_path(
    #[case] host: &str,
    #[case] path: &str,
    #[case] model: &str,
    #[case] forward: &str,
) {
    let found = post(&table(), host, path);
    assert_eq!(found, Ok((model.to_owned(), forward.to_owned())));
}
