use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

/// Where a secret of ours is to be found. Plain data: reading it is `config`'s work.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum SecretSource {
    /// In the settings themselves.
    Inline(SecretText),
    /// In this environment variable.
    Env(String),
    /// In this file; a final line end is not part of it.
    File(PathBuf),
}

/// A secret that must not be printed: its `Debug` shows `***`, and it has no `Display`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretText(String);

impl SecretText {
    /// Wraps a secret.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself, for the one place that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A secret as a list of keys writes it: `"env.NAME"`, or any form of [`SecretSource`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretValue(pub SecretSource);

/// A value that is no secret, as a list of keys writes it: plain text, or as [`SecretValue`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainValue(pub SecretSource);

impl<'de> Deserialize<'de> for SecretValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let takes_text = false;
        deserializer
            .deserialize_any(Written { takes_text })
            .map(Self)
    }
}

impl<'de> Deserialize<'de> for PlainValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let takes_text = true;
        deserializer
            .deserialize_any(Written { takes_text })
            .map(Self)
    }
}

/// Reads a value of either kind.
struct Written {
    takes_text: bool,
}

impl<'de> Visitor<'de> for Written {
    type Value = SecretSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.takes_text {
            "text, which `env.NAME` takes from the environment"
        } else {
            "`env.NAME`, or one of `{ file = … }`, `{ env = … }`, `{ inline = … }`"
        })
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<SecretSource, E> {
        match text.strip_prefix("env.") {
            Some(name) if !name.is_empty() => Ok(SecretSource::Env(name.to_owned())),
            None if self.takes_text => Ok(SecretSource::Inline(SecretText::new(text.to_owned()))),
            _ => Err(E::custom(format_args!(
                "must be {}",
                &self as &dyn serde::de::Expected
            ))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecretSource, A::Error> {
        SecretSource::deserialize(MapAccessDeserializer::new(map))
    }
}

/// A secret that may become another: what it was read from can be looked at again. Copies are the same secret.
#[derive(Clone)]
pub struct LiveSecret(Arc<Live>);

struct Live {
    current: ArcSwap<SecretText>,
    again: Option<ReadAgain>,
}

/// Reads the secret anew, or says in words why that cannot be; never with a part of it.
type ReadAgain = Box<dyn Fn() -> Result<SecretText, String> + Send + Sync>;

impl LiveSecret {
    /// One that stays what it is.
    #[must_use]
    pub fn fixed(text: SecretText) -> Self {
        Self::new(text, None)
    }

    /// One that is `text` now, and later what `again` reads.
    #[must_use]
    pub fn reread(
        text: SecretText,
        again: impl Fn() -> Result<SecretText, String> + Send + Sync + 'static,
    ) -> Self {
        Self::new(text, Some(Box::new(again)))
    }

    fn new(text: SecretText, again: Option<ReadAgain>) -> Self {
        Self(Arc::new(Live {
            current: ArcSwap::from_pointee(text),
            again,
        }))
    }

    /// What it is now.
    #[must_use]
    pub fn current(&self) -> Arc<SecretText> {
        self.0.current.load_full()
    }

    /// Whether looking again may find another.
    #[must_use]
    pub fn may_change(&self) -> bool {
        self.0.again.is_some()
    }

    /// Looks again: whether it has become another. Blocks as long as the file system does.
    ///
    /// # Errors
    ///
    /// Why what is found is no secret; it stays what it was then.
    pub fn look(&self) -> Result<bool, String> {
        let Some(again) = &self.0.again else {
            return Ok(false);
        };
        let found = again()?;
        let is_another = **self.0.current.load() != found;
        if is_another {
            self.0.current.store(Arc::new(found));
        }
        Ok(is_another)
    }
}

impl fmt::Debug for LiveSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
