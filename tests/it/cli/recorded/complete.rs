//! That nothing is missing among what was recorded: the tree of commands is clap's own.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory as _};
use keyward::cli::Cli;

use super::{Recorded, file, read};
use crate::cli::shell::{Ran, Shell};

/// How many different invocations there are at least.
const LEAST: usize = 200;

/// Leaves that print no data of their own: `--output` and `--jq` mean nothing there.
const WITHOUT_DATA: [&str; 4] = ["serve", "demo", "completions", "man"];

fn tree() -> Command {
    let mut root = Cli::command();
    root.build();
    root
}

/// Every command that does something: its words, and itself.
fn leaves(command: &Command, path: &mut Vec<String>, found: &mut Vec<(String, Command)>) {
    let mut has_any = false;
    for inner in command
        .get_subcommands()
        .filter(|inner| inner.get_name() != "help")
    {
        has_any = true;
        path.push(inner.get_name().to_owned());
        leaves(inner, path, found);
        path.pop();
    }
    if !has_any {
        found.push((path.join(" "), command.clone()));
    }
}

fn all_leaves() -> Vec<(String, Command)> {
    let mut found = Vec::new();
    leaves(&tree(), &mut Vec::new(), &mut found);
    found
}

fn all_recorded() -> Vec<(String, Recorded)> {
    let folder = fs::read_dir(file("")).expect("the folder is there");
    let names = folder.map(|entry| entry.expect("it can be read").file_name());
    let names = names.map(|name| name.into_string().expect("UTF-8"));
    let files = names.filter(|name| Path::new(name).extension().is_some_and(|end| end == "txt"));
    let all = files.flat_map(|name| {
        let (_, commands) = read(&name);
        commands
            .into_iter()
            .map(move |recorded| (name.clone(), recorded))
    });
    all.collect()
}

/// The words of the leaf that a command runs: those of the first `keyward` in it.
fn leaf_of(root: &Command, recorded: &Recorded) -> String {
    let mut words = recorded.command.split_whitespace();
    let mut command = root;
    let mut path = Vec::new();
    let mut words = words.by_ref().skip_while(|word| *word != "keyward").skip(1);
    while command.has_subcommands() {
        let Some(word) = words.next() else { break };
        if let Some(inner) = command.find_subcommand(word) {
            path.push(inner.get_name());
            command = inner;
        }
    }
    path.join(" ")
}

#[test]
fn there_are_two_hundred_invocations_and_none_is_there_twice() {
    let all = all_recorded();
    let different: BTreeSet<String> = all
        .iter()
        .map(
            |(
                name,
                Recorded {
                    command, columns, ..
                },
            )| format!("{name} {columns:?} {command}"),
        )
        .collect();
    let commands: BTreeSet<_> = all
        .iter()
        .map(|(_, each)| (&each.command, each.columns))
        .collect();
    assert!(commands.len() >= LEAST, "only {}", commands.len());
    // A list before and after a change is another one.
    assert!(
        different.len() * 10 >= all.len() * 9,
        "{} of {}",
        different.len(),
        all.len()
    );
}

#[test]
fn every_leaf_was_recorded_doing_it_and_failing() {
    let root = tree();
    let all = all_recorded();
    for (leaf, _) in all_leaves() {
        let of_leaf = all.iter().filter(|(_, each)| leaf_of(&root, each) == leaf);
        let of_leaf: Vec<_> = of_leaf.map(|(_, each)| each).collect();
        let does_it = |each: &&Recorded| {
            each.code() == 0 && !each.command.contains("--help") && !each.command.contains(" -h")
        };
        assert!(
            of_leaf.iter().copied().any(|each| does_it(&each)),
            "`{leaf}` does it nowhere"
        );
        assert!(
            of_leaf.iter().any(|each| each.code() != 0),
            "`{leaf}` fails nowhere"
        );
    }
}

