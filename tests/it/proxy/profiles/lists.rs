//! `GET /v1/models`: a key for some models is shown those, or nothing at all.

use http::{Method, Request};
use rstest::rstest;

use super::ask;
use crate::support::keyward::TestKeyward;
use crate::support::stream::{Stream, empty};
use crate::support::upstream::{Answer, AnswerEnd};

const LIST: &str = r#"{"object": "list", "data": [{"id":"m1","created":1.50}, {"id":"m2"}, {"id":"meta/x"}], "more": null}"#;
const MINE: &str = r#"{"object":"list","data":[{"id":"m1","created":1.50}],"more":null}"#;

fn list(body: &'static str) -> Answer {
    Answer::new(200, body).header("content-type", "application/json")
}

#[tokio::test]
async fn a_list_is_cut_to_the_models_of_the_key() {
    let keyward = TestKeyward::start().await;
    let answer = list(LIST)
        .header("etag", "\"1\"")
        .header("content-md5", "x");
    let answer = answer
        .header("cache-control", "public")
        .header("x-served-by", "a");
    keyward.upstream.on("/v1/models", answer);
    let key = keyward.key_for(&["m1"]).await;
    let lines =
        "Accept-Encoding: gzip, br\r\nIf-None-Match: \"1\"\r\nRange: bytes=0-10\r\nAccept: */*\r\n";
    let mut caller = keyward.raw().await;
    // One connection for both: the length is right.
    for _ in 0..2 {
        let shown = caller.call(ask("GET", "/v1/models", &key, lines)).await;
        assert_eq!(shown.status(), 200, "{}", shown.text());
        assert_eq!(shown.text(), MINE);
        let head = &shown.head;
        assert_eq!(head.field("content-length"), Some(&*MINE.len().to_string()));
        assert_eq!(head.field("content-type"), Some("application/json"));
        assert_eq!(head.all("cache-control"), ["no-store"]);
        assert_eq!(head.field("x-served-by"), Some("a"));
        assert!(head.field("etag").is_none() && head.field("content-md5").is_none());
    }
    let seen = keyward.upstream.request(0).await;
    assert_eq!(seen.header_all("accept-encoding"), ["identity"]);
    assert_eq!(seen.header_all("accept"), ["*/*"]);
    assert!(seen.header("if-none-match").is_none() && seen.header("range").is_none());
    assert_eq!(keyward.counted.held_body_bytes(), 0);
}

#[rstest]
#[case(&["m1", "m2"], "m1 m2")]
#[case(&["meta/*"], "meta/x")]
#[case(&["m*"], "m1 m2 meta/x")]
#[case(&["M1"], "")]
#[tokio::test]
async fn a_scope_says_what_is_shown(#[case] scope: &[&str], #[case] shown: &str) {
    let keyward = TestKeyward::start().await;
    keyward.upstream.on("/v1/models", list(LIST));
    let key = keyward.key_for(scope).await;
    let answer = keyward
        .raw()
        .await
        .call(ask("GET", "/v1/models", &key, ""))
        .await;
    let answer = answer.json();
    let data = answer["data"].as_array().expect("a list");
    let ids: Vec<_> = data
        .iter()
        .map(|datum| datum["id"].as_str().expect("text"))
        .collect();
    assert_eq!(ids.join(" "), shown);
}

#[tokio::test]
async fn a_key_for_every_model_is_shown_what_the_server_says() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    for (encoding, body) in [
        ("gzip", "no gzip"),
        ("identity", LIST),
        ("identity", "no list"),
    ] {
        let answer = Answer::new(200, body).header("content-encoding", encoding);
        keyward.upstream.next(answer.header("etag", "\"1\""));
        let lines = "Accept-Encoding: gzip\r\nIf-None-Match: \"2\"\r\n";
        let shown = keyward
            .raw()
            .await
            .call(ask("GET", "/v1/models", &key, lines))
            .await;
        assert_eq!(shown.text(), body);
        assert_eq!(shown.head.field("etag"), Some("\"1\""));
        assert_eq!(shown.head.field("content-encoding"), Some(encoding));
    }
    let seen = keyward.upstream.request(0).await;
    assert_eq!(seen.header_all("accept-encoding"), ["gzip"]);
    assert_eq!(seen.header_all("if-none-match"), ["\"2\""]);
}

