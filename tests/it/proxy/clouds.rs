//! Keys of clouds: tokens that are fetched ahead of calls, signatures, and the paths that calls take there.

mod tokens_over_tls;

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use keyward::clock::Clock;
use keyward::key::UnixTime;
use rcgen::{KeyPair, PKCS_RSA_SHA256};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::eventually;
use crate::support::keyward::{Doors, KeywardProcess, TestKey, TestKeyward, post};
use crate::support::raw::RawAnswer;
use crate::support::upstream::{Answer, FakeUpstream, Gate};

const ROUTES: &str = r#"
[[proxy.routes]]
path = "/v1/chat/completions"
upstream = "default"
model_in = ["body"]
[[proxy.routes]]
path = "/v1beta/models/{model}:generateContent"
upstream = "default"
[[proxy.routes]]
path = "/v1beta/models/{model}:streamGenerateContent"
upstream = "default"
[[proxy.routes]]
path = "/model/{model}/{rest}"
upstream = "default"
[[proxy.routes]]
path = "/openai/deployments/{model}/{rest}"
upstream = "default"
[[proxy.routes]]
path = "/models/{model}/{rest}"
upstream = "default"
[[proxy.routes]]
path = "/v1/{rest}"
upstream = "default"
"#;

fn clock() -> Clock {
    Clock::manual(UnixTime::from_secs(1_800_000_000))
}

fn token(text: &str) -> Answer {
    let body = json!({ "access_token": text, "token_type": "Bearer", "expires_in": 3_600 });
    Answer::new(200, body.to_string())
}

/// Settings of one key of Azure, whose tokens are fetched at `tokens`.
fn azure(tokens: &FakeUpstream) -> String {
    format!(
        r#"upstreams.default.url = "{{upstream}}"
upstreams.default.provider = "azure"
[[upstreams.default.keys]]
id = "a"
[upstreams.default.keys.azure_key_config]
client_id = "an application"
client_secret = {{ inline = "a&secret" }}
tenant_id = "tenant"
deployments = {{ "gpt-4o" = "my deployment" }}
token_url = "{}/token"
{ROUTES}"#,
        tokens.url()
    )
}

fn chat(key: &TestKey, body: &str) -> String {
    post("/v1/chat/completions", key, body).replace(
        "Content-Length",
        "Content-Type: application/json\r\nContent-Length",
    )
}

async fn call(doors: &Doors, request: String) -> RawAnswer {
    doors.raw().await.call(request).await
}

