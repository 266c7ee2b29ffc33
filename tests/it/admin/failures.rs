//! Failed attempts slow their sender down, and nobody else.

use http::Method;
use keyward::key::KeyCategory;

use crate::support::admin::{Ask, TOKEN, TestAdmin};

#[tokio::test]
async fn who_fails_too_often_waits_and_whoever_worked_before_does_not() {
    let admin = TestAdmin::with(|config| config.failures_per_minute = 3).await;
    let known = admin.key(KeyCategory::Personal).await;
    let unseen = admin.key(KeyCategory::Personal).await;
    let ask = |text: &str| {
        admin
            .ask(Method::GET, "/v1/users/me")
            .credential(text)
            .send()
    };
    assert_eq!(ask(&known).await.status, 200);
    for _ in 0..3 {
        assert_eq!(ask("kwadmin_wrong").await.status, 401);
    }
    for text in ["kwadmin_wrong", "not even a key", &unseen, TOKEN] {
        let slowed = ask(text).await;
        assert_eq!(slowed.status, 429, "{slowed}");
        assert_eq!(slowed.code(), "UNAUTHORIZED");
        let wait: u64 = slowed.headers["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
    }
    assert_eq!(ask(&known).await.status, 200);
}

#[tokio::test]
async fn asking_without_a_credential_is_no_failed_attempt() {
    let admin = TestAdmin::with(|config| config.failures_per_minute = 1).await;
    for _ in 0..5 {
        let ask = Ask::new(admin.address, Method::GET, "/v1/users/me");
        assert_eq!(ask.send().await.status, 401);
    }
    assert_eq!(admin.get("/v1/users/me").await.status, 200);
}
