//! Keys that are changed and get a new text.

use super::*;

#[tokio::test]
async fn a_changed_key_is_answered_with_200_as_it_is_now() {
    let admin = TestAdmin::start().await;
    let (id, key) = made(&admin, json!({})).await;
    let path = format!("/v1/api-keys/{id}");
    let body = json!({ "name": "deploy", "operation": "admin" });
    let changed = admin.ask(Method::PUT, &path).json(&body).send().await;
    assert_data_eq!(
        fixed(&changed),
        str![[r#"
200 OK
content-type: application/json
x-request-id: of-this-test
cache-control: no-store

{
  "api_key": {
    "created_at": "<time>",
    "id": "<id>",
    "last_used_at": null,
    "name": "deploy",
    "operation": "admin",
    "org_id": "<id>",
    "team_id": "<id>"
  }
}
"#]]
    );
    let there = admin.get("/v1/api_keys").await;
    assert_eq!(there.text("/keys/0/type"), "PERSONAL");
    assert_eq!(there.text("/keys/0/name"), "deploy");
    let list = list_path(&admin).await;
    let ask = admin.ask(Method::GET, &list).credential(&key);
    assert_eq!(ask.send().await.status, 200);
}

#[rstest]
#[case::nothing(json!({}))]
#[case::empty(json!({ "name": "", "operation": "" }))]
#[case::null(json!({ "name": null, "operation": null, "team_ids": null }))]
#[tokio::test]
async fn what_a_change_does_not_name_stays(#[case] change: Value) {
    let admin = TestAdmin::start().await;
    let (id, _) = made(&admin, json!({ "operation": "all" })).await;
    let list = list_path(&admin).await;
    let before = admin.get(&list).await.json();
    let path = format!("/v1/api-keys/{id}");
    let changed = admin.ask(Method::PUT, &path).json(&change).send().await;
    assert_eq!(changed.json()["api_key"], before["api_keys"][0]);
}

#[tokio::test]
async fn a_key_is_moved_to_the_team_that_is_named_and_back() {
    let admin = TestAdmin::start().await;
    let (id, _) = made(&admin, json!({})).await;
    let team = admin.post("/v1/teams", &json!({ "name": "ops" })).await;
    let team = team.text("/id");
    let path = format!("/v1/api-keys/{id}");
    let before = admin.get(&list_path(&admin).await).await;
    for (ids, expected) in [
        (json!([team]), team.clone()),
        (json!([]), before.text("/api_keys/0/team_id")),
    ] {
        let ask = admin.ask(Method::PUT, &path);
        let changed = ask.json(&json!({ "team_ids": ids })).send().await;
        assert_eq!(changed.text("/api_key/team_id"), expected);
    }
}

#[rstest]
#[case::operation(json!({ "operation": "root" }), 400, "invalid operation, must be read_render, all, or admin")]
#[case::team(json!({ "team_ids": [NOTHING] }), 404, "team not found")]
#[case::teams(json!({ "team_ids": [NOTHING, NOTHING] }), 400, "a key belongs to one team")]
#[case::taken(json!({ "name": "taken" }), 409, "a key named `taken` exists already")]
#[case::name(json!({ "name": "a\nb" }), 400, "a name has 1 to 200 characters and no control characters")]
#[case::member(json!({ "org_id": NOTHING }), 400, "unknown member `org_id`, expected one of `name`, `team_ids`, `operation`")]
#[tokio::test]
async fn a_change_that_cannot_be_is_refused(
    #[case] change: Value,
    #[case] status: u16,
    #[case] error: &str,
) {
    let admin = TestAdmin::start().await;
    made(&admin, json!({ "name": "taken" })).await;
    let (id, _) = made(&admin, json!({})).await;
    let list = list_path(&admin).await;
    let before = admin.get(&list).await.body;
    let path = format!("/v1/api-keys/{id}");
    let refused = admin.ask(Method::PUT, &path).json(&change).send().await;
    assert_eq!(refused.json(), json!({ "error": error }));
    assert_eq!(refused.status, status);
    assert_eq!(admin.get(&list).await.body, before);
}

#[tokio::test]
async fn a_regenerated_key_has_a_new_text_and_the_old_one_is_dead_at_once() {
    let admin = TestAdmin::start().await;
    let (id, old) = made(&admin, json!({ "operation": "all" })).await;
    let path = format!("/v1/api-keys/{id}/regenerate");
    let regenerated = admin.ask(Method::POST, &path).send().await;
    assert_data_eq!(
        fixed(&regenerated),
        str![[r#"
200 OK
content-type: application/json
x-request-id: of-this-test
cache-control: no-store

{
  "created_at": "<time>",
  "id": "<id>",
  "key": "<key>",
  "name": "ci",
  "operation": "all",
  "org_id": "<id>",
  "team_id": "<id>"
}
"#]]
    );
    assert_eq!(regenerated.text("/id"), id);
    let list = list_path(&admin).await;
    for (key, status) in [(regenerated.text("/key"), 200), (old, 401)] {
        let ask = admin.ask(Method::GET, &list).credential(&key);
        assert_eq!(ask.send().await.status, status);
    }
}

#[tokio::test]
async fn a_key_that_is_not_there_is_neither_changed_nor_regenerated() {
    let admin = TestAdmin::start().await;
    let path = format!("/v1/api-keys/{NOTHING}");
    let put = admin.ask(Method::PUT, &path).json(&json!({ "name": "x" }));
    let post = admin.ask(Method::POST, &format!("{path}/regenerate"));
    for ask in [put, post] {
        let refused = ask.send().await;
        assert_eq!(refused.status, 404);
        assert_eq!(refused.text("/error"), "api key not found");
    }
}
