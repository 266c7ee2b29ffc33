use serde::{Deserialize, Serialize};

use crate::key::Purpose;

/// One line of the route table, as written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// The host that is asked for, such as `model-{model}-{env}.example.com`; absent: any host. `{model}` stands for
    /// text without `-` and `.`, and `{env}`, at the end of a label, for text without `.`; a first or last label `*`
    /// stands for one label or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The path, such as `/models/{model}/predict` or `/v1beta/models/{model}:generateContent`; `{model}`, `{env}` and
    /// `{id}` each stand for one segment or a part of one, a closing `{rest}` for all that follows. `{rest}` lets
    /// everything below through, administrative paths too: a list of paths is safer.
    pub path: String,
    /// The methods; empty means every method but CONNECT and TRACE.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// The upstream's name.
    pub upstream: String,
    /// What goes on in place of the path, such as `/v1/{rest}`; absent: the path as it came. The query goes on as it
    /// came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward: Option<String>,
    /// Which model such a request names when neither host nor path holds `{model}`, nor any of `model_in` names one.
    #[serde(default)]
    pub model: ModelConfig,
    /// Where else such a request names its model. All places that name one must agree.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub model_in: Vec<ModelPlace>,
    /// Members of a JSON body that a key for some models may not send: those by which the server finds a model, beside
    /// `model`. `name` is a member at the top; `list[].name` is one of what stands in the list `list` at the top, or of an
    /// object that is a member of such a one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused_members: Vec<String>,
    /// What such a request asks for.
    #[serde(default, skip_serializing_if = "RouteClass::is_call")]
    pub class: RouteClass,
    /// Whether `{model}` in the path may hold an encoded slash, `%2F`: for servers that decode it once, as a part of the
    /// name. A server that takes it for a slash would see another path.
    #[serde(default)]
    pub encoded_slash: bool,
    /// The form of refusals; absent: the listener's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<ErrorForm>,
}

/// Which model a request names when neither host nor path holds `{model}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelConfig {
    /// What host and path say; if neither does, only keys for every model pass.
    #[default]
    Named,
    /// Always this one: the upstream serves no other.
    Fixed(String),
    /// Whatever the key's scope: the route calls no model.
    NotNeeded,
}

/// What the requests of a route ask for; it says which keys may send them, and what a key for some models is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteClass {
    /// A model is called, or something that any key that may call models may ask for.
    #[default]
    Call,
    /// The models are listed: a JSON object whose `data` or `models` is a list of objects. Every key that may call models
    /// may ask; one that may call some only is shown those.
    Models,
    /// The server's metrics, which do not say which model they are about: for keys that may read exported metrics of every
    /// model, or of the one that the route's `model` fixes.
    Metrics,
    /// The same in the text format of Prometheus, where the label of this name says which model a sample is about: a key
    /// for some models is shown the samples of those.
    LabelledMetrics(String),
}

impl RouteClass {
    /// What a key is presented for on such a route: with [`Grant::check`](crate::key::Grant::check) the one
    /// place where a class becomes a decision.
    #[must_use]
    pub const fn purpose(&self) -> Purpose {
        match self {
            Self::Call | Self::Models => Purpose::Calling,
            Self::Metrics | Self::LabelledMetrics(_) => Purpose::ReadingMetrics,
        }
    }

    /// Whether it is [`RouteClass::Call`].
    #[must_use]
    pub const fn is_call(&self) -> bool {
        matches!(self, Self::Call)
    }
}

/// A place, beside host and path, where a request names its model.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelPlace {
    /// The top-level `model` of a JSON body. It must be there: what is called without one, the upstream alone knows. Read
    /// for keys that may call some models only.
    Body,
    /// The part `model` of a multipart form, alike. With `Body`, too, the kind of the body decides.
    Form,
    /// A header of this name.
    Header(String),
    /// A parameter of the query.
    Query(String),
}

/// The body of a refusal, as the callers of a route expect it (CONTRACTS 5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorForm {
    /// `{"error":{"message","type","param","code"}}`
    Openai,
    /// `{"type":"error","error":{"type","message"}}`
    Anthropic,
    /// `{"error","error_code"}`
    Baseten,
    /// RFC 9457.
    #[default]
    Problem,
}

impl ErrorForm {
    /// Every form, each in its place.
    pub const ALL: [Self; 4] = [Self::Openai, Self::Anthropic, Self::Baseten, Self::Problem];
}

/// The routes of a known server, as written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileConfig {
    /// Which server.
    pub profile: Profile,
    /// The upstream's name; absent: the only one there is.
    #[serde(default)]
    pub upstream: Option<String>,
    /// The host that is asked for, as in a route; absent: any host.
    #[serde(default)]
    pub host: Option<String>,
    /// The one model that the server serves, which has no adapters either. Keys for some models call it if it is
    /// theirs, and every place that names one must name this one; absent: what each request says.
    #[serde(default)]
    pub model: Option<String>,
}

/// A server whose routes are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Anthropic's own API.
    Anthropic,
    /// Baseten's hosts and paths, and those for callers that cannot choose a host.
    Baseten,
    /// The server of llama.cpp.
    LlamaCpp,
    /// Ollama.
    Ollama,
    /// `OpenAI`'s own API.
    Openai,
    /// `SGLang`.
    Sglang,
    /// Text Generation Inference.
    Tgi,
    /// Triton, and others of the `KServe` protocol, version 2.
    Triton,
    /// vLLM.
    Vllm,
}
