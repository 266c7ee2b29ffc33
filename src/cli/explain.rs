//! `keyward org api-key explain`.

use anyhow::Context as _;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use http::Method;
use serde_json::json;
use uuid::Uuid;

use super::Common;
use super::answer::Answer;
use super::config::SettingsArgs;
use super::keys::{ApiKeyItem, Keys};
use super::print;
use crate::clock::Clock;
use crate::config::{AskedCall, Config, Explanation};
use crate::key::{ApiKey, KeyCategory, KeyDigest, KeyId, ModelScope, OrgId, UnixTime};

/// Which key, and which call.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Without --path only the key itself is looked at. With it, the routes of the settings decide too: those that `keyward
serve` would read here, now.
Output:
  text: `allowed` or `refused with STATUS`, the rule that decides, and why; then the rule by which the call would be \
        ended with the key, if one says so
  json: {\"allowed\", \"ends_by\", \"rule\", \"status\", \"upstream\", \"why\"}; what is null is left out
Exit codes: 0 also when the call would be refused; 2 mistakes in the settings; 3 not allowed; 4 no such key; 6 the \
            server failed
Example: keyward org api-key explain --prefix kw_8fJ2mQ4x --model llama-3 --path /v1/chat/completions --jq .allowed")]
pub struct ExplainArgs {
    /// The prefix of the key, as `list` shows it
    #[arg(long, value_name = "PREFIX", value_parser = NonEmptyStringValueParser::new(), allow_hyphen_values = true)]
    prefix: String,
    /// The model that the call names, in the place where the route looks for it
    #[arg(long, value_name = "MODEL", allow_hyphen_values = true)]
    model: Option<String>,
    /// The path of the call
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// The method of the call
    #[arg(long, value_name = "METHOD", default_value = "POST")]
    method: Method,
    /// The host that the call is sent to
    #[arg(long, value_name = "HOST", default_value = "localhost")]
    host: String,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Tells it.
///
/// # Errors
///
/// When there is no such key, the keys cannot be reached, or the settings have mistakes.
pub async fn run(args: ExplainArgs, common: &Common) -> anyhow::Result<Answer> {
    let config = match args.path {
        Some(_) => Some(Config::load(&args.settings.sources_with(None))?.config),
        None => None,
    };
    let found = Keys::with(common, false, async |keys| keys.find(&args.prefix).await).await;
    let item = found.context("explaining API key")?;
    let key = as_stored(&item)?;
    let now = Clock::system().unix_time();
    let model = args.model.as_deref();
    let explained = match (&config, &args.path) {
        (Some(config), Some(path)) => {
            let call = AskedCall {
                method: args.method,
                host: &args.host,
                path,
                model,
            };
            Explanation::of_call(config, &key, &call, now)
        }
        _ => Explanation::of_key(&key, model, now),
    };
    told(&explained)
}

fn told(explained: &Explanation) -> anyhow::Result<Answer> {
    let allowed = explained.refused_with.is_none();
    let mut payload = json!({ "allowed": allowed, "rule": explained.rule, "why": explained.why });
    let mut first = "allowed".to_owned();
    if let Some(status) = explained.refused_with {
        payload["status"] = json!(status);
        first = format!("refused with {status}");
    }
    if let Some(upstream) = &explained.upstream {
        payload["upstream"] = json!(upstream);
    }
    let why = print::cell(&explained.why);
    let first = format!("{first} by {}: {why}\n", explained.rule);
    let mut second = String::new();
    if let Some(rule) = explained.ends_by {
        payload["ends_by"] = json!(rule);
        second = format!("ended with the key by {rule}\n");
    }
    Ok(Answer::new(&payload)?.text(first + &second))
}

/// The key, as far as is told what decides. Its text and its id decide nothing.
fn as_stored(item: &ApiKeyItem) -> anyhow::Result<ApiKey> {
    let moment = |moment: &Option<String>| {
        let moment = moment.as_deref().map(str::parse::<jiff::Timestamp>);
        let moment = moment
            .transpose()
            .context("reading the moments of the key")?;
        anyhow::Ok(moment.and_then(|moment| UnixTime::from_stored(moment.as_second())))
    };
    let scope = match &item.model_ids {
        None => ModelScope::Every,
        Some(ids) => ModelScope::from_stored(Some(&serde_json::to_string(ids)?))?,
    };
    Ok(ApiKey {
        id: KeyId::new(Uuid::nil()),
        prefix: item.prefix.parse()?,
        digest: KeyDigest::of(&[]),
        old: None,
        name: None,
        category: KeyCategory::from_stored(&item.category),
        operation: None,
        scope,
        org: OrgId::new(Uuid::nil()),
        team: None,
        owner: None,
        created_at: UnixTime::from_secs(0),
        expires_at: moment(&item.expires_at)?,
        disabled_at: moment(&item.disabled_at)?,
        ends_calls: item.ends_calls.unwrap_or(false),
        last_used_at: None,
    })
}
