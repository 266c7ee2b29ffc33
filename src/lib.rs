//! keyward
pub mod admin;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod credential;
pub mod key;
pub mod proxy;
pub mod registry;
pub mod route;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod upstream;
pub mod usage;
