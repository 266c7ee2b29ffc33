//! Where a secret sits in a request.

mod location;
mod source;

pub use location::{CredentialLocation, HeaderNameText};
pub use source::{SecretSource, SecretText};
