//! The only file that reads the environment. An empty variable counts as one that is not set.

use std::env;
use std::path::PathBuf;

/// The variable `name`; `None` when it is not set, empty, or not Unicode.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "this file is where the environment is read"
)]
pub fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The path in the variable `name`; `None` when it is not set or empty.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "this file is where the environment is read"
)]
pub fn path(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// Every variable that is Unicode, as it stands.
#[must_use]
pub fn variables() -> Vec<(String, String)> {
    let unicode = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    unicode.collect()
}
