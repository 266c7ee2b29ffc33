//! The px0 dialect: every verb and every outcome, as whole answers.

mod changing;

use http::Method;
use keyward::key::KeyCategory;
use rstest::rstest;
use serde_json::{Value, json};
use snapbox::{assert_data_eq, str};

use crate::support::admin::{Ask, TestAdmin, fixed};

/// An id of nothing.
const NOTHING: &str = "0198c0de-0000-7000-8000-000000000000";

/// The path of the list of the organisation.
async fn list_path(admin: &TestAdmin) -> String {
    format!("/v1/api-keys?org_id={}", org(admin).await)
}

/// The id of the organisation.
async fn org(admin: &TestAdmin) -> String {
    let me = admin.get("/v1/users/me").await;
    me.text("/workspace_name")
}

/// The id of a new key with the members `more`.
async fn made(admin: &TestAdmin, more: Value) -> (String, String) {
    let mut body = json!({ "name": "ci", "org_id": org(admin).await });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    let made = admin.post("/v1/api-keys", &body).await;
    assert_eq!(made.status, 201, "{made}");
    (made.text("/id"), made.text("/key"))
}

#[tokio::test]
async fn a_list_of_no_keys_is_an_empty_list() {
    let admin = TestAdmin::start().await;
    let listed = admin.get(&list_path(&admin).await).await;
    assert_data_eq!(
        fixed(&listed),
        str![[r#"
200 OK
content-type: application/json
x-request-id: of-this-test
cache-control: no-store

{
  "api_keys": []
}
"#]]
    );
}

#[tokio::test]
async fn a_list_writes_every_member_newest_first_and_never_a_key() {
    let admin = TestAdmin::start().await;
    let (_, first) = made(&admin, json!({ "name": "first" })).await;
    made(&admin, json!({ "name": "second", "operation": "all" })).await;
    let listed = admin.get(&list_path(&admin).await).await;
    assert!(!listed.body.contains(&first[12..]));
    assert_data_eq!(
        fixed(&listed),
        str![[r#"
200 OK
content-type: application/json
x-request-id: of-this-test
cache-control: no-store

{
  "api_keys": [
    {
      "created_at": "<time>",
      "id": "<id>",
      "last_used_at": null,
      "name": "second",
      "operation": "all",
      "org_id": "<id>",
      "team_id": "<id>"
    },
    {
      "created_at": "<time>",
      "id": "<id>",
      "last_used_at": null,
      "name": "first",
      "operation": "read_render",
      "org_id": "<id>",
      "team_id": "<id>"
    }
  ]
}
"#]]
    );
}

#[tokio::test]
async fn a_created_key_is_answered_with_201_and_its_text() {
    let admin = TestAdmin::start().await;
    let body = json!({ "name": "ci", "org_id": org(&admin).await });
    let made = admin.post("/v1/api-keys", &body).await;
    assert_data_eq!(
        fixed(&made),
        str![[r#"
201 Created
content-type: application/json
x-request-id: of-this-test
cache-control: no-store

{
  "created_at": "<time>",
  "id": "<id>",
  "key": "<key>",
  "name": "ci",
  "operation": "read_render"
}
"#]]
    );
    assert_eq!(made.text("/operation"), "read_render");
}

#[tokio::test]
async fn a_deleted_key_is_answered_with_204_and_works_no_more() {
    let admin = TestAdmin::start().await;
    let (id, key) = made(&admin, json!({ "operation": "admin" })).await;
    let path = list_path(&admin).await;
    let ask = || admin.ask(Method::GET, &path).credential(&key).send();
    assert_eq!(ask().await.status, 200);
    let deleted = admin.delete(&format!("/v1/api-keys/{id}")).await;
    assert_data_eq!(
        fixed(&deleted),
        str![[r#"
204 No Content
x-request-id: of-this-test
cache-control: no-store


"#]]
    );
    assert_eq!(ask().await.status, 401);
    let again = admin.delete(&format!("/v1/api-keys/{id}")).await;
    assert_data_eq!(
        fixed(&again),
        str![[r#"
404 Not Found
content-type: application/json
x-request-id: of-this-test
cache-control: no-store

{
  "error": "api key not found"
}
"#]]
    );
}

/// What px0's own clients send.
#[tokio::test]
async fn a_credential_is_presented_as_a_bearer() {
    let admin = TestAdmin::start().await;
    let (_, key) = made(&admin, json!({ "operation": "all" })).await;
    let ask = admin.ask(Method::GET, &list_path(&admin).await);
    let bearer = format!("Bearer {key}");
    let listed = ask.header("authorization", &bearer).send().await;
    assert_eq!(listed.status, 200, "{listed}");
}

#[rstest]
#[case("read_render", "WORKSPACE_INVOKE")]
#[case("all", "WORKSPACE_MANAGE_ALL")]
#[case("admin", "PERSONAL")]
#[tokio::test]
async fn a_key_made_here_is_of_the_right_type_there(
    #[case] operation: &str,
    #[case] category: &str,
) {
    let admin = TestAdmin::start().await;
    made(&admin, json!({ "operation": operation })).await;
    let listed = admin.get("/v1/api_keys").await;
    assert_eq!(listed.text("/keys/0/type"), category);
    assert_eq!(listed.text("/keys/0/name"), "ci");
    assert_eq!(listed.text("/keys/0/team_name"), "default");
    assert_eq!(listed.json()["keys"][0]["model_ids"], Value::Null);
    let listed = admin.get(&list_path(&admin).await).await;
    assert_eq!(listed.text("/api_keys/0/operation"), operation);
}

#[rstest]
#[case("PERSONAL", "admin")]
#[case("WORKSPACE_MANAGE_ALL", "all")]
#[case("WORKSPACE_INVOKE", "read_render")]
#[case("WORKSPACE_EXPORT_METRICS", "read_render")]
#[tokio::test]
async fn a_key_made_there_has_the_right_operation_here(
    #[case] category: &str,
    #[case] operation: &str,
) {
    let admin = TestAdmin::start().await;
    let body = json!({ "type": category });
    let made = admin.post("/v1/api_keys", &body).await;
    let listed = admin.get(&list_path(&admin).await).await;
    assert_eq!(listed.text("/api_keys/0/operation"), operation);
    assert_eq!(listed.text("/api_keys/0/name"), "");
    // By its id here, a key of there is deleted.
    let id = listed.text("/api_keys/0/id");
    assert_eq!(
        admin.delete(&format!("/v1/api-keys/{id}")).await.status,
        204
    );
    let prefix = &made.text("/api_key")[..11];
    assert_eq!(
        admin.delete(&format!("/v1/api_keys/{prefix}")).await.status,
        404
    );
}

#[tokio::test]
async fn a_type_that_we_do_not_know_is_listed_as_it_is() {
    let admin = TestAdmin::start().await;
    admin.key(KeyCategory::Personal).await;
    let change = "UPDATE api_keys SET category = 'WORKSPACE_FUTURE', operation = 'admin'";
    admin.database.by_hand(change).await;
    let listed = admin.get(&list_path(&admin).await).await;
    assert_eq!(listed.text("/api_keys/0/operation"), "WORKSPACE_FUTURE");
}

/// What the table says about the category decides: it is what the key may do.
#[tokio::test]
async fn an_operation_that_contradicts_the_category_is_not_shown() {
    let admin = TestAdmin::start().await;
    admin.key(KeyCategory::WorkspaceInvoke).await;
    let change = "UPDATE api_keys SET operation = 'admin'";
    admin.database.by_hand(change).await;
    let listed = admin.get(&list_path(&admin).await).await;
    assert_eq!(listed.text("/api_keys/0/operation"), "read_render");
}

#[tokio::test]
async fn a_key_is_made_in_the_team_that_is_named() {
    let admin = TestAdmin::start().await;
    let team = admin.post("/v1/teams", &json!({ "name": "ops" })).await;
    let team = team.text("/id");
    made(&admin, json!({ "team_ids": [team], "operation": "" })).await;
    made(&admin, json!({ "team_ids": [], "operation": null })).await;
    let listed = admin.get(&list_path(&admin).await).await;
    assert_eq!(listed.text("/api_keys/1/team_id"), team);
    assert_ne!(listed.text("/api_keys/0/team_id"), team);
    let there = admin.get("/v1/api_keys").await;
    assert_eq!(there.text("/keys/1/team_name"), "ops");
    assert_eq!(there.text("/keys/0/team_name"), "default");
}

#[rstest]
#[case::no_name(json!({ "name": null }), 400, "name is required")]
#[case::empty_name(json!({ "name": "" }), 400, "name is required")]
#[case::long_name(json!({ "name": "a\nb" }), 400, "a name has 1 to 200 characters and no control characters")]
#[case::no_org(json!({ "org_id": null }), 400, "org_id is required")]
#[case::empty_org(json!({ "org_id": "" }), 400, "org_id is required")]
#[case::nil_org(json!({ "org_id": "00000000-0000-0000-0000-000000000000" }), 400, "org_id is required")]
#[case::no_uuid(json!({ "org_id": "acme" }), 400, "invalid id")]
#[case::other_org(json!({ "org_id": NOTHING }), 404, "organization not found")]
#[case::operation(json!({ "operation": "root" }), 400, "invalid operation, must be read_render, all, or admin")]
#[case::team(json!({ "team_ids": [NOTHING] }), 404, "team not found")]
#[case::no_team_id(json!({ "team_ids": ["ops"] }), 400, "invalid id")]
#[case::teams(json!({ "team_ids": [NOTHING, NOTHING] }), 400, "a key belongs to one team")]
#[case::member(json!({ "model_ids": ["m"] }), 400, "unknown member `model_ids`, expected one of `name`, `org_id`, `team_ids`, `operation`")]
#[case::taken(json!({ "name": "taken" }), 409, "a key named `taken` exists already")]
#[tokio::test]
async fn a_key_that_cannot_be_is_refused(
    #[case] change: Value,
    #[case] status: u16,
    #[case] error: &str,
) {
    let admin = TestAdmin::start().await;
    made(&admin, json!({ "name": "taken" })).await;
    let mut body = json!({ "name": "ci", "org_id": org(&admin).await });
    for (name, value) in change.as_object().unwrap() {
        body[name] = value.clone();
    }
    let refused = admin.post("/v1/api-keys", &body).await;
    assert_eq!(refused.json(), json!({ "error": error }));
    assert_eq!(refused.status, status);
    let listed = admin.get(&list_path(&admin).await).await.json();
    assert_eq!(listed["api_keys"].as_array().unwrap().len(), 1);
}

#[rstest]
#[case::no_org("/v1/api-keys", 400, "org_id is required")]
#[case::empty_org("/v1/api-keys?org_id=", 400, "org_id is required")]
#[case::no_uuid("/v1/api-keys?org_id=acme", 400, "invalid id")]
#[case::unknown("/v1/api-keys?org=acme", 400, "unknown query parameter `org`")]
#[tokio::test]
async fn a_list_of_nothing_that_can_be_named_is_refused(
    #[case] path: &str,
    #[case] status: u16,
    #[case] error: &str,
) {
    let admin = TestAdmin::start().await;
    let refused = admin.get(path).await;
    assert_eq!(refused.json(), json!({ "error": error }));
    assert_eq!(refused.status, status);
}

#[tokio::test]
async fn what_is_no_id_of_a_key_is_refused() {
    let admin = TestAdmin::start().await;
    let refused = admin.delete("/v1/api-keys/kw_00000000").await;
    assert_data_eq!(
        fixed(&refused),
        str![[r#"
400 Bad Request
content-type: application/json
x-request-id: of-this-test
cache-control: no-store

{
  "error": "invalid id"
}
"#]]
    );
}

/// As at px0: whoever may do everything looks into any organisation, a key into its own.
#[tokio::test]
async fn an_organisation_that_is_not_there_is_empty_for_the_operator_and_closed_to_a_key() {
    let admin = TestAdmin::start().await;
    let path = format!("/v1/api-keys?org_id={NOTHING}");
    let (_, key) = made(&admin, json!({ "operation": "admin" })).await;
    assert_eq!(admin.get(&path).await.json(), json!({ "api_keys": [] }));
    let refused = admin.ask(Method::GET, &path).credential(&key).send().await;
    assert_data_eq!(
        fixed(&refused),
        str![[r#"
403 Forbidden
content-type: application/json
x-request-id: of-this-test
cache-control: no-store

{
  "error": "forbidden"
}
"#]]
    );
    let body = json!({ "name": "ci2", "org_id": NOTHING });
    let ask = admin.ask(Method::POST, "/v1/api-keys").credential(&key);
    assert_eq!(ask.json(&body).send().await.status, 403);
}

#[tokio::test]
async fn a_key_that_manages_the_workspace_neither_sees_nor_makes_nor_deletes_a_personal_one() {
    let admin = TestAdmin::start().await;
    let (personal, _) = made(&admin, json!({ "name": "p", "operation": "admin" })).await;
    let (_, key) = made(&admin, json!({ "name": "m", "operation": "all" })).await;
    let path = list_path(&admin).await;
    let listed = admin.ask(Method::GET, &path).credential(&key).send().await;
    assert_eq!(listed.json()["api_keys"].as_array().unwrap().len(), 1);
    assert_eq!(listed.text("/api_keys/0/name"), "m");
    let path = format!("/v1/api-keys/{personal}");
    let ask = admin.ask(Method::DELETE, &path).credential(&key);
    assert_eq!(ask.send().await.text("/error"), "forbidden");
    let body = json!({ "name": "q", "org_id": org(&admin).await, "operation": "admin" });
    let ask = admin.ask(Method::POST, "/v1/api-keys").credential(&key);
    assert_eq!(ask.json(&body).send().await.status, 403);
}

#[tokio::test]
async fn nobody_gets_a_word_and_how_to_come_in() {
    let admin = TestAdmin::start().await;
    let ask = Ask::new(admin.address, Method::GET, "/v1/api-keys");
    assert_data_eq!(
        fixed(&ask.send().await),
        str![[r#"
401 Unauthorized
content-type: application/json
www-authenticate: Api-Key realm="keyward"
www-authenticate: Bearer realm="keyward"
x-request-id: of-this-test
cache-control: no-store

{
  "error": "unauthorized"
}
"#]]
    );
}

#[tokio::test]
async fn a_list_is_told_in_pages_to_whoever_asks_for_them() {
    let admin = TestAdmin::start().await;
    for name in ["first", "second", "third"] {
        made(&admin, json!({ "name": name })).await;
    }
    let path = list_path(&admin).await;
    let names = |list: &Value| {
        let keys = list["api_keys"].as_array().unwrap().iter();
        let names = keys.map(|key| key["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>().join(" ")
    };
    let whole = admin.get(&path).await.json();
    assert!(whole.get("next_cursor").is_none());
    assert_eq!(names(&whole), "third second first");
    let first = admin.get(&format!("{path}&limit=2")).await;
    assert_eq!(names(&first.json()), "third second");
    let cursor = first.text("/next_cursor");
    let rest = admin.get(&format!("{path}&cursor={cursor}")).await.json();
    assert_eq!(names(&rest), "first");
    assert_eq!(rest["next_cursor"], Value::Null);
    assert!(rest.as_object().unwrap().contains_key("next_cursor"));
    let elsewhere = format!("/v1/api-keys?org_id={NOTHING}&limit=2");
    let none = admin.get(&elsewhere).await.json();
    assert_eq!(none, json!({ "api_keys": [], "next_cursor": null }));
    for (query, message) in [
        ("limit=0", "`limit` is a number from 1 to 1000"),
        ("limit=1001", "`limit` is a number from 1 to 1000"),
        (
            "cursor=x",
            "`cursor` is the `next_cursor` of an earlier answer",
        ),
    ] {
        let refused = admin.get(&format!("{path}&{query}")).await;
        assert_eq!(refused.status, 400, "{query}");
        assert_eq!(refused.text("/error"), message);
    }
}
