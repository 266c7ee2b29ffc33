//! A key among the subprotocols, where the settings say that it may be there: `OpenAI`'s way for pages in browsers.

use rstest::rstest;

use super::{Between, SWITCHING, anonymous};
use crate::support::keyward::TestKeyward;

const PLACES: &str = "[[proxy.credentials]]\nin = \"authorization\"\nschemes = [\"Bearer\"]\n\
    [[proxy.credentials]]\nin = \"websocket-protocol\"\nprefix = \"openai-insecure-api-key.\"\n";

#[rstest]
#[case::in_the_middle("realtime, openai-insecure-api-key.{key}, openai-beta.realtime-v1", &["realtime, openai-beta.realtime-v1"])]
#[case::first("openai-insecure-api-key.{key},realtime", &["realtime"])]
#[case::in_a_line_of_its_own("realtime\r\nSec-WebSocket-Protocol: openai-insecure-api-key.{key}", &["realtime"])]
#[case::alone("openai-insecure-api-key.{key}", &[])]
#[tokio::test]
async fn a_key_among_the_subprotocols_counts_and_is_taken_out(
    #[case] offered: &str,
    #[case] goes_on: &[&str],
) {
    let between = Between::start(PLACES).await;
    let key = between.keyward.key().await;
    let offered = offered.replace("{key}", &key.text);
    let request = anonymous(&format!("Sec-WebSocket-Protocol: {offered}\r\n"));
    let told = between.ask(&request, &format!("{SWITCHING}\r\n")).await;
    assert_eq!(told.answered.status(), 101);
    assert_eq!(told.asked.all("sec-websocket-protocol"), goes_on);
    let secret = key.text.split('.').next_back().unwrap();
    let upstream = String::from_utf8(told.asked.bytes).unwrap();
    assert!(!upstream.contains(secret), "{upstream}");
    let answered = String::from_utf8(told.answered.bytes).unwrap();
    assert!(!answered.contains(secret), "{answered}");
}

#[rstest]
#[case::another_prefix("realtime, api-key.{key}", 401)]
#[case::in_capitals("OPENAI-INSECURE-API-KEY.{key}", 401)]
#[case::two_keys("openai-insecure-api-key.{key}, openai-insecure-api-key.{other}", 401)]
#[case::the_same_twice("openai-insecure-api-key.{key}, openai-insecure-api-key.{key}", 401)]
#[case::no_key("openai-insecure-api-key.", 401)]
#[case::not_whole("openai-insecure-api-key.{key}x", 401)]
#[case::another_in_the_header(
    "openai-insecure-api-key.{key}\r\nAuthorization: Bearer {other}",
    401
)]
#[tokio::test]
async fn a_key_that_is_not_quite_there_does_not_count(#[case] offered: &str, #[case] status: u16) {
    let keyward = TestKeyward::with(PLACES).await;
    let (key, other) = (keyward.key().await, keyward.key().await);
    let offered = offered
        .replace("{key}", &key.text)
        .replace("{other}", &other.text);
    let request = anonymous(&format!("Sec-WebSocket-Protocol: {offered}\r\n"));
    assert_eq!(keyward.raw().await.call(request).await.status(), status);
    assert_eq!(keyward.upstream.requests().len(), 0);
}

#[tokio::test]
async fn without_the_setting_a_key_there_is_none_and_never_goes_on() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let offered = format!(
        "Sec-WebSocket-Protocol: openai-insecure-api-key.{}\r\n",
        key.text
    );
    let answer = keyward.raw().await.call(anonymous(&offered)).await;
    assert_eq!(answer.status(), 401);
    // Beside a key in its place it lets the call pass, and not itself.
    let lines = format!("{offered}Authorization: Bearer {}\r\n", key.text);
    assert_eq!(
        keyward.raw().await.call(anonymous(&lines)).await.status(),
        200
    );
    let seen = keyward.upstream.request(0).await;
    assert_eq!(seen.header("sec-websocket-protocol"), None);
}
