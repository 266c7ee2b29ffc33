//! What becomes of a WebSocket when its key ends, where the settings say that it ends as well, and where not.

use rstest::rstest;
use serde_json::json;

use super::Between;
use crate::support::raw::Ending;

const END: &str = "proxy.calls_of_ended_keys = \"end\"\n";

/// A close frame of a server: 1008, and why.
fn close(reason: &str) -> Vec<u8> {
    let length = u8::try_from(2 + reason.len()).expect("a short reason");
    [&[0x88, length, 0x03, 0xf0], reason.as_bytes()].concat()
}

#[rstest]
#[case::before_a_word(&[], "deleted_at = 1", "invalid API key")]
#[case::after_a_frame(b"\x81\x02hi", "disabled_at = 1", "invalid API key")]
#[case::between_the_parts_of_a_message(b"\x01\x02hi", "expires_at = 1", "invalid API key")]
#[case::for_another_model(
    b"\x81\x02hi",
    "scope = '[\"other\"]'",
    "this key may not call this model"
)]
#[tokio::test]
async fn a_caller_is_told_by_a_close_frame(
    #[case] said: &[u8],
    #[case] change: &str,
    #[case] reason: &str,
) {
    let between = Between::start(END).await;
    let key = between.keyward.key().await;
    let (mut caller, mut upstream) = between.open(&key).await;
    upstream.write(said).await;
    assert_eq!(caller.read_exactly(said.len()).await, said);
    between.are_open(1).await;
    between.keyward.change_key(&key, change).await;
    let expected = close(reason);
    assert_eq!(caller.read_exactly(expected.len()).await, expected);
    // The upstream hears of it though the caller says nothing.
    upstream.until_closed().await;
    // What the caller says by then takes nothing from it, and the end is clean.
    caller.write(b"\x81\x80\0\0\0\0").await;
    caller.finish();
    assert_eq!(caller.until_closed().await, (Vec::new(), Ending::Closed));
    between.ended("key_ended").await;
    assert_eq!(between.keyward.counted.calls_ended_with_keys(), 1);
}

#[rstest]
#[case::in_a_frame(b"\x81\x05hal")]
#[case::in_the_head_of_one(b"\x81\x7e\x01")]
#[case::after_the_upstreams_close(b"\x88\x02\x03\xe8")]
#[tokio::test]
async fn where_no_frame_can_begin_the_connection_is_closed(#[case] said: &[u8]) {
    let between = Between::start(END).await;
    let key = between.keyward.key().await;
    let (mut caller, mut upstream) = between.open(&key).await;
    upstream.write(said).await;
    assert_eq!(caller.read_exactly(said.len()).await, said);
    between.keyward.delete_key(&key).await;
    assert_eq!(caller.until_closed().await.0, b"");
    upstream.until_closed().await;
    between.ended("key_ended").await;
}

#[tokio::test]
async fn a_caller_that_reads_nothing_does_not_keep_its_upstream() {
    let settings = format!("{END}proxy.limits.websocket_close_timeout = \"100ms\"\n");
    let between = Between::start(&settings).await;
    let key = between.keyward.key().await;
    let (_caller, mut upstream) = between.open(&key).await;
    // More than any buffer on the way takes.
    let message = [&b"\x82\x7f\0\0\0\0\x10\0\0\0"[..], &vec![0; 64 << 10]].concat();
    upstream.write(message).await;
    between.are_open(1).await;
    between.keyward.delete_key(&key).await;
    upstream.until_closed().await;
    between.ended("key_ended").await;
}

#[tokio::test]
async fn it_goes_on_where_the_settings_say_nothing() {
    let between = Between::start("").await;
    let key = between.keyward.key().await;
    let (mut caller, mut upstream) = between.open(&key).await;
    between.keyward.delete_key(&key).await;
    upstream.write(b"\x81\x02hi").await;
    assert_eq!(caller.read_exactly(4).await, b"\x81\x02hi");
    caller.write(b"\x81\x80\0\0\0\0").await;
    assert_eq!(upstream.read_exactly(6).await, b"\x81\x80\0\0\0\0");
    assert_eq!(between.keyward.counted.calls_ended_with_keys(), 0);
}

/// Of two keys, where the settings say nothing: one asks for it, one does not.
#[tokio::test]
async fn a_key_can_ask_for_it_itself() {
    let between = Between::start("").await;
    let wish = json!({ "type": "WORKSPACE_INVOKE", "ends_calls": true });
    let (asks, other) = (
        between.keyward.create(&wish).await,
        between.keyward.key().await,
    );
    let (mut caller, mut upstream) = between.open(&asks).await;
    let (mut other_caller, mut other_upstream) = between.open(&other).await;
    between.are_open(2).await;
    between.keyward.delete_key(&other).await;
    between.keyward.delete_key(&asks).await;
    let expected = close("invalid API key");
    assert_eq!(caller.read_exactly(expected.len()).await, expected);
    upstream.until_closed().await;
    caller.finish();
    assert_eq!(caller.until_closed().await, (Vec::new(), Ending::Closed));
    other_upstream.write(b"\x81\x02hi").await;
    assert_eq!(other_caller.read_exactly(4).await, b"\x81\x02hi");
    assert_eq!(between.keyward.counted.calls_ended_with_keys(), 1);
}