/// So many calls at once, each of which succeeds: the tokens that they were given.
async fn calls_at_once(
    keyward: &TestKeyward,
    key: &TestKey,
    count: usize,
) -> BTreeMap<String, usize> {
    let before = keyward.upstream.requests().len();
    let mut calls = JoinSet::new();
    for _ in 0..count {
        let (doors, request) = (**keyward, chat(key, r#"{"model":"gpt-4o"}"#));
        calls.spawn(async move { call(&doors, request).await.status() });
    }
    let statuses = calls.join_all().await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    let mut given = BTreeMap::new();
    for seen in keyward.upstream.requests().iter().skip(before) {
        let token = seen.header("authorization").expect("a token").to_owned();
        *given.entry(token).or_default() += 1;
    }
    given
}

#[tokio::test]
async fn a_token_of_entra_is_fetched_once_for_a_life_however_many_call() {
    let tokens = FakeUpstream::start();
    tokens.on("/token", token("first"));
    let clock = clock();
    let keyward = TestKeyward::with_clock(&azure(&tokens), clock.clone()).await;
    let key = keyward.key().await;
    // Before anybody called.
    let asked = tokens.request(0).await;
    asked.body_end().await;
    let form = String::from_utf8(asked.body()).expect("text");
    assert_eq!(
        form,
        "grant_type=client_credentials&client_id=an%20application&client_secret=a%26secret\
         &scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default"
    );
    let given = calls_at_once(&keyward, &key, 1_000).await;
    assert_eq!(given, BTreeMap::from([("Bearer first".to_owned(), 1_000)]));
    let seen = keyward.upstream.request(0).await;
    assert_eq!(
        seen.target,
        "/openai/deployments/my%20deployment/chat/completions?api-version=2024-10-21"
    );
    assert_eq!(seen.header("api-key"), None);
    assert_eq!(seen.body(), br#"{"model":"gpt-4o"}"#);

    // Five minutes before its end it is renewed, while calls go on with the old one.
    tokens.on("/token", token("second"));
    clock.advance(Duration::from_secs(3_299));
    assert_eq!(calls_at_once(&keyward, &key, 10).await.len(), 1);
    assert_eq!(tokens.requests().len(), 1);
    clock.advance(Duration::from_secs(1));
    let given = calls_at_once(&keyward, &key, 1_000).await;
    assert_eq!(given.values().sum::<usize>(), 1_000);
    tokens.request(1).await;
    eventually("the new token is there", || {
        let count =
            "keyward_upstream_tokens_total{upstream=\"default\",key=\"a\",result=\"fetched\"} 2";
        keyward.counted.0.render().contains(count).then_some(())
    })
    .await;
    let given = calls_at_once(&keyward, &key, 100).await;
    assert_eq!(given, BTreeMap::from([("Bearer second".to_owned(), 100)]));
    assert_eq!(tokens.requests().len(), 2, "one for each life");
}

#[tokio::test]
async fn calls_that_come_before_the_first_token_wait_for_one_question() {
    let tokens = FakeUpstream::start();
    let gate = Gate::closed();
    tokens.on("/token", token("first").behind(&gate));
    let keyward = TestKeyward::with(&azure(&tokens)).await;
    let key = keyward.key().await;
    let calls = calls_at_once(&keyward, &key, 50);
    let opening = async {
        eventually("calls wait", || {
            (keyward.counted.in_flight() == 50).then_some(())
        })
        .await;
        gate.open();
    };
    let (given, ()) = tokio::join!(calls, opening);
    assert_eq!(given.len(), 1);
    assert_eq!(tokens.requests().len(), 1);
}

#[tokio::test]
async fn without_a_token_a_call_is_answered_with_502_and_the_log_says_why() {
    let tokens = FakeUpstream::start();
    tokens.on(
        "/token",
        Answer::new(
            401,
            r#"{"error":"invalid_client","error_description":"canary"}"#,
        ),
    );
    let keyward = KeywardProcess::start(&azure(&tokens)).await;
    let key = keyward.key().await;
    let answer = call(&keyward, chat(&key, r#"{"model":"gpt-4o"}"#)).await;
    assert_eq!(answer.status(), 502);
    assert_eq!(answer.json()["code"], "upstream_unavailable");
    assert!(keyward.upstream.requests().is_empty());
    let said = keyward.said();
    assert!(
        said.contains("there is no token for a key; calls that need it are answered with 502"),
        "{said}"
    );
    assert!(
        said.contains("who gives tokens answers 401 Unauthorized (`invalid_client`)"),
        "{said}"
    );
    assert!(
        !said.contains("a&secret") && !said.contains("canary"),
        "{said}"
    );
    let failures = keyward
        .metric("keyward_upstream_errors_total{upstream=\"default\",reason=\"token\"}")
        .await;
    assert!(failures > 0.0);
}

#[tokio::test]
async fn a_token_that_ended_is_not_used_and_one_that_cannot_be_renewed_is_used_until_then() {
    let tokens = FakeUpstream::start();
    tokens.on("/token", token("first"));
    let clock = clock();
    let keyward = TestKeyward::with_clock(&azure(&tokens), clock.clone()).await;
    let key = keyward.key().await;
    tokens.request(0).await;
    calls_at_once(&keyward, &key, 1).await;
    tokens.on("/token", Answer::new(500, ""));
    clock.advance(Duration::from_secs(3_569));
    calls_at_once(&keyward, &key, 1).await;
    tokens.request(1).await;
    clock.advance(Duration::from_secs(1));
    let answer = call(&keyward, chat(&key, r#"{"model":"gpt-4o"}"#)).await;
    assert_eq!(answer.status(), 502, "{}", answer.text());
    // And when somebody gives one again.
    tokens.on("/token", token("second"));
    clock.advance(Duration::from_mins(1));
    let given = calls_at_once(&keyward, &key, 1).await;
    assert!(given.contains_key("Bearer second"), "{given:?}");
}

/// The JSON of a service account, and the key that it signs with.
fn service_account(tokens: &FakeUpstream) -> (String, KeyPair) {
    let pair = KeyPair::generate_for(&PKCS_RSA_SHA256).expect("a key");
    let account = json!({
        "type": "service_account",
        "client_email": "robot@my-project.iam.gserviceaccount.com",
        "private_key": pair.serialize_pem(),
        "private_key_id": "k1",
        "token_uri": format!("{}/token", tokens.url()),
    });
    // As it is given: of several lines.
    (format!("{account:#}\n"), pair)
}

#[tokio::test]
async fn a_service_account_asks_for_its_token_with_a_signed_assertion() {
    let tokens = FakeUpstream::start();
    tokens.on("/token", token("of-google"));
    let (account, pair) = service_account(&tokens);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("account.json");
    std::fs::write(&file, account).expect("a file");
    let settings = format!(
        r#"upstreams.default.provider = "vertex"
[[upstreams.default.keys]]
id = "a"
[upstreams.default.keys.vertex_key_config]
project_id = "my-project"
project_number = "42"
region = "europe-west1"
auth_credentials = {{ file = "{}" }}
deployments = {{ "tuned" = "987", "short" = "gemini-2.5-pro" }}
{ROUTES}"#,
        file.display()
    );
    let keyward = TestKeyward::with(&settings).await;
    let key = keyward.key().await;
    let asked = tokens.request(0).await;
    asked.body_end().await;
    let form = String::from_utf8(asked.body()).expect("text");
    let assertion = form
        .strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=")
        .expect("an assertion");
    let (signed, signature) = assertion.rsplit_once('.').expect("three parts");
    let bytes = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).expect("base64url");
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key_raw());
    public
        .verify(signed.as_bytes(), &bytes(signature))
        .expect("signed by the account");
    let (header, claims) = signed.split_once('.').expect("two parts");
    let json = |part: &str| serde_json::from_slice::<Value>(&bytes(part)).expect("JSON");
    assert_eq!(
        json(header),
        json!({ "alg": "RS256", "typ": "JWT", "kid": "k1" })
    );
    let claims = json(claims);
    assert_eq!(claims["iss"], "robot@my-project.iam.gserviceaccount.com");
    assert_eq!(claims["aud"], format!("{}/token", tokens.url()));
    assert_eq!(
        claims["scope"],
        "https://www.googleapis.com/auth/cloud-platform"
    );
    let life =
        claims["exp"].as_u64().expect("a number") - claims["iat"].as_u64().expect("a number");
    assert_eq!(life, 3_600);

    for (target, goes_to) in [
        (
            "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
            "/v1/projects/my-project/locations/europe-west1/publishers/google/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        ),
        (
            "/v1beta/models/short:generateContent",
            "/v1/projects/my-project/locations/europe-west1/publishers/google/models/gemini-2.5-pro:generateContent",
        ),
        (
            "/v1beta/models/tuned:generateContent",
            "/v1/projects/42/locations/europe-west1/endpoints/987:generateContent",
        ),
    ] {
        let answer = call(&keyward, post(target, &key, "{}")).await;
        assert_eq!(answer.json()["target"], goes_to);
    }
    let answer = call(&keyward, chat(&key, r#"{"model":"m"}"#)).await;
    let openai =
        "/v1/projects/my-project/locations/europe-west1/endpoints/openapi/chat/completions";
    assert_eq!(answer.json()["target"], openai);
    let seen = keyward.upstream.request(0).await;
    assert_eq!(seen.header("authorization"), Some("Bearer of-google"));
    assert_eq!(tokens.requests().len(), 1);
}

#[rstest]
#[case::a_deployment(
    "/openai/deployments/gpt-4o/embeddings?api-version=2025-01-01",
    "/openai/deployments/mine/embeddings?api-version=2025-01-01"
)]
#[case::no_version(
    "/openai/deployments/gpt-4o/embeddings?x=1",
    "/openai/deployments/mine/embeddings?x=1&api-version=v9"
)]
#[case::its_own_name(
    "/openai/deployments/other/embeddings",
    "/openai/deployments/other/embeddings?api-version=v9"
)]
#[case::no_deployment("/v1/files", "/openai/files?api-version=v9")]
#[tokio::test]
async fn calls_take_the_paths_of_azure(#[case] target: &str, #[case] goes_to: &str) {
    let settings = format!(
        r#"upstreams.default.provider = "azure"
[[upstreams.default.keys]]
id = "a"
value = {{ inline = "text" }}
use_for_batch_api = true
azure_key_config = {{ api_version = "v9", deployments = {{ "gpt-4o" = "mine" }} }}
{ROUTES}"#
    );
    let keyward = TestKeyward::with(&settings).await;
    let key = keyward.key().await;
    let answer = call(&keyward, post(target, &key, "{}")).await;
    assert_eq!(answer.json()["target"], goes_to);
}

/// Settings of a key of Bedrock that signs.
fn bedrock(more: &str) -> String {
    format!(
        r#"upstreams.default.provider = "bedrock"
[[upstreams.default.keys]]
id = "a"
[upstreams.default.keys.bedrock_key_config]
access_key = {{ inline = "AKIDEXAMPLE" }}
secret_key = {{ inline = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" }}
session_token = {{ inline = "a-session" }}
region = "us-east-1"
{more}
{ROUTES}"#
    )
}

#[rstest]
#[case::as_it_is("", "anthropic.claude-v2:1", "anthropic.claude-v2%3A1")]
#[case::a_profile(
    "deployments = { claude = \"us.anthropic.claude:0\" }",
    "claude",
    "us.anthropic.claude%3A0"
)]
#[case::an_arn(
    "arn = \"arn:aws:bedrock:us-east-1:1:inference-profile\"\ndeployments = { claude = \"us.c\" }",
    "claude",
    "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.c"
)]
#[tokio::test]
async fn a_call_of_bedrock_is_signed_and_goes_whole(
    #[case] more: &str,
    #[case] model: &str,
    #[case] named: &str,
    #[values("by its length", "in chunks")] body: &str,
) {
    let keyward = TestKeyward::with(&bedrock(more)).await;
    let key = keyward.key_for(&[model]).await;
    let target = format!("/model/{model}/converse");
    let theirs = "x-amz-date: 19700101T000000Z\r\nx-amz-security-token: theirs\r\nContent-";
    let request = match body {
        "by its length" => post(&target, &key, "what is asked"),
        _ => post(&target, &key, "d\r\nwhat is asked\r\n0\r\n\r\n").replace(
            "Content-Length: 23",
            "Content-Type: x/y\r\nTransfer-Encoding: chunked",
        ),
    };
    let answer = call(&keyward, request.replacen("Content-", theirs, 1)).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let seen = keyward.upstream.request(0).await;
    assert_eq!(seen.target, format!("/model/{named}/converse"));
    assert_eq!(seen.body(), b"what is asked");
    assert_eq!(seen.header("content-length"), Some("13"));
    assert_eq!(seen.header_all("x-amz-security-token"), ["a-session"]);
    let date = seen.header("x-amz-date").expect("a date");
    assert!(date.len() == 16 && date != "19700101T000000Z", "{date}");
    let authorization = seen.header("authorization").expect("a signature");
    let scope = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{}/us-east-1/bedrock/aws4_request, ",
        &date[..8]
    );
    assert!(authorization.starts_with(&scope), "{authorization}");
    assert!(
        authorization.contains("host;x-amz-date;x-amz-security-token, Signature="),
        "{authorization}"
    );
}

