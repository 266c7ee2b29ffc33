//! One call's attempts: which key it is given, which server it goes to, and what becomes of it there.

use std::cell::{Cell, RefCell};
use std::mem;
use std::time::Duration;

use futures_util::future::Either;
use http::StatusCode;
use tokio::time::Instant;

use super::balance::{Burden, Places, draw};
use super::bodies::Bodies;
use super::deadline::HeadDeadline;
use super::health::{Busy, Entry};
use super::keys::{Asked, Prepared, Ring, is_batch};
use super::lent::Outbound;
use super::payload::Memory;
use super::pool::{Lease, Pool, Unanswered};
use super::server::Server;
use super::{
    AnswerBody, AnswerSource, Call, Executor, Fleet, RequestBody, UpstreamError, UpstreamPlan,
    UpstreamProtocol, framing,
};
use crate::clock::turn;
use crate::message::{RequestHead, Response};
use crate::telemetry::chain;
use crate::telemetry::metrics::UpstreamMetrics;

/// One upstream, as one worker reaches it.
pub(super) struct Upstream {
    plan: UpstreamPlan,
    servers: Vec<Server>,
    /// There when it has keys.
    ring: Option<Ring>,
    metrics: UpstreamMetrics,
    /// When the log was last told that there is no TLS.
    told: Cell<Option<Instant>>,
}

/// The one that a call goes to.
struct Chosen<'u> {
    place: usize,
    server: &'u Server,
    entry: Entry,
    /// It counts the call, where there are others to compare with.
    busy: Option<Busy>,
}

/// A call that was not answered.
struct Failed {
    why: UpstreamError,
    /// The whole request, when there was no connection for it.
    unsent: Option<Box<Outbound>>,
}

/// What was sent may have been read.
impl From<UpstreamError> for Failed {
    fn from(why: UpstreamError) -> Self {
        Self { why, unsent: None }
    }
}

/// Gives a request to a connection, and to another when it was a kept one that turns out to have ended.
async fn exchange(
    pool: &Pool,
    mut lease: Lease,
    mut request: Box<Outbound>,
    deadline: &HeadDeadline,
) -> Result<Response<AnswerSource>, Failed> {
    loop {
        let was_kept = lease.was_kept();
        request = match lease.send(request, deadline).await {
            Ok(answer) => return Ok(answer),
            Err(Unanswered::Unsent(unsent, _)) if was_kept => unsent,
            Err(Unanswered::Unsent(_, error) | Unanswered::Broken(error)) => {
                return Err(error.into());
            }
        };
        lease = match pool.reach(false, Instant::now()).await {
            Ok(lease) => lease,
            Err(error) => {
                let (why, unsent) = (error.into(), Some(request));
                return Err(Failed { why, unsent });
            }
        };
    }
}

/// How often the log is told, by each worker: a certificate is wrong for every call, and somebody has to act.
const TELL_EVERY: Duration = Duration::from_mins(1);

impl Upstream {
    pub(super) fn new(
        plan: &UpstreamPlan,
        fleet: &Fleet,
        metrics: UpstreamMetrics,
        executor: &impl Executor,
    ) -> Self {
        let servers = plan.servers.iter();
        let servers = servers.map(|server| Server::new(plan, server, fleet, executor));
        Self {
            servers: servers.collect(),
            ring: Ring::of(plan, fleet.keys()),
            metrics,
            told: Cell::new(None),
            plan: plan.clone(),
        }
    }

    pub(super) const fn ring(&self) -> Option<&Ring> {
        self.ring.as_ref()
    }

    /// Whether a head is sent in lines, and needs no table of its own for each attempt.
    pub(super) fn takes_lines(&self) -> bool {
        self.ring.is_none() && self.plan.protocol == UpstreamProtocol::Http1
    }

    /// Closes connections that have been unused for too long.
    pub(super) fn sweep(&self) {
        for server in &self.servers {
            server.sweep();
        }
    }

    /// Sends a call, with one of the keys if there are any.
    pub(super) fn answer(
        &self,
        mut call: Call,
        head: Box<RequestHead>,
        body: RequestBody,
        random: &RefCell<fastrand::Rng>,
    ) -> impl Future<Output = Result<Response<AnswerBody>, UpstreamError>> {
        match &self.ring {
            None => {
                let mut request = Outbound::new(head, body.into());
                request.joins = mem::take(&mut call.joins);
                Either::Left(async move { self.send(&call, None, request, random).await })
            }
            Some(ring) => {
                debug_assert!(call.joins.is_empty(), "each attempt has a table of its own");
                let memory = call.memory.take();
                Either::Right(Box::pin(async move {
                    let answered = self.send_with_a_key(ring, &call, head, body, memory, random);
                    answered.await
                }))
            }
        }
    }

