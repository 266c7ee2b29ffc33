//! The key database, for itself.

mod contract;
mod reopening;
mod sqlite;
mod statements;
