//! The audit trail over HTTP: what each dialect and each caller leaves.

use http::Method;
use keyward::key::KeyCategory;
use rstest::rstest;
use serde_json::json;
use snapbox::{assert_data_eq, str};

use crate::support::admin::{TestAdmin, fixed};

/// Five changes of two keys, in both dialects; the text of the first key, with which some are made.
async fn five_changes(admin: &TestAdmin) -> String {
    let made = admin
        .post(
            "/v1/api_keys",
            &json!({ "type": "PERSONAL", "name": "ada" }),
        )
        .await;
    let ada = made.text("/api_key");
    let org = admin.get("/v1/users/me").await.text("/workspace_name");
    let body = json!({ "name": "ci", "org_id": org });
    let ask = admin.ask(Method::POST, "/v1/api-keys").credential(&ada);
    let id = ask.json(&body).send().await.text("/id");
    let path = format!("/v1/api-keys/{id}");
    let ask = admin.ask(Method::PUT, &path).credential(&ada);
    ask.json(&json!({ "name": "cd", "operation": "all" }))
        .send()
        .await;
    admin
        .ask(Method::POST, &format!("{path}/regenerate"))
        .send()
        .await;
    admin.delete(&path).await;
    ada
}

#[tokio::test]
async fn every_change_leaves_a_trace_in_whatever_dialect_it_was_made() {
    let admin = TestAdmin::start().await;
    let ada = five_changes(&admin).await;
    let told = admin.get("/v1/audit_logs").await;
    let told = fixed(&told).replace(&ada[..11], "<ada>");
    assert_data_eq!(
        told,
        str![[r#"
200 OK
content-type: application/json
x-request-id: of-this-test
cache-control: no-store

{
  "audit_logs": [
    {
      "action": "delete",
      "actor": "admin",
      "actor_prefix": null,
      "changed": [],
      "created_at": "<time>",
      "id": 5,
      "key_id": "<id>",
      "prefix": "<prefix>",
      "source": "127.0.0.1",
      "team": null
    },
    {
      "action": "rotate",
      "actor": "admin",
      "actor_prefix": null,
      "changed": [
        "key",
        "prefix"
      ],
      "created_at": "<time>",
      "id": 4,
      "key_id": "<id>",
      "prefix": "<prefix>",
      "source": "127.0.0.1",
      "team": null
    },
    {
      "action": "update",
      "actor": "admin",
      "actor_prefix": "<prefix>",
      "changed": [
        "name",
        "type"
      ],
      "created_at": "<time>",
      "id": 3,
      "key_id": "<id>",
      "prefix": "<prefix>",
      "source": "127.0.0.1",
      "team": null
    },
    {
      "action": "create",
      "actor": "admin",
      "actor_prefix": "<prefix>",
      "changed": [],
      "created_at": "<time>",
      "id": 2,
      "key_id": "<id>",
      "prefix": "<prefix>",
      "source": "127.0.0.1",
      "team": null
    },
    {
      "action": "create",
      "actor": "admin",
      "actor_prefix": null,
      "changed": [],
      "created_at": "<time>",
      "id": 1,
      "key_id": "<id>",
      "prefix": "<prefix>",
      "source": "127.0.0.1",
      "team": null
    }
  ],
  "next_cursor": null
}
"#]]
    );
}

#[tokio::test]
async fn the_trail_is_told_in_pages() {
    let admin = TestAdmin::start().await;
    for _ in 0..3 {
        admin.key(KeyCategory::WorkspaceInvoke).await;
    }
    let first = admin.get("/v1/audit_logs?limit=2").await;
    assert_eq!(first.json()["audit_logs"].as_array().unwrap().len(), 2);
    let cursor = first.text("/next_cursor");
    let path = format!("/v1/audit_logs?limit=2&cursor={cursor}");
    let second = admin.get(&path).await.json();
    assert_eq!(second["audit_logs"].as_array().unwrap().len(), 1);
    assert!(second["next_cursor"].is_null());
    let all = admin.get("/v1/audit_logs?limit=3").await.json();
    assert!(all["next_cursor"].is_null());
    assert_eq!(all["audit_logs"][2], second["audit_logs"][0]);
}

#[rstest]
#[case("?limit=0", "`limit` is a number from 1 to 1000")]
#[case("?limit=1001", "`limit` is a number from 1 to 1000")]
#[case("?limit=many", "`limit` is a number from 1 to 1000")]
#[case("?cursor=", "`cursor` is the `next_cursor` of an earlier answer")]
#[case("?cursor=-1", "`cursor` is the `next_cursor` of an earlier answer")]
#[case(
    "?cursor=99999999999999999999",
    "`cursor` is the `next_cursor` of an earlier answer"
)]
#[case("?before=1", "unknown query parameter `before`")]
#[tokio::test]
async fn a_page_that_cannot_be_is_refused(#[case] query: &str, #[case] message: &str) {
    let admin = TestAdmin::start().await;
    let refused = admin.get(&format!("/v1/audit_logs{query}")).await;
    assert_eq!(
        (refused.status.as_u16(), refused.text("/message").as_str()),
        (400, message)
    );
}

/// It names personal keys.
#[tokio::test]
async fn only_whoever_may_do_everything_sees_the_trail() {
    let admin = TestAdmin::start().await;
    for (category, status) in [
        (KeyCategory::Personal, 200),
        (KeyCategory::WorkspaceManageAll, 403),
    ] {
        let key = admin.key(category).await;
        let ask = admin.ask(Method::GET, "/v1/audit_logs").credential(&key);
        assert_eq!(ask.send().await.status, status);
    }
}

/// Neither the texts nor the digests of keys are in any column.
#[tokio::test]
async fn the_trail_holds_no_secret() {
    let admin = TestAdmin::start().await;
    let key = admin.key(KeyCategory::Personal).await;
    let path = format!("/v1/api_keys/{}/rotate", &key[..11]);
    let rotated = admin.ask(Method::POST, &path).send().await.text("/api_key");
    let told = admin.get("/v1/audit_logs").await.body;
    for text in [&key, &rotated] {
        assert!(!told.contains(&text[12..]), "{told}");
        let digest = keyward::key::KeyDigest::of(text.as_bytes()).to_hex();
        assert!(!told.contains(&digest), "{told}");
    }
}
