//! What an answer says of what was done.

use super::*;

#[tokio::test]
async fn what_the_database_did_not_do_is_not_acknowledged() {
    let admin = TestAdmin::start().await;
    let key = admin.key(KeyCategory::WorkspaceInvoke).await;
    for what in ["INSERT", "UPDATE"] {
        let fail = format!(
            "CREATE TRIGGER no_{what} BEFORE {what} ON api_keys BEGIN SELECT RAISE(ABORT, 'no'); END"
        );
        admin.database.by_hand(&fail).await;
    }
    let made = admin
        .post("/v1/api_keys", &json!({ "type": "PERSONAL" }))
        .await;
    assert_data_eq!(
        fixed(&made),
        str![[r#"
503 Service Unavailable
content-type: application/json
retry-after: 1
x-request-id: of-this-test
cache-control: no-store

{
  "code": "INTERNAL",
  "message": "the key database did not do what was asked; try again"
}
"#]]
    );
    let deleted = admin.delete(&format!("/v1/api_keys/{}", &key[..11])).await;
    assert_eq!(
        (deleted.status.as_u16(), deleted.code()),
        (503, "INTERNAL".to_owned())
    );
    assert_eq!(admin.database.fill().await.len(), 1);
    admin
        .database
        .by_hand("DROP TRIGGER no_INSERT; DROP TRIGGER no_UPDATE")
        .await;
    let deleted = admin.delete(&format!("/v1/api_keys/{}", &key[..11])).await;
    assert_eq!(deleted.status, 200, "{deleted}");
}

/// Whoever writes a word that is not known relies on a wait that would not be.
#[rstest]
#[case::other_word("?wait=everywhere")]
#[case::other_case("?wait=ALL")]
#[case::nothing("?wait=")]
#[case::twice("?wait=all&wait=all")]
#[case::other_name("?wiat=all")]
#[tokio::test]
async fn a_wait_that_is_not_known_is_refused_before_anything_is_done(#[case] query: &str) {
    let admin = TestAdmin::start().await;
    let key = admin.key(KeyCategory::WorkspaceInvoke).await;
    let team = admin.get("/v1/teams").await.text("/teams/0/id");
    let body = json!({ "type": "PERSONAL" });
    let refused = [
        admin
            .delete(&format!("/v1/api_keys/{}{query}", &key[..11]))
            .await,
        admin.post(&format!("/v1/api_keys{query}"), &body).await,
        admin
            .post(&format!("/v1/teams/{team}/api_keys{query}"), &body)
            .await,
    ];
    for answer in refused {
        let said = (answer.status.as_u16(), answer.code());
        assert_eq!(said, (400, "VALIDATION_ERROR".to_owned()), "{answer}");
        let named = ["`instance` or `all`", "comes twice", "`wiat`"];
        let message = answer.text("/message");
        assert!(named.iter().any(|word| message.contains(word)), "{answer}");
    }
    assert_eq!(admin.database.fill().await.len(), 1);
}

/// No server runs on this database, so there is nobody to wait for.
#[tokio::test]
async fn whoever_waits_for_all_is_told_where_the_change_is_in_force() {
    let admin = TestAdmin::start().await;
    let without_time = |answer: &Answer| {
        let mut body = answer.json();
        let after = body["in_force"].as_object_mut().unwrap().remove("after_ms");
        assert!(after.is_some_and(|after| after.is_u64()), "{answer}");
        body["in_force"].clone()
    };
    let body = json!({ "type": "PERSONAL" });
    let made = admin.post("/v1/api_keys?wait=all", &body).await;
    let everywhere = json!({ "everywhere": true, "behind": [] });
    assert_eq!(without_time(&made), everywhere);
    let path = format!("/v1/api_keys/{}?wait=all", &made.text("/api_key")[..11]);
    let deleted = admin.delete(&path).await;
    assert_eq!(without_time(&deleted), everywhere);
    assert_eq!(admin.delete(&path).await.status, 404);
}
