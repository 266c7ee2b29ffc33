//! Calls under way whose keys end, where the settings say that they end as well. Without the setting they go on:
//! `deletion.rs` shows that.

mod by_wish;

use http::Request;
use http_body_util::BodyExt;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::keyward::{TestKey, TestKeyward, post};
use crate::support::raw::{Head, RawConnection};
use crate::support::stream::{Stream, TestBody, whole};
use crate::support::upstream::{Answer, AnswerEnd};
use crate::support::{eventually, within};

const PREDICT: &str = "/models/m/predict";

/// A keyward that ends calls with their keys.
async fn ending(settings: &str) -> (TestKeyward, TestKey) {
    let settings = format!("proxy.calls_of_ended_keys = \"end\"\n{settings}");
    let keyward = TestKeyward::with(&settings).await;
    let key = keyward.key().await;
    (keyward, key)
}

/// A caller who has been answered by the first of what `stream` tells.
async fn in_a_stream(
    keyward: &TestKeyward,
    key: &TestKey,
    answer: Answer,
    stream: &Stream,
    first: &str,
) -> (RawConnection, Head) {
    keyward.upstream.next(answer);
    let mut caller = keyward.raw().await;
    caller.write(post(PREDICT, key, "{}")).await;
    let head = caller.read_head().await;
    assert_eq!(head.status(), 200);
    stream.send(first.to_owned());
    assert_eq!(caller.read_chunk().await.as_deref(), Some(first.as_bytes()));
    (caller, head)
}

fn over_http2(key: &TestKey, kind: &str) -> Request<TestBody> {
    let request = Request::post(format!("http://h{PREDICT}"))
        .version(http::Version::HTTP_2)
        .header("content-type", kind)
        .header("authorization", format!("Bearer {}", key.text));
    request.body(whole("{}")).expect("a request")
}

#[rstest]
#[case::openai("openai", &json!({"error": {
    "message": "invalid API key", "type": "invalid_request_error", "param": null, "code": "invalid_api_key"}}))]
#[case::anthropic("anthropic", &json!({"type": "error", "error": {
    "type": "authentication_error", "message": "invalid API key"}}))]
#[case::baseten("baseten", &json!({"error": "invalid API key", "error_code": "invalid_api_key"}))]
#[case::problem("problem", &json!({"type": "about:blank", "title": "Unauthorized", "status": 401,
    "detail": "invalid API key", "code": "invalid_api_key"}))]
#[tokio::test]
async fn a_stream_of_events_is_ended_by_one_that_its_callers_understand(
    #[case] form: &str,
    #[case] expected: &Value,
) {
    let routes = format!(
        "[[proxy.routes]]\npath = \"/models/{{model}}/predict\"\nupstream = \"default\"\nerrors = \"{form}\"\n"
    );
    let (keyward, key) = ending(&routes).await;
    let stream = Stream::new();
    let answer = Answer::events(&stream);
    let (mut caller, head) = in_a_stream(&keyward, &key, answer, &stream, "data: 1\n\n").await;
    keyward.delete_key(&key).await;
    let rest = caller.read_body(&head).await;
    let event = String::from_utf8(rest.bytes).expect("text");
    let data = event.strip_prefix("event: error\ndata: ");
    let data = data.and_then(|data| data.strip_suffix("\n\n"));
    let data: Value = serde_json::from_str(data.expect(&event)).expect("JSON");
    assert_eq!(&data, expected);
    // It says that it is the end, so the end is clean and the connection can be used.
    assert!(rest.is_complete);
    stream.dropped().await;
    assert_eq!(keyward.counted.calls_ended_with_keys(), 1);
    let next = caller.call(post(PREDICT, &key, "{}")).await;
    assert_eq!(next.status(), 401);
}

/// What has no words for it breaks off: no end can be taken for the answer's own.
#[rstest]
#[case::in_the_middle_of_an_event("text/event-stream", "data: {\"to")]
#[case::after_a_line("text/event-stream", "event: token\n")]
#[case::no_events("application/json", "[1, ")]
#[tokio::test]
async fn an_answer_without_words_for_it_breaks_off(#[case] kind: &str, #[case] first: &str) {
    let (keyward, key) = ending("").await;
    let stream = Stream::new();
    let answer = || Answer::streamed(&stream).header("content-type", kind);
    let (mut caller, head) = in_a_stream(&keyward, &key, answer(), &stream, first).await;
    keyward.delete_key(&key).await;
    let rest = caller.read_body(&head).await;
    assert_eq!((&*rest.bytes, rest.is_complete), (&b""[..], false));
    stream.dropped().await;

    let (key, stream) = (keyward.key().await, Stream::new());
    let answer = Answer::streamed(&stream).header("content-type", kind);
    keyward.upstream.next(answer);
    let http2 = keyward.http2().await;
    let answer = http2.send(over_http2(&key, "application/json")).await;
    let mut answer = answer.expect("an answer").into_body();
    stream.send(first.to_owned());
    let frame = within("a frame comes", answer.frame()).await;
    assert!(frame.is_some_and(|frame| frame.is_ok()));
    keyward.delete_key(&key).await;
    let end = within("the stream ends", answer.frame()).await;
    assert!(end.is_some_and(|frame| frame.is_err()), "it is reset");
    stream.dropped().await;
    // The connection is not.
    let other = keyward.key().await;
    let next = http2.call(over_http2(&other, "application/json")).await;
    assert_eq!(next.status, 200);
}

