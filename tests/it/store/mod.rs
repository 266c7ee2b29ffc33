//! The key database, for itself.

mod contract;
mod sqlite;
mod statements;
