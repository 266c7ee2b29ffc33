mod keys;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use serde::Deserialize;

use crate::credential::{CredentialLocation, SecretSource, SecretText, UnwritableSecret};
use crate::message::RequestHead;
use crate::tls::{ClientTls, UpstreamTlsConfig};

pub use keys::{
    AzureKey, AzureKeyConfig, BatchS3Config, BedrockKey, BedrockKeyConfig, CloudKey,
    HuggingfaceKeyConfig, KeyRules, KeyValue, KeyWeight, MOST_KEYS, Provider, S3Bucket, TokenRules,
    TokensConfig, UpstreamKey, UpstreamKeyConfig, VertexKey, VertexKeyConfig,
};

/// One upstream, as written: a model server, or several that answer alike.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamConfig {
    /// Where its one server is: `http://127.0.0.1:8000`. Scheme and authority, no path.
    pub url: Option<String>,
    /// Its servers by their names, when it has several: in place of `url`.
    #[serde(default)]
    pub servers: BTreeMap<String, UpstreamServerConfig>,
    /// What we present in place of the caller's key.
    #[serde(default)]
    pub credential: CredentialConfig,
    /// Whose API it speaks: where a key of `keys` is put.
    #[serde(default)]
    pub provider: Provider,
    /// Several secrets of ours, of which each call is given one; in place of `credential`.
    #[serde(default)]
    pub keys: Vec<UpstreamKeyConfig>,
    /// How they are used.
    #[serde(default)]
    pub key_rules: KeyRules,
    /// Which `Host` it is sent.
    #[serde(default)]
    pub host: HostHeader,
    /// What is spoken to it.
    #[serde(default)]
    pub protocol: UpstreamProtocol,
    /// Whom we trust to be it, and what we show it, when its url begins with `https`.
    pub tls: Option<UpstreamTlsConfig>,
    /// How long things may take, and how large they may be.
    #[serde(default)]
    pub limits: UpstreamLimits,
    /// When a server of it is left alone.
    #[serde(default)]
    pub health: HealthConfig,
}

/// One of several servers, as written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamServerConfig {
    /// Where it is, as in [`UpstreamConfig::url`].
    pub url: String,
    /// Its share of the calls beside those of the others. One with none is called when no other can be.
    #[serde(default = "one")]
    pub weight: u32,
}

const fn one() -> u32 {
    1
}

/// When a server is left alone, because calls to it failed or because it says itself that it is not well.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthConfig {
    /// So many calls in a row that it did not answer, or probes, and it is left alone.
    pub failures: u32,
    /// For how long, the first time; each trial that fails doubles it.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub rest: Duration,
    /// For how long at most.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub longest_rest: Duration,
    /// How it is asked how it does; it is not asked when absent.
    pub probe: Option<ProbeConfig>,
}

/// How a server is asked how it does.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeConfig {
    /// What is fetched; any answer from 200 to 299 is good.
    pub path: String,
    /// How often.
    #[serde(
        default = "ProbeConfig::every",
        with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required"
    )]
    pub every: Duration,
    /// How long the answer may take, connecting included.
    #[serde(
        default = "ProbeConfig::timeout",
        with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required"
    )]
    pub timeout: Duration,
}

impl ProbeConfig {
    const fn every() -> Duration {
        Duration::from_secs(5)
    }

    const fn timeout() -> Duration {
        Duration::from_secs(2)
    }
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            failures: 3,
            rest: Duration::from_secs(2),
            longest_rest: Duration::from_secs(30),
            probe: None,
        }
    }
}

/// What is spoken to an upstream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpstreamProtocol {
    /// HTTP/1.1, one call at a time on each connection.
    #[default]
    Http1,
    /// HTTP/2: by prior knowledge without TLS, and by ALPN, or not at all, inside of it. gRPC needs it. A WebSocket is
    /// HTTP/1.1 all the same.
    Http2,
}

/// Which `Host` an upstream is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostHeader {
    /// The upstream's own.
    #[default]
    Upstream,
    /// The one the caller asked for, for an upstream that finds the model by it.
    Caller,
}

/// What we present to an upstream in place of the caller's key, as written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum CredentialConfig {
    /// Nothing.
    // With braces, or serde lets a secret pass that stands beside it and is never presented.
    None {},
    /// A secret of ours.
    Fixed {
        /// Where it is to be found.
        secret: SecretSource,
        /// Where it is put.
        at: CredentialLocation,
    },
}

/// Waits and sizes towards one upstream; SECURITY 4 gives the reason for each default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamLimits {
    /// How long connecting may take.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub connect_timeout: Duration,
    /// How many servers one call is tried on, while no connection could be made and so nothing was sent.
    pub connect_attempts: usize,
    /// How long the response head may take, from the moment the request was sent.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub head_timeout: Duration,
    /// How long an unused connection is kept: shorter than the upstream keeps it (SECURITY P13).
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub pool_idle_timeout: Duration,
    /// Unused connections kept by each worker.
    pub pool_idle_connections: usize,
    /// The largest response head, in bytes.
    pub response_head_bytes: usize,
    /// HTTP/2: calls at once on a connection; past them each worker makes another.
    pub http2_streams: usize,
    /// HTTP/2 flow-control window of an answer, in bytes: what is held of it for a caller that does not read.
    pub http2_stream_window_bytes: u32,
    /// HTTP/2: how long a connection that carries calls may be silent before it is asked whether it lives.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub http2_ping_interval: Duration,
    /// HTTP/2: how long that answer may take.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub http2_ping_timeout: Duration,
}

