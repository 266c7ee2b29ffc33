//! The door at which another proxy asks: what it is told, and that nobody gets around it.

mod gateways;
mod nginx;

use rstest::rstest;

use crate::support::keyward::{TestKey, TestKeyward};
use crate::support::raw::RawAnswer;

const ROUTES: &str = r#"
[[proxy.routes]]
path = "/models/{model}/predict"
methods = ["POST"]
upstream = "default"

[[proxy.routes]]
path = "/v1/chat"
methods = ["POST"]
upstream = "default"
model_in = ["body"]

[[proxy.routes]]
path = "/headed"
upstream = "default"
model_in = [{ header = "x-model-id" }, { query = "model" }]
"#;

/// A keyward that this proxy asks.
async fn start(asked_by: &str, more: &str) -> TestKeyward {
    let door = format!("[proxy.forward_auth]\nasked_by = \"{asked_by}\"\n{more}\n{ROUTES}");
    TestKeyward::with(&door).await
}

/// A question as each proxy puts it.
fn question(asked_by: &str, method: &str, target: &str, host: &str, lines: &str) -> String {
    match asked_by {
        "nginx" => format!(
            "GET /keyward/decide HTTP/1.1\r\nHost: {host}\r\nX-Original-Method: {method}\r\nX-Original-URI: {target}\r\n\
             {lines}\r\n"
        ),
        "envoy" => format!(
            "{method} /keyward/decide{target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n{lines}\r\n"
        ),
        "traefik" => format!(
            "GET /keyward/decide HTTP/1.1\r\nHost: keyward\r\nX-Forwarded-Method: {method}\r\nX-Forwarded-Uri: {target}\r\n\
             X-Forwarded-Host: {host}\r\nX-Forwarded-Proto: https\r\n{lines}\r\n"
        ),
        _ => unreachable!("three proxies"),
    }
}

fn bearer(key: &TestKey) -> String {
    format!("Authorization: Bearer {}\r\n", key.text)
}

async fn ask(keyward: &TestKeyward, question: &str) -> RawAnswer {
    keyward.raw().await.call(question).await
}

/// Method, target, host, further lines, the status for nginx and for the others; the key may call `m1`.
const ROWS: &[(&str, &str, &str, &str, u16, u16)] = &[
    ("POST", "/models/m1/predict", "h", "", 200, 200),
    ("POST", "/models/m1/predict?a=b", "h", "", 200, 200),
    ("POST", "/models/m2/predict", "h", "", 403, 403),
    ("GET", "/models/m1/predict", "h", "", 403, 405),
    ("POST", "/models/m1/../m2/predict", "h", "", 403, 400),
    ("POST", "/models/%6d1/predict", "h", "", 403, 400),
    ("POST", "//models/m1/predict", "h", "", 403, 400),
    ("POST", "/models/m1/predict;x", "h", "", 403, 400),
    ("POST", "/nowhere", "h", "", 403, 404),
    ("POST", "/keyward/decide", "h", "", 403, 404),
    ("POST", "/models/m1/predict", "a,b", "", 403, 400),
    ("POST", "/v1/chat", "h", "", 403, 403),
    ("POST", "/headed?model=m1", "h", "", 200, 200),
    ("POST", "/headed?model=m2", "h", "", 403, 403),
    ("POST", "/headed", "h", "X-Model-Id: m1\r\n", 200, 200),
    (
        "POST",
        "/headed?model=m1",
        "h",
        "X-Model-Id: m2\r\n",
        403,
        403,
    ),
    ("POST", "/headed", "h", "", 403, 403),
    ("CONNECT", "/models/m1/predict", "h", "", 403, 405),
    ("TRACE", "/models/m1/predict", "h", "", 403, 405),
];

#[rstest]
#[case::nginx("nginx")]
#[case::envoy("envoy")]
#[case::traefik("traefik")]
#[tokio::test]
async fn the_answer_is_what_the_listener_would_decide(#[case] asked_by: &str) {
    let keyward = start(asked_by, "").await;
    let key = keyward.key_for(&["m1"]).await;
    for (method, target, host, lines, by_nginx, by_others) in ROWS {
        if asked_by == "envoy" && *method == "CONNECT" {
            continue; // It is no target of a CONNECT.
        }
        let lines = format!("{}{lines}", bearer(&key));
        let answer = ask(&keyward, &question(asked_by, method, target, host, &lines)).await;
        let expected = if asked_by == "nginx" {
            by_nginx
        } else {
            by_others
        };
        assert_eq!(
            answer.status(),
            *expected,
            "{method} {target} {host}: {}",
            answer.text()
        );
        let says_who = answer.head.field("x-keyward-key-prefix") == Some(&*key.prefix);
        assert_eq!(says_who, *expected == 200, "{method} {target}");
    }
    for (credential, status) in [("", 401), ("Authorization: Bearer x\r\n", 401)] {
        let asked = question(asked_by, "POST", "/models/m1/predict", "h", credential);
        let answer = ask(&keyward, &asked).await;
        assert_eq!(answer.status(), status);
        assert!(answer.head.field("www-authenticate").is_some());
    }
    assert!(
        keyward.upstream.requests().is_empty(),
        "a question is no call"
    );
    assert_eq!(keyward.counted.outcomes()["allowed"], 4);
}

