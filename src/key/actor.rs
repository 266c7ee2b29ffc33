use std::fmt;
use std::net::IpAddr;

use super::{KeyPrefix, Name};

/// Who changes a key, and from where: what the audit trail keeps beside the change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// In whose name.
    pub name: Name,
    /// The prefix of the key that was presented; none for the admin token, and for whoever has the database itself.
    pub key: Option<KeyPrefix>,
    /// From where.
    pub from: Origin,
}

/// From where a key is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// By the command line, straight on the database.
    Database,
    /// Through the admin listener, from this address.
    Address(IpAddr),
}

/// The address, or the word `database`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database => f.write_str("database"),
            Self::Address(address) => address.fmt(f),
        }
    }
}
