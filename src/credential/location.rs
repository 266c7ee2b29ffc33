use std::fmt;

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Uri};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use super::{Reading, SecretText, query, subprotocol};
use crate::key::PresentedKey;
use crate::message::{Fields, RequestHead};

/// Where in a request a secret sits. The same type serves both sides: we read the caller's key from a location, and
/// write our own to one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "in", rename_all = "kebab-case", deny_unknown_fields)]
pub enum CredentialLocation {
    /// `Authorization: <scheme> <secret>`; schemes compare without case. We write with the first.
    Authorization {
        /// The schemes that are read.
        schemes: Vec<String>,
    },
    /// `<name>: <secret>`, or with schemes, `<name>: <scheme> <secret>`.
    Header {
        /// The header's name.
        name: HeaderNameText,
        /// The schemes that are read, as in `authorization`; none when the secret stands alone.
        #[serde(default)]
        schemes: Vec<String>,
    },
    /// `?<name>=<secret>`. Off unless configured: URLs are logged.
    Query {
        /// The parameter's name.
        name: String,
    },
    /// `Sec-WebSocket-Protocol: …, <prefix><secret>, …`: the one place where a page in a browser can put the secret of a
    /// WebSocket. The word is taken out of the list; the server never chooses it.
    WebsocketProtocol {
        /// What the word begins with, such as `openai-insecure-api-key.`.
        prefix: String,
    },
}

/// Headers that frame or route a request.
const NEVER_A_CREDENTIAL: [&str; 15] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "sec-websocket-protocol",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// The secret cannot stand where it is to be put. Says nothing of the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret holds characters that cannot stand where it is to be put")]
pub struct UnwritableSecret;

/// What the four ways of saying it come down to.
enum Place<'l> {
    /// The header of this name; before the secret one of these schemes, if there are any.
    Header(&'l HeaderName, &'l [String]),
    /// The query parameter of this name.
    Parameter(&'l str),
    /// The WebSocket subprotocol that begins so.
    Subprotocol(&'l str),
}

impl CredentialLocation {
    fn place(&self) -> Place<'_> {
        match self {
            Self::Authorization { schemes } => Place::Header(&AUTHORIZATION, schemes),
            Self::Header { name, schemes } => Place::Header(name.as_name(), schemes),
            Self::Query { name } => Place::Parameter(name),
            Self::WebsocketProtocol { prefix } => Place::Subprotocol(prefix),
        }
    }

    /// What is here of a key. Allocates nothing.
    ///
    /// A place that is filled twice is malformed, even with one and the same key: which of the two another server
    /// reads is not ours to know. So is a scheme that we read without exactly one space and one key after it. A scheme
    /// that we do not read says nothing about a key (RFC 6750 3.1).
    #[must_use]
    pub fn read<'r>(&self, headers: &'r Fields, uri: &'r Uri) -> Reading<'r> {
        match self.place() {
            Place::Header(name, schemes) => {
                let values = headers.get_all(name);
                read_one(values, |value| read_value(value.as_bytes(), schemes))
            }
            Place::Parameter(name) => read_one(query::values(uri, name), read_parameter),
            Place::Subprotocol(prefix) => read_one(subprotocol::values(headers, prefix), parse),
        }
    }

    /// Empties the place.
    pub fn remove(&self, parts: &mut RequestHead) {
        match self.place() {
            Place::Header(name, _) => {
                parts.headers.remove(name);
            }
            Place::Parameter(name) => query::remove(&mut parts.uri, name),
            Place::Subprotocol(prefix) => subprotocol::remove(&mut parts.headers, prefix),
        }
    }

    /// Puts a secret of ours here, in place of whatever is here.
    ///
    /// # Errors
    ///
    /// When the secret cannot stand here; the place is empty then.
    pub fn write(
        &self,
        secret: &SecretText,
        parts: &mut RequestHead,
    ) -> Result<(), UnwritableSecret> {
        self.remove(parts);
        match self.place() {
            Place::Header(name, schemes) => {
                let value = match schemes.first() {
                    Some(scheme) => secret_value(&format!("{scheme} {}", secret.reveal()))?,
                    None => secret_value(secret.reveal())?,
                };
                parts.headers.insert(name, value);
                Ok(())
            }
            Place::Parameter(name) => query::add(&mut parts.uri, name, secret.reveal()),
            Place::Subprotocol(prefix) => {
                subprotocol::add(&mut parts.headers, prefix, secret.reveal())
            }
        }
    }

    /// Checks it as it is configured.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words.
    pub fn check(&self) -> Result<(), String> {
        match self.place() {
            Place::Header(name, _) if NEVER_A_CREDENTIAL.contains(&name.as_str()) => {
                Err(format!("{self} has another meaning"))
            }
            Place::Header(_, schemes) => {
                if schemes.is_empty() && matches!(self, Self::Authorization { .. }) {
                    return Err(format!("{self} needs a scheme, such as `Bearer`"));
                }
                match schemes.iter().find(|scheme| !is_plain_word(scheme)) {
                    Some(bad) => Err(format!("`{}` is no scheme", bad.escape_debug())),
                    None => Ok(()),
                }
            }
            Place::Parameter(word) | Place::Subprotocol(word) if is_plain_word(word) => Ok(()),
            Place::Parameter(_) => Err(format!(
                "{self} has a name that a query cannot hold as it is"
            )),
            Place::Subprotocol(_) => {
                Err(format!("{self} must be letters, digits, `-`, `_` and `.`"))
            }
        }
    }

    /// Whether both are the same part of a request.
    pub(super) fn is_same_place(&self, other: &Self) -> bool {
        match (self.place(), other.place()) {
            (Place::Header(one, _), Place::Header(other, _)) => one == other,
            (Place::Parameter(one), Place::Parameter(other)) => one == other,
            // A word that begins as both say would hold two keys.
            (Place::Subprotocol(one), Place::Subprotocol(other)) => {
                one.starts_with(other) || other.starts_with(one)
            }
            _ => false,
        }
    }

    /// Whether this parameter of a query is the place.
    pub(super) fn is_parameter(&self, parameter: &str) -> bool {
        matches!(self.place(), Place::Parameter(name) if query::is_named(parameter, name))
    }

    /// Whether this WebSocket subprotocol is the place.
    pub(super) fn is_subprotocol(&self, word: &[u8]) -> bool {
        matches!(self.place(), Place::Subprotocol(prefix) if word.starts_with(prefix.as_bytes()))
    }

    /// The header it is, if it is one.
    pub(super) fn header_name(&self) -> Option<&HeaderName> {
        match self.place() {
            Place::Header(name, _) => Some(name),
            Place::Parameter(_) | Place::Subprotocol(_) => None,
        }
    }
}

