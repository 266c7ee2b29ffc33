//! The model in a body: who may go on, what is held, and what no upstream ever has whole (SECURITY S6 to S14).

mod encoded;
mod flow;
mod forms;
mod large;
mod late;
mod limits;
mod rows;

use crate::support::keyward::{TestKey, TestKeyward};

/// A table in which every way of naming a model has a path.
const ROUTES: &str = r#"
[[proxy.routes]]
path = "/v1/chat"
upstream = "default"
model_in = ["body"]

[[proxy.routes]]
path = "/models/{model}/chat"
upstream = "default"
model_in = ["body", { header = "x-model-id" }, { query = "model" }]

[[proxy.routes]]
path = "/v1/audio"
upstream = "default"
model_in = ["body", "form"]

[[proxy.routes]]
path = "/headed"
upstream = "default"
model_in = [{ header = "x-model-id" }, { query = "model" }]

[[proxy.routes]]
path = "/models/{model}/predict"
upstream = "default"
"#;

/// A keyward with these routes and these limits of the data listener.
async fn start(limits: &str) -> TestKeyward {
    TestKeyward::with(&format!("[proxy.limits]\n{limits}\n{ROUTES}")).await
}

/// A `POST` of JSON with this framing; the body is left to the test.
fn head(target: &str, key: &TestKey, framing: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         {framing}\r\n\r\n",
        key.text
    )
}

/// A `POST` of JSON, whole.
fn json(target: &str, key: &TestKey, body: &str) -> String {
    head(target, key, &format!("Content-Length: {}", body.len())) + body
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

const CHUNKED: &str = "Transfer-Encoding: chunked";
