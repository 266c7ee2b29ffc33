//! gRPC, end to end: what a caller and a server say in heads and trailers, and what we say in their place.

use http::Request;
use http::request::Builder;
use rstest::rstest;

use super::{HTTP2, over_http2};
use crate::support::keyward::{TestKey, TestKeyward};
use crate::support::stream::{Stream, whole};
use crate::support::upstream::{Answer, AnswerEnd};

const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";

/// A route for gRPC, which names its model in metadata.
const ROUTES: &str = "[[proxy.routes]]\npath = \"/inference.GRPCInferenceService/{rest}\"\nmethods = [\"POST\"]\n\
    upstream = \"default\"\nmodel_in = [{ header = \"x-model-id\" }]\n";

/// A gRPC call with `key` that names `model` in its metadata.
fn call(key: &str, model: &str) -> Builder {
    let request = Request::post(format!("http://h{INFER}"))
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {key}"));
    if model.is_empty() {
        request
    } else {
        request.header("x-model-id", model)
    }
}

/// A message in its frame: not compressed, five bytes long.
const MESSAGE: &[u8] = b"\0\0\0\0\x05hello";

#[tokio::test]
async fn a_unary_call_goes_and_its_trailers_come_back() {
    let keyward = over_http2(ROUTES).await;
    let key = keyward.key_for(&["llama"]).await;
    let stream = Stream::new();
    keyward
        .upstream
        .next(Answer::streamed(&stream).header("content-type", "application/grpc+proto"));
    stream.send(MESSAGE);
    stream.finish_with(&[("grpc-status", "0"), ("x-cost", "7")]);
    let request = call(&key.text, "llama")
        .header("grpc-timeout", "10S")
        .header("grpc-encoding", "identity")
        .header("trace-bin", "AAEC");
    let answer = keyward
        .http2()
        .await
        .call(request.body(whole(MESSAGE)).unwrap())
        .await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, MESSAGE));
    let trailers = answer.trailers.expect("trailers");
    assert_eq!(
        (&trailers["grpc-status"], &trailers["x-cost"]),
        (&"0".parse().unwrap(), &"7".parse().unwrap())
    );
    let seen = keyward.upstream.request(0).await;
    assert_eq!(seen.body(), MESSAGE);
    for (name, value) in [
        ("content-type", "application/grpc+proto"),
        ("te", "trailers"),
        ("grpc-timeout", "10S"),
        ("grpc-encoding", "identity"),
        ("trace-bin", "AAEC"),
        ("x-keyward-model", "llama"),
    ] {
        assert_eq!(seen.header_all(name), [value], "{name}");
    }
}

/// A server that refuses says so in its one head; so it comes back.
#[tokio::test]
async fn a_refusal_of_the_server_in_its_head_comes_back_as_one() {
    let keyward = over_http2(ROUTES).await;
    let key = keyward.key().await;
    let refusal = Answer::new(200, "")
        .header("content-type", "application/grpc")
        .header("grpc-status", "5")
        .header("grpc-message", "no such model");
    keyward.upstream.next(refusal);
    let answer = keyward
        .http2()
        .await
        .call(call(&key.text, "m").body(whole(MESSAGE)).unwrap())
        .await;
    assert_eq!(answer.headers["grpc-status"], "5");
    assert_eq!(answer.headers["grpc-message"], "no such model");
    assert_eq!((answer.body.len(), answer.trailers), (0, None));
}

#[rstest]
#[case::no_key("", "m", "16")]
#[case::another_model("{key}", "other", "7")]
#[case::no_model("{key}", "", "7")]
#[tokio::test]
async fn metadata_names_the_model_and_decides(
    #[case] key: &str,
    #[case] model: &str,
    #[case] status: &str,
) {
    let keyward = over_http2(ROUTES).await;
    let scoped = keyward.key_for(&["m"]).await;
    let key = key.replace("{key}", &scoped.text);
    let answer = keyward
        .http2()
        .await
        .call(call(&key, model).body(whole(MESSAGE)).unwrap())
        .await;
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["grpc-status"]),
        (200, &status.parse().unwrap())
    );
    assert_eq!((answer.body.len(), answer.trailers), (0, None));
    assert_eq!(keyward.upstream.requests().len(), 0);
}

