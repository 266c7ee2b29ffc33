//! The keys of an upstream: which of them a call is given, and what is learnt from the answer.
//!
//! A call is given one of the keys that are enabled, allow its model and, for batches and files, are meant for these. A
//! call that names no model asks for none to be allowed. Among them weights decide. A key that the upstream refused
//! (401, 402, 403, 429) rests, for every worker. When all rest, a key that rests by our own judgement is tried anyway,
//! the one whose rest ends first; one that the upstream told when to come back is not.
//!
//! What is presented for a key is its text, or a token that it stands for ([`token`]), or a signature of the request that
//! is made with it ([`sigv4`]); and what it says decides where in the API of its cloud a call goes ([`place`]).

mod draw;
mod fetch;
mod jwt;
mod place;
mod rest;
mod shown;
mod sigv4;
mod token;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::uri::PathAndQuery;
use http::{HeaderName, StatusCode};

use super::balance::Places;
use super::{CloudKey, KeyRules, KeyValue, UpstreamError, UpstreamKey, UpstreamPlan};
use crate::clock::Clock;
use crate::credential::{CredentialLocation, SecretText};
use crate::key::{ModelId, UnixTime};
use crate::message::{Fields, RequestHead};
use crate::telemetry::metrics::{KeyUse, Metrics, UpstreamKeyMetrics};
use draw::draw;
use fetch::bearer;
use rest::{Readiness, Rest, retry_after};
use sigv4::Signer;
use token::Token;

pub(super) use sigv4::hash;

pub use fetch::renew;
pub use shown::{KeyCatalogue, ShownCloud, ShownKey, ShownUpstream, ShownValue};

/// What is known of every key, whichever worker learnt it. It outlasts a reading of the settings for keys that keep
/// their text.
pub(super) struct Known {
    keys: Mutex<HashMap<(String, String, u128), Weak<State>>>,
    metrics: Metrics,
    clock: Clock,
}

/// What all workers know of one key.
struct State {
    rest: Rest,
    token: Option<Token>,
    metrics: UpstreamKeyMetrics,
}

/// The keys of one upstream, as one worker draws them.
pub(super) struct Ring {
    upstream: String,
    location: CredentialLocation,
    rules: KeyRules,
    keys: Vec<Held>,
    needs_model: bool,
    clock: Clock,
}

struct Held {
    key: Arc<UpstreamKey>,
    state: Arc<State>,
}

/// A key that a call is given.
#[derive(Clone, Copy)]
pub(super) struct Drawn<'r> {
    pub(super) place: usize,
    ring: &'r Ring,
}

/// What a call asks of a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'c> {
    /// The model that it names.
    pub(super) model: Option<&'c str>,
    /// Whether it is about batches or files.
    pub(super) is_batch: bool,
}

impl Known {
    pub(super) fn new(metrics: Metrics, clock: Clock) -> Self {
        Self {
            keys: Mutex::default(),
            metrics,
            clock,
        }
    }

    /// The key `id` of `upstream` may be used again, whatever was learnt of it.
    pub(super) fn forget(&self, upstream: &str, id: &str) {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let of_key = keys
            .iter()
            .filter(|((of, key, _), _)| of == upstream && key == id);
        for state in of_key.filter_map(|(_, state)| state.upgrade()) {
            state.rest.answered();
            if let Some(token) = &state.token {
                token.renew_now();
            }
        }
    }

    /// What is known of `key`, one of `upstream`'s. Another text under its id is another key.
    fn state(&self, upstream: &str, key: &UpstreamKey) -> Arc<State> {
        // What it guards is whole at any moment.
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|_, state| state.strong_count() > 0);
        let place = (upstream.to_owned(), key.id.clone(), key.fingerprint());
        if let Some(state) = keys.get(&place).and_then(Weak::upgrade) {
            return state;
        }
        let metrics = self.metrics.upstream_key(upstream, &key.id);
        let state = Arc::new(State {
            rest: Rest::new(metrics.clone()),
            token: key
                .cloud
                .stands_for_a_token()
                .then(|| Token::new(self.clock.clone(), metrics.clone())),
            metrics,
        });
        keys.insert(place, Arc::downgrade(&state));
        state
    }
}

impl Ring {
    /// The keys of `plan`; nothing when it has none.
    pub(super) fn of(plan: &UpstreamPlan, known: &Known) -> Option<Self> {
        if plan.keys.is_empty() {
            return None;
        }
        let held = |key: &Arc<UpstreamKey>| Held {
            state: known.state(&plan.name, key),
            key: Arc::clone(key),
        };
        Some(Self {
            upstream: plan.name.clone(),
            location: plan.provider.location(),
            rules: plan.key_rules.clone(),
            needs_model: plan.keys.iter().any(|key| key.minds_models()),
            keys: plan.keys.iter().map(held).collect(),
            clock: known.clock.clone(),
        })
    }

    /// Whether the model of a call decides which key it is given.
    pub(super) const fn needs_model(&self) -> bool {
        self.needs_model
    }

    /// How large a body may be that is sent again, in bytes.
    pub(super) const fn sent_again_bytes(&self) -> usize {
        self.rules.sent_again_bytes
    }

