//! Who else may read or write the files that matter.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Finding;
use crate::config::{Loaded, environment};

/// Others may write.
const WRITTEN_BY_OTHERS: u32 = 0o002;
/// Others may read.
const READ_BY_OTHERS: u32 = 0o004;

/// Looks at every file that holds a secret or decides who may call.
pub(super) fn look(loaded: &Loaded, settings: &Value) -> Vec<Finding> {
    let mut secret = secret_files(settings);
    secret.extend(loaded.config.cache.seal.clone());
    secret.extend(database(&loaded.config.store.url));
    let mut findings: Vec<Finding> = secret.iter().filter_map(|path| judge(path, true)).collect();
    if let Some(file) = &loaded.file {
        findings.extend(judge(file, holds_inline(settings)));
    }
    findings
}

/// The file of an SQLite database; nothing for others.
pub(super) fn database(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite://")?;
    let path = path.split('?').next().unwrap_or(path);
    Some(PathBuf::from(path))
}

/// Files that settings or variables name as holding a secret.
fn secret_files(settings: &Value) -> Vec<PathBuf> {
    let mut files = Vec::new();
    gather(settings, &mut files);
    for (name, value) in environment::variables() {
        if name.starts_with("KEYWARD_") && name.ends_with("_FILE") && !value.is_empty() {
            files.push(PathBuf::from(value));
        }
    }
    files.sort();
    files.dedup();
    files
}

/// `{ file = "…" }` is where a secret is, and `key` beside `certificate` is a private one.
fn gather(value: &Value, files: &mut Vec<PathBuf>) {
    let Value::Object(table) = value else {
        return;
    };
    let is_pair = table.contains_key("certificate");
    for (name, value) in table {
        match value {
            Value::String(path) if name == "file" || (name == "key" && is_pair) => {
                files.push(PathBuf::from(path));
            }
            _ => gather(value, files),
        }
    }
}

fn holds_inline(settings: &Value) -> bool {
    match settings {
        Value::Object(table) => table.contains_key("inline") || table.values().any(holds_inline),
        Value::Array(values) => values.iter().any(holds_inline),
        _ => false,
    }
}

/// What is to be said of a file; nothing when it is not there yet.
fn judge(path: &Path, is_secret: bool) -> Option<Finding> {
    let mode = fs::metadata(path).ok()?.mode();
    let place = path.display();
    Some(if mode & WRITTEN_BY_OTHERS != 0 {
        let found = format!("{place} can be written by everybody on this machine");
        Finding::fail("file", found, format!("chmod o-w {place}"))
    } else if is_secret && mode & READ_BY_OTHERS != 0 {
        let found = format!("{place} can be read by everybody on this machine");
        let remedy = format!("chmod o-r {place}, unless nobody else is there, as in a container");
        Finding::warn("file", found, remedy)
    } else {
        Finding::ok("file", format!("{place} is not open to everybody"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_found_wherever_they_stand() {
        let settings = json!({
            "admin": { "token": { "file": "/a" } },
            "upstreams": { "x": { "credential": { "secret": { "file": "/b" } } } },
            "proxy": { "tls": { "certificate": "/c.crt", "key": "/c.key" }, "key": "no file" },
        });
        let mut files = Vec::new();
        gather(&settings, &mut files);
        files.sort();
        assert_eq!(files, ["/a", "/b", "/c.key"].map(PathBuf::from));
        assert!(!holds_inline(&settings));
        assert!(holds_inline(
            &json!({ "a": [{ "b": { "inline": "***" } }] })
        ));
    }

    #[test]
    fn an_sqlite_url_names_a_file() {
        let path = |text| Some(PathBuf::from(text));
        assert_eq!(database("sqlite://keyward.db"), path("keyward.db"));
        assert_eq!(database("sqlite:///var/lib/k.db"), path("/var/lib/k.db"));
        assert_eq!(database("postgres://h/d"), None);
    }
}