/// Two names, or one in another spelling, are two readings (SECURITY C7, S6).
#[rstest]
#[case::twice("x-model-id", "other")]
#[case::spelled_otherwise("x_model_id", "m")]
#[tokio::test]
async fn metadata_that_names_two_models_is_refused(#[case] name: &str, #[case] value: &str) {
    let keyward = over_http2(ROUTES).await;
    let key = keyward.key_for(&["m"]).await;
    let request = call(&key.text, "m").header(name, value);
    let answer = keyward
        .http2()
        .await
        .call(request.body(whole(MESSAGE)).unwrap())
        .await;
    assert_eq!(answer.headers["grpc-status"], "3");
    assert_eq!(keyward.upstream.requests().len(), 0);
}

/// A path that names the model and metadata that names another: refused, whoever calls.
#[tokio::test]
async fn a_path_and_metadata_must_agree() {
    let routes = ROUTES.replace("{rest}", "{model}");
    let keyward = over_http2(&routes).await;
    let key = keyward.key().await;
    let answer = keyward
        .http2()
        .await
        .call(call(&key.text, "other").body(whole(MESSAGE)).unwrap())
        .await;
    assert_eq!(answer.headers["grpc-status"], "7");
    let answer = keyward
        .http2()
        .await
        .call(call(&key.text, "ModelInfer").body(whole(MESSAGE)).unwrap())
        .await;
    assert_eq!(answer.headers.get("grpc-status"), None);
}

#[tokio::test]
async fn a_call_that_was_refused_reads_its_stream_away_and_the_connection_goes_on() {
    let keyward = over_http2(ROUTES).await;
    let key = keyward.key().await;
    let caller = keyward.http2().await;
    let stream = Stream::new();
    stream.send(MESSAGE);
    let answer = caller
        .call(call("nobody", "m").body(stream.body()).unwrap())
        .await;
    assert_eq!(answer.headers["grpc-status"], "16");
    let answer = caller
        .call(call(&key.text, "m").body(whole(MESSAGE)).unwrap())
        .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_caller_that_does_not_wait_longer_is_told_so_and_the_server_hears_of_it() {
    let keyward = over_http2(ROUTES).await;
    let key = keyward.key().await;
    keyward.upstream.next(Answer::silence());
    let request = call(&key.text, "m").header("grpc-timeout", "50m");
    let answer = keyward
        .http2()
        .await
        .call(request.body(whole(MESSAGE)).unwrap())
        .await;
    assert_eq!(answer.headers["grpc-status"], "4");
    assert_eq!(answer.headers["grpc-message"], "deadline exceeded");
    let seen = keyward.upstream.request(0).await;
    assert_eq!(seen.answer_end().await, AnswerEnd::Dropped);
    assert_eq!(keyward.counted.outcomes()["upstream_timed_out"], 1);
    // To whoever speaks no gRPC the header says nothing.
    let answer = plain(&keyward, &key).await;
    assert_eq!(answer, 200);
}

async fn plain(keyward: &TestKeyward, key: &TestKey) -> u16 {
    let request = Request::post(format!("http://h{INFER}"))
        .header("authorization", format!("Bearer {}", key.text))
        .header("x-model-id", "m")
        .header("grpc-timeout", "0n");
    let answer = keyward
        .http2()
        .await
        .call(request.body(whole("{}")).unwrap())
        .await;
    answer.status.as_u16()
}

#[tokio::test]
async fn an_upstream_that_is_away_is_unavailable() {
    let keyward = TestKeyward::with(&format!("{HTTP2}{ROUTES}")).await;
    let key = keyward.key().await;
    keyward.upstream.stop().await;
    let answer = keyward
        .http2()
        .await
        .call(call(&key.text, "m").body(whole(MESSAGE)).unwrap())
        .await;
    assert_eq!(answer.headers["grpc-status"], "14");
}