    /// Whether bodies are signed, up to how many bytes: they must be held whole then.
    pub(super) fn signed_bytes(&self) -> Option<usize> {
        let signs = self.keys.iter().any(|held| held.key.signs());
        signs.then_some(self.rules.signed_body_bytes)
    }

    /// Draws the key for a call that has not been sent.
    ///
    /// # Errors
    ///
    /// When there is none for it, or when all that there are must not be used yet.
    pub(super) fn first(
        &self,
        asked: Asked<'_>,
        random: &mut fastrand::Rng,
    ) -> Result<Drawn<'_>, UpstreamError> {
        if let Some(drawn) = self.another(asked, Places::NONE, random) {
            return Ok(drawn);
        }
        let now = self.clock.elapsed();
        let mut doubtful: Option<(Duration, usize)> = None;
        let mut told: Option<Duration> = None;
        for place in self.fit(asked).all() {
            match self.keys[place].state.rest.readiness(now) {
                // Its rest has ended just now.
                Readiness::Ready => return Ok(self.drawn(place)),
                Readiness::Doubtful(left) => {
                    let this = (left, place);
                    doubtful = Some(doubtful.map_or(this, |other| other.min(this)));
                }
                Readiness::Told(left) => {
                    told = Some(told.map_or(left, |other| other.min(left)));
                }
            }
        }
        match (doubtful, told) {
            (Some((_, place)), _) => Ok(self.drawn(place)),
            (None, Some(retry_after)) => Err(UpstreamError::KeysResting { retry_after }),
            (None, None) => Err(UpstreamError::NoKey),
        }
    }

    /// Draws a key that does not rest for a call that was refused with those of `tried`.
    pub(super) fn another(
        &self,
        asked: Asked<'_>,
        tried: Places,
        random: &mut fastrand::Rng,
    ) -> Option<Drawn<'_>> {
        let attempts = usize::try_from(tried.count()).unwrap_or(usize::MAX);
        if attempts >= self.rules.attempts {
            return None;
        }
        let now = self.clock.elapsed();
        let fit = self.fit(asked);
        let is_ready = |place: usize| {
            fit.has(place)
                && !tried.has(place)
                && self.keys[place].state.rest.readiness(now) == Readiness::Ready
        };
        let ready = Places::those(self.keys.len(), is_ready);
        let place = draw(ready, |place| self.keys[place].key.weight.get(), random)?;
        Some(self.drawn(place))
    }

    const fn drawn(&self, place: usize) -> Drawn<'_> {
        Drawn { place, ring: self }
    }

    /// The keys that may be given to such a call.
    fn fit(&self, asked: Asked<'_>) -> Places {
        Places::those(self.keys.len(), |place| self.keys[place].key.fits(asked))
    }
}

impl UpstreamKey {
    fn fits(&self, asked: Asked<'_>) -> bool {
        let allows = |model: &str| {
            let model = ModelId::new(model);
            self.models.iter().any(|pattern| pattern.allows(model))
                && !self
                    .denied_models
                    .iter()
                    .any(|pattern| pattern.allows(model))
        };
        self.enabled
            && (self.use_for_batch_api || !asked.is_batch)
            && asked.model.map_or(!self.models.is_empty(), allows)
    }

    /// Whether the model of a call decides whether it is used, or how.
    fn minds_models(&self) -> bool {
        let is_for_every = self.models.iter().any(|pattern| pattern.as_str() == "*")
            && self.denied_models.is_empty();
        let has_deployments = match &self.cloud {
            CloudKey::None => false,
            CloudKey::Huggingface(config) => !config.deployments.is_empty(),
            CloudKey::Azure(_) | CloudKey::Vertex(_) | CloudKey::Bedrock(_) => true,
        };
        self.enabled && (!is_for_every || has_deployments)
    }

    /// Whether requests are signed with it.
    const fn signs(&self) -> bool {
        match &self.cloud {
            CloudKey::Bedrock(key) => self.enabled && key.secret_key.is_some(),
            CloudKey::None
            | CloudKey::Azure(_)
            | CloudKey::Vertex(_)
            | CloudKey::Huggingface(_) => false,
        }
    }

    /// Other for other texts. Says nothing of what they are, and is kept here only.
    fn fingerprint(&self) -> u128 {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        for value in self.values() {
            let text = value.secret.current();
            let text = text.reveal();
            hash.update(&text.len().to_le_bytes());
            hash.update(text.as_bytes());
        }
        hash.digest128()
    }
}

