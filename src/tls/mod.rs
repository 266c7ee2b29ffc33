//! Certificates and keys: read from files, checked, and read again when the files change.
//!
//! [`ServerTls`] is what callers are met with, [`ClientTls`] what upstreams are met with. Both hold what they last read
//! that fits together; what does not is told, and changes nothing. No message quotes what a file holds.
//!
//! TLS 1.2 and 1.3 by rustls and aws-lc-rs, always with its provider given: the process-wide default is not touched.

mod client;
mod config;
mod error;
mod expiry;
mod files;
mod pem;
mod reread;
mod server;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use client::ClientTls;
pub use config::{ClientCertificates, LeastVersion, ListenerTlsConfig, UpstreamTlsConfig};
pub use error::TlsError;
pub use reread::Look;
pub use server::ServerTls;

/// The one source of cryptography.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
