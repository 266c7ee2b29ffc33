//! The data listener: the life of a request, from top to bottom.
//!
//! [`Proxy::handle`] answers every request. No path leads to an upstream but through [`Grant::permit`], which alone
//! makes the [`Permit`] that [`Upstreams::send`] takes. What is decided on is what is forwarded:
//! the path and the host are compared raw, and a head that can be read in two ways is refused.
//!
//! [`Grant::permit`]: crate::key::Grant::permit

mod config;
mod door;
mod grpc;
mod in_flight;
mod last_words;
mod prepare;
mod rejection;
mod relay;
mod shown;
mod streams;
mod target;
mod trace;
mod tunnel;
mod witness;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

pub use config::{CallsOfEndedKeys, Forwarded, LimitsConfig, ProxyConfig};
pub use door::{AskedBy, ForwardAuthConfig, Network, NotANetwork};
pub use in_flight::{ConnectionLoad, InFlight, Shortage, WorkerLoad};
pub use prepare::Peer;
pub use rejection::Rejection;
pub use relay::ProxyBody;
pub use shown::Unfilterable;
pub use streams::OpenStreams;
pub use tunnel::Tunnel;

use crate::cache::WorkerFront;
use crate::clock::Clock;
use crate::credential::{CredentialLocations, Reading};
use crate::key::{Denial, Grant, NamedModel, Permit, UnixTime};
use crate::route::{BodyRules, ErrorForm, Forward, Matched, Route, RouteTable};
use crate::telemetry::metrics::{ProxyMetrics, RequestOutcome};
use crate::upstream::{
    Call, Handshake, HeldBodies, HoldLimits, Memory, RequestBody, TrailerFilter, Upstreams,
};
use crate::usage::UsageRecorder;
use prepare::{
    clean, filter_trailers, forward_for, forward_target, frame, introduce, model_header,
};
use rejection::log_refusal;
use relay::{Answered, Relayed};
use shown::Shown;
use streams::{Purpose, Stream, unless_ended};
use target::Target;
use trace::{IdMaker, Trace};
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
    metrics: ProxyMetrics,
    now: Clock,
    ids: IdMaker,
}

/// An answer, and what of the request was left unread by it.
pub struct Answer {
    /// The answer itself.
    pub response: Response<ProxyBody>,
    /// The body of a request that was refused early. Reading it away keeps the connection usable; dropping it closes
    /// the connection. Never is it read as the next request (SECURITY F8).
    pub unread: Option<Incoming>,
    /// The WebSocket that begins once the answer, a 101, is written: to be run until it ends.
    pub tunnel: Option<Tunnel>,
}

/// A refusal before anything was sent, the form its caller expects, and the body nobody has read.
struct Refusal {
    why: Rejection,
    form: ErrorForm,
    unread: Option<Incoming>,
}

