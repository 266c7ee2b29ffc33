//! When a key was last used, as the admin listener tells it.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::keyward::{TestKey, TestKeyward};
use crate::support::within;

async fn last_used(keyward: &TestKeyward, key: &TestKey) -> Value {
    keyward.listed(key).await["last_used_at"].clone()
}

/// Waits until the list tells another moment than `before`.
async fn moves(keyward: &TestKeyward, key: &TestKey, before: &Value) -> Value {
    within("the moment moves", async {
        loop {
            let now = last_used(keyward, key).await;
            if now != *before {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_first_use_is_told_within_two_seconds_and_an_unused_key_has_none() {
    let keyward = TestKeyward::start().await;
    let (used, unused) = (keyward.key().await, keyward.key().await);
    let refused = keyward.key_for(&["alpha"]).await;
    let called = Instant::now();
    assert_eq!(keyward.call(&used, "m").await.status(), 200);
    assert_eq!(keyward.call(&refused, "beta").await.status(), 403);
    moves(&keyward, &used, &Value::Null).await;
    assert!(
        called.elapsed() < Duration::from_secs(2),
        "{:?}",
        called.elapsed()
    );
    assert_eq!(last_used(&keyward, &unused).await, Value::Null);
    assert_eq!(last_used(&keyward, &refused).await, Value::Null);
}

#[tokio::test]
async fn later_uses_are_told_within_the_time_of_a_flush() {
    let settings = "[usage]\nflush_every = \"300ms\"\nfirst_within = \"50ms\"\n";
    let keyward = TestKeyward::with(settings).await;
    let key = keyward.key().await;
    keyward.call(&key, "m").await;
    let first = moves(&keyward, &key, &Value::Null).await;
    // Moments are whole seconds: a use in the same one tells nothing new, so call until another begins.
    let told = within("a later moment is told", async {
        loop {
            keyward.call(&key, "m").await;
            let now = last_used(&keyward, &key).await;
            if now != first {
                return now;
            }
        }
    });
    assert!(told.await.as_str() > first.as_str());
}
