use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

/// This process among others on the same key database, as written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// What people call this instance; the host's name when absent.
    pub name: Option<String>,
    /// The Unix socket at which the next process asks this one for its listening sockets; none unless set.
    pub handover: Option<PathBuf>,
    /// How often the instance says in the key database that it is there, though nobody asks.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub report_every: Duration,
    /// How often the files of certificates and keys are looked at, callers' side and upstreams'.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub certificates_every: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            name: None,
            handover: None,
            report_every: Duration::from_secs(5),
            certificates_every: Duration::from_secs(5),
        }
    }
}

/// How the process closes, as written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShutdownConfig {
    /// How long the listener stays open after readiness is off, so that balancers notice.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub delay: Duration,
    /// How long everything may take, the delay included (Kubernetes kills at 30 s).
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub deadline: Duration,
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        Self {
            delay: Duration::from_secs(2),
            deadline: Duration::from_secs(25),
        }
    }
}