#[rstest]
#[case::compressed(list(LIST).header("content-encoding", "gzip"))]
#[case::twice(list(LIST).header("content-encoding", "identity").header("content-encoding", "br"))]
#[case::a_part(Answer::new(206, LIST).header("content-type", "application/json"))]
#[case::created(Answer::new(201, LIST).header("content-type", "application/json"))]
#[case::of_no_kind(Answer::new(200, LIST))]
#[case::of_another_kind(Answer::new(200, LIST).header("content-type", "text/html"))]
#[case::in_another_charset(Answer::new(200, LIST).header("content-type", "application/json; charset=utf-16"))]
#[case::of_two_kinds(list(LIST).header("content-type", "application/json"))]
#[case::broken(list(r#"{"data":[{"id":"m2"}]"#))]
#[case::no_object(list(r#"[{"id":"m2"}]"#))]
#[case::no_list(list(r#"{"data":{"id":"m2"}}"#))]
#[case::twice_named(list(r#"{"data":[{"id":"m1","id":"m2"}]}"#))]
#[case::nothing(list(""))]
#[tokio::test]
async fn what_cannot_be_cut_is_not_shown(#[case] answer: Answer) {
    let keyward = TestKeyward::start().await;
    keyward.upstream.on("/v1/models", answer);
    let key = keyward.key_for(&["m1"]).await;
    let mut caller = keyward.raw().await;
    for _ in 0..2 {
        let shown = caller.call(ask("GET", "/v1/models", &key, "")).await;
        assert_eq!(shown.status(), 502, "{}", shown.text());
        assert_eq!(shown.json()["error"]["code"], "answer_unfilterable");
        assert!(!shown.text().contains("m2"));
    }
    assert_eq!(keyward.counted.outcomes()["answer_unfilterable"], 2);
    assert_eq!(keyward.counted.held_body_bytes(), 0);
}

