//! What the Baseten dialect has beside the API it follows: changing a key, and giving it a new text.

use http::Method;
use keyward::key::KeyCategory;
use rstest::rstest;
use serde_json::{Value, json};
use snapbox::{assert_data_eq, str};

use crate::support::admin::{Answer, TestAdmin, fixed};

/// The text of a new key with the members `more`.
async fn made(admin: &TestAdmin, more: Value) -> String {
    let mut body = json!({ "type": "WORKSPACE_INVOKE", "name": "ci" });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    let made = admin.post("/v1/api_keys", &body).await;
    assert_eq!(made.status, 200, "{made}");
    made.text("/api_key")
}

async fn patch(admin: &TestAdmin, key: &str, change: &Value) -> Answer {
    let path = format!("/v1/api_keys/{}", &key[..11]);
    admin.ask(Method::PATCH, &path).json(change).send().await
}

async fn rotate(admin: &TestAdmin, key: &str, query: &str) -> Answer {
    let path = format!("/v1/api_keys/{}/rotate{query}", &key[..11]);
    admin.ask(Method::POST, &path).send().await
}

/// Whether the key is let in.
async fn works(admin: &TestAdmin, key: &str) -> bool {
    let ask = admin.ask(Method::GET, "/v1/users/me").credential(key);
    ask.send().await.status == 200
}

