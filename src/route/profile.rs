use super::{ErrorForm, ModelConfig, RouteConfig};

/// What servers that speak the `OpenAI` dialect answer below `/v1` when a model is called.
///
/// Written out, not `{rest}`: such servers have administrative paths beside these, and some of those load other models.
const OPENAI_CALLS: [&str; 14] = [
    "chat/completions",
    "completions",
    "responses",
    "embeddings",
    "rerank",
    "score",
    "classify",
    "moderations",
    "images/generations",
    "images/edits",
    "images/variations",
    "audio/speech",
    "audio/transcriptions",
    "audio/translations",
];

/// The same for the Anthropic dialect.
const ANTHROPIC_CALLS: [&str; 2] = ["messages", "messages/count_tokens"];

/// Where Baseten puts a model or a chain. A regional host names the environment, so its paths do not.
const MODEL_HOSTS: [&str; 2] = ["model-{model}.*", "chain-{model}.*"];
const REGIONAL_HOSTS: [&str; 2] = ["model-{model}-{env}.*", "chain-{model}-{env}.*"];

/// Which deployment is meant, before each of Baseten's calls.
const DEPLOYMENTS: [&str; 4] = [
    "/production",
    "/development",
    "/environments/{env}",
    "/deployment/{id}",
];

/// Baseten's own calls of a model or a chain.
const BASETEN_CALLS: [&str; 4] = ["predict", "async_predict", "run_remote", "async_run_remote"];

/// The routes of `serve --upstream` without a settings file: everything to one upstream.
///
/// * Baseten's hosts, `model-{model}.…` and `chain-{model}.…`, with Baseten's inference paths; those go on as they
///   came. Below `…/sync/v1` stand the calls of the `OpenAI` and Anthropic dialects, which go on as `/v1/…`, and so
///   does `/v1/…` itself.
/// * `/models/{model}/predict` and the like, for callers that cannot choose a host.
/// * `/models/{model}/v1/…`, for clients that know only a base URL; it goes on as `/v1/…`.
///
/// Everything else is refused, above all the upstream's administrative paths and Baseten's `async_request/{id}`, which
/// could belong to any model.
///
/// The model is the one that host or path names. A dialect's call names a model in its body, too, and until bodies are
/// read, an upstream that serves several models by that name needs one `keyward` route table of its own for each.
#[must_use]
pub fn baseten(upstream: &str) -> Vec<RouteConfig> {
    let mut routes = Routes {
        upstream,
        routes: Vec::new(),
    };
    for host in MODEL_HOSTS {
        for deployment in DEPLOYMENTS {
            routes.baseten(Some(host), deployment);
            routes.dialects(Some(host), &format!("{deployment}/sync"));
        }
        routes.dialects(Some(host), "");
    }
    for host in REGIONAL_HOSTS {
        routes.baseten(Some(host), "");
        routes.dialects(Some(host), "/sync");
        routes.dialects(Some(host), "");
    }
    routes.baseten(None, "/models/{model}");
    for deployment in DEPLOYMENTS {
        routes.baseten(None, &format!("/models/{{model}}{deployment}"));
    }
    routes.dialects(None, "/models/{model}");
    routes.routes
}

struct Routes<'u> {
    upstream: &'u str,
    routes: Vec<RouteConfig>,
}

impl Routes<'_> {
    /// Baseten's calls below `base`.
    fn baseten(&mut self, host: Option<&str>, base: &str) {
        for call in BASETEN_CALLS {
            self.add(
                host,
                "POST",
                format!("{base}/{call}"),
                None,
                ErrorForm::Baseten,
            );
        }
        self.add(
            host,
            "GET",
            format!("{base}/websocket"),
            None,
            ErrorForm::Baseten,
        );
    }

    /// The calls of the other dialects below `base`, which is taken off.
    fn dialects(&mut self, host: Option<&str>, base: &str) {
        for call in OPENAI_CALLS {
            self.stripped(host, "POST", base, call, ErrorForm::Openai);
        }
        for call in ANTHROPIC_CALLS {
            self.stripped(host, "POST", base, call, ErrorForm::Anthropic);
        }
        self.stripped(host, "GET", base, "models", ErrorForm::Openai);
    }

    fn stripped(
        &mut self,
        host: Option<&str>,
        method: &str,
        base: &str,
        call: &str,
        errors: ErrorForm,
    ) {
        let forward = (!base.is_empty()).then(|| format!("/v1/{call}"));
        self.add(host, method, format!("{base}/v1/{call}"), forward, errors);
    }

    fn add(
        &mut self,
        host: Option<&str>,
        method: &str,
        path: String,
        forward: Option<String>,
        errors: ErrorForm,
    ) {
        self.routes.push(RouteConfig {
            host: host.map(str::to_owned),
            path,
            methods: vec![method.to_owned()],
            upstream: self.upstream.to_owned(),
            forward,
            model: ModelConfig::Named,
            encoded_slash: false,
            errors: Some(errors),
        });
    }
}
