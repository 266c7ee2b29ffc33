use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;

use super::door::ForwardAuthConfig;
use crate::credential::{CredentialLocation, HeaderNameText};
use crate::route::{BodyCoding, BodyRules, ErrorForm, ProfileConfig, RouteConfig};
use crate::tls::ListenerTlsConfig;
use crate::upstream::WholeLimits;

/// The data listener, as written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProxyConfig {
    /// Where callers connect.
    pub listen: SocketAddr,
    /// TLS on that address; plain HTTP when absent.
    pub tls: Option<ListenerTlsConfig>,
    /// Threads that serve calls; 0 is one for each core this process may use.
    pub workers: usize,
    /// Where a caller's key may sit. All are read, all are emptied.
    pub credentials: Vec<CredentialLocation>,
    /// The form of refusals where a route does not say.
    pub errors: ErrorForm,
    /// What becomes of the `forwarded` and `x-forwarded-*` headers.
    pub forwarded: Forwarded,
    /// Which compressed bodies are decoded where their model must be read; all others are refused there.
    pub decode: Vec<BodyCoding>,
    /// Where another proxy asks what this listener would decide; nowhere when absent.
    pub forward_auth: Option<ForwardAuthConfig>,
    /// What becomes of calls under way when their keys end.
    pub calls_of_ended_keys: CallsOfEndedKeys,
    /// The route table; what is not in it is refused.
    pub routes: Vec<RouteConfig>,
    /// Known servers, whose routes are added to the table.
    pub profiles: Vec<ProfileConfig>,
    /// What one caller, and all together, may take.
    pub limits: LimitsConfig,
}

/// What becomes of the headers that say for whom a request is forwarded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forwarded {
    /// They are removed: the upstream learns nothing from them, and nobody can forge them.
    #[default]
    Remove,
    /// They are replaced by what we know: the caller's address, the host and the scheme it asked for.
    Replace,
}

/// What becomes of calls under way when their keys are deleted, disabled or expire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallsOfEndedKeys {
    /// They go on to their end: only what comes after is refused. Keys that ask for it end theirs even so.
    #[default]
    GoOn,
    /// They end within half a second of that being known here.
    End,
}

/// Limits of the data listener; SECURITY 4 gives the reason for each default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// The largest request head, in bytes.
    pub head_bytes: usize,
    /// The most header fields.
    pub head_fields: usize,
    /// The longest request target, in bytes.
    pub target_bytes: usize,
    /// How long a request head may take to arrive.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub head_timeout: Duration,
    /// How long a connection may be idle between requests.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub idle_timeout: Duration,
    /// How long a stream may go without a byte either way.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub stream_idle_timeout: Duration,
    /// How long a WebSocket may go without a byte either way once one side is done with it.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub websocket_close_timeout: Duration,
    /// How long a request body may stall while the upstream waits for it, and a list of models that must be cut.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub body_stall_timeout: Duration,
    /// Connections at once; 0 is the smaller of 10,000 and a third of the open files this process may have.
    pub connections: usize,
    /// Requests in flight at once, over all connections.
    pub requests: usize,
    /// Resident memory of this process in bytes, past which no more calls are taken than a few; 0 is nine tenths of what
    /// its control group may have, or no limit where that has none.
    pub memory_bytes: usize,
    /// How much of an unread request body is read away after an early refusal, in bytes; past it the connection closes.
    pub drain_bytes: usize,
    /// How long that may take.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub drain_timeout: Duration,
    /// A request body that is judged and ends within so many bytes is judged whole before anything of it is sent.
    pub judged_whole_bytes: usize,
    /// How much is held of one request body until its model is known, in bytes.
    pub held_body_bytes: usize,
    /// How much is held of all request bodies together, in bytes.
    pub held_bodies_bytes: usize,
    /// How deep a request body that is judged may nest.
    pub body_depth: u16,
    /// The longest list of models that is cut to what a key may see, in bytes.
    pub model_list_bytes: usize,
    /// How many times larger than it came a request body may become by decoding.
    pub decoded_ratio: u32,
    /// HTTP/2 streams at once on a connection.
    pub http2_streams: u32,
    /// HTTP/2 flow-control window of a stream, in bytes.
    pub http2_stream_window_bytes: u32,
    /// HTTP/2 flow-control window of a connection, in bytes.
    pub http2_connection_window_bytes: u32,
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            tls: None,
            workers: 0,
            credentials: vec![
                CredentialLocation::Authorization {
                    schemes: vec!["Bearer".to_owned(), "Api-Key".to_owned()],
                },
                // Anthropic's clients send it here, and have only a base URL to be set.
                CredentialLocation::Header {
                    name: HeaderNameText::from_static("x-api-key"),
                    schemes: Vec::new(),
                },
            ],
            errors: ErrorForm::default(),
            forwarded: Forwarded::default(),
            decode: Vec::new(),
            forward_auth: None,
            calls_of_ended_keys: CallsOfEndedKeys::default(),
            routes: Vec::new(),
            profiles: Vec::new(),
            limits: LimitsConfig::default(),
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            head_bytes: 32 * 1024,
            head_fields: 100,
            target_bytes: 8 * 1024,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(90),
            stream_idle_timeout: Duration::from_mins(10),
            websocket_close_timeout: Duration::from_secs(10),
            body_stall_timeout: Duration::from_mins(1),
            connections: 0,
            requests: 20_000,
            memory_bytes: 0,
            drain_bytes: 64 * 1024,
            drain_timeout: Duration::from_secs(1),
            judged_whole_bytes: 64 * 1024,
            held_body_bytes: 16 * 1024 * 1024,
            held_bodies_bytes: 256 * 1024 * 1024,
            body_depth: 128,
            model_list_bytes: 1024 * 1024,
            decoded_ratio: 64,
            http2_streams: 100,
            http2_stream_window_bytes: 256 * 1024,
            http2_connection_window_bytes: 1024 * 1024,
        }
    }
}

impl LimitsConfig {
    /// How much is held of a list of models that must be cut.
    pub(super) const fn of_lists(&self) -> WholeLimits {
        WholeLimits {
            most_bytes: self.model_list_bytes,
            all_bytes: self.held_bodies_bytes,
            // The caller's own connection must still be there for the refusal.
            idle: self.body_stall_timeout,
        }
    }
}

impl ProxyConfig {
    /// How the bodies are read whose model must be known.
    #[must_use]
    pub fn body_rules(&self) -> BodyRules {
        BodyRules {
            depth: self.limits.body_depth,
            decode: self.decode.clone(),
            decoded_ratio: self.limits.decoded_ratio,
            searched_bytes: self.limits.held_body_bytes as u64,
        }
    }
}
