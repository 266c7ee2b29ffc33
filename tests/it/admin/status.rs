//! `/v1/status`: what other rooms show of this process, and how far every instance is.

use std::time::Duration;

use http::Method;
use keyward::telemetry::refusals::KEPT_OF_A_REASON;
use serde_json::Value;

use crate::support::admin::{Answer, TestAdmin};
use crate::support::keyward::{TestKey, TestKeyward, post};
use crate::support::store::new_secret;
use crate::support::{upstream, within};

/// Two routes, so that which one was asked for is seen.
const SETTINGS: &str = "server.name = \"edge-1\"\n\
    [[proxy.routes]]\npath = \"/models/{model}/predict\"\nupstream = \"default\"\n\
    [[proxy.routes]]\nhost = \"api.example\"\npath = \"/v1/chat/completions\"\nupstream = \"default\"\n\
    model = \"not-needed\"\n";

async fn status(keyward: &TestKeyward) -> Answer {
    keyward.administer(Method::GET, "/v1/status").send().await
}

fn nobody() -> TestKey {
    let text = new_secret().reveal().to_owned();
    let prefix = text[..11].to_owned();
    TestKey { text, prefix }
}

/// The refusals as `reason route prefix`, newest first.
fn refusals(status: &Value) -> Vec<String> {
    let refusals = status["refusals"].as_array().expect("a list");
    let shown = |refusal: &Value| {
        let text = |member: &str| refusal[member].as_str().unwrap_or("-").to_owned();
        assert!(text("at").ends_with('Z'));
        format!("{} {} {}", text("reason"), text("route"), text("prefix"))
    };
    refusals.iter().map(shown).collect()
}

#[tokio::test]
async fn a_refusal_is_seen_with_its_reason_its_route_and_our_own_keys_prefix() {
    let keyward = TestKeyward::with(SETTINGS).await;
    let scoped = keyward.key_for(&["m1"]).await;
    let metrics = keyward.create_key("WORKSPACE_EXPORT_METRICS", None).await;
    let unknown = nobody();
    assert_eq!(keyward.call(&scoped, "m2").await.status(), 403);
    assert_eq!(keyward.call(&unknown, "m1").await.status(), 401);
    assert_eq!(keyward.call(&metrics, "m1").await.status(), 403);
    let elsewhere = post("/elsewhere", &scoped, "{}");
    assert_eq!(keyward.raw().await.call(elsewhere).await.status(), 404);
    let bare = "GET /models/m1/predict HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(keyward.raw().await.call(bare).await.status(), 401);

    let answer = status(&keyward).await;
    let route = "/models/{model}/predict";
    assert_eq!(
        refusals(&answer.json()),
        [
            format!("missing_key {route} -"),
            format!("no_route - {}", scoped.prefix),
            format!("category_not_allowed {route} {}", metrics.prefix),
            format!("unknown_key {route} -"),
            format!("model_not_allowed {route} {}", scoped.prefix),
        ]
    );
    for key in [&scoped, &metrics, &unknown] {
        assert!(!answer.body.contains(&key.text[12..]), "{answer}");
    }
    assert!(!answer.body.contains(&unknown.prefix), "{answer}");
    let counts = answer.json()["refused"].clone();
    assert_eq!(counts.as_array().map(Vec::len), Some(5), "{counts}");
}

#[tokio::test]
async fn an_upstream_that_fails_is_seen_with_its_route() {
    let keyward = TestKeyward::with("upstreams.default.url = \"http://127.0.0.1:1\"").await;
    let key = keyward.key().await;
    assert_eq!(keyward.call(&key, "m1").await.status(), 502);
    let seen = refusals(&status(&keyward).await.json());
    assert_eq!(seen.len(), 1);
    assert!(seen[0].starts_with("upstream_failed "), "{seen:?}");
    assert!(seen[0].contains("/models/{model}/predict"), "{seen:?}");
}

