//! The key database, for itself.

mod contract;
mod statements;
