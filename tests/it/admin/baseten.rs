//! The Baseten dialect: every verb and every outcome, as whole answers.

mod answered;
mod whose;

use http::Method;
use keyward::key::KeyCategory;
use rstest::rstest;
use serde_json::{Value, json};
use snapbox::{assert_data_eq, str};

use crate::support::admin::{Answer, Ask, TestAdmin, fixed};

#[tokio::test]
async fn a_list_of_no_keys_is_an_empty_list() {
    let admin = TestAdmin::start().await;
    assert_data_eq!(
        fixed(&admin.get("/v1/api_keys").await),
        str![[r#"
200 OK
content-type: application/json
x-request-id: of-this-test
cache-control: no-store

{
  "keys": []
}
"#]]
    );
}

#[tokio::test]
async fn a_list_writes_every_member_and_never_a_key() {
    let admin = TestAdmin::start().await;
    let scoped =
        json!({ "type": "WORKSPACE_INVOKE", "name": "prod", "model_ids": ["m1", "meta/*"] });
    let made = admin.post("/v1/api_keys", &scoped).await;
    admin
        .post("/v1/api_keys", &json!({ "type": "PERSONAL" }))
        .await;
    let listed = admin.get("/v1/api_keys").await;
    assert!(!listed.body.contains(&made.text("/api_key")[12..]));
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
      "last_used_at": null,
      "model_ids": null,
      "name": null,
      "owner": {
        "email": null,
        "name": "admin",
        "user_id": "admin"
      },
      "prefix": "<prefix>",
      "team_name": "default",
      "type": "PERSONAL"
    },
    {
      "created_at": "<time>",
      "last_used_at": null,
      "model_ids": [
        "m1",
        "meta/*"
      ],
      "name": "prod",
      "owner": null,
      "prefix": "<prefix>",
      "team_name": "default",
      "type": "WORKSPACE_INVOKE"
    }
  ]
}
"#]]
    );
}

