//! Pages that name what the program has: all of it, and nothing else.

use std::collections::BTreeSet;
use std::fs;

use keyward::telemetry::metrics::RequestOutcome;
use keyward::telemetry::{Kind, METRICS};

use super::read;
use crate::support::source::package;

#[test]
fn the_page_of_metrics_is_the_inventory() {
    let page = read("metrics.md");
    let rows: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| `keyward_"))
        .collect();
    let inventory: Vec<String> = METRICS
        .iter()
        .map(|metric| {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram(_) => "histogram",
            };
            let labels: Vec<String> = metric
                .labels
                .iter()
                .map(|name| format!("`{name}`"))
                .collect();
            let labels = labels.join(", ");
            format!(
                "| `{}` | {kind} | {labels} | {} |",
                metric.name, metric.help
            )
        })
        .collect();
    assert_eq!(rows, inventory);
}

#[test]
fn the_page_of_metrics_knows_every_outcome() {
    let page = read("metrics.md");
    let (_, section) = page.split_once("## Outcomes").expect("a section");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let named: BTreeSet<&str> = rows
        .filter_map(|row| row.split('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter(|word| *word != "outcome")
        .collect();
    let known = RequestOutcome::ALL.map(RequestOutcome::as_str);
    assert_eq!(named, BTreeSet::from(known));
}

/// The page of threats names tests by their modules.
#[test]
fn the_tests_that_the_page_of_threats_names_are_there() {
    let page = read("threats.md");
    let mut count = 0;
    let rows = page.lines().filter(|line| line.starts_with("| "));
    for cell in rows.skip(1).filter_map(|row| row.split('|').nth(4)) {
        for module in cell
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|word| !word.contains(' '))
        {
            let path = package().join("tests/it").join(module.replace("::", "/"));
            let is_there = path.is_dir() || path.with_extension("rs").is_file();
            assert!(is_there, "{module}");
            count += 1;
        }
    }
    assert!(count > 15, "only {count} were found");
}

/// Settings are explained where they are read from; the pages may name only those that there are.
#[test]
fn settings_that_pages_name_are_there() {
    let settings = fs::read_to_string(package().join("config/keyward.toml")).expect("text");
    let sections = [
        "cache",
        "store",
        "proxy",
        "server",
        "usage",
        "shutdown",
        "probes",
        "admin",
        "log",
        "access_log",
    ];
    let mut count = 0;
    for page in [
        "runbook.md",
        "promises.md",
        "threats.md",
        "access-log.md",
        "kubernetes/README.md",
    ] {
        let text = read(page);
        for word in text.split('`').skip(1).step_by(2) {
            let name = word.split([' ', '=']).next().expect("split yields one");
            let Some((section, key)) = name.rsplit_once('.') else {
                continue;
            };
            let top = section.split('.').next().expect("split yields one");
            if !sections.contains(&top) || key.contains(['/', '(']) {
                continue;
            }
            count += 1;
            let is_table = settings.contains(&format!("[{name}]"));
            let is_key = settings.contains(&format!("[{section}]"))
                && (settings.contains(&format!("\n{key} = "))
                    || settings.contains(&format!("\n# {key} = ")));
            assert!(is_table || is_key, "{page}: {name}");
        }
    }
    assert!(count > 20, "only {count} were found");
}