#[tokio::test]
async fn a_list_is_as_long_as_the_settings_let_it_be() {
    let keyward = TestKeyward::with("proxy.limits.model_list_bytes = 1024\n").await;
    let key = keyward.key_for(&["m1"]).await;
    let of = |bytes: usize| {
        let frame = r#"{"data":[],"x":""}"#.len();
        format!(r#"{{"data":[],"x":"{}"}}"#, "x".repeat(bytes - frame))
    };
    for (bytes, status) in [(1024, 200), (1025, 502)] {
        let answer = Answer::new(200, of(bytes)).header("content-type", "application/json");
        keyward.upstream.next(answer);
        let counted = keyward
            .raw()
            .await
            .call(ask("GET", "/v1/models", &key, ""))
            .await;
        assert_eq!(counted.status(), status, "{bytes}");
        let stream = Stream::new();
        let answer = Answer::streamed(&stream).header("content-type", "application/json");
        keyward.upstream.next(answer);
        stream.send(of(bytes));
        stream.finish();
        let chunked = keyward
            .raw()
            .await
            .call(ask("GET", "/v1/models", &key, ""))
            .await;
        assert_eq!(chunked.status(), status, "{bytes}");
    }
    // One that never ends is not read to its end.
    let stream = Stream::new();
    keyward
        .upstream
        .next(Answer::streamed(&stream).header("content-type", "application/json"));
    stream.send(of(1025));
    let endless = keyward
        .raw()
        .await
        .call(ask("GET", "/v1/models", &key, ""))
        .await;
    assert_eq!(endless.status(), 502);
    stream.dropped().await;
}

#[tokio::test]
async fn all_lists_together_are_held_in_what_bodies_may_take() {
    let limits = "held_body_bytes = 1024\nheld_bodies_bytes = 1024\njudged_whole_bytes = 0\n";
    let keyward = TestKeyward::with(&format!("[proxy.limits]\n{limits}")).await;
    let key = keyward.key_for(&["m1"]).await;
    let long = format!(r#"{{"data":[],"x":"{}"}}"#, "x".repeat(1024));
    let answer = Answer::new(200, long).header("content-type", "application/json");
    keyward.upstream.next(answer);
    let refused = keyward
        .raw()
        .await
        .call(ask("GET", "/v1/models", &key, ""))
        .await;
    assert_eq!(refused.status(), 503);
    assert_eq!(keyward.counted.outcomes()["held_bodies_full"], 1);
    assert_eq!(keyward.counted.held_body_bytes(), 0);
}

#[rstest]
#[case(204)]
#[case(302)]
#[case(304)]
#[case(401)]
#[case(404)]
#[case(500)]
#[tokio::test]
async fn an_answer_that_is_no_success_passes(#[case] status: u16) {
    let keyward = TestKeyward::start().await;
    let body = if matches!(status, 204 | 304) {
        ""
    } else {
        "why not"
    };
    keyward
        .upstream
        .next(Answer::new(status, body).header("etag", "\"1\""));
    let key = keyward.key_for(&["m1"]).await;
    let answer = keyward
        .raw()
        .await
        .call(ask("GET", "/v1/models", &key, ""))
        .await;
    assert_eq!(answer.status(), status);
    assert_eq!(answer.text(), body);
    assert_eq!(answer.head.field("etag"), Some("\"1\""));
}

#[tokio::test]
async fn a_head_says_nothing_of_what_is_left_out() {
    let keyward = TestKeyward::with("proxy.profiles = [{ profile = \"ollama\" }]\n").await;
    let answer = Answer::new(200, r#"{"models":[{"name":"m1"},{"name":"m2"}]}"#)
        .header("content-type", "application/json")
        .header("etag", "\"1\"");
    keyward.upstream.on("/api/tags", answer);
    let (m1, every) = (keyward.key_for(&["m1"]).await, keyward.key().await);
    let mut caller = keyward.raw().await;
    let whole = caller.call(ask("HEAD", "/api/tags", &every, "")).await;
    assert_eq!(whole.head.field("etag"), Some("\"1\""));
    let shown = caller.call(ask("HEAD", "/api/tags", &m1, "")).await;
    assert_eq!(shown.status(), 200);
    assert!(shown.head.field("etag").is_none());
    let length = |head: &crate::support::raw::Head| head.field("content-length").map(str::to_owned);
    assert_ne!(length(&shown.head), Some("40".to_owned()));
    // The connection is usable: nothing was sent after the head.
    let shown = caller.call(ask("GET", "/api/tags", &m1, "")).await;
    assert_eq!(shown.text(), r#"{"models":[{"name":"m1"}]}"#);
}

#[tokio::test]
async fn a_server_that_breaks_off_shows_nothing() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key_for(&["m1"]).await;
    let stream = Stream::new();
    keyward
        .upstream
        .next(Answer::streamed(&stream).header("content-type", "application/json"));
    stream.send(r#"{"data":[{"id":"m1"}"#);
    stream.break_off();
    let answer = keyward
        .raw()
        .await
        .call(ask("GET", "/v1/models", &key, ""))
        .await;
    assert_eq!(answer.status(), 502, "{}", answer.text());
    assert_eq!(keyward.counted.outcomes()["upstream_failed"], 1);
}

#[tokio::test]
async fn a_server_that_stops_amid_a_list_is_not_waited_for_for_ever() {
    let keyward = TestKeyward::with("proxy.limits.body_stall_timeout = \"100ms\"\n").await;
    let key = keyward.key_for(&["m1"]).await;
    let stream = Stream::new();
    keyward
        .upstream
        .next(Answer::streamed(&stream).header("content-type", "application/json"));
    stream.send(r#"{"data":["#);
    let answer = keyward
        .raw()
        .await
        .call(ask("GET", "/v1/models", &key, ""))
        .await;
    assert_eq!(answer.status(), 502, "{}", answer.text());
    stream.dropped().await;
    assert_eq!(keyward.counted.held_body_bytes(), 0);
}

#[tokio::test]
async fn whoever_goes_away_ends_the_reading() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key_for(&["m1"]).await;
    let stream = Stream::new();
    keyward
        .upstream
        .next(Answer::streamed(&stream).header("content-type", "application/json"));
    stream.send(r#"{"data":["#);
    let mut caller = keyward.raw().await;
    caller.write(ask("GET", "/v1/models", &key, "")).await;
    let seen = keyward.upstream.request(0).await;
    caller.reset();
    assert_eq!(seen.answer_end().await, AnswerEnd::Dropped);
}

#[tokio::test]
async fn one_model_is_asked_for_as_it_is_called() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key_for(&["m1", "meta/x"]).await;
    for (target, status) in [
        ("/v1/models/m1", 200),
        ("/v1/models/meta%2Fx", 200),
        ("/v1/models/m2", 403),
        ("/v1/models/meta%2Fy", 403),
        ("/v1/models/meta/x", 404),
    ] {
        let answer = keyward.raw().await.call(ask("GET", target, &key, "")).await;
        assert_eq!(answer.status(), status, "{target}");
    }
    assert_eq!(keyward.upstream.requests().len(), 2);
}

#[tokio::test]
async fn a_list_below_a_models_own_path_is_cut_too() {
    let keyward = TestKeyward::start().await;
    keyward.upstream.on("/v1/models", list(LIST));
    let key = keyward.key_for(&["m1"]).await;
    let shown = keyward
        .raw()
        .await
        .call(ask("GET", "/models/m1/v1/models", &key, ""))
        .await;
    assert_eq!(shown.text(), MINE);
    let refused = keyward
        .raw()
        .await
        .call(ask("GET", "/models/m2/v1/models", &key, ""))
        .await;
    assert_eq!(refused.status(), 403);
}

#[tokio::test]
async fn a_key_that_may_not_call_models_is_shown_no_list() {
    let keyward = TestKeyward::start().await;
    let key = keyward.create_key("WORKSPACE_EXPORT_METRICS", None).await;
    let answer = keyward
        .raw()
        .await
        .call(ask("GET", "/v1/models", &key, ""))
        .await;
    assert_eq!(answer.status(), 403);
    assert!(keyward.upstream.requests().is_empty());
}

#[tokio::test]
async fn over_http2_a_list_is_cut_too() {
    let keyward = TestKeyward::start().await;
    keyward.upstream.on("/v1/models", list(LIST));
    let key = keyward.key_for(&["m1"]).await;
    let caller = keyward.http2().await;
    let request = Request::builder()
        .method(Method::GET)
        .uri(format!("http://{}/v1/models", keyward.addresses.proxy))
        .header("authorization", format!("Bearer {}", key.text));
    let answer = caller.call(request.body(empty()).expect("a request")).await;
    assert_eq!(answer.body, MINE);
    assert_eq!(answer.headers["content-length"], MINE.len().to_string());
}
