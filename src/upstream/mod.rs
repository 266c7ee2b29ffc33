//! The model servers: one pool of connections to each, for each worker; and what all workers know of how each does.

mod aim;
mod answer;
mod balance;
mod body;
mod config;
mod connect;
mod error;
mod framing;
mod health;
mod held;
mod judged;
mod keys;
mod lent;
mod patience;
mod payload;
mod probe;
mod websocket;
mod whole;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::time::Instant;

pub use answer::AnswerBody;
pub use body::{HoldLimits, Progress, RequestBody, TrailerFilter, UnknownModel};
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
pub use keys::{KeyCatalogue, ShownCloud, ShownKey, ShownUpstream, ShownValue, renew};
pub use patience::Patience;
pub use payload::Memory;
pub use probe::probe;
pub use websocket::Handshake;
pub use whole::{UnknownAnswer, WholeAnswer, WholeLimits, read_whole};

use crate::key::Permit;
use crate::route::{RequestHost, UpstreamId};
use crate::telemetry::chain;
use crate::telemetry::metrics::UpstreamMetrics;
use aim::aim;
use balance::{Burden, Places, draw};
use connect::{Again, Place, Pool, Unanswered};
use health::{Entry, Health};
use keys::{Asked, Prepared, Ring, hash, is_batch};
use lent::Lent;
use payload::{BodyCopy, Payload, Whole};

/// What runs the tasks behind connections. `server` gives it, so that nothing else spawns.
pub trait Executor:
    hyper::rt::Executor<Pin<Box<dyn Future<Output = ()> + Send>>> + Clone + Send + Sync + 'static
{
}

impl<E> Executor for E where
    E: hyper::rt::Executor<Pin<Box<dyn Future<Output = ()> + Send>>>
        + Clone
        + Send
        + Sync
        + 'static
{
}

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
    /// There when the caller asks to speak WebSocket.
    pub handshake: Option<Handshake>,
    /// The model that it names, as far as that was read: which of several keys it is given may depend on it.
    pub model: Option<String>,
    /// For what must be remembered of its body so that it can be sent again with another key.
    pub memory: Option<Memory>,
}

struct Upstream {
    plan: UpstreamPlan,
    servers: Vec<Server>,
    /// There when it has keys.
    ring: Option<Ring>,
    metrics: UpstreamMetrics,
    /// When the log was last told that there is no TLS.
    told: Cell<Option<Instant>>,
}

/// One of an upstream's model servers.
struct Server {
    place: UpstreamServer,
    host: HeaderValue,
    pool: Pool<Lent>,
    /// For the handshakes of a WebSocket, where other calls go over HTTP/2.
    websockets: Option<Pool<Lent>>,
    health: Arc<Health>,
}

/// The one that a call goes to.
struct Chosen<'u> {
    place: usize,
    server: &'u Server,
    entry: Entry,
}

/// How often the log is told, by each worker: a certificate is wrong for every call, and somebody has to act.
const TELL_EVERY: Duration = Duration::from_mins(1);

impl Upstreams {
    /// Empty pools for `plans`, in the order in which [`UpstreamId`]s count them. `seed` decides what is drawn.
    pub fn new(
        plans: &[UpstreamPlan],
        fleet: &Fleet,
        metrics: impl Fn(&str) -> UpstreamMetrics,
        executor: &impl Executor,
        seed: u64,
    ) -> Self {
        let upstreams = plans.iter().map(|plan| Upstream {
            servers: plan
                .servers
                .iter()
                .map(|server| Server::new(plan, server, fleet, executor))
                .collect(),
            ring: Ring::of(plan, fleet.keys()),
            metrics: metrics(&plan.name),
            told: Cell::new(None),
            plan: plan.clone(),
        });
        Self {
            upstreams: upstreams.collect(),
            random: RefCell::new(fastrand::Rng::with_seed(seed)),
        }
    }

    /// Whether `upstream` has keys.
    #[must_use]
    pub fn has_keys(&self, upstream: UpstreamId) -> bool {
        self.upstreams[upstream.0].ring.is_some()
    }

    /// Whether `upstream` has keys of which a call is given one by the model that it names.
    #[must_use]
    pub fn needs_model(&self, upstream: UpstreamId) -> bool {
        let ring = &self.upstreams[upstream.0].ring;
        ring.as_ref().is_some_and(Ring::needs_model)
    }

