//! The data listener: the life of a request, from top to bottom.
//!
//! [`Proxy::handle`] answers every request: it is admitted (`admission`), made ready (`prepare`) and sent to an upstream,
//! and answered (`answer`, `relay`). No path leads to an upstream but through [`LocalGrant::permit`], which alone
//! makes the [`Permit`] that [`Upstreams::send`] takes. What is decided on is what is forwarded:
//! the path and the host are compared raw, and a head that can be read in two ways is refused.
//!
//! [`LocalGrant::permit`]: crate::key::LocalGrant::permit

mod access;
mod admission;
mod answer;
mod config;
mod door;
mod example;
mod grpc;
mod in_flight;
mod last_words;
mod noted;
mod prepare;
mod rejection;
mod relay;
mod shown;
mod streams;
mod target;
mod trace;
mod tunnel;
mod witness;

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, Method, StatusCode};
use http_body::Body;

pub use access::{AccessLog, AccessRules};
pub use answer::Answer;
pub use config::{CallsOfEndedKeys, Forwarded, LimitsConfig, ProxyConfig};
pub use door::{AskedBy, ForwardAuthConfig, Network, NotANetwork};
pub use in_flight::{ConnectionLoad, InFlight, Shortage, WorkerLoad};
pub use prepare::Peer;
pub use rejection::{Prepared, RefusalLog, Rejection};
pub use relay::ProxyBody;
pub use shown::Unfilterable;
pub use streams::OpenStreams;
pub use trace::Trace;
pub use tunnel::Tunnel;

use crate::cache::WorkerFront;
use crate::clock::Clock;
use crate::credential::CredentialLocations;
use crate::http1::write_field;
use crate::key::{Permit, UnixTime};
use crate::message::{Fields, RequestHead, Response};
use crate::route::{BodyRules, RouteTable};
use crate::telemetry::metrics::ProxyMetrics;
use crate::telemetry::refusals::RefusalTap;
use crate::upstream::{
    Call, CallerBody, Handshake, HeldBodies, Memory, RequestBody, TrailerFilter, Upstreams,
};
use crate::usage::UsageRecorder;
use access::Told;
use admission::Admitted;
use answer::{Manner, Passed, Refusal, outcome};
use prepare::{clean, filter_trailers, forward_for, forward_target, introduce, put};
use relay::{Answered, Relayed};
use shown::Shown;
use streams::unless_ended;
use trace::IdMaker;
use witness::Witness;

/// What the settings say about the data listener, checked and complete; shared by every worker.
pub struct ProxyPlan {
    /// Where requests may go.
    pub routes: Arc<RouteTable>,
    /// Where a caller's key may sit.
    pub locations: CredentialLocations,
    /// What becomes of the `x-forwarded-*` headers.
    pub forwarded: Forwarded,
    /// What becomes of calls under way when their keys end.
    pub calls_of_ended_keys: CallsOfEndedKeys,
    /// What a caller may take.
    pub limits: LimitsConfig,
    /// How bodies are read.
    pub bodies: BodyRules,
    /// Where another proxy asks.
    pub door: Option<ForwardAuthConfig>,
    /// What is told of calls, where a log of them is kept.
    pub access: AccessRules,
}

/// The data listener's decisions, as one worker makes them. Not shared between threads.
pub struct Proxy {
    plan: Arc<ProxyPlan>,
    keys: Rc<WorkerFront>,
    usage: UsageRecorder,
    upstreams: Upstreams,
    held: HeldBodies,
    trailers: TrailerFilter,
    load: WorkerLoad,
    open: OpenStreams,
    access: Option<Rc<AccessLog>>,
    refusal_log: Rc<RefusalLog>,
    metrics: ProxyMetrics,
    refusals: RefusalTap,
    now: Clock,
    ids: IdMaker,
    /// How many calls were let through.
    let_through: Cell<u32>,
}

/// How long it took to let a call through is measured for one in so many: the clock is read once more for it. A prime, with which
/// callers who take turns are not in step.
const MEASURED_OF: u32 = 17;

/// How many bytes the lines mostly have that say who calls, and name the request.
const USUAL_LINES: usize = 512;

