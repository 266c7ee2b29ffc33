//! The control listener.

mod config;

pub use config::{AdminConfig, ProbesConfig};