impl fmt::Display for CredentialLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place() {
            Place::Header(name, _) => write!(f, "header `{name}`"),
            Place::Parameter(name) => write!(f, "query parameter `{}`", name.escape_debug()),
            Place::Subprotocol(prefix) => {
                write!(f, "WebSocket subprotocol `{}`", prefix.escape_debug())
            }
        }
    }
}

/// What a place holds that should have one value at most.
fn read_one<'r, V>(
    mut values: impl Iterator<Item = V>,
    read: impl FnOnce(V) -> Reading<'r>,
) -> Reading<'r> {
    match (values.next(), values.next()) {
        (None, _) => Reading::Absent,
        (Some(value), None) => read(value),
        (Some(_), Some(_)) => Reading::Malformed,
    }
}

fn read_value<'r>(value: &'r [u8], schemes: &[String]) -> Reading<'r> {
    let value = value.trim_ascii();
    if schemes.is_empty() {
        return parse(value);
    }
    let end = value.iter().position(u8::is_ascii_whitespace);
    let (scheme, after) = value.split_at(end.unwrap_or(value.len()));
    let is_read = |known: &String| {
        let known = known.as_bytes();
        // Most write it as it is written in the settings.
        scheme == known || scheme.eq_ignore_ascii_case(known)
    };
    match after {
        _ if !schemes.iter().any(is_read) => Reading::Absent,
        // A key holds no space, so a second one makes it malformed.
        [b' ', key @ ..] => parse(key),
        _ => Reading::Malformed,
    }
}

/// A parameter is read as it came: what decoding would change is no key.
fn read_parameter(value: Option<&str>) -> Reading<'_> {
    match value {
        Some(key) if !key.contains(['%', '+']) => parse(key.as_bytes()),
        _ => Reading::Malformed,
    }
}

fn parse(key: &[u8]) -> Reading<'_> {
    PresentedKey::parse(key).map_or(Reading::Malformed, Reading::Found)
}

/// `token` of RFC 9110 5.6.2, without the characters that a query or a reader could stumble over.
fn is_plain_word(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !text.is_empty() && text.bytes().all(is_plain)
}

fn secret_value(text: &str) -> Result<HeaderValue, UnwritableSecret> {
    let is_visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    if !text.bytes().all(is_visible) {
        return Err(UnwritableSecret);
    }
    let mut value = HeaderValue::from_str(text).map_err(|_| UnwritableSecret)?;
    value.set_sensitive(true);
    Ok(value)
}

/// A header name as it is written in the settings: checked, in lower case.
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderNameText(HeaderName);

impl HeaderNameText {
    /// A name known when this was written, in lower case.
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        Self(HeaderName::from_static(name))
    }

    /// The name.
    #[must_use]
    pub const fn as_name(&self) -> &HeaderName {
        &self.0
    }
}

impl fmt::Debug for HeaderNameText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<'de> Deserialize<'de> for HeaderNameText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let name = HeaderName::try_from(text.as_str()).map_err(|_| {
            D::Error::custom(format!("`{}` is no header name", text.escape_debug()))
        })?;
        Ok(Self(name))
    }
}