#[tokio::test]
async fn a_yes_says_who_calls_and_nothing_else() {
    let keyward = start("nginx", "").await;
    let key = keyward.key_for(&["m1"]).await;
    let forged = format!(
        "X-Keyward-Model: m9\r\nX-Keyward-Key-Name: root\r\n{}",
        bearer(&key)
    );
    let asked = question("nginx", "POST", "/models/m1/predict", "h", &forged);
    let answer = ask(&keyward, &asked).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text(), "");
    assert_eq!(answer.head.all("x-keyward-model"), ["m1"]);
    assert_eq!(answer.head.all("x-keyward-key-name"), [""; 0]);
    assert!(answer.head.field("x-request-id").is_some());
    assert!(!String::from_utf8_lossy(&answer.head.bytes).contains(&key.text));
    // The key was used, as by any call.
    while keyward.listed(&key).await["last_used_at"].is_null() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// A key for every model needs no body; one for some is refused where only the body says which.
#[tokio::test]
async fn a_body_that_is_not_shown_is_not_believed() {
    for asked_by in ["nginx", "envoy", "traefik"] {
        let keyward = start(asked_by, "").await;
        let scoped = keyward.key_for(&["*"]).await;
        let every = keyward.key().await;
        for (key, status) in [(&scoped, 403), (&every, 200)] {
            let asked = question(asked_by, "POST", "/v1/chat", "h", &bearer(key));
            assert_eq!(ask(&keyward, &asked).await.status(), status, "{asked_by}");
        }
        // Not even with a body: what the one who asks shows is not what goes on.
        if asked_by == "envoy" {
            let body = r#"{"model":"m1"}"#;
            let asked = question(asked_by, "POST", "/v1/chat", "h", &bearer(&scoped));
            let length = format!(
                "Content-Type: application/json\r\nContent-Length: {}",
                body.len()
            );
            let asked = asked.replace("Content-Length: 0", &length) + body;
            assert_eq!(ask(&keyward, &asked).await.status(), 403);
        }
    }
}

/// What callers can write does not take the place of what the proxy says.
#[rstest]
#[case::no_target("nginx", "X-Original-Method: POST\r\n")]
#[case::no_method("nginx", "X-Original-URI: /models/m1/predict\r\n")]
#[case::two_targets(
    "nginx",
    "X-Original-Method: POST\r\nX-Original-URI: /models/m1/predict\r\nX-Original-URI: /models/m2/predict\r\n"
)]
#[case::two_methods(
    "nginx",
    "X-Original-Method: POST\r\nX-Original-Method: GET\r\nX-Original-URI: /models/m1/predict\r\n"
)]
#[case::a_url(
    "nginx",
    "X-Original-Method: POST\r\nX-Original-URI: http://h/models/m1/predict\r\n"
)]
#[case::a_fragment(
    "nginx",
    "X-Original-Method: POST\r\nX-Original-URI: /models/m1/predict#x\r\n"
)]
#[case::a_space(
    "nginx",
    "X-Original-Method: POST\r\nX-Original-URI: /models/m1/predict HTTP/1.1\r\n"
)]
#[case::another_proxys_words(
    "nginx",
    "X-Forwarded-Method: POST\r\nX-Forwarded-Uri: /models/m1/predict\r\nX-Forwarded-Host: h\r\n"
)]
#[case::another_proxys_words(
    "traefik",
    "X-Original-Method: POST\r\nX-Original-URI: /models/m1/predict\r\n"
)]
#[case::no_host(
    "traefik",
    "X-Forwarded-Method: POST\r\nX-Forwarded-Uri: /models/m1/predict\r\n"
)]
#[case::two_hosts(
    "traefik",
    "X-Forwarded-Method: POST\r\nX-Forwarded-Uri: /models/m1/predict\r\nX-Forwarded-Host: h\r\nX-Forwarded-Host: g\r\n"
)]
#[tokio::test]
async fn a_question_that_does_not_say_once_what_is_called_is_refused(
    #[case] asked_by: &str,
    #[case] lines: &str,
) {
    let keyward = start(asked_by, "").await;
    let key = keyward.key().await;
    let asked = format!(
        "GET /keyward/decide HTTP/1.1\r\nHost: h\r\n{lines}{}\r\n",
        bearer(&key)
    );
    let expected = if asked_by == "nginx" { 403 } else { 400 };
    assert_eq!(ask(&keyward, &asked).await.status(), expected);
}