impl Proxy {
    /// The decisions of one worker. `seed` is random: request ids are made under it.
    #[must_use]
    #[expect(
        clippy::too_many_arguments,
        reason = "the wiring of a worker, once, in one place"
    )]
    pub fn new(
        plan: Arc<ProxyPlan>,
        keys: Rc<WorkerFront>,
        usage: UsageRecorder,
        upstreams: Upstreams,
        held: HeldBodies,
        load: WorkerLoad,
        open: OpenStreams,
        access: Option<Rc<AccessLog>>,
        refusal_log: Rc<RefusalLog>,
        metrics: ProxyMetrics,
        refusals: RefusalTap,
        now: Clock,
        seed: u64,
    ) -> Self {
        let trailers = {
            let plan = Arc::clone(&plan);
            Arc::new(move |trailers: &mut HeaderMap| filter_trailers(trailers, &plan.locations))
        };
        Self {
            plan,
            keys,
            usage,
            upstreams,
            held,
            trailers,
            load,
            open,
            access,
            refusal_log,
            metrics,
            refusals,
            now,
            ids: IdMaker::new(seed),
            let_through: Cell::new(0),
        }
    }

    /// Answers one request, and says what names it, which is still to be written on the answer. It cannot fail: every path
    /// below ends in a response.
    ///
    /// If the caller goes away the future is dropped: before the call is sent nothing has happened but the note of the
    /// key's use; after it, the upstream's connection is closed. No state of ours needs undoing.
    pub async fn handle(
        &self,
        head: Box<RequestHead>,
        body: CallerBody,
        peer: Peer,
        connection: &ConnectionLoad,
    ) -> (Answer, Trace) {
        let started = self.now.elapsed_at_turn();
        let mut trace = Trace::of(&head.headers, &self.ids);
        let mut told = self.tell_of(&head, peer, &mut trace, started);
        let witness = Witness::of(&trace, &self.metrics);
        let door = self.plan.door.as_ref();
        let door = door.filter(|door| door.is_asked(&head.uri, peer.address));
        let manner = Manner::of(&head, door);

        let (place, result) = match self.load.enter(connection) {
            Ok(place) => match door {
                None => {
                    let passed =
                        self.admit_and_forward(head, body, peer, &trace, &mut told, started);
                    (place, passed.await)
                }
                Some(door) => {
                    let decided = self.decide(&head, body, door, &mut told, started);
                    (place, decided.await)
                }
            },
            Err(place) => {
                let refusal = self.refusal(Rejection::Overloaded, None, &head, body);
                (place, Err(refusal))
            }
        };

        // As of the turn in which its answer came; nothing, where that is the one in which it came itself.
        let took = self.now.elapsed_at_turn().saturating_sub(started);
        let outcome = outcome(&result);
        self.metrics.answered(outcome, took);
        let mut answer = self.answer(result, &manner, place, connection, &trace);
        trace.make_way(&mut answer.response.headers);
        told.goes_with(&mut answer, outcome, took);
        drop(witness);
        (answer, trace)
    }

    /// Closes upstream connections that have been unused for too long. To be asked now and then.
    pub fn sweep(&self) {
        self.upstreams.sweep();
    }

    /// Answers a request that never became one: its head was refused before anything of it was understood. The names are still
    /// to be written on the answer.
    #[must_use]
    pub fn refuse_head(
        &self,
        why: Rejection,
        connection: &ConnectionLoad,
    ) -> (Response<ProxyBody>, Trace) {
        // Even one place too many is taken: it lasts no longer than the answer.
        let (Ok(place) | Err(place)) = self.load.enter(connection);
        let trace = Trace::of(&Fields::new(), &self.ids);
        let outcome = why.outcome();
        self.metrics.answered(outcome, Duration::ZERO);
        self.note(&why, None, None);
        self.refusal_log.tell(&why, &trace, &self.now);
        let told = self.tell_of_head(&trace);
        // Which route it was meant for is not known.
        let form = self.plan.routes.error_form(None, "");
        let mut answer = Answer {
            response: relay::answer(why.into_response(form, false), place),
            prepared: None,
            unread: None,
            tunnel: None,
        };
        told.goes_with(&mut answer, outcome, Duration::ZERO);
        (answer.response, trace)
    }

    async fn admit_and_forward(
        &self,
        head: Box<RequestHead>,
        body: CallerBody,
        peer: Peer,
        trace: &Trace,
        told: &mut Told,
        started: Duration,
    ) -> Result<Passed, Refusal> {
        let now = self.now.unix_time_at(started);
        let patience = grpc::timeout(&head);
        let stall = self.plan.limits.body_stall_timeout;
        let mut body = RequestBody::new(body, Arc::clone(&self.trailers), stall);
        told.reads(&body);

        let mut found = None;
        let admitted = self.admit(&head, Some(&mut body), now, told, &mut found);
        let admitted = match admitted.await {
            Ok(admitted) => admitted,
            Err(why) => {
                let refusal = self.refusal(why, found, &head, body.into_unread());
                return Err(refusal);
            }
        };
        self.measure(started + admitted.reading);
        self.remember(&admitted.permit, now);

        let gone = || self.now.elapsed_at_turn().saturating_sub(started);
        let left = patience.map(|all| all.saturating_sub(gone()));
        let route = admitted.route;
        let answered = match self.forward(head, body, admitted, peer, trace, left).await {
            Ok(answered) => answered,
            Err(why) => {
                self.note(&why, Some(route), None);
                return Err(Refusal {
                    why,
                    form: route.errors,
                    unread: None,
                });
            }
        };
        let is_switching = answered.response.status == StatusCode::SWITCHING_PROTOCOLS;
        Ok(if is_switching {
            Passed::Switching(answered)
        } else {
            Passed::Forwarded(answered)
        })
    }

    /// Tells how long it took since `started` to let a call through, for one in so many ([`MEASURED_OF`]).
    fn measure(&self, started: Duration) {
        let before = self.let_through.get();
        self.let_through.set(before.wrapping_add(1));
        if before.is_multiple_of(MEASURED_OF) {
            let took = self.now.elapsed().saturating_sub(started);
            self.metrics.admitted(took);
        }
    }

    /// Takes the caller's secret off, says who calls, and passes the call along: at once. What it gives waits for the upstream's
    /// head, no longer than what is `left` of the caller's patience, and no longer than the key may call, where that counts.
    fn forward<'p>(
        &'p self,
        mut head: Box<RequestHead>,
        body: RequestBody,
        admitted: Admitted<'p>,
        peer: Peer,
        trace: &Trace,
        left: Option<Duration>,
    ) -> impl Future<Output = Result<Answered, Rejection>> + use<'p> {
        let Admitted {
            permit,
            route,
            path,
            model,
            asked,
            host,
            watched,
            ..
        } = admitted;
        let has_body = !body.is_end_stream();
        let handshake = Handshake::of(&head, has_body);
        self.plan.locations.remove(&mut head);
        clean(&mut head);
        forward_for(&mut head.headers, peer, host);
        trace.make_way(&mut head.headers);
        let takes_lines = self.upstreams.takes_lines(route.upstream);
        let mut joins = Vec::with_capacity(if takes_lines { USUAL_LINES } else { 0 });
        let say = |name: &HeaderName, value: &[u8]| {
            if takes_lines {
                write_field(name, value, &mut joins);
            } else {
                put(&mut head.headers, name, value);
            }
        };
        introduce(permit.grant().identity(), model.as_ref(), say);
        if takes_lines {
            trace.write_lines(&mut joins);
        } else {
            trace.write(&mut head.headers);
        }
        let shown = Shown::of(route, permit.grant());
        if let Some(shown) = &shown {
            shown.ask(&mut head.headers);
        }

        let call = Call {
            to: route.upstream,
            target: forward_target(&head.uri, path),
            joins,
            // Of what is said there nothing could be cut.
            handshake: handshake.filter(|_| shown.is_none()),
            memory: self.upstreams.has_keys(route.upstream).then(|| Memory {
                share: self.held.share(),
                all_bytes: self.plan.limits.held_bodies_bytes,
            }),
            model: asked,
        };
        let is_head = head.method == Method::HEAD;
        // A place of its own: in ours it would be moved with all that is around it, again and again, and what is refused
        // has no use for it.
        let mut sent = Box::pin(self.upstreams.send(permit, call, head, body));
        async move {
            let answered = pin!(async {
                let response = grpc::within(left, sent.as_mut()).await?;
                match (response.map_err(Rejection::Upstream)?, shown) {
                    (response, None) => Ok(response.map(Relayed::AsItCame)),
                    (response, Some(shown)) => {
                        let limits = self.plan.limits.of_lists();
                        Box::pin(shown.cut(response, is_head, limits, &self.held)).await
                    }
                }
            });
            Ok(Answered {
                response: unless_ended(watched.as_deref(), answered).await?,
                form: route.errors,
                watched,
            })
        }
    }

    /// Notes that a key was used.
    fn remember(&self, permit: &Permit, now: UnixTime) {
        self.usage.touch(permit, now);
        if permit.grant().is_old_text() {
            self.metrics.old_text_used();
        }
    }
}