#[tokio::test]
async fn a_changed_key_is_answered_as_it_is_now() {
    let admin = TestAdmin::start().await;
    let key = made(&admin, json!({})).await;
    let change = json!({ "name": "deploy", "model_ids": ["m1", "meta/*"], "expires_in": 1000, "enabled": false,
        "ends_calls": true });
    let changed = patch(&admin, &key, &change).await;
    assert_data_eq!(
        fixed(&changed),
        str![[r#"
200 OK
content-type: application/json
x-request-id: of-this-test
cache-control: no-store

{
  "created_at": "<time>",
  "disabled_at": "<time>",
  "ends_calls": true,
  "expires_at": "<time>",
  "last_used_at": null,
  "model_ids": [
    "m1",
    "meta/*"
  ],
  "name": "deploy",
  "owner": null,
  "prefix": "<prefix>",
  "team_name": "default",
  "type": "WORKSPACE_INVOKE"
}
"#]]
    );
}

#[tokio::test]
async fn what_is_null_is_taken_away_and_what_is_missing_stays() {
    let admin = TestAdmin::start().await;
    let key = made(
        &admin,
        json!({ "model_ids": ["m"], "expires_in": 1000.0, "ends_calls": true }),
    )
    .await;
    let kept = patch(&admin, &key, &json!({})).await.json();
    assert_eq!(kept["name"], "ci");
    assert_eq!(kept["model_ids"], json!(["m"]));
    assert!(kept["expires_at"].is_string());
    let change = json!({ "name": null, "model_ids": null, "expires_in": null, "enabled": null, "team_id": null,
        "ends_calls": null });
    let changed = patch(&admin, &key, &change).await.json();
    for member in ["name", "model_ids", "expires_at", "disabled_at"] {
        assert_eq!(changed[member], Value::Null, "{member}");
    }
    assert_eq!(changed["team_name"], "default");
    assert_eq!(changed["ends_calls"], true, "null leaves it as it is");
    let changed = patch(&admin, &key, &json!({ "ends_calls": false })).await;
    assert_eq!(changed.json()["ends_calls"], false);
}

#[tokio::test]
async fn a_key_is_moved_to_another_team() {
    let admin = TestAdmin::start().await;
    let key = made(&admin, json!({})).await;
    let team = admin.post("/v1/teams", &json!({ "name": "ops" })).await;
    let team = team.text("/id");
    let changed = patch(&admin, &key, &json!({ "team_id": team })).await;
    assert_eq!(changed.text("/team_name"), "ops");
    let path = format!("/v1/api_keys?team_id={team}");
    assert_eq!(admin.get(&path).await.text("/keys/0/name"), "ci");
}

#[tokio::test]
async fn a_key_that_is_switched_off_is_refused_until_it_is_switched_on() {
    let admin = TestAdmin::start().await;
    let key = made(&admin, json!({ "type": "PERSONAL" })).await;
    for (enabled, expected) in [(false, false), (true, true)] {
        patch(&admin, &key, &json!({ "enabled": enabled })).await;
        assert_eq!(works(&admin, &key).await, expected);
    }
}

#[rstest]
#[case::type_of_key(json!({ "type": "PERSONAL" }), 400, "unknown member `type`, expected one of `name`, `model_ids`, `team_id`, `expires_in`, `enabled`, `ends_calls`")]
#[case::no_models(json!({ "model_ids": [] }), 400, "`model_ids`: a list of model ids names at least one model; leave it out for every model")]
#[case::no_time(json!({ "expires_in": 0 }), 400, "`expires_in` is a number of seconds from 1 to 3155760000")]
#[case::no_whole_time(json!({ "expires_in": 1.5 }), 400, "`expires_in` is not of the right type")]
#[case::too_long(json!({ "expires_in": 3_155_760_001_u64 }), 400, "`expires_in` is a number of seconds from 1 to 3155760000")]
#[case::team(json!({ "team_id": "0198c0de-0000-7000-8000-000000000000" }), 404, "there is no such team")]
#[case::taken(json!({ "name": "taken" }), 409, "a key named `taken` exists already")]
#[tokio::test]
async fn a_change_that_cannot_be_is_refused(
    #[case] change: Value,
    #[case] status: u16,
    #[case] message: &str,
) {
    let admin = TestAdmin::start().await;
    made(&admin, json!({ "name": "taken" })).await;
    let key = made(&admin, json!({})).await;
    let before = admin.get("/v1/api_keys").await.body;
    let refused = patch(&admin, &key, &change).await;
    assert_eq!(refused.text("/message"), message);
    assert_eq!(refused.status, status);
    assert_eq!(admin.get("/v1/api_keys").await.body, before);
}

#[tokio::test]
async fn a_key_of_a_type_for_every_model_is_not_limited() {
    let admin = TestAdmin::start().await;
    let key = made(&admin, json!({ "type": "PERSONAL" })).await;
    let refused = patch(&admin, &key, &json!({ "model_ids": ["m"] })).await;
    assert_eq!(refused.status, 400, "{refused}");
}

#[tokio::test]
async fn a_rotated_key_has_a_new_text_and_the_old_one_is_dead_at_once() {
    let admin = TestAdmin::start().await;
    let key = made(&admin, json!({ "type": "PERSONAL" })).await;
    let rotated = rotate(&admin, &key, "").await;
    assert_data_eq!(
        fixed(&rotated),
        str![[r#"
200 OK
content-type: application/json
x-request-id: of-this-test
cache-control: no-store

{
  "api_key": "<key>",
  "old_until": null,
  "prefix": "<prefix>"
}
"#]]
    );
    assert!(!works(&admin, &key).await);
    let new = rotated.text("/api_key");
    assert!(works(&admin, &new).await);
    assert_eq!(rotated.text("/prefix"), new[..11]);
}

#[tokio::test]
async fn with_a_grace_both_texts_work_and_a_second_rotation_ends_the_first() {
    let admin = TestAdmin::start().await;
    let first = made(&admin, json!({ "type": "PERSONAL" })).await;
    let rotated = rotate(&admin, &first, "?grace=600").await;
    assert_data_eq!(
        fixed(&rotated),
        str![[r#"
200 OK
content-type: application/json
x-request-id: of-this-test
cache-control: no-store

{
  "api_key": "<key>",
  "old_until": "<time>",
  "prefix": "<prefix>"
}
"#]]
    );
    let second = rotated.text("/api_key");
    assert!(works(&admin, &first).await && works(&admin, &second).await);
    let third = rotate(&admin, &second, "?grace=600").await.text("/api_key");
    assert!(!works(&admin, &first).await);
    assert!(works(&admin, &second).await && works(&admin, &third).await);
}

#[rstest]
#[case("?grace=soon", 400)]
#[case("?grace=-1", 400)]
#[case("?grace=3155760001", 400)]
#[case("?wait=nobody", 400)]
#[case("?now=1", 400)]
#[tokio::test]
async fn a_rotation_that_is_not_understood_changes_nothing(
    #[case] query: &str,
    #[case] status: u16,
) {
    let admin = TestAdmin::start().await;
    let key = made(&admin, json!({ "type": "PERSONAL" })).await;
    assert_eq!(rotate(&admin, &key, query).await.status, status);
    assert!(works(&admin, &key).await);
}

#[tokio::test]
async fn a_key_that_is_not_there_is_neither_changed_nor_rotated() {
    let admin = TestAdmin::start().await;
    let nothing = "kw_00000000.x";
    assert_eq!(patch(&admin, nothing, &json!({})).await.status, 404);
    assert_eq!(rotate(&admin, nothing, "").await.status, 404);
}

#[tokio::test]
async fn a_list_tells_when_keys_end_to_whoever_asks() {
    let admin = TestAdmin::start().await;
    let key = made(&admin, json!({ "expires_in": 1000 })).await;
    patch(&admin, &key, &json!({ "enabled": false })).await;
    let listed = admin.get("/v1/api_keys?life=true").await;
    assert_data_eq!(
        fixed(&listed),
        str![[r#"
200 OK
content-type: application/json
x-request-id: of-this-test
cache-control: no-store

{
  "keys": [
    {
      "created_at": "<time>",
      "disabled_at": "<time>",
      "ends_calls": false,
      "expires_at": "<time>",
      "last_used_at": null,
      "model_ids": null,
      "name": "ci",
      "owner": null,
      "prefix": "<prefix>",
      "team_name": "default",
      "type": "WORKSPACE_INVOKE"
    }
  ]
}
"#]]
    );
    let plain = admin.get("/v1/api_keys").await.json();
    assert_eq!(plain["keys"][0].get("expires_at"), None);
}

/// Whoever may not manage a key does not see it either.
#[tokio::test]
async fn one_key_is_shown_to_whoever_may_manage_it() {
    let admin = TestAdmin::start().await;
    let personal = admin.key(KeyCategory::Personal).await;
    let manager = admin.key(KeyCategory::WorkspaceManageAll).await;
    let path = format!("/v1/api_keys/{}", &personal[..11]);
    let shown = admin.get(&path).await.json();
    assert_eq!(shown["prefix"], personal[..11]);
    assert_eq!(shown["expires_at"], Value::Null);
    let listed = admin.get("/v1/api_keys?life=true").await.json();
    assert!(listed["keys"].as_array().unwrap().contains(&shown));
    let hidden = admin.ask(Method::GET, &path).credential(&manager).send();
    let hidden = hidden.await;
    assert_eq!(
        (hidden.status.as_u16(), hidden.code().as_str()),
        (404, "NOT_FOUND")
    );
    for (path, status) in [
        ("/v1/api_keys/kw_aaaaaaaa", 404),
        ("/v1/api_keys/a%2Fb", 404),
        (&*format!("{path}?life=true"), 400),
    ] {
        assert_eq!(admin.get(path).await.status.as_u16(), status, "{path}");
    }
}
