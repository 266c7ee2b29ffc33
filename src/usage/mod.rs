//! When keys were last used.

mod config;

pub use config::UsageConfig;