#[tokio::test]
async fn the_door_is_closed_to_everybody_but_who_is_named() {
    // Nobody is named by default but this machine; here another one is.
    let keyward = start("nginx", "from = [\"192.0.2.0/24\"]").await;
    let key = keyward.key().await;
    let asked = question("nginx", "POST", "/models/m1/predict", "h", &bearer(&key));
    assert_eq!(ask(&keyward, &asked).await.status(), 404);
    // Without the setting there is no door.
    let keyward = TestKeyward::with(ROUTES).await;
    let key = keyward.key().await;
    for asked_by in ["nginx", "envoy", "traefik"] {
        let asked = question(asked_by, "POST", "/models/m1/predict", "h", &bearer(&key));
        assert_eq!(ask(&keyward, &asked).await.status(), 404, "{asked_by}");
    }
    assert!(keyward.upstream.requests().is_empty());
}

#[tokio::test]
async fn envoy_is_told_what_to_take_off() {
    let keyward = start("envoy", "").await;
    let key = keyward.key().await;
    let lines = format!("{}X-Keyward-Model: m9\r\n", bearer(&key));
    let answer = ask(
        &keyward,
        &question("envoy", "POST", "/models/m1/predict", "h", &lines),
    )
    .await;
    assert_eq!(answer.status(), 200);
    let removed = answer
        .head
        .field("x-envoy-auth-headers-to-remove")
        .expect("a list");
    let removed: Vec<&str> = removed.split(',').collect();
    assert!(removed.contains(&"authorization"), "{removed:?}");
    for name in ["key-id", "key-prefix", "key-name", "team", "org", "model"] {
        let name = format!("x-keyward-{name}");
        let is_said = answer.head.field(&name).is_some();
        assert_ne!(is_said, removed.contains(&&*name), "{name}");
    }
}

/// A gRPC caller is refused with status 200 over HTTP/2; whoever asks for one must not take that for a yes.
#[tokio::test]
async fn a_refusal_is_never_a_200() {
    let keyward = start("envoy", "").await;
    let request = http::Request::post("http://h/keyward/decide/models/m1/predict")
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc")
        .body(crate::support::stream::empty())
        .expect("a request");
    assert_eq!(keyward.http2().await.call(request).await.status, 401);
}

#[rstest]
#[case::path("asked_by = \"nginx\"\npath = \"decide\"", "proxy.forward_auth.path")]
#[case::closing_slash("asked_by = \"nginx\"\npath = \"/\"", "proxy.forward_auth.path")]
#[case::network(
    "asked_by = \"nginx\"\nfrom = [\"10.0.0.0/40\"]",
    "must be an address, or a network"
)]
#[case::nobody("path = \"/x\"", "asked_by")]
#[case::somebody("asked_by = \"haproxy\"", "asked_by")]
fn a_door_is_set_up_well_or_not_at_all(#[case] settings: &str, #[case] expected: &str) {
    use keyward::config::{Config, Environment, Sources};

    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("keyward.toml");
    let whole = format!(
        "upstreams.default.url = \"http://127.0.0.1:1\"\n[proxy.forward_auth]\n{settings}\n"
    );
    std::fs::write(&file, whole).expect("the directory is ours");
    let loaded = Config::load(&Sources {
        file: Some(file),
        environment: Environment::default(),
        ..Sources::default()
    });
    let said = loaded.expect_err("a mistake").to_string();
    assert!(said.contains(expected), "{said}");
}

/// A list is cut here to what a key may see; one that goes past here cannot be.
#[tokio::test]
async fn a_list_that_would_be_cut_is_not_allowed() {
    let list =
        "[[proxy.routes]]\npath = \"/v1/models\"\nupstream = \"default\"\nclass = \"models\"\n";
    let keyward =
        TestKeyward::with(&format!("proxy.forward_auth.asked_by = \"envoy\"\n{list}")).await;
    let scoped = keyward.key_for(&["m1"]).await;
    let every = keyward.key().await;
    for (key, status) in [(&scoped, 403), (&every, 200)] {
        let asked = question("envoy", "GET", "/v1/models", "h", &bearer(key));
        assert_eq!(ask(&keyward, &asked).await.status(), status);
    }
}
