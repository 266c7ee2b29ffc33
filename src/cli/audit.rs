//! `keyward org audit list`.

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::Common;
use super::answer::Answer;
use super::keys::{AuditLog, Keys};
use super::{print, table};

/// What can be done with the audit trail.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List changes of keys, newest first: who, when, from where, what
    List(ListArgs),
}

/// Which entries.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Output:
  text: a table with the columns TIME, ACTOR, FROM, ACTION, OF, CHANGED; on standard error how to go on, if there are \
        more, and \"No changes found.\" when there are none
  json: {\"audit_logs\": [{\"action\", \"actor\", \"actor_prefix\", \"changed\", \"created_at\", \"id\", \"key_id\", \"prefix\", \
        \"source\", \"team\"}], \"next_cursor\"}; what is null is left out
  Every change of a key is told, every team that is made, and when the admin token was. FROM is an address; `database` \
  for this command line straight on it; `sql` for whoever else changed a key there: then nobody knows who it was, and \
  ACTOR is (unknown); `start` for the first start of a server. A team that is changed by plain SQL is not told
Exit codes: 0 also when there are none; 3 not allowed; 5 refused otherwise; 6 the server failed
Example: keyward org audit list --jq '.audit_logs[] | select(.action == \"delete\") | .prefix' -r")]
pub struct ListArgs {
    /// How many at most
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Go on after what was shown last: its `next_cursor`
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<u64>,
}

/// Does it.
///
/// # Errors
///
/// When the trail cannot be reached, or the other side refuses.
pub async fn run(command: AuditCommand, common: &Common) -> anyhow::Result<Answer> {
    let AuditCommand::List(args) = command;
    Keys::with(common, false, async |keys| list(keys, args).await).await
}

async fn list(keys: &Keys, args: ListArgs) -> anyhow::Result<Answer> {
    let listed = keys.audit(args.limit.into(), args.cursor).await;
    let listed = listed.context("listing audit logs")?;
    let answer = Answer::new(&listed)?;
    if listed.audit_logs.is_empty() {
        return Ok(answer.words("No changes found."));
    }
    let answer = match &listed.next_cursor {
        Some(cursor) => answer.words(format!("There are more: --cursor {}", print::cell(cursor))),
        None => answer,
    };
    let rows: Vec<_> = listed.audit_logs.into_iter().map(row).collect();
    let header = ["TIME", "ACTOR", "FROM", "ACTION", "OF", "CHANGED"];
    Ok(answer.text(table::render(header, &rows)))
}

fn row(entry: AuditLog) -> [String; 6] {
    let actor = match (entry.actor, entry.actor_prefix) {
        (Some(actor), Some(prefix)) => format!("{actor} ({prefix})"),
        (Some(actor), None) => actor,
        (None, _) => "(unknown)".to_owned(),
    };
    let of = match (entry.prefix, entry.team) {
        (Some(prefix), _) => prefix,
        (None, Some(team)) => format!("team {team}"),
        (None, None) => String::new(),
    };
    [
        entry.created_at,
        actor,
        entry.source,
        entry.action,
        of,
        entry.changed.join(", "),
    ]
}
