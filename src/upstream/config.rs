use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http::uri::{Authority, Scheme};
use serde::Deserialize;

use crate::credential::{CredentialLocation, SecretSource, SecretText, UnwritableSecret};
use crate::tls::{ClientTls, UpstreamTlsConfig};

/// One model server, as written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamConfig {
    /// Where it is: `http://127.0.0.1:8000`. Scheme and authority, no path.
    pub url: String,
    /// What we present in place of the caller's key.
    #[serde(default)]
    pub credential: CredentialConfig,
    /// Which `Host` it is sent.
    #[serde(default)]
    pub host: HostHeader,
    /// Whom we trust to be it, and what we show it, when its url begins with `https`.
    pub tls: Option<UpstreamTlsConfig>,
    /// How long things may take, and how large they may be.
    #[serde(default)]
    pub limits: UpstreamLimits,
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
            head_timeout: Duration::from_mins(10),
            pool_idle_timeout: Duration::from_millis(1_500),
            pool_idle_connections: 256,
            response_head_bytes: 64 * 1024,
        }
    }
}

/// One model server, checked and complete: what every worker makes its pool from.
#[derive(Debug, Clone)]
pub struct UpstreamPlan {
    /// Its name in the settings, and the label of its metrics.
    pub name: String,
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Where it is.
    pub authority: Authority,
    /// How it is met; there for `https`.
    pub tls: Option<Arc<ClientTls>>,
    /// Which `Host` it is sent.
    pub host: HostHeader,
    /// What we present to it.
    pub credential: UpstreamCredential,
    /// How long things may take, and how large they may be.
    pub limits: UpstreamLimits,
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
        let (mut trial, ()) = Request::new(()).into_parts();
        at.write(&secret, &mut trial)?;
        Ok(Self(Some(Fixed { secret, at })))
    }

    /// Puts the secret where the upstream expects it, replacing what is there.
    pub(super) fn write(&self, request: &mut http::request::Parts) {
        if let Some(Fixed { secret, at }) = &self.0 {
            at.write(secret, request)
                .expect("it could be written when it was made, and has not changed");
        }
    }
}