/// What becomes of a request that is not refused.
enum Passed {
    /// The upstream answered.
    Forwarded(Answered),
    /// The upstream agreed to speak WebSocket, on this connection of the caller's.
    Switching(Answered, OnUpgrade),
    /// It was a question, and the answer is yes.
    Allowed(Response<Bytes>, Incoming),
}

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
        metrics: ProxyMetrics,
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
            metrics,
            now,
            ids: IdMaker::new(seed),
        }
    }

    /// Answers one request. It cannot fail: every path below ends in a response.
    ///
    /// If the caller goes away the future is dropped: before the call is sent nothing has happened but the note of the
    /// key's use; after it, the upstream's connection is closed. No state of ours needs undoing.
    pub async fn handle(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        connection: &ConnectionLoad,
    ) -> Answer {
        let started = self.now.elapsed();
        let trace = Trace::of(request.headers(), &self.ids);
        let _witness = Witness::of(&trace, &self.metrics);
        let door = self.plan.door.as_ref();
        let door = door.filter(|door| door.is_asked(request.uri(), peer.address));
        // Whoever asks for another reads statuses: 200 is a yes.
        let is_grpc = door.is_none() && grpc::is_grpc(&request);
        let expects_continue = request.headers().contains_key(EXPECT);
        let version = request.version();

        let (place, result) = match self.load.enter(connection) {
            Ok(place) => match door {
                None => (
                    place,
                    self.admit_and_forward(request, peer, &trace, is_grpc).await,
                ),
                Some(door) => (place, self.decide(request, door).await),
            },
            Err(place) => {
                let (parts, body) = request.into_parts();
                let refusal = self.refusal(Rejection::Overloaded, &parts, body);
                (place, Err(refusal))
            }
        };

        let took = self.now.elapsed().saturating_sub(started);
        let mut answer = match result {
            Ok(Passed::Allowed(response, body)) => {
                self.metrics.answered(RequestOutcome::Allowed, took);
                Answer {
                    response: relay::answer(response, place),
                    unread: Some(body),
                    tunnel: None,
                }
            }
            Ok(Passed::Switching(answered, caller)) => {
                self.metrics.answered(RequestOutcome::Forwarded, took);
                connection.hand_over();
                let (limits, metrics) = (&self.plan.limits, self.metrics.clone());
                let (head, tunnel) = Tunnel::after(answered, caller, limits, metrics, place);
                Answer {
                    response: relay::switch(head),
                    unread: None,
                    tunnel: Some(tunnel),
                }
            }
            Ok(Passed::Forwarded(answered)) => {
                self.metrics.answered(RequestOutcome::Forwarded, took);
                let idle = self.plan.limits.stream_idle_timeout;
                Answer {
                    response: relay::relay(answered, is_grpc, place, idle),
                    unread: None,
                    tunnel: None,
                }
            }
            Err(Refusal { why, form, unread }) => {
                self.metrics.answered(why.outcome(), took);
                log_refusal(&why, &trace);
                let ends_connection = why.ends_connection() || expects_continue;
                let mut response = relay::answer(why.into_response(form, is_grpc), place);
                if let Some(door) = door {
                    *response.status_mut() = door.status(response.status());
                }
                // Nobody reads a body that waits for our 100 (Continue): it is the caller's to keep it back, and the
                // connection's end tells it so (RFC 9110, 10.1.1).
                let unread = unread.filter(|_| !expects_continue);
                if ends_connection && version <= Version::HTTP_11 {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(CONNECTION, close);
                }
                Answer {
                    response,
                    unread,
                    tunnel: None,
                }
            }
        };
        trace.write(answer.response.headers_mut());
        answer
    }

    /// Answers a request that never became one: its head was refused before anything of it was understood.
    #[must_use]
    pub fn refuse_head(&self, why: Rejection, connection: &ConnectionLoad) -> Response<ProxyBody> {
        // Even one place too many is taken: it lasts no longer than the answer.
        let (Ok(place) | Err(place)) = self.load.enter(connection);
        let trace = Trace::of(&HeaderMap::new(), &self.ids);
        self.metrics.answered(why.outcome(), Duration::ZERO);
        log_refusal(&why, &trace);
        // Which route it was meant for is not known.
        let form = self.plan.routes.error_form(None, "");
        let mut response = relay::answer(why.into_response(form, false), place);
        trace.write(response.headers_mut());
        response
    }

    async fn admit_and_forward(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        trace: &Trace,
        is_grpc: bool,
    ) -> Result<Passed, Refusal> {
        let started = self.now.elapsed();
        let now = self.now.unix_time();
        let (mut parts, body) = request.into_parts();
        let patience = grpc::timeout(&parts.headers).filter(|_| is_grpc);
        let stall = self.plan.limits.body_stall_timeout;
        let mut body = RequestBody::new(body, Arc::clone(&self.trailers), stall);

        let admitted = match self.admit(&parts, Some(&mut body), now).await {
            Ok(admitted) => admitted,
            Err(why) => return Err(self.refusal(why, &parts, body.into_unread())),
        };
        let Admitted {
            permit,
            route,
            path,
            model,
            asked,
            host,
            reading,
            watched,
        } = admitted;
        let took = self.now.elapsed().saturating_sub(started);
        self.metrics.admitted(took.saturating_sub(reading));
        self.remember(&permit, now);

        // Take the caller's secret off, say who calls, pass the call along.
        let handshake = Handshake::of(&parts, !body.is_end_stream());
        let caller = parts.extensions.remove::<OnUpgrade>();
        self.plan.locations.remove(&mut parts);
        clean(&mut parts);
        frame(&mut parts.headers, !body.is_end_stream());
        introduce(&mut parts.headers, permit.grant().identity(), model);
        forward_for(&mut parts.headers, peer, host);
        trace.write(&mut parts.headers);
        let shown = Shown::of(route, permit.grant());
        if let Some(shown) = &shown {
            shown.ask(&mut parts.headers);
        }
        let is_head = parts.method == Method::HEAD;
        let target = forward_target(&parts.uri, path);
        let request = Request::from_parts(parts, body);
        let call = Call {
            to: route.upstream,
            target,
            // Of what is said there nothing could be cut.
            handshake: handshake.filter(|_| shown.is_none()),
            memory: self.upstreams.has_keys(route.upstream).then(|| Memory {
                share: self.held.share(),
                all_bytes: self.plan.limits.held_bodies_bytes,
            }),
            model: asked,
        };
        let left =
            patience.map(|all| all.saturating_sub(self.now.elapsed().saturating_sub(started)));
        let answered = async {
            let response = tokio::select! {
                // An answer that is there is never late.
                biased;
                response = self.upstreams.send(permit, call, request) => {
                    response.map_err(Rejection::Upstream)
                }
                () = grpc::passed(left) => Err(Rejection::Deadline),
            };
            match (response?, shown) {
                (response, None) => Ok(response.map(Relayed::AsItCame)),
                (response, Some(shown)) => {
                    let limits = self.plan.limits.of_lists();
                    Box::pin(shown.cut(response, is_head, limits, &self.held)).await
                }
            }
        };
        let response = unless_ended(watched.as_deref(), answered)
            .await
            .map_err(|why| Refusal {
                why,
                form: route.errors,
                unread: None,
            })?;
        let is_switching = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let answered = Answered {
            response,
            form: route.errors,
            watched,
        };
        Ok(match caller {
            Some(caller) if is_switching => Passed::Switching(answered, caller),
            _ => Passed::Forwarded(answered),
        })
    }

    /// Notes that a key was used.
    fn remember(&self, permit: &Permit, now: UnixTime) {
        self.usage.touch(permit, now);
        if permit.grant().is_old_text() {
            self.metrics.old_text_used();
        }
    }

    /// Decides whether a request may go on, and where to. Nothing is sent, and all is decided without waiting, but for a
    /// key that memory does not hold and for a model that must be read in the body. Who cannot show the body is refused
    /// where it must be read.
    async fn admit(
        &self,
        request: &Parts,
        body: Option<&mut RequestBody>,
        now: UnixTime,
    ) -> Result<Admitted<'_>, Rejection> {
        let plan = &*self.plan;

        // Where is this going?                                              400, 404, 405, 414, 431
        let target = Target::of(request, &plan.locations, &plan.limits)?;
        let mut matched = plan
            .routes
            .find(&request.method, target.host, target.path)?;

        // Who is calling?                                                   401
        let presented = match plan.locations.read(&request.headers, &request.uri) {
            Reading::Found(presented) => presented,
            Reading::Absent => return Err(Rejection::MissingKey),
            Reading::Malformed => return Err(Rejection::MalformedKey),
        };

        // Do we know this key? In memory, or once in the database.          401, 503
        let digest = presented.digest();
        let mut grant = self.keys.known_by(digest).await?;

        // Which model does it name, in the head?                            400
        matched
            .read_head(&request.headers, request.uri.query())
            .map_err(Rejection::Ambiguous)?;

        // And in the body, where it is a scoped key's, or decides what the upstream is shown?
        //                                                        400, 401, 403, 413, 415, 503
        let mut now = now;
        let mut reading = Duration::ZERO;
        let must_read = !grant.is_for_every_model();
        let upstream = matched.route.upstream;
        if matched.route.names_model_in_body()
            && (must_read || (body.is_some() && self.upstreams.needs_model(upstream)))
        {
            let body = body.ok_or(Rejection::Denied(Denial::ModelNotNamed))?;
            let begun = self.now.elapsed();
            Box::pin(self.read_model(request, body, &mut matched, &grant, now)).await?;
            reading = self.now.elapsed().saturating_sub(begun);
            // While the body came, the key may have changed.
            now = self.now.unix_time();
            grant = self.keys.known_by(digest).await?;
        }

        // May it call this model, now?                                      401, 403
        let purpose = Purpose::of(&matched.route.class);
        let permit = purpose.permit(&grant, matched.model(), now);
        let permit = permit.map_err(Rejection::Denied)?;

        Ok(Admitted {
            permit,
            route: matched.route,
            path: match &matched.forward {
                Forward::AsItCame => None,
                Forward::Rewritten(path) => Some(path.path_and_query(None)),
            },
            model: model_header(matched.model()),
            asked: match matched.model() {
                NamedModel::Named(model) if self.upstreams.has_keys(upstream) => {
                    Some(model.as_str().to_owned())
                }
                _ => None,
            },
            host: match plan.forwarded {
                Forwarded::Remove => None,
                Forwarded::Replace => HeaderValue::from_str(target.host.name()).ok(),
            },
            reading,
            // Nothing is awaited between the grant and this, so that no end of it is missed.
            watched: match plan.calls_of_ended_keys {
                CallsOfEndedKeys::GoOn => None,
                CallsOfEndedKeys::End => {
                    Some(self.open.watch(digest, grant, purpose, matched.model()))
                }
            },
        })
    }

    /// Reads the model in the body, for a key that may call whatever else the request names: nobody is asked to send a
    /// body that cannot go on (SECURITY P3).
    async fn read_model(
        &self,
        request: &Parts,
        body: &mut RequestBody,
        matched: &mut Matched<'_, '_>,
        grant: &Arc<Grant>,
        now: UnixTime,
    ) -> Result<(), Rejection> {
        let so_far = match matched.model() {
            NamedModel::NotNamed => NamedModel::NotNeeded,
            named => named,
        };
        grant.permit(so_far, now).map_err(Rejection::Denied)?;
        let limits = &self.plan.limits;
        let Some(scanner) = matched.scanner(&request.headers, &self.plan.bodies)? else {
            return Ok(());
        };
        let hold = HoldLimits {
            whole_bytes: limits.judged_whole_bytes,
            most_bytes: limits.held_body_bytes,
            all_bytes: limits.held_bodies_bytes,
        };
        let model = body.read_model(scanner, hold, &self.held).await?;
        matched.also_names(model.into());
        Ok(())
    }

    fn refusal(&self, why: Rejection, request: &Parts, unread: Incoming) -> Refusal {
        let host = target::host_of(request);
        Refusal {
            form: self.plan.routes.error_form(host, request.uri.path()),
            unread: Some(unread),
            why,
        }
    }
}

/// A request that may go on.
struct Admitted<'p> {
    permit: Permit,
    route: &'p Route,
    /// The path that goes on, when it is another than came.
    path: Option<String>,
    /// The model it names.
    model: Option<HeaderValue>,
    /// The same for the upstream's keys, when it has some.
    asked: Option<String>,
    /// The host it asked for, when the upstream is to learn it.
    host: Option<HeaderValue>,
    /// How long its body was read: its caller's time, not ours.
    reading: Duration,
    /// There when it ends with its key.
    watched: Option<Rc<Stream>>,
}
