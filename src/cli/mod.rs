//! The command line: one more translator of commands, and the way into the program.
//!
//! The tree of commands is clap's. A command that asks something ends in an [`Answer`], which is written in the form
//! that the flags ask for ([`answer`]); one that fails ends in an error, whose exit code is CONTRACTS 9's
//! ([`failure`]). Keys are reached in two ways that print the same ([`keys`]).

mod answer;
mod api_key;
mod audit;
mod bulk;
mod config;
mod database;
mod demo;
mod direct;
mod doctor;
mod document;
mod echo;
mod explain;
mod failure;
mod health;
mod http;
mod jq;
mod key_life;
mod keys;
mod listing;
mod print;
mod profile;
mod profiles;
mod remote;
mod run;
mod serve;
mod session;
mod shell;
mod table;
mod team;
mod top;

use std::time::Duration;

use clap::{Args, Parser, Subcommand};

pub use answer::{Answer, Format};
pub use run::run;

/// A key-verification sidecar proxy for model servers.
///
/// Keys are reached through the admin listener (`keyward profile login`, or `KEYWARD_URL` and `KEYWARD_API_KEY`),
/// or straight on a database (`--database`).
#[derive(Debug, Parser)]
#[command(name = "keyward", disable_version_flag = true, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    /// Print the version
    #[arg(short = 'V', long, help_heading = "Options")]
    version: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Flags of every command that asks something; they may stand before or after it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// Output format [default: text]
    #[arg(short, long, global = true, value_name = "FORMAT")]
    output: Option<Format>,
    /// Filter JSON output with a jq expression; implies --output json
    #[arg(
        short = 'q',
        long,
        global = true,
        value_name = "EXPRESSION",
        allow_hyphen_values = true
    )]
    jq: Option<String>,
    /// With --jq, print strings without quotes
    #[arg(short, long, global = true)]
    raw_output: bool,
    /// Use this profile, whatever the environment says and whichever is the current one
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
    /// Work straight on this database, without a server
    #[arg(long, global = true, value_name = "URL", conflicts_with = "profile")]
    database: Option<String>,
    /// How long to wait for an answer [default: 30s]
    #[arg(long, global = true, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
    /// Tell on standard error what is asked, and every row that an import changes
    #[arg(short, long, global = true)]
    verbose: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
enum Command {
    /// Stand in front of a model server, verify keys, and forward what they may call
    Serve(serve::ServeArgs),
    /// See a key made, a call forwarded, another model refused, and the key deleted; nothing is kept
    Demo(demo::DemoArgs),
    /// Check the settings, or show what is in force
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Prepare the key database
    #[command(subcommand)]
    Database(database::DatabaseCommand),
    /// Manage the organisation: its keys and teams
    #[command(subcommand)]
    Org(OrgCommand),
    /// Manage the servers that this command line knows
    #[command(subcommand)]
    Profile(profile::ProfileCommand),
    /// Ask whether a server is ready; exits with 0 when it is
    Health(health::HealthArgs),
    /// Watch decisions, latency and freshness of a server, second by second
    Top(top::TopArgs),
    /// Look at everything a server needs, and say what to do about what is wrong
    Doctor(doctor::DoctorArgs),
    /// Print completions for a shell
    Completions(shell::CompletionsArgs),
    /// Print a manual page
    Man(shell::ManArgs),
}

/// What belongs to an organisation.
#[derive(Debug, Subcommand)]
enum OrgCommand {
    /// Manage API keys
    #[command(subcommand)]
    ApiKey(api_key::ApiKeyCommand),
    /// Manage teams
    #[command(subcommand)]
    Team(team::TeamCommand),
    /// See who changed which key
    #[command(subcommand)]
    Audit(audit::AuditCommand),
}

impl Common {
    /// The profile that is asked for; an empty name is none.
    fn profile(&self) -> Option<&str> {
        self.profile.as_deref().filter(|name| !name.is_empty())
    }

    /// The jq expression that is asked for; an empty one is none.
    fn expression(&self) -> Option<&str> {
        self.jq
            .as_deref()
            .filter(|expression| !expression.is_empty())
    }

    /// The database that is asked for; an empty URL is none.
    fn database(&self) -> Option<&str> {
        self.database.as_deref().filter(|url| !url.is_empty())
    }

    /// How long a whole answer may take.
    fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(Duration::from_secs(30))
    }
}

/// A time that may also be in days or weeks.
fn long_duration(text: &str) -> Result<Duration, String> {
    let in_days = |unit, days: u64| {
        let number: u64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
        Some(Duration::from_secs(number.checked_mul(days * 86_400)?))
    };
    match in_days('d', 1).or_else(|| in_days('w', 7)) {
        Some(Duration::ZERO) => Err("a time is longer than nothing".to_owned()),
        Some(time) => Ok(time),
        None => duration(text)
            .map_err(|error| error.replace("`30s` or `500ms`", "`30d`, `12h` or `10m`")),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let parser = jiff::fmt::friendly::SpanParser::new();
    let duration = parser.parse_unsigned_duration(text);
    let duration = duration.map_err(|_| "a time is written like `30s` or `500ms`")?;
    if duration.is_zero() {
        return Err("a time is longer than nothing".to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[rstest::rstest]
    #[case("30d", Ok(30 * 86_400))]
    #[case("2w", Ok(14 * 86_400))]
    #[case("12h", Ok(12 * 3600))]
    #[case("1h 30m", Ok(5400))]
    #[case("0d", Err("a time is longer than nothing"))]
    #[case("-1d", Err("a time is written like `30d`, `12h` or `10m`"))]
    #[case(
        "99999999999999999999w",
        Err("a time is written like `30d`, `12h` or `10m`")
    )]
    #[case("soon", Err("a time is written like `30d`, `12h` or `10m`"))]
    fn a_long_time_may_be_in_days(#[case] text: &str, #[case] secs: Result<u64, &str>) {
        let time = long_duration(text).map(|time| time.as_secs());
        assert_eq!(time, secs.map_err(str::to_owned));
    }

    #[test]
    fn the_tree_of_commands_holds_together() {
        Cli::command().debug_assert();
    }
}
