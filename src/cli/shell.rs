//! `keyward completions` and `keyward man`: made from the tree of commands, so that they always match it.

use anyhow::bail;
use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, print};

/// For which shell.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Of which command.
#[derive(Debug, Args)]
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
    Ok(print::data(&String::from_utf8(script)?)?)
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
