//! The log of calls: one line for each, whatever ended it; which calls have one; where the lines go.

mod ends;
mod floods;
mod places;

use std::fs;
use std::path::PathBuf;

use http::Request;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::eventually;
use crate::support::keyward::{TestKey, TestKeyward, post};
use crate::support::stream::whole;
use crate::support::upstream::Answer;

const PREDICT: &str = "/models/m/predict";

/// Where a test's lines go.
struct Lines {
    directory: TempDir,
}

impl Lines {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self { directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("access.log")
    }

    /// A keyward whose lines go here, with these settings of `access_log` and of everything.
    async fn keyward(&self, access_log: &str, settings: &str) -> TestKeyward {
        TestKeyward::with(&self.settings(access_log, settings)).await
    }

    fn settings(&self, access_log: &str, settings: &str) -> String {
        let to = self.path();
        let to = to.display();
        // A table without a header, so that any settings can follow.
        format!("access_log = {{ to = \"{to}\"{access_log} }}\n{settings}")
    }

    /// The lines so far.
    fn now(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path()).unwrap_or_default();
        let json = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        // What is not whole yet has no end.
        text.split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .map(json)
            .collect()
    }

    /// The lines, once there are `count`.
    async fn all(&self, count: usize) -> Vec<Value> {
        let lines = || Some(self.now()).filter(|lines| lines.len() >= count);
        let lines = eventually("lines about calls", lines).await;
        assert_eq!(lines.len(), count, "{lines:?}");
        lines
    }
}

/// What of `line` is not another at each run.
fn lasting(line: &Value) -> Value {
    let mut line = line.clone();
    let members = line.as_object_mut().expect("a line is an object");
    for name in [
        "time",
        "ttfb_ms",
        "duration_ms",
        "request_id",
        "trace_id",
        "span_id",
    ] {
        members.remove(name);
    }
    line
}

fn id_of(keyward: &TestKeyward, key: &TestKey) -> String {
    let seen = keyward.upstream.requests();
    let seen = seen.iter().rev();
    let id = seen
        .filter(|seen| seen.header("x-keyward-key-prefix") == Some(key.prefix.as_str()))
        .find_map(|seen| seen.header("x-keyward-key-id"));
    id.expect("the upstream was told").to_owned()
}

