//! What is told of a call once it is over: one line, whatever ended it.
//!
//! What will be told is gathered while the call is served, and goes with its answer's body; when that ends, or is dropped
//! because its caller has gone, the line is written into this worker's memory. Where no log of calls is kept, nothing is
//! gathered, and nothing allocated.

mod bound;
mod line;

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode, Version};
use http_body::Frame;

pub(super) use bound::PerSecond;

use super::trace::Trace;
use super::{Answer, Peer, Proxy, ProxyPlan};
use crate::clock::Clock;
use crate::key::{LocalGrant, NamedModel};
use crate::message::RequestHead;
use crate::route::{Route, UpstreamId};
use crate::telemetry::access::{AccessLines, Sample};
use crate::telemetry::metrics::{RequestOutcome, WebSocketEnd};
use crate::upstream::{Progress, RequestBody};

/// What the settings say about the log of calls.
#[derive(Debug, Clone)]
pub struct AccessRules {
    /// Which share is told of.
    pub sample: Sample,
    /// How many refusals are told of in a second, by all workers together.
    pub refusals_per_second: u32,
    /// Whether the caller's address is told.
    pub client_address: bool,
    /// The names of the upstreams, by their ids.
    pub upstreams: Arc<[Arc<str>]>,
}

/// The log of calls, as one worker keeps it.
pub struct AccessLog {
    lines: Rc<AccessLines>,
    bounded: PerSecond,
    workers: u32,
    clock: Clock,
}

/// What will be told of a call; nothing where no log is kept.
#[derive(Default)]
pub(super) struct Told(Option<Box<Entry>>);

/// What is known of a call. Dropping it tells it.
struct Entry {
    log: Rc<AccessLog>,
    plan: Arc<ProxyPlan>,
    /// When it began, by the machine's clock since 1970 and by the one that measures.
    began_at: Duration,
    began: Duration,
    request_id: Box<str>,
    trace_id: u128,
    /// Ours, when the call is in the sample.
    span_id: Option<u64>,
    caller_span_id: Option<u64>,
    head: Option<Head>,
    grant: Option<LocalGrant>,
    route: Option<Arc<str>>,
    upstream: Option<UpstreamId>,
    model: Option<String>,
    body: Option<Arc<Progress>>,
    answer: Option<Answered>,
    bytes_in: u64,
    bytes_out: u64,
    /// When something of the answer was handed over last.
    last: Duration,
    end: End,
}

/// What is told of a request's head.
struct Head {
    method: &'static str,
    path: String,
    protocol: &'static str,
    client: Option<IpAddr>,
}

/// What is told of an answer's head.
#[derive(Clone, Copy)]
struct Answered {
    status: StatusCode,
    outcome: RequestOutcome,
    took: Duration,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The answer was handed over whole.
    Complete,
    /// The caller went away before, or we closed.
    CallerGone,
    /// The answer broke off where it comes from.
    UpstreamBroken,
    /// The upstream was silent for too long in the middle of it.
    Stalled,
    /// What the key may see of it could not be told.
    Unfilterable,
    /// The call was ended with its key.
    KeyEnded,
    /// One side of a WebSocket broke off.
    Broken,
    /// A mistake of ours.
    Panicked,
}

impl End {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::CallerGone => "caller_gone",
            Self::UpstreamBroken => "upstream_broken",
            Self::Stalled => "stalled",
            Self::Unfilterable => "unfilterable",
            Self::KeyEnded => "key_ended",
            Self::Broken => "broken",
            Self::Panicked => "panicked",
        }
    }
}

impl From<WebSocketEnd> for End {
    fn from(end: WebSocketEnd) -> Self {
        match end {
            WebSocketEnd::Closed => Self::Complete,
            WebSocketEnd::Broken => Self::Broken,
            WebSocketEnd::Silent => Self::Stalled,
            WebSocketEnd::KeyEnded => Self::KeyEnded,
        }
    }
}

impl AccessLog {
    /// The log of one of so many `workers`, each of which has its share of what is bounded.
    #[must_use]
    pub fn new(lines: AccessLines, workers: usize, clock: Clock) -> Self {
        Self {
            lines: Rc::new(lines),
            bounded: PerSecond::default(),
            workers: u32::try_from(workers).unwrap_or(u32::MAX).max(1),
            clock,
        }
    }

    /// Hands lines over in time, and tells how many were left out, for as long as it is polled.
    pub async fn attend(self: Rc<Self>) {
        let leaving_out = async {
            loop {
                let count = self.bounded.left_out().await;
                self.tell_left_out(count);
            }
        };
        tokio::join!(Rc::clone(&self.lines).hand_over_in_time(), leaving_out);
    }

    /// Hands over what is there, and tells what was left out so far: nothing comes after.
    pub fn close(&self) {
        let count = self.bounded.take_left_out();
        if count > 0 {
            self.tell_left_out(count);
        }
        self.lines.hand_over();
    }

    fn tell_left_out(&self, count: u64) {
        self.lines.left_out(count);
        let now = self.clock.machine_time();
        self.lines
            .add(|text| line::write_left_out(text, now, count));
    }
}

impl Proxy {
    /// Begins to gather what will be told of a call. One that is in the sample becomes a span of its own in its trace.
    pub(super) fn tell_of(
        &self,
        request: &RequestHead,
        peer: Peer,
        trace: &mut Trace,
        began: Duration,
    ) -> Told {
        let Some(log) = &self.access else {
            return Told(None);
        };
        let is_sampled = self.plan.access.sample.takes(trace.trace_id());
        if is_sampled {
            trace.join(&self.ids);
        }
        let head = Head {
            method: method_of(&request.method),
            path: line::shown_path(request.uri.path()),
            protocol: protocol_of(request.version),
            client: self.plan.access.client_address.then_some(peer.address),
        };
        let mut entry = self.entry(log, trace, began, is_sampled);
        entry.head = Some(head);
        Told(Some(entry))
    }