#[tokio::test]
async fn a_body_too_large_to_be_signed_is_refused_and_nothing_of_it_is_sent() {
    let rules = "[upstreams.default.key_rules]\nsigned_body_bytes = 16\n";
    let keyward = TestKeyward::with(&(bedrock("") + rules)).await;
    let key = keyward.key().await;
    for (size, status) in [(16, 200), (17, 413)] {
        let request = post("/model/m/converse", &key, &"x".repeat(size));
        assert_eq!(call(&keyward, request).await.status(), status);
    }
    let chunked = post("/model/m/converse", &key, "")
        .replace("Content-Length: 0", "Transfer-Encoding: chunked");
    let request = format!("{chunked}11\r\n{}\r\n0\r\n\r\n", "x".repeat(17));
    assert_eq!(call(&keyward, request).await.status(), 413);
    assert_eq!(keyward.upstream.requests().len(), 1);
    assert_eq!(keyward.counted.outcomes()["body_too_large_to_sign"], 2);
    assert_eq!(keyward.counted.held_body_bytes(), 0);
}

#[tokio::test]
async fn a_signed_call_goes_on_with_the_next_key_signed_anew() {
    let second = r#"
[[upstreams.default.keys]]
id = "b"
weight = 0
bedrock_key_config = { access_key = { inline = "AKIDSECOND" }, secret_key = { inline = "x" }, region = "eu-west-1" }
"#;
    let keyward = TestKeyward::with(&bedrock(second)).await;
    let key = keyward.key().await;
    keyward.upstream.next(Answer::new(429, ""));
    let answer = call(&keyward, post("/model/m/converse", &key, "asked")).await;
    assert_eq!(answer.json()["body"], "asked");
    let seen = keyward.upstream.request(1).await;
    let authorization = seen.header("authorization").expect("a signature");
    assert!(
        authorization.contains("Credential=AKIDSECOND/"),
        "{authorization}"
    );
    assert!(
        authorization.contains("/eu-west-1/bedrock/"),
        "{authorization}"
    );
    assert_eq!(
        seen.header("x-amz-security-token"),
        None,
        "of the first key"
    );
}

#[tokio::test]
async fn a_deployment_takes_the_place_of_a_model_of_hugging_face() {
    let settings = format!(
        r#"upstreams.default.provider = "huggingface"
[[upstreams.default.keys]]
id = "a"
value = {{ inline = "text" }}
huggingface_key_config = {{ deployments = {{ llama = "my/llama" }} }}
{ROUTES}"#
    );
    let keyward = TestKeyward::with(&settings).await;
    let key = keyward.key().await;
    let answer = call(&keyward, post("/models/llama/predict", &key, "{}")).await;
    assert_eq!(answer.json()["target"], "/models/my%2Fllama/predict");
    let answer = call(&keyward, post("/models/other/predict", &key, "{}")).await;
    assert_eq!(answer.json()["target"], "/models/other/predict");
}
