//! `keyward database`: the tables that keys are in.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;

use super::Common;
use super::answer::Answer;
use crate::config::{Config, Environment, Overrides, Sources};
use crate::store;

/// `keyward database`
#[derive(Debug, Subcommand)]
pub enum DatabaseCommand {
    /// Make the tables of the key database, or bring them up to this version; does nothing when they are
    ///
    /// Of the settings, only those of the key database count. Run it before servers of a new version are started, as a
    /// user who may make tables; servers of the version before this one go on meanwhile.
    Migrate(MigrateArgs),
}

/// Where the settings are.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Output:
  text: one sentence on standard error
  json: {\"was\", \"is\"}: the versions of the tables before and now, 0 when there were none
Exit codes: 0 the tables are of this version; 1 they cannot be brought there, and nothing was changed; 2 mistakes in the \
            settings
Example: keyward database migrate --database postgres://keyward@localhost/keyward --jq .is")]
pub struct MigrateArgs {
    /// The settings file [default: `KEYWARD_CONFIG`, then ./keyward.toml, then /etc/keyward/keyward.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Does it.
///
/// # Errors
///
/// [`ConfigError`](crate::config::ConfigError) with every mistake about the database; else why it could not be migrated.
pub async fn run(command: DatabaseCommand, common: &Common) -> anyhow::Result<Answer> {
    let DatabaseCommand::Migrate(args) = command;
    let config = Config::load_store(&Sources {
        flags: Overrides::default().with("--database", "store.url", common.database.clone()),
        file: args.config,
        environment: Environment::of_process(),
    })?;
    let migrated = store::migrate(&config).await.context("migrating")?;
    let words = if migrated.was == migrated.is {
        format!(
            "The key database is of version {}; there was nothing to do",
            migrated.is
        )
    } else {
        format!(
            "Migrated the key database from version {} to {}",
            migrated.was, migrated.is
        )
    };
    Ok(Answer::new(&json!({ "was": migrated.was, "is": migrated.is }))?.words(words))
}
