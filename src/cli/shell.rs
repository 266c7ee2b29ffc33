//! `keyward completions` and `keyward man`: made from the tree of commands, so that they always match it.

use std::fmt::Write as _;

use anyhow::bail;
use clap::builder::PossibleValue;
use clap::{Arg, Args, Command, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, print};

/// For which shell.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Output:
  the script on standard output; --output and --jq do nothing here
Exit codes: 0 it is printed; 1 no such shell
Example: keyward completions bash > /etc/bash_completion.d/keyward")]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Of which command.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Output:
  the page as roff on standard output; --output and --jq do nothing here
Exit codes: 0 it is printed; 1 no such command
Example: keyward man org api-key create | man -l -")]
pub struct ManArgs {
    /// The command, word by word; `keyward` itself unless given
    #[arg(value_name = "COMMAND")]
    path: Vec<String>,
}

/// Prints the script that a shell reads.
///
/// # Errors
///
/// When it cannot be written.
pub fn completions(args: &CompletionsArgs) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "keyward", &mut script);
    let mut script = String::from_utf8(script)?;
    if args.shell == Shell::Fish {
        script.push_str(&deep_for_fish()?);
    }
    Ok(print::data(&script)?)
}

/// The flags of commands three words deep, which the generator leaves out for fish.
fn deep_for_fish() -> anyhow::Result<String> {
    let mut root = Cli::command();
    root.build();
    let mut lines = String::new();
    for first in root.get_subcommands() {
        for second in first.get_subcommands() {
            for third in second.get_subcommands() {
                let [first, second, third_name] = [first, second, third].map(Command::get_name);
                let seen = format!(
                    "__fish_keyward_using_subcommand {first}; and __fish_seen_subcommand_from {second}; and \
                     __fish_seen_subcommand_from {third_name}"
                );
                for argument in third.get_arguments() {
                    push_for_fish(&mut lines, &seen, argument)?;
                }
            }
        }
    }
    Ok(lines)
}

/// One line of fish's for a flag, offered when `seen` is so.
fn push_for_fish(lines: &mut String, seen: &str, argument: &Arg) -> anyhow::Result<()> {
    let Some(long) = argument.get_long() else {
        return Ok(());
    };
    write!(lines, "complete -c keyward -n \"{seen}\"")?;
    if let Some(short) = argument.get_short() {
        write!(lines, " -s {short}")?;
    }
    write!(lines, " -l {long}")?;
    if let Some(help) = argument.get_help() {
        let help = help.to_string().replace('\\', "\\\\").replace('\'', "\\'");
        write!(lines, " -d '{help}'")?;
    }
    if argument.get_action().takes_values() {
        lines.push_str(" -r");
        let values = argument.get_possible_values();
        if !values.is_empty() {
            let names = values.iter().map(PossibleValue::get_name);
            write!(lines, " -f -a \"{}\"", names.collect::<Vec<_>>().join(" "))?;
        }
    }
    lines.push('\n');
    Ok(())
}

/// Prints a manual page, as roff.
///
/// # Errors
///
/// When there is no such command, or it cannot be written.
pub fn man(args: &ManArgs) -> anyhow::Result<()> {
    let Some(command) = find(&args.path) else {
        bail!("there is no command `{}`", args.path.join(" "));
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .source(concat!("keyward ", env!("CARGO_PKG_VERSION")))
        .render(&mut page)?;
    Ok(print::data(&String::from_utf8(page)?)?)
}

/// The command at `path`, with the flags it has from above.
pub(super) fn find(path: &[impl AsRef<str>]) -> Option<Command> {
    let mut root = Cli::command();
    root.build();
    let mut command = &root;
    for name in path {
        command = command.find_subcommand(name.as_ref())?;
    }
    Some(command.clone())
}
