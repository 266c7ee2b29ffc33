use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

/// TLS towards callers, as written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerTlsConfig {
    /// The certificate and its chain, in PEM, our own certificate first.
    pub certificate: PathBuf,
    /// Its private key, in PEM, not encrypted.
    pub key: PathBuf,
    /// The oldest version that is spoken.
    #[serde(default)]
    pub min_version: LeastVersion,
    /// Whether callers show certificates of their own.
    #[serde(default)]
    pub client_certificates: ClientCertificates,
    /// Who issues these, in PEM; one of them is enough.
    pub client_ca: Option<PathBuf>,
    /// How long a handshake may take, from the accepted connection to its end.
    #[serde(
        default = "handshake_timeout",
        with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required"
    )]
    pub handshake_timeout: Duration,
    /// How many sessions are remembered for callers that resume them by id; 0 is no resumption, by tickets either.
    #[serde(default = "sessions")]
    pub sessions: usize,
}

fn handshake_timeout() -> Duration {
    Duration::from_secs(10)
}

fn sessions() -> usize {
    4_096
}

/// The oldest version of TLS that is spoken; 1.3 always is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum LeastVersion {
    /// TLS 1.2, with forward secrecy and authenticated encryption only.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 alone.
    #[serde(rename = "1.3")]
    Tls13,
}

/// Whether callers show certificates of their own. A caller's key is asked for in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientCertificates {
    /// They are not asked to.
    #[default]
    None,
    /// They may; one that is wrong is refused.
    Optional,
    /// They must.
    Required,
}

/// TLS towards one upstream, as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamTlsConfig {
    /// Whose certificates are trusted, in PEM, and nobody else's; Mozilla's list, which is compiled in, when absent.
    pub ca: Option<PathBuf>,
    /// The name that the upstream's certificate must hold; the url's host when absent.
    pub server_name: Option<String>,
    /// The certificate that we show, and its chain, in PEM.
    pub certificate: Option<PathBuf>,
    /// Its private key, in PEM, not encrypted.
    pub key: Option<PathBuf>,
}
