//! The environment: the only file of the program that reads it. An empty variable counts as one that is not set.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::{Path as FilePath, PathBuf};

use super::mistake::Mistakes;
use super::path::Path;
use super::secret;
use super::tree::{Node, Origin, Value};

/// Short names for what nearly everyone sets.
const SHORT: [(&str, &str); 5] = [
    ("KEYWARD_LISTEN", "proxy.listen"),
    ("KEYWARD_UPSTREAM", "upstreams.default.url"),
    ("KEYWARD_DATABASE_URL", "store.url"),
    ("KEYWARD_ADMIN_LISTEN", "admin.listen"),
    ("KEYWARD_LOG", "log.level"),
];

/// Kubernetes gives these to every container beside a Service called `keyward`; they are no settings.
const SERVICE_LINKS: [&str; 2] = ["KEYWARD_PORT", "KEYWARD_SERVICE_"];

/// A variable that ends so names a file that holds the value.
const FILE: &str = "_FILE";

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

/// Environment variables. An empty one counts as unset.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    not_text: Vec<String>,
}

/// One variable that is a setting.
struct Setting<'e> {
    name: &'e str,
    value: &'e str,
    path: Vec<String>,
    is_file: bool,
}

impl Environment {
    /// The environment of this process, as it is now.
    #[must_use]
    pub fn of_process() -> Self {
        env::vars_os().collect()
    }

    /// The variable `name`, unless it is unset, empty or no text.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Lays every setting found here over `tree`.
    ///
    /// `KEYWARD_<SECTION>__<KEY>` is a setting, with `_FILE` after it the file that holds one; names that cannot be
    /// settings are found when the tree is read.
    pub fn overlay(&self, tree: &mut Node, mistakes: &mut Mistakes) {
        for name in self.not_text.iter().filter(|name| is_setting(name)) {
            mistakes.add(Some(name.clone()), Path::root(), "is not UTF-8 text");
        }
        let mut seen: BTreeMap<Path, &str> = BTreeMap::new();
        for setting in self.settings() {
            let origin = Origin::Environment(setting.name.to_owned());
            let path = match placed(tree, &setting.path) {
                Ok(path) => path,
                Err(path) => {
                    let message = "is no table: give the outer setting as a whole";
                    mistakes.add(Some(setting.name.to_owned()), path, message);
                    continue;
                }
            };
            if let Some(other) = seen.insert(path.clone(), setting.name) {
                let message = format!("is set by `{other}`, too");
                mistakes.add(Some(setting.name.to_owned()), path, message);
                continue;
            }
            let value = setting.value.to_owned();
            let value = match (setting.is_file, path.is_secret()) {
                (true, true) => secret_by("file", value, &origin),
                (true, false) => match secret::read_file(FilePath::new(&value)) {
                    Ok(text) => Value::Raw(text),
                    Err(message) => {
                        mistakes.add(Some(setting.name.to_owned()), path, message);
                        continue;
                    }
                },
                (false, true) if !value.trim_start().starts_with('{') => {
                    secret_by("inline", value, &origin)
                }
                (false, _) => Value::Raw(value),
            };
            tree.put(&path, Node { origin, value });
        }
    }

    fn settings(&self) -> impl Iterator<Item = Setting<'_>> {
        self.variables.iter().filter_map(|(name, value)| {
            let (bare, is_file) = match name.strip_suffix(FILE) {
                Some(bare) => (bare, true),
                None => (name.as_str(), false),
            };
            let short = SHORT.iter().find(|(short, _)| *short == bare);
            let path: Vec<String> = match short {
                Some((_, path)) => path.split('.').map(str::to_owned).collect(),
                None if is_setting(name) => bare
                    .strip_prefix("KEYWARD_")?
                    .split("__")
                    .map(str::to_ascii_lowercase)
                    .collect(),
                None => return None,
            };
            Some(Setting {
                name,
                value,
                path,
                is_file,
            })
        })
    }
}

impl FromIterator<(OsString, OsString)> for Environment {
    fn from_iter<I: IntoIterator<Item = (OsString, OsString)>>(variables: I) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            let Ok(name) = name.into_string() else {
                continue;
            };
            match value.into_string() {
                Ok(value) if value.is_empty() => {}
                Ok(value) => drop(environment.variables.insert(name, value)),
                Err(_) => environment.not_text.push(name),
            }
        }
        environment
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Environment {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(variables: I) -> Self {
        let owned = |(name, value): (&str, &str)| (OsString::from(name), OsString::from(value));
        variables.into_iter().map(owned).collect()
    }
}

/// Whether a variable of this name is meant for us, rightly or not.
fn is_setting(name: &str) -> bool {
    let is_link = SERVICE_LINKS.iter().any(|link| name.starts_with(link));
    let is_short = SHORT.iter().any(|(short, _)| *short == name);
    is_short || (name.starts_with("KEYWARD_") && name.contains("__") && !is_link)
}

/// The path that `words` stand for: existing entries keep their spelling, so that `MY_MODEL` finds `my-model`.
///
/// The path of what is no table, when there is one on the way.
fn placed(tree: &Node, words: &[String]) -> Result<Path, Path> {
    let mut path = Path::root();
    for word in words {
        let table = tree.at(&path);
        if table.is_some_and(|node| !matches!(node.value, Value::Table(_) | Value::Raw(_))) {
            return Err(path);
        }
        let key = table.and_then(|table| table.key_like(word));
        path = path.key(key.unwrap_or(word));
    }
    Ok(path)
}

fn secret_by(how: &str, value: String, origin: &Origin) -> Value {
    let node = Node {
        origin: origin.clone(),
        value: Value::Raw(value),
    };
    Value::Table(vec![(how.to_owned(), node)])
}
