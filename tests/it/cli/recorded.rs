//! Every leaf of the command line, as it was recorded: exact streams and exit codes, in `recorded/*.txt`.
//!
//! In a file a line that begins with `$` is a command, run by `sh` in the order of the file, all in one home directory; what
//! follows is its standard output. `?` begins a line of standard error, or the exit code when it is not 0. A command that
//! begins with `$[40]` has both streams on a terminal of 40 columns; an escape character is shown as `␛`. What is new every
//! time is shown by what stands for it ([`fixed`]), and nothing else.
//!
//! `SNAPSHOTS=overwrite` records anew.

mod complete;
mod world;

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use rstest::rstest;
use snapbox::{Data, assert_data_eq};

use crate::support::source::package;
use world::World;

/// One command of a file, and what the file says that it does.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Recorded {
    /// Without the mark before it.
    command: String,
    /// The columns of the terminal it has, if it has one.
    columns: Option<u16>,
    /// All that is written below it.
    said: String,
}

impl Recorded {
    /// The exit code that is written below it.
    fn code(&self) -> i32 {
        let code = self
            .said
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("? exit "));
        code.map_or(0, |code| code.parse().expect("a number"))
    }
}

fn file(name: &str) -> PathBuf {
    package().join("tests/it/cli/recorded").join(name)
}

/// The commands of a file, in its order, after the lines before the first.
fn read(name: &str) -> (String, Vec<Recorded>) {
    let text = fs::read_to_string(file(name)).expect("the file is there");
    let mut before = String::new();
    let mut commands: Vec<Recorded> = Vec::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix('$') {
            let (columns, command) = match command.strip_prefix('[') {
                None => (None, command),
                Some(rest) => {
                    let (columns, command) = rest.split_once(']').expect("`]` after the columns");
                    (
                        Some(columns.parse().expect("columns are a number")),
                        command,
                    )
                }
            };
            commands.push(Recorded {
                command: command.trim_start().to_owned(),
                columns,
                said: String::new(),
            });
            continue;
        }
        let said = commands
            .last_mut()
            .map_or(&mut before, |command| &mut command.said);
        writeln!(said, "{line}").expect("a string takes it");
    }
    (before, commands)
}

#[rstest]
#[case::words("words.txt")]
#[case::help("help.txt")]
#[case::usage("usage.txt")]
#[case::canned("canned.txt")]
#[case::refused("refused.txt")]
#[case::down("down.txt")]
#[case::admin("admin.txt")]
#[case::database("database.txt")]
#[case::locked("locked.txt")]
#[case::profiles("profiles.txt")]
#[case::settings("settings.txt")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_invocation_does_what_was_recorded(#[case] name: &str) {
    let (before, commands) = read(name);
    let world = World::of(name).await;
    let mut whole = before;
    for recorded in commands {
        let columns = recorded
            .columns
            .map_or(String::new(), |columns| format!("[{columns}]"));
        let ran = tokio::task::block_in_place(|| world.run(&recorded));
        write!(whole, "${columns} {}\n{ran}", recorded.command).expect("a string takes it");
    }
    assert_data_eq!(whole, Data::read_from(&file(name), None).raw());
}
