//! Where a secret sits in a request.
//!
//! [`CredentialLocations::read`] looks in every configured place. A request that presents two different keys, or a
//! malformed one beside a good one, is malformed: never the first wins (CONTRACTS 3, SECURITY C1).
//! [`CredentialLocations::remove`] empties those places and all others where a secret commonly sits, used or not, so
//! that no caller's secret goes on (C9).

mod location;
mod query;
mod source;

#[cfg(test)]
mod tests;

use http::header::{AUTHORIZATION, HeaderName, PROXY_AUTHORIZATION};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Uri};

use crate::key::PresentedKey;

pub use location::{CredentialLocation, HeaderNameText, UnwritableSecret};
pub use source::{SecretSource, SecretText};

/// Headers that hold secrets of callers, configured or not.
static ALWAYS_REMOVED: [HeaderName; 7] = [
    AUTHORIZATION,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
    HeaderName::from_static("x-bf-vk"),
    HeaderName::from_static("baseten-authorization"),
];

/// Every place where a caller's key may sit.
#[derive(Debug, Clone)]
pub struct CredentialLocations {
    locations: Box<[CredentialLocation]>,
}

/// What looking for a key found. Absent and malformed are different answers.
#[derive(Debug, Clone, Copy)]
pub enum Reading<'r> {
    /// No key.
    Absent,
    /// Something that cannot be a key, or several keys that differ.
    Malformed,
    /// One key.
    Found(PresentedKey<'r>),
}

impl CredentialLocations {
    /// Checks the places as they are configured.
    ///
    /// # Errors
    ///
    /// Every mistake, in words.
    pub fn new(locations: Vec<CredentialLocation>) -> Result<Self, Vec<String>> {
        let mut mistakes = Vec::new();
        if locations.is_empty() {
            mistakes.push("there is no place for a key, so no call could pass".to_owned());
        }
        for (place, location) in locations.iter().enumerate() {
            mistakes.extend(location.check().err());
            let is_same = |earlier: &CredentialLocation| earlier.is_same_place(location);
            if locations[..place].iter().any(is_same) {
                mistakes.push(format!("{location} appears twice"));
            }
        }
        if mistakes.is_empty() {
            let locations = locations.into();
            Ok(Self { locations })
        } else {
            Err(mistakes)
        }
    }

    /// The key a request presents.
    ///
    /// Looks in every place. The same key in two places is one key. Allocates nothing.
    #[must_use]
    pub fn read<'r>(&self, headers: &'r HeaderMap, uri: &'r Uri) -> Reading<'r> {
        let each = self
            .locations
            .iter()
            .map(|location| location.read(headers, uri));
        each.fold(Reading::Absent, Reading::and)
    }

    /// Takes every secret of the caller's off a request: out of the configured places, out of the headers where one
    /// commonly sits, and, with its whole header, wherever else among the headers the presented key stands.
    ///
    /// The path and unconfigured query parameters stay as they are.
    pub fn remove(&self, parts: &mut Parts) {
        // First, because the key is known only as long as it is in its place. Mostly there are none: no allocation.
        for name in self.unusual_holders(parts) {
            parts.headers.remove(name);
        }
        for name in &ALWAYS_REMOVED {
            parts.headers.remove(name);
        }
        for location in &self.locations {
            location.remove(parts);
        }
    }

    /// The headers with the presented key in them, or with a name that some server reads as a credential's.
    fn unusual_holders(&self, parts: &Parts) -> Vec<HeaderName> {
        let reading = self.read(&parts.headers, &parts.uri);
        let holds_key = |value: &HeaderValue| match reading {
            Reading::Found(key) => key.is_within(value.as_bytes()),
            Reading::Absent | Reading::Malformed => false,
        };
        let unusual = parts.headers.iter().filter(|(name, value)| {
            let is_usual = self.credential_names().any(|known| known == name);
            !is_usual && (self.is_credential_name(name) || holds_key(value))
        });
        unusual.map(|(name, _)| name.clone()).collect()
    }

    /// Whether a header of this name holds a secret of the caller's, or is read as such a one by a server that takes
    /// `_` and `.` for `-` (SECURITY C7). For trailers and for what `Connection` names, too.
    #[must_use]
    pub fn is_credential_name(&self, name: &HeaderName) -> bool {
        self.credential_names()
            .any(|known| reads_as(name.as_str(), known.as_str()))
    }

    fn credential_names(&self) -> impl Iterator<Item = &HeaderName> {
        let configured = self
            .locations
            .iter()
            .filter_map(CredentialLocation::header_name);
        ALWAYS_REMOVED.iter().chain(configured)
    }
}

impl Reading<'_> {
    /// What two readings of one request are together.
    #[must_use]
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Absent, reading) | (reading, Self::Absent) => reading,
            (Self::Found(one), Self::Found(other)) if one.is_same_text(other) => self,
            _ => Self::Malformed,
        }
    }
}

/// Whether two names, both in lower case, are one to a server that takes `_` and `.` for `-`.
fn reads_as(name: &str, known: &str) -> bool {
    let plain = |byte: u8| {
        if matches!(byte, b'_' | b'.') {
            b'-'
        } else {
            byte
        }
    };
    name.len() == known.len() && name.bytes().map(plain).eq(known.bytes().map(plain))
}
