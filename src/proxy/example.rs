//! A call that the routes let through, to be shown to whoever has a new key.

use http::Method;

use super::ProxyPlan;
use crate::route::RequestHost;

/// A path and a body, with `{model}` where the model is named.
pub type Example = (&'static str, &'static str);

const CHAT: &str = r#"{"model":"{model}","messages":[{"role":"user","content":"Hello"}]}"#;

/// What servers of models commonly answer, what most people know first.
const EXAMPLES: [Example; 9] = [
    ("/v1/chat/completions", CHAT),
    (
        "/v1/messages",
        r#"{"model":"{model}","max_tokens":64,"messages":[{"role":"user","content":"Hello"}]}"#,
    ),
    ("/models/{model}/v1/chat/completions", CHAT),
    ("/models/{model}/predict", r#"{"prompt":"Hello"}"#),
    ("/v1/embeddings", r#"{"model":"{model}","input":"Hello"}"#),
    ("/generate", r#"{"inputs":"Hello"}"#),
    ("/api/chat", CHAT),
    ("/completion", r#"{"prompt":"Hello"}"#),
    ("/v2/models/{model}/infer", r#"{"inputs":[]}"#),
];

impl ProxyPlan {
    /// The first of the well-known calls that a route takes, on whatever host.
    #[must_use]
    pub fn example(&self) -> Option<Example> {
        let host = RequestHost::parse("localhost")?;
        EXAMPLES.into_iter().find(|(path, _)| {
            let path = path.replace("{model}", "m");
            self.routes.find(&Method::POST, host, &path).is_ok()
        })
    }
}
