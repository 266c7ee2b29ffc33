//! Several keys of one upstream: which a call is given, where it is put, and what becomes of one that is refused.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use keyward::clock::Clock;
use keyward::key::UnixTime;
use rstest::rstest;

use crate::support::eventually;
use crate::support::keyward::{TestKey, TestKeyward, post};
use crate::support::raw::RawAnswer;
use crate::support::upstream::Answer;

const PREDICT: &str = "/models/m/predict";
/// A path that names no model, one whose body names it, and those of batches.
const ROUTES: &str = r#"
[[proxy.routes]]
path = "/models/{model}/predict"
upstream = "default"

[[proxy.routes]]
path = "/v1/chat/completions"
upstream = "default"
model_in = ["body"]

[[proxy.routes]]
path = "/v1/{rest}"
upstream = "default"
"#;

/// Settings of keys called `a`, `b` and so on, each with these lines and the text `secret-of-a`.
fn keys(lines: &[&str]) -> String {
    let mut text = String::new();
    for (id, lines) in ('a'..='z').zip(lines) {
        let value = format!("value = {{ inline = \"secret-of-{id}\" }}");
        let _ = writeln!(
            text,
            "[[upstreams.default.keys]]\nid = \"{id}\"\n{value}\n{lines}"
        );
    }
    text + ROUTES
}

/// A clock that is moved by hand, and stands where a key can be made.
fn clock() -> Clock {
    Clock::manual(UnixTime::from_secs(1_800_000_000))
}

fn json(target: &str, key: &TestKey, body: &str) -> String {
    let framing = format!(
        "Content-Type: application/json\r\nContent-Length: {}",
        body.len()
    );
    format!(
        "POST {target} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n{framing}\r\n\r\n{body}",
        key.text
    )
}

/// Whose secret reached the upstream with each request, in order.
fn given(keyward: &TestKeyward) -> Vec<String> {
    let secret = |seen: &str| seen.strip_prefix("Bearer secret-of-").map(str::to_owned);
    let requests = keyward.upstream.requests();
    let given = requests
        .iter()
        .map(|seen| secret(seen.header("authorization")?));
    given.map(|id| id.expect("a key of ours")).collect()
}

async fn call(keyward: &TestKeyward, request: String) -> RawAnswer {
    keyward.raw().await.call(request).await
}

#[rstest]
#[case("openai", "authorization", "Bearer secret-of-a")]
#[case("huggingface", "authorization", "Bearer secret-of-a")]
#[case("baseten", "authorization", "Bearer secret-of-a")]
#[case("bedrock", "authorization", "Bearer secret-of-a")]
#[case("anthropic", "x-api-key", "secret-of-a")]
#[case("azure", "api-key", "secret-of-a")]
#[case("vertex", "x-goog-api-key", "secret-of-a")]
#[tokio::test]
async fn a_key_is_put_where_its_provider_has_it_and_nothing_else_is_there(
    #[case] provider: &str,
    #[case] header: &str,
    #[case] value: &str,
) {
    let settings = format!(
        "upstreams.default.provider = \"{provider}\"\n{}",
        keys(&[""])
    );
    let keyward = TestKeyward::with(&settings).await;
    let key = keyward.key().await;
    let others = "api-key: theirs\r\nx-goog-api-key: theirs\r\nContent-Length";
    let request = post(PREDICT, &key, "{}").replace("Content-Length", others);
    assert_eq!(call(&keyward, request).await.status(), 200);
    let seen = keyward.upstream.request(0).await;
    for name in ["authorization", "x-api-key", "api-key", "x-goog-api-key"] {
        let expected = if name == header { vec![value] } else { vec![] };
        assert_eq!(seen.header_all(name), expected, "{name}");
    }
}