    /// Sends a call with one of the keys, and with another when that is refused.
    async fn send_with_a_key(
        &self,
        ring: &Ring,
        call: &Call,
        mut head: Box<RequestHead>,
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
                    let request = Outbound::new(head.clone(), body);
                    let sent = self.send(call, Some(&prepared), request, random);
                    let answer = sent.await?;
                    if !key.note(answer.status, &answer.headers) {
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
        mut request: Box<Outbound>,
        random: &RefCell<fastrand::Rng>,
    ) -> Result<Response<AnswerBody>, UpstreamError> {
        let mut tried = Places::NONE;
        let mut was_refused = false;
        loop {
            let now = turn::now();
            let chosen = self.choose(tried, now, &mut random.borrow_mut());
            tried = tried.with(chosen.place);
            let has_another = self.has_another(tried);
            let lease = match chosen.server.pool_for(call).reach(was_refused, now).await {
                Ok(lease) => lease,
                Err(error) => {
                    let why = self.failed(&chosen, error.into());
                    if !has_another {
                        return Err(why);
                    }
                    self.metrics.tried_elsewhere();
                    continue;
                }
            };
            let may_be_refused = self.plan.protocol == UpstreamProtocol::Http2 && !was_refused;
            let spare = may_be_refused.then(|| {
                let back = request.body.with_return();
                (request.head.clone(), back)
            });
            let (plan, head) = (&self.plan, &mut request.head);
            chosen.server.address(plan, call, key, head);
            // To make a connection takes time that is not the call's.
            let started = if lease.was_kept() {
                now
            } else {
                Instant::now()
            };
            let failed = match self.call(chosen, call, lease, request, started).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            request = match (failed.unsent, spare) {
                (Some(unsent), _) if has_another => unsent,
                (None, Some((head, back))) if failed.why.is_refusal() => {
                    was_refused = true;
                    if !has_another {
                        tried = Places::NONE;
                    }
                    let body = back.returned().await.ok_or(failed.why)?;
                    Outbound::new(head, body)
                }
                _ => return Err(failed.why),
            };
            self.metrics.tried_elsewhere();
        }
    }

    /// The server for a call at `now` that was tried on `tried`; there must be another.
    fn choose(&self, tried: Places, now: Instant, random: &mut fastrand::Rng) -> Chosen<'_> {
        let chosen = |place: usize| {
            let server = &self.servers[place];
            Chosen {
                place,
                server,
                entry: server.health.enter(&self.plan.health, now),
                busy: (self.servers.len() > 1).then(|| server.health.begin()),
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

    /// Sends a call to the chosen server, and notes what became of it, and how long after it `started`.
    fn call<'u>(
        &'u self,
        chosen: Chosen<'u>,
        call: &'u Call,
        lease: Lease,
        request: Box<Outbound>,
        started: Instant,
    ) -> impl Future<Output = Result<Response<AnswerBody>, Failed>> {
        let server = chosen.server;
        let deadline = HeadDeadline::new(&request.body, self.plan.limits.head_timeout);
        // Not an `async fn`, which has its arguments in it twice.
        async move {
            let answer = exchange(server.pool_for(call), lease, request, &deadline).await;
            let progress = deadline.progress();
            match answer {
                Ok(answer) => {
                    server.health.answered(chosen.entry);
                    self.judge(server, call, &answer)?;
                    self.metrics.answered(turn::now().duration_since(started));
                    Ok(answer.map(|source| AnswerBody::new(source, chosen.busy)))
                }
                // The caller's side may be what broke, too.
                Err(Failed {
                    why: UpstreamError::Broken(cause) | UpstreamError::Tls(cause),
                    ..
                }) if progress.is_broken() => Err(progress.blame(cause).into()),
                Err(Failed { why, unsent }) => {
                    let why = self.failed(&chosen, why);
                    Err(Failed { why, unsent })
                }
            }
        }
    }

    /// The same error, noted.
    fn failed(&self, chosen: &Chosen<'_>, error: UpstreamError) -> UpstreamError {
        if error.is_of_its_server() {
            let (health, now) = (&chosen.server.health, Instant::now());
            health.failed(chosen.entry, &self.plan.health, now);
        }
        self.noted(error)
    }

    /// Whether an answer can be handed on.
    fn judge(
        &self,
        server: &Server,
        call: &Call,
        answer: &Response<AnswerSource>,
    ) -> Result<(), UpstreamError> {
        let asked = call.handshake.as_ref();
        let error = if answer.status == StatusCode::SWITCHING_PROTOCOLS {
            if asked.is_some_and(|asked| asked.is_answered_by(&answer.headers)) {
                return Ok(());
            }
            UpstreamError::UnaskedUpgrade
        } else if framing::is_sound(&answer.headers) {
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
