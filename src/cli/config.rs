//! `keyward config`: are the settings right, and what is in force?

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand};
use http::uri::Authority;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::answer::Answer;
use super::{Common, failure};
use crate::config::{Config, Environment, Loaded, Overrides, Sources};
use crate::store;
use crate::telemetry::metrics::Metrics;

/// `keyward config`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Name every mistake in the settings; exits with 0 when there is none, with 2 otherwise
    Check(CheckArgs),
    /// Print the settings in force as TOML, with secrets as ***
    Show(ShowArgs),
}

/// Where settings come from, beside the environment.
#[derive(Debug, Args)]
pub struct SettingsArgs {
    /// The settings file [default: `KEYWARD_CONFIG`, then ./keyward.toml, then /etc/keyward/keyward.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where calls go: a model server such as <http://127.0.0.1:8000>
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Where callers connect [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Where administrators connect [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<SocketAddr>,
    /// What is logged, such as `info` or `info,keyward::cache=debug`
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
}

/// What to check.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Output:
  text: one sentence on standard error, or every mistake with its place
  json: {\"file\"}: the settings file that was read, null when there is none
Exit codes: 0 no mistakes; 1 with --connect, something does not answer; 2 mistakes in the settings or in the arguments
Example: keyward config check --config keyward.toml --jq .file -r")]
pub struct CheckArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Also open the key database, which must be there, and connect to every upstream; exits with 1 when one fails
    #[arg(long)]
    connect: bool,
}

/// How to show it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Output:
  text: the settings as a settings file that means the same, secrets as ***; on standard error where they were read
  json: the same as one object; with --origins each value is {\"value\", \"origin\"}
Exit codes: 0 no mistakes; 2 mistakes in the settings or in the arguments
Example: keyward config show --upstream http://127.0.0.1:8000 --jq .proxy.listen -r")]
pub struct ShowArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Add where each value came from
    #[arg(long)]
    origins: bool,
}

impl SettingsArgs {
    /// The flags, the file and the environment.
    pub fn sources(&self, common: &Common) -> Sources {
        self.sources_with(common.database.clone())
    }

    /// The same, with another database, or that of the settings.
    pub fn sources_with(&self, database: Option<String>) -> Sources {
        let text = |address: Option<SocketAddr>| address.map(|address| address.to_string());
        let flags = Overrides::default()
            .with("--upstream", "upstreams.default.url", self.upstream.clone())
            .with("--listen", "proxy.listen", text(self.listen))
            .with("--admin-listen", "admin.listen", text(self.admin_listen))
            .with("--database", "store.url", database)
            .with("--log", "log.level", self.log.clone());
        Sources {
            flags,
            file: self.config.clone(),
            environment: Environment::of_process(),
        }
    }
}

/// Reads the settings and tells of them.
///
/// # Errors
///
/// [`ConfigError`](crate::config::ConfigError) with every mistake; with `--connect`, what could not be reached.
pub async fn run(command: ConfigCommand, common: &Common) -> anyhow::Result<Answer> {
    match command {
        ConfigCommand::Check(args) => {
            let loaded = Config::load(&args.settings.sources(common))?;
            if args.connect {
                connect(&loaded.config).await?;
            }
            let answer = Answer::new(&json!({ "file": loaded.file }))?;
            let reached = if args.connect {
                "; the key database and every upstream answer"
            } else {
                ""
            };
            Ok(answer.words(format!("no mistakes in {}{reached}", place(&loaded))))
        }
        ConfigCommand::Show(args) => {
            let loaded = Config::load(&args.settings.sources(common))?;
            let settings = &loaded.settings;
            Ok(Answer::new(&settings.to_json(args.origins))?
                .text(settings.to_toml(args.origins))
                .words(format!("from {}", place(&loaded))))
        }
    }
}

/// Where the settings were read, for a sentence.
fn place(loaded: &Loaded) -> String {
    match &loaded.file {
        Some(file) => file.display().to_string(),
        None => "flags, environment and defaults; there is no settings file".to_owned(),
    }
}

/// Opens and closes the key database, then a connection to each upstream; tells of all that fail.
async fn connect(config: &Config) -> anyhow::Result<()> {
    let mut failures = Vec::new();
    let mut database = config.store.clone();
    database.must_exist = true;
    match store::open(&database, Metrics::unrecorded().store).await {
        Ok(store) => store.close().await,
        Err(error) => failures.push(failure::told(&error.into())),
    }
    for upstream in &config.upstreams {
        for server in &upstream.servers {
            let limit = upstream.limits.connect_timeout;
            let default = if server.scheme == http::uri::Scheme::HTTPS {
                443
            } else {
                80
            };
            let Err(failure) = reach(&server.authority, default, limit).await else {
                continue;
            };
            let place = match &*upstream.servers {
                [_] => format!("upstreams.{}", upstream.name),
                _ => format!("upstreams.{}.servers.{}", upstream.name, server.name),
            };
            failures.push(format!("{place}: {}: {failure}", server.authority));
        }
    }
    if !failures.is_empty() {
        bail!("{}", failures.join("\n"));
    }
    Ok(())
}

/// Opens a connection to `authority`, and closes it.
async fn reach(authority: &Authority, default: u16, limit: Duration) -> Result<(), String> {
    // A name server is asked for a name, and an IPv6 address stands in brackets here only.
    let host = authority.host().trim_matches(['[', ']']);
    let address = (host, authority.port_u16().unwrap_or(default));
    match timeout(limit, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {limit:?}")),
    }
}
