//! What is held, and no more (SECURITY S10, S11 and 4).

use rstest::rstest;

use super::{CHUNKED, chunk, head, json, start};
use crate::support::eventually;
use crate::support::keyward::TestKeyward;

/// A body of so many bytes whose model comes last.
fn model_last(bytes: usize) -> String {
    let end = r#"","model":"m1"}"#;
    let padding = bytes - end.len() - r#"{"text":""#.len();
    format!(r#"{{"text":"{}{end}"#, "x".repeat(padding))
}

async fn holds(keyward: &TestKeyward, bytes: u64) {
    eventually("so much is held", || {
        (keyward.counted.held_body_bytes() == bytes).then_some(())
    })
    .await;
}

#[rstest]
#[case::within("held_body_bytes = 70000", 70_000, 200)]
#[case::passed("held_body_bytes = 70000\njudged_whole_bytes = 1000", 200_000, 413)]
#[case::of_the_default("", 16 * 1024 * 1024, 200)]
#[case::of_the_default_passed("", 18 * 1024 * 1024, 413)]
#[tokio::test]
async fn a_model_comes_within_what_is_held(
    #[case] limit: &str,
    #[case] bytes: usize,
    #[case] status: u16,
) {
    let keyward = start(limit).await;
    let key = keyward.key_for(&["m1"]).await;
    let mut caller = keyward.raw().await;
    let request = json("/v1/chat", &key, &model_last(bytes));
    // The refusal may come before all of it is written.
    drop(caller.try_write(request).await);
    let answer = caller.read_answer().await;
    assert_eq!(answer.status(), status, "{}", answer.text());
    if status == 413 {
        let limit = limit
            .lines()
            .next()
            .and_then(|line| line.split(" = ").nth(1));
        let said = format!("within the first {} bytes", limit.unwrap_or("16777216"));
        assert!(answer.text().contains(&said), "{}", answer.text());
        assert!(keyward.upstream.requests().is_empty());
        assert_eq!(keyward.counted.outcomes()["model_too_late"], 1);
    }
    holds(&keyward, 0).await;
}

#[tokio::test]
async fn a_large_body_that_names_its_model_first_is_not_held() {
    let keyward = start("held_body_bytes = 70000\nheld_bodies_bytes = 70000").await;
    let key = keyward.key_for(&["m1"]).await;
    // Many times what may be held; more would only take longer.
    let body = format!(r#"{{"model":"m1","text":"{}"}}"#, "x".repeat(2_000_000));
    let answer = keyward
        .raw()
        .await
        .call(json("/v1/chat", &key, &body))
        .await;
    assert_eq!(answer.status(), 200);
    assert_eq!(keyward.upstream.request(0).await.body().len(), body.len());
    assert_eq!(keyward.counted.held_body_bytes(), 0);
}

#[tokio::test]
async fn all_together_hold_no_more_than_they_may() {
    let keyward =
        start("held_body_bytes = 2000\nheld_bodies_bytes = 2000\njudged_whole_bytes = 100").await;
    let key = keyward.key_for(&["m1"]).await;
    let mut first = keyward.raw().await;
    let part = format!(r#"{{"text":"{}"#, "x".repeat(1_491));
    first
        .write(head("/v1/chat", &key, CHUNKED) + &chunk(&part))
        .await;
    holds(&keyward, 1_500).await;
    let mut second = keyward.raw().await;
    let one_too_many = format!(r#"{{"text":"{}"#, "x".repeat(492));
    let request = head("/v1/chat", &key, CHUNKED) + &chunk(&one_too_many) + "0\r\n\r\n";
    let refused = second.call(request).await;
    assert_eq!(refused.status(), 503, "{}", refused.text());
    assert_eq!(refused.head.field("retry-after"), Some("1"));
    assert_eq!(keyward.counted.outcomes()["held_bodies_full"], 1);
    assert_eq!(
        second
            .call(json("/v1/chat", &key, &model_last(500)))
            .await
            .status(),
        200
    );
    holds(&keyward, 1_500).await;
    // Whose model is known need not be held.
    let known = format!(r#"{{"model":"m1","text":"{}"}}"#, "x".repeat(1_000_000));
    assert_eq!(
        second.call(json("/v1/chat", &key, &known)).await.status(),
        200
    );
    // Whoever goes away gives back what was held for it.
    first.reset();
    holds(&keyward, 0).await;
    assert_eq!(
        second
            .call(json("/v1/chat", &key, &model_last(1_900)))
            .await
            .status(),
        200
    );
    holds(&keyward, 0).await;
}

#[rstest]
#[case::within("body_depth = 3", 2, 200)]
#[case::passed("body_depth = 3", 3, 400)]
#[case::of_the_default("", 127, 200)]
#[case::of_the_default_passed("", 128, 400)]
#[tokio::test]
async fn a_body_nests_so_deep(#[case] limit: &str, #[case] depth: usize, #[case] status: u16) {
    let keyward = start(limit).await;
    let key = keyward.key_for(&["m1"]).await;
    let body = format!(
        r#"{{"model":"m1","a":{}{}}}"#,
        "[".repeat(depth),
        "]".repeat(depth)
    );
    let answer = keyward
        .raw()
        .await
        .call(json("/v1/chat", &key, &body))
        .await;
    assert_eq!(answer.status(), status, "{}", answer.text());
}

#[rstest]
#[case::within("judged_whole_bytes = 2000", 2_000, 0)]
#[case::passed("judged_whole_bytes = 2000", 2_001, 1)]
#[case::of_the_default("", 65_536, 0)]
#[case::of_the_default_passed("", 65_537, 1)]
#[tokio::test]
async fn a_short_body_is_judged_whole_before_the_upstream_hears_of_it(
    #[case] limit: &str,
    #[case] bytes: usize,
    #[case] heard: usize,
) {
    let keyward = start(limit).await;
    let key = keyward.key_for(&["m1"]).await;
    let begun = r#"{"model":"m1","text":""#;
    let body = format!("{begun}{}", "x".repeat(bytes - begun.len()));
    let mut caller = keyward.raw().await;
    caller
        .write(head("/v1/chat", &key, CHUNKED) + &chunk(&body))
        .await;
    if heard == 1 {
        keyward.upstream.request(0).await.body_reaches(1).await;
    } else {
        holds(&keyward, bytes as u64).await;
    }
    caller.write("0\r\n\r\n").await;
    assert_eq!(caller.read_answer().await.status(), 400);
    assert_eq!(keyward.upstream.requests().len(), heard);
}

#[tokio::test]
async fn a_body_that_stalls_before_its_model_is_given_up() {
    let keyward = start("body_stall_timeout = \"200ms\"").await;
    let key = keyward.key_for(&["m1"]).await;
    let mut caller = keyward.raw().await;
    caller
        .write(head("/v1/chat", &key, "Content-Length: 100") + "{")
        .await;
    assert_eq!(caller.read_answer().await.status(), 400);
    assert_eq!(caller.until_closed().await.0, b"");
    assert!(keyward.upstream.requests().is_empty());
    assert_eq!(keyward.counted.outcomes()["caller_gone"], 1);
    holds(&keyward, 0).await;
}
