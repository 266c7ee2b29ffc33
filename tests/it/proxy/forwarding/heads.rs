//! Requests, as far as they are heads.

use http::Request;
use rstest::rstest;
use serde_json::json;

use super::{PREDICT, Protocol, head, over_http2, with};
use crate::support::keyward::{TestKey, TestKeyward, post};
use crate::support::stream::{empty, whole};
use crate::support::upstream::Seen;

/// The names of the headers that reached the upstream, sorted.
fn names(seen: &Seen) -> Vec<&str> {
    let mut names: Vec<_> = seen.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}

/// What every forwarded request has, beside what its caller sent: sorted.
const OURS: [&str; 8] = [
    "host",
    "traceparent",
    "x-keyward-key-id",
    "x-keyward-key-prefix",
    "x-keyward-model",
    "x-keyward-org",
    "x-keyward-team",
    "x-request-id",
];

/// Every header that must not go on, in some spelling that some server reads as it. `{key}` is the caller's.
const NEVER_FORWARDED: &[(&str, &str)] = &[
    ("authorization", "Bearer {key}"),
    ("x-api-key", "{key}"),
    ("x_api_key", "{key}"),
    ("x.api.key", "another secret"),
    ("api-key", "another secret"),
    ("x-goog-api-key", "another secret"),
    ("x-bf-vk", "another secret"),
    ("baseten-authorization", "another secret"),
    ("proxy-authorization", "Basic b3BlbiBzZXNhbWU="),
    ("proxy_authorization", "Basic b3BlbiBzZXNhbWU="),
    ("x-anything", "the key is {key}, really"),
    ("x-keyward-org", "forged"),
    ("x_keyward_org", "forged"),
    ("X-Keyward_Key.Id", "forged"),
    ("x-keyward-model", "forged"),
    ("x-keyward-whatever-comes", "forged"),
    ("forwarded", "for=forged"),
    ("x-forwarded-for", "forged"),
    ("x_forwarded_host", "forged"),
    ("x-forwarded-anything", "forged"),
    ("x-real-ip", "forged"),
    ("x-original-url", "/models/other"),
    ("x-rewrite-url", "/models/other"),
    ("x-http-method-override", "DELETE"),
    ("x-http-method", "DELETE"),
    ("x-method-override", "DELETE"),
    ("x-original-host", "forged"),
];

/// Headers that belong to one connection; HTTP/2 has none of them.
const OF_ONE_CONNECTION: &[(&str, &str)] = &[
    ("connection", "keep-alive, x-private, X-Also-Private"),
    ("x-private", "1"),
    ("x-also-private", "1"),
    ("keep-alive", "timeout=5"),
    ("proxy-connection", "keep-alive"),
    ("upgrade", "h2c"),
    ("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA"),
    ("te", "gzip"),
    ("proxy-authenticate", "Basic"),
    ("expect", "100-continue"),
];

const FORWARDED: &[(&str, &str)] = &[
    ("accept", "*/*"),
    ("content-type", "application/json"),
    ("content-encoding", "gzip"),
    ("user-agent", "a test"),
    ("x-many", "1"),
    ("x-many", "2"),
    ("x-keyword", "not one of ours"),
    ("via", "1.1 somebody"),
    ("baseten-model-id", "of the caller's own"),
];

