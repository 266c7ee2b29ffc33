//! Connections that are lost: what was not read is sent again, what may have been is not.

use super::{HTTP2, PREDICT};
use crate::support::keyward::{TestKeyward, post};
use crate::support::raw_upstream::RawUpstream;

/// The frames of an empty SETTINGS and of its acknowledgement.
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
const ACKNOWLEDGED: &[u8] = b"\0\0\0\x04\x01\0\0\0\0";

#[tokio::test]
async fn a_connection_that_does_not_say_that_it_lives_is_given_up_with_its_calls() {
    let upstream = RawUpstream::start(|mut connection| async move {
        connection.read_exactly(24).await;
        connection.write(SETTINGS).await;
        connection.write(ACKNOWLEDGED).await;
        // It reads on, and never says a word.
        connection.until_closed().await;
    });
    let settings = format!(
        "upstreams.default.url = \"{}\"\n{HTTP2}[upstreams.default.limits]\n\
         http2_ping_interval = \"50ms\"\nhttp2_ping_timeout = \"50ms\"\n",
        upstream.url()
    );
    let keyward = TestKeyward::with(&settings).await;
    let key = keyward.key().await;
    assert_eq!(keyward.call(&key, "m").await.status(), 502);
    assert_eq!(keyward.counted.outcomes()["upstream_failed"], 1);
}

/// One that answers when it is asked may be silent for as long as the head may take.
#[tokio::test]
async fn a_connection_that_says_that_it_lives_may_be_silent() {
    let settings = format!(
        "{HTTP2}[upstreams.default.limits]\nhttp2_ping_interval = \"20ms\"\nhttp2_ping_timeout = \"500ms\"\n"
    );
    let keyward = TestKeyward::with(&settings).await;
    let key = keyward.key().await;
    let gate = crate::support::upstream::Gate::closed();
    keyward
        .upstream
        .next(crate::support::upstream::Answer::new(200, "at last").behind(&gate));
    let mut caller = keyward.raw().await;
    caller.write(post(PREDICT, &key, "{}")).await;
    keyward.upstream.request(0).await;
    // Long enough for some questions: a PING is 17 bytes.
    let before = keyward.upstream.received(0).len();
    crate::support::eventually("some questions come", || {
        (keyward.upstream.received(0).len() >= before + 5 * 17).then_some(())
    })
    .await;
    gate.open();
    assert_eq!(caller.read_answer().await.text(), "at last");
}
