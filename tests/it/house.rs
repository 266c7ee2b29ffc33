//! The rules of the house, read from its sources: who may know whom, and what stands in one place only.
//!
//! The rule is the test. Whoever has a reason to change one changes the table here, and says why in the commit.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::support::source::{Source, package};

/// A room: which rooms and crates its code may name.
struct Room {
    name: &'static str,
    /// The rooms it may use. `config` may take what stands in a room's `config.rs` from every room.
    may_use: &'static [&'static str],
    /// The crates (or modules of `std`) it must not name.
    never: &'static [&'static str],
    why: &'static str,
}

/// Who may know whom. It holds for unit tests too: what crosses a room is tested in `tests/it`.
const ROOMS: &[Room] = &[
    Room {
        name: "key",
        may_use: &[],
        never: &[
            "tokio", "http", "hyper", "axum", "sqlx", "tracing", "metrics",
        ],
        why: "a fact: no I/O, no clock, no async; everybody builds on it",
    },
    Room {
        name: "route",
        may_use: &["key"],
        never: &["tokio", "hyper", "axum", "sqlx", "tracing", "metrics"],
        why: "a fact: it knows requests, and nothing that knows a socket",
    },
    Room {
        name: "credential",
        may_use: &["key"],
        never: &["tokio", "hyper", "axum", "sqlx", "tracing", "metrics"],
        why: "a fact: it says where a secret is; files and the environment are read in config",
    },
    Room {
        name: "telemetry",
        may_use: &[],
        never: &["sqlx", "axum"],
        why: "the cellar: every room may stand on it, so it stands on none",
    },
    Room {
        name: "clock",
        may_use: &["key"],
        never: &["tokio", "http", "hyper", "axum", "sqlx"],
        why: "the cellar: it tells UnixTime, and the facts stay without a clock",
    },
    Room {
        name: "store",
        may_use: &["key", "telemetry"],
        never: &["http", "hyper", "axum"],
        why: "a database; it knows neither HTTP nor what is remembered of it",
    },
    Room {
        name: "cache",
        may_use: &["key", "store", "telemetry", "clock"],
        never: &["http", "hyper", "axum", "sqlx"],
        why: "it asks the store; SQL stays there",
    },
    Room {
        name: "usage",
        may_use: &["key", "store", "telemetry", "clock"],
        never: &["http", "hyper", "axum", "sqlx"],
        why: "the mark hangs on the grant; it needs no cache",
    },
    Room {
        name: "registry",
        may_use: &["key", "store", "telemetry", "clock"],
        never: &["http", "hyper", "axum", "sqlx"],
        why: "not the cache: our own deletions take the road of everybody's",
    },
    Room {
        name: "upstream",
        may_use: &["key", "route", "credential", "telemetry", "clock"],
        never: &["axum", "sqlx"],
        why: "it never sees the caller's key",
    },
    Room {
        name: "proxy",
        may_use: &[
            "key",
            "route",
            "credential",
            "cache",
            "usage",
            "upstream",
            "telemetry",
            "clock",
        ],
        never: &["axum", "sqlx"],
        why: "not the store: no request can wait for a database except through a miss",
    },
    Room {
        name: "admin",
        may_use: &[
            "key",
            "credential",
            "registry",
            "upstream",
            "telemetry",
            "clock",
        ],
        never: &["sqlx"],
        why: "not the cache, no SQL: a dialect translates; credential is for its settings",
    },
    Room {
        name: "config",
        may_use: &["key", "route", "credential", "clock", "telemetry"],
        never: &["tokio", "hyper", "axum", "sqlx"],
        why: "settings of every room, behaviour of none but the facts",
    },
    Room {
        name: "server",
        may_use: &[
            "key",
            "route",
            "credential",
            "telemetry",
            "clock",
            "store",
            "cache",
            "usage",
            "registry",
            "upstream",
            "proxy",
            "admin",
            "config",
        ],
        never: &["sqlx"],
        why: "it wires every room but the command line, and decides nothing",
    },
    Room {
        name: "cli",
        may_use: &[
            "key",
            "credential",
            "registry",
            "store",
            "config",
            "server",
            "telemetry",
            "clock",
        ],
        never: &["axum", "sqlx"],
        why: "one more translator, and the door to the server",
    },
    Room {
        name: "main",
        may_use: &["cli"],
        never: &["tokio", "http", "hyper", "axum", "sqlx"],
        why: "parse, hand over, turn the result into an exit code",
    },
];

/// Words that stand in some files only.
struct Place {
    words: &'static [&'static str],
    /// Files, or folders when they end in `/`.
    only_in: &'static [&'static str],
    why: &'static str,
}

/// What stands where. Unit tests are free of these.
const PLACES: &[Place] = &[
    Place {
        words: &["counter!", "gauge!", "histogram!"],
        only_in: &["telemetry/metrics.rs"],
        why: "rooms use the handles of telemetry::metrics",
    },
    Place {
        words: &[
            "tokio::spawn",
            "task::spawn",
            "spawn_local",
            "thread::spawn",
            "thread::Builder",
            "JoinSet",
            "TaskTracker",
        ],
        only_in: &["server/"],
        why: "rooms return futures; server spawns, so that shutdown can wait for all of them",
    },
    Place {
        words: &["anyhow"],
        only_in: &["main.rs", "cli/"],
        why: "a room's errors are types of its own",
    },
    Place {
        words: &[
            "println!",
            "eprintln!",
            "print!",
            "eprint!",
            "dbg!",
            "stdout()",
        ],
        only_in: &["cli/print.rs"],
        why: "one file writes to the terminal",
    },
    Place {
        words: &["io::stderr", "stderr()"],
        only_in: &["cli/print.rs", "telemetry/logging.rs"],
        why: "one file writes to the terminal; the log goes to stderr",
    },
    Place {
        words: &["SystemTime::now"],
        only_in: &["clock.rs"],
        why: "time comes in as a Clock",
    },
    Place {
        words: &["AssertSqlSafe"],
        only_in: &["store/"],
        why: "statements are constants",
    },
    Place {
        words: &["client::legacy", "client::conn"],
        only_in: &["upstream/connect.rs", "cli/"],
        why: "one file names the HTTP client of the proxy; the command line calls the admin listener",
    },
];

/// How often live code may call `reveal()`, at most: the places where a secret leaves its wrapping.
const REVEALS: &[(&str, usize, &str)] = &[
    (
        "admin/dialect/baseten.rs",
        1,
        "the one answer that holds a new key",
    ),
    (
        "admin/token.rs",
        1,
        "a configured admin token becomes its digest",
    ),
    ("cli/api_key.rs", 1, "the one answer that holds a new key"),
    (
        "cli/direct.rs",
        1,
        "a new key, on its way to that answer: it looks like one that came over HTTP",
    ),
    ("cli/profiles.rs", 1, "the file of profiles"),
    ("cli/remote.rs", 1, "the header of every request"),
    ("cli/demo.rs", 1, "the demo calls with the key it made"),
    (
        "cli/serve.rs",
        1,
        "the admin token, once, at the first start",
    ),
    (
        "credential/location.rs",
        3,
        "one for each place where our own credential can stand",
    ),
    (
        "config/secret.rs",
        1,
        "a secret is checked before it is used",
    ),
    (
        "upstream/credential.rs",
        1,
        "what we present instead of the caller's key",
    ),
];

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

/// What `config` may take from every room: the public names in its `config.rs`, as `(room, name)`.
fn settings_of_rooms(sources: &[Source]) -> BTreeSet<(&str, &str)> {
    sources
        .iter()
        .filter(|source| source.path == format!("{}/config.rs", source.room))
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
