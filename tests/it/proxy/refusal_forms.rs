//! How a refusal looks: in the form of its route's callers, the same for every way a key can be no good (CONTRACTS 5).

use http::Request;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::keyward::{TestKey, TestKeyward};
use crate::support::raw::{Head, RawAnswer};
use crate::support::store::new_secret;
use crate::support::stream::empty;

/// One route for each form, and one that does not say.
const ROUTES: &str = r#"
proxy.errors = "baseten"
[[proxy.routes]]
path = "/openai/{model}"
upstream = "default"
errors = "openai"
[[proxy.routes]]
path = "/anthropic/{model}"
upstream = "default"
errors = "anthropic"
[[proxy.routes]]
path = "/problem/{model}"
upstream = "default"
errors = "problem"
[[proxy.routes]]
path = "/any/{model}"
upstream = "default"
"#;

fn get(target: &str, key: Option<&str>) -> String {
    let key = key.map_or_else(String::new, |key| {
        format!("Authorization: Bearer {key}\r\n")
    });
    format!("GET {target} HTTP/1.1\r\nHost: h\r\n{key}\r\n")
}

async fn refusal(keyward: &TestKeyward, request: &str) -> RawAnswer {
    keyward.raw().await.call(request).await
}

/// The bytes of an answer without what is new in each.
fn lasting(answer: &RawAnswer) -> (String, String) {
    let of_the_moment = ["x-request-id: ", "traceparent: ", "date: "];
    let head = String::from_utf8(answer.head.bytes.clone()).expect("heads are ASCII");
    let lines = head
        .split_inclusive("\r\n")
        .filter(|line| !of_the_moment.iter().any(|name| line.starts_with(name)));
    (lines.collect(), answer.text())
}

fn challenges(head: &Head) -> Vec<&str> {
    head.all("www-authenticate")
}

#[rstest]
#[case::openai("openai", "application/json", &json!({"error": {
    "message": "this key may not call this model", "type": "invalid_request_error",
    "param": null, "code": "model_not_allowed"}}))]
#[case::anthropic("anthropic", "application/json", &json!({"type": "error", "error": {
    "type": "permission_error", "message": "this key may not call this model"}}))]
#[case::problem("problem", "application/problem+json", &json!({
    "type": "about:blank", "title": "Forbidden", "status": 403,
    "detail": "this key may not call this model", "code": "model_not_allowed"}))]
#[case::that_of_the_listener("any", "application/json", &json!({
    "error": "this key may not call this model", "error_code": "model_not_allowed"}))]
#[tokio::test]
async fn a_refusal_has_the_form_of_its_route(
    #[case] route: &str,
    #[case] kind: &str,
    #[case] expected: &Value,
) {
    let keyward = TestKeyward::with(ROUTES).await;
    let key = keyward.key_for(&["alpha"]).await;
    let request = get(&format!("/{route}/beta"), Some(&key.text));
    let answer = refusal(&keyward, &request).await;
    assert_eq!(answer.status(), 403);
    assert_eq!(answer.head.field("content-type"), Some(kind));
    assert_eq!(answer.head.field("cache-control"), Some("no-store"));
    assert_eq!(answer.json(), *expected);
    // What the built-in table says about a path holds though no route takes its method.
    let keyward = TestKeyward::start().await;
    let answer = refusal(&keyward, &get("/v1/messages", None)).await;
    assert_eq!(answer.json()["type"], "error");
}

