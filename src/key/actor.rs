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
    /// By keyward itself, at its first start.
    Start,
    /// Through the admin listener, from this address.
    Address(IpAddr),
}

/// The address, or the word `database` or `start`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database => f.write_str("database"),
            Self::Start => f.write_str("start"),
            Self::Address(address) => address.fmt(f),
        }
    }
}