#[tokio::test]
async fn calls_are_shared_by_weight_and_zero_gets_none_while_another_is_left() {
    let settings = keys(&[
        "weight = 3",
        "weight = 1.0",
        "weight = 0",
        "enabled = false\nweight = 100",
    ]);
    let keyward = TestKeyward::with(&settings).await;
    let key = keyward.key().await;
    let mut caller = keyward.raw().await;
    for _ in 0..400 {
        assert_eq!(caller.call(post(PREDICT, &key, "{}")).await.status(), 200);
    }
    let given = given(&keyward);
    let share = |id: &str| given.iter().filter(|given| *given == id).count();
    assert_eq!(share("a") + share("b"), 400);
    // Three quarters of 400 are 300; more than five standard deviations away is one in a million.
    assert!((255..=345).contains(&share("a")), "{}", share("a"));
    assert_eq!(keyward.counted.key_uses("a")["answered"], share("a") as u64);
    assert!(keyward.counted.key_uses("c").is_empty());

    for _ in 0..2 {
        keyward.upstream.next(Answer::new(401, ""));
    }
    assert_eq!(caller.call(post(PREDICT, &key, "{}")).await.status(), 200);
    assert_eq!(self::given(&keyward).last().expect("calls"), "c");
}

#[tokio::test]
async fn a_key_is_given_to_calls_of_its_models_alone() {
    let settings = keys(&[
        "models = [\"m\", \"meta/*\"]\ndenied_models = [\"meta/secret\"]",
        "models = [\"other\"]",
        "models = []",
    ]);
    let keyward = TestKeyward::with(&settings).await;
    // Not even a caller for every model goes on with a body that names none.
    let key = keyward.key().await;
    for (model, status, given_to) in [
        ("m", 200, Some("a")),
        ("meta/one", 200, Some("a")),
        ("meta/secret", 403, None),
        ("other", 200, Some("b")),
        ("strange", 403, None),
    ] {
        let before = keyward.upstream.requests().len();
        let body = format!("{{\"model\":\"{model}\"}}");
        let answer = call(&keyward, json("/v1/chat/completions", &key, &body)).await;
        assert_eq!(answer.status(), status, "{model}: {}", answer.text());
        if status == 403 {
            assert_eq!(answer.json()["code"], "no_upstream_key");
        }
        let new = given(&keyward).split_off(before);
        assert_eq!(new.first().map(String::as_str), given_to, "{model}");
    }
    assert_eq!(keyward.counted.outcomes()["no_upstream_key"], 2);
    let nameless = call(&keyward, json("/v1/chat/completions", &key, "{}")).await;
    assert_eq!(nameless.status(), 400);
    // By the path, nothing is read; a call that names no model asks for none to be allowed.
    assert_eq!(
        call(&keyward, post("/models/other/predict", &key, "{}"))
            .await
            .status(),
        200
    );
    assert_eq!(given(&keyward).last().expect("calls"), "b");
    for _ in 0..20 {
        assert_eq!(
            call(&keyward, post("/v1/models", &key, "")).await.status(),
            200
        );
        assert_ne!(given(&keyward).last().expect("calls"), "c");
    }
}

#[rstest]
#[case("/v1/batches")]
#[case("/v1/files/f1/content")]
#[tokio::test]
async fn batches_and_files_are_for_keys_that_are_marked(#[case] path: &str) {
    let settings = keys(&["weight = 1000", "use_for_batch_api = true"]);
    let keyward = TestKeyward::with(&settings).await;
    let key = keyward.key().await;
    for _ in 0..10 {
        assert_eq!(call(&keyward, post(path, &key, "{}")).await.status(), 200);
    }
    assert_eq!(given(&keyward), ["b"; 10]);
    let without = TestKeyward::with(&keys(&[""])).await;
    let key = without.key().await;
    assert_eq!(call(&without, post(path, &key, "{}")).await.status(), 403);
}

