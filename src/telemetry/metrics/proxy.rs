//! The handles of the data listener.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Recorder};

use super::{register_counter, register_gauge, register_histogram};

/// How a request on the data listener ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestOutcome {
    /// The upstream answered.
    Forwarded,
    /// Another proxy asked, and may pass the call on.
    Allowed,
    /// No route.
    NoRoute,
    /// The target, the host or a header could be read in two ways.
    Ambiguous,
    /// The bytes of the connection are not HTTP/1, or their framing can be read in two ways.
    MalformedFraming,
    /// No credential.
    MissingKey,
    /// A credential that cannot be a key, or two that differ.
    MalformedKey,
    /// No key of ours.
    UnknownKey,
    /// Switched off.
    DisabledKey,
    /// Its end has come.
    ExpiredKey,
    /// Its category may not call models.
    CategoryNotAllowed,
    /// Its scope does not allow the model.
    ModelNotAllowed,
    /// It is limited to some models, and the route names none.
    ModelNotNamed,
    /// Two places name different models.
    ModelsDiffer,
    /// The body, where the model must be read, can be read in two ways or in none.
    BodyAmbiguous,
    /// The body, where the model must be read, is of a kind that is not read.
    BodyUnreadable,
    /// The model does not come within what is held of a body.
    ModelTooLate,
    /// The head is larger than allowed.
    HeadTooLarge,
    /// Not known here now: the database is away, or the look-up budget is spent.
    KeysUnavailable,
    /// All together hold as much of request bodies as they may.
    HeldBodiesFull,
    /// The answer must be cut to what the key may see, and cannot be.
    AnswerUnfilterable,
    /// More requests in flight than allowed.
    Overloaded,
    /// The body must be signed, and is larger than what may be.
    BodyTooLargeToSign,
    /// None of the upstream's keys is for the call.
    NoUpstreamKey,
    /// All that are must rest.
    UpstreamKeysResting,
    /// The upstream refused, broke off, or could not be reached.
    UpstreamFailed,
    /// The upstream took too long.
    UpstreamTimedOut,
    /// The caller went away, or broke its request off.
    CallerGone,
}

impl RequestOutcome {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 28] = [
        Self::Forwarded,
        Self::Allowed,
        Self::NoRoute,
        Self::Ambiguous,
        Self::MalformedFraming,
        Self::MissingKey,
        Self::MalformedKey,
        Self::UnknownKey,
        Self::DisabledKey,
        Self::ExpiredKey,
        Self::CategoryNotAllowed,
        Self::ModelNotAllowed,
        Self::ModelNotNamed,
        Self::ModelsDiffer,
        Self::BodyAmbiguous,
        Self::BodyUnreadable,
        Self::ModelTooLate,
        Self::HeadTooLarge,
        Self::KeysUnavailable,
        Self::HeldBodiesFull,
        Self::AnswerUnfilterable,
        Self::Overloaded,
        Self::BodyTooLargeToSign,
        Self::NoUpstreamKey,
        Self::UpstreamKeysResting,
        Self::UpstreamFailed,
        Self::UpstreamTimedOut,
        Self::CallerGone,
    ];

    /// The label's value, and the word in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Allowed => "allowed",
            Self::NoRoute => "no_route",
            Self::Ambiguous => "ambiguous",
            Self::MalformedFraming => "malformed_framing",
            Self::MissingKey => "missing_key",
            Self::MalformedKey => "malformed_key",
            Self::UnknownKey => "unknown_key",
            Self::DisabledKey => "key_disabled",
            Self::ExpiredKey => "key_expired",
            Self::CategoryNotAllowed => "category_not_allowed",
            Self::ModelNotAllowed => "model_not_allowed",
            Self::ModelNotNamed => "model_not_named",
            Self::ModelsDiffer => "models_differ",
            Self::BodyAmbiguous => "body_ambiguous",
            Self::BodyUnreadable => "body_unreadable",
            Self::ModelTooLate => "model_too_late",
            Self::HeadTooLarge => "head_too_large",
            Self::KeysUnavailable => "keys_unavailable",
            Self::HeldBodiesFull => "held_bodies_full",
            Self::AnswerUnfilterable => "answer_unfilterable",
            Self::Overloaded => "overloaded",
            Self::BodyTooLargeToSign => "body_too_large_to_sign",
            Self::NoUpstreamKey => "no_upstream_key",
            Self::UpstreamKeysResting => "upstream_keys_resting",
            Self::UpstreamFailed => "upstream_failed",
            Self::UpstreamTimedOut => "upstream_timed_out",
            Self::CallerGone => "caller_gone",
        }
    }
}

/// How a WebSocket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WebSocketEnd {
    /// Both sides were done.
    Closed,
    /// One side broke off.
    Broken,
    /// Nothing came either way for too long.
    Silent,
    /// Its key ended.
    KeyEnded,
}

