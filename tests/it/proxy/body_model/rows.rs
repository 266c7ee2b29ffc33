//! Who may go on with which body.

use rstest::rstest;

use super::{ROUTES, head, json, start};
use crate::support::keyward::{KeywardProcess, TestKeyward};

/// Status, outcome | target | further header lines | body; the key may call `m1` and `meta/*`.
const ROWS: &str = r#"
200 forwarded         | /v1/chat | | {"model":"m1"}
200 forwarded         | /v1/chat | | {"\u006dodel":"\u006d1","a":[1,{"model":"m2"}]}
200 forwarded         | /v1/chat | | {"messages":[],"model":"meta/llama"}
200 forwarded         | /v1/chat | | {"model":"meta\/llama"}
403 model_not_allowed | /v1/chat | | {"model":"m2"}
403 model_not_allowed | /v1/chat | | {"model":"M1"}
403 model_not_allowed | /v1/chat | | {"model":" m1"}
403 model_not_allowed | /v1/chat | | {"model":"m1 "}
403 model_not_allowed | /v1/chat | | {"a":{"model":"m1"},"model":"m2"}
400 body_ambiguous    | /v1/chat | | {"model":"m1","model":"m2"}
400 body_ambiguous    | /v1/chat | | {"model":"m1","model":"m1"}
400 body_ambiguous    | /v1/chat | | {"model":"m1","\u006dodel":"m2"}
400 body_ambiguous    | /v1/chat | | {"model":"m1","Model":"m2"}
400 body_ambiguous    | /v1/chat | | {"model":"m1","model\u0000":"m2"}
400 body_ambiguous    | /v1/chat | | {"model":"m1","model\ud800":"m2"}
400 body_ambiguous    | /v1/chat | | {"model":"m1"}{"model":"m2"}
400 body_ambiguous    | /v1/chat | | {"model":"m1"} x
400 body_ambiguous    | /v1/chat | | [{"model":"m1"}]
400 body_ambiguous    | /v1/chat | | {}
400 body_ambiguous    | /v1/chat | |
400 body_ambiguous    | /v1/chat | | {"model":1}
400 body_ambiguous    | /v1/chat | | {"model":["m1"]}
400 body_ambiguous    | /v1/chat | | {"model":""}
400 body_ambiguous    | /v1/chat | | {"model":"m1","a":NaN}
400 body_ambiguous    | /v1/chat | | {"model":"m1" /* m2 */}
400 body_ambiguous    | /v1/chat | | {"model":"m1"
400 body_ambiguous    | /v1/chat | | model=m1
200 forwarded         | /v1/chat | Content-Encoding: identity | {"model":"m1"}
415 body_unreadable   | /v1/chat | Content-Encoding: gzip | {"model":"m1"}
415 body_unreadable   | /v1/chat | Content-Encoding: br | {"model":"m1"}
415 body_unreadable   | /v1/chat | Content-Type: application/json | {"model":"m1"}
415 body_unreadable   | /v1/chat | Content-Type: text/plain | {"model":"m1"}
200 forwarded         | /models/m1/chat | | {"model":"m1"}
200 forwarded         | /models/m1/chat?model=m1 | X-Model-Id: m1 | {"model":"m1"}
403 models_differ     | /models/m1/chat | | {"model":"meta/llama"}
403 models_differ     | /models/m1/chat | | {"model":"m2"}
403 model_not_allowed | /models/m2/chat | | {"model":"m1"}
400 body_ambiguous    | /models/m1/chat | | {}
403 models_differ     | /models/m1/chat | X-Model-Id: meta/x | {"model":"m1"}
403 models_differ     | /models/m1/chat?model=meta/x | | {"model":"m1"}
400 ambiguous         | /models/m1/chat | X_Model_Id: m2 | {"model":"m1"}
400 ambiguous         | /models/m1/chat?Model=m2 | | {"model":"m1"}
200 forwarded         | /headed | X-Model-Id: m1 | any
200 forwarded         | /headed?model=m1 | | any
200 forwarded         | /headed?model=meta%2Fx | X-Model-Id: meta/x | any
403 models_differ     | /headed?model=m1 | X-Model-Id: meta/x | any
403 model_not_allowed | /headed?model=m2 | | any
403 model_not_allowed | /headed | X-Model-Id: m2 | any
403 model_not_named   | /headed | | {"model":"m1"}
400 ambiguous         | /headed?model=m1&model=m1 | | any
400 ambiguous         | /headed | X-Model-Id: m1, m2 | any
"#;

struct Row<'r> {
    status: u16,
    outcome: &'r str,
    target: &'r str,
    lines: &'r str,
    body: &'r str,
}