/// Two virtual hosts with one path, and a host of neither: the form is of the host that is asked for.
#[rstest]
#[case::one("one.test", "openai", 403)]
#[case::other("other.test", "anthropic", 403)]
#[case::any("third.test", "baseten", 403)]
#[case::no_key("one.test", "openai", 401)]
#[tokio::test]
async fn a_refusal_has_the_form_of_its_virtual_host(
    #[case] host: &str,
    #[case] form: &str,
    #[case] status: u16,
) {
    let keyward = TestKeyward::with(
        r#"
proxy.errors = "problem"
[[proxy.routes]]
host = "other.test"
path = "/{model}"
upstream = "default"
errors = "anthropic"
[[proxy.routes]]
host = "one.test"
path = "/{model}"
upstream = "default"
errors = "openai"
[[proxy.routes]]
path = "/{model}"
upstream = "default"
errors = "baseten"
"#,
    )
    .await;
    let key = keyward.key_for(&["alpha"]).await;
    let key = (status == 403).then_some(key.text.as_str());
    let request = get("/beta", key).replace("Host: h\r\n", &format!("Host: {host}\r\n"));
    let answer = refusal(&keyward, &request).await;
    assert_eq!(answer.status(), status);
    let json = answer.json();
    let found = match (&json["type"], &json["error"], &json["error_code"]) {
        (Value::String(kind), _, _) if kind == "error" => "anthropic",
        (_, Value::Object(_), _) => "openai",
        (_, _, Value::String(_)) => "baseten",
        _ => "problem",
    };
    assert_eq!(found, form, "{json}");
}

/// Two routes that differ in their methods alone: the form is of the one that the request is on.
#[rstest]
#[case("GET", "openai")]
#[case("POST", "anthropic")]
#[tokio::test]
async fn a_refusal_has_the_form_of_its_method(
    #[case] method: &str,
    #[case] form: &str,
    #[values(401, 403)] status: u16,
) {
    let keyward = TestKeyward::with(
        r#"
[[proxy.routes]]
path = "/{model}"
methods = ["GET"]
upstream = "default"
errors = "openai"
[[proxy.routes]]
path = "/{model}"
methods = ["POST"]
upstream = "default"
errors = "anthropic"
"#,
    )
    .await;
    let key = keyward.key_for(&["alpha"]).await;
    let key = (status == 403).then_some(key.text.as_str());
    let request = get("/beta", key).replace("GET", method);
    let answer = refusal(&keyward, &request).await;
    assert_eq!(answer.status(), status);
    let is_anthropic = answer.json()["type"] == "error";
    assert_eq!(is_anthropic, form == "anthropic", "{}", answer.text());
}

#[tokio::test]
async fn six_ways_of_being_no_good_look_the_same() {
    let keyward = TestKeyward::start().await;
    let disabled = keyward.key().await;
    let expired = keyward.key().await;
    let deleted = keyward.key().await;
    keyward.delete_key(&deleted).await;
    for (key, change) in [(&disabled, "disabled_at"), (&expired, "expires_at")] {
        let prefix = &key.prefix;
        let sql = format!("UPDATE api_keys SET {change} = 1 WHERE prefix = '{prefix}'");
        keyward.by_hand(&sql).await;
        while keyward.call(key, "m").await.status() == 200 {}
    }
    let nobody = new_secret().reveal().to_owned();
    let malformed = format!("{nobody}x");
    let keys = [
        &nobody,
        &malformed,
        &"not-a-key-at-all".to_owned(),
        &disabled.text,
        &expired.text,
        &deleted.text,
    ];
    let targets = ["/models/m/predict", "/v1/models", "/models/m/v1/messages"];
    // What ends the connection is said in the same place, too.
    let each = targets.into_iter().flat_map(|target| {
        let more = ["\r\n", "\r\nExpect: 100-continue\r\n"];
        more.map(|more| (target, more))
    });
    for (target, more) in each {
        let mut looks = Vec::new();
        for key in keys {
            let request = get(target, Some(key)).replace("GET /models", "POST /models");
            let request = request.replacen("\r\n", more, 1);
            let answer = refusal(&keyward, &request).await;
            assert_eq!(answer.status(), 401);
            looks.push(lasting(&answer));
        }
        looks.dedup();
        assert_eq!(looks.len(), 1, "{looks:#?}");
    }
    let outcomes = keyward.counted.outcomes();
    for outcome in [
        "unknown_key",
        "malformed_key",
        "key_disabled",
        "key_expired",
    ] {
        assert!(outcomes[outcome] >= 3, "{outcomes:?}");
    }
}

