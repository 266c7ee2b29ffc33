//! Every endpoint of every dialect, in the hands of everybody who may not use it (SECURITY A1).
//!
//! The endpoints are those of the served document, so that a new dialect is swept from its first day.

use std::time::Duration;

use http::Method;
use keyward::key::KeyCategory;
use rstest::rstest;

use crate::support::admin::{Answer, Ask, TOKEN, TestAdmin};

/// That `answer` is a refusal in the words of the dialect that speaks at `path`: a code, or whatever it says.
fn assert_says(path: &str, answer: &Answer, code: &str) {
    let is_baseten = [
        "/v1/api_keys",
        "/v1/audit_logs",
        "/v1/status",
        "/v1/teams",
        "/v1/users",
        "/no/",
    ]
    .iter()
    .any(|beginning| path.starts_with(beginning));
    if is_baseten {
        assert_eq!(answer.code(), code, "{path}");
    } else if path.starts_with("/api/") {
        assert!(!answer.text("/error/message").is_empty(), "{path}");
    } else {
        assert!(!answer.text("/error").is_empty(), "{path}");
    }
}

/// Every documented method and path, with something in the place of each parameter.
async fn endpoints(admin: &TestAdmin) -> Vec<(Method, String)> {
    let document = admin.get("/openapi.json").await.json();
    let mut endpoints = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let parts = path
            .split('/')
            .map(|part| if part.starts_with('{') { "x" } else { part });
        let path = parts.collect::<Vec<_>>().join("/");
        for method in operations.as_object().unwrap().keys() {
            let method = method.to_uppercase().parse().unwrap();
            endpoints.push((method, path.clone()));
        }
    }
    assert!(endpoints.len() >= 14, "{endpoints:?}");
    endpoints.push((Method::GET, "/no/such/path".to_owned()));
    endpoints
}

#[rstest]
#[case::none(|ask: Ask| ask.without("authorization"))]
#[case::empty(|ask: Ask| ask.header("authorization", ""))]
#[case::scheme_alone(|ask: Ask| ask.header("authorization", "Api-Key"))]
#[case::no_scheme(|ask: Ask| ask.header("authorization", TOKEN))]
#[case::other_scheme(|ask: Ask| ask.header("authorization", "Basic a3dhZG1pbjo="))]
#[case::wrong(|ask: Ask| ask.credential("kwadmin_another-token-altogether"))]
#[case::truncated(|ask: Ask| ask.credential(&TOKEN[..TOKEN.len() - 1]))]
#[case::extended(|ask: Ask| ask.credential(&format!("{TOKEN}s")))]
#[case::other_case(|ask: Ask| ask.credential(&TOKEN.to_uppercase()))]
#[case::two_in_one(|ask: Ask| ask.header("authorization", &format!("Api-Key {TOKEN}, Api-Key {TOKEN}")))]
#[case::repeated(|ask: Ask| ask.further_header("authorization", &format!("Bearer {TOKEN}")))]
#[case::not_ascii(|ask: Ask| ask.credential("schlüssel"))]
#[case::huge(|ask: Ask| ask.credential(&"a".repeat(4096)))]
#[case::in_a_query_or_cookie(|ask: Ask| ask.without("authorization").header("cookie", TOKEN).header("x-api-key", TOKEN))]
#[tokio::test]
async fn a_stranger_gets_401_everywhere(#[case] change: fn(Ask) -> Ask) {
    let admin = TestAdmin::with(|config| config.failures_per_minute = 1000).await;
    for (method, path) in endpoints(&admin).await {
        let refused = change(admin.ask(method.clone(), &path)).send().await;
        assert_eq!(refused.status, 401, "{method} {path}");
        assert_eq!(
            refused.headers.get_all("www-authenticate").iter().count(),
            2
        );
        if method != Method::HEAD {
            assert_says(&path, &refused, "UNAUTHORIZED");
        }
    }
}

