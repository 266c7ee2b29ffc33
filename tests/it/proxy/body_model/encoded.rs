//! Compressed bodies, where the settings say that they are decoded to be judged. They go on as they came.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use rstest::rstest;

use super::{CHUNKED, head};
use crate::support::eventually;
use crate::support::keyward::{TestKey, TestKeyward};
use crate::support::upstream::BodyEnd;

const ROUTES: &str = r#"
[[proxy.routes]]
path = "/v1/chat"
upstream = "default"
model_in = ["body"]
"#;

/// Small enough that bodies of a few kilobytes flow.
const FLOWING: &str = "judged_whole_bytes = 1000";

async fn start(decode: &str, limits: &str) -> TestKeyward {
    TestKeyward::with(&format!(
        "proxy.decode = {decode}\n[proxy.limits]\n{limits}\n{ROUTES}"
    ))
    .await
}

fn gzip(body: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder
        .write_all(body.as_bytes())
        .expect("a vector takes it");
    encoder.finish().expect("a vector takes it")
}

fn zstd(body: &str) -> Vec<u8> {
    zstd::encode_all(body.as_bytes(), 3).expect("a vector takes it")
}

fn request(key: &TestKey, coding: &str, body: &[u8]) -> Vec<u8> {
    let framing = format!(
        "Content-Encoding: {coding}\r\nContent-Length: {}",
        body.len()
    );
    [head("/v1/chat", key, &framing).as_bytes(), body].concat()
}

/// Text that hardly becomes smaller, so that a body is as long as it looks.
fn noise(bytes: usize) -> String {
    let mut state = 7_u64;
    let letter = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        char::from(b'0' + u8::try_from(state >> 60).expect("four bits"))
    };
    (0..bytes).map(letter).collect()
}

