//! The command line, through the real binary: both streams whole, and exit codes (CONTRACTS 9).

mod api_key;
mod both_ways;
mod config;
mod database;
mod health;
mod help;
mod jq;
mod profile;
mod refusals;
pub mod shell;
mod team;
mod terminal;
mod wait;
