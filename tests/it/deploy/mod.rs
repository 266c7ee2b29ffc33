//! What stands in `deploy/`: it fits the program, and the tools that will read it accept it.

mod alerts;
mod commands;
mod dashboard;
mod links;
mod metrics;
mod notify;
mod pages;
mod scraped;
mod systemd;

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::source::package;

/// The text of a file below `deploy/`.
fn read(path: &str) -> String {
    let path = package().join("deploy").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below `folder` whose name ends with one of `endings`, in order.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder is readable") {
        let path = entry.expect("an entry is readable").path();
        let name = path.to_str().expect("names are text");
        if path.is_dir() {
            found.extend(files(&path, endings));
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
    found.sort();
    found
}
