//! The key database, for itself.

mod contract;
mod postgres;
mod reopening;
mod sqlite;
mod statements;
