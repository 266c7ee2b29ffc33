//! The process: build, wire, serve, close.

mod config;

pub use config::ShutdownConfig;
