//! `keyward org api-key list`.

use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::answer::{Answer, Format};
use super::document::Document;
use super::keys::{ApiKeyItem, ApiKeys, KeyQuery, KeyType, Keys, Pages};
use super::table::Table;
use super::{Common, team};
use crate::clock::Clock;

/// Which keys are shown, in which order, and how much of each.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Output:
  text: a table with the columns NAME, KEY (the prefix and ****), TYPE, TEAM, and with --wide LAST USED, EXPIRES, STATE \
        (with `, ends calls` behind it where calls under way end with the key); when there is nothing, \
        \"No API keys found.\" on standard error
  json: {\"keys\": [{\"prefix\", \"type\", \"name\", \"model_ids\", \"team_name\", \"created_at\", \"last_used_at\", \"owner\"}]}, and \
        with --wide or --expired also \"expires_at\", \"disabled_at\" and \"ends_calls\"; what is null is left out
  Any number of keys is told, a thousand at a time. JSON is written as they come: when something fails on the way it is \
  cut off, and the exit code says so. A table is written at the end, for its columns are as wide as their widest cells; \
  so is what is sorted, and what --jq makes of the whole
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

/// Lists keys, page by page.
///
/// JSON is written as the pages come; a table when the last one has come, for its columns are as wide as their widest
/// cells. What is sorted or filtered by an expression is held whole.
///
/// # Errors
///
/// When the keys cannot be reached, the other side refuses, or there is no such team.
pub async fn list(keys: &Keys, args: ListArgs, common: &Common) -> anyhow::Result<Answer> {
    let query = KeyQuery {
        category: args.category.map(KeyType::word),
        team: match &args.team {
            Some(named) => Some(team::resolve(keys, named).await?),
            None => None,
        },
        life: args.wide || args.expired || args.sort == Some(Sort::Expires),
    };
    let now = Clock::system().unix_time().to_stored();
    let told = Told {
        pages: keys.pages(query),
        args: &args,
        now,
    };
    if common.expression().is_some() || args.sort.is_some() {
        return held(told).await;
    }
    match common.output.unwrap_or(Format::Text) {
        Format::Json => written(told, Document::new("keys", false)).await,
        Format::Jsonl => written(told, Document::new("keys", true)).await,
        Format::Text | Format::None => tabulated(told).await,
    }
}

/// The keys that are asked for, page by page.
struct Told<'l> {
    pages: Pages<'l>,
    args: &'l ListArgs,
    now: i64,
}

impl Told<'_> {
    async fn next(&mut self) -> anyhow::Result<Option<Vec<ApiKeyItem>>> {
        let page = self.pages.next().await.context("listing API keys")?;
        Ok(page.map(|mut keys| {
            keys.retain(|key| is_asked_for(key, self.args, self.now));
            keys
        }))
    }
}

/// As JSON, on its way out before the next page is asked for. Writing blocks, for as long as a pager does.
async fn written(mut told: Told<'_>, mut document: Document) -> anyhow::Result<Answer> {
    while let Some(keys) = told.next().await? {
        let written = tokio::task::spawn_blocking(move || {
            for key in keys {
                document.push(&serde_json::to_value(key)?)?;
            }
            anyhow::Ok(document)
        });
        document = written.await??;
    }
    tokio::task::spawn_blocking(move || document.finish()).await??;
    Ok(Answer::written())
}

/// As a table, of which only the cells are kept.
async fn tabulated(mut told: Told<'_>) -> anyhow::Result<Answer> {
    let mut rows = Rows::new(told.args.wide, told.now);
    while let Some(keys) = told.next().await? {
        for key in &keys {
            rows.push(key);
        }
    }
    Ok(rows.told(Answer::written()))
}

/// In any form, when all are known.
async fn held(mut told: Told<'_>) -> anyhow::Result<Answer> {
    let mut listed = ApiKeys::default();
    while let Some(keys) = told.next().await? {
        listed.keys.extend(keys);
    }
    if let Some(sort) = told.args.sort {
        listed.keys.sort_by_cached_key(|key| place(key, sort));
    }
    let mut rows = Rows::new(told.args.wide, told.now);
    for key in &listed.keys {
        rows.push(key);
    }
    Ok(rows.told(Answer::new(&listed)?))
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

/// The table of a list, with as many columns as are asked for.
enum Rows {
    Narrow(Table<4>),
    Wide(Table<7>, i64),
}

impl Rows {
    fn new(wide: bool, now: i64) -> Self {
        let [name, key, category, team] = ["NAME", "KEY", "TYPE", "TEAM"];
        if wide {
            let [used, end, state] = ["LAST USED", "EXPIRES", "STATE"];
            let header = [name, key, category, team, used, end, state];
            Self::Wide(Table::new(header), now)
        } else {
            Self::Narrow(Table::new([name, key, category, team]))
        }
    }

    fn push(&mut self, key: &ApiKeyItem) {
        let [name, text, category, team] = &cells(key);
        match self {
            Self::Narrow(table) => table.push([name, text, category, team]),
            Self::Wide(table, now) => {
                let state = match (&key.disabled_at, is_expired(key, *now)) {
                    (Some(_), _) => "disabled",
                    (None, true) => "expired",
                    (None, false) => "enabled",
                };
                let used = key.last_used_at.as_deref().unwrap_or("never");
                let end = key.expires_at.as_deref().unwrap_or("never");
                let ends_calls = if key.ends_calls == Some(true) {
                    ", ends calls"
                } else {
                    ""
                };
                let state = format!("{state}{ends_calls}");
                table.push([name, text, category, team, used, end, &state]);
            }
        }
    }

    /// `answer` as text.
    fn told(&self, answer: Answer) -> Answer {
        let (is_empty, text) = match self {
            Self::Narrow(table) => (table.is_empty(), table.render()),
            Self::Wide(table, _) => (table.is_empty(), table.render()),
        };
        if is_empty {
            answer.words("No API keys found.")
        } else {
            answer.text(text)
        }
    }
}

fn cells(key: &ApiKeyItem) -> [String; 4] {
    [
        key.name.clone().unwrap_or_default(),
        format!("{}****", key.prefix),
        KeyType::show(&key.category),
        key.team_name.clone().unwrap_or_default(),
    ]
}
