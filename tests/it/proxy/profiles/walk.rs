//! Every route of every known server, asked for through the real program by keys of every kind.

use http::Method;
use rstest::rstest;

use crate::support::keyward::{KeywardProcess, TestKey, TestKeyward};
use crate::support::raw::RawAnswer;
use crate::support::upstream::{Answer, BodyEnd};

/// Two models in every form that a server lists them in.
const LIST: &str = r#"{"object":"list","data":[{"id":"m1"},{"id":"m2"}],"models":[{"name":"m1","model":"m1"},{"name":"m2","model":"m2"}]}"#;

const METRICS: &str = "# TYPE x counter\nx{model_name=\"m1\",model=\"m1\"} 1\nx{model_name=\"m2\",model=\"m2\"} 2\ny 3\n";

struct Rig {
    keyward: KeywardProcess,
    m1: TestKey,
    every: TestKey,
    metrics: TestKey,
    metrics_m1: TestKey,
}

/// One route of a server's list.
struct Row<'l> {
    method: Method,
    host: &'l str,
    path: &'l str,
    class: &'l str,
}

impl Rig {
    async fn start(profile: &str) -> Self {
        let settings = format!("proxy.profiles = [{{ profile = \"{profile}\" }}]\n");
        let keyward = KeywardProcess::start(&settings).await;
        let m1: &[&str] = &["m1"];
        Self {
            m1: keyward.key_for(m1).await,
            every: keyward.create_key("PERSONAL", None).await,
            metrics: keyward.create_key("WORKSPACE_EXPORT_METRICS", None).await,
            metrics_m1: keyward
                .create_key("WORKSPACE_EXPORT_METRICS", Some(m1))
                .await,
            keyward,
        }
    }

    /// Asks for `row` with `key`, about `model` wherever it can be named.
    async fn ask(&self, row: &Row<'_>, key: &TestKey, model: &str) -> RawAnswer {
        let fill = |pattern: &str| {
            let filled = pattern.replace("{model}", model).replace("{env}", "eu");
            filled.replace("{id}", "7")
        };
        let (kind, body) = match row.class {
            "form" => (
                "multipart/form-data; boundary=B",
                format!(
                    "--B\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n--B--\r\n"
                ),
            ),
            _ if row.method == Method::GET || row.method == Method::HEAD => {
                ("application/json", String::new())
            }
            _ => ("application/json", format!(r#"{{"model":"{model}"}}"#)),
        };
        let request = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: {kind}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            row.method,
            fill(row.path),
            fill(row.host),
            key.text,
            body.len(),
        );
        self.keyward.raw().await.call(request).await
    }

    async fn expect(&self, row: &Row<'_>, key: &TestKey, model: &str, status: u16) -> RawAnswer {
        let before = self.keyward.upstream.requests().len();
        let answer = self.ask(row, key, model).await;
        let shown = format!("{} {} about {model}", row.method, row.path);
        assert_eq!(answer.status(), status, "{shown}: {}", answer.text());
        let sent = self.keyward.upstream.requests().len() - before;
        assert_eq!(sent, usize::from(status == 200), "{shown}");
        answer
    }

    async fn expect_list(&self, row: &Row<'_>) {
        let answer = Answer::new(200, LIST).header("content-type", "application/json");
        self.keyward.upstream.next(answer.clone());
        let shown = self.expect(row, &self.m1, "m1", 200).await;
        assert!(!shown.text().contains("m2"), "{}", shown.text());
        self.keyward.upstream.next(answer);
        let whole = self.expect(row, &self.every, "m1", 200).await;
        if row.method == Method::GET {
            assert!(shown.text().contains("m1"), "{}", shown.text());
            assert_eq!(whole.text(), LIST);
        }
    }

    async fn expect_metrics(&self, row: &Row<'_>) {
        let answer = Answer::new(200, METRICS).header("content-type", "text/plain; version=0.0.4");
        self.expect(row, &self.m1, "m1", 403).await;
        for key in [&self.every, &self.metrics] {
            self.keyward.upstream.next(answer.clone());
            let whole = self.expect(row, key, "m1", 200).await;
            assert_eq!(whole.text(), METRICS);
        }
        if row.class == "metrics" {
            self.expect(row, &self.metrics_m1, "m1", 403).await;
            return;
        }
        self.keyward.upstream.next(answer);
        let shown = self.expect(row, &self.metrics_m1, "m1", 200).await;
        let mine = "# TYPE x counter\nx{model_name=\"m1\",model=\"m1\"} 1\n";
        assert_eq!(shown.text(), mine);
    }

    async fn walk(&self, row: &Row<'_>) {
        match row.class {
            "closed" => {
                for key in [&self.m1, &self.every, &self.metrics] {
                    let status = self.ask(row, key, "m1").await.status();
                    assert!(matches!(status, 404 | 405), "{} {}", row.path, status);
                }
            }
            "nothing" => drop(self.expect(row, &self.m1, "m1", 200).await),
            "unnamed" => {
                self.expect(row, &self.m1, "m1", 403).await;
                self.expect(row, &self.every, "m1", 200).await;
            }
            "models" => self.expect_list(row).await,
            "metrics" | "metrics by model" | "metrics by model_name" => {
                self.expect_metrics(row).await;
            }
            _ => {
                self.expect(row, &self.m1, "m1", 200).await;
                self.expect(row, &self.m1, "m2", 403).await;
                self.expect(row, &self.every, "m2", 200).await;
                self.expect(row, &self.metrics, "m1", 403).await;
            }
        }
    }
}

fn rows(list: &str) -> impl Iterator<Item = Row<'_>> {
    let lines = list.lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| {
        let (method, rest) = line.split_once(' ').expect("a method");
        let (place, class) = rest.split_once(' ').expect("a path");
        let (host, path) = place.split_at(place.find('/').expect("a path"));
        Row {
            method: method.parse().expect("a method"),
            host: if host.is_empty() { "any" } else { host },
            path,
            class: class.trim(),
        }
    })
}

