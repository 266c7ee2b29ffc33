use std::fmt;

use http::HeaderName;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

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

/// A header name as it is written in the settings: checked, in lower case.
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderNameText(HeaderName);

impl HeaderNameText {
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