#[rstest]
#[case(KeyCategory::WorkspaceInvoke)]
#[case(KeyCategory::WorkspaceExportMetrics)]
#[tokio::test]
async fn a_live_key_that_may_not_administer_gets_403_everywhere(#[case] category: KeyCategory) {
    let admin = TestAdmin::start().await;
    let key = admin.key(category).await;
    for (method, path) in endpoints(&admin).await {
        let refused = admin
            .ask(method.clone(), &path)
            .credential(&key)
            .send()
            .await;
        assert_eq!(refused.status, 403, "{method} {path}");
        assert_says(&path, &refused, "FORBIDDEN");
    }
}

#[tokio::test]
async fn a_key_of_a_type_we_do_not_know_may_not_administer() {
    let admin = TestAdmin::start().await;
    let key = admin.key(KeyCategory::Personal).await;
    admin
        .database
        .by_hand("UPDATE api_keys SET category = 'WORKSPACE_FUTURE'")
        .await;
    let refused = admin
        .ask(Method::GET, "/v1/api_keys")
        .credential(&key)
        .send()
        .await;
    assert_eq!(refused.status, 403);
    let listed = admin.get("/v1/api_keys").await;
    assert_eq!(listed.text("/keys/0/type"), "WORKSPACE_FUTURE");
}

#[rstest]
#[case::deleted("UPDATE api_keys SET deleted_at = 1")]
#[case::disabled("UPDATE api_keys SET disabled_at = 1")]
#[case::expired("UPDATE api_keys SET expires_at = unixepoch()")]
#[tokio::test]
async fn a_key_that_does_not_work_is_nobody(#[case] sql: &str) {
    let admin = TestAdmin::start().await;
    let key = admin.key(KeyCategory::Personal).await;
    admin.database.by_hand(sql).await;
    for (method, path) in endpoints(&admin).await {
        let refused = admin.ask(method, &path).credential(&key).send().await;
        assert_eq!(refused.status, 401);
    }
}

#[rstest]
#[case("Api-Key")]
#[case("api-key")]
#[case("Bearer")]
#[case("BEARER")]
#[case("Bearer  ")]
#[tokio::test]
async fn a_credential_is_presented_in_either_scheme(#[case] scheme: &str) {
    let admin = TestAdmin::start().await;
    let key = admin.key(KeyCategory::Personal).await;
    for text in [TOKEN, &key] {
        let ask = admin.ask(Method::GET, "/v1/users/me");
        let answer = ask
            .header("authorization", &format!("{scheme} {text}"))
            .send()
            .await;
        assert_eq!(answer.status, 200, "{answer}");
    }
}

#[tokio::test]
async fn a_wrong_method_is_refused_in_the_dialects_words_and_told_the_right_ones() {
    let admin = TestAdmin::start().await;
    let endpoints = endpoints(&admin).await;
    let methods = [
        "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW",
    ];
    for (_, path) in endpoints.iter().filter(|(_, path)| path != "/no/such/path") {
        for method in methods {
            let method: Method = method.parse().unwrap();
            let is_documented = endpoints.contains(&(method.clone(), path.clone()));
            let answer = admin.ask(method.clone(), path).send().await;
            assert_eq!(
                answer.status == 405,
                !is_documented,
                "{method} {path} {answer}"
            );
            if !is_documented {
                assert_says(path, &answer, "VALIDATION_ERROR");
                let allowed = answer.headers["allow"].to_str().unwrap();
                assert!(
                    !allowed.is_empty() && !allowed.contains(method.as_str()),
                    "{allowed}"
                );
            }
        }
    }
}

#[tokio::test]
async fn expiry_is_decided_by_the_clock() {
    let admin = TestAdmin::start().await;
    let key = admin.key(KeyCategory::Personal).await;
    admin
        .database
        .by_hand("UPDATE api_keys SET expires_at = unixepoch() + 1000")
        .await;
    let ask = || {
        admin
            .ask(Method::GET, "/v1/users/me")
            .credential(&key)
            .send()
    };
    assert_eq!(ask().await.status, 200);
    let later = admin.clock.unix_time().as_secs() + 1000;
    admin.clock.follow(Duration::from_secs(later));
    assert_eq!(ask().await.status, 401);
}
