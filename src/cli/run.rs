//! From arguments to an exit code.

use std::ffi::OsString;

use anyhow::Context as _;
use clap::error::ErrorKind;
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::answer::{Answer, Form};
use super::failure::{self, Failure};
use super::{
    Cli, Command, Common, OrgCommand, api_key, audit, config, database, demo, doctor, health,
    print, profile, serve, shell, team, top,
};
use crate::telemetry::{REVISION, VERSION};

/// Commands that serve: their mistakes in arguments end with 2, as those in settings do (ARCHITECTURE 8).
const SERVING: [&str; 4] = ["serve", "demo", "config", "doctor"];

/// Does what `args` say, the first of which is the program's name; returns the exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    let matches = match Cli::command().try_get_matches_from(&args) {
        Ok(matches) => matches,
        Err(error) => return report_arguments(&error, &args),
    };
    let path = path_of(&matches);
    let result = Cli::from_arg_matches(&matches)
        .map_err(Into::into)
        .and_then(carry_out);
    match result {
        Ok(()) => 0,
        Err(error) => report(&error, &path),
    }
}

fn carry_out(cli: Cli) -> anyhow::Result<()> {
    let common = cli.common;
    let form = Form::new(common.output, common.expression(), common.raw_output)?;
    match cli.command {
        _ if cli.version => form.write(&version()?),
        None => Ok(print::data(&Cli::command().render_long_help().to_string())?),
        Some(Command::Serve(args)) => serve::run(&args, &common),
        Some(Command::Demo(args)) => demo::run(&args),
        Some(Command::Completions(args)) => shell::completions(&args),
        Some(Command::Man(args)) => shell::man(&args),
        Some(command) => ask(command, &common, form),
    }
}

/// Carries out a command that asks something, until it is done or somebody interrupts it.
fn ask(command: Command, common: &Common, form: Form) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting")?;
    let result = runtime.block_on(async {
        let answered = async {
            let answer = Box::pin(answer(command, common)).await?;
            // Writing may block for as long as a pager does, and an expression may run for ever.
            tokio::task::spawn_blocking(move || form.write(&answer)).await?
        };
        tokio::select! {
            biased; // an interruption first: what is ready at the same moment is not wanted any more
            () = interrupted() => Err(Failure::Interrupted.into()),
            result = answered => result,
        }
    });
    // What still blocks, blocks for nobody.
    runtime.shutdown_background();
    result
}

async fn answer(command: Command, common: &Common) -> anyhow::Result<Answer> {
    match command {
        Command::Config(command) => config::run(command, common).await,
        Command::Database(command) => database::run(command, common).await,
        Command::Org(OrgCommand::ApiKey(command)) => api_key::run(command, common).await,
        Command::Org(OrgCommand::Team(command)) => team::run(command, common).await,
        Command::Org(OrgCommand::Audit(command)) => audit::run(command, common).await,
        Command::Profile(command) => profile::run(command, common).await,
        Command::Health(args) => health::run(args, common).await,
        Command::Top(args) => top::run(args, common).await,
        Command::Doctor(args) => doctor::run(args, common).await,
        Command::Serve(_) | Command::Demo(_) | Command::Completions(_) | Command::Man(_) => {
            Answer::new(&())
        }
    }
}

/// Ends when the process is told to end.
async fn interrupted() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        biased; // both mean the same
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

fn version() -> anyhow::Result<Answer> {
    let answer = Answer::new(&json!({ "version": VERSION, "revision": REVISION }))?;
    Ok(answer.text(format!("keyward {VERSION} (revision {REVISION})\n")))
}

/// The words that led to the command, without the program's name.
fn path_of(matches: &ArgMatches) -> Vec<String> {
    let mut path = Vec::new();
    let mut matches = matches;
    while let Some((name, inner)) = matches.subcommand() {
        path.push(name.to_owned());
        matches = inner;
    }
    path
}

fn report(error: &anyhow::Error, path: &[String]) -> u8 {
    if let Some(error) = error.downcast_ref::<clap::Error>() {
        return report_arguments(error, &[]);
    }
    let code = failure::exit_code(error);
    match error.downcast_ref() {
        _ if failure::is_quiet(error) => {}
        Some(Failure::Halted(_)) => {}
        Some(Failure::Usage(_)) => {
            print::words(&failure::told(error));
            let usage = shell::find(path).map(|mut command| command.render_usage());
            // That nobody reads it changes nothing.
            let _ = print::data(&format!("{}\n", usage.unwrap_or_default()));
        }
        _ => print::words(&failure::told(error)),
    }
    code
}

/// Help goes to standard output and is no failure; a mistake in the arguments goes to standard error.
fn report_arguments(error: &clap::Error, args: &[OsString]) -> u8 {
    let text = error.render().ansi().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            print::data(&text).map_or_else(|error| report(&error.into(), &[]), |()| 0)
        }
        _ => {
            print::styled_words(&text);
            let named = |arg: &OsString| SERVING.iter().any(|name| arg == name);
            if args.get(1).is_some_and(named) {
                failure::USAGE
            } else {
                failure::OTHER
            }
        }
    }
}