impl WebSocketEnd {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 4] = [Self::Closed, Self::Broken, Self::Silent, Self::KeyEnded];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Broken => "broken",
            Self::Silent => "silent",
            Self::KeyEnded => "key_ended",
        }
    }
}

/// What the data listener counts.
#[derive(Clone)]
pub struct ProxyMetrics {
    requests: [Counter; RequestOutcome::ALL.len()],
    admission: Histogram,
    forwarded: Histogram,
    refused: Histogram,
    in_flight: Gauge,
    held_bodies: Gauge,
    memory_short: Gauge,
    connections: Gauge,
    websockets: Gauge,
    websocket_ends: [Counter; WebSocketEnd::ALL.len()],
    old_texts: Counter,
    ended: Counter,
    panics: Counter,
}

impl ProxyMetrics {
    pub(super) fn register(recorder: &dyn Recorder) -> Self {
        let duration = |class| {
            register_histogram(
                recorder,
                "keyward_request_duration_seconds",
                &[("outcome", class)],
            )
        };
        Self {
            requests: RequestOutcome::ALL.map(|outcome| {
                register_counter(
                    recorder,
                    "keyward_requests_total",
                    &[("outcome", outcome.as_str())],
                )
            }),
            admission: register_histogram(recorder, "keyward_admission_duration_seconds", &[]),
            forwarded: duration("forwarded"),
            refused: duration("refused"),
            in_flight: register_gauge(recorder, "keyward_requests_in_flight", &[]),
            held_bodies: register_gauge(recorder, "keyward_held_body_bytes", &[]),
            memory_short: register_gauge(recorder, "keyward_memory_short", &[]),
            connections: register_gauge(recorder, "keyward_connections", &[]),
            websockets: register_gauge(recorder, "keyward_websockets", &[]),
            websocket_ends: WebSocketEnd::ALL.map(|end| {
                let labels = [("reason", end.as_str())];
                register_counter(recorder, "keyward_websocket_ends_total", &labels)
            }),
            old_texts: register_counter(recorder, "keyward_old_key_texts_used_total", &[]),
            ended: register_counter(recorder, "keyward_calls_ended_with_keys_total", &[]),
            panics: register_counter(recorder, "keyward_request_panics_total", &[]),
        }
    }

    /// A request came.
    pub fn request_started(&self) {
        self.in_flight.increment(1.0);
    }

    /// A request was admitted after `took`, with nothing sent yet: what we add to a call.
    pub fn admitted(&self, took: Duration) {
        self.admission.record(took.as_secs_f64());
    }

    /// The head of the answer was ready after `took`, whoever gave it.
    pub fn answered(&self, outcome: RequestOutcome, took: Duration) {
        self.requests[outcome as usize].increment(1);
        let class = match outcome {
            RequestOutcome::Forwarded | RequestOutcome::Allowed => &self.forwarded,
            _ => &self.refused,
        };
        class.record(took.as_secs_f64());
    }

    /// A request is over, body and all, or was dropped.
    pub fn request_ended(&self) {
        self.in_flight.decrement(1.0);
    }

    /// Whether this process takes more memory than it may, from now on.
    pub fn memory_short(&self, is_short: bool) {
        self.memory_short.set(f64::from(u8::from(is_short)));
    }

    /// So much more is held of request bodies, in bytes.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a gauge is a float; 2^53 bytes are never held"
    )]
    pub fn body_held(&self, bytes: usize) {
        self.held_bodies.increment(bytes as f64);
    }

    /// So much less is held of request bodies, in bytes.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a gauge is a float; 2^53 bytes are never held"
    )]
    pub fn body_released(&self, bytes: usize) {
        self.held_bodies.decrement(bytes as f64);
    }

    /// A caller connected.
    pub fn connection_opened(&self) {
        self.connections.increment(1.0);
    }

    /// A caller's connection ended.
    pub fn connection_closed(&self) {
        self.connections.decrement(1.0);
    }

    /// Both sides agreed to speak WebSocket.
    pub fn websocket_opened(&self) {
        self.websockets.increment(1.0);
    }

    /// A WebSocket is gone, whatever ended it.
    pub fn websocket_closed(&self) {
        self.websockets.decrement(1.0);
    }

    /// A call was ended because its key had.
    pub fn call_ended_with_key(&self) {
        self.ended.increment(1);
    }

    /// A WebSocket ended by itself or by a limit, not by our own closing.
    pub fn websocket_ended(&self, end: WebSocketEnd) {
        self.websocket_ends[end as usize].increment(1);
    }

    /// Answering a request ended in a panic.
    pub fn panicked(&self) {
        self.panics.increment(1);
    }

    /// The text before a rotation was used.
    pub fn old_text_used(&self) {
        self.old_texts.increment(1);
    }
}