#[rstest]
#[case::http1(Protocol::Http1)]
#[case::http2(Protocol::Http2)]
#[tokio::test]
async fn nothing_that_is_secret_forged_or_of_the_connection_goes_on(#[case] protocol: Protocol) {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    match protocol {
        Protocol::Http1 => {
            let sent = [NEVER_FORWARDED, OF_ONE_CONNECTION, FORWARDED].concat();
            let lines: Vec<String> = sent
                .iter()
                .map(|(name, value)| format!("{name}: {value}\r\n"))
                .collect();
            let request = format!(
                "POST {PREDICT} HTTP/1.1\r\nHost: h\r\n{}Transfer-Encoding: chunked\r\n\r\n",
                lines.concat()
            );
            let request = request.replace("{key}", &key.text);
            let mut caller = keyward.raw().await;
            caller.write(request).await;
            assert_eq!(caller.read_head().await.status(), 100);
            caller.write("2\r\nhi\r\n0\r\n\r\n").await;
            assert_eq!(caller.read_answer().await.status(), 200);
        }
        Protocol::Http2 => {
            let mut request = Request::post(format!("http://h{PREDICT}"));
            for (name, value) in [NEVER_FORWARDED, FORWARDED].concat() {
                request = request.header(name, value.replace("{key}", &key.text));
            }
            let answer = keyward.http2().await.call(with(request, whole("hi"))).await;
            assert_eq!(answer.status, 200);
        }
    }
    let seen = keyward.upstream.request(0).await;
    let framing = match protocol {
        Protocol::Http1 => "transfer-encoding",
        Protocol::Http2 => "content-length",
    };
    let mut expected = OURS.to_vec();
    expected.extend(FORWARDED.iter().map(|(name, _)| *name));
    expected.push(framing);
    expected.sort_unstable();
    assert_eq!(names(&seen), expected);
    for (name, value) in FORWARDED {
        assert!(seen.header_all(name).contains(value), "{name}: {value}");
    }
    let received = String::from_utf8(keyward.upstream.received(0)).expect("text");
    for secret in [&key.text, "another secret", "b3BlbiBzZXNhbWU="] {
        assert!(!received.contains(secret), "{received}");
    }
    assert!(!received.contains("forged"), "{received}");
    assert!(received.starts_with("POST /models/m/predict HTTP/1.1\r\n"));
    assert_eq!(
        seen.header("host"),
        Some(keyward.upstream.address().to_string().as_str())
    );
}

