//! The alerts: each can fire and can be silent, and says where to read on.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use super::read;
use crate::support::source::package;
use crate::support::tools::tool;

/// What stands after `key` on the lines of `text` that begin with it.
fn values<'t>(text: &'t str, key: &str) -> Vec<&'t str> {
    let lines = text.lines().map(str::trim_start);
    lines
        .filter_map(|line| Some(line.strip_prefix(key)?.trim()))
        .collect()
}

#[test]
fn every_alert_leads_to_its_section_of_the_runbook() {
    let rules = read("prometheus/alerts.yaml");
    let runbook = read("runbook.md");
    let alerts = values(&rules, "- alert:");
    let urls = values(&rules, "runbook_url:");
    assert!(alerts.len() > 8, "{alerts:?}");
    assert_eq!(alerts.len(), urls.len());
    let sections: BTreeSet<&str> = values(&runbook, "## ").into_iter().collect();
    for (alert, url) in alerts.into_iter().zip(urls) {
        let anchor = alert.to_lowercase();
        assert_eq!(url, format!("deploy/runbook.md#{anchor}"));
        assert!(sections.contains(alert), "no section `{alert}`");
    }
}

/// Each is tried with a sidecar that is in trouble and one that is not; promtool compares the whole lists, so that one
/// that fires for the wrong sidecar is found.
#[test]
fn every_alert_is_tried_with_failing_and_healthy_series() {
    let rules = read("prometheus/alerts.yaml");
    let tests = read("prometheus/alerts_test.yaml");
    for alert in values(&rules, "- alert:") {
        let begin = format!("- name: {alert}\n");
        let after = tests.split(&begin).nth(1);
        let case = after.unwrap_or_else(|| panic!("no test of {alert}"));
        let case = case.split("\n  - name:").next().expect("split yields one");
        for (what, word) in [
            ("failing series", "instance=\"bad\""),
            ("healthy series", "instance=\"good\""),
            ("an alert that fires", "instance: bad }"),
        ] {
            let also = word.replace(" }", ",");
            assert!(
                case.contains(word) || case.contains(&also),
                "{alert}: no {what}"
            );
        }
        assert!(
            !case.contains("instance: good"),
            "{alert} fires for nothing"
        );
    }
}

#[test]
fn promtool_accepts_the_rules_and_their_tests() {
    let Some(promtool) = tool("promtool", "prometheus") else {
        return;
    };
    for (words, file) in [
        (["check", "rules"], "alerts.yaml"),
        (["test", "rules"], "alerts_test.yaml"),
    ] {
        said_well(
            &promtool,
            &words,
            &package().join("deploy/prometheus").join(file),
        );
    }
}

#[track_caller]
pub(super) fn said_well(promtool: &PathBuf, words: &[&str], file: &PathBuf) {
    let output = Command::new(promtool).args(words).arg(file).output();
    let output = output.expect("promtool runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        output.status.success() && said.contains("SUCCESS"),
        "{said}"
    );
}
