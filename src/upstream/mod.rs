//! The model servers.

mod config;

pub use config::{CredentialConfig, UpstreamConfig, UpstreamLimits};
