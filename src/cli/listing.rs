//! `keyward org api-key list`.

use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::answer::Answer;
use super::keys::{ApiKeyItem, KeyQuery, KeyType, Keys};
use super::{table, team};
use crate::clock::Clock;

/// Which keys are shown, in which order, and how much of each.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Output:
  text: a table with the columns NAME, KEY (the prefix and ****), TYPE, TEAM, and with --wide LAST USED, EXPIRES, STATE (with
        `, ends calls` behind it where calls under way end with the key);
        when there is nothing, \"No API keys found.\" on standard error
  json: {\"keys\": [{\"prefix\", \"type\", \"name\", \"model_ids\", \"team_name\", \"created_at\", \"last_used_at\", \"owner\"}]}, and
        with --wide or --expired also \"expires_at\", \"disabled_at\" and \"ends_calls\"; what is null is left out
Exit codes: 0 also when there is nothing; 3 not allowed; 5 refused otherwise; 6 the server failed
Example: keyward org api-key list --unused-for 90d --jq '.keys[].prefix' -r")]
pub struct ListArgs {
    /// Only keys of this type
    #[arg(long = "type", value_name = "TYPE")]
    category: Option<KeyType>,
    /// Only keys of this team, by its name or id
    #[arg(long, value_name = "TEAM", allow_hyphen_values = true)]
    team: Option<String>,
    /// Only keys that have not been used for this time, such as 90d; a key that was never used, since it was made
    #[arg(long, value_name = "TIME", value_parser = super::long_duration)]
    unused_for: Option<Duration>,
    /// Only keys whose end has come
    #[arg(long)]
    expired: bool,
    /// The order: by this, ascending; never used comes first, never ending last. As the server tells them unless given
    #[arg(long, value_name = "BY")]
    sort: Option<Sort>,
    /// Show when each key was last used, when it ends, and whether it is switched off, too
    #[arg(long)]
    wide: bool,
}

/// What keys are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// What people call them.
    Name,
    /// What they may do.
    Type,
    /// The name of their team.
    Team,
    /// When they were made.
    Created,
    /// When they were last used.
    LastUsed,
    /// When they end.
    Expires,
}

/// Lists keys.
///
/// # Errors
///
/// When the keys cannot be reached, the other side refuses, or there is no such team.
pub async fn list(keys: &Keys, args: ListArgs) -> anyhow::Result<Answer> {
    let query = KeyQuery {
        category: args.category.map(KeyType::word),
        team: match &args.team {
            Some(named) => Some(team::resolve(keys, named).await?),
            None => None,
        },
        life: args.wide || args.expired || args.sort == Some(Sort::Expires),
    };
    let mut listed = keys.list(&query).await.context("listing API keys")?;
    let now = Clock::system().unix_time().to_stored();
    listed.keys.retain(|key| is_asked_for(key, &args, now));
    if let Some(sort) = args.sort {
        listed.keys.sort_by_cached_key(|key| place(key, sort));
    }
    let answer = Answer::new(&listed)?;
    if listed.keys.is_empty() {
        return Ok(answer.words("No API keys found."));
    }
    Ok(answer.text(if args.wide {
        wide(&listed.keys, now)
    } else {
        narrow(&listed.keys)
    }))
}

fn is_asked_for(key: &ApiKeyItem, args: &ListArgs, now: i64) -> bool {
    let is_unused = args.unused_for.is_none_or(|time| {
        let last = key.last_used_at.as_ref().or(key.created_at.as_ref());
        let since = last.and_then(|moment| secs(moment)).unwrap_or(i64::MIN);
        let time = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        since <= now.saturating_sub(time)
    });
    is_unused && (!args.expired || is_expired(key, now))
}

fn is_expired(key: &ApiKeyItem, now: i64) -> bool {
    let end = key.expires_at.as_deref().and_then(secs);
    end.is_some_and(|end| end <= now)
}

/// Where a key stands: by its moment, then by its word. Sorting is stable.
fn place(key: &ApiKeyItem, sort: Sort) -> (i64, String) {
    let moment = |moment: &Option<String>| moment.as_deref().and_then(secs);
    let word = |word: &Option<String>| (0, word.clone().unwrap_or_default());
    match sort {
        Sort::Name => word(&key.name),
        Sort::Type => (0, key.category.clone()),
        Sort::Team => word(&key.team_name),
        Sort::Created => (moment(&key.created_at).unwrap_or(i64::MIN), String::new()),
        Sort::LastUsed => (moment(&key.last_used_at).unwrap_or(i64::MIN), String::new()),
        Sort::Expires => (moment(&key.expires_at).unwrap_or(i64::MAX), String::new()),
    }
}

fn secs(moment: &str) -> Option<i64> {
    let moment: Timestamp = moment.parse().ok()?;
    Some(moment.as_second())
}

fn narrow(keys: &[ApiKeyItem]) -> String {
    let rows: Vec<_> = keys.iter().map(cells).collect();
    table::render(["NAME", "KEY", "TYPE", "TEAM"], &rows)
}

fn wide(keys: &[ApiKeyItem], now: i64) -> String {
    let rows = keys.iter().map(|key| {
        let [name, text, category, team] = cells(key);
        let state = match (&key.disabled_at, is_expired(key, now)) {
            (Some(_), _) => "disabled",
            (None, true) => "expired",
            (None, false) => "enabled",
        };
        let ends_calls = if key.ends_calls == Some(true) {
            ", ends calls"
        } else {
            ""
        };
        let never = |moment: &Option<String>| moment.clone().unwrap_or_else(|| "never".to_owned());
        let (used, end) = (never(&key.last_used_at), never(&key.expires_at));
        [
            name,
            text,
            category,
            team,
            used,
            end,
            format!("{state}{ends_calls}"),
        ]
    });
    let rows: Vec<_> = rows.collect();
    let header = [
        "NAME",
        "KEY",
        "TYPE",
        "TEAM",
        "LAST USED",
        "EXPIRES",
        "STATE",
    ];
    table::render(header, &rows)
}

fn cells(key: &ApiKeyItem) -> [String; 4] {
    [
        key.name.clone().unwrap_or_default(),
        format!("{}****", key.prefix),
        KeyType::show(&key.category),
        key.team_name.clone().unwrap_or_default(),
    ]
}