#[rstest]
#[case(401, "unauthorized")]
#[case(402, "unpaid")]
#[case(403, "forbidden")]
#[case(429, "limited")]
#[tokio::test]
async fn a_refused_key_rests_and_the_call_goes_on_with_the_next(
    #[case] status: u16,
    #[case] result: &str,
    #[values("by its length", "in chunks", "without")] body: &str,
) {
    let clock = clock();
    let keyward =
        TestKeyward::with_clock(&keys(&["weight = 1", "weight = 0"]), clock.clone()).await;
    let key = keyward.key().await;
    keyward.upstream.next(Answer::new(status, "refused"));
    let request = match body {
        "by its length" => post(PREDICT, &key, "what is asked"),
        "in chunks" => post(PREDICT, &key, "6\r\nwhat i\r\n7\r\ns asked\r\n0\r\n\r\n")
            .replace("Content-Length: 28", "Transfer-Encoding: chunked"),
        _ => post(PREDICT, &key, ""),
    };
    let answer = call(&keyward, request).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let expected = if body == "without" {
        ""
    } else {
        "what is asked"
    };
    assert_eq!(answer.json()["body"], expected);
    assert_eq!(given(&keyward), ["a", "b"]);
    // Each time it is said who calls.
    for attempt in 0..2 {
        let seen = keyward.upstream.request(attempt).await;
        assert_eq!(seen.header_all("x-keyward-key-prefix"), [&key.prefix]);
        let id = answer.head.all("x-request-id");
        assert_eq!(seen.header_all("x-request-id"), id);
    }
    assert_eq!(keyward.counted.key_uses("a")[result], 1);
    assert!(keyward.counted.is_resting("a") && !keyward.counted.is_resting("b"));
    assert_eq!(keyward.counted.held_body_bytes(), 0);
    // It is not asked again before its rest is over.
    assert_eq!(
        call(&keyward, post(PREDICT, &key, "{}")).await.status(),
        200
    );
    clock.advance(Duration::from_secs(10));
    assert_eq!(
        call(&keyward, post(PREDICT, &key, "{}")).await.status(),
        200
    );
    assert_eq!(given(&keyward), ["a", "b", "b", "a"]);
    assert!(!keyward.counted.is_resting("a"));
}

#[tokio::test]
async fn a_judged_body_is_sent_again_too() {
    let settings = keys(&["models = [\"m\"]", "models = [\"m\"]\nweight = 0"]);
    let keyward = TestKeyward::with(&settings).await;
    let key = keyward.key_for(&["m"]).await;
    keyward.upstream.next(Answer::new(429, ""));
    let body = "{\"model\":\"m\",\"messages\":[]}";
    let answer = call(&keyward, json("/v1/chat/completions", &key, body)).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.json()["body"], body);
    assert_eq!(given(&keyward), ["a", "b"]);
}

#[tokio::test]
async fn a_body_too_large_to_be_remembered_is_sent_once() {
    let settings = keys(&["weight = 1", "weight = 0"])
        + "\n[upstreams.default.key_rules]\nsent_again_bytes = 16\n";
    let keyward = TestKeyward::with(&settings).await;
    let key = keyward.key().await;
    keyward
        .upstream
        .next(Answer::new(429, "too many").header("x-theirs", "1"));
    let answer = call(&keyward, post(PREDICT, &key, &"x".repeat(17))).await;
    assert_eq!((answer.status(), answer.text().as_str()), (429, "too many"));
    assert_eq!(given(&keyward), ["a"]);
    // The key rests all the same.
    assert_eq!(
        call(&keyward, post(PREDICT, &key, &"x".repeat(16)))
            .await
            .status(),
        200
    );
    assert_eq!(given(&keyward), ["a", "b"]);
}

#[tokio::test]
async fn an_upload_that_the_upstream_did_not_wait_for_is_sent_once() {
    let keyward = TestKeyward::with(&keys(&["weight = 1", "weight = 0"])).await;
    let key = keyward.key().await;
    keyward.upstream.next(Answer::new(429, "").early());
    let mut caller = keyward.raw().await;
    let head = post(PREDICT, &key, "").replace("Content-Length: 0", "Content-Length: 10");
    caller.write(head + "hello").await;
    assert_eq!(caller.read_head().await.status(), 429);
    assert_eq!(keyward.upstream.requests().len(), 1);
}

#[tokio::test]
async fn so_many_keys_are_tried_and_the_last_refusal_is_the_answer() {
    let keyward = TestKeyward::with(&keys(&["", "", "", "", ""])).await;
    let key = keyward.key().await;
    for status in [401, 402, 403] {
        keyward
            .upstream
            .next(Answer::new(status, format!("no {status}")));
    }
    let answer = call(&keyward, post(PREDICT, &key, "{}")).await;
    assert_eq!((answer.status(), answer.text().as_str()), (403, "no 403"));
    let mut tried = given(&keyward);
    tried.sort();
    tried.dedup();
    assert_eq!(tried.len(), 3, "three attempts, each with another key");
}

