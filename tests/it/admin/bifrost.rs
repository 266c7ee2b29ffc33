//! The Bifrost dialect: every call and every outcome, as whole answers; and every field of the document that was asked for.

use std::collections::BTreeSet;

use http::Method;
use rstest::rstest;
use serde_json::Value;
use snapbox::{assert_data_eq, file, str};

use crate::support::admin::{Answer, TestAdmin, fixed};
use crate::support::keyward::TestKeyward;

/// One upstream of every kind, in no order, with keys of every form.
const SETTINGS: &str = r#"
[upstreams.openai]
url = "https://api.openai.example"
[[upstreams.openai.keys]]
id = "second"
name = "Second account"
value = "env.UPSTREAM_KEY"
models = ["gpt-4o", "o3*"]
denied_models = ["o3-pro"]
weight = 0.25
use_for_batch_api = true
[[upstreams.openai.keys]]
id = "first"
value = { inline = "sk-inline-secret-1234" }
enabled = false
[upstreams.anthropic-eu]
url = "https://api.anthropic.example"
provider = "anthropic"
[[upstreams.anthropic-eu.keys]]
id = "only"
value = { inline = "12345678" }
models = []
[upstreams.azure]
url = "https://my-resource.openai.azure.example"
provider = "azure"
[[upstreams.azure.keys]]
id = "entra"
[upstreams.azure.keys.azure_key_config]
endpoint = "https://my-resource.openai.azure.example"
deployments = { "gpt-4o" = "my-gpt-4o" }
api_version = "2024-10-21"
client_id = "env.UPSTREAM_KEY"
client_secret = { inline = "a-client-secret" }
tenant_id = "tenant"
scopes = ["https://cognitiveservices.azure.com/.default"]
[upstreams.vertex]
url = "https://europe-west1-aiplatform.googleapis.example"
provider = "vertex"
[[upstreams.vertex.keys]]
id = "api-key"
value = { inline = "AIza-an-api-key" }
[upstreams.vertex.keys.vertex_key_config]
project_id = "my-project"
project_number = "123456789012"
region = "europe-west1"
deployments = { "tuned" = "987" }
[upstreams.bedrock]
url = "https://bedrock-runtime.us-east-1.amazonaws.example"
provider = "bedrock"
[[upstreams.bedrock.keys]]
id = "signing"
[upstreams.bedrock.keys.bedrock_key_config]
access_key = { inline = "AKIDEXAMPLE" }
secret_key = { inline = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" }
session_token = "env.UPSTREAM_KEY"
region = "us-east-1"
arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile"
deployments = { "claude" = "us.anthropic.claude" }
batch_s3_config = { buckets = [{ bucket_name = "batches", prefix = "in", is_default = true }] }
[upstreams.huggingface]
url = "https://router.huggingface.example"
provider = "huggingface"
[[upstreams.huggingface.keys]]
id = "hf"
value = { inline = "hf_0123456789" }
huggingface_key_config = { deployments = { "llama" = "my-llama" } }
[upstreams.local]
url = "http://127.0.0.1:8000"
[[proxy.routes]]
path = "/{rest}"
upstream = "openai"
"#;

async fn get(keyward: &TestKeyward, path: &str) -> Answer {
    keyward.administer(Method::GET, path).send().await
}

#[tokio::test]
async fn the_list_of_keys_has_every_key_in_order_and_no_secret() {
    let keyward = TestKeyward::with(SETTINGS).await;
    let listed = get(&keyward, "/api/keys").await;
    assert_data_eq!(
        format!("{}\n", fixed(&listed)),
        file!["snapshots/bifrost-keys.txt"].raw()
    );
    for secret in [
        "sk-of-the-environment-0001",
        "sk-inline-secret-1234",
        "12345678",
        "a-client-secret",
        "AIza-an-api-key",
        "AKIDEXAMPLE",
        "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "hf_0123456789",
    ] {
        assert!(!listed.body.contains(secret), "{secret}");
    }
    assert_eq!(get(&keyward, "/api/keys").await.body, listed.body);
}

/// Every path of members in `value`, lists as their elements; a map of free names as itself.
fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) if !path.ends_with("deployments") => {
            for (name, member) in members {
                paths(member, &format!("{path}.{name}"), found);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                paths(item, path, found);
            }
        }
        Value::Null => {}
        _ => drop(found.insert(path.to_owned())),
    }
}

/// The example of the document that was asked for: what an answer must hold at least, and of which type.
const ASKED_FOR: &str = r#"[{"id":"","name":"","value":{"value":"","env_var":"","from_env":true},"models":[""],"weight":123,
"azure_key_config":{"endpoint":{"value":"","env_var":"","from_env":true},"deployments":{},
"api_version":{"value":"","env_var":"","from_env":true},"client_id":{"value":"","env_var":"","from_env":true},
"client_secret":{"value":"","env_var":"","from_env":true},"tenant_id":{"value":"","env_var":"","from_env":true},"scopes":[""]},
"vertex_key_config":{"project_id":{"value":"","env_var":"","from_env":true},
"project_number":{"value":"","env_var":"","from_env":true},"region":{"value":"","env_var":"","from_env":true},
"auth_credentials":{"value":"","env_var":"","from_env":true},"deployments":{}},
"bedrock_key_config":{"access_key":{"value":"","env_var":"","from_env":true},
"secret_key":{"value":"","env_var":"","from_env":true},"session_token":{"value":"","env_var":"","from_env":true},
"region":{"value":"","env_var":"","from_env":true},"arn":{"value":"","env_var":"","from_env":true},"deployments":{},
"batch_s3_config":{"buckets":[{"bucket_name":"","prefix":"","is_default":true}]}},
"huggingface_key_config":{"deployments":{}},"enabled":true,"use_for_batch_api":true}]"#;