    /// Sends one permitted call, and gives the answer's head.
    ///
    /// The caller's secret must be off the request already; ours is put on here. The request goes with exactly one host, and
    /// as the upstream's settings say, but one for a WebSocket as HTTP/1.1 (SECURITY F18). Dropping the future, or later the
    /// answer's body, ends the call at the upstream.
    ///
    /// The answer is a 101 only if the call asked for WebSocket and the upstream agreed to this very handshake; what is
    /// left of the connection is hyper's to give then.
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
    pub async fn send(
        &self,
        _permit: Permit,
        mut call: Call,
        request: Request<RequestBody>,
    ) -> Result<Response<AnswerBody>, UpstreamError> {
        let upstream = &self.upstreams[call.to.0];
        let (head, body) = request.into_parts();
        match &upstream.ring {
            None => {
                upstream
                    .send(&call, None, head, body.into(), &self.random)
                    .await
            }
            Some(ring) => {
                let memory = call.memory.take();
                Box::pin(upstream.send_with_a_key(ring, &call, head, body, memory, &self.random))
                    .await
            }
        }
    }
}

impl Upstream {
    /// Sends a call with one of the keys, and with another when that is refused.
    async fn send_with_a_key(
        &self,
        ring: &Ring,
        call: &Call,
        mut head: Parts,
        body: RequestBody,
        memory: Option<Memory>,
        random: &RefCell<fastrand::Rng>,
    ) -> Result<Response<AnswerBody>, UpstreamError> {
        let asked = Asked {
            model: call.model.as_deref(),
            is_batch: is_batch(call.target.path()),
        };
        let mut key = ring.first(asked, &mut random.borrow_mut())?;
        let mut bodies = Bodies::of(ring, body, memory, &mut head).await?;
        let mut tried = Places::NONE;
        loop {
            tried = tried.with(key.place);
            let answer = match key.prepare(asked, &call.target, bodies.hash()).await {
                Err(error) => Err(self.noted(error)),
                Ok(prepared) => {
                    let body = bodies.next().ok_or(UpstreamError::NoKey)?;
                    let sent = self.send(call, Some(&prepared), head.clone(), body, random);
                    let answer = sent.await?;
                    if !key.note(answer.status(), answer.headers()) {
                        return Ok(answer);
                    }
                    Ok(answer)
                }
            };
            let another = ring.another(asked, tried, &mut random.borrow_mut());
            match another.filter(|_| bodies.is_there()) {
                Some(another) => key = another,
                None => return answer,
            }
        }
    }

    /// Sends a call to one of the servers, and to the next when no connection to it can be made.
    async fn send(
        &self,
        call: &Call,
        key: Option<&Prepared>,
        mut head: Parts,
        mut body: Payload,
        random: &RefCell<fastrand::Rng>,
    ) -> Result<Response<AnswerBody>, UpstreamError> {
        let mut tried = Places::NONE;
        let mut was_refused = false;
        loop {
            let chosen = self.choose(tried, &mut random.borrow_mut());
            tried = tried.with(chosen.place);
            let has_another = self.has_another(tried);
            let may_be_refused = self.plan.protocol == UpstreamProtocol::Http2 && !was_refused;
            let spare = (has_another || may_be_refused).then(|| head.clone());
            let progress = body.progress();
            let (lent, back) = match &spare {
                Some(_) => Lent::with_return(body),
                None => (Lent::for_good(body), None),
            };
            let request = chosen.server.address(&self.plan, call, key, head, lent);
            let sent = self.call(&chosen, call, request, &progress, was_refused);
            let unanswered = match sent.await {
                Ok(answer) => return Ok(answer),
                Err(unanswered) => unanswered,
            };
            match unanswered.again {
                Again::Elsewhere if has_another => {}
                Again::Once if may_be_refused => {
                    was_refused = true;
                    if !has_another {
                        tried = Places::NONE;
                    }
                }
                _ => return Err(unanswered.why),
            }
            let (Some(spare), Some(back)) = (spare, back) else {
                return Err(unanswered.why);
            };
            let Some(returned) = back.returned().await else {
                return Err(unanswered.why);
            };
            (head, body) = (spare, returned);
            self.metrics.tried_elsewhere();
        }
    }