#[tokio::test]
async fn a_missing_key_is_asked_for_and_an_invalid_one_is_called_so() {
    let keyward = TestKeyward::start().await;
    let missing = refusal(&keyward, &get("/v1/models", None)).await;
    assert_eq!(missing.status(), 401);
    assert_eq!(
        challenges(&missing.head),
        ["Bearer realm=\"keyward\"", "Api-Key realm=\"keyward\""]
    );
    let invalid = refusal(&keyward, &get("/v1/models", Some("no"))).await;
    assert_eq!(
        challenges(&invalid.head),
        [
            "Bearer realm=\"keyward\", error=\"invalid_token\"",
            "Api-Key realm=\"keyward\", error=\"invalid_token\""
        ]
    );
    let scoped = keyward.key_for(&["alpha"]).await;
    let forbidden = refusal(&keyward, &get("/v1/models/beta", Some(&scoped.text))).await;
    assert_eq!(
        (forbidden.status(), challenges(&forbidden.head)),
        (403, vec![])
    );
}

#[tokio::test]
async fn a_refused_head_has_no_body_and_the_connection_goes_on() {
    let keyward = TestKeyward::with(ROUTES).await;
    let mut caller = keyward.raw().await;
    let whole = caller.call(get("/openai/m", None)).await;
    let head = caller
        .call(get("/openai/m", None).replace("GET", "HEAD"))
        .await;
    assert_eq!(lasting(&head).0, lasting(&whole).0);
    assert_ne!(whole.text(), "");
    // Had there been a body, it would stand where this answer is read.
    assert_eq!(caller.call(get("/openai/m", None)).await.status(), 401);
}

#[rstest]
#[case::missing(None, "m", "16", "missing API key")]
#[case::invalid(Some("no"), "m", "16", "invalid API key")]
#[case::out_of_scope(Some("scoped"), "m", "7", "this key may not call this model")]
#[case::ambiguous(Some("scoped"), "m%20", "3", "the path holds a percent escape")]
#[case::no_route(Some("scoped"), "m/x", "5", "not found")]
#[case::upstream_down(Some("scoped"), "alpha", "14", "upstream unavailable")]
#[tokio::test]
async fn a_grpc_caller_is_refused_by_a_status_in_the_head(
    #[case] key: Option<&str>,
    #[case] model: &str,
    #[case] status: &str,
    #[case] message: &str,
) {
    let keyward = TestKeyward::with(ROUTES).await;
    keyward.upstream.stop().await;
    let scoped = keyward.key_for(&["alpha"]).await;
    let mut request = Request::post(format!("http://h/any/{model}"))
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers");
    if let Some(key) = key {
        let key = if key == "scoped" { &scoped.text } else { key };
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let request = request.body(empty()).expect("a request");
    let answer = keyward.http2().await.call(request).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "application/grpc");
    assert_eq!(answer.headers["grpc-status"], status);
    assert_eq!(answer.headers["grpc-message"], message);
    assert_eq!((answer.body.len(), answer.trailers), (0, None));
}

#[tokio::test]
async fn every_answer_names_the_request() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    keyward.upstream.next(
        crate::support::upstream::Answer::new(200, "ok")
            .header("x-request-id", "the-upstreams-own")
            .header("traceparent", "the-upstreams-own"),
    );
    let forwarded = keyward.call(&key, "m").await;
    let refused = keyward
        .call(
            &TestKey {
                text: "no".to_owned(),
                ..key
            },
            "m",
        )
        .await;
    let seen = keyward.upstream.request(0).await;
    assert_eq!(
        forwarded.head.all("x-request-id"),
        seen.header_all("x-request-id")
    );
    assert_eq!(
        forwarded.head.all("traceparent"),
        seen.header_all("traceparent")
    );
    for name in ["x-request-id", "traceparent"] {
        let (one, other) = (forwarded.head.all(name), refused.head.all(name));
        assert_eq!((one.len(), other.len()), (1, 1));
        assert_ne!(one, other);
    }
}
