//! `keyward org team list | create`.

use anyhow::{Context as _, bail};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

use super::Common;
use super::answer::Answer;
use super::keys::{Keys, Teams};
use super::{print, table};

/// What can be done to teams.
#[derive(Debug, Subcommand)]
pub enum TeamCommand {
    /// List the teams
    #[command(after_long_help = "\
Output:
  text: a table with the columns ID, NAME, DEFAULT, CREATED; \"No teams found.\" on standard error when there are none
  json: {\"teams\": [{\"created_at\", \"default\", \"id\", \"name\"}]}, the default team first
Exit codes: 0 also when there are none; 3 not allowed; 5 refused otherwise; 6 the server failed
Example: keyward org team list --jq '.teams[] | select(.default) | .id' -r")]
    List,
    /// Make a team
    Create(CreateArgs),
}

/// A team to be made.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Output:
  text: the id of the team alone on standard output, and a sentence on standard error
  json: {\"created_at\", \"default\", \"id\", \"name\"}
Exit codes: 0 it is made; 3 not allowed; 5 refused otherwise, as for a name that is taken; 6 the server failed
Example: keyward org team create --name ops --jq .id -r")]
pub struct CreateArgs {
    /// What people shall call the team
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), allow_hyphen_values = true)]
    name: String,
}

/// Does it.
///
/// # Errors
///
/// When the teams cannot be reached, or the other side refuses.
pub async fn run(command: TeamCommand, common: &Common) -> anyhow::Result<Answer> {
    let makes = matches!(command, TeamCommand::Create(_));
    Keys::with(common, makes, async |keys| match command {
        TeamCommand::List => list(keys).await,
        TeamCommand::Create(args) => create(keys, args).await,
    })
    .await
}

async fn list(keys: &Keys) -> anyhow::Result<Answer> {
    let listed = all(keys).await?;
    let answer = Answer::new(&listed)?;
    if listed.teams.is_empty() {
        return Ok(answer.words("No teams found."));
    }
    let rows = listed.teams.into_iter().map(|team| {
        let default = if team.default { "yes" } else { "" };
        [team.id, team.name, default.to_owned(), team.created_at]
    });
    let rows: Vec<_> = rows.collect();
    Ok(answer.text(table::render(["ID", "NAME", "DEFAULT", "CREATED"], &rows)))
}

async fn create(keys: &Keys, args: CreateArgs) -> anyhow::Result<Answer> {
    let team = keys.create_team(&args.name).await;
    let team = team.context("creating team")?;
    Ok(Answer::new(&team)?
        .words(format!("Created team {}", team.name))
        .text(format!("{}\n", print::cell(&team.id))))
}

/// The id of the team that is called `named` or has that id. An id wins, so that an id always works.
///
/// # Errors
///
/// When no team, or more than one, is meant.
pub async fn resolve(keys: &Keys, named: &str) -> anyhow::Result<String> {
    let teams = all(keys).await?.teams;
    if teams.iter().any(|team| team.id == named) {
        return Ok(named.to_owned());
    }
    let mut called = teams.iter().filter(|team| team.name == named);
    match (called.next(), called.next()) {
        (None, _) => bail!("no team matched {named:?}"),
        (Some(_), Some(_)) => bail!("multiple teams named {named:?}; pass the team ID instead"),
        (Some(team), None) => Ok(team.id.clone()),
    }
}

async fn all(keys: &Keys) -> anyhow::Result<Teams> {
    keys.teams().await.context("list teams")
}
