//! `keyward top`: what a server does now, second by second. It reads what `/metrics` and `/readyz` say, and nothing else.

mod figures;
mod frame;
mod samples;

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use http::{HeaderMap, Method};

use super::answer::{Answer, Format};
use super::failure::Failure;
use super::http::{BaseUrl, Http};
use super::{Common, health, print};
use crate::clock::Clock;
use figures::{Figures, Look};
use samples::Samples;

/// Shorter than anybody looks at a still picture.
const TIMEOUT: Duration = Duration::from_secs(3);

/// What to look at, and how often.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Output:
  text: a frame of lines, on a terminal drawn over the last one
  json: {\"version\", \"state\", \"troubles\", \"calls\", \"keys\", \"database\", \"upstreams\", \"process\"}: with --once alone
Exit codes: 0 it was shown; 1 with --once, the server does not answer or is no keyward; 2 mistakes in the arguments
Example: keyward top --once --jq '.calls.per_second'")]
pub struct TopArgs {
    /// Where the probes listener is; `KEYWARD_PROBES__LISTEN` or `http://127.0.0.1:9091` unless given
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// How long to look between two frames
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = super::duration)]
    interval: Duration,
    /// Print one frame, over one interval, and end
    #[arg(long)]
    once: bool,
}

/// Shows frame after frame until it is interrupted, or one.
///
/// # Errors
///
/// When nobody reads any more; with `--once` also when the server does not answer. Without it that is shown, and tried
/// again.
pub async fn run(args: TopArgs, common: &Common) -> anyhow::Result<Answer> {
    let url = health::url_of(args.url.as_deref())?;
    let timeout = common.timeout.unwrap_or(TIMEOUT);
    let http = Http::new(HeaderMap::new(), timeout, common.verbose)?;
    let server = Server { http, url };
    if args.once {
        let first = server.look().await?;
        tokio::time::sleep(args.interval).await;
        let figures = Figures::between(Some(&first), &server.look().await?);
        let lines = frame::lines(server.url.as_str(), &figures);
        return Ok(Answer::new(&figures)?.text(lines.join("\n") + "\n"));
    }
    let has_form = common.jq.as_deref().is_some_and(|jq| !jq.is_empty())
        || common.output.is_some_and(|format| format != Format::Text);
    if has_form {
        let words = "--output and --jq are for --once: without it there is no end";
        return Err(Failure::Usage(words.to_owned()).into());
    }
    watch(&server, args.interval).await
}

/// Shows what is there, and what is not, for as long as it is polled.
async fn watch(server: &Server, interval: Duration) -> anyhow::Result<Answer> {
    let screen = print::Screen::open()?;
    let mut last: Option<Look> = None;
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let lines = match server.look().await {
            Ok(look) => {
                let figures = Figures::between(last.as_ref(), &look);
                let lines = frame::lines(server.url.as_str(), &figures);
                last = Some(look);
                lines
            }
            Err(error) => {
                let since = last.as_ref().map(|look| look.at.elapsed());
                frame::gone(server.url.as_str(), &format!("{error:#}"), since)
            }
        };
        screen.show(&lines)?;
    }
}

/// The server that is looked at.
struct Server {
    http: Http,
    url: BaseUrl,
}

impl Server {
    async fn look(&self) -> anyhow::Result<Look> {
        let text = |path| async move {
            let url = self.url.join(path);
            self.http.ask(Method::GET, &url, None).await
        };
        let metrics = text("/metrics").await.context("looking")?;
        let at = Instant::now();
        if !metrics.status.is_success() {
            bail!("looking: HTTP {}", metrics.status.as_u16());
        }
        let samples = Samples::read(&String::from_utf8_lossy(&metrics.body));
        if samples.value("keyward_ready").is_none() {
            bail!("looking: {} is no keyward", self.url.as_str());
        }
        // 503 says something, too.
        let readiness = text("/readyz?verbose").await.context("looking")?;
        Ok(Look {
            at,
            since_1970: Clock::system().machine_time(),
            samples,
            readiness: String::from_utf8_lossy(&readiness.body).into_owned(),
        })
    }
}
