//! How long a caller may be silent, and what does not count as silence.

use std::time::{Duration, Instant};

use crate::support::keyward::TestKeyward;
use crate::support::raw::RawConnection;
use crate::support::raw_upstream::RawUpstream;

#[tokio::test]
async fn a_caller_that_is_refused_again_and_again_keeps_its_connection() {
    let keyward = TestKeyward::with("proxy.limits.head_timeout = \"200ms\"\n").await;
    let mut connection = keyward.raw().await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        let answer = connection
            .call("POST /models/m/predict HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}")
            .await;
        assert_eq!(answer.status(), 401);
    }
}

#[tokio::test]
async fn an_upstream_that_never_begins_to_speak_tls_is_late_within_the_time_to_connect() {
    let upstream = RawUpstream::start(async |mut connection: RawConnection| {
        drop(connection.until_closed().await);
    });
    let settings = format!(
        "upstreams.default.url = \"https://{}\"\nupstreams.default.limits.connect_timeout = \"200ms\"\n",
        upstream.address()
    );
    let keyward = TestKeyward::with(&settings).await;
    let key = keyward.key().await;
    assert_eq!(keyward.call(&key, "m").await.status(), 504);
    assert_eq!(keyward.counted.outcomes()["upstream_timed_out"], 1);
}
