//! `keyward org api-key …`: `list`, `create` and `delete` as the Baseten command line does it (CONTRACTS 9).

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, Subcommand};
use serde_json::json;

use super::Common;
use super::answer::Answer;
use super::bulk::export::{self, ExportArgs};
use super::bulk::import::{self, ImportArgs};
use super::explain::{self, ExplainArgs};
use super::failure::Failure;
use super::key_life::{self, RotateArgs, SwitchArgs};
use super::keys::{CreatedKey, InForce, KeyQuery, KeyRequest, KeyType, Keys, WaitFor};
use super::listing::{self, ListArgs};
use super::{print, team};

/// What can be done to keys.
#[derive(Debug, Subcommand)]
pub enum ApiKeyCommand {
    /// List keys: what is known of them, never their text
    List(ListArgs),
    /// Make a key. Its text is printed once and cannot be had again: keep it or pipe it on
    Create(CreateArgs),
    /// Give a key a new text, printed once; the one before may work for a while longer
    Rotate(RotateArgs),
    /// Switch a key off: it is refused until it is switched on again
    Disable(SwitchArgs),
    /// Switch a key on again
    Enable(SwitchArgs),
    /// Tell whether a key may make a call, and which rule decides
    Explain(Box<ExplainArgs>),
    /// Delete a key, by its name or by the prefix that `list` shows
    Delete(DeleteArgs),
    /// Import keys by their digests: from another keyward, LiteLLM or Unkey, so that nobody needs a new key
    Import(Box<ImportArgs>),
    /// Export every key with its digest, for `import` elsewhere; never a key's text
    Export(ExportArgs),
}

/// A key to be made.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Output:
  text: the key alone on standard output; on standard error that it is not shown again and, with --wait all, where it \
        works already
  json: {\"api_key\"}, and with --wait all {\"in_force\": {\"after_ms\", \"behind\", \"everywhere\", \"silent\"}}
Exit codes: 0 it is made; 1 no such team, or more than one; 2 --model-id with a type that has no models; 3 not allowed; \
            4 no such team there; 5 refused otherwise, as for a name that is taken; 6 the server failed
Example: keyward org api-key create --type workspace-invoke --model-id llama-3 --jq .api_key -r > new.key")]
pub struct CreateArgs {
    /// What the key may do
    #[arg(long = "type", value_name = "TYPE")]
    category: KeyType,
    /// What people shall call the key
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    name: Option<String>,
    /// Restrict the key to a model; may be repeated. Only with --type workspace-export-metrics or workspace-invoke
    #[arg(long = "model-id", value_name = "MODEL", allow_hyphen_values = true)]
    model_ids: Vec<String>,
    /// The name or the id of the team; the default team unless given
    #[arg(long, value_name = "TEAM", allow_hyphen_values = true)]
    team: Option<String>,
    /// Refuse the key after this time, such as 30d, 2w or 12h; it never ends unless given
    #[arg(long, value_name = "TIME", value_parser = super::long_duration)]
    expires_in: Option<Duration>,
    /// End the calls that are under way when the key ends, even where the server's settings let them go on
    #[arg(long)]
    ends_calls: bool,
    /// Wait until the key works on this instance (as without it), or on every instance that runs on the same database;
    /// after two seconds, say on which it does not yet. The key is made in any case, and the exit code is 0
    #[arg(long, value_name = "FOR")]
    wait: Option<WaitFor>,
}

/// A key to be deleted: exactly one of its names.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("identifier").required(true).args(["name", "prefix"])), after_long_help = "\
Output:
  text: one sentence on standard error, and with --wait all where the key is refused already
  json: {\"prefix\"}, and with --wait all {\"in_force\": {\"after_ms\", \"behind\", \"everywhere\", \"silent\"}}
Exit codes: 0 it is deleted; 1 no key of that name, or more than one; 3 not allowed; 4 no key with that prefix; 5 refused \
            otherwise; 6 the server failed
Example: keyward org api-key delete --name ci --jq .prefix -r")]
pub struct DeleteArgs {
    /// The name of the key
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), allow_hyphen_values = true)]
    name: Option<String>,
    /// The prefix of the key, as `list` shows it
    #[arg(long, value_name = "PREFIX", value_parser = NonEmptyStringValueParser::new(), allow_hyphen_values = true)]
    prefix: Option<String>,
    /// Wait until the key is refused on this instance (as without it), or on every instance that runs on the same
    /// database; after two seconds, say on which it is not yet. The key is deleted in any case, and the exit code is 0
    #[arg(long, value_name = "FOR")]
    wait: Option<WaitFor>,
}

