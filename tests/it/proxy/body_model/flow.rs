//! Bodies that are judged while they flow.

use http::{Request, Version};
use rstest::rstest;

use super::{CHUNKED, chunk, head, json, start};
use crate::support::keyward::TestKey;
use crate::support::raw::Ending;
use crate::support::stream::{Stream, TestBody, whole};
use crate::support::upstream::{Answer, BodyEnd};

/// Small enough that bodies of a few kilobytes are not judged whole before they are sent.
const FLOWING: &str = "judged_whole_bytes = 1000";

/// The beginning of a body that names `m1` and is longer than what is judged whole; a text is left open.
fn begun() -> String {
    format!(r#"{{"model":"m1","text":"{}"#, "x".repeat(2_000))
}

fn over_http2(target: &str, key: &TestKey, body: TestBody) -> Request<TestBody> {
    Request::post(format!("http://h{target}"))
        .version(Version::HTTP_2)
        .header("authorization", format!("Bearer {}", key.text))
        .header("content-type", "application/json")
        .body(body)
        .expect("a request")
}

#[rstest]
#[case::chunked(true)]
#[case::counted(false)]
#[tokio::test]
async fn what_was_judged_goes_on_before_the_rest_is_sent_but_for_its_last_byte(
    #[case] chunked: bool,
) {
    let keyward = start(FLOWING).await;
    let key = keyward.key_for(&["m1"]).await;
    let (first, second) = (begun(), r#"more"}"#);
    let length = format!("Content-Length: {}", first.len() + second.len());
    let framed = |text: &str| {
        if chunked {
            chunk(text)
        } else {
            text.to_owned()
        }
    };
    let mut caller = keyward.raw().await;
    caller
        .write(head(
            "/v1/chat",
            &key,
            if chunked { CHUNKED } else { &length },
        ))
        .await;
    caller.write(framed(&first)).await;
    let seen = keyward.upstream.request(0).await;
    seen.body_reaches(first.len() - 1).await;
    caller.write(framed("more")).await;
    seen.body_reaches(first.len() + 3).await;
    assert_eq!(
        seen.body().len(),
        first.len() + 3,
        "the last byte is kept back"
    );
    caller.write(framed(r#""}"#)).await;
    if chunked {
        caller.write("0\r\n\r\n").await;
    }
    let answer = caller.read_answer().await;
    assert_eq!(answer.json()["body"], first + second);
    assert_eq!(seen.body_end().await, BodyEnd::Complete);
    assert_eq!(keyward.counted.held_body_bytes(), 0);
}

/// What ends a body that began well; nothing of these may reach an upstream as the end of a request.
#[rstest]
#[case::second_model(r#"","model":"m2"}"#)]
#[case::the_same_again(r#"","model":"m1"}"#)]
#[case::escaped(r#"","\u006dodel":"m2"}"#)]
#[case::capitals(r#"","MODEL":"m2"}"#)]
#[case::cut(r#"","model\u0000":"m2"}"#)]
#[case::second_document(r#""}{"model":"m2"}"#)]
#[case::not_json(r#"",}"#)]
#[case::control("\n\"}")]
#[case::not_ended(r#"""#)]
#[case::text_not_ended("")]
#[tokio::test]
async fn no_upstream_has_a_whole_body_that_can_be_read_in_two_ways(
    #[case] end: &str,
    #[values(true, false)] chunked: bool,
) {
    let keyward = start(FLOWING).await;
    let key = keyward.key_for(&["m1"]).await;
    let first = begun();
    let length = format!("Content-Length: {}", first.len() + end.len());
    let mut caller = keyward.raw().await;
    if chunked {
        caller
            .write(head("/v1/chat", &key, CHUNKED) + &chunk(&first))
            .await;
    } else if end.is_empty() {
        // All but the last byte, which would be the end.
        caller
            .write(head("/v1/chat", &key, &length) + first.split_at(first.len() - 1).0)
            .await;
    } else {
        caller.write(head("/v1/chat", &key, &length) + &first).await;
    }
    let seen = keyward.upstream.request(0).await;
    seen.body_reaches(first.len() - 2).await;
    let end = match (chunked, end) {
        (true, "") => "0\r\n\r\n".to_owned(),
        (true, end) => chunk(end) + "0\r\n\r\n",
        (false, "") => "x".to_owned(),
        (false, end) => end.to_owned(),
    };
    // The refusal may come before all of it is written.
    drop(caller.try_write(end).await);
    let answer = caller.read_answer().await;
    assert_eq!(answer.status(), 400, "{}", answer.text());
    assert_eq!(seen.body_end().await, BodyEnd::Broken);
    assert!(seen.body().len() < first.len() + 2, "{}", seen.body().len());
    assert_eq!(caller.until_closed().await.0, b"");
    assert_eq!(keyward.counted.outcomes()["body_ambiguous"], 1);
    // Nothing is left of it for the next.
    assert_eq!(keyward.call(&key, "m1").await.status(), 200);
    assert_eq!(keyward.upstream.requests().len(), 2);
}

#[tokio::test]
async fn an_answer_that_has_begun_breaks_off_with_its_request() {
    let keyward = start(FLOWING).await;
    let key = keyward.key_for(&["m1"]).await;
    let stream = Stream::new();
    keyward.upstream.next(Answer::streamed(&stream).early());
    let mut caller = keyward.raw().await;
    caller
        .write(head("/v1/chat", &key, CHUNKED) + &chunk(&begun()))
        .await;
    stream.send("first");
    let begun = caller.read_head().await;
    assert_eq!(begun.status(), 200);
    assert_eq!(caller.read_chunk().await.as_deref(), Some(&b"first"[..]));
    caller
        .write(chunk(r#"","model":"m2"}"#) + "0\r\n\r\n")
        .await;
    let seen = keyward.upstream.request(0).await;
    assert_eq!(seen.body_end().await, BodyEnd::Broken);
    assert!(!caller.read_body(&begun).await.is_complete);
}

#[tokio::test]
async fn an_early_answer_is_passed_on_while_the_body_still_comes() {
    let keyward = start(FLOWING).await;
    let key = keyward.key_for(&["m1"]).await;
    keyward.upstream.next(Answer::new(413, "too large").early());
    let mut caller = keyward.raw().await;
    caller
        .write(head("/v1/chat", &key, CHUNKED) + &chunk(&begun()))
        .await;
    let answer = caller.read_answer().await;
    assert_eq!(
        (answer.status(), answer.text().as_str()),
        (413, "too large")
    );
}

#[tokio::test]
async fn over_http2_bodies_are_judged_alike() {
    let keyward = start(FLOWING).await;
    let key = keyward.key_for(&["m1"]).await;
    let caller = keyward.http2().await;
    for (body, status) in [
        (r#"{"model":"m1"}"#, 200),
        (r#"{"model":"m2"}"#, 403),
        (r#"{"model":"m1","model":"m2"}"#, 400),
        ("", 400),
    ] {
        let answer = caller.call(over_http2("/v1/chat", &key, whole(body))).await;
        assert_eq!(answer.status, status, "{body}");
    }
    // In pieces, the first of which goes on before the second comes.
    let stream = Stream::new();
    let telling = async {
        stream.send(begun());
        let seen = keyward.upstream.request(1).await;
        seen.body_reaches(begun().len() - 1).await;
        stream.send(r#""}"#);
        stream.finish();
    };
    let request = over_http2("/v1/chat", &key, stream.body());
    let (answer, ()) = tokio::join!(caller.call(request), telling);
    assert_eq!(answer.status, 200);
    // And with a fault in the second.
    let stream = Stream::new();
    let telling = async {
        stream.send(begun());
        let seen = keyward.upstream.request(2).await;
        seen.body_reaches(begun().len() - 1).await;
        stream.send(r#"","model":"m2"}"#);
        stream.finish();
        seen
    };
    let request = over_http2("/v1/chat", &key, stream.body());
    let (answer, seen) = tokio::join!(caller.send(request), telling);
    assert_eq!(answer.expect("an answer").status(), 400);
    assert_eq!(seen.body_end().await, BodyEnd::Broken);
    assert_eq!(
        caller
            .call(over_http2("/v1/chat", &key, whole(r#"{"model":"m1"}"#)))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn trailers_follow_a_body_that_was_judged() {
    let keyward = start(FLOWING).await;
    let key = keyward.key_for(&["m1"]).await;
    for body in [r#"{"model":"m1"}"#.to_owned(), begun() + r#""}"#] {
        let before = keyward.upstream.requests().len();
        let framing = format!("Trailer: x-sum\r\n{CHUNKED}");
        let request = head("/v1/chat", &key, &framing) + &chunk(&body) + "0\r\nx-sum: 7\r\n\r\n";
        let answer = keyward.raw().await.call(request).await;
        assert_eq!(answer.status(), 200);
        let seen = keyward.upstream.request(before).await;
        assert_eq!(
            seen.trailers(),
            Some(vec![("x-sum".to_owned(), "7".to_owned())])
        );
    }
}

#[tokio::test]
async fn whoever_waits_for_100_hears_it_when_the_body_is_wanted() {
    let keyward = start("").await;
    let key = keyward.key_for(&["m1"]).await;
    let body = r#"{"model":"m1"}"#;
    let expecting = format!("Expect: 100-continue\r\nContent-Length: {}", body.len());
    let mut caller = keyward.raw().await;
    let go_on = caller.call(head("/v1/chat", &key, &expecting)).await;
    assert_eq!(go_on.status(), 100);
    caller.write(body).await;
    assert_eq!(caller.read_answer().await.json()["body"], body);
    for (target, line, status) in [
        ("/models/m2/chat", "", 403),
        ("/v1/chat", "\r\nContent-Encoding: gzip", 415),
    ] {
        let mut caller = keyward.raw().await;
        let refused = caller
            .call(head(target, &key, &format!("{expecting}{line}")))
            .await;
        assert_eq!(refused.status(), status);
        assert_eq!(caller.until_closed().await, (Vec::new(), Ending::Closed));
    }
}

#[tokio::test]
async fn a_key_deleted_while_its_body_comes_is_refused() {
    let keyward = start("").await;
    let key = keyward.key_for(&["m1"]).await;
    let mut caller = keyward.raw().await;
    caller
        .write(head("/v1/chat", &key, CHUNKED) + &chunk(r#"{"model":"#))
        .await;
    crate::support::eventually("the beginning is held", || {
        (keyward.counted.held_body_bytes() > 0).then_some(())
    })
    .await;
    keyward.delete_key(&key).await;
    caller.write(chunk(r#""m1"}"#) + "0\r\n\r\n").await;
    assert_eq!(caller.read_answer().await.status(), 401);
    assert!(keyward.upstream.requests().is_empty());
}

#[tokio::test]
async fn a_megabyte_in_small_pieces_comes_through_as_it_was() {
    let keyward = start("").await;
    let key = keyward.key_for(&["m1"]).await;
    let lines: Vec<String> = (0..16_384).map(|line| format!("{line:063}\\n")).collect();
    let text = lines.concat();
    let body = format!(r#"{{"text":"{text}","model":"m1"}}"#);
    let mut caller = keyward.raw().await;
    let answer = caller.call(json("/v1/chat", &key, &body)).await;
    assert!(answer.json()["body"] == *body, "it comes back changed");
    caller.write(head("/v1/chat", &key, CHUNKED)).await;
    for piece in body.as_bytes().chunks(97) {
        caller
            .write(chunk(str::from_utf8(piece).expect("ASCII")))
            .await;
    }
    caller.write("0\r\n\r\n").await;
    assert!(
        caller.read_answer().await.json()["body"] == *body,
        "it comes back changed"
    );
}