/// Headers in which a caller may have put what somebody could take for the key of an upstream.
const KEY_HEADERS: [HeaderName; 4] = [
    AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

impl Drawn<'_> {
    fn held(&self) -> &Held {
        &self.ring.keys[self.place]
    }

    /// What is presented for the key on a call to `target` whose body has the `hash`, if that is known. Waits when there
    /// is no token yet for which it stands, and for nothing else.
    ///
    /// # Errors
    ///
    /// When there is none, and none could be fetched.
    pub(super) async fn prepare(
        self,
        asked: Asked<'_>,
        target: &PathAndQuery,
        hash: Option<&str>,
    ) -> Result<Prepared, UpstreamError> {
        let Held { key, state } = self.held();
        let shown = if let Some(token) = &state.token {
            Shown::At(bearer(), token.get().await?)
        } else if let (true, Some(hash)) = (key.signs(), hash) {
            let now = self.ring.clock.unix_time();
            Shown::Signature(Arc::clone(key), hash.to_owned(), now)
        } else if let Some(KeyValue { secret, .. }) = &key.value {
            Shown::At(self.ring.location.clone(), secret.current())
        } else {
            Shown::Nothing
        };
        Ok(Prepared {
            target: key.target(target, asked.model),
            shown,
        })
    }

    /// Notes what the upstream answered. Returns whether that refuses the key.
    pub(super) fn note(&self, status: StatusCode, answer: &Fields) -> bool {
        let Held { key, state } = self.held();
        let used = match status {
            StatusCode::UNAUTHORIZED => KeyUse::Unauthorized,
            StatusCode::PAYMENT_REQUIRED => KeyUse::Unpaid,
            StatusCode::FORBIDDEN => KeyUse::Forbidden,
            StatusCode::TOO_MANY_REQUESTS => KeyUse::Limited,
            _ => KeyUse::Answered,
        };
        state.metrics.used(used);
        if used == KeyUse::Answered {
            state.rest.answered();
            return false;
        }
        let clock = &self.ring.clock;
        let told = retry_after(answer, clock.unix_time());
        if state.rest.refused(told, &self.ring.rules, clock.elapsed()) {
            tracing::warn!(
                upstream = self.ring.upstream,
                upstream.key = key.id,
                status = status.as_u16(),
                "an upstream refuses a key; it rests"
            );
        }
        true
    }
}

/// What is presented for a key on one call, and where that goes.
pub(super) struct Prepared {
    target: PathAndQuery,
    shown: Shown,
}

enum Shown {
    Nothing,
    At(CredentialLocation, Arc<SecretText>),
    Signature(Arc<UpstreamKey>, String, UnixTime),
}

impl Prepared {
    /// What goes on in place of the call's target.
    pub(super) const fn target(&self) -> &PathAndQuery {
        &self.target
    }

    /// Presents the key on a request that is aimed already, in place of any that is there.
    pub(super) fn write(&self, request: &mut RequestHead) {
        for name in KEY_HEADERS {
            request.headers.remove(&name);
        }
        match &self.shown {
            Shown::Nothing => {}
            Shown::At(location, secret) => location
                .write(secret, request)
                .expect("whatever was read or fetched was tried in this place first"),
            Shown::Signature(key, hash, now) => key.sign(request, hash, *now),
        }
    }
}

impl UpstreamKey {
    /// Signs a request with it. One that cannot be signed goes unsigned, and is refused.
    fn sign(&self, request: &mut RequestHead, hash: &str, now: UnixTime) {
        let CloudKey::Bedrock(key) = &self.cloud else {
            return;
        };
        let text = |value: &Option<KeyValue>| value.as_ref().map(|value| value.secret.current());
        let (Some(access_key), Some(secret_key), Some(region)) = (
            text(&key.access_key),
            text(&key.secret_key),
            text(&key.region),
        ) else {
            return;
        };
        let session_token = text(&key.session_token);
        let signer = Signer {
            access_key: access_key.reveal(),
            secret_key: secret_key.reveal(),
            session_token: session_token.as_ref().map(|token| token.reveal()),
            region: region.reveal(),
            service: "bedrock",
        };
        if signer.sign(request, hash, now).is_none() {
            tracing::warn!(
                upstream.key = self.id,
                "a request cannot be signed with this key"
            );
        }
    }
}

/// Checks the JSON of a service account: what is wrong with it, in words.
pub(super) fn check_service_account(text: &str) -> Result<(), String> {
    let account = jwt::ServiceAccount::read(text);
    account.map(drop).map_err(|error| error.to_string())
}

/// Whether a call to `path` is about batches or files, which belong to the account of a key.
pub(super) fn is_batch(path: &str) -> bool {
    let mut parts = path.split('/').skip(1);
    let after_version = |part: &str| match part {
        "v1" | "v1beta" | "openai" => None,
        part => Some(part.to_owned()),
    };
    match parts.by_ref().find_map(after_version).as_deref() {
        Some("batches" | "files") => true,
        Some("messages") => parts.next() == Some("batches"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/v1/batches", true)]
    #[case("/v1/batches/b1/cancel", true)]
    #[case("/v1/files", true)]
    #[case("/v1/files/f1/content", true)]
    #[case("/v1/messages/batches", true)]
    #[case("/openai/v1/batches", true)]
    #[case("/openai/files", true)]
    #[case("/v1/messages", false)]
    #[case("/v1/chat/completions", false)]
    #[case("/v1/batchesx", false)]
    #[case("/models/files/predict", false)]
    #[case("/", false)]
    fn batches_and_files_are_known_by_their_paths(#[case] path: &str, #[case] is: bool) {
        assert_eq!(is_batch(path), is);
    }
}
