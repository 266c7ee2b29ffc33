//! A server's metrics: for keys that may read them, and of those models that they are for.

use rstest::rstest;

use super::ask;
use crate::support::keyward::{TestKey, TestKeyward};
use crate::support::stream::Stream;
use crate::support::upstream::Answer;

const VLLM: &str = "proxy.profiles = [{ profile = \"vllm\" }]\n";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

async fn m1_reader(keyward: &TestKeyward) -> TestKey {
    keyward
        .create_key("WORKSPACE_EXPORT_METRICS", Some(&["m1"]))
        .await
}

#[tokio::test]
async fn samples_are_shown_line_by_line_as_they_come() {
    let keyward = TestKeyward::with(VLLM).await;
    let key = m1_reader(&keyward).await;
    let stream = Stream::new();
    let answer = Answer::streamed(&stream).header("content-type", TEXT);
    keyward.upstream.next(answer.header("etag", "\"1\""));
    let mut caller = keyward.raw().await;
    let lines = "Accept: application/vnd.google.protobuf\r\nAccept-Encoding: gzip\r\n";
    caller.write(ask("GET", "/metrics", &key, lines)).await;
    let head = caller.read_head().await;
    assert_eq!(head.status(), 200);
    assert_eq!(head.all("cache-control"), ["no-store"]);
    assert!(head.field("etag").is_none());
    stream.send("# HELP x X\nx{model_name=\"m1\"} 1\nx{model_na");
    let first = caller.read_chunk().await.expect("the lines that are whole");
    assert_eq!(first, b"# HELP x X\nx{model_name=\"m1\"} 1\n");
    stream.send("me=\"m2\"} 2\nprocess_threads 7\nx{model_name=\"");
    stream.send("m1\"} 3\n");
    let second = caller.read_chunk().await.expect("the next line of m1's");
    assert_eq!(second, b"x{model_name=\"m1\"} 3\n");
    stream.send("x{model_name=\"m1\"} 4");
    stream.finish();
    let rest = caller.read_body(&head).await;
    assert_eq!(rest.bytes, b"x{model_name=\"m1\"} 4");
    assert!(rest.is_complete);
    let seen = keyward.upstream.request(0).await;
    assert_eq!(seen.header_all("accept-encoding"), ["identity"]);
    assert_eq!(seen.header_all("accept"), ["text/plain;version=0.0.4"]);
}

#[rstest]
#[case::compressed(Answer::new(200, "x").header("content-type", TEXT).header("content-encoding", "gzip"))]
#[case::of_another_kind(Answer::new(200, "x").header("content-type", "application/vnd.google.protobuf"))]
#[case::of_no_kind(Answer::new(200, "x"))]
#[case::a_part(Answer::new(206, "x").header("content-type", TEXT))]
#[tokio::test]
async fn metrics_that_cannot_be_cut_are_not_shown(#[case] answer: Answer) {
    let keyward = TestKeyward::with(VLLM).await;
    keyward.upstream.on("/metrics", answer);
    let key = m1_reader(&keyward).await;
    let shown = keyward
        .raw()
        .await
        .call(ask("GET", "/metrics", &key, ""))
        .await;
    assert_eq!(shown.status(), 502);
    assert_eq!(keyward.counted.outcomes()["answer_unfilterable"], 1);
}

#[tokio::test]
async fn metrics_with_a_line_without_end_are_cut_off() {
    let keyward = TestKeyward::with(VLLM).await;
    let key = m1_reader(&keyward).await;
    let stream = Stream::new();
    keyward
        .upstream
        .next(Answer::streamed(&stream).header("content-type", TEXT));
    stream.send("x{model_name=\"m1\"} 1\n");
    stream.send("x".repeat(64 * 1024 + 1));
    let mut caller = keyward.raw().await;
    let shown = caller.call(ask("GET", "/metrics", &key, "")).await;
    assert!(!shown.body.is_complete);
    assert!(shown.text().len() <= 21, "{}", shown.text().len());
    stream.dropped().await;
}

#[tokio::test]
async fn who_may_read_metrics_is_a_matter_of_the_category() {
    let keyward = TestKeyward::with(VLLM).await;
    for (category, status) in [
        ("PERSONAL", 200),
        ("WORKSPACE_MANAGE_ALL", 200),
        ("WORKSPACE_EXPORT_METRICS", 200),
        ("WORKSPACE_INVOKE", 403),
    ] {
        let key = keyward.create_key(category, None).await;
        let answer = keyward
            .raw()
            .await
            .call(ask("GET", "/metrics", &key, ""))
            .await;
        assert_eq!(answer.status(), status, "{category}: {}", answer.text());
    }
    assert_eq!(keyward.counted.outcomes()["category_not_allowed"], 1);
    let reader = keyward.create_key("WORKSPACE_EXPORT_METRICS", None).await;
    for target in ["/v1/models", "/health", "/v1/responses/7"] {
        let answer = keyward
            .raw()
            .await
            .call(ask("GET", target, &reader, ""))
            .await;
        assert_eq!(answer.status(), 403, "{target}");
    }
    assert_eq!(keyward.upstream.requests().len(), 3);
}

#[rstest]
#[case("tgi", "", 403)]
#[case("tgi", ", model = \"m1\"", 200)]
#[case("tgi", ", model = \"m2\"", 403)]
#[case("llama-cpp", "", 403)]
#[case("llama-cpp", ", model = \"m1\"", 200)]
#[case("vllm", ", model = \"m1\"", 200)]
#[case("vllm", ", model = \"m2\"", 403)]
#[tokio::test]
async fn metrics_that_say_no_model_are_those_of_the_one_there_is(
    #[case] profile: &str,
    #[case] model: &str,
    #[case] status: u16,
) {
    let profile = format!("proxy.profiles = [{{ profile = \"{profile}\"{model} }}]\n");
    let keyward = TestKeyward::with(&profile).await;
    let key = m1_reader(&keyward).await;
    keyward.upstream.on(
        "/metrics",
        Answer::new(200, "requests 1\n").header("content-type", TEXT),
    );
    for target in ["/metrics", "/metrics?model=m1"] {
        let answer = keyward.raw().await.call(ask("GET", target, &key, "")).await;
        assert_eq!(answer.status(), status, "{target}: {}", answer.text());
        if status == 200 {
            assert_eq!(answer.text(), "requests 1\n");
        }
    }
}

#[tokio::test]
async fn a_head_of_metrics_passes() {
    let route = "proxy.routes = [{ path = \"/metrics\", upstream = \"default\", class = { labelled-metrics = \"m\" } }]\n";
    let keyward = TestKeyward::with(route).await;
    let key = m1_reader(&keyward).await;
    let mut caller = keyward.raw().await;
    for _ in 0..2 {
        let answer = caller.call(ask("HEAD", "/metrics", &key, "")).await;
        assert_eq!(answer.status(), 200);
    }
}