/// Whatever a key for `m1` asks for, nothing about another model reaches the server, and nothing of it comes back.
#[rstest]
#[case::anthropic(
    "anthropic",
    include_str!("../../../../src/route/tests/servers/anthropic.txt")
)]
#[case::baseten("baseten", include_str!("../../../../src/route/tests/servers/baseten.txt"))]
#[case::llama_cpp(
    "llama-cpp",
    include_str!("../../../../src/route/tests/servers/llama_cpp.txt")
)]
#[case::ollama("ollama", include_str!("../../../../src/route/tests/servers/ollama.txt"))]
#[case::openai("openai", include_str!("../../../../src/route/tests/servers/openai.txt"))]
#[case::sglang("sglang", include_str!("../../../../src/route/tests/servers/sglang.txt"))]
#[case::tgi("tgi", include_str!("../../../../src/route/tests/servers/tgi.txt"))]
#[case::triton("triton", include_str!("../../../../src/route/tests/servers/triton.txt"))]
#[case::vllm("vllm", include_str!("../../../../src/route/tests/servers/vllm.txt"))]
#[tokio::test]
async fn a_key_for_some_models_walks_every_route_of_a_server(
    #[case] profile: &str,
    #[case] list: &str,
) {
    let rig = Rig::start(profile).await;
    for row in rows(list) {
        rig.walk(&row).await;
    }
    let prefix = &rig.m1.prefix;
    for seen in rig.keyward.upstream.requests() {
        if seen.header("x-keyward-key-prefix") == Some(prefix) {
            let body = String::from_utf8(seen.body()).expect("the tests send text");
            let said = format!("{} {:?} {body}", seen.target, seen.headers);
            assert!(!said.contains("m2"), "{said}");
        }
    }
}

