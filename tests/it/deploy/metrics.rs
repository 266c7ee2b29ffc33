//! Every metric that is named in `deploy/` is one of the program's.

use std::collections::BTreeSet;
use std::fs;

use keyward::telemetry::{Kind, METRICS};

use super::files;
use crate::support::source::package;

/// Roles of Postgres, which look like metrics.
const ROLES: [&str; 3] = ["keyward_sidecar", "keyward_admin", "keyward_decide"];

/// The words that begin with `keyward_`.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("keyward_"))
}

#[test]
fn every_metric_named_in_deploy_exists() {
    let mut known = BTreeSet::new();
    for metric in METRICS {
        known.insert(metric.name.to_owned());
        if matches!(metric.kind, Kind::Histogram(_)) {
            known.extend(["bucket", "sum", "count"].map(|end| format!("{}_{end}", metric.name)));
        }
    }
    let folder = package().join("deploy");
    let mut count = 0;
    let mut unknown = Vec::new();
    for file in files(&folder, &[".yaml", ".json", ".md"]) {
        let text = fs::read_to_string(&file).expect("text");
        for name in named(&text).filter(|name| !ROLES.contains(name)) {
            count += 1;
            if !known.contains(name) {
                unknown.push(format!("{}: {name}", file.display()));
            }
        }
    }
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
    assert!(count > 60, "only {count} were found");
}
