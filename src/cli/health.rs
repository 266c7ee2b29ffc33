//! `keyward health`: is the server ready? For containers, which have no shell to ask with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use http::{HeaderMap, Method};
use serde_json::json;

use super::Common;
use super::answer::Answer;
use super::http::{BaseUrl, Http};
use crate::config::environment;

/// The setting that says where the probes listener is.
const LISTEN: &str = "KEYWARD_PROBES__LISTEN";
/// Its default.
const DEFAULT_URL: &str = "http://127.0.0.1:9091";
/// Shorter than the patience of whoever asks every few seconds.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Which server.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Output:
  text: `ready` on standard output, or why not on standard error
  json: {\"ready\": true}
Exit codes: 0 it is ready; 1 it is not, or does not answer
Example: keyward health --url http://127.0.0.1:9091 --jq .ready")]
pub struct HealthArgs {
    /// Where the probes listener is; `KEYWARD_PROBES__LISTEN` or `http://127.0.0.1:9091` unless given
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

/// Asks `/readyz`.
///
/// # Errors
///
/// When the server does not answer, or answers that it is not ready. Every such error ends with 1.
pub async fn run(args: HealthArgs, common: &Common) -> anyhow::Result<Answer> {
    let url = url_of(args.url.as_deref())?;
    let timeout = common.timeout.unwrap_or(TIMEOUT);
    let http = Http::new(HeaderMap::new(), timeout, common.verbose)?;
    let reply = http.ask(Method::GET, &url.join("/readyz"), None).await;
    let reply = reply.context("not ready")?;
    if !reply.status.is_success() {
        bail!(
            "not ready (HTTP {}): {}",
            reply.status.as_u16(),
            reply.text()
        );
    }
    Ok(Answer::new(&json!({ "ready": true }))?.text("ready\n".to_owned()))
}

/// Where the probes listener is: at `url`, or where the settings say.
///
/// # Errors
///
/// When that is no URL, or no address.
pub(super) fn url_of(url: Option<&str>) -> anyhow::Result<BaseUrl> {
    match url.filter(|url| !url.is_empty()) {
        Some(url) => BaseUrl::parse(url),
        None => listening(environment::variable(LISTEN).as_deref()),
    }
}

/// Where a listener bound to `listen` is reached from here.
fn listening(listen: Option<&str>) -> anyhow::Result<BaseUrl> {
    let Some(listen) = listen else {
        return BaseUrl::parse(DEFAULT_URL);
    };
    let mut address: SocketAddr = listen
        .parse()
        .with_context(|| format!("reading {LISTEN}"))?;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    BaseUrl::parse(&format!("http://{address}"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(None, "http://127.0.0.1:9091")]
    #[case(Some("0.0.0.0:9100"), "http://127.0.0.1:9100")]
    #[case(Some("[::]:9100"), "http://[::1]:9100")]
    #[case(Some("10.1.2.3:80"), "http://10.1.2.3:80")]
    fn the_probes_are_asked_where_they_listen(#[case] listen: Option<&str>, #[case] url: &str) {
        assert_eq!(listening(listen).expect("a url").as_str(), url);
    }
}
