//! The tables. Which versions they were checked against, and why what is closed is, stands with the lists of each
//! server's own routes (`tests/servers`).

use super::Asks::{Body, BodyOrForm, Form, Labelled, Metrics, Models, Nothing, Path, Unnamed};
use super::{ErrorForm, Server};

const GET: &[&str] = &["GET"];
const POST: &[&str] = &["POST"];
const GET_HEAD: &[&str] = &["GET", "HEAD"];
const GET_POST: &[&str] = &["GET", "POST"];
const POST_PUT: &[&str] = &["POST", "PUT"];

/// The members by which a server of `OpenAI`'s or Anthropic's dialect finds another model than `model`: a tool that is or asks
/// one (`image_generation`, `advisor`), and what routers with many models add to both: models to fall back to (`OpenRouter`,
/// `LiteLLM`, Anthropic's own `fallbacks`), and what stands for a choice of theirs. A tool of a router that names no model,
/// and so leaves it to the router, is told from others by its type alone, and goes on.
const OTHER_MODELS: &[&str] = &[
    "models",
    "fallback",
    "fallbacks",
    "fallback_models",
    "context_window_fallbacks",
    "context_window_fallback_dict",
    "content_policy_fallbacks",
    "model_list",
    "user_config",
    "advisor",
    "plugins",
    "preset",
    "route",
    "tools[].model",
    "tools[].models",
];

/// `OpenAI`'s own API. What outlives its call (files, batches, threads, stores, stored completions) is closed: it belongs to
/// whoever made it, and nothing in a request says who that is.
pub(super) const OPENAI: Server = Server {
    errors: ErrorForm::Openai,
    other_names: OTHER_MODELS,
    groups: &[
        (
            POST,
            Body,
            &[
                "/v1/chat/completions",
                "/v1/completions",
                "/v1/responses",
                "/v1/responses/compact",
                "/v1/responses/input_tokens",
                "/v1/embeddings",
                "/v1/moderations",
                "/v1/images/generations",
                "/v1/audio/speech",
            ],
        ),
        (
            POST,
            Form,
            &[
                "/v1/images/variations",
                "/v1/audio/transcriptions",
                "/v1/audio/translations",
            ],
        ),
        (POST, BodyOrForm, &["/v1/images/edits"]),
        (GET, Models, &["/v1/models"]),
        (GET, Path, &["/v1/models/{model}"]),
    ],
};

/// Anthropic's own API, alike.
pub(super) const ANTHROPIC: Server = Server {
    errors: ErrorForm::Anthropic,
    other_names: OTHER_MODELS,
    groups: &[
        (POST, Body, &["/v1/messages", "/v1/messages/count_tokens"]),
        (GET, Models, &["/v1/models"]),
        (GET, Path, &["/v1/models/{model}"]),
    ],
};

/// vLLM's server of the `OpenAI` dialect.
pub(super) const VLLM: Server = Server {
    errors: ErrorForm::Openai,
    other_names: &[],
    groups: &[
        (
            POST,
            Body,
            &[
                "/v1/chat/completions",
                "/v1/chat/completions/batch",
                "/v1/completions",
                "/v1/responses",
                "/v1/messages",
                "/v1/messages/count_tokens",
                "/v1/embeddings",
                "/v2/embed",
                "/v1/score",
                "/score",
                "/v1/rerank",
                "/v2/rerank",
                "/rerank",
                "/classify",
                "/pooling",
                "/generative_scoring",
                "/v1/decisions",
                "/v1/systemone",
                "/cohere/v2/chat",
                "/tokenize",
                "/detokenize",
            ],
        ),
        (
            POST,
            Form,
            &["/v1/audio/transcriptions", "/v1/audio/translations"],
        ),
        (GET, Unnamed, &["/v1/responses/{id}", "/v1/realtime"]),
        (POST, Unnamed, &["/v1/responses/{id}/cancel"]),
        (GET, Models, &["/v1/models"]),
        (GET, Labelled("model_name"), &["/metrics"]),
        (GET, Nothing, &["/health", "/version"]),
        (GET_POST, Nothing, &["/ping"]),
    ],
};

/// `SGLang`'s server. It answers whatever model it is asked for with the one that it has: where keys are for some models,
/// the profile's `model` says which. `lora_path` names an adapter, which is listed among the models.
pub(super) const SGLANG: Server = Server {
    errors: ErrorForm::Openai,
    other_names: &["lora_path"],
    groups: &[
        (
            POST,
            Body,
            &[
                "/v1/chat/completions",
                "/v1/completions",
                "/v1/responses",
                "/v1/messages",
                "/v1/messages/count_tokens",
                "/v1/embeddings",
                "/v1/classify",
                "/v1/score",
                "/v1/decisions",
                "/v1/systemone",
                "/v1/tokenize",
                "/v1/detokenize",
                "/tokenize",
                "/detokenize",
                "/invocations",
                "/api/chat",
                "/api/generate",
                "/api/show",
            ],
        ),
        (POST_PUT, Body, &["/v1/rerank"]),
        (POST, Form, &["/v1/audio/transcriptions"]),
        (POST_PUT, Unnamed, &["/generate", "/encode", "/classify"]),
        (GET, Unnamed, &["/v1/responses/{id}", "/v1/realtime"]),
        (POST, Unnamed, &["/v1/responses/{id}/cancel"]),
        (GET, Unnamed, &["/model_info", "/get_model_info"]),
        (GET, Models, &["/v1/models", "/api/tags"]),
        (GET, Path, &["/v1/models/{model}"]),
        (GET, Labelled("model_name"), &["/metrics"]),
        (
            GET,
            Nothing,
            &["/health", "/health_generate", "/ready", "/ping"],
        ),
        (GET_HEAD, Nothing, &["/"]),
    ],
};