    /// The same of a request whose head was refused before anything of it was understood.
    pub(super) fn tell_of_head(&self, trace: &Trace) -> Told {
        let entry = |log| self.entry(log, trace, self.now.elapsed(), false);
        Told(self.access.as_ref().map(entry))
    }

    fn entry(
        &self,
        log: &Rc<AccessLog>,
        trace: &Trace,
        began: Duration,
        is_sampled: bool,
    ) -> Box<Entry> {
        Box::new(Entry {
            log: Rc::clone(log),
            plan: Arc::clone(&self.plan),
            began_at: log.clock.machine_time(),
            began,
            request_id: trace.id().into(),
            trace_id: trace.trace_id(),
            span_id: is_sampled.then(|| trace.span_id()),
            caller_span_id: trace.caller_span_id(),
            head: None,
            grant: None,
            route: None,
            upstream: None,
            model: None,
            body: None,
            answer: None,
            bytes_in: 0,
            bytes_out: 0,
            last: began,
            end: End::CallerGone,
        })
    }
}

impl Told {
    /// Where the call leads.
    pub(super) fn goes_by(&mut self, route: &Route) {
        if let Some(entry) = &mut self.0 {
            entry.route = Some(Arc::clone(&route.written));
            entry.upstream = Some(route.upstream);
        }
    }

    /// Whose key it is, whether it may or not.
    pub(super) fn is_by(&mut self, grant: &LocalGrant) {
        if let Some(entry) = &mut self.0 {
            entry.grant = Some(grant.clone());
        }
    }

    /// Which model it names.
    pub(super) fn names(&mut self, model: NamedModel<'_>) {
        if let (Some(entry), NamedModel::Named(model)) = (&mut self.0, model) {
            entry.model = Some(line::shown_model(model.as_str()));
        }
    }

    /// Its body, which is counted as it is read.
    pub(super) fn reads(&mut self, body: &RequestBody) {
        if let Some(entry) = &mut self.0 {
            entry.body = Some(body.progress());
        }
    }

    /// The head of its answer is ready after `took`; what is told from now on goes with the answer, or with the WebSocket
    /// after it.
    pub(super) fn goes_with(
        mut self,
        answer: &mut Answer,
        outcome: RequestOutcome,
        took: Duration,
    ) {
        let Some(entry) = &mut self.0 else {
            return;
        };
        entry.answer = Some(Answered {
            status: answer.response.status,
            outcome,
            took,
        });
        if entry.head.as_ref().is_some_and(|head| head.method == HEAD) {
            entry.end = End::Complete;
        }
        match &mut answer.tunnel {
            Some(tunnel) => tunnel.tell(self),
            None => answer.response.body.tell(self),
        }
    }

    /// A frame of the answer was handed over.
    pub(super) fn passed(&mut self, frame: &Frame<Bytes>) {
        if let (Some(entry), Some(bytes)) = (&mut self.0, frame.data_ref()) {
            let bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            entry.bytes_out = entry.bytes_out.saturating_add(bytes);
            entry.last = entry.log.clock.elapsed();
        }
    }

    /// What a WebSocket has handed on, from the caller and to it, in bytes.
    pub(super) fn carried(&mut self, from_caller: u64, to_caller: u64) {
        if let Some(entry) = &mut self.0 {
            (entry.bytes_in, entry.bytes_out) = (from_caller, to_caller);
        }
    }

    /// How it ended.
    pub(super) fn ended(&mut self, end: End) {
        if let Some(entry) = &mut self.0 {
            entry.end = end;
        }
    }

    /// Whether anything will be told.
    pub(super) const fn is_kept(&self) -> bool {
        self.0.is_some()
    }
}

impl Entry {
    /// Whether nothing of the answer has come for as long as that may last.
    fn was_silent(&self) -> bool {
        let silence = self.log.clock.elapsed().saturating_sub(self.last);
        silence >= self.plan.limits.stream_idle_timeout
    }

    /// Whether a line is written. What costs its caller no good key is bounded, whatever the sample.
    fn is_told(&self) -> bool {
        use RequestOutcome::{Allowed, CallerGone, Forwarded, UpstreamFailed, UpstreamTimedOut};

        let is_refused = self.answer.is_some_and(|answer| {
            !matches!(
                answer.outcome,
                Forwarded | Allowed | CallerGone | UpstreamFailed | UpstreamTimedOut
            )
        });
        let is_bounded = is_refused || self.grant.is_none();
        if self.span_id.is_some() && !is_bounded {
            return true;
        }
        let has_failed = self.end != End::Complete
            || self
                .answer
                .is_none_or(|answer| answer.status.is_server_error());
        if !is_bounded && !has_failed {
            return false;
        }
        let most = self.plan.access.refusals_per_second;
        let share = most.div_ceil(self.log.workers);
        self.log.bounded.admits(self.log.clock.elapsed(), share)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.end = End::Panicked;
        } else if self.end == End::CallerGone && self.answer.is_some() && self.was_silent() {
            // The connection was closed for that before the answer was.
            self.end = End::Stalled;
        }
        if let Some(body) = &self.body {
            self.bytes_in = self.bytes_in.saturating_add(body.bytes());
        }
        if self.is_told() {
            self.log.lines.add(|text| line::write(text, self));
        }
    }
}

/// The method whose answers have no body, whatever stands in for one.
const HEAD: &str = "HEAD";

/// A method as it is written, if it is a usual one: any other word is the caller's, and may be anything.
fn method_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => HEAD,
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "other",
    }
}

const fn protocol_of(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}
