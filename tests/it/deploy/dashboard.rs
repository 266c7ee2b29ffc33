//! The board: every expression is one.

use std::fs;

use serde_json::Value;

use super::read;
use crate::support::tools::tool;

/// What a panel asks.
pub(super) struct Asked {
    pub panel: String,
    pub expression: String,
}

/// What every panel asks, with `window` to look back over, for every sidecar.
pub(super) fn asked(window: &str) -> Vec<Asked> {
    let board: Value = serde_json::from_str(&read("grafana/keyward.json")).expect("JSON");
    let panels = board["panels"].as_array().expect("panels");
    let mut asked = Vec::new();
    for panel in panels {
        let targets = panel["targets"].as_array();
        for target in targets.into_iter().flatten() {
            let expression = target["expr"].as_str().expect("an expression");
            asked.push(Asked {
                panel: panel["title"].as_str().expect("a title").to_owned(),
                expression: expression
                    .replace("$__rate_interval", window)
                    .replace("$job", ".*")
                    .replace("$instance", ".*"),
            });
        }
    }
    asked
}

#[test]
fn every_expression_of_the_board_is_one() {
    let Some(promtool) = tool("promtool", "prometheus") else {
        return;
    };
    let asked = asked("5m");
    assert!(asked.len() > 20, "only {} expressions", asked.len());
    let mut rules = String::from("groups:\n  - name: board\n    rules:\n");
    for (number, Asked { panel, expression }) in asked.iter().enumerate() {
        assert!(!expression.contains('$'), "{panel}: {expression}");
        let quoted = expression.replace('\'', "''");
        let rule = format!("{{ record: board:{number}, expr: '{quoted}' }}");
        rules.extend(["      - ", &rule, "\n"]);
    }
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("board.yaml");
    fs::write(&file, rules).expect("the directory is ours");
    super::alerts::said_well(&promtool, &["check", "rules"], &file);
}

#[test]
fn panels_do_not_overlap_and_have_ids_of_their_own() {
    let board: Value = serde_json::from_str(&read("grafana/keyward.json")).expect("JSON");
    let panels = board["panels"].as_array().expect("panels");
    let number = |value: &Value| value.as_u64().expect("a number");
    let mut taken = std::collections::BTreeSet::new();
    let mut ids = std::collections::BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(number(&panel["id"])), "{panel}");
        let place = &panel["gridPos"];
        let (x, y) = (number(&place["x"]), number(&place["y"]));
        assert!(x + number(&place["w"]) <= 24, "{panel}");
        for column in x..x + number(&place["w"]) {
            for line in y..y + number(&place["h"]) {
                assert!(taken.insert((column, line)), "{}", panel["title"]);
            }
        }
    }
}
