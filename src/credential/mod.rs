//! Where a secret sits in a request.
//!
//! [`CredentialLocations::read`] looks in every configured place. A request that presents two different keys, or a
//! malformed one beside a good one, is malformed: never the first wins (CONTRACTS 3, SECURITY C1).
//! [`CredentialLocations::remove`] empties those places and all others where a secret commonly sits, used or not, so
//! that no caller's secret goes on (C9).

mod location;
mod query;
mod source;
mod subprotocol;

#[cfg(test)]
mod tests;

use http::Uri;
use http::header::{AUTHORIZATION, HeaderName, PROXY_AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};

use crate::key::{PresentedKey, holds_a_key};
use crate::message::{Fields, RequestHead};

pub use location::{CredentialLocation, HeaderNameText, UnwritableSecret};
pub use source::{LiveSecret, PlainValue, SecretSource, SecretText, SecretValue};

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
    /// The names of all headers that are emptied, with `-` for `_` and `.`.
    names: Box<[Box<str>]>,
    /// The lengths of these names, one bit for each: most headers are told apart by theirs.
    lengths: u64,
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
            Ok(Self::of(locations.into()))
        } else {
            Err(mistakes)
        }
    }

    fn of(locations: Box<[CredentialLocation]>) -> Self {
        let configured = locations.iter().filter_map(CredentialLocation::header_name);
        let names = ALWAYS_REMOVED.iter().chain(configured);
        let names: Box<[Box<str>]> = names
            .map(|name| name.as_str().replace(['_', '.'], "-").into())
            .collect();
        let bits = names.iter().map(|name| length_bit(name));
        let lengths = bits.fold(0, |bits, bit| bits | bit);
        Self {
            locations,
            names,
            lengths,
        }
    }

    /// The key a request presents.
    ///
    /// Looks in every place. The same key in two places is one key. A key in the target, where we look for none, makes
    /// the request malformed: it would go on, and whoever is called writes targets down. Allocates nothing.
    #[must_use]
    pub fn read<'r>(&self, headers: &'r Fields, uri: &'r Uri) -> Reading<'r> {
        match self.read_places(headers, uri) {
            Reading::Found(key) if self.strays_into(uri, key) => Reading::Malformed,
            reading => reading,
        }
    }

    /// What all places together hold.
    fn read_places<'r>(&self, headers: &'r Fields, uri: &'r Uri) -> Reading<'r> {
        let each = self
            .locations
            .iter()
            .map(|location| location.read(headers, uri));
        each.fold(Reading::Absent, Reading::and)
    }

    /// Whether the presented key, or any of ours, stands in the path or in a parameter that is no place for one.
    fn strays_into(&self, uri: &Uri, key: PresentedKey<'_>) -> bool {
        let holds = |text: &str| key.is_within(text.as_bytes()) || holds_a_key(text.as_bytes());
        let is_no_place =
            |text: &&str| !self.locations.iter().any(|place| place.is_parameter(text));
        let parameters = uri.query().into_iter().flat_map(|query| query.split('&'));
        holds(uri.path()) || parameters.filter(is_no_place).any(holds)
    }

    /// Takes every secret of the caller's off a request: out of the configured places, out of the headers where one
    /// commonly sits, and, with its whole header, wherever else among the headers the presented key or any of ours
    /// stands.
    ///
    /// The path and unconfigured query parameters stay as they are: [`Self::read`] lets no key pass there. Allocates only
    /// for what is not in `Authorization`.
    pub fn remove(&self, parts: &mut RequestHead) {
        // First, because the key is known only as long as it is in its place.
        let others = self.other_headers(parts);
        parts.headers.remove_all(others);
        parts.headers.remove(&AUTHORIZATION);
        // Those that are headers are empty now.
        for location in &self.locations {
            if location.header_name().is_none() {
                location.remove(parts);
            }
        }
    }

    /// The headers besides `Authorization` that are to go: by their names, or because they hold a key. Mostly there are
    /// none.
    fn other_headers(&self, parts: &RequestHead) -> Vec<HeaderName> {
        // A request whose places hold two has been refused.
        let mut places = self.locations.iter();
        let key = places.find_map(|place| match place.read(&parts.headers, &parts.uri) {
            Reading::Found(key) => Some(key),
            Reading::Absent | Reading::Malformed => None,
        });
        let headers = parts.headers.iter();
        let others = headers.filter(|(name, _)| *name != AUTHORIZATION);
        let to_go = others.filter(|(name, value)| {
            self.is_credential_name(name)
                || key.is_some_and(|key| self.is_holder(key, name, value.as_bytes()))
        });
        to_go.map(|(name, _)| name.clone()).collect()
    }

    /// Whether the presented key, or any of ours, stands in a header that is no place for one.
    fn is_holder(&self, key: PresentedKey<'_>, name: &HeaderName, value: &[u8]) -> bool {
        let holds = |text: &[u8]| key.is_within(text) || holds_a_key(text);
        if *name != SEC_WEBSOCKET_PROTOCOL {
            return holds(value);
        }
        // The words that are places are taken out one by one.
        let is_no_place = |word: &&[u8]| !self.locations.iter().any(|at| at.is_subprotocol(word));
        subprotocol::words_of(value).filter(is_no_place).any(holds)
    }

    /// Whether a header of this name holds a secret of the caller's, or is read as such a one by a server that takes
    /// `_` and `.` for `-` (SECURITY C7). For trailers and for what `Connection` names, too.
    #[must_use]
    pub fn is_credential_name(&self, name: &HeaderName) -> bool {
        let name = name.as_str();
        self.lengths & length_bit(name) != 0 && self.names.iter().any(|known| reads_as(name, known))
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

/// The bit of a name's length; all long names share one.
fn length_bit(name: &str) -> u64 {
    1 << name.len().min(63)
}

/// Whether a name in lower case is this one to a server that takes `_` and `.` for `-`.
fn reads_as(name: &str, known: &str) -> bool {
    let is_alike =
        |(byte, known): (u8, u8)| byte == known || (known == b'-' && matches!(byte, b'_' | b'.'));
    name.len() == known.len() && name.bytes().zip(known.bytes()).all(is_alike)
}