#[tokio::test]
async fn a_profile_of_one_model_opens_what_names_none_to_that_models_keys() {
    let profile = "proxy.profiles = [{ profile = \"sglang\", model = \"m1\" }]\n";
    let keyward = KeywardProcess::start(profile).await;
    let (m1, m2) = (
        keyward.key_for(&["m1"]).await,
        keyward.key_for(&["m2"]).await,
    );
    for (key, target, body, status) in [
        (&m1, "/generate", "{}", 200),
        (&m2, "/generate", "{}", 403),
        (&m1, "/v1/completions", r#"{"model":"m1"}"#, 200),
        (&m1, "/v1/completions", r#"{"model":"m2"}"#, 403),
        (&m2, "/v1/completions", r#"{"model":"m2"}"#, 403),
        (&m2, "/v1/completions", r#"{"model":"m1"}"#, 403),
    ] {
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            key.text,
            body.len(),
        );
        let answer = keyward.raw().await.call(request).await;
        assert_eq!(
            answer.status(),
            status,
            "{target} {body}: {}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn a_second_name_for_a_model_is_refused_to_keys_for_some() {
    let keyward = KeywardProcess::start("proxy.profiles = [{ profile = \"sglang\" }]\n").await;
    let (m1, every) = (keyward.key_for(&["m1"]).await, keyward.key().await);
    for (key, body, status) in [
        (&m1, r#"{"model":"m1","text":"lora_path"}"#, 200),
        (&m1, r#"{"model":"m1","x":{"lora_path":"m2"}}"#, 200),
        (&m1, r#"{"model":"m1","lora_path":"m2"}"#, 403),
        (&m1, r#"{"lora_path":null,"model":"m1"}"#, 403),
        (&m1, r#"{"lora\u005fpath":["m2"],"model":"m1"}"#, 403),
        (&every, r#"{"model":"m1","lora_path":"m2"}"#, 200),
    ] {
        let request = format!(
            "POST /v1/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            key.text,
            body.len(),
        );
        let answer = keyward.raw().await.call(request).await;
        assert_eq!(answer.status(), status, "{body}: {}", answer.text());
    }
}

#[rstest]
#[case::openai("openai", "/v1/responses")]
#[case::anthropic("anthropic", "/v1/messages")]
#[tokio::test]
async fn no_tool_and_no_fallback_leads_a_key_for_some_to_another_model(
    #[case] profile: &str,
    #[case] path: &str,
) {
    let keyward = TestKeyward::with(&format!(
        "proxy.profiles = [{{ profile = \"{profile}\" }}]\n"
    ))
    .await;
    let (m1, every) = (keyward.key_for(&["m1"]).await, keyward.key().await);
    let far = format!(
        r#"{{"model":"m1","input":"{}","tools":[{{"model":"m2"}}]}}"#,
        "x".repeat(200_000)
    );
    let schema =
        r#"{"model":"m1","tools":[{"name":"f","input_schema":{"properties":{"model":{}}}}]}"#;
    for (key, body, status) in [
        (&m1, schema, 200),
        (&m1, r#"{"model":"m1","metadata":{"fallbacks":"x"}}"#, 200),
        (
            &m1,
            r#"{"model":"m1","tools":[{"type":"image_generation","model":"m2"}]}"#,
            403,
        ),
        (
            &m1,
            r#"{"model":"m1","tools":[{"parameters":{"model":"m2"}}]}"#,
            403,
        ),
        (&m1, r#"{"model":"m1","fallbacks":[{"model":"m2"}]}"#, 403),
        (&m1, r#"{"models":["m2"],"model":"m1"}"#, 403),
        (&m1, r#"{"model":"m1","route":"fallback"}"#, 403),
        (&m1, &*far, 403),
        (
            &every,
            r#"{"model":"m1","tools":[{"model":"m2"}],"fallbacks":["m3"]}"#,
            200,
        ),
    ] {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            key.text,
            body.len(),
        );
        let answer = keyward.raw().await.call(request).await;
        assert_eq!(answer.status(), status, "{:.80}: {}", body, answer.text());
    }
    let mut whole = 0;
    for request in keyward.upstream.requests() {
        whole += u32::from(request.body_end().await == BodyEnd::Complete);
    }
    assert_eq!(whole, 3);
}
