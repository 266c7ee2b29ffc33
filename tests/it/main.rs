//! Everything that crosses a room, in one binary.
#![expect(
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test may panic: that is how it fails"
)]
#![expect(
    clippy::needless_raw_string_hashes,
    reason = "snapbox writes snapshots so"
)]

mod access_log;
mod admin;
mod cache;
mod cli;
mod config;
mod deploy;
mod durability;
mod flood;
mod fuzz;
mod house;
mod logging;
mod metrics;
mod outage;
mod proxy;
mod readers;
mod readme;
mod registry;
mod secrecy;
mod store;
mod support;
mod usage;