#[tokio::test]
async fn the_upstream_learns_who_calls_and_which_model() {
    let keyward = TestKeyward::start().await;
    let wish = json!({"type": "WORKSPACE_INVOKE", "name": "nightly \u{6771}"});
    let key = keyward.create(&wish).await;
    keyward.call(&key, "meta-llama").await;
    let seen = keyward.upstream.request(0).await;
    let one = |name| match seen.header_all(name).as_slice() {
        [value] => (*value).to_owned(),
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(one("x-keyward-key-prefix"), key.prefix);
    assert_eq!(one("x-keyward-key-name"), "nightly %E6%9D%B1");
    assert_eq!(one("x-keyward-model"), "meta-llama");
    let known = format!(
        "SELECT count(*) FROM api_keys k JOIN teams t ON t.id = k.team_id \
         WHERE k.id = '{}' AND k.org_id = '{}' AND t.name = '{}' AND k.prefix = '{}'",
        one("x-keyward-key-id"),
        one("x-keyward-org"),
        one("x-keyward-team"),
        key.prefix,
    );
    assert_eq!(keyward.number(&known).await, 1, "{known}");
    // A route that names no model says none; a key without a name says none.
    let unnamed = keyward.key().await;
    let request = post("/v1/chat/completions", &unnamed, "{}");
    keyward.raw().await.call(request).await;
    let seen = keyward.upstream.request(1).await;
    assert_eq!(
        (
            seen.header("x-keyward-model"),
            seen.header("x-keyward-key-name")
        ),
        (None, None)
    );
}

/// A request line and a host; the target and the model that the upstream sees.
#[rstest]
#[case::path("/models/m/predict", "h", "/models/m/predict", "m")]
#[case::query(
    "/models/m/predict?a=1&a=%20b+c&d",
    "h",
    "/models/m/predict?a=1&a=%20b+c&d",
    "m"
)]
#[case::empty_query("/models/m/predict?", "h", "/models/m/predict?", "m")]
#[case::stripped(
    "/models/m/v1/chat/completions?x=1",
    "h",
    "/v1/chat/completions?x=1",
    "m"
)]
#[case::stripped_messages("/models/m/v1/messages", "h", "/v1/messages", "m")]
#[case::host("/production/predict", "model-m.api.test", "/production/predict", "m")]
#[case::host_in_capitals(
    "/production/predict",
    "MODEL-M.API.test:443",
    "/production/predict",
    "m"
)]
#[case::chain(
    "/production/run_remote",
    "chain-c.api.test",
    "/production/run_remote",
    "c"
)]
#[case::environment(
    "/environments/beta/predict",
    "model-m.api.test",
    "/environments/beta/predict",
    "m"
)]
#[case::regional("/predict", "model-m-beta.api.test", "/predict", "m")]
#[case::host_stripped(
    "/environments/beta/sync/v1/embeddings",
    "model-m.api.test",
    "/v1/embeddings",
    "m"
)]
#[case::absolute("http://h/models/m/predict?x", "h", "/models/m/predict?x", "m")]
#[tokio::test]
async fn the_target_that_goes_on_is_the_one_that_was_decided_on(
    #[case] target: &str,
    #[case] host: &str,
    #[case] forwarded: &str,
    #[case] model: &str,
) {
    let keyward = TestKeyward::start().await;
    let key = keyward.key_for(&["m", "c"]).await;
    let body = format!(r#"{{"model":"{model}"}}"#);
    let lines = format!("Host: {host}\r\nContent-Type: application/json\r\n");
    let request = post(target, &key, &body).replace("Host: h\r\n", &lines);
    let answer = keyward.raw().await.call(request).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let seen = keyward.upstream.request(0).await;
    assert_eq!(
        (seen.target.as_str(), seen.header("x-keyward-model")),
        (forwarded, Some(model))
    );
}

#[tokio::test]
async fn a_key_in_a_configured_query_parameter_is_taken_out() {
    let settings = "proxy.credentials = [{ in = \"query\", name = \"key\" }]\n";
    let keyward = TestKeyward::with(settings).await;
    let key = keyward.key().await;
    let target = format!("{PREDICT}?a=1&key={}&b=2", key.text);
    let nobody = TestKey {
        text: "not read".to_owned(),
        ..key
    };
    let answer = keyward.raw().await.call(post(&target, &nobody, "")).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let seen = keyward.upstream.request(0).await;
    assert_eq!(seen.target, format!("{PREDICT}?a=1&b=2"));
    assert_eq!(seen.header("authorization"), None);
}

#[tokio::test]
async fn cookies_that_came_in_crumbs_go_on_in_one_line() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let request = over_http2(PREDICT, &key)
        .header("cookie", "a=1")
        .header("cookie", "b=2; c=3");
    keyward.http2().await.call(with(request, empty())).await;
    let seen = keyward.upstream.request(0).await;
    assert_eq!(seen.header_all("cookie"), ["a=1; b=2; c=3"]);
}

#[rstest]
#[case::the_upstreams_own("", Protocol::Http1, "{upstream}")]
#[case::the_upstreams_own_over_http2("", Protocol::Http2, "{upstream}")]
#[case::the_callers(
    "upstreams.default.host = \"caller\"\n",
    Protocol::Http1,
    "model-m.api.test"
)]
#[case::the_callers_over_http2(
    "upstreams.default.host = \"caller\"\n",
    Protocol::Http2,
    "model-m.api.test"
)]
#[tokio::test]
async fn the_upstream_is_sent_the_host_of_its_setting(
    #[case] settings: &str,
    #[case] protocol: Protocol,
    #[case] host: &str,
) {
    let keyward = TestKeyward::with(settings).await;
    let key = keyward.key().await;
    match protocol {
        Protocol::Http1 => {
            let request = post("/production/predict", &key, "");
            let request = request.replace("Host: h", "Host: model-m.api.test");
            keyward.raw().await.call(request).await;
        }
        Protocol::Http2 => {
            let request = Request::post("http://model-m.api.test/production/predict")
                .header("authorization", format!("Bearer {}", key.text));
            keyward.http2().await.call(with(request, empty())).await;
        }
    }
    let seen = keyward.upstream.request(0).await;
    let host = host.replace("{upstream}", &keyward.upstream.address().to_string());
    assert_eq!(seen.header_all("host"), [host]);
}