/// Text Generation Inference. It has one model, which a request's `model` does not choose (it chooses an adapter).
pub(super) const TGI: Server = Server {
    errors: ErrorForm::Openai,
    other_names: &[],
    groups: &[
        (POST, Body, &["/v1/chat/completions", "/v1/completions"]),
        (
            POST,
            Unnamed,
            &[
                "/",
                "/generate",
                "/generate_stream",
                "/invocations",
                "/tokenize",
                "/chat_tokenize",
            ],
        ),
        (GET, Unnamed, &["/info"]),
        (GET, Models, &["/v1/models"]),
        (POST, Path, &["/v2/models/{model}/versions/{id}/infer"]),
        (
            GET,
            Path,
            &[
                "/v2/models/{model}/versions/{id}",
                "/v2/models/{model}/versions/{id}/ready",
            ],
        ),
        (GET, Metrics, &["/metrics"]),
        (
            GET,
            Nothing,
            &[
                "/",
                "/health",
                "/ping",
                "/v2",
                "/v2/health/live",
                "/v2/health/ready",
            ],
        ),
    ],
};

/// Triton, or another server of the `KServe` protocol, version 2. Triton serves `/metrics` on a port of its own: as an
/// upstream of its own that is one route, of class `{ labelled-metrics = "model" }`.
pub(super) const TRITON: Server = Server {
    errors: ErrorForm::Baseten,
    other_names: &[],
    groups: &[
        (
            POST,
            Path,
            &[
                "/v2/models/{model}/infer",
                "/v2/models/{model}/generate",
                "/v2/models/{model}/generate_stream",
                "/v2/models/{model}/versions/{id}/infer",
                "/v2/models/{model}/versions/{id}/generate",
                "/v2/models/{model}/versions/{id}/generate_stream",
            ],
        ),
        (
            GET,
            Path,
            &[
                "/v2/models/{model}",
                "/v2/models/{model}/ready",
                "/v2/models/{model}/config",
                "/v2/models/{model}/stats",
                "/v2/models/{model}/versions/{id}",
                "/v2/models/{model}/versions/{id}/ready",
                "/v2/models/{model}/versions/{id}/config",
                "/v2/models/{model}/versions/{id}/stats",
            ],
        ),
        // Of all models: no model is called `stats`.
        (GET, Unnamed, &["/v2/models/stats"]),
        (GET, Labelled("model"), &["/metrics"]),
        (
            GET,
            Nothing,
            &["/v2", "/v2/health/live", "/v2/health/ready"],
        ),
    ],
};

/// The server of llama.cpp, with one model or as a router of many. With one, it answers whatever model it is asked for.
pub(super) const LLAMA_CPP: Server = Server {
    errors: ErrorForm::Openai,
    other_names: &[],
    groups: &[
        (
            POST,
            Body,
            &[
                "/v1/chat/completions",
                "/v1/chat/completions/input_tokens",
                "/chat/completions",
                "/chat/completions/input_tokens",
                "/v1/completions",
                "/completions",
                "/completion",
                "/v1/responses",
                "/v1/responses/input_tokens",
                "/responses",
                "/responses/input_tokens",
                "/v1/messages",
                "/v1/messages/count_tokens",
                "/v1/embeddings",
                "/embeddings",
                "/embedding",
                "/v1/rerank",
                "/v1/reranking",
                "/rerank",
                "/reranking",
                "/infill",
                "/tokenize",
                "/detokenize",
                "/apply-template",
            ],
        ),
        (
            POST,
            Form,
            &["/v1/audio/transcriptions", "/audio/transcriptions"],
        ),
        (GET, Models, &["/v1/models", "/models"]),
        (GET, Metrics, &["/metrics"]),
        (GET, Nothing, &["/v1/health", "/health"]),
    ],
};

/// Ollama. A name without a tag is the name with `:latest` to it; keys compare what a request says.
pub(super) const OLLAMA: Server = Server {
    errors: ErrorForm::Openai,
    other_names: &[],
    groups: &[
        (
            POST,
            Body,
            &[
                "/api/generate",
                "/api/chat",
                "/api/embed",
                "/api/embeddings",
                "/api/show",
                "/v1/chat/completions",
                "/v1/completions",
                "/v1/responses",
                "/v1/messages",
                "/v1/embeddings",
            ],
        ),
        (POST, Form, &["/v1/audio/transcriptions"]),
        (GET_HEAD, Models, &["/api/tags"]),
        (GET, Models, &["/api/ps", "/v1/models"]),
        (GET, Path, &["/v1/models/{model}"]),
        (GET_HEAD, Nothing, &["/", "/api/version"]),
    ],
};