impl Default for CredentialConfig {
    fn default() -> Self {
        Self::None {}
    }
}

impl Default for UpstreamLimits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            connect_attempts: 3,
            head_timeout: Duration::from_mins(10),
            pool_idle_timeout: Duration::from_millis(1_500),
            pool_idle_connections: 256,
            response_head_bytes: 64 * 1024,
            http2_streams: 100,
            http2_stream_window_bytes: 256 * 1024,
            http2_ping_interval: Duration::from_mins(6),
            http2_ping_timeout: Duration::from_secs(20),
        }
    }
}

/// The most servers of one upstream.
pub const MOST_SERVERS: usize = 64;

/// One upstream, checked and complete: what every worker makes its pools from.
#[derive(Debug, Clone)]
pub struct UpstreamPlan {
    /// Its name in the settings, and the label of its metrics.
    pub name: String,
    /// Its servers, one to [`MOST_SERVERS`].
    pub servers: Vec<UpstreamServer>,
    /// How those of `https` are met; there when one is.
    pub tls: Option<Arc<ClientTls>>,
    /// Which `Host` it is sent.
    pub host: HostHeader,
    /// What is spoken to it.
    pub protocol: UpstreamProtocol,
    /// What we present to it.
    pub credential: UpstreamCredential,
    /// Whose API it speaks.
    pub provider: Provider,
    /// What we present to it instead, if there are any: at most [`MOST_KEYS`].
    pub keys: Vec<Arc<UpstreamKey>>,
    /// How they are used.
    pub key_rules: KeyRules,
    /// How long things may take, and how large they may be.
    pub limits: UpstreamLimits,
    /// When a server is left alone.
    pub health: HealthPlan,
}

/// One server of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamServer {
    /// Its name in the settings; the upstream's own when it is the only one.
    pub name: String,
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Where it is.
    pub authority: Authority,
    /// Its share of the calls.
    pub weight: u32,
}

impl UpstreamPlan {
    /// How `server` is met, if within TLS.
    pub(super) fn tls_of(&self, server: &UpstreamServer) -> Option<Arc<ClientTls>> {
        self.tls.clone().filter(|_| server.scheme == Scheme::HTTPS)
    }

    /// How its servers are met, and those who give the tokens of its keys: each with where it stands in the settings.
    pub fn met_by(&self) -> impl Iterator<Item = (String, Arc<ClientTls>)> {
        let name = &self.name;
        let servers = self.tls.iter();
        let servers = servers.map(move |tls| (format!("upstreams.{name}.tls"), Arc::clone(tls)));
        let tokens = self
            .keys
            .iter()
            .enumerate()
            .filter_map(move |(place, key)| {
                let tls = Arc::clone(&key.tokens.as_ref()?.tls);
                Some((format!("upstreams.{name}.keys[{place}].tokens.tls"), tls))
            });
        servers.chain(tokens)
    }
}

impl UpstreamServer {
    /// The absolute form of `target` there, for whom it is called `authority`.
    pub(super) fn uri(&self, authority: Authority, target: PathAndQuery) -> Uri {
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(self.scheme.clone());
        uri.authority = Some(authority);
        uri.path_and_query = Some(target);
        Uri::from_parts(uri).expect("a scheme, an authority and a path are always a URI")
    }
}

/// When a server is left alone, checked; see [`HealthConfig`].
#[derive(Debug, Clone)]
pub struct HealthPlan {
    /// Failures in a row.
    pub failures: u32,
    /// The first rest.
    pub rest: Duration,
    /// The longest.
    pub longest_rest: Duration,
    /// How it is asked.
    pub probe: Option<ProbePlan>,
}

/// How a server is asked how it does, checked; see [`ProbeConfig`].
#[derive(Debug, Clone)]
pub struct ProbePlan {
    /// What is fetched.
    pub path: PathAndQuery,
    /// How often.
    pub every: Duration,
    /// How long the answer may take.
    pub timeout: Duration,
}

/// What we present to an upstream in place of the caller's key.
#[derive(Debug, Clone)]
pub struct UpstreamCredential(Option<Fixed>);

#[derive(Debug, Clone)]
struct Fixed {
    secret: SecretText,
    at: CredentialLocation,
}

impl UpstreamCredential {
    /// Nothing is presented.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// A secret of ours is put at `at`.
    ///
    /// # Errors
    ///
    /// When the secret cannot stand there.
    pub fn fixed(secret: SecretText, at: CredentialLocation) -> Result<Self, UnwritableSecret> {
        let mut trial = RequestHead::default();
        at.write(&secret, &mut trial)?;
        Ok(Self(Some(Fixed { secret, at })))
    }

    /// Puts the secret where the upstream expects it, replacing what is there.
    pub(super) fn write(&self, request: &mut RequestHead) {
        if let Some(Fixed { secret, at }) = &self.0 {
            at.write(secret, request)
                .expect("it could be written when it was made, and has not changed");
        }
    }
}