#[tokio::test]
async fn a_grpc_caller_is_told_by_its_status() {
    let (keyward, key) = ending("").await;
    let stream = Stream::new();
    let answer = Answer::streamed(&stream).header("content-type", "application/grpc");
    keyward.upstream.next(answer);
    let http2 = keyward.http2().await;
    let answer = http2.send(over_http2(&key, "application/grpc")).await;
    let mut answer = answer.expect("an answer").into_body();
    stream.send(&b"\0\0\0\0\x01x"[..]);
    let frame = within("a message comes", answer.frame()).await;
    assert!(frame.is_some_and(|frame| frame.is_ok_and(|frame| frame.is_data())));
    keyward.delete_key(&key).await;
    let rest = within("the call ends", answer.collect()).await;
    let rest = rest.expect("it ends well, as gRPC's errors do");
    let trailers = rest.trailers().expect("trailers");
    assert_eq!(trailers["grpc-status"], "16");
    assert_eq!(trailers["grpc-message"], "invalid API key");
    stream.dropped().await;
}

#[tokio::test]
async fn a_call_that_has_no_answer_yet_is_refused() {
    let (keyward, key) = ending("").await;
    keyward.upstream.next(Answer::silence());
    let mut caller = keyward.raw().await;
    caller.write(post(PREDICT, &key, "{}")).await;
    let seen = keyward.upstream.request(0).await;
    keyward.delete_key(&key).await;
    assert_eq!(caller.read_answer().await.status(), 401);
    assert_eq!(seen.answer_end().await, AnswerEnd::Dropped);
    assert_eq!(keyward.counted.outcomes()["unknown_key"], 1);
    assert_eq!(keyward.counted.calls_ended_with_keys(), 1);
}

/// However a key ends, whoever ends it. Another change of it ends nothing.
#[rstest]
#[case::disabled("disabled_at = 1", true)]
#[case::expired("expires_at = 1", true)]
#[case::expires_soon("expires_at = unixepoch() + 2", true)]
#[case::deleted("deleted_at = 1", true)]
#[case::may_call_no_models("category = 'WORKSPACE_EXPORT_METRICS'", true)]
#[case::narrowed_to_another_model("scope = '[\"other\"]'", true)]
#[case::narrowed_to_this_model("scope = '[\"m\"]'", false)]
#[case::renamed("name = 'another'", false)]
#[case::expires_later("expires_at = unixepoch() + 3600", false)]
#[tokio::test]
async fn a_call_ends_however_its_key_does(#[case] change: &str, #[case] ends: bool) {
    let (keyward, key) = ending("").await;
    let (stream, other) = (Stream::new(), Stream::new());
    let undisturbed = keyward.key().await;
    let answer = Answer::events(&stream);
    let (mut caller, head) = in_a_stream(&keyward, &key, answer, &stream, "data: 1\n\n").await;
    let answer = Answer::events(&other);
    let (mut other_caller, other_head) =
        in_a_stream(&keyward, &undisturbed, answer, &other, "data: 1\n\n").await;
    if ends {
        keyward.change_key(&key, change).await;
        stream.dropped().await;
        assert!(caller.read_body(&head).await.is_complete);
    } else {
        // When the second change is in force, the first has been looked at.
        for _ in 0..2 {
            let before = keyward.counted.changes_applied();
            keyward.change_key(&key, change).await;
            eventually("the change is in force", || {
                (keyward.counted.changes_applied() > before).then_some(())
            })
            .await;
        }
        stream.send("data: 2\n\n");
        stream.finish();
        assert_eq!(caller.read_body(&head).await.bytes, b"data: 2\n\n");
    }
    other.send("data: 2\n\n");
    other.finish();
    let rest = other_caller.read_body(&other_head).await;
    assert_eq!(
        (&*rest.bytes, rest.is_complete),
        (&b"data: 2\n\n"[..], true)
    );
    assert_eq!(keyward.counted.calls_ended_with_keys(), u64::from(ends));
}

#[tokio::test]
async fn a_caller_that_reads_nothing_does_not_keep_its_upstream() {
    let (keyward, key) = ending("").await;
    let stream = Stream::new();
    let answer = Answer::events(&stream);
    let (_caller, _) = in_a_stream(&keyward, &key, answer, &stream, "data: 1\n\n").await;
    // More than any buffer on the way takes.
    for _ in 0..64 {
        stream.send(vec![b'x'; 1 << 20]);
    }
    keyward.delete_key(&key).await;
    stream.dropped().await;
}

