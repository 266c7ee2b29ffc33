//! `keyward doctor`: looks at everything a server needs, changes nothing, and says what to do about what is wrong.

mod exposure;
mod files;
mod upstream;

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::answer::Answer;
use super::config::SettingsArgs;
use super::{Common, failure};
use crate::clock::Clock;
use crate::config::{Config, Loaded};
use crate::store;
use crate::telemetry::metrics::Metrics;
use crate::upstream::UpstreamPlan;

/// What to look at.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Output:
  text: a line for each thing that was looked at: `ok`, `warn` or `fail`, what was found, and what to do about it
  json: {\"findings\": [{\"check\", \"found\", \"remedy\", \"verdict\"}], \"verdict\"}: the worst of all; what is null is left out
Exit codes: 0 nothing fails; 1 something does; 2 mistakes in the settings or in the arguments
Example: keyward doctor --jq '.findings[] | select(.verdict != \"ok\") | .remedy' -r")]
pub struct DoctorArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// How long to watch an unused connection to an upstream at most, to see whether it is closed too soon
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = super::duration)]
    watch: Duration,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and something is to be said about it.
    Warn,
    /// It does not work, or is not safe.
    Fail,
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    /// What was looked at, as a word that stays the same.
    check: &'static str,
    verdict: Verdict,
    /// What was found.
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Ok,
            found: found.into(),
            remedy: None,
        }
    }

    fn warn(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Warn,
            found: found.into(),
            remedy: Some(remedy.into()),
        }
    }

    fn fail(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Fail,
            ..Self::warn(check, found, remedy)
        }
    }
}

/// Looks at the settings, the key database, the clock, certificates, files, and every upstream.
///
/// # Errors
///
/// Never for what it finds: that is its answer, which ends with 1 when something fails, and with 2 when it is the
/// settings.
pub async fn run(args: DoctorArgs, common: &Common) -> anyhow::Result<Answer> {
    let clock = Clock::system();
    let (findings, code) = match Config::load(&args.settings.sources(common)) {
        Err(error) => {
            let remedy = "correct them; config/keyward.toml explains every setting";
            (
                vec![Finding::fail("settings", error.to_string(), remedy)],
                failure::USAGE,
            )
        }
        Ok(loaded) => (examine(&loaded, &clock, args.watch).await, failure::OTHER),
    };
    let worst = findings.iter().map(|finding| finding.verdict).max();
    let worst = worst.unwrap_or(Verdict::Ok);
    let report = serde_json::json!({ "verdict": worst, "findings": findings });
    let answer = Answer::new(&report)?.text(told(&findings));
    Ok(if worst == Verdict::Fail {
        answer.ending(code)
    } else {
        answer
    })
}

async fn examine(loaded: &Loaded, clock: &Clock, watch: Duration) -> Vec<Finding> {
    let config = &loaded.config;
    let settings = loaded.settings.to_json(false);
    let mut findings = vec![settings_found(loaded)];
    findings.extend(listeners(config));
    findings.extend(database(config, clock).await);
    findings.extend(certificates(config, clock));
    findings.extend(files::look(loaded, &settings));
    for plan in &config.upstreams {
        let shows = &settings["upstreams"][&plan.name]["credential"]["kind"];
        let has_credential = shows != &Value::from("none");
        for server in &plan.servers {
            let looked = upstream::look(plan, server, watch).await;
            findings.extend(looked);
            findings.push(exposure::look(plan, server, has_credential));
        }
    }
    findings
}

fn settings_found(loaded: &Loaded) -> Finding {
    let place = match &loaded.file {
        Some(file) => file.display().to_string(),
        None => "flags, environment and defaults; there is no settings file".to_owned(),
    };
    Finding::ok("settings", format!("no mistakes in {place}"))
}

