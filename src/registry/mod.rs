//! List, create, delete: what administrators do to keys, whatever dialect they speak.

mod command;

pub use command::{Caller, Command, CreateKey, Outcome, RegistryError};