/// Memory that does not hold every key may have forgotten one that is still good.
#[tokio::test]
async fn a_key_that_memory_has_forgotten_is_asked_for_before_its_call_is_ended() {
    let (keyward, key) = ending("cache.keys = 1\n").await;
    let stream = Stream::new();
    let answer = Answer::events(&stream);
    let (mut caller, head) = in_a_stream(&keyward, &key, answer, &stream, "data: 1\n\n").await;
    for _ in 0..5 {
        let other = keyward.key().await;
        assert_eq!(keyward.call(&other, "m").await.status(), 200);
        keyward.delete_key(&other).await;
    }
    stream.send("data: 2\n\n");
    let chunk = caller.read_chunk().await;
    assert_eq!(chunk.as_deref(), Some(&b"data: 2\n\n"[..]));
    assert_eq!(keyward.counted.calls_ended_with_keys(), 0);
    keyward.delete_key(&key).await;
    stream.dropped().await;
    assert!(caller.read_body(&head).await.is_complete);
    assert_eq!(keyward.counted.calls_ended_with_keys(), 1);
}

/// Where the model is in the body, it is not read for a key for every model: nobody knows which one is being called.
#[rstest]
#[case::from_two_to_this(Some(&["m", "n"][..]), "m", false)]
#[case::from_two_to_the_other(Some(&["m", "n"][..]), "n", true)]
#[case::from_every_model(None, "m", true)]
#[tokio::test]
async fn a_call_by_its_body_ends_when_its_key_is_narrowed_past_it(
    #[case] before: Option<&[&str]>,
    #[case] after: &str,
    #[case] ends: bool,
) {
    let (keyward, _) = ending("proxy.profiles = [{ profile = \"openai\" }]\n").await;
    let key = keyward.create_key("WORKSPACE_INVOKE", before).await;
    let (stream, body) = (Stream::new(), r#"{"model": "m"}"#);
    keyward.upstream.next(Answer::events(&stream));
    let mut caller = keyward.raw().await;
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        key.text,
        body.len()
    );
    caller.write(request).await;
    let head = caller.read_head().await;
    assert_eq!(head.status(), 200);
    let before = keyward.counted.changes_applied();
    keyward
        .change_key(&key, &format!("scope = '[\"{after}\"]'"))
        .await;
    if ends {
        stream.dropped().await;
        let rest = caller.read_body(&head).await;
        assert!(String::from_utf8_lossy(&rest.bytes).contains("this key may not call this model"));
    } else {
        eventually("the change is in force", || {
            (keyward.counted.changes_applied() > before).then_some(())
        })
        .await;
        stream.finish();
        assert!(caller.read_body(&head).await.is_complete);
    }
    assert_eq!(keyward.counted.calls_ended_with_keys(), u64::from(ends));
}

#[tokio::test]
async fn a_stream_of_events_over_http2_is_ended_by_one_too() {
    let (keyward, key) = ending("").await;
    let stream = Stream::new();
    keyward.upstream.next(Answer::events(&stream));
    let http2 = keyward.http2().await;
    let answer = http2.send(over_http2(&key, "application/json")).await;
    let answer = answer.expect("an answer").into_body();
    stream.send("data: 1\n\n");
    keyward.delete_key(&key).await;
    let rest = within("the stream ends", answer.collect()).await;
    let rest = rest.expect("a clean end").to_bytes();
    let events = std::str::from_utf8(&rest).expect("text");
    assert!(events.contains("event: error\ndata: {"), "{events}");
    stream.dropped().await;
}

/// A key that reads metrics may not call models, and what it reads is no call of one.
#[tokio::test]
async fn metrics_are_read_on_by_a_key_that_may_read_them() {
    let route = "[[proxy.routes]]\npath = \"/metrics\"\nmethods = [\"GET\"]\nupstream = \"default\"\n\
                 class = \"metrics\"\n";
    let (keyward, _) = ending(route).await;
    let key = keyward.create_key("WORKSPACE_EXPORT_METRICS", None).await;
    let stream = Stream::new();
    let get = format!(
        "GET /metrics HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {}\r\n\r\n",
        key.text
    );
    let mut caller = keyward.raw().await;
    keyward.upstream.next(Answer::streamed(&stream));
    caller.write(&get).await;
    let head = caller.read_head().await;
    assert_eq!(head.status(), 200);
    let before = keyward.counted.changes_applied();
    keyward.change_key(&key, "name = 'another'").await;
    eventually("the change is in force", || {
        (keyward.counted.changes_applied() > before).then_some(())
    })
    .await;
    stream.send("up 1\n");
    stream.finish();
    let rest = caller.read_body(&head).await;
    assert_eq!((&*rest.bytes, rest.is_complete), (&b"up 1\n"[..], true));
    assert_eq!(keyward.counted.calls_ended_with_keys(), 0);
}