#[rstest]
#[case::named(r#"{"model":"m1"}"#, 200)]
#[case::another(r#"{"model":"m2"}"#, 403)]
#[case::two(r#"{"model":"m1","model":"m2"}"#, 400)]
#[case::none("{}", 400)]
#[case::not_json("x", 400)]
#[tokio::test]
async fn a_compressed_body_is_judged_by_what_it_says_and_goes_on_as_it_came(
    #[case] body: &str,
    #[case] status: u16,
) {
    let keyward = start(r#"["gzip", "zstd"]"#, "").await;
    let key = keyward.key_for(&["m1"]).await;
    for (coding, encoded) in [("gzip", gzip(body)), ("zstd", zstd(body))] {
        let before = keyward.upstream.requests().len();
        let answer = keyward
            .raw()
            .await
            .call(request(&key, coding, &encoded))
            .await;
        assert_eq!(answer.status(), status, "{coding}: {}", answer.text());
        if status == 200 {
            let seen = keyward.upstream.request(before).await;
            assert_eq!(seen.body(), encoded);
            assert_eq!(seen.header_all("content-encoding"), [coding]);
        }
        assert_eq!(
            keyward.upstream.requests().len() - before,
            usize::from(status == 200)
        );
    }
    // What is not in the list, and what is said wrongly.
    for (coding, expected) in [
        ("deflate", 415),
        ("br", 415),
        ("gzip, gzip", 415),
        ("gzip", 400),
    ] {
        let answer = keyward
            .raw()
            .await
            .call(request(&key, coding, body.as_bytes()))
            .await;
        assert_eq!(answer.status(), expected, "{coding}");
    }
}

#[rstest]
#[case::second_model(r#"","model":"m2"}"#)]
#[case::second_document(r#""}{"model":"m2"}"#)]
#[case::not_ended("")]
#[tokio::test]
async fn no_upstream_has_a_whole_compressed_body_that_can_be_read_in_two_ways(#[case] end: &str) {
    let keyward = start(r#"["gzip"]"#, FLOWING).await;
    let key = keyward.key_for(&["m1"]).await;
    let encoded = gzip(&format!(
        r#"{{"model":"m1","text":"{}{end}"#,
        noise(200_000)
    ));
    assert!(encoded.len() > 80_000);
    let mut caller = keyward.raw().await;
    drop(caller.try_write(request(&key, "gzip", &encoded)).await);
    assert_eq!(caller.read_answer().await.status(), 400);
    let seen = keyward.upstream.request(0).await;
    assert_eq!(seen.body_end().await, BodyEnd::Broken);
    assert!(seen.body().len() < encoded.len());
    assert_eq!(keyward.counted.held_body_bytes(), 0);
}

/// Trailing bytes, another member, a wrong checksum: what one decoder ignores and another reads.
#[tokio::test]
async fn no_upstream_has_a_compressed_body_that_is_not_one_stream() {
    let keyward = start(r#"["gzip"]"#, FLOWING).await;
    let key = keyward.key_for(&["m1"]).await;
    let good = gzip(&format!(r#"{{"model":"m1","text":"{}"}}"#, noise(20_000)));
    let other = gzip(r#"{"model":"m2"}"#);
    let mut changed = good.clone();
    let place = changed.len() - 6;
    changed[place] ^= 1;
    for bad in [
        [&*good, b"\0"].concat(),
        [&*good, &*other].concat(),
        changed,
        good[..good.len() - 1].to_vec(),
    ] {
        let before = keyward.upstream.requests().len();
        let answer = keyward.raw().await.call(request(&key, "gzip", &bad)).await;
        assert_eq!(answer.status(), 400, "{}", answer.text());
        for seen in keyward.upstream.requests().into_iter().skip(before) {
            assert_eq!(seen.body_end().await, BodyEnd::Broken);
        }
    }
    assert_eq!(
        keyward
            .raw()
            .await
            .call(request(&key, "gzip", &good))
            .await
            .status(),
        200
    );
}

#[tokio::test]
async fn a_body_that_grows_too_much_or_names_its_model_late_is_refused() {
    let limits = "decoded_ratio = 20\nheld_body_bytes = 300000\njudged_whole_bytes = 1000";
    let keyward = start(r#"["gzip"]"#, limits).await;
    let key = keyward.key_for(&["m1"]).await;
    let bomb = gzip(&format!(
        r#"{{"model":"m1","text":"{}"}}"#,
        "x".repeat(10_000_000)
    ));
    let late = gzip(&format!(r#"{{"text":"{}","model":"m1"}}"#, noise(400_000)));
    let within = gzip(&format!(r#"{{"text":"{}","model":"m1"}}"#, noise(200_000)));
    assert!(late.len() < 300_000);
    for (body, status, outcome) in [
        (&bomb, 413, "body_unreadable"),
        (&late, 413, "model_too_late"),
        (&within, 200, "forwarded"),
    ] {
        let answer = keyward.raw().await.call(request(&key, "gzip", body)).await;
        assert_eq!(answer.status(), status, "{}", answer.text());
        assert_eq!(keyward.counted.outcomes()[outcome], 1);
    }
}

/// A decoder's memory is counted as what is held is, and given back.
#[tokio::test]
async fn a_decoder_takes_its_share_of_what_may_be_held() {
    let limits = "held_body_bytes = 100000\nheld_bodies_bytes = 100000\njudged_whole_bytes = 1000";
    let keyward = start(r#"["gzip", "zstd"]"#, limits).await;
    let key = keyward.key_for(&["m1"]).await;
    let body = gzip(r#"{"model":"m1"}"#);
    let mut first = keyward.raw().await;
    let framing = format!("Content-Encoding: gzip\r\n{CHUNKED}");
    first
        .write(head("/v1/chat", &key, &framing) + "1\r\n\x1f\r\n")
        .await;
    eventually("a decoder waits", || {
        (keyward.counted.held_body_bytes() > 64 * 1024).then_some(())
    })
    .await;
    let refused = keyward.raw().await.call(request(&key, "gzip", &body)).await;
    assert_eq!(refused.status(), 503);
    first.reset();
    eventually("all is given back", || {
        (keyward.counted.held_body_bytes() == 0).then_some(())
    })
    .await;
    let answer = keyward.raw().await.call(request(&key, "gzip", &body)).await;
    assert_eq!(answer.status(), 200);
    // A larger window than all may hold together.
    let refused = keyward
        .raw()
        .await
        .call(request(&key, "zstd", &zstd(r#"{"model":"m1"}"#)))
        .await;
    assert_eq!(refused.status(), 503);
    assert_eq!(keyward.counted.outcomes()["held_bodies_full"], 2);
    // A key for every model needs no decoder.
    let every = keyward.key().await;
    let answer = keyward
        .raw()
        .await
        .call(request(&every, "zstd", b"no zstd either"))
        .await;
    assert_eq!(answer.status(), 200);
    assert_eq!(keyward.counted.held_body_bytes(), 0);
}