/// Where there are a million keys; without `limit` and `cursor` the answer is what it was.
#[tokio::test]
async fn a_list_is_told_in_pages_to_whoever_asks() {
    let admin = TestAdmin::start().await;
    for number in 0..3 {
        let body = json!({ "type": "PERSONAL", "name": number.to_string() });
        admin.post("/v1/api_keys", &body).await;
    }
    let names = |page: &Value| -> Vec<String> {
        let keys = page["keys"].as_array().unwrap().iter();
        keys.map(|key| key["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = admin.get("/v1/api_keys?limit=2").await;
    assert_eq!(names(&first.json()), ["2", "1"]);
    let path = format!("/v1/api_keys?limit=2&cursor={}", first.text("/next_cursor"));
    let second = admin.get(&path).await.json();
    assert_eq!(names(&second), ["0"]);
    assert_eq!(second["next_cursor"], Value::Null);
    let whole = admin.get("/v1/api_keys").await.json();
    assert_eq!(names(&whole), ["2", "1", "0"]);
    assert_eq!(whole.get("next_cursor"), None);
    for query in ["?limit=0", "?cursor=x", "?limit=2&cursor="] {
        let refused = admin.get(&format!("/v1/api_keys{query}")).await;
        assert_eq!(refused.status, 400, "{refused}");
    }
}

#[tokio::test]
async fn a_created_key_is_answered_with_200_and_its_text_alone() {
    let admin = TestAdmin::start().await;
    let made = admin
        .post(
            "/v1/api_keys",
            &json!({ "type": "PERSONAL", "name": "laptop" }),
        )
        .await;
    assert_data_eq!(
        fixed(&made),
        str![[r#"
200 OK
content-type: application/json
x-request-id: of-this-test
cache-control: no-store

{
  "api_key": "<key>"
}
"#]]
    );
}

/// What the documentation shows: `curl --data` without a content type of its own.
#[tokio::test]
async fn a_key_is_created_from_what_curl_sends() {
    let admin = TestAdmin::start().await;
    let body = "{\n  \"name\": \"my-api-key\",\n  \"type\": \"PERSONAL\"\n}";
    let ask = admin.ask(Method::POST, "/v1/api_keys").body(body);
    let made = ask
        .header("content-type", "application/x-www-form-urlencoded")
        .send()
        .await;
    assert_eq!(made.status, 200, "{made}");
}

/// What the documentation shows: `requests.request("GET", …, json={})`.
#[tokio::test]
async fn a_list_tolerates_a_body() {
    let admin = TestAdmin::start().await;
    let listed = admin
        .ask(Method::GET, "/v1/api_keys")
        .body("{}")
        .send()
        .await;
    assert_eq!(listed.status, 200, "{listed}");
}

#[rstest]
#[case::everything("", &["p", "m", "e", "i"])]
#[case::a_type("?type=WORKSPACE_INVOKE", &["i"])]
#[case::mine("?created_by_me=true", &["p", "m"])]
#[case::mine_in_python("?created_by_me=True", &["p", "m"])]
#[case::not_only_mine("?created_by_me=false", &["p", "m", "e", "i"])]
#[case::both("?type=PERSONAL&created_by_me=true", &["p"])]
#[tokio::test]
async fn a_list_is_filtered(#[case] query: &str, #[case] names: &[&str]) {
    let admin = TestAdmin::start().await;
    let other = admin.key(KeyCategory::Personal).await;
    // Whoever holds the operator's key is the operator; a key that nobody made is its own owner.
    admin
        .database
        .by_hand("UPDATE api_keys SET owner = NULL")
        .await;
    for (name, category, by_other) in [
        ("p", "PERSONAL", false),
        ("m", "WORKSPACE_MANAGE_ALL", false),
        ("e", "WORKSPACE_EXPORT_METRICS", true),
        ("i", "WORKSPACE_INVOKE", true),
    ] {
        let mut ask = admin.ask(Method::POST, "/v1/api_keys");
        if by_other {
            ask = ask.credential(&other);
        }
        let made = ask
            .json(&json!({ "type": category, "name": name }))
            .send()
            .await;
        assert_eq!(made.status, 200, "{made}");
    }
    let listed = admin.get(&format!("/v1/api_keys{query}")).await.json();
    let keys = listed["keys"].as_array().unwrap().iter();
    let mut listed: Vec<&str> = keys.filter_map(|key| key["name"].as_str()).collect();
    listed.reverse();
    assert_eq!(listed, names);
}

#[rstest]
#[case(
    "?type=personal",
    "a key's type is PERSONAL, WORKSPACE_MANAGE_ALL, WORKSPACE_EXPORT_METRICS or WORKSPACE_INVOKE"
)]
#[case("?created_by_me=yes", "`created_by_me` is `true` or `false`")]
#[case(
    "?created_by_me=true&created_by_me=true",
    "the query parameter `created_by_me` comes twice"
)]
#[case("?team=a", "unknown query parameter `team`")]
#[tokio::test]
async fn a_filter_that_cannot_be_applied_is_refused(#[case] query: &str, #[case] message: &str) {
    let admin = TestAdmin::start().await;
    let refused = admin.get(&format!("/v1/api_keys{query}")).await;
    assert_eq!(refused.status, 400);
    assert_eq!(
        refused.json(),
        json!({ "code": "VALIDATION_ERROR", "message": message })
    );
}

#[rstest]
#[case(json!({}), 400, "missing member `type`")]
#[case(json!({ "type": "ROUTES" }), 400, "a key's type is PERSONAL, WORKSPACE_MANAGE_ALL, WORKSPACE_EXPORT_METRICS or WORKSPACE_INVOKE")]
#[case(json!({ "type": "PERSONAL", "models": [] }), 400, "unknown member `models`, expected one of `type`, `name`, `model_ids`, `team_id`, `expires_in`, `ends_calls`")]
#[case(json!({ "type": "PERSONAL", "name": "" }), 400, "a name has 1 to 200 characters and no control characters")]
#[case(json!({ "type": "PERSONAL", "name": "a\u{1b}[31mb" }), 400, "a name has 1 to 200 characters and no control characters")]
#[case(json!({ "type": "PERSONAL", "name": 5 }), 400, "`name` is not of the right type")]
#[case(json!({ "type": "PERSONAL", "model_ids": ["m1"] }), 400, "only WORKSPACE_EXPORT_METRICS and WORKSPACE_INVOKE keys can be limited to models")]
#[case(json!({ "type": "WORKSPACE_MANAGE_ALL", "model_ids": ["m1"] }), 400, "only WORKSPACE_EXPORT_METRICS and WORKSPACE_INVOKE keys can be limited to models")]
#[case(json!({ "type": "WORKSPACE_INVOKE", "model_ids": [] }), 400, "`model_ids`: a list of model ids names at least one model; leave it out for every model")]
#[case(json!({ "type": "WORKSPACE_INVOKE", "model_ids": ["a*b"] }), 400, "`model_ids`: a `*` may stand only at the end of a model id")]
#[case(json!({ "type": "WORKSPACE_INVOKE", "model_ids": "m1" }), 400, "`model_ids` is not of the right type")]
#[case(json!({ "type": "WORKSPACE_INVOKE", "team_id": "no-team" }), 404, "there is no such team")]
#[case(json!({ "type": "WORKSPACE_INVOKE", "team_id": "0198c0de-0000-7000-8000-000000000000" }), 404, "there is no such team")]
#[tokio::test]
async fn a_key_that_cannot_be_is_refused_and_not_written(
    #[case] body: Value,
    #[case] status: u16,
    #[case] message: &str,
) {
    let admin = TestAdmin::start().await;
    let refused = admin.post("/v1/api_keys", &body).await;
    assert_eq!(refused.status, status, "{refused}");
    assert_eq!(refused.text("/message"), message);
    assert!(admin.database.fill().await.is_empty());
}

#[tokio::test]
async fn a_name_is_taken_once_in_a_team() {
    let admin = TestAdmin::start().await;
    let team = admin
        .post("/v1/teams", &json!({ "name": "research" }))
        .await
        .text("/id");
    let wanted = json!({ "type": "WORKSPACE_INVOKE", "name": "prod" });
    assert_eq!(admin.post("/v1/api_keys", &wanted).await.status, 200);
    let again = admin.post("/v1/api_keys", &wanted).await;
    assert_data_eq!(
        fixed(&again),
        str![[r#"
409 Conflict
content-type: application/json
x-request-id: of-this-test
cache-control: no-store

{
  "code": "CONFLICT",
  "message": "a key named `prod` exists already"
}
"#]]
    );
    let elsewhere = admin
        .post(&format!("/v1/teams/{team}/api_keys"), &wanted)
        .await;
    assert_eq!(elsewhere.status, 200, "{elsewhere}");
    let unnamed = json!({ "type": "WORKSPACE_INVOKE" });
    assert_eq!(admin.post("/v1/api_keys", &unnamed).await.status, 200);
    assert_eq!(admin.post("/v1/api_keys", &unnamed).await.status, 200);
}

#[rstest]
#[case("prod · team “zürich” 🚀")]
#[case("'; DROP TABLE api_keys; --")]
#[case("<script>alert(1)</script>&amp;")]
#[case("%00%2e..\\")]
#[tokio::test]
async fn a_name_comes_back_as_it_was_given(#[case] name: &str) {
    let admin = TestAdmin::start().await;
    let wanted = json!({ "type": "WORKSPACE_INVOKE", "name": name });
    assert_eq!(admin.post("/v1/api_keys", &wanted).await.status, 200);
    assert_eq!(admin.get("/v1/api_keys").await.text("/keys/0/name"), name);
}

#[tokio::test]
async fn a_key_is_deleted_by_its_prefix() {
    let admin = TestAdmin::start().await;
    let key = admin.key(KeyCategory::Personal).await;
    let path = format!("/v1/api_keys/{}", &key[..11]);
    assert_data_eq!(
        fixed(&admin.delete(&path).await),
        str![[r#"
200 OK
content-type: application/json
x-request-id: of-this-test
cache-control: no-store

{
  "prefix": "<prefix>"
}
"#]]
    );
    assert_data_eq!(
        fixed(&admin.delete(&path).await),
        str![[r#"
404 Not Found
content-type: application/json
x-request-id: of-this-test
cache-control: no-store

{
  "code": "NOT_FOUND",
  "message": "there is no such key"
}
"#]]
    );
    let asked = Ask::new(admin.address, Method::GET, "/v1/users/me").credential(&key);
    assert_eq!(asked.send().await.status, 401);
}

#[rstest]
#[case::shortened(|prefix: &str| prefix[..10].to_owned(), 404)]
#[case::other_case(|prefix: &str| prefix.to_uppercase(), 404)]
#[case::pattern(|_: &str| "kw_%25".to_owned(), 404)]
#[case::nothing(|_: &str| String::new(), 404)]
#[case::not_text(|_: &str| "%FF%FE".to_owned(), 404)]
#[case::two_parts(|prefix: &str| format!("{prefix}%2Fx"), 404)]
#[case::encoded(|prefix: &str| prefix.replace('_', "%5F").replace("kw", "%6bw"), 200)]
#[tokio::test]
async fn only_the_whole_prefix_names_a_key(
    #[case] change: fn(&str) -> String,
    #[case] status: u16,
) {
    let admin = TestAdmin::start().await;
    let key = admin.key(KeyCategory::WorkspaceInvoke).await;
    let answer = admin
        .delete(&format!("/v1/api_keys/{}", change(&key[..11])))
        .await;
    assert_eq!(answer.status, status, "{answer}");
    assert_eq!(
        admin.database.fill().await.len(),
        usize::from(status != 200)
    );
}

#[tokio::test]
async fn of_two_deletions_at_once_one_finds_the_key() {
    let admin = TestAdmin::start().await;
    for _ in 0..20 {
        let key = admin.key(KeyCategory::WorkspaceInvoke).await;
        let path = format!("/v1/api_keys/{}", &key[..11]);
        let (one, other) = tokio::join!(admin.delete(&path), admin.delete(&path));
        let mut statuses = [one.status.as_u16(), other.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 404]);
    }
}