/// Does it.
///
/// # Errors
///
/// When the command contradicts itself, the keys cannot be reached, or the other side refuses.
pub async fn run(command: ApiKeyCommand, common: &Common) -> anyhow::Result<Answer> {
    match command {
        ApiKeyCommand::List(args) => {
            Keys::with(common, false, async |keys| {
                listing::list(keys, args, common).await
            })
            .await
        }
        ApiKeyCommand::Rotate(args) => {
            Keys::with(common, false, async |keys| {
                key_life::rotate(keys, args).await
            })
            .await
        }
        ApiKeyCommand::Disable(args) => {
            Keys::with(common, false, async |keys| {
                key_life::switch(keys, args, false).await
            })
            .await
        }
        ApiKeyCommand::Enable(args) => {
            Keys::with(common, false, async |keys| {
                key_life::switch(keys, args, true).await
            })
            .await
        }
        ApiKeyCommand::Create(args) => {
            check(&args)?;
            Keys::with(common, true, async |keys| create(keys, args).await).await
        }
        ApiKeyCommand::Delete(args) => {
            Keys::with(common, false, async |keys| delete(keys, args).await).await
        }
        ApiKeyCommand::Explain(args) => explain::run(*args, common).await,
        ApiKeyCommand::Import(args) => import::run(*args, common).await,
        ApiKeyCommand::Export(args) => export::run(args, common).await,
    }
}

async fn create(keys: &Keys, args: CreateArgs) -> anyhow::Result<Answer> {
    let team = match args.team.filter(|team| !team.is_empty()) {
        Some(named) => Some(team::resolve(keys, &named).await?),
        None => None,
    };
    let request = KeyRequest {
        ends_calls: args.ends_calls,
        expires_in: args.expires_in.map(|time| time.as_secs().max(1)),
        model_ids: Some(args.model_ids).filter(|models| !models.is_empty()),
        name: args.name.filter(|name| !name.is_empty()),
        category: args.category.word(),
    };
    let created = keys.create(&request, team.as_deref(), args.wait).await;
    let CreatedKey {
        api_key: key,
        in_force,
    } = created.context("creating API key")?;
    let text = key.reveal();
    let mut payload = json!({ "api_key": text });
    if let Some(in_force) = &in_force {
        payload["in_force"] = serde_json::to_value(in_force)?;
    }
    let words = "Save this key now. It will not be shown again.";
    Ok(Answer::new(&payload)?
        .words(with_force(words.to_owned(), in_force.as_ref()))
        .text(format!("{}\n", print::cell(text)))
        .showing(key))
}

async fn delete(keys: &Keys, args: DeleteArgs) -> anyhow::Result<Answer> {
    let prefix = match (args.prefix, args.name) {
        (Some(prefix), _) => prefix,
        (None, name) => prefix_of(keys, &name.unwrap_or_default()).await?,
    };
    let deleted = keys.delete(&prefix, args.wait).await;
    let deleted = deleted.context("deleting API key")?;
    let words = format!("Deleted API key {}", deleted.prefix);
    Ok(Answer::new(&deleted)?.words(with_force(words, deleted.in_force.as_ref())))
}

/// `words`, and below them where the change is in force, for whoever asked for that.
pub fn with_force(words: String, in_force: Option<&InForce>) -> String {
    match in_force {
        Some(in_force) => format!("{words}\n{}", in_force.words()),
        None => words,
    }
}

/// The prefix of the only key that is called `name`.
async fn prefix_of(keys: &Keys, name: &str) -> anyhow::Result<String> {
    let mut pages = keys.pages(KeyQuery::default());
    let mut called = None;
    while let Some(page) = pages.next().await.context("listing API keys")? {
        for key in page {
            if key.name.as_deref() != Some(name) {
                continue;
            }
            if called.replace(key.prefix).is_some() {
                bail!("multiple API keys named {name:?}; pass --prefix instead");
            }
        }
    }
    called.with_context(|| format!("no API key named {name:?}"))
}

fn check(args: &CreateArgs) -> Result<(), Failure> {
    let may_have_models = matches!(
        args.category,
        KeyType::WorkspaceExportMetrics | KeyType::WorkspaceInvoke
    );
    if args.model_ids.is_empty() || may_have_models {
        return Ok(());
    }
    Err(Failure::Usage(
        "--model-id is only valid with --type workspace-export-metrics or workspace-invoke"
            .to_owned(),
    ))
}
