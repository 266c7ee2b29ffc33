//! `keyward org api-key rotate | disable | enable`.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::json;

use super::answer::Answer;
use super::api_key::with_force;
use super::keys::{Keys, RotatedKey, WaitFor};
use super::print;

/// A key that is to have a new text.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Output:
  text: the new key on standard output, and on standard error until when the old one works
  json: {\"api_key\", \"prefix\", \"old_until\"}; without `old_until`, the old one is refused from now on
Exit codes: 0 it has a new text; 3 not allowed; 4 no such key; 5 refused otherwise; 6 the server failed
Example: keyward org api-key rotate kw_8fJ2mQ4x --grace 10m --jq .api_key -r > new.key")]
pub struct RotateArgs {
    /// The prefix of the key, as `list` shows it. The key has another prefix afterwards
    #[arg(value_name = "PREFIX", value_parser = NonEmptyStringValueParser::new())]
    prefix: String,
    /// How long the old text works beside the new one, such as 10m or 7d; not at all unless given
    #[arg(long, value_name = "TIME", value_parser = super::long_duration)]
    grace: Option<Duration>,
    /// Wait until this is in force on this instance (as without it), or on every instance that runs on the same
    /// database; after two seconds, say on which it is not yet. The exit code is 0 in any case
    #[arg(long, value_name = "FOR")]
    wait: Option<WaitFor>,
}

/// A key that is to be switched.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Output:
  text: one sentence on standard error
  json: the key as `list` shows it, with `disabled_at` while it is switched off
Exit codes: 0 it is done; 3 not allowed; 4 no such key; 5 refused otherwise; 6 the server failed
Example: keyward org api-key disable kw_8fJ2mQ4x --jq .disabled_at")]
pub struct SwitchArgs {
    /// The prefix of the key, as `list` shows it
    #[arg(value_name = "PREFIX", value_parser = NonEmptyStringValueParser::new())]
    prefix: String,
    /// Answer when this is in force on this instance (as without it), or on every instance that runs on the same
    /// database, at the latest after two seconds
    #[arg(long, value_name = "FOR")]
    wait: Option<WaitFor>,
}

/// Gives a key a new text.
///
/// # Errors
///
/// When the keys cannot be reached, or the other side refuses.
pub async fn rotate(keys: &Keys, args: RotateArgs) -> anyhow::Result<Answer> {
    let grace = args.grace.map_or(0, |grace| grace.as_secs().max(1));
    let rotated = keys.rotate(&args.prefix, grace, args.wait).await;
    let RotatedKey {
        api_key: key,
        prefix,
        old_until,
        in_force,
    } = rotated.context("rotating API key")?;
    let text = key.reveal();
    let mut payload = json!({ "api_key": text, "prefix": prefix });
    let words = match &old_until {
        Some(until) => {
            payload["old_until"] = json!(until);
            format!("The old key works until {}.", print::cell(until))
        }
        None => "The old key is refused from now on.".to_owned(),
    };
    if let Some(in_force) = &in_force {
        payload["in_force"] = serde_json::to_value(in_force)?;
    }
    let words = format!("{words}\nSave this key now. It will not be shown again.");
    Ok(Answer::new(&payload)?
        .words(with_force(words, in_force.as_ref()))
        .text(format!("{}\n", print::cell(text)))
        .showing(key))
}

/// Switches a key on or off.
///
/// # Errors
///
/// As [`rotate`].
pub async fn switch(keys: &Keys, args: SwitchArgs, enabled: bool) -> anyhow::Result<Answer> {
    let (doing, done) = if enabled {
        ("enabling API key", "Enabled API key")
    } else {
        ("disabling API key", "Disabled API key")
    };
    let switched = keys.switch(&args.prefix, enabled, args.wait).await;
    let switched = switched.context(doing)?;
    Ok(Answer::new(&switched)?.words(format!("{done} {}", switched.prefix)))
}
