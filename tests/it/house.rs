//! The rules of the house, read from its sources: who may know whom, and what stands in one place only.
//!
//! The rule is the test. Whoever has a reason to change one changes its [`table`], and says why in the commit.

mod table;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::support::source::{Source, package};
use table::{PLACES, REVEALS, ROOMS};

#[test]
fn every_room_uses_only_the_rooms_below_it() {
    let sources = Source::all();
    let settings = settings_of_rooms(&sources);
    let mut breaches = Vec::new();
    for source in &sources {
        let Some(room) = ROOMS.iter().find(|room| room.name == source.room) else {
            continue;
        };
        for (line, path) in source.rooms_named() {
            let used = path[0];
            let own_or_allowed = used == room.name || room.may_use.contains(&used);
            let is_room = ROOMS.iter().any(|room| room.name == used);
            let is_setting = room.name == "config"
                && path
                    .get(1)
                    .is_some_and(|name| settings.contains(&(used, *name)));
            if is_room && !own_or_allowed && !is_setting {
                breaches.push(format!(
                    "src/{}:{line}: `{}` may not use `{}` ({})",
                    source.path,
                    room.name,
                    path.join("::"),
                    room.why,
                ));
            }
        }
    }
    none(&breaches);
}

#[test]
fn every_room_names_only_the_crates_it_may() {
    let mut breaches = Vec::new();
    for source in Source::all() {
        let Some(room) = ROOMS.iter().find(|room| room.name == source.room) else {
            continue;
        };
        for foreign in room.never {
            for (line, path) in Source::paths(&source.live, foreign) {
                breaches.push(format!(
                    "src/{}:{line}: `{}` may not name `{foreign}::{}` ({})",
                    source.path,
                    room.name,
                    path.join("::"),
                    room.why,
                ));
            }
        }
    }
    none(&breaches);
}

#[test]
fn every_room_has_a_row_and_the_main_file_its_own() {
    let rooms: BTreeSet<String> = Source::all()
        .into_iter()
        .map(|source| source.room)
        .filter(|room| room != "lib")
        .collect();
    let rows: BTreeSet<String> = ROOMS.iter().map(|room| room.name.to_owned()).collect();
    let unknown: Vec<_> = rooms.difference(&rows).collect();
    assert!(
        unknown.is_empty(),
        "rooms without a row in ROOMS: {unknown:?}"
    );
}

#[test]
fn what_has_one_place_stands_nowhere_else() {
    let mut breaches = Vec::new();
    for source in Source::all() {
        for place in PLACES
            .iter()
            .filter(|place| !place.only_in.iter().any(|at| source.is_at(at)))
        {
            for word in place.words {
                for line in Source::lines_with(&source.live, word) {
                    breaches.push(format!(
                        "src/{}:{line}: `{word}`: {}",
                        source.path, place.why
                    ));
                }
            }
        }
    }
    none(&breaches);
}

#[test]
fn the_environment_is_read_in_one_file() {
    let mut breaches = Vec::new();
    for source in Source::all() {
        if source.path == "config/environment.rs" {
            continue;
        }
        for (line, path) in Source::paths(&source.live, "std") {
            // Arguments are no environment.
            if path[0] == "env" && path.get(1) != Some(&"args_os") {
                breaches.push(format!(
                    "src/{}:{line}: `std::{}`",
                    source.path,
                    path.join("::")
                ));
            }
        }
    }
    none(&breaches);
}

#[test]
fn statements_are_constants_that_nothing_is_pasted_into() {
    let mut breaches = Vec::new();
    for source in Source::all() {
        if source.path.ends_with("/sql.rs") {
            let lines = Source::lines_with(&source.live, "format!");
            breaches.extend(
                lines
                    .iter()
                    .map(|line| format!("src/{}:{line}: `format!`", source.path)),
            );
        }
    }
    none(&breaches);
}