#[tokio::test]
async fn a_call_is_told_in_one_line() {
    let lines = Lines::new();
    let keyward = lines.keyward(", client_address = true", "").await;
    let key = keyward.key_for(&["m"]).await;
    keyward.upstream.next(Answer::new(200, "five!"));
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = format!(
        "POST {PREDICT}?secret=of-the-caller HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n\
         X-Request-Id: call-1\r\nTraceparent: {parent}\r\nTracestate: v=1\r\nContent-Length: 3\r\n\r\n{{ }}",
        key.text
    );
    let answer = keyward.raw().await.call(request).await;
    assert_eq!(answer.status(), 200);
    let [line] = &lines.all(1).await[..] else {
        panic!("one line")
    };
    let seen = keyward.upstream.request(0).await;
    let org = seen.header("x-keyward-org").expect("the upstream was told");
    let team = seen
        .header("x-keyward-team")
        .expect("the upstream was told");
    let expected = json!({
        "log": "access", "end": "complete", "outcome": "forwarded", "status": 200, "method": "POST",
        "path": PREDICT, "protocol": "HTTP/1.1", "route": "/models/{model}/predict", "upstream": "default",
        "model": "m", "key_id": id_of(&keyward, &key), "key_prefix": key.prefix, "team": team, "org": org,
        "client": "127.0.0.1", "parent_span_id": "b7ad6b7169203331", "bytes_in": 3, "bytes_out": 5,
    });
    assert_eq!(lasting(line), expected);
    assert_eq!(line["request_id"], "call-1");
    assert_eq!(line["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    // We are a span of our own, whose parent the caller is, and which is the upstream's parent.
    let span = line["span_id"].as_str().expect("text");
    let ours = format!("00-0af7651916cd43dd8448eb211c80319c-{span}-01");
    assert_eq!(seen.header("traceparent"), Some(&*ours));
    assert_eq!(seen.header("tracestate"), Some("v=1"));
    assert_eq!(answer.head.field("traceparent"), Some(&*ours));
    let [first, all] =
        ["ttfb_ms", "duration_ms"].map(|name| line[name].as_f64().expect("a number"));
    assert!(0.0 < first && first <= all, "{line}");
    let time = line["time"].as_str().expect("text");
    assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
}

#[tokio::test]
async fn a_refused_call_is_told_with_what_is_known_of_it() {
    let lines = Lines::new();
    let keyward = lines.keyward("", "").await;
    let scoped = keyward.key_for(&["other"]).await;
    let deleted = keyward.key().await;
    keyward.delete_key(&deleted).await;
    let mut caller = keyward.raw().await;
    let missing = "GET /nowhere/at/all HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(caller.call(missing).await.status(), 404);
    let missing = format!("BREW {PREDICT} HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(caller.call(missing).await.status(), 405);
    assert_eq!(keyward.call(&deleted, "m").await.status(), 401);
    assert_eq!(keyward.call(&scoped, "m").await.status(), 403);
    let malformed = "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n";
    assert_eq!(keyward.raw().await.call(malformed).await.status(), 400);
    let route =
        json!({ "route": "/models/{model}/predict", "upstream": "default", "path": PREDICT });
    let told = lines.all(5).await;
    let mut expected = [
        json!({ "outcome": "no_route", "status": 404, "method": "GET", "path": "/nowhere/at/all" }),
        json!({ "outcome": "no_route", "status": 405, "method": "other", "path": PREDICT }),
        json!({ "outcome": "unknown_key", "status": 401, "method": "POST" }),
        json!({ "outcome": "model_not_allowed", "status": 403, "method": "POST", "model": "m",
            "key_prefix": scoped.prefix }),
        json!({ "outcome": "malformed_framing", "status": 400 }),
    ];
    for refused in &mut expected[2..4] {
        let (refused, route) = (refused.as_object_mut(), route.as_object());
        refused
            .expect("an object")
            .extend(route.expect("an object").clone());
    }
    for (line, expected) in told.iter().zip(expected) {
        let mut line = lasting(line);
        assert_eq!(
            (&line["log"], &line["end"]),
            (&json!("access"), &json!("complete"))
        );
        assert!(line["bytes_out"].as_u64() > Some(10), "{line}");
        assert_eq!(line["bytes_in"], 0);
        let members = line.as_object_mut().expect("an object");
        let rest = [
            "log",
            "end",
            "bytes_in",
            "bytes_out",
            "protocol",
            "key_id",
            "team",
            "org",
        ];
        members.retain(|name, _| !rest.contains(&&**name));
        assert_eq!(line, expected);
    }
}

#[tokio::test]
async fn a_name_from_outside_stays_a_string_of_a_line_and_is_bounded() {
    let lines = Lines::new();
    let keyward = lines.keyward("", "").await;
    let key = keyward.key_for(&["other"]).await;
    let model = "one\\nline\\\"\\u202e\\u001b[31m\u{6771}".to_owned();
    let long = "x".repeat(100_000);
    for model in [&model, &long] {
        let body = format!("{{\"model\":\"{model}\"}}");
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            key.text,
            body.len()
        );
        let status = keyward.raw().await.call(request).await.status();
        assert!(status == 403 || status == 400, "{status}");
    }
    let path = format!("/{}a", "a/".repeat(3000));
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
    let status = keyward.raw().await.call(request).await.status();
    assert!((400..500).contains(&status), "{status}");
    let told = lines.all(3).await;
    // A name that no key may have is refused before it is one.
    let model = &told[0]["model"];
    assert!(
        model.is_null() || model == "one\nline\"\u{202e}\u{1b}[31m\u{6771}",
        "{model}"
    );
    let text = fs::read(lines.path()).expect("it is there");
    assert!(text.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n')));
    let longest = text.split(|byte| *byte == b'\n').map(<[u8]>::len).max();
    assert!(longest < Some(2000), "{longest:?}");
}

#[tokio::test]
async fn calls_of_http2_and_questions_of_other_proxies_are_told() {
    let lines = Lines::new();
    let door = "proxy.forward_auth = { asked_by = \"nginx\" }\n";
    let keyward = lines.keyward("", door).await;
    let key = keyward.key().await;
    let request = Request::post(format!("http://h{PREDICT}"))
        .version(http::Version::HTTP_2)
        .header("authorization", format!("Bearer {}", key.text))
        .body(whole("{}"))
        .expect("a request");
    assert_eq!(keyward.http2().await.call(request).await.status, 200);
    let question = format!(
        "GET /keyward/decide HTTP/1.1\r\nHost: h\r\nX-Original-Method: POST\r\nX-Original-URI: {PREDICT}\r\n\
         Authorization: Bearer {}\r\n\r\n",
        key.text
    );
    assert_eq!(keyward.raw().await.call(question).await.status(), 200);
    let told = lines.all(2).await;
    assert_eq!(
        (&told[0]["protocol"], &told[0]["bytes_in"]),
        (&json!("HTTP/2"), &json!(2))
    );
    assert_eq!(told[0]["end"], "complete");
    assert_eq!(
        (&told[1]["outcome"], &told[1]["status"]),
        (&json!("allowed"), &json!(200))
    );
    assert_eq!(
        (&told[1]["key_prefix"], &told[1]["model"]),
        (&json!(key.prefix), &json!("m"))
    );
}

#[tokio::test]
async fn without_a_sample_only_what_failed_is_told_and_traces_pass_unchanged() {
    let lines = Lines::new();
    let keyward = lines.keyward(", sample = 0", "").await;
    let key = keyward.key().await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let request = format!(
        "POST {PREDICT} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\nTraceparent: {parent}\r\n\
         Content-Length: 0\r\n\r\n",
        key.text
    );
    assert_eq!(keyward.raw().await.call(&request).await.status(), 200);
    assert_eq!(
        keyward.upstream.request(0).await.header("traceparent"),
        Some(parent)
    );
    keyward.upstream.next(Answer::new(500, "no"));
    assert_eq!(keyward.raw().await.call(&request).await.status(), 500);
    keyward.upstream.next(Answer::new(429, "later"));
    assert_eq!(keyward.raw().await.call(&request).await.status(), 429);
    keyward.upstream.next(Answer::hang_up());
    assert_eq!(keyward.raw().await.call(&request).await.status(), 502);
    let told = lines.all(2).await;
    for (line, (outcome, status)) in told
        .iter()
        .zip([("forwarded", 500), ("upstream_failed", 502)])
    {
        assert_eq!(
            (&line["outcome"], &line["status"]),
            (&json!(outcome), &json!(status))
        );
        assert_eq!(line["parent_span_id"], "b7ad6b7169203331");
        assert!(line["span_id"].is_null(), "{line}");
    }
}

/// The same traces are told of by every instance, and by whoever chooses by the same bits.
#[tokio::test]
async fn a_sample_goes_by_the_trace() {
    let lines = Lines::new();
    let keyward = lines.keyward(", sample = 0.25", "").await;
    let key = keyward.key().await;
    let mut caller = keyward.raw().await;
    let bits = [
        "bfffffffffffff",
        "c0000000000000",
        "ffffffffffffff",
        "00000000000000",
    ];
    for random in bits {
        let request = format!(
            "POST {PREDICT} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n\
             Traceparent: 00-0af7651916cd43dd84{random}-b7ad6b7169203331-00\r\nContent-Length: 0\r\n\r\n",
            key.text
        );
        assert_eq!(caller.call(request).await.status(), 200);
    }
    let told = lines.all(2).await;
    let ids = told
        .iter()
        .map(|line| line["trace_id"].as_str().expect("text"));
    let expected = [bits[1], bits[2]].map(|random| format!("0af7651916cd43dd84{random}"));
    assert_eq!(ids.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn nothing_is_told_unless_it_is_asked_for() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    assert_eq!(keyward.call(&key, "m").await.status(), 200);
    let request = post(PREDICT, &key, "{}").replace("POST", "DELETE");
    keyward.raw().await.call(request).await;
    let text = keyward.counted.0.render();
    let counted = text
        .lines()
        .filter(|line| line.starts_with("keyward_access_log_lines_total"));
    assert!(counted.clone().count() == 4 && counted.clone().all(|line| line.ends_with(" 0")));
}
