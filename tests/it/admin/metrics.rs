//! What the admin listener counts.

use http::Method;
use keyward::key::KeyCategory;
use serde_json::json;

use crate::support::admin::{Ask, TestAdmin};

/// The series that have counted something, as they are scraped.
fn counted(admin: &TestAdmin) -> Vec<String> {
    let rendered = admin.metrics.render();
    let series = rendered
        .lines()
        .filter(|line| line.starts_with("keyward_admin_requests_total{") && !line.ends_with(" 0"));
    let mut series: Vec<String> = series.map(str::to_owned).collect();
    series.sort_unstable();
    series
}

#[tokio::test]
async fn a_request_is_counted_by_what_was_asked_and_what_became_of_it() {
    let admin = TestAdmin::start().await;
    assert_eq!(counted(&admin), [""; 0]);
    let key = admin.key(KeyCategory::WorkspaceInvoke).await;
    admin.get("/v1/api_keys").await;
    admin.get("/v1/api_keys?type=x").await;
    admin
        .post("/v1/api_keys", &json!({ "type": "PERSONAL" }))
        .await;
    admin.delete(&format!("/v1/api_keys/{}", &key[..11])).await;
    admin.get("/v1/teams").await;
    admin.post("/v1/teams", &json!({ "name": "default" })).await;
    admin.get("/v1/users/me").await;
    admin.get("/nowhere").await;
    admin.ask(Method::PUT, "/v1/api_keys").send().await;
    Ask::new(admin.address, Method::GET, "/v1/api_keys")
        .send()
        .await;
    let series = |command, status| {
        format!(
            "keyward_admin_requests_total{{dialect=\"baseten\",command=\"{command}\",status=\"{status}\"}} 1"
        )
    };
    let mut expected = [
        ("list_keys", 200),
        ("list_keys", 400),
        ("create_key", 200),
        ("delete_key", 200),
        ("list_teams", 200),
        ("create_team", 409),
        ("who_am_i", 200),
        ("none", 404),
        ("none", 405),
        ("none", 401),
    ]
    .map(|(command, status)| series(command, status));
    expected.sort_unstable();
    assert_eq!(counted(&admin), expected);
}

#[tokio::test]
async fn every_series_is_there_from_the_start() {
    let admin = TestAdmin::start().await;
    let rendered = admin.metrics.render();
    for command in ["none", "list_keys", "create_key", "delete_key", "who_am_i"] {
        for status in [200, 401, 429, 503] {
            let series = format!("command=\"{command}\",status=\"{status}\"}} 0");
            assert!(rendered.contains(&series), "{series}");
        }
    }
}
