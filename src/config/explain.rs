//! What the data listener decides about a call, told to whoever wonders: by the same table of routes, and by the same
//! decision about the key.

use std::borrow::Cow;
use std::sync::Arc;

use http::Method;

use super::Config;
use crate::key::{ApiKey, Denial, Grant, ModelId, NamedModel, Purpose, UnixTime};
use crate::proxy::CallsOfEndedKeys;
use crate::route::{NoRoute, RequestHost};

/// A call as somebody describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedCall<'c> {
    /// Its method.
    pub method: Method,
    /// The host it is sent to.
    pub host: &'c str,
    /// Its path.
    pub path: &'c str,
    /// The model it names in a header, the query or the body, where the route looks for one there.
    pub model: Option<&'c str>,
}

/// What is decided, and by which rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The status of the refusal; none when the call goes on.
    pub refused_with: Option<u16>,
    /// The rule that decides, by a fixed name.
    pub rule: &'static str,
    /// The same in words, for a person.
    pub why: Cow<'static, str>,
    /// Where the call would go.
    pub upstream: Option<String>,
    /// By which rule a call that is allowed ends when the key does; none where it goes on.
    pub ends_by: Option<&'static str>,
}

impl Explanation {
    /// What is decided about a call of `model` with `key`, whatever the route.
    #[must_use]
    pub fn of_key(key: &ApiKey, model: Option<&str>, now: UnixTime) -> Self {
        let model = model.map_or(NamedModel::NotNeeded, |model| {
            NamedModel::Named(ModelId::new(model))
        });
        match present(key, now).map(|grant| grant.check(Purpose::Calling, model, now)) {
            Some(Ok(())) => Self::allowed(None, ends_by(key, CallsOfEndedKeys::GoOn)),
            Some(Err(denial)) => Self::denied(denial),
            None => Self::refused(401, "key", "the key has no text"),
        }
    }

    /// What is decided about `call` with `key`, by the settings `config`.
    #[must_use]
    pub fn of_call(config: &Config, key: &ApiKey, call: &AskedCall<'_>, now: UnixTime) -> Self {
        let Some(host) = RequestHost::parse(call.host) else {
            return Self::refused(400, "host", "the host is none");
        };
        let found = config.routes.find(&call.method, host, call.path);
        let mut matched = match found {
            Ok(matched) => matched,
            Err(NoRoute::NotFound) => {
                return Self::refused(404, "route", "no route takes this host and path");
            }
            Err(NoRoute::MethodNotAllowed(allowed)) => {
                let why = format!("the route takes other methods: {allowed}");
                return Self::refused(405, "route.methods", why);
            }
            Err(NoRoute::NotCanonical(why)) => return Self::refused(400, "path", why),
        };
        if let Some(model) = call.model
            && matched.route.names_model_elsewhere()
        {
            matched.also_names(model.into());
        }
        let Some(grant) = present(key, now) else {
            return Self::refused(401, "key", "the key has no text");
        };
        let purpose = matched.route.class.purpose();
        let verdict = grant.check(purpose, matched.model(), now);
        let upstream = config.upstreams.get(matched.route.upstream.0);
        match verdict {
            Ok(()) => Self::allowed(
                upstream.map(|upstream| upstream.name.clone()),
                ends_by(key, config.proxy.calls_of_ended_keys),
            ),
            Err(denial) => Self::denied(denial),
        }
    }

    fn allowed(upstream: Option<String>, ends_by: Option<&'static str>) -> Self {
        Self {
            refused_with: None,
            rule: "key",
            why: "the key may".into(),
            upstream,
            ends_by,
        }
    }

    fn refused(status: u16, rule: &'static str, why: impl Into<Cow<'static, str>>) -> Self {
        Self {
            refused_with: Some(status),
            rule,
            why: why.into(),
            upstream: None,
            ends_by: None,
        }
    }

    fn denied(denial: Denial) -> Self {
        let (status, rule, why) = match denial {
            Denial::Disabled => (401, "key.disabled", "the key is switched off"),
            Denial::Expired => (401, "key.expires_at", "the end of the key has come"),
            Denial::Category => (403, "key.type", "a key of this type may not call models"),
            Denial::MetricsCategory => (403, "key.type", "a key of this type may not read metrics"),
            Denial::ModelOutOfScope => (403, "key.model_ids", "the model is not one of the key's"),
            Denial::ModelNotNamed => (
                403,
                "key.model_ids",
                "the key is for some models, and the call names none",
            ),
            Denial::ModelsDiffer => (
                403,
                "call",
                "the call names different models in different places",
            ),
        };
        Self::refused(status, rule, why)
    }
}

/// By which rule calls under way end with the key.
const fn ends_by(key: &ApiKey, settings: CallsOfEndedKeys) -> Option<&'static str> {
    match settings {
        CallsOfEndedKeys::End => Some("proxy.calls_of_ended_keys"),
        CallsOfEndedKeys::GoOn if key.ends_calls => Some("key.ends_calls"),
        CallsOfEndedKeys::GoOn => None,
    }
}

/// What memory would hold of the key's present text.
fn present(key: &ApiKey, now: UnixTime) -> Option<Arc<Grant>> {
    Grant::of(key, now).next().map(|(_, grant)| grant)
}
