//! How long a caller may be silent, and what does not count as silence.

use std::time::{Duration, Instant};

use crate::support::keyward::TestKeyward;

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
