use std::fmt;

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use super::{Reading, SecretText, query};
use crate::key::PresentedKey;

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
    /// `<name>: <secret>`.
    Header {
        /// The header's name.
        name: HeaderNameText,
    },
    /// `?<name>=<secret>`. Off unless configured: URLs are logged.
    Query {
        /// The parameter's name.
        name: String,
    },
}

/// Headers that frame or route a request.
const NEVER_A_CREDENTIAL: [&str; 14] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
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

impl CredentialLocation {
    /// What is here of a key.
    #[must_use]
    pub fn read<'r>(&self, headers: &'r HeaderMap, uri: &'r Uri) -> Reading<'r> {
        match self {
            Self::Authorization { schemes } => read_one(headers.get_all(AUTHORIZATION), |value| {
                read_authorization(value.as_bytes(), schemes)
            }),
            Self::Header { name } => read_one(headers.get_all(name.as_name()), |value| {
                parse(value.as_bytes().trim_ascii())
            }),
            Self::Query { name } => read_one(query::values(uri, name), |value| match value {
                Some(key) => parse(key.as_bytes()),
                None => Reading::Malformed,
            }),
        }
    }

    /// Empties the place.
    pub fn remove(&self, parts: &mut Parts) {
        match self {
            Self::Authorization { .. } => {
                parts.headers.remove(AUTHORIZATION);
            }
            Self::Header { name } => {
                parts.headers.remove(name.as_name());
            }
            Self::Query { name } => query::remove(&mut parts.uri, name),
        }
    }

    /// Puts a secret of ours here, in place of whatever is here.
    ///
    /// # Errors
    ///
    /// When the secret cannot stand here.
    pub fn write(&self, secret: &SecretText, parts: &mut Parts) -> Result<(), UnwritableSecret> {
        self.remove(parts);
        match self {
            Self::Authorization { schemes } => {
                let scheme = schemes.first().map_or("Bearer", String::as_str);
                let value = secret_value(&format!("{scheme} {}", secret.reveal()))?;
                parts.headers.insert(AUTHORIZATION, value);
            }
            Self::Header { name } => {
                parts
                    .headers
                    .insert(name.as_name(), secret_value(secret.reveal())?);
            }
            Self::Query { name } => query::add(&mut parts.uri, name, secret.reveal())?,
        }
        Ok(())
    }

    /// What is wrong with it as it is configured, in words.
    pub fn mistakes(&self) -> Vec<String> {
        match self {
            Self::Authorization { schemes } if schemes.is_empty() => {
                vec!["`authorization` has no schemes".to_owned()]
            }
            Self::Authorization { schemes } => {
                let bad = schemes.iter().filter(|scheme| !is_token(scheme));
                bad.map(|scheme| format!("`{}` is no scheme", scheme.escape_debug()))
                    .collect()
            }
            Self::Header { name } if NEVER_A_CREDENTIAL.contains(&name.as_name().as_str()) => {
                vec![format!("{self} has another meaning")]
            }
            Self::Header { .. } => Vec::new(),
            Self::Query { name } if is_token(name) => Vec::new(),
            Self::Query { name } => {
                vec![format!(
                    "`{}` is no name of a query parameter",
                    name.escape_debug()
                )]
            }
        }
    }

    /// Whether both read the same part of a request.
    pub(super) fn is_same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Query { name: one }, Self::Query { name: other }) => one == other,
            (Self::Query { .. }, _) | (_, Self::Query { .. }) => false,
            _ => self.header_name() == other.header_name(),
        }
    }

    /// The header it reads, if it reads one.
    pub(super) fn header_name(&self) -> Option<&HeaderName> {
        match self {
            Self::Authorization { .. } => Some(&AUTHORIZATION),
            Self::Header { name } => Some(name.as_name()),
            Self::Query { .. } => None,
        }
    }
}

impl fmt::Display for CredentialLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authorization { .. } => f.write_str("header `authorization`"),
            Self::Header { name } => write!(f, "header `{}`", name.as_name()),
            Self::Query { name } => write!(f, "query parameter `{}`", name.escape_debug()),
        }
    }
}

/// What a place with these values holds. A place may be filled once: which of two would another server read?
fn read_one<'r, V>(
    values: impl IntoIterator<Item = V>,
    read: impl FnOnce(V) -> Reading<'r>,
) -> Reading<'r> {
    let mut values = values.into_iter();
    match (values.next(), values.next()) {
        (None, _) => Reading::Absent,
        (Some(value), None) => read(value),
        (Some(_), Some(_)) => Reading::Malformed,
    }
}

fn read_authorization<'r>(value: &'r [u8], schemes: &[String]) -> Reading<'r> {
    let value = value.trim_ascii();
    let end = value.iter().position(u8::is_ascii_whitespace);
    let (scheme, after) = value.split_at(end.unwrap_or(value.len()));
    let is_read = |known: &String| scheme.eq_ignore_ascii_case(known.as_bytes());
    match after {
        // Another way of authenticating: not for us (RFC 6750 3.1 calls that lacking a credential).
        _ if !schemes.iter().any(is_read) => Reading::Absent,
        // A key holds no space, so a second one makes it malformed.
        [b' ', key @ ..] => parse(key),
        _ => Reading::Malformed,
    }
}

fn parse(key: &[u8]) -> Reading<'_> {
    PresentedKey::parse(key).map_or(Reading::Malformed, Reading::Found)
}

/// `token` of RFC 9110 5.6.2, without the characters that a query or a reader could stumble over.
fn is_token(text: &str) -> bool {
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
