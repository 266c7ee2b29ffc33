//! The command line, through the real binary: both streams whole, and exit codes (CONTRACTS 9).

mod api_key;
mod audit;
mod beside_server;
mod both_ways;
mod config;
mod database;
mod doctor;
mod every_change;
mod explain;
mod export;
mod from_others;
mod health;
mod help;
pub mod import;
mod jq;
mod life;
mod migrate;
mod pages;
mod profile;
mod recorded;
mod refusals;
pub mod shell;
mod team;
mod terminal;
mod top;
mod wait;
