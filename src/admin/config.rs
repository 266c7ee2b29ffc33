use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;

use crate::credential::SecretSource;

/// The admin listener, as written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// Where administrators connect.
    pub listen: SocketAddr,
    /// The admin token; absent: one is made at the first start and shown once.
    pub token: Option<SecretSource>,
    /// Which dialects are spoken.
    pub dialects: Vec<String>,
    /// Further names this listener may be called by, beside its address and `localhost` (SECURITY A3).
    pub hosts: Vec<String>,
    /// The largest request body, in bytes.
    pub body_bytes: usize,
    /// Connections at once.
    pub connections: usize,
    /// How long a request may take.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub request_timeout: Duration,
    /// Whether the admin page is served.
    pub page: bool,
    /// Failed attempts a source address may make in a minute before it is slowed.
    pub failures_per_minute: u32,
}

/// The listener of probes and metrics, as written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProbesConfig {
    /// Where `/livez`, `/readyz`, `/startupz` and `/metrics` are served.
    pub listen: SocketAddr,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9090)),
            token: None,
            dialects: ["baseten", "px0", "bifrost"].map(str::to_owned).into(),
            hosts: Vec::new(),
            body_bytes: 64 * 1024,
            connections: 64,
            request_timeout: Duration::from_secs(10),
            page: true,
            failures_per_minute: 30,
        }
    }
}

impl Default for ProbesConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9091)),
        }
    }
}