#[tokio::test]
async fn a_flood_is_counted_whole_and_shown_in_part() {
    let keyward = TestKeyward::with(SETTINGS).await;
    let scoped = keyward.key_for(&["m1"]).await;
    keyward.call(&scoped, "m2").await;
    let bare = "GET /models/m1/predict HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut connection = keyward.raw().await;
    for _ in 0..500 {
        assert_eq!(connection.call(bare).await.status(), 401);
    }
    let status = status(&keyward).await.json();
    let seen = refusals(&status);
    let flood = seen.iter().filter(|one| one.starts_with("missing_key"));
    assert!((1..=KEPT_OF_A_REASON).contains(&flood.count()), "{seen:?}");
    assert!(seen.iter().any(|one| one.starts_with("model_not_allowed")));
    let counts = status["refused"].as_array().expect("a list");
    let of = |reason: &str| counts.iter().find(|one| one["reason"] == reason);
    assert_eq!(
        of("missing_key").map(|one| &one["count"]),
        Some(&500.into())
    );
}

/// Whoever may not manage a key does not see it here either.
#[tokio::test]
async fn a_manager_of_some_keys_sees_no_prefix() {
    let keyward = TestKeyward::with(SETTINGS).await;
    let manager = keyward.create_key("WORKSPACE_MANAGE_ALL", None).await;
    let scoped = keyward.key_for(&["m1"]).await;
    keyward.call(&scoped, "m2").await;
    let ask = keyward.administer(Method::GET, "/v1/status");
    let answer = ask.credential(&manager.text).send().await;
    let seen = refusals(&answer.json());
    assert_eq!(seen, ["model_not_allowed /models/{model}/predict -"]);
    assert!(!answer.body.contains(&scoped.prefix));
}

#[tokio::test]
async fn every_instance_is_named_and_this_one_says_how_fresh_it_is() {
    let keyward = TestKeyward::with(SETTINGS).await;
    let _other = keyward.beside("server.name = \"edge-2\"").await;
    let answer = status(&keyward).await.json();
    let names: Vec<&Value> = answer["instances"]
        .as_array()
        .expect("a list")
        .iter()
        .inspect(|instance| assert_eq!(instance["heard"], true))
        .map(|instance| &instance["name"])
        .collect();
    assert_eq!(names, ["edge-1", "edge-2"]);
    let this = &answer["this"];
    assert_eq!(this["name"], "edge-1");
    assert_eq!(this["memory"], "fresh");
    assert_eq!(
        (&this["complete"], &this["sealed"]),
        (&true.into(), &false.into())
    );
    assert!(this["age_ms"].as_u64().is_some_and(|age| age < 10_000));
    let calls = format!("http://{}", keyward.addresses.proxy);
    assert_eq!(this["calls_at"], *calls);
    assert_eq!(this["example"]["path"], "/models/{model}/predict");
}

#[tokio::test]
async fn it_answers_when_the_database_does_not_say_who_runs() {
    let keyward = TestKeyward::with(SETTINGS).await;
    keyward.by_hand("DROP TABLE instances").await;
    let answer = status(&keyward).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["instances"], Value::Null);
    assert_eq!(answer.json()["this"]["memory"], "fresh");
}

#[tokio::test]
async fn traffic_is_what_went_through() {
    let keyward = TestKeyward::with(SETTINGS).await;
    let answer = upstream::Answer::new(200, "{}");
    keyward.upstream.on("/models/m1/predict", answer);
    let key = keyward.key_for(&["m1"]).await;
    for _ in 0..7 {
        assert_eq!(keyward.call(&key, "m1").await.status(), 200);
    }
    keyward.call(&key, "m2").await;
    within("all calls are seen", async {
        while totals(&keyward).await != (7, 1) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// How many calls were forwarded and how many refused, as far as traffic was looked at.
async fn totals(keyward: &TestKeyward) -> (u64, u64) {
    let status = status(keyward).await.json();
    let windows = status["traffic"].as_array().expect("a list");
    let total = |member: &str| {
        let counts = windows.iter().filter_map(|window| window[member].as_u64());
        counts.sum()
    };
    (total("forwarded"), total("refused"))
}

#[tokio::test]
async fn a_query_is_refused() {
    let admin = TestAdmin::start().await;
    assert_eq!(admin.get("/v1/status?since=1").await.status, 400);
}