/// Who can reach the listeners that need no key.
fn listeners(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if config.admin.listen.ip().is_loopback() {
        let found = format!("administrators connect to {}", config.admin.listen);
        findings.push(Finding::ok("admin", found));
    } else {
        let found = format!(
            "administrators connect to {}, in plain HTTP",
            config.admin.listen
        );
        let remedy =
            "leave admin.listen on loopback, or put TLS in front and close the port to others";
        findings.push(Finding::warn("admin", found, remedy));
    }
    if !config.proxy.listen.ip().is_loopback() && config.tls.is_none() {
        let found = format!(
            "callers connect to {} in plain HTTP, keys included",
            config.proxy.listen
        );
        let remedy = "set proxy.tls, or make sure that TLS ends right before this machine";
        findings.push(Finding::warn("callers", found, remedy));
    }
    findings
}

/// Reads every key, as a start does, and compares the clocks.
async fn database(config: &Config, clock: &Clock) -> Vec<Finding> {
    let mut place = config.store.clone();
    place.must_exist = true;
    let failed = |error| {
        let remedy = "start it, correct store.url, or prepare it with `keyward database migrate`";
        vec![Finding::fail(
            "database",
            failure::told(&anyhow::Error::new(error)),
            remedy,
        )]
    };
    if let Some(file) = files::database(&config.store.url)
        && !file.exists()
    {
        let found = format!("{} is not there", file.display());
        let remedy = "nothing, if this is the first start, which makes it; else correct store.url";
        return vec![Finding::warn("database", found, remedy)];
    }
    let store = match store::open(&place, Metrics::unrecorded().store).await {
        Ok(store) => store,
        Err(error) => return failed(error),
    };
    let began = clock.elapsed();
    let mut keys = 0_u64;
    let read = store.snapshot(&mut |_| keys += 1).await;
    let took = clock.elapsed().saturating_sub(began);
    store.close().await;
    let end = match read {
        Ok(end) => end,
        Err(error) => return failed(error),
    };
    let bad = end.set_aside.len();
    let database = if bad == 0 {
        Finding::ok("database", format!("{keys} keys, read in {took:.1?}"))
    } else {
        let found = format!("{keys} keys, and {bad} rows that are none");
        let remedy = "the log of a start names them; correct or delete them";
        Finding::warn("database", found, remedy)
    };
    let apart = clock.machine_time().abs_diff(end.database_time);
    // One second may be mere rounding.
    let clocks = if apart < Duration::from_secs(2) + took {
        Finding::ok("clock", "this machine's and the database's agree")
    } else {
        let found = format!(
            "this machine's and the database's differ by {} s",
            apart.as_secs()
        );
        let remedy = "set both by NTP; the database's counts for when keys end";
        Finding::warn("clock", found, remedy)
    };
    vec![database, clocks]
}

/// When certificates of ours end.
fn certificates(config: &Config, clock: &Clock) -> Vec<Finding> {
    const DAY: i64 = 86_400;
    let now = i64::try_from(clock.machine_time().as_secs()).unwrap_or(i64::MAX);
    let ours = config
        .tls
        .iter()
        .map(|tls| ("proxy.tls".to_owned(), tls.not_after()));
    let shown = config.upstreams.iter().flat_map(UpstreamPlan::met_by);
    let shown = shown.filter_map(|(place, tls)| Some((place, tls.not_after()?)));
    let judge = |(place, end): (String, i64)| {
        let days = end.saturating_sub(now) / DAY;
        let remedy = "put a new one in its place; it is taken without a restart";
        if end <= now {
            Finding::fail("certificate", format!("{place}: it has ended"), remedy)
        } else if days < 14 {
            Finding::warn(
                "certificate",
                format!("{place}: it ends in {days} days"),
                remedy,
            )
        } else {
            Finding::ok("certificate", format!("{place}: it ends in {days} days"))
        }
    };
    ours.chain(shown).map(judge).collect()
}

/// A line for each finding, and below it what to do.
fn told(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let indented = finding.found.replace('\n', "\n                  ");
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<4}  {:<11} {indented}",
            finding.verdict.as_str(),
            finding.check
        );
        if let Some(remedy) = &finding.remedy {
            let _ = writeln!(text, "                  -> {remedy}");
        }
    }
    text
}