#[tokio::test]
async fn when_all_rest_the_upstreams_word_is_kept_and_ours_is_not() {
    let clock = clock();
    let keyward =
        TestKeyward::with_clock(&keys(&["weight = 1", "weight = 0"]), clock.clone()).await;
    let key = keyward.key().await;
    let told = |secs: &str| Answer::new(429, "").header("retry-after", secs);
    keyward.upstream.next(told("20"));
    keyward.upstream.next(told("7"));
    assert_eq!(
        call(&keyward, post(PREDICT, &key, "{}")).await.status(),
        429
    );
    // Both said when: nobody is asked, and the caller is told the shorter time.
    let refused = call(&keyward, post(PREDICT, &key, "{}")).await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.head.field("retry-after"), Some("7"));
    assert_eq!(refused.json()["code"], "temporarily_unavailable");
    assert_eq!(keyward.counted.outcomes()["upstream_keys_resting"], 1);
    assert_eq!(given(&keyward), ["a", "b"]);

    clock.advance(Duration::from_secs(7));
    // One said when, the other did not: that one is tried though it should rest.
    keyward.upstream.next(Answer::new(401, ""));
    assert_eq!(
        call(&keyward, post(PREDICT, &key, "{}")).await.status(),
        401
    );
    assert_eq!(
        call(&keyward, post(PREDICT, &key, "{}")).await.status(),
        200
    );
    assert_eq!(given(&keyward), ["a", "b", "b", "b"]);
    assert!(!keyward.counted.is_resting("b"));
}

/// What the upstream says counts from now on, as a date as in seconds, and is bounded; a date that is past is no reason to
/// wait.
#[rstest]
#[case::seconds(100, false, Some(100))]
#[case::many_seconds(86_400, false, Some(300))]
#[case::a_date(100, true, Some(100))]
#[case::a_far_date(86_400, true, Some(300))]
#[case::a_past_date(-86_400, true, None)]
#[tokio::test]
async fn a_key_rests_until_the_moment_that_the_upstream_says(
    #[case] ahead: i64,
    #[case] is_date: bool,
    #[case] rests: Option<u64>,
) {
    let clock = clock();
    let keyward = TestKeyward::with_clock(&keys(&[""]), clock.clone()).await;
    let key = keyward.key().await;
    let when = clock.unix_time().as_secs().saturating_add_signed(ahead);
    let told = if is_date {
        httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(when))
    } else {
        ahead.to_string()
    };
    let refusal = Answer::new(429, "").header("retry-after", &told);
    keyward.upstream.next(refusal);
    let status = call(&keyward, post(PREDICT, &key, "{}")).await.status();
    assert_eq!(status, 429);
    let answer = call(&keyward, post(PREDICT, &key, "{}")).await;
    let Some(rests) = rests else {
        assert_eq!(answer.status(), 200);
        return;
    };
    assert_eq!(answer.status(), 503);
    let left = answer.head.field("retry-after").expect("it says when");
    // The clock follows the database's, which goes on.
    let left: u64 = left.parse().expect("seconds");
    assert!((rests - 5..=rests).contains(&left), "{left}");
    clock.advance(Duration::from_secs(rests - 6));
    let status = call(&keyward, post(PREDICT, &key, "{}")).await.status();
    assert_eq!(status, 503);
    clock.advance(Duration::from_secs(6));
    let status = call(&keyward, post(PREDICT, &key, "{}")).await.status();
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_key_in_a_file_is_read_again_when_it_changes_and_is_then_used_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("key");
    std::fs::write(&file, "secret-of-first\n").expect("a file");
    let settings = format!(
        "server.certificates_every = \"5ms\"\n[[upstreams.default.keys]]\nid = \"a\"\nvalue = {{ file = \"{}\" }}\n",
        file.display()
    );
    let keyward = TestKeyward::with(&settings).await;
    let key = keyward.key().await;
    keyward
        .upstream
        .next(Answer::new(401, "").header("retry-after", "300"));
    assert_eq!(keyward.call(&key, "m").await.status(), 401);
    assert_eq!(keyward.call(&key, "m").await.status(), 503);
    // What is no secret is not taken.
    std::fs::write(&file, "").expect("a file");
    std::fs::write(&file, "secret-of-second\n").expect("a file");
    eventually("the new key is there", || {
        (!keyward.counted.is_resting("a")).then_some(())
    })
    .await;
    assert_eq!(keyward.call(&key, "m").await.status(), 200);
    assert_eq!(given(&keyward), ["first", "second"]);
}