#[tokio::test]
async fn the_list_has_every_field_of_the_document_that_was_asked_for() {
    let keyward = TestKeyward::with(SETTINGS).await;
    let listed = get(&keyward, "/api/keys").await.json();
    assert!(listed.is_array(), "a bare list");
    let (mut there, mut asked_for) = (BTreeSet::new(), BTreeSet::new());
    paths(&listed, "", &mut there);
    let document = serde_json::from_str(ASKED_FOR).expect("JSON");
    paths(&document, "", &mut asked_for);
    assert_eq!(asked_for.len(), 59);
    let missing: Vec<_> = asked_for.difference(&there).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let more: Vec<_> = there.difference(&asked_for).map(String::as_str).collect();
    assert_eq!(more, [".blacklisted_models", ".key_id", ".provider"]);
}

#[tokio::test]
async fn providers_are_the_upstreams() {
    let keyward = TestKeyward::with(SETTINGS).await;
    let listed = get(&keyward, "/api/providers").await.json();
    assert_eq!(listed["total"], 7);
    let names: Vec<_> = listed["providers"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["name"].clone())
        .collect();
    assert_eq!(
        names,
        [
            "anthropic-eu",
            "azure",
            "bedrock",
            "huggingface",
            "local",
            "openai",
            "vertex"
        ]
    );
    assert_data_eq!(
        format!("{:#}", listed["providers"][0]),
        str![[r#"
{
  "concurrency_and_buffer_size": {
    "buffer_size": 0,
    "concurrency": 0
  },
  "custom_provider_config": {
    "base_provider_type": "anthropic",
    "is_key_less": false
  },
  "name": "anthropic-eu",
  "network_config": {
    "base_url": "https://api.anthropic.example"
  },
  "provider_status": "active",
  "proxy_config": null,
  "send_back_raw_request": false,
  "send_back_raw_response": false
}
"#]]
    );
    assert_eq!(
        listed["providers"][5]["custom_provider_config"],
        Value::Null
    );
    assert_eq!(
        listed["providers"][4]["custom_provider_config"]["is_key_less"],
        true
    );
}

#[tokio::test]
async fn the_keys_of_one_provider_are_those_of_the_list() {
    let keyward = TestKeyward::with(SETTINGS).await;
    let all = get(&keyward, "/api/keys").await.json();
    let mut listed = Vec::new();
    for name in [
        "anthropic-eu",
        "azure",
        "bedrock",
        "huggingface",
        "local",
        "openai",
        "vertex",
    ] {
        let one = get(&keyward, &format!("/api/providers/{name}/keys"))
            .await
            .json();
        let keys = one["keys"].as_array().expect("a list").clone();
        assert_eq!(one["total"], keys.len());
        assert!(keys.iter().all(|key| key["provider"] == name), "{name}");
        listed.extend(keys);
    }
    assert_eq!(Value::Array(listed), all);
    let encoded = get(&keyward, "/api/providers/%6fpenai/keys").await.json();
    assert_eq!(encoded["total"], 2);
}

#[rstest]
#[case("/api/providers/nobody/keys")]
#[case("/api/providers/%ff/keys")]
#[tokio::test]
async fn a_provider_that_is_not_there_is_told_in_bifrosts_form(#[case] path: &str) {
    let admin = TestAdmin::start().await;
    assert_data_eq!(
        fixed(&admin.get(path).await),
        str![[r#"
404 Not Found
content-type: application/json
x-request-id: of-this-test
cache-control: no-store

{
  "error": {
    "message": "Provider not found: not found"
  },
  "extra_fields": {},
  "is_bifrost_error": false,
  "status_code": 404
}
"#]]
    );
}

#[tokio::test]
async fn without_keys_the_list_is_empty() {
    let admin = TestAdmin::start().await;
    assert_data_eq!(
        fixed(&admin.get("/api/keys").await),
        str![[r#"
200 OK
content-type: application/json
x-request-id: of-this-test
cache-control: no-store

[]
"#]]
    );
    let empty = admin.get("/api/providers").await.json();
    assert_eq!(empty, serde_json::json!({ "providers": [], "total": 0 }));
}

#[tokio::test]
async fn who_may_not_administer_sees_nothing_and_nothing_can_be_changed() {
    let keyward = TestKeyward::with(SETTINGS).await;
    let invoking = keyward.key().await;
    let managing = keyward.create_key("WORKSPACE_MANAGE_ALL", None).await;
    for (key, status) in [(&invoking, 403), (&managing, 200)] {
        let ask = keyward
            .administer(Method::GET, "/api/keys")
            .credential(&key.text);
        assert_eq!(ask.send().await.status, status);
    }
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let answer = keyward.administer(method, "/api/keys").send().await;
        assert_eq!(answer.status, 405);
        assert_eq!(answer.json()["status_code"], 405);
    }
    let filtered = get(&keyward, "/api/keys?provider=openai").await;
    assert_eq!(filtered.status, 400, "no filter is ignored");
}
