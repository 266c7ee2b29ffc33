//! The handles of upstreams, and of each of their servers.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Recorder};

use super::{register_counter, register_gauge, register_histogram};

/// Why an upstream did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UpstreamFailure {
    /// No connection.
    Connect,
    /// No connection in time.
    ConnectTimeout,
    /// No trust: its certificate, or ours.
    Tls,
    /// No response head in time.
    HeadTimeout,
    /// It broke off, or sent what is no HTTP.
    Broken,
    /// It says that it did not look at the call.
    Refused,
    /// There was no token for the key to present.
    Token,
}

impl UpstreamFailure {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 7] = [
        Self::Connect,
        Self::ConnectTimeout,
        Self::Tls,
        Self::HeadTimeout,
        Self::Broken,
        Self::Refused,
        Self::Token,
    ];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls",
            Self::HeadTimeout => "head_timeout",
            Self::Broken => "broken",
            Self::Refused => "refused",
            Self::Token => "token",
        }
    }
}

/// What is counted for one upstream, named in the settings.
#[derive(Clone)]
pub struct UpstreamMetrics {
    duration: Histogram,
    tried_elsewhere: Counter,
    errors: [Counter; UpstreamFailure::ALL.len()],
}

impl UpstreamMetrics {
    pub(super) fn register(recorder: &dyn Recorder, upstream: &str) -> Self {
        Self {
            duration: register_histogram(
                recorder,
                "keyward_upstream_duration_seconds",
                &[("upstream", upstream)],
            ),
            tried_elsewhere: register_counter(
                recorder,
                "keyward_upstream_retries_total",
                &[("upstream", upstream)],
            ),
            errors: UpstreamFailure::ALL.map(|failure| {
                register_counter(
                    recorder,
                    "keyward_upstream_errors_total",
                    &[("upstream", upstream), ("reason", failure.as_str())],
                )
            }),
        }
    }

    /// The upstream's response head came after `took`.
    pub fn answered(&self, took: Duration) {
        self.duration.record(took.as_secs_f64());
    }

    /// It did not answer.
    pub fn failed(&self, failure: UpstreamFailure) {
        self.errors[failure as usize].increment(1);
    }

    /// A call is sent again: nothing of it was sent before, or the server says that it did not look at it.
    pub fn tried_elsewhere(&self) {
        self.tried_elsewhere.increment(1);
    }
}

/// What is told of one server of an upstream, both named in the settings.
#[derive(Clone)]
pub struct UpstreamServerMetrics {
    healthy: Gauge,
}

impl UpstreamServerMetrics {
    pub(super) fn register(recorder: &dyn Recorder, upstream: &str, server: &str) -> Self {
        Self {
            healthy: register_gauge(
                recorder,
                "keyward_upstream_healthy",
                &[("upstream", upstream), ("server", server)],
            ),
        }
    }

    /// Whether it is called as usual, from now on.
    pub fn healthy(&self, is_healthy: bool) {
        self.healthy.set(f64::from(u8::from(is_healthy)));
    }
}

/// What an upstream answered a call that was given one of its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyUse {
    /// Anything that says nothing against the key.
    Answered,
    /// 401.
    Unauthorized,
    /// 402.
    Unpaid,
    /// 403.
    Forbidden,
    /// 429.
    Limited,
}

impl KeyUse {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 5] = [
        Self::Answered,
        Self::Unauthorized,
        Self::Unpaid,
        Self::Forbidden,
        Self::Limited,
    ];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Unauthorized => "unauthorized",
            Self::Unpaid => "unpaid",
            Self::Forbidden => "forbidden",
            Self::Limited => "limited",
        }
    }
}

/// What is told of one key of an upstream; its id and the upstream's name stand in the settings.
#[derive(Clone)]
pub struct UpstreamKeyMetrics {
    used: [Counter; KeyUse::ALL.len()],
    resting: Gauge,
    tokens: [Counter; 2],
}

impl UpstreamKeyMetrics {
    pub(super) fn register(recorder: &dyn Recorder, upstream: &str, id: &str) -> Self {
        Self {
            used: KeyUse::ALL.map(|used| {
                register_counter(
                    recorder,
                    "keyward_upstream_key_calls_total",
                    &[
                        ("upstream", upstream),
                        ("key", id),
                        ("result", used.as_str()),
                    ],
                )
            }),
            resting: register_gauge(
                recorder,
                "keyward_upstream_key_resting",
                &[("upstream", upstream), ("key", id)],
            ),
            tokens: ["failed", "fetched"].map(|result| {
                register_counter(
                    recorder,
                    "keyward_upstream_tokens_total",
                    &[("upstream", upstream), ("key", id), ("result", result)],
                )
            }),
        }
    }

    /// A call with it was answered.
    pub fn used(&self, used: KeyUse) {
        self.used[used as usize].increment(1);
    }

    /// Somebody was asked for a token for it, and gave one or did not.
    pub fn token_fetched(&self, is_fetched: bool) {
        self.tokens[usize::from(is_fetched)].increment(1);
    }

    /// Whether it is left alone, from now on.
    pub fn resting(&self, is_resting: bool) {
        self.resting.set(f64::from(u8::from(is_resting)));
    }
}
