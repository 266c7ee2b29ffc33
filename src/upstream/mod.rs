//! The model servers: one pool of connections to each, for each worker; and what all workers know of how each does.

mod aim;
mod answer;
mod attempts;
mod balance;
mod bodies;
mod body;
mod caller;
mod config;
mod connect;
mod deadline;
mod error;
mod framing;
mod health;
mod held;
mod http1;
mod judged;
mod keys;
mod lanes;
mod lent;
mod patience;
mod payload;
mod pool;
mod probe;
mod server;
mod websocket;
mod whole;

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;

use http::uri::PathAndQuery;

use answer::AnswerSource;
pub use answer::{AnswerBody, BrokenAnswer};
pub use body::{HoldLimits, Progress, RequestBody, TrailerFilter, UnknownModel};
pub use caller::{BrokenBody, CallerBody};
pub use config::{
    AzureKey, AzureKeyConfig, BatchS3Config, BedrockKey, BedrockKeyConfig, CloudKey,
    CredentialConfig, HealthConfig, HealthPlan, HostHeader, HuggingfaceKeyConfig, KeyRules,
    KeyValue, KeyWeight, MOST_KEYS, MOST_SERVERS, ProbeConfig, ProbePlan, Provider, S3Bucket,
    TokenRules, TokensConfig, UpstreamConfig, UpstreamCredential, UpstreamKey, UpstreamKeyConfig,
    UpstreamLimits, UpstreamPlan, UpstreamProtocol, UpstreamServer, UpstreamServerConfig,
    VertexKey, VertexKeyConfig,
};
pub use error::UpstreamError;
pub use health::Fleet;
pub use held::{HeldBodies, Share};
pub use http1::{Http1Error, Upgraded};
pub use keys::{KeyCatalogue, ShownCloud, ShownKey, ShownUpstream, ShownValue, renew};
pub use patience::Patience;
pub use payload::Memory;
pub use probe::probe;
pub use websocket::Handshake;
pub use whole::{UnknownAnswer, WholeAnswer, WholeLimits, read_whole};

use crate::key::Permit;
use crate::message::{RequestHead, Response};
use crate::route::UpstreamId;
use crate::telemetry::metrics::UpstreamMetrics;
use attempts::Upstream;
use keys::Ring;

/// What is behind a connection, until it ends.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What runs the tasks behind connections. `server` gives it, so that nothing else spawns.
pub trait Executor: hyper::rt::Executor<Task> + Clone + Send + Sync + 'static {}

impl<E> Executor for E where E: hyper::rt::Executor<Task> + Clone + Send + Sync + 'static {}

/// The upstreams, as one worker reaches them.
pub struct Upstreams {
    upstreams: Vec<Upstream>,
    random: RefCell<fastrand::Rng>,
}

/// One call: where to, and what it asks for beside an answer.
pub struct Call {
    /// The upstream.
    pub to: UpstreamId,
    /// The path and query that go on.
    pub target: PathAndQuery,
    /// Fields of ours, of whose names the request has none, in lines that are sent behind its own; none where the upstream does
    /// not take lines ([`Upstreams::takes_lines`]).
    pub joins: Vec<u8>,
    /// There when the caller asks to speak WebSocket.
    pub handshake: Option<Handshake>,
    /// The model that it names, as far as that was read: which of several keys it is given may depend on it.
    pub model: Option<String>,
    /// For what must be remembered of its body so that it can be sent again with another key.
    pub memory: Option<Memory>,
}

impl Upstreams {
    /// Empty pools for `plans`, in the order in which [`UpstreamId`]s count them. `seed` decides what is drawn.
    pub fn new(
        plans: &[UpstreamPlan],
        fleet: &Fleet,
        metrics: impl Fn(&str) -> UpstreamMetrics,
        executor: &impl Executor,
        seed: u64,
    ) -> Self {
        let upstreams = plans.iter().map(|plan| {
            let metrics = metrics(&plan.name);
            Upstream::new(plan, fleet, metrics, executor)
        });
        Self {
            upstreams: upstreams.collect(),
            random: RefCell::new(fastrand::Rng::with_seed(seed)),
        }
    }

    /// Whether `upstream` has keys.
    #[must_use]
    pub fn has_keys(&self, upstream: UpstreamId) -> bool {
        self.upstreams[upstream.0].ring().is_some()
    }

    /// Whether fields may join a call in lines: where its head is sent in lines, and needs no table of its own for each attempt.
    #[must_use]
    pub fn takes_lines(&self, upstream: UpstreamId) -> bool {
        self.upstreams[upstream.0].takes_lines()
    }

    /// Whether `upstream` has keys of which a call is given one by the model that it names.
    #[must_use]
    pub fn needs_model(&self, upstream: UpstreamId) -> bool {
        self.upstreams[upstream.0]
            .ring()
            .is_some_and(Ring::needs_model)
    }

    /// Closes connections that have been unused for too long. To be asked now and then: none of them is used again.
    pub fn sweep(&self) {
        for upstream in &self.upstreams {
            upstream.sweep();
        }
    }

    /// Sends one permitted call, and gives the answer's head.
    ///
    /// The caller's secret must be off the request already; ours is put on here. The request goes with exactly one host, and
    /// as the upstream's settings say, but one for a WebSocket as HTTP/1.1 (SECURITY F18). Dropping the future, or later the
    /// answer's body, ends the call at the upstream.
    ///
    /// The answer is a 101 only if the call asked for WebSocket and the upstream agreed to this very handshake; what is
    /// left of the connection is its body's to give then ([`AnswerBody::into_upgraded`]).
    ///
    /// Of several servers the call goes to one that is well and not busier than another. When no connection to it can
    /// be made, it goes to the next, up to [`UpstreamLimits::connect_attempts`] of them: nothing was sent. A call that a server
    /// of HTTP/2 says it did not look at goes once more, to another server or on another connection, unless something of its
    /// body has gone.
    ///
    /// Where the upstream has keys, the call is given one of them. When the upstream refuses the key it is sent again with
    /// another that does not rest, up to [`KeyRules::attempts`] of them, if all of its body was sent and is remembered;
    /// otherwise the refusal is the answer.
    ///
    /// # Errors
    ///
    /// When the upstream does not answer in time, or breaks off, and when it has keys and none is for the call. But for a
    /// refused key, nothing is sent twice unless nothing was read.
    pub fn send(
        &self,
        _permit: Permit,
        call: Call,
        head: Box<RequestHead>,
        body: RequestBody,
    ) -> impl Future<Output = Result<Response<AnswerBody>, UpstreamError>> {
        let upstream = &self.upstreams[call.to.0];
        upstream.answer(call, head, body, &self.random)
    }
}
