//! `keyward profile login | list | use`.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::Common;
use super::answer::Answer;
use super::echo::EchoOff;
use super::http::BaseUrl;
use super::print;
use super::profiles::{self, Profile, Profiles};
use super::remote::Remote;
use super::session::{self, Server};
use super::table;
use crate::config::environment;
use crate::credential::SecretText;
use crate::key::Name;

const DEFAULT_NAME: &str = "default";
/// Longer than any key.
const MAX_KEY_BYTES: u64 = 4096;

/// What can be done to profiles.
#[derive(Debug, Subcommand)]
pub enum ProfileCommand {
    /// Keep a server and a credential for it under a name (`--profile NAME`, else `default`), and use it from now on.
    /// The credential is asked for, or read from standard input or a file; it is never an argument
    Login(LoginArgs),
    /// List the profiles
    #[command(after_long_help = "\
Output:
  text: a table with the columns NAME, URL, CURRENT; \"No profiles found.\" on standard error when there are none
  json: {\"profiles\": [{\"current\", \"name\", \"url\"}]}; never a credential
Exit codes: 0 also when there are none; 1 the file of profiles cannot be read
Example: keyward profile list --jq '.profiles[] | select(.current) | .url' -r")]
    List,
    /// Use a profile from now on
    Use(UseArgs),
}

/// A server to log in to.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Output:
  text: one sentence on standard error
  json: {\"profile\", \"url\"}; never the credential
Exit codes: 0 it is kept; 1 no credential was given, or the server cannot be reached; 3 the credential is not valid or may \
            not administer; 5 refused otherwise; 6 the server failed
Example: keyward profile login --profile staging --url https://keyward.example --api-key-file token --jq .profile -r")]
pub struct LoginArgs {
    /// Where the admin listener is; `KEYWARD_URL` or `http://127.0.0.1:9090` unless given
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A file that holds the API key or the admin token; `-` is standard input
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
}

/// A profile to be used.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Output:
  text: one sentence on standard error
  json: {\"profile\"}
Exit codes: 0 it is the current one now; 1 there is no such profile
Example: keyward profile use staging --jq .profile -r")]
pub struct UseArgs {
    /// The name of the profile
    name: String,
}

/// Does it.
///
/// # Errors
///
/// When the profiles cannot be read or written, or the server refuses.
pub async fn run(command: ProfileCommand, common: &Common) -> anyhow::Result<Answer> {
    match command {
        ProfileCommand::Login(args) => login(args, common).await,
        ProfileCommand::List => list(),
        ProfileCommand::Use(args) => switch(&args.name),
    }
}

async fn login(args: LoginArgs, common: &Common) -> anyhow::Result<Answer> {
    let name = common.profile().unwrap_or(DEFAULT_NAME).to_owned();
    name.parse::<Name>().context("the name of the profile")?;
    let url = match args.url.filter(|url| !url.is_empty()) {
        Some(url) => BaseUrl::parse(&url)?,
        None => session::default_url(&environment::variable)?,
    };
    let api_key = read_key(args.api_key_file.as_deref(), &url).await?;
    let server = Server { url, api_key };
    let me = Remote::new(&server, common)?.me().await;
    me.context("logging in")?;
    let answer = Answer::new(&json!({ "profile": name, "url": server.url.as_str() }))?;
    let words = format!("Logged in to {} as profile {name}", server.url.as_str());
    Profiles::change(&profiles::directory()?, |profiles| {
        let profile = Profile {
            url: server.url.as_str().to_owned(),
            api_key: server.api_key,
        };
        profiles.current = Some(name.clone());
        profiles.entries.insert(name, profile);
        Ok(())
    })?;
    Ok(answer.words(words))
}

fn list() -> anyhow::Result<Answer> {
    let Profiles { current, entries } = Profiles::load(&profiles::directory()?)?;
    let is_current = |name: &str| current.as_deref() == Some(name);
    let items: Vec<_> = entries
        .iter()
        .map(|(name, profile)| json!({ "current": is_current(name), "name": name, "url": profile.url }))
        .collect();
    let answer = Answer::new(&json!({ "profiles": items }))?;
    if entries.is_empty() {
        return Ok(answer.words("No profiles found."));
    }
    let rows = entries.into_iter().map(|(name, profile)| {
        let mark = if is_current(&name) { "yes" } else { "" };
        [name, profile.url, mark.to_owned()]
    });
    let rows: Vec<_> = rows.collect();
    Ok(answer.text(table::render(["NAME", "URL", "CURRENT"], &rows)))
}

fn switch(name: &str) -> anyhow::Result<Answer> {
    Profiles::change(&profiles::directory()?, |profiles| {
        if !profiles.entries.contains_key(name) {
            bail!("no profile named {name:?}");
        }
        profiles.current = Some(name.to_owned());
        Ok(())
    })?;
    let answer = Answer::new(&json!({ "profile": name }))?;
    Ok(answer.words(format!("Switched to profile {name}")))
}

/// The credential: from a file, from standard input, or typed unseen when standard input is a terminal.
async fn read_key(file: Option<&Path>, url: &BaseUrl) -> anyhow::Result<SecretText> {
    let text = match file {
        Some(path) if path != Path::new("-") => {
            let file = tokio::fs::File::open(path).await;
            let file = file.with_context(|| format!("reading {}", path.display()))?;
            read_all(file).await?
        }
        None if io::stdin().is_terminal() => {
            let _echo = EchoOff::new(io::stdin()).context("hiding what is typed")?;
            print::prompt(&format!("API key or admin token for {}: ", url.as_str()));
            let line = read_line(tokio::io::stdin()).await;
            print::words("");
            line?
        }
        _ => read_all(tokio::io::stdin()).await?,
    };
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        bail!("no API key was given");
    }
    Ok(SecretText::new(text.to_owned()))
}

async fn read_all(source: impl AsyncRead + Unpin) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = source.take(MAX_KEY_BYTES).read_to_string(&mut text).await;
    read.context("reading the API key")?;
    Ok(text)
}

async fn read_line(mut source: impl AsyncRead + Unpin) -> anyhow::Result<String> {
    let mut line = Vec::new();
    while line.len() < 4096 {
        let byte = source.read_u8().await;
        match byte {
            Ok(b'\n') => break,
            Ok(byte) => line.push(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error).context("reading the API key"),
        }
    }
    String::from_utf8(line)
        .ok()
        .context("the API key is not text")
}