#[test]
fn a_secret_is_revealed_in_few_places_and_each_is_counted() {
    let mut breaches = Vec::new();
    for source in Source::all() {
        let row = REVEALS.iter().find(|(path, ..)| *path == source.path);
        let allowed = row.map_or(0, |(_, count, _)| *count);
        let count = source.live.matches(".reveal()").count();
        if count > allowed {
            let path = source.path;
            breaches.push(format!(
                "src/{path}: {count} calls of `reveal()`, {allowed} in the list REVEALS"
            ));
        }
    }
    none(&breaches);
}

#[test]
fn every_database_stands_in_the_suite_and_in_the_test_of_its_statements() {
    let databases: BTreeSet<String> = Source::all()
        .iter()
        .filter_map(|source| source.path.strip_prefix("store/")?.strip_suffix("/mod.rs"))
        .map(str::to_owned)
        .collect();
    assert!(!databases.is_empty(), "no database below src/store");
    let mut missing = Vec::new();
    for suite in ["tests/it/store/contract.rs", "tests/it/store/statements.rs"] {
        let text = fs::read_to_string(package().join(suite)).expect("the suite is readable text");
        let suite_source = Source::new(suite, &text);
        let untested = databases
            .iter()
            .filter(|name| Source::lines_with(&suite_source.code, name).is_empty());
        missing.extend(untested.map(|name| format!("{suite} does not know `{name}`")));
    }
    none(&missing);
}

#[test]
fn every_dialect_in_the_list_has_tests_of_its_own() {
    let sources = Source::all();
    let list = sources
        .iter()
        .find(|source| source.path == "admin/dialect/mod.rs");
    let list = list.expect("the list of dialects is there");
    let dialects = Source::owners_of(&list.live, "DIALECT");
    assert!(!dialects.is_empty(), "`DIALECTS` names none");
    let tests = dialects
        .iter()
        .map(|dialect| format!("tests/it/admin/{dialect}.rs"));
    let missing: Vec<_> = tests
        .filter(|file| !package().join(file).exists())
        .collect();
    none(&missing);
}

#[test]
fn only_the_house_is_visible_at_the_top_level() {
    let visible = [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "src",
        "benches",
        "config",
        "deploy",
        "tests",
    ];
    let strangers: BTreeSet<String> = tracked_files()
        .iter()
        .filter_map(|path| path.split('/').next())
        .filter(|top| !top.starts_with('.') && !visible.contains(top))
        .map(str::to_owned)
        .collect();
    assert!(strangers.is_empty(), "at the top level: {strangers:?}");
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    let folders = ["work", "farm", "root", "home", "Users"];
    let mut breaches = Vec::new();
    for path in tracked_files() {
        let Ok(text) = fs::read_to_string(package().join(&path)) else {
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            if folders.iter().any(|folder| names_path_below(line, folder)) {
                breaches.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    none(&breaches);
}

/// Whether `line` holds `/folder/…` as the beginning of a path.
fn names_path_below(line: &str, folder: &str) -> bool {
    let path = format!("/{folder}/");
    line.match_indices(&path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + path.len()..].chars().next();
        let inside =
            before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '}' | '>'));
        !inside && after.is_some_and(|c| c.is_alphanumeric() || c == '.')
    })
}

/// What `config` may take from every room: the public names in its `config.rs` and in the folder of that name, as
/// `(room, name)`.
fn settings_of_rooms(sources: &[Source]) -> BTreeSet<(&str, &str)> {
    sources
        .iter()
        .filter(|source| {
            let room = &source.room;
            source.path == format!("{room}/config.rs")
                || source.path.starts_with(&format!("{room}/config/"))
        })
        .flat_map(|source| {
            let names = Source::declared(&source.live).into_iter();
            names.map(|name| (source.room.as_str(), name))
        })
        .collect()
}

/// What git keeps, by path from the package.
fn tracked_files() -> Vec<String> {
    let listed = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files", "-z"])
        .current_dir(package())
        .output()
        .expect("git runs");
    assert!(
        listed.status.success(),
        "git ls-files: {}",
        String::from_utf8_lossy(&listed.stderr)
    );
    let names = String::from_utf8(listed.stdout).expect("paths of this package are ASCII");
    names.split_terminator('\0').map(str::to_owned).collect()
}

#[track_caller]
fn none(breaches: &[String]) {
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}
