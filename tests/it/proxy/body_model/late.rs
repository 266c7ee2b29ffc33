//! Faults that come when the body has begun to go on: the caller's mistake (400) while nothing was answered, whatever is
//! spoken on either side; afterwards the answer breaks off.

use http::{Request, Version};
use http_body_util::BodyExt;
use rstest::rstest;

use super::{CHUNKED, ROUTES, chunk, head};
use crate::support::keyward::{TestKey, TestKeyward};
use crate::support::stream::{Stream, TestBody};
use crate::support::upstream::{Answer, BodyEnd};
use crate::support::within;

/// Names `m1`, and is longer than what is judged whole.
fn begun() -> String {
    format!(r#"{{"model":"m1","text":"{}"#, "x".repeat(2_000))
}

const FAULT: &str = r#"","model":"m2"}"#;

const HTTP1: &str = "";
const HTTP2: &str = "upstreams.default.protocol = \"http2\"\n";
/// What was sent is remembered, so that it could be sent with the other key.
const KEYS: &str = "[[upstreams.default.keys]]\nid = \"a\"\nvalue = { inline = \"secret-of-a\" }\n\
                    [[upstreams.default.keys]]\nid = \"b\"\nvalue = { inline = \"secret-of-b\" }\n";

async fn start(upstream: &str) -> (TestKeyward, TestKey) {
    let settings = format!("{upstream}[proxy.limits]\njudged_whole_bytes = 1000\n{ROUTES}");
    let keyward = TestKeyward::with(&settings).await;
    let key = keyward.key_for(&["m1"]).await;
    (keyward, key)
}

fn over_http2(key: &TestKey, body: TestBody) -> Request<TestBody> {
    Request::post("http://h/v1/chat")
        .version(Version::HTTP_2)
        .header("authorization", format!("Bearer {}", key.text))
        .header("content-type", "application/json")
        .body(body)
        .expect("a request")
}

/// Nothing of it is the upstream's fault, and nothing is sent twice.
fn is_noted_as_the_callers(keyward: &TestKeyward) {
    let outcomes = keyward.counted.outcomes();
    assert_eq!(outcomes["body_ambiguous"], 1, "{outcomes:?}");
    assert_eq!(outcomes.get("upstream_failed").copied().unwrap_or(0), 0);
    assert_eq!(keyward.upstream.requests().len(), 1);
}

#[rstest]
#[tokio::test]
async fn over_http1_it_is_the_callers(#[values(HTTP1, HTTP2, KEYS)] upstream: &str) {
    let (keyward, key) = start(upstream).await;
    let mut caller = keyward.raw().await;
    caller
        .write(head("/v1/chat", &key, CHUNKED) + &chunk(&begun()))
        .await;
    let seen = keyward.upstream.request(0).await;
    seen.body_reaches(begun().len() - 1).await;
    drop(caller.try_write(chunk(FAULT) + "0\r\n\r\n").await);
    let answer = caller.read_answer().await;
    assert_eq!(answer.status(), 400, "{}", answer.text());
    assert_eq!(seen.body_end().await, BodyEnd::Broken);
    // Where its request ends is not known, so nothing is read behind it.
    assert_eq!(caller.until_closed().await.0, b"");
    is_noted_as_the_callers(&keyward);
}

#[rstest]
#[tokio::test]
async fn over_http2_it_is_the_callers(#[values(HTTP1, HTTP2, KEYS)] upstream: &str) {
    let (keyward, key) = start(upstream).await;
    let caller = keyward.http2().await;
    let stream = Stream::new();
    let telling = async {
        stream.send(begun());
        let seen = keyward.upstream.request(0).await;
        seen.body_reaches(begun().len() - 1).await;
        stream.send(FAULT);
        stream.finish();
        seen
    };
    let request = over_http2(&key, stream.body());
    let (answer, seen) = tokio::join!(caller.send(request), telling);
    assert_eq!(answer.expect("an answer").status(), 400);
    assert_eq!(seen.body_end().await, BodyEnd::Broken);
    is_noted_as_the_callers(&keyward);
}

#[rstest]
#[tokio::test]
async fn an_answer_that_has_begun_is_reset_over_http2(#[values(HTTP1, HTTP2)] upstream: &str) {
    let (keyward, key) = start(upstream).await;
    let (request, answer) = (Stream::new(), Stream::new());
    keyward.upstream.next(Answer::streamed(&answer).early());
    let caller = keyward.http2().await;
    request.send(begun());
    answer.send("first");
    let answered = caller.send(over_http2(&key, request.body())).await;
    let mut answered = answered.expect("an answer");
    assert_eq!(answered.status(), 200);
    let first = within("a frame comes", answered.frame()).await;
    let first = first.expect("a frame").expect("no error");
    assert_eq!(first.into_data().expect("data"), "first");
    request.send(FAULT);
    request.finish();
    let rest = within("it ends", answered.into_body().collect()).await;
    assert!(rest.is_err(), "no end can be taken for the answer's own");
    let seen = keyward.upstream.request(0).await;
    assert_eq!(seen.body_end().await, BodyEnd::Broken);
}
