//! Answers, as far as they are heads.

use http::Request;
use rstest::rstest;

use super::PREDICT;
use crate::support::keyward::{TestKeyward, post};
use crate::support::stream::{Stream, empty};
use crate::support::upstream::Answer;

#[tokio::test]
async fn an_answer_comes_back_whole_but_for_what_is_of_the_upstreams_connection() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    keyward.upstream.next(
        Answer::new(418, "short and stout")
            .header("connection", "x-private")
            .header("x-private", "1")
            .header("keep-alive", "timeout=5")
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2")
            .header("content-type", "text/plain")
            .header("date", "Thu, 01 Jan 1970 00:00:00 GMT")
            .header("server", "teapot"),
    );
    let mut caller = keyward.raw().await;
    let answer = caller.call(post(PREDICT, &key, "")).await;
    let mut names: Vec<_> = answer
        .head
        .fields
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    names.sort_unstable();
    let expected = [
        "content-length",
        "content-type",
        "date",
        "server",
        "set-cookie",
        "set-cookie",
        "traceparent",
        "x-request-id",
    ];
    assert_eq!(names, expected);
    assert_eq!(answer.head.all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(
        answer.head.field("date"),
        Some("Thu, 01 Jan 1970 00:00:00 GMT")
    );
    assert_eq!(
        (answer.status(), answer.text().as_str()),
        (418, "short and stout")
    );
    assert_eq!(caller.call(post(PREDICT, &key, "")).await.status(), 200);
}

/// Names of a request as an upstream may say them, of another trace, and some twice.
const NAMES: [(&str, &str); 5] = [
    ("x-request-id", "theirs"),
    ("x-request-id", "theirs-again"),
    (
        "traceparent",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ),
    ("tracestate", "theirs=1"),
    ("tracestate", "theirs=2"),
];

#[tokio::test]
async fn an_answer_has_the_names_of_its_request_and_not_those_that_its_upstream_says() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let answer = || {
        let answer = Answer::new(200, "ok");
        let names = NAMES.iter();
        names.fold(answer, |answer, (name, value)| answer.header(name, value))
    };
    keyward.upstream.next(answer());
    let request = post(PREDICT, &key, "").replace("Host: h", "Host: h\r\nX-Request-Id: ours");
    let told = keyward.raw().await.call(request).await;
    assert_eq!(told.head.all("x-request-id"), ["ours"]);
    assert_eq!(told.head.all("tracestate"), [""; 0]);
    let seen = keyward.upstream.request(0).await;
    assert_eq!(told.head.all("traceparent"), seen.header_all("traceparent"));

    keyward.upstream.next(answer());
    let request = Request::post(format!("http://h{PREDICT}"))
        .header("authorization", format!("Bearer {}", key.text))
        .header("x-request-id", "ours")
        .body(empty());
    let told = keyward
        .http2()
        .await
        .call(request.expect("a request"))
        .await;
    let all = |name: &str| -> Vec<&str> {
        let values = told.headers.get_all(name).iter();
        values.map(|value| value.to_str().expect("text")).collect()
    };
    assert_eq!(all("x-request-id"), ["ours"]);
    assert_eq!(all("tracestate"), [""; 0]);
    let seen = keyward.upstream.request(1).await;
    assert_eq!(all("traceparent"), seen.header_all("traceparent"));
}

#[rstest]
#[case::head("HEAD", 200, Some("15"))]
#[case::no_content("GET", 204, None)]
#[case::not_modified("GET", 304, None)]
#[tokio::test]
async fn answers_without_a_body_stay_so_and_the_connection_goes_on(
    #[case] method: &str,
    #[case] status: u16,
    #[case] length: Option<&str>,
) {
    let route = "[[proxy.routes]]\npath = \"/{model}\"\nupstream = \"default\"\n";
    let keyward = TestKeyward::with(route).await;
    let key = keyward.key().await;
    let body = if length.is_some() {
        "short and stout"
    } else {
        ""
    };
    keyward
        .upstream
        .next(Answer::new(status, body).header("etag", "\"1\""));
    let mut caller = keyward.raw().await;
    let ask = |method: &str| post("/m", &key, "").replace("POST", method);
    let answer = caller.call(ask(method)).await;
    assert_eq!(
        (answer.status(), answer.head.field("content-length")),
        (status, length)
    );
    assert_eq!(answer.head.field("etag"), Some("\"1\""));
    assert_eq!(answer.head.field("transfer-encoding"), None);
    assert_eq!(caller.call(ask("GET")).await.status(), 200);
    assert_eq!(keyward.upstream.connections(), 1);
}

#[tokio::test]
async fn informational_answers_of_the_upstream_do_not_become_the_answer() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let hints = Answer::new(200, "ok").after_informational(103, &[("Link", "</a>")]);
    keyward.upstream.next(hints);
    let answer = keyward.call(&key, "m").await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
}

#[tokio::test]
async fn a_caller_of_http_1_0_gets_no_chunks() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let stream = Stream::new();
    keyward.upstream.next(Answer::streamed(&stream));
    stream.send("of unknown ");
    stream.send("length");
    stream.finish();
    let mut caller = keyward.raw().await;
    let answer = caller
        .call(post(PREDICT, &key, "").replace("HTTP/1.1", "HTTP/1.0"))
        .await;
    assert_eq!(
        (answer.status(), answer.head.field("transfer-encoding")),
        (200, None)
    );
    assert_eq!(
        (answer.text().as_str(), answer.body.is_complete),
        ("of unknown length", true)
    );
    assert!(
        keyward
            .upstream
            .received(0)
            .starts_with(b"POST /models/m/predict HTTP/1.1\r\n")
    );
}
