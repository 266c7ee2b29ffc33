//! Whole tables of routes for servers that are known.
//!
//! Each opens what is called, and leaves closed whatever administers, loads adapters, sleeps, profiles, or shows what
//! belongs to others. What a server has beyond its table is closed, too: a newer version's routes are refused until
//! somebody has looked at them. `tests/servers` holds, for each server, every route that its source has.

mod baseten;
mod servers;

pub use baseten::baseten;

use super::{ErrorForm, ModelConfig, ModelPlace, Profile, ProfileConfig, RouteClass, RouteConfig};

/// Where a request of a table names its model, or what else it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    /// The model is named in a JSON body.
    Body,
    /// It is named in a form.
    Form,
    /// The body may be either.
    BodyOrForm,
    /// `{model}` stands in the path.
    Path,
    /// A model is called, or asked about, and nothing says which: for keys for every model.
    Unnamed,
    /// Nothing about models: whether the server lives.
    Nothing,
    /// The list of models.
    Models,
    /// Metrics that do not say which model they are about.
    Metrics,
    /// Metrics with a label that does.
    Labelled(&'static str),
}

/// Methods, what is asked for, and the paths by which it is.
type Group = (&'static [&'static str], Asks, &'static [&'static str]);

/// A table.
struct Server {
    groups: &'static [Group],
    /// How its clients expect refusals.
    errors: ErrorForm,
    /// The members of a JSON body by which it finds a model, beside `model`, as `refused_members` has them.
    other_names: &'static [&'static str],
}

/// The routes of a profile, all to the upstream called `upstream`.
#[must_use]
pub fn profile(config: &ProfileConfig, upstream: &str) -> Vec<RouteConfig> {
    let mut routes = match config.profile {
        Profile::Baseten => baseten(upstream),
        Profile::Anthropic => servers::ANTHROPIC.routes(upstream),
        Profile::LlamaCpp => servers::LLAMA_CPP.routes(upstream),
        Profile::Ollama => servers::OLLAMA.routes(upstream),
        Profile::Openai => servers::OPENAI.routes(upstream),
        Profile::Sglang => servers::SGLANG.routes(upstream),
        Profile::Tgi => servers::TGI.routes(upstream),
        Profile::Triton => servers::TRITON.routes(upstream),
        Profile::Vllm => servers::VLLM.routes(upstream),
    };
    for route in &mut routes {
        if config.host.is_some() {
            route.host.clone_from(&config.host);
        }
        if let Some(model) = &config.model
            && route.model == ModelConfig::Named
        {
            route.model = ModelConfig::Fixed(model.clone());
        }
    }
    routes
}

impl Server {
    fn routes(&self, upstream: &str) -> Vec<RouteConfig> {
        let rows = self.groups.iter().flat_map(|(methods, asks, paths)| {
            paths.iter().map(move |path| (*methods, *asks, *path))
        });
        rows.map(|(methods, asks, path)| self.route(methods, asks, path, upstream))
            .collect()
    }

    fn route(&self, methods: &[&str], asks: Asks, path: &str, upstream: &str) -> RouteConfig {
        let model_in: &[ModelPlace] = match asks {
            Asks::Body => &[ModelPlace::Body],
            Asks::Form => &[ModelPlace::Form],
            Asks::BodyOrForm => &[ModelPlace::Body, ModelPlace::Form],
            _ => &[],
        };
        let is_body = model_in.contains(&ModelPlace::Body);
        let other_names: &[&str] = if is_body { self.other_names } else { &[] };
        RouteConfig {
            host: None,
            path: path.to_owned(),
            methods: methods.iter().map(ToString::to_string).collect(),
            upstream: upstream.to_owned(),
            forward: None,
            model: match asks {
                Asks::Nothing => ModelConfig::NotNeeded,
                _ => ModelConfig::Named,
            },
            model_in: model_in.to_vec(),
            refused_members: other_names.iter().map(ToString::to_string).collect(),
            class: match asks {
                Asks::Models => RouteClass::Models,
                Asks::Metrics => RouteClass::Metrics,
                Asks::Labelled(label) => RouteClass::LabelledMetrics(label.to_owned()),
                _ => RouteClass::Call,
            },
            // Names such as `meta/llama` stand there so, and no server that lists them has a route below.
            encoded_slash: path == "/v1/models/{model}",
            errors: Some(if path.starts_with("/v1/messages") {
                ErrorForm::Anthropic
            } else {
                self.errors
            }),
        }
    }
}