    /// The server for a call that was tried on `tried`; there must be another.
    fn choose(&self, tried: Places, random: &mut fastrand::Rng) -> Chosen<'_> {
        let now = Instant::now();
        let chosen = |place: usize| {
            let server = &self.servers[place];
            let entry = server.health.enter(&self.plan.health, now);
            Chosen {
                place,
                server,
                entry,
            }
        };
        if let [_] = &*self.servers {
            return chosen(0);
        }
        let burden = |place: usize| Burden {
            weight: self.servers[place].place.weight,
            calls: self.servers[place].health.calls(),
        };
        let those = |is_in: &dyn Fn(&Server) -> bool| {
            let is_in = |place: usize| !tried.has(place) && is_in(&self.servers[place]);
            Places::those(self.servers.len(), is_in)
        };
        let well = those(&|server| server.health.may_be_called(now));
        let place = draw(well, burden, random)
            // Rather one that may fail than a call that must.
            .or_else(|| draw(those(&|_| true), burden, random));
        chosen(place.unwrap_or(0))
    }

    /// Whether a call that went to these may go to one more.
    fn has_another(&self, tried: Places) -> bool {
        let tried = usize::try_from(tried.count()).unwrap_or(usize::MAX);
        tried < self.servers.len().min(self.plan.limits.connect_attempts)
    }

    /// Sends a call to the chosen server, on a new connection if it must be `apart`, and notes what became of it.
    async fn call(
        &self,
        chosen: &Chosen<'_>,
        call: &Call,
        request: Request<Lent>,
        progress: &Progress,
        apart: bool,
    ) -> Result<Response<AnswerBody>, Unanswered> {
        let server = chosen.server;
        let busy = (self.servers.len() > 1).then(|| server.health.begin());
        let started = Instant::now();
        let late = body::lateness(progress, self.plan.limits.head_timeout);
        let answer = tokio::select! {
            // An answer that is there is never late.
            biased;
            answer = server.pool_for(call).send(request, apart) => answer,
            () = late => Err(UpstreamError::HeadTimeout.into()),
        };
        match answer {
            Ok((answer, stream)) => {
                server.health.answered(chosen.entry);
                self.judge(server, call, &answer)?;
                self.metrics.answered(started.elapsed());
                Ok(answer.map(|incoming| AnswerBody::new(incoming, busy, stream)))
            }
            // The caller's side may be what broke, too.
            Err(Unanswered {
                why: UpstreamError::Broken(cause) | UpstreamError::Tls(cause),
                ..
            }) if progress.is_broken() => Err(progress.blame(cause).into()),
            Err(unanswered) => {
                if unanswered.why.is_of_its_server() {
                    let now = Instant::now();
                    server.health.failed(chosen.entry, &self.plan.health, now);
                }
                self.note(&unanswered.why);
                Err(unanswered)
            }
        }
    }

    /// Whether an answer can be handed on.
    fn judge(
        &self,
        server: &Server,
        call: &Call,
        answer: &Response<Incoming>,
    ) -> Result<(), UpstreamError> {
        let asked = call.handshake.as_ref();
        let error = if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            if asked.is_some_and(|asked| asked.is_answered_by(answer.headers())) {
                return Ok(());
            }
            UpstreamError::UnaskedUpgrade
        } else if framing::is_sound(answer.headers()) {
            return Ok(());
        } else {
            // What its connection holds now is anybody's guess.
            server.pool_for(call).forget();
            UpstreamError::Framing
        };
        self.note(&error);
        Err(error)
    }

    /// The same error, counted.
    fn noted(&self, error: UpstreamError) -> UpstreamError {
        self.note(&error);
        error
    }

    fn note(&self, error: &UpstreamError) {
        if let Some(failure) = error.failure() {
            self.metrics.failed(failure);
        }
        if let UpstreamError::Tls(_) = error {
            self.tell_of_tls(error);
        }
    }

    fn tell_of_tls(&self, error: &UpstreamError) {
        let now = Instant::now();
        let is_told = self.told.get().is_some_and(|told| now < told + TELL_EVERY);
        if !is_told {
            self.told.set(Some(now));
            let error = chain(error);
            tracing::error!(upstream = self.plan.name, %error, "an upstream cannot be called");
        }
    }
}

/// The bodies of a call's attempts: the caller's own and its copies, or one that was read whole.
struct Bodies {
    first: Option<Payload>,
    copy: Option<BodyCopy>,
    whole: Option<(Whole, String)>,
}

