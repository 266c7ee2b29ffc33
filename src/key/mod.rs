//! What a key is and what it may do: the vocabulary of the house.
//!
//! Pure: no I/O, no clock, no async. A key's text has a form and a checksum ([`PresentedKey`], [`NewSecret`]); only
//! its [`KeyDigest`] is ever kept. What is stored is an [`ApiKey`]; what memory holds of it is a [`Grant`], and
//! [`Grant::check`] is the one place where it is decided whether a request may go on.

mod actor;
mod category;
mod digest;
mod grant;
mod import;
mod last_used;
mod record;
mod scope;
mod sealed;
mod secret;
mod time;

pub use actor::{Actor, Origin};
pub use category::{InvalidCategory, KeyCategory, Operation};
pub use digest::{InvalidDigest, KeyDigest};
pub use grant::{Denial, Grant, Identity, LocalGrant, NamedModel, Permit, Purpose};
pub use import::ImportedKey;
pub use last_used::{LastUsed, Touch};
pub use record::{
    ApiKey, InvalidName, KeyFilter, KeyId, KeySelector, KeyUpdate, MAX_NAME_CHARS, Name, NewApiKey,
    OldDigest, OrgId, Rights, Rotation, Team, TeamId, TeamRef,
};
pub use scope::{
    InvalidPattern, InvalidScope, MAX_MODEL_BYTES, MAX_PATTERNS, ModelId, ModelPattern, ModelScope,
    ScopesRead,
};
pub use secret::{
    ENTROPY_BYTES, InvalidPrefix, KeyPrefix, MAX_PRESENTED_BYTES, MalformedKey, NewSecret,
    PresentedKey, holds_a_key,
};
pub use time::UnixTime;