fn rows() -> impl Iterator<Item = Row<'static>> {
    ROWS.lines().filter(|line| !line.is_empty()).map(|line| {
        let mut parts = line.splitn(4, '|').map(str::trim);
        let mut part = || parts.next().expect("four parts");
        let (status, outcome) = part().split_once(' ').expect("a status and an outcome");
        Row {
            status: status.parse().expect("a status"),
            outcome: outcome.trim(),
            target: part(),
            lines: part(),
            body: part(),
        }
    })
}

#[tokio::test]
async fn a_scoped_key_calls_the_models_it_may_wherever_they_are_named() {
    let keyward = start("").await;
    let key = keyward.key_for(&["m1", "meta/*"]).await;
    let count = |outcome: &str| {
        keyward
            .counted
            .outcomes()
            .get(outcome)
            .copied()
            .unwrap_or(0)
    };
    let mut forwarded = 0;
    for row in rows() {
        let before = count(row.outcome);
        let shown = format!("{} {} {}", row.target, row.lines, row.body);
        let mut request = json(row.target, &key, row.body);
        if !row.lines.is_empty() {
            let line = format!("Host: h\r\n{}\r\n", row.lines);
            request = request.replacen("Host: h\r\n", &line, 1);
        }
        // One connection for two calls: a refusal leaves it usable.
        let mut caller = keyward.raw().await;
        for _ in 0..2 {
            let answer = caller.call(&request).await;
            assert_eq!(answer.status(), row.status, "{shown}: {}", answer.text());
            if row.status == 200 {
                assert_eq!(answer.json()["body"], row.body, "{shown}");
                forwarded += 1;
            }
        }
        assert_eq!(count(row.outcome) - before, 2, "{shown}: {}", row.outcome);
        assert_eq!(keyward.upstream.requests().len(), forwarded, "{shown}");
    }
}

#[rstest]
#[case::another_model(r#"{"model":"m2"}"#, "")]
#[case::two_models(r#"{"model":"m1","model":"m2"}"#, "")]
#[case::no_json("no json", "")]
#[case::nothing("", "")]
#[case::compressed("no gzip either", "Content-Encoding: gzip\r\n")]
#[tokio::test]
async fn a_key_for_every_model_sends_what_it_likes(#[case] body: &str, #[case] lines: &str) {
    let keyward =
        start("held_body_bytes = 1024\nheld_bodies_bytes = 1024\njudged_whole_bytes = 0").await;
    let key = keyward.key().await;
    let request =
        json("/v1/chat", &key, body).replacen("Host: h\r\n", &format!("Host: h\r\n{lines}"), 1);
    let answer = keyward.raw().await.call(request).await;
    assert_eq!(answer.json()["body"], body);
    let large = "x".repeat(100_000);
    let answer = keyward
        .raw()
        .await
        .call(json("/v1/chat", &key, &large))
        .await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn the_upstream_is_told_the_model_of_the_body() {
    let keyward = start("").await;
    let key = keyward.key_for(&["m1"]).await;
    let request = json("/v1/chat", &key, r#"{"model":"\u006d1"}"#);
    keyward.raw().await.call(request).await;
    let seen = keyward.upstream.request(0).await;
    assert_eq!(seen.header_all("x-keyward-model"), ["m1"]);
}

#[tokio::test]
async fn the_built_in_table_reads_the_body_where_servers_do() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key_for(&["m1"]).await;
    for (target, body, status) in [
        ("/v1/chat/completions", r#"{"model":"m1"}"#, 200),
        ("/v1/chat/completions", r#"{"model":"m2"}"#, 403),
        ("/v1/messages", r#"{"model":"m1"}"#, 200),
        ("/v1/messages", r#"{"model":"m2"}"#, 403),
        ("/models/m1/v1/embeddings", r#"{"model":"m1"}"#, 200),
        ("/models/m1/v1/embeddings", r#"{"model":"m2"}"#, 403),
        ("/models/m1/v1/embeddings", "{}", 400),
        ("/models/m1/predict", r#"{"model":"m2"}"#, 200),
        ("/models/m1/predict", "no json", 200),
    ] {
        let answer = keyward.raw().await.call(json(target, &key, body)).await;
        assert_eq!(answer.status(), status, "{target} {body}");
    }
}

#[tokio::test]
async fn the_real_program_does_the_same() {
    let keyward = KeywardProcess::start(ROUTES).await;
    let key = keyward.key_for(&["m1"]).await;
    for (body, status) in [
        (r#"{"model":"m1"}"#, 200),
        (r#"{"model":"m2"}"#, 403),
        (r#"{"model":"m1","Model":"m2"}"#, 400),
    ] {
        let answer = keyward.raw().await.call(json("/v1/chat", &key, body)).await;
        assert_eq!(answer.status(), status, "{body}");
    }
    assert_eq!(keyward.upstream.requests().len(), 1);
    let compressed = head(
        "/v1/chat",
        &key,
        "Content-Encoding: gzip\r\nContent-Length: 0",
    );
    assert_eq!(keyward.raw().await.call(compressed).await.status(), 415);
}