impl Bodies {
    /// What is sent of `body`. One that must be signed is read whole, and `head` then says how long it is.
    async fn of(
        ring: &Ring,
        body: RequestBody,
        memory: Option<Memory>,
        head: &mut Parts,
    ) -> Result<Self, UpstreamError> {
        let (most, memory) = match (ring.signed_bytes(), memory) {
            (Some(most), Some(memory)) => (most, memory),
            (_, memory) => {
                let copy = memory.map(|memory| BodyCopy::new(ring.sent_again_bytes(), memory));
                let first = Payload::Caller {
                    body,
                    copy: copy.clone(),
                };
                return Ok(Self {
                    first: Some(first),
                    copy,
                    whole: None,
                });
            }
        };
        let whole = Whole::read(body, most, memory).await?;
        head.headers.remove(TRANSFER_ENCODING);
        if whole.bytes() > 0 {
            let length = HeaderValue::from(whole.bytes());
            head.headers.insert(CONTENT_LENGTH, length);
        }
        let hash = hash(whole.parts());
        Ok(Self {
            first: None,
            copy: None,
            whole: Some((whole, hash)),
        })
    }

    /// The hash of what is sent, where that is read whole.
    fn hash(&self) -> Option<&str> {
        self.whole.as_ref().map(|(_, hash)| &**hash)
    }

    /// Whether there is a body for another attempt.
    fn is_there(&self) -> bool {
        let copied = || self.copy.as_ref().is_some_and(BodyCopy::is_whole);
        self.first.is_some() || self.whole.is_some() || copied()
    }

    /// The body of the next attempt.
    fn next(&mut self) -> Option<Payload> {
        if let Some((whole, _)) = &self.whole {
            return Some(whole.again());
        }
        let again = || self.copy.as_ref().and_then(BodyCopy::again);
        self.first.take().or_else(again)
    }
}

impl Server {
    fn new(
        plan: &UpstreamPlan,
        place: &UpstreamServer,
        fleet: &Fleet,
        executor: &impl Executor,
    ) -> Self {
        let pool = |protocol| {
            let to = Place::of(plan, place, protocol);
            Pool::new(&plan.limits, to, executor.clone())
        };
        let is_http2 = plan.protocol == UpstreamProtocol::Http2;
        Self {
            host: HeaderValue::from_str(place.authority.as_str())
                .expect("an authority is always a header value"),
            pool: pool(plan.protocol),
            websockets: is_http2.then(|| pool(UpstreamProtocol::Http1)),
            health: fleet.health(plan, place),
            place: place.clone(),
        }
    }

    /// Where a call's connections are.
    fn pool_for(&self, call: &Call) -> &Pool<Lent> {
        let websockets = self.websockets.as_ref();
        websockets
            .filter(|_| call.handshake.is_some())
            .unwrap_or(&self.pool)
    }

    /// Gives the request its absolute target, its version, its host and our credential.
    fn address(
        &self,
        plan: &UpstreamPlan,
        call: &Call,
        key: Option<&Prepared>,
        mut head: Parts,
        body: Lent,
    ) -> Request<Lent> {
        let host = self.host_for(plan.host, &head);
        let target = key.map_or(&call.target, Prepared::target).clone();
        if call.handshake.is_some() {
            aim(
                &mut head,
                &self.place,
                UpstreamProtocol::Http1,
                target,
                host,
            );
            Handshake::restore(&mut head.headers);
        } else {
            aim(&mut head, &self.place, plan.protocol, target, host);
        }
        match key {
            None => plan.credential.write(&mut head),
            Some(key) => key.write(&mut head),
        }
        Request::from_parts(head, body)
    }

    /// The one `Host` that goes on. A caller of HTTP/2 asks for its host in the target alone. An upstream that finds the
    /// model by it is sent the form that was decided on, so that it cannot find another (SECURITY S5).
    fn host_for(&self, header: HostHeader, request: &Parts) -> HeaderValue {
        let asked = || {
            let named = request
                .headers
                .get(HOST)
                .and_then(|host| host.to_str().ok());
            let in_target = || request.uri.authority().map(Authority::as_str);
            let host = RequestHost::parse(named.or_else(in_target)?)?;
            HeaderValue::try_from(host.canonical()).ok()
        };
        match header {
            HostHeader::Upstream => self.host.clone(),
            HostHeader::Caller => asked().unwrap_or_else(|| self.host.clone()),
        }
    }
}
