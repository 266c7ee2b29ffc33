use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

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
