//! What `serve --upstream` opens, and what it leaves closed (SECURITY S3).

use rstest::rstest;

use super::*;

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
#[case(
    "model-m1.api.example.com",
    "/environments/production/sync/rerank",
    "m1 /rerank"
)]
#[case("model-m1.api.example.com", "/production/sync/predict", "m1 /predict")]
#[case("model-m1-eu.api.example.com", "/sync/rerank", "m1 /rerank")]
#[case("any", "/models/m1/sync/rerank", "m1 /rerank")]
#[case("any", "/models/m1/sync/predict", "m1 /predict")]
#[case("any", "/models/m1/sync/v1/embeddings", "m1 /v1/embeddings")]
#[case("any", "/models/m1/rerank", "404")]
#[case("any", "/sync/rerank", "404")]
#[case("any", "/rerank", "404")]
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
    assert_eq!(post(built_in(), host, path), expected);
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
#[case("/production/sync/health")]
#[case("/models/m1/sync/metrics")]
#[case("/models/m1/sync/v1/load_lora_adapter")]
#[case("/models/m1/sync")]
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
                outcome(built_in(), &method, host, path),
                "404",
                "{method} {host}"
            );
        }
    }
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
    assert_eq!(built_in().error_form(None, path), form);
}
