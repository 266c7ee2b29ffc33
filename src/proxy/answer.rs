//! What a request is answered in the end: passed on, allowed, or refused, in the manner its caller expects.

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT};
use http::{HeaderValue, Version};

use super::relay::{self, Answered};
use super::trace::Trace;
use super::{
    ConnectionLoad, ForwardAuthConfig, InFlight, Prepared, Proxy, ProxyBody, Rejection, Tunnel,
    grpc, target,
};
use crate::message::{RequestHead, Response};
use crate::route::{ErrorForm, Route};
use crate::telemetry::metrics::RequestOutcome;
use crate::upstream::CallerBody;

/// An answer, and what of the request was left unread by it.
pub struct Answer {
    /// The answer itself.
    pub response: Response<ProxyBody>,
    /// Fields of a refusal that are still to be written on it.
    pub prepared: Option<&'static Prepared>,
    /// The body of a request that was refused early. Reading it away keeps the connection usable; dropping it closes
    /// the connection. Never is it read as the next request (SECURITY F8).
    pub unread: Option<CallerBody>,
    /// The WebSocket that begins once the answer, a 101, is written: to be run until it ends.
    pub tunnel: Option<Box<Tunnel>>,
}

/// What becomes of a request that is not refused.
pub(super) enum Passed {
    /// The upstream answered.
    Forwarded(Answered),
    /// The upstream agreed to speak WebSocket, on this connection of the caller's.
    Switching(Answered),
    /// It was a question, and the answer is yes.
    Allowed(Response<Bytes>, CallerBody),
}

/// A refusal before anything was sent, the form its caller expects, and the body nobody has read.
pub(super) struct Refusal {
    pub(super) why: Rejection,
    pub(super) form: ErrorForm,
    pub(super) unread: Option<CallerBody>,
}

/// What the head of a request says about how it is answered, whatever the answer is.
pub(super) struct Manner<'p> {
    /// Another proxy asks at this door.
    pub(super) door: Option<&'p ForwardAuthConfig>,
    /// Refusals are said in gRPC's words.
    pub(super) is_grpc: bool,
    /// The body is kept back until we ask for it.
    expects_continue: bool,
    version: Version,
}

impl<'p> Manner<'p> {
    pub(super) fn of(request: &RequestHead, door: Option<&'p ForwardAuthConfig>) -> Self {
        Self {
            door,
            // Whoever asks for another reads statuses: 200 is a yes.
            is_grpc: door.is_none() && grpc::is_grpc(request),
            expects_continue: request.headers.contains_key(&EXPECT),
            version: request.version,
        }
    }
}

/// How the request ended, for the metric.
pub(super) const fn outcome(result: &Result<Passed, Refusal>) -> RequestOutcome {
    match result {
        Ok(Passed::Allowed(..)) => RequestOutcome::Allowed,
        Ok(Passed::Forwarded(_) | Passed::Switching(_)) => RequestOutcome::Forwarded,
        Err(refusal) => refusal.why.outcome(),
    }
}

impl Proxy {
    /// Makes the answer, which holds the request's `place` until it ends.
    pub(super) fn answer(
        &self,
        result: Result<Passed, Refusal>,
        manner: &Manner<'_>,
        place: InFlight,
        connection: &ConnectionLoad,
        trace: &Trace,
    ) -> Answer {
        match result {
            Ok(Passed::Allowed(response, body)) => Answer {
                response: relay::answer(response, place),
                prepared: None,
                unread: Some(body),
                tunnel: None,
            },
            Ok(Passed::Switching(answered)) => {
                connection.hand_over();
                let (limits, metrics) = (&self.plan.limits, self.metrics.clone());
                let (head, tunnel) = Tunnel::after(answered, limits, metrics, place);
                Answer {
                    response: relay::switch(head),
                    prepared: None,
                    unread: None,
                    tunnel: Some(Box::new(tunnel)),
                }
            }
            Ok(Passed::Forwarded(answered)) => {
                let idle = self.plan.limits.stream_idle_timeout;
                Answer {
                    response: relay::relay(answered, manner.is_grpc, place, idle),
                    prepared: None,
                    unread: None,
                    tunnel: None,
                }
            }
            Err(refusal) => {
                self.refusal_log.tell(&refusal.why, trace, &self.now);
                refusal.answer(manner, place)
            }
        }
    }

    /// A refusal of `request`, on `route` where that is known. Nothing of its body was read.
    pub(super) fn refusal(
        &self,
        why: Rejection,
        route: Option<&Route>,
        request: &RequestHead,
        unread: CallerBody,
    ) -> Refusal {
        self.note(&why, route, Some(request));
        let form = || {
            let host = target::host_of(request);
            self.plan.routes.error_form(host, request.uri.path())
        };
        Refusal {
            form: route.map_or_else(form, |route| route.errors),
            unread: Some(unread),
            why,
        }
    }
}

impl Refusal {
    fn answer(self, manner: &Manner<'_>, place: InFlight) -> Answer {
        let Self { why, form, unread } = self;
        let ends_connection = why.ends_connection() || manner.expects_continue;
        let (response, prepared) = why.answer(form, manner.is_grpc);
        let mut response = relay::answer(response, place);
        if let Some(door) = manner.door {
            response.status = door.status(response.status);
        }
        if ends_connection && manner.version <= Version::HTTP_11 {
            let close = const { HeaderValue::from_static("close") };
            response.headers.insert(&CONNECTION, close);
        }
        Answer {
            response,
            prepared,
            // Nobody reads a body that waits for our 100 (Continue): it is the caller's to keep it back, and the
            // connection's end tells it so (RFC 9110, 10.1.1).
            unread: unread.filter(|_| !manner.expects_continue),
            tunnel: None,
        }
    }
}
