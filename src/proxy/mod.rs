//! The data listener.

mod config;

pub use config::{Forwarded, LimitsConfig, ProxyConfig};