#[test]
fn every_flag_of_every_leaf_was_recorded() {
    let root = tree();
    let all = all_recorded();
    let mut missing = Vec::new();
    let uses = |command: &str, argument: &clap::Arg| {
        let long = argument.get_long().map(|long| format!("--{long}"));
        let short = argument.get_short();
        command.split_whitespace().any(|word| {
            let is_long = long.as_deref().is_some_and(|long| {
                word.strip_prefix(long)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
            });
            let is_short = |short: char| {
                word.strip_prefix('-')
                    .is_some_and(|flags| !flags.starts_with('-') && flags.contains(short))
            };
            is_long || short.is_some_and(is_short)
        })
    };
    for (leaf, command) in all_leaves() {
        for argument in command
            .get_arguments()
            .filter(|argument| argument.get_long().is_some())
        {
            if argument.get_id() == "help" || argument.get_id() == "version" {
                continue;
            }
            let is_used = all.iter().any(|(_, each)| {
                (argument.is_global_set() || leaf_of(&root, each) == leaf)
                    && uses(&each.command, argument)
            });
            if !is_used {
                missing.push(format!("`{leaf}` with {argument}"));
            }
        }
    }
    assert!(missing.is_empty(), "nowhere: {missing:#?}");
}

/// What asks for keys, teams or their trail works on the database itself, while nobody listens.
#[test]
fn everything_about_an_organisation_was_recorded_without_a_server() {
    let root = tree();
    let (_, commands) = read("database.txt");
    for (leaf, _) in all_leaves()
        .into_iter()
        .filter(|(leaf, _)| leaf.starts_with("org "))
    {
        let does_it = commands
            .iter()
            .any(|each| leaf_of(&root, each) == leaf && each.code() == 0);
        assert!(does_it, "`{leaf}` nowhere without a server");
    }
}

#[test]
fn every_help_tells_output_exit_codes_and_an_example() {
    for (leaf, _) in all_leaves() {
        let help = Shell::new().line(&format!("{leaf} --help"));
        assert_eq!((help.code, help.err.as_str()), (Some(0), ""), "{leaf}");
        let help = help.out;
        for part in ["\nOutput:\n", "\nExit codes: 0 ", "\nExample: keyward "] {
            assert!(
                help.contains(part),
                "{part:?} in the help of `{leaf}`: {help}"
            );
        }
        let (_, example) = help.split_once("\nExample: ").expect("it is there");
        let prints_data = !WITHOUT_DATA.contains(&leaf.as_str());
        assert_eq!(
            example.contains("--jq"),
            prints_data,
            "the example of `{leaf}`: {example}"
        );
        assert_eq!(
            help.contains("\n  json: "),
            prints_data,
            "the output of `{leaf}`: {help}"
        );
        let fits = |line: &str| line.chars().count() <= 100 || !line.contains(' ');
        assert!(help.lines().all(fits), "`{leaf}` is wider than 100: {help}");
    }
}

/// The example of every help is one that the tree of commands takes.
#[test]
fn every_example_can_be_parsed() {
    let shell = Shell::new();
    for (leaf, command) in all_leaves() {
        let help = command.clone().render_long_help().to_string();
        let (_, example) = help.split_once("Example: ").expect("every help has one");
        let example: String = example.split_whitespace().collect::<Vec<_>>().join(" ");
        let example = example
            .split(" > ")
            .next()
            .expect("the first")
            .split(" | man")
            .next();
        // The shell's own reading of quotes.
        let script = format!("printf '%s\\n' {}", example.expect("the first"));
        let printed = shell.script(&script).output().expect("sh runs");
        let words = Ran::from(printed).out;
        let parsed = Cli::command().try_get_matches_from(words.lines());
        assert!(parsed.is_ok(), "`{leaf}`: {words} {:?}", parsed.err());
    }
}

#[test]
fn every_leaf_has_a_manual_page_and_stands_in_every_completion() {
    let shell = Shell::new();
    let scripts = ["bash", "zsh", "fish", "elvish", "powershell"]
        .map(|name| (name, shell.line(&format!("completions {name}")).out));
    for (leaf, command) in all_leaves() {
        let page = shell.line(&format!("man {leaf}"));
        assert_eq!((page.code, page.err.as_str()), (Some(0), ""), "{leaf}");
        let title = format!(".TH keyward-{} 1", leaf.replace(' ', "-"));
        assert!(page.out.contains(&title), "{page}");
        for part in ["Output:", "Exit codes: 0 ", "Example: keyward "] {
            assert!(
                page.out.replace("\\-", "-").contains(part),
                "{part} in the page of `{leaf}`"
            );
        }
        for (name, script) in &scripts {
            for word in leaf.split(' ') {
                assert!(
                    script.contains(word),
                    "`{leaf}` in the completions of {name}"
                );
            }
            for argument in command.get_arguments().filter_map(clap::Arg::get_long) {
                assert!(
                    script.contains(argument),
                    "--{argument} in the completions of {name}"
                );
            }
        }
    }
}