#[tokio::test]
async fn the_callers_host_goes_on_as_it_was_decided_on() {
    let keyward = TestKeyward::with("upstreams.default.host = \"caller\"\n").await;
    let key = keyward.key_for(&["m"]).await;
    let request = post("/production/predict", &key, "");
    let request = request.replace("Host: h", "Host: MODEL-M.Api.Test.:8080");
    assert_eq!(keyward.raw().await.call(request).await.status(), 200);
    let seen = keyward.upstream.request(0).await;
    assert_eq!(seen.header_all("host"), ["model-m.api.test:8080"]);
}

#[tokio::test]
async fn the_callers_address_goes_on_when_the_settings_say_so_and_nobody_can_forge_it() {
    let keyward = TestKeyward::with("proxy.forwarded = \"replace\"\n").await;
    let key = keyward.key().await;
    let request = head(
        &key,
        "X-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nContent-Length: 0\r\n",
    );
    keyward.raw().await.call(request).await;
    let seen = keyward.upstream.request(0).await;
    assert_eq!(seen.header_all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.header_all("x-forwarded-host"), ["h"]);
    assert_eq!(seen.header_all("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.header("x_forwarded_for"), None);
}

#[tokio::test]
async fn the_upstream_is_presented_our_secret_in_place_of_the_callers() {
    let settings = "[upstreams.default.credential]\nkind = \"fixed\"\nsecret = { inline = \"ours\" }\n\
                    at = { in = \"header\", name = \"x-api-key\" }\n";
    let keyward = TestKeyward::with(settings).await;
    let key = keyward.key().await;
    let request = head(
        &key,
        &format!("X-Api-Key: {}\r\nContent-Length: 0\r\n", key.text),
    );
    keyward.raw().await.call(request).await;
    let seen = keyward.upstream.request(0).await;
    assert_eq!(seen.header_all("x-api-key"), ["ours"]);
    assert_eq!(seen.header("authorization"), None);
}

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[rstest]
#[case::continued("from-the-caller", PARENT, true)]
#[case::made_when_malformed(
    "not one word",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
    false
)]
#[tokio::test]
async fn a_request_is_named_alike_on_both_sides(
    #[case] id: &str,
    #[case] parent: &str,
    #[case] continued: bool,
) {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let lines = format!(
        "X-Request-Id: {id}\r\nTraceparent: {parent}\r\nTracestate: v=1\r\nContent-Length: 0\r\n"
    );
    let answer = keyward.raw().await.call(head(&key, &lines)).await;
    let seen = keyward.upstream.request(0).await;
    for (name, sent) in [("x-request-id", id), ("traceparent", parent)] {
        assert_eq!(seen.header_all(name), answer.head.all(name));
        assert_eq!(seen.header(name) == Some(sent), continued, "{name}");
    }
    assert_eq!(seen.header("tracestate").is_some(), continued);
}

#[tokio::test]
async fn two_lengths_over_http2_are_refused() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    for lengths in [["2", "2"], ["2", "3"]] {
        let mut request = over_http2(PREDICT, &key);
        for length in lengths {
            request = request.header("content-length", length);
        }
        // Two that differ are no HTTP/2 at all: the stream is reset.
        let answer = keyward.http2().await.send(with(request, whole("hi"))).await;
        match answer {
            Ok(answer) => assert_eq!(answer.status(), 400),
            Err(_) => assert_eq!(lengths, ["2", "3"]),
        }
    }
    let request = over_http2(PREDICT, &key).header("content-length", "2");
    let answer = keyward.http2().await.call(with(request, whole("hi"))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(keyward.upstream.requests().len(), 1);
}

#[tokio::test]
async fn an_authority_that_differs_from_the_host_is_refused_over_http2() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    for (host, status) in [("model-m.api.test", 400), ("H", 200)] {
        let request = over_http2(PREDICT, &key).header("host", host);
        let answer = keyward.http2().await.call(with(request, empty())).await;
        assert_eq!(answer.status, status, "{host}");
    }
    assert_eq!(keyward.upstream.requests().len(), 1);
}
