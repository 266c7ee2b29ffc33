//! The log of the real binary: one JSON object a line, and what a reload says there.

use std::fs;

use http::Method;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::admin::TOKEN;
use crate::support::eventually;
use crate::support::keyward::{KeywardProcess, post};

/// Every line of the log.
fn lines(keyward: &KeywardProcess) -> Vec<Value> {
    let log = fs::read_to_string(keyward.path("keyward.log")).expect("its standard error");
    let json = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    log.lines().map(json).collect()
}

/// The lines with this message, once there are so many.
async fn told(keyward: &KeywardProcess, message: &str, times: usize) -> Vec<Value> {
    eventually(message, || {
        let mut lines = lines(keyward);
        lines.retain(|line| line["message"] == message);
        (lines.len() >= times).then_some(lines)
    })
    .await
}

#[tokio::test]
async fn a_reload_changes_the_level_and_names_what_waits() {
    let keyward = KeywardProcess::start("").await;
    let key = "kw_canarycanary";
    let request = format!(
        "POST /models/m/predict HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
         content-length: 2\r\n\r\n{{}}"
    );
    assert_eq!(keyward.raw().await.call(&request).await.status(), 401);

    keyward.write_settings("log.level = \"debug\"\ncache.keys = 7\nusage.queue = 7\n");
    keyward.signal(Signal::HUP);
    told(&keyward, "settings read again", 1).await;
    let waiting = told(&keyward, "changed, and counts from the next start on", 2).await;
    let named: Vec<_> = waiting.iter().map(|line| &line["setting"]).collect();
    assert_eq!(named, ["cache.keys", "usage.queue"]);
    assert_eq!(waiting[0]["level"], "WARN");

    // The first refusal came at the level `info`, the second does not.
    assert_eq!(keyward.raw().await.call(&request).await.status(), 401);
    let refused = told(&keyward, "request refused", 1).await;
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0]["level"], "DEBUG");
    let log = fs::read_to_string(keyward.path("keyward.log")).expect("its standard error");
    assert!(!log.contains("canary"), "{log}");

    // Back to what it was started with: nothing waits any more.
    keyward.write_settings("log.level = \"debug\"\n");
    keyward.signal(Signal::HUP);
    told(&keyward, "settings read again", 2).await;
    let waiting = told(&keyward, "changed, and counts from the next start on", 2).await;
    assert_eq!(waiting.len(), 2);
}

#[tokio::test]
async fn wrong_settings_are_refused_in_one_line_and_the_old_ones_stay() {
    let keyward = KeywardProcess::start("").await;
    let key = keyward.key().await;
    keyward.write_settings("cache.keys = 0\nproxy.lisen = \"x\"\n");
    keyward.signal(Signal::HUP);
    let message = "settings are wrong; the old ones stay in force";
    let refused = told(&keyward, message, 1).await;
    assert_eq!(refused[0]["level"], "ERROR");
    let error = refused[0]["error"].as_str().expect("text");
    assert!(error.contains("cache.keys: must be from 1"), "{error}");
    assert!(error.contains('\n'), "both are told: {error}");
    assert!(error.contains("proxy.lisen: is no setting"), "{error}");
    let mut caller = keyward.raw().await;
    let request = post("/models/m/predict", &key, "{}");
    assert_eq!(caller.call(request).await.status(), 200);
}

#[tokio::test]
async fn an_admin_token_whose_text_changes_is_told_of_and_counts_from_the_next_start_on() {
    let keyward = KeywardProcess::start("").await;
    let waits = "changed, and counts from the next start on";
    // The page of settings shows neither text, so that both say the same.
    let file = keyward.path("keyward.toml");
    let text = fs::read_to_string(&file).expect("its settings");
    let other = "kwadmin_a-canary-of-another-token-long-enough";
    fs::write(&file, text.replace(TOKEN, other)).expect("the file is ours");
    keyward.signal(Signal::HUP);
    let waiting = told(&keyward, waits, 1).await;
    let named: Vec<_> = waiting.iter().map(|line| &line["setting"]).collect();
    assert_eq!(named, ["admin.token"]);
    let listed = keyward.administer(Method::GET, "/v1/api_keys").send().await;
    assert_eq!(listed.status, 200, "the token of the start is in force");
    let log = fs::read_to_string(keyward.path("keyward.log")).expect("its standard error");
    assert!(!log.contains("canary"), "{log}");
}
