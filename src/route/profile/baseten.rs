use super::{ErrorForm, ModelConfig, ModelPlace, RouteClass, RouteConfig};

/// What servers that speak the `OpenAI` dialect answer below `/v1` when a model is called.
///
/// Written out, not `{rest}`: such servers have administrative paths beside these, and some of those load other models.
const OPENAI_CALLS: [&str; 10] = [
    "chat/completions",
    "completions",
    "responses",
    "embeddings",
    "rerank",
    "score",
    "classify",
    "moderations",
    "images/generations",
    "audio/speech",
];

/// Those whose bodies are forms, or may be.
const OPENAI_FORMS: [&str; 4] = [
    "images/edits",
    "images/variations",
    "audio/transcriptions",
    "audio/translations",
];

/// The same for the Anthropic dialect.
const ANTHROPIC_CALLS: [&str; 2] = ["messages", "messages/count_tokens"];

/// What Baseten's servers of embeddings answer below `sync`, beside the dialects: to rank, and to classify. Its performance
/// clients call these.
const RANKING_CALLS: [&str; 2] = ["rerank", "predict"];

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
const BASETEN_CALLS: [(&str, &str); 7] = [
    ("POST", "predict"),
    ("POST", "async_predict"),
    ("POST", "run_remote"),
    ("POST", "async_run_remote"),
    ("GET", "websocket"),
    ("POST", "wake"),
    ("GET", "async_queue_status"),
];

/// The routes of `serve --upstream` without a settings file: all to one upstream.
///
/// * Baseten's inference paths on Baseten's hosts, `model-{model}.…` and `chain-{model}.…`; they go on as they came.
///   Of what a custom server can offer below `…/sync/`, the calls of the `OpenAI` and Anthropic dialects, which go on
///   as `/v1/…`, and those that rank and classify, which go on as `/rerank` and `/predict`.
/// * Baseten's calls below `/models/{model}/` and `/model_versions/{model}/`, for callers that cannot choose a host.
/// * `/models/{model}/v1/…`, for clients that know only a base URL; it goes on as `/v1/…`. And `/models/{model}/sync/…`, for
///   Baseten's own of these.
/// * `/v1/…`, where a host such as `model-{model}.…` names the model, or the body alone; and `/v1/models/{model}`.
///
/// The list of models, `/v1/models`, shows a key for some models those alone.
///
/// Everything else is refused: above all the upstream's administrative paths, and Baseten's `async_request/{id}`, which
/// may belong to any model.
///
/// The calls of the dialects name a model in their body, too, and a server that serves several models goes by that one: it
/// must be the one that host or path names. The calls for audio and for changing images take forms, with a part `model`.
#[must_use]
pub fn baseten(upstream: &str) -> Vec<RouteConfig> {
    let mut routes = Routes {
        upstream,
        routes: Vec::new(),
    };
    for host in MODEL_HOSTS {
        for deployment in DEPLOYMENTS {
            routes.add_baseten(Some(host), deployment);
            routes.add_sync(Some(host), &format!("{deployment}/sync"));
        }
    }
    for host in REGIONAL_HOSTS {
        routes.add_baseten(Some(host), "");
        routes.add_sync(Some(host), "/sync");
    }
    routes.add_baseten(None, "/models/{model}");
    routes.add_baseten(None, "/model_versions/{model}");
    for deployment in DEPLOYMENTS {
        routes.add_baseten(None, &format!("/models/{{model}}{deployment}"));
    }
    routes.add_dialects(None, "/models/{model}");
    routes.add_sync(None, "/models/{model}/sync");
    routes.add_dialects(None, "");
    let one = "/v1/models/{model}".to_owned();
    let one = routes.add(None, "GET", one, None, &[], ErrorForm::Openai);
    one.encoded_slash = true;
    routes.routes
}

struct Routes<'u> {
    upstream: &'u str,
    routes: Vec<RouteConfig>,
}

impl Routes<'_> {
    /// Baseten's calls below `base`.
    fn add_baseten(&mut self, host: Option<&str>, base: &str) {
        for (method, call) in BASETEN_CALLS {
            let path = format!("{base}/{call}");
            self.add(host, method, path, None, &[], ErrorForm::Baseten);
        }
    }

    /// What a custom server offers below `base`, which is taken off.
    fn add_sync(&mut self, host: Option<&str>, base: &str) {
        self.add_dialects(host, base);
        for call in RANKING_CALLS {
            let (path, forward) = (format!("{base}/{call}"), format!("/{call}"));
            let body = &[ModelPlace::Body];
            self.add(host, "POST", path, Some(forward), body, ErrorForm::Baseten);
        }
    }

    /// The calls of the other dialects below `base`, which is taken off.
    fn add_dialects(&mut self, host: Option<&str>, base: &str) {
        let body: &[ModelPlace] = &[ModelPlace::Body];
        let call = RouteClass::Call;
        let openai = OPENAI_CALLS.map(|name| ("POST", name, body, ErrorForm::Openai, &call));
        let form: &[ModelPlace] = &[ModelPlace::Body, ModelPlace::Form];
        let forms = OPENAI_FORMS.map(|name| ("POST", name, form, ErrorForm::Openai, &call));
        let anthropic =
            ANTHROPIC_CALLS.map(|name| ("POST", name, body, ErrorForm::Anthropic, &call));
        let list = [(
            "GET",
            "models",
            &[][..],
            ErrorForm::Openai,
            &RouteClass::Models,
        )];
        let calls = openai.into_iter().chain(forms).chain(anthropic).chain(list);
        for (method, call, model_in, errors, class) in calls {
            let forward = (!base.is_empty()).then(|| format!("/v1/{call}"));
            let path = format!("{base}/v1/{call}");
            let route = self.add(host, method, path, forward, model_in, errors);
            route.class = class.clone();
        }
    }

    fn add(
        &mut self,
        host: Option<&str>,
        method: &str,
        path: String,
        forward: Option<String>,
        model_in: &[ModelPlace],
        errors: ErrorForm,
    ) -> &mut RouteConfig {
        let route = RouteConfig {
            host: host.map(str::to_owned),
            path,
            methods: vec![method.to_owned()],
            upstream: self.upstream.to_owned(),
            forward,
            model: ModelConfig::Named,
            model_in: model_in.to_vec(),
            refused_members: Vec::new(),
            class: RouteClass::Call,
            encoded_slash: false,
            errors: Some(errors),
        };
        let place = self.routes.len();
        self.routes.push(route);
        &mut self.routes[place]
    }
}
