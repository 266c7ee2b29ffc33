//! What is remembered about keys.

mod config;

pub use config::CacheConfig;
