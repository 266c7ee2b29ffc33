//! Keys that ask for it themselves, where the settings let calls go on.

use http::Method;

use super::*;

/// A key whose calls end with it, and one whose calls do not.
async fn both(keyward: &TestKeyward) -> (TestKey, TestKey) {
    let wish = json!({ "type": "WORKSPACE_INVOKE", "ends_calls": true });
    (keyward.create(&wish).await, keyward.key().await)
}

#[tokio::test]
async fn a_stream_of_events_is_ended_for_the_key_that_asks_for_it_alone() {
    let keyward = TestKeyward::start().await;
    let (asks, other) = both(&keyward).await;
    let (stream, undisturbed) = (Stream::new(), Stream::new());
    let first = "data: 1\n\n";
    let answer = Answer::events(&stream);
    let (mut caller, head) = in_a_stream(&keyward, &asks, answer, &stream, first).await;
    let answer = Answer::events(&undisturbed);
    let (mut going_on, its_head) = in_a_stream(&keyward, &other, answer, &undisturbed, first).await;

    // In this order: what ended the second one would have ended it by the time that the first is.
    keyward.delete_key(&other).await;
    keyward.delete_key(&asks).await;
    stream.dropped().await;
    let rest = caller.read_body(&head).await;
    let event = String::from_utf8_lossy(&rest.bytes);
    assert!(event.starts_with("event: error\ndata: {"), "{event}");
    assert!(rest.is_complete);

    undisturbed.send("data: 2\n\n");
    undisturbed.finish();
    let rest = going_on.read_body(&its_head).await;
    assert_eq!(
        (&*rest.bytes, rest.is_complete),
        (&b"data: 2\n\n"[..], true)
    );
    assert_eq!(keyward.counted.calls_ended_with_keys(), 1);
}

#[tokio::test]
async fn over_http2_events_break_no_connection_and_other_answers_only_their_stream() {
    let keyward = TestKeyward::start().await;
    let http2 = keyward.http2().await;
    for (kind, ends_cleanly) in [("text/event-stream", true), ("application/json", false)] {
        let (asks, other) = both(&keyward).await;
        let mut answers = Vec::new();
        for key in [&asks, &other] {
            let stream = Stream::new();
            let answer = Answer::streamed(&stream).header("content-type", kind);
            keyward.upstream.next(answer);
            let answer = http2.send(over_http2(key, "application/json")).await;
            let mut body = answer.expect("an answer").into_body();
            stream.send("data: 1\n\n");
            let frame = within("a frame comes", body.frame()).await;
            assert!(frame.is_some_and(|frame| frame.is_ok()));
            answers.push((stream, body));
        }
        keyward.delete_key(&other).await;
        keyward.delete_key(&asks).await;
        let (undisturbed, going_on) = answers.pop().expect("two");
        let (stream, ended) = answers.pop().expect("two");
        stream.dropped().await;
        let rest = within("the stream ends", ended.collect()).await;
        assert_eq!(rest.is_ok(), ends_cleanly, "{kind}");
        if let Ok(rest) = rest {
            let event = rest.to_bytes();
            assert!(event.starts_with(b"event: error\ndata: {"), "{event:?}");
        }
        undisturbed.send("data: 2\n\n");
        undisturbed.finish();
        let rest = within("the other goes on", going_on.collect()).await;
        assert_eq!(rest.expect("its own end").to_bytes(), "data: 2\n\n");
    }
    assert_eq!(keyward.counted.calls_ended_with_keys(), 2);
}

#[tokio::test]
async fn a_grpc_caller_is_told_by_its_status_or_hears_its_server_to_the_end() {
    let keyward = TestKeyward::start().await;
    let http2 = keyward.http2().await;
    let (asks, other) = both(&keyward).await;
    for (key, status) in [(&asks, Some("16")), (&other, None)] {
        let stream = Stream::new();
        let answer = Answer::streamed(&stream).header("content-type", "application/grpc");
        keyward.upstream.next(answer);
        let answer = http2.send(over_http2(key, "application/grpc")).await;
        let mut answer = answer.expect("an answer").into_body();
        stream.send(&b"\0\0\0\0\x01x"[..]);
        let frame = within("a message comes", answer.frame()).await;
        assert!(frame.is_some_and(|frame| frame.is_ok_and(|frame| frame.is_data())));
        keyward.delete_key(key).await;
        match status {
            Some(_) => stream.dropped().await,
            None => stream.finish(),
        }
        let rest = within("the call ends", answer.collect()).await;
        let rest = rest.expect("it ends well, as gRPC's errors do");
        let told = rest.trailers().and_then(|all| all.get("grpc-status"));
        assert_eq!(told.map(|told| told.to_str().expect("a number")), status);
    }
}

#[tokio::test]
async fn a_call_that_has_no_answer_yet_is_refused_for_such_a_key() {
    let keyward = TestKeyward::start().await;
    let (asks, _) = both(&keyward).await;
    keyward.upstream.next(Answer::silence());
    let mut caller = keyward.raw().await;
    caller.write(post(PREDICT, &asks, "{}")).await;
    let seen = keyward.upstream.request(0).await;
    keyward.delete_key(&asks).await;
    assert_eq!(caller.read_answer().await.status(), 401);
    assert_eq!(seen.answer_end().await, AnswerEnd::Dropped);
}

/// It is asked when a call begins.
#[tokio::test]
async fn a_key_that_takes_its_wish_back_has_it_for_calls_that_begin_later() {
    let keyward = TestKeyward::start().await;
    let (asks, _) = both(&keyward).await;
    let (before, after) = (Stream::new(), Stream::new());
    let first = "data: 1\n\n";
    let answer = Answer::events(&before);
    let (mut begun_before, _) = in_a_stream(&keyward, &asks, answer, &before, first).await;

    let path = format!("/v1/api_keys/{}?wait=all", asks.prefix);
    let change = keyward.administer(Method::PATCH, &path);
    let changed = change.json(&json!({ "ends_calls": false })).send().await;
    assert_eq!(changed.status, 200, "{changed}");
    let answer = Answer::events(&after);
    let (mut begun_after, head) = in_a_stream(&keyward, &asks, answer, &after, first).await;

    keyward.delete_key(&asks).await;
    before.dropped().await;
    let event = begun_before.read_chunk().await.expect("an event");
    assert!(event.starts_with(b"event: error\n"), "{event:?}");
    after.send("data: 2\n\n");
    after.finish();
    assert_eq!(begun_after.read_body(&head).await.bytes, b"data: 2\n\n");
}
