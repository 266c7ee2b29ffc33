//! `keyward demo`: the whole product in a minute, on loopback, nothing kept.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::Json;
use axum::extract::Request as EchoRequest;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::print;
use crate::clock::Clock;
use crate::config::{Config, Environment, Overrides, Sources};
use crate::key::NewSecret;
use crate::server::{self, Addresses, Server, Signals};
use crate::telemetry::Telemetry;

/// How often each side is called to tell what we add.
const TIMED_CALLS: usize = 400;
/// Nothing here takes long; what does is broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// `keyward demo`
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Output:
  what is done and what is answered, step by step, on standard output; --output and --jq do nothing here
Exit codes: 0 all answered as it should; 1 a step did not, or something cannot be started; 2 mistakes in the arguments
Example: keyward demo --once")]
pub struct DemoArgs {
    /// End after the four steps; the exit code says whether all answered as they should
    #[arg(long)]
    once: bool,
}

/// Makes a key, calls with it, deletes it, and says what happened.
///
/// # Errors
///
/// When something cannot be started, or a step does not answer as it should.
pub fn run(args: &DemoArgs) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let stays = !args.once && print::has_reader_at_terminal();
    runtime.block_on(async {
        let model = EchoModel::open().await?;
        let address = model.address.clone();
        tokio::select! {
            biased; // the walk ends; the model never does
            walked = Box::pin(show(address, stays)) => walked,
            () = model.serve() => Err(anyhow::anyhow!("the echo model ended")),
        }
    })
}

async fn show(model: String, stays: bool) -> Result<()> {
    let directory = tempfile::tempdir().context("no private directory could be made")?;
    let database = directory.path().join("keyward.db");
    let config = settings(&database.display().to_string(), &model)?;
    let mut server = Server::start(&config, &Telemetry::new(), Clock::system()).await?;
    let token = server.take_first_token();
    let walk = Walk {
        caller: Caller::new(),
        addresses: server.addresses(),
        token: token.context("a new database makes an admin token")?,
        model,
    };
    walk.until_ready().await?;
    let all_as_said = walk.walk().await?;
    if stays {
        walk.stay().await?;
        let signals = Signals::listen().context("listening to signals")?;
        server::until_told(server, signals, || None, |_| {}).await?;
    } else {
        server.close().await;
    }
    ensure!(all_as_said, "a step did not answer as it should");
    Ok(())
}

fn settings(database: &str, model: &str) -> Result<Config> {
    let set =
        |overrides: Overrides, path, value: String| overrides.with("the demo", path, Some(value));
    let mut flags = Overrides::default();
    for listener in ["proxy.listen", "admin.listen", "probes.listen"] {
        flags = set(flags, listener, "127.0.0.1:0".to_owned());
    }
    flags = set(flags, "store.url", format!("sqlite://{database}"));
    flags = set(flags, "upstreams.default.url", format!("http://{model}"));
    flags = set(flags, "shutdown.delay", "1ms".to_owned());
    let sources = Sources {
        flags,
        file: None,
        environment: Environment::default(),
    };
    Ok(Config::load(&sources)?.config)
}

/// A model server that says what it was asked.
struct EchoModel {
    listener: TcpListener,
    address: String,
}

impl EchoModel {
    async fn open() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        Ok(Self { listener, address })
    }

    async fn serve(self) {
        let router = axum::Router::new().fallback(echo);
        // It ends with the demo.
        let _ = axum::serve(self.listener, router).await;
    }
}

async fn echo(request: EchoRequest) -> Json<Value> {
    let said = |name: &str| {
        let value = request.headers().get(name);
        value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    Json(json!({
        "model": said("x-keyward-model"),
        "path": request.uri().path(),
        "key": said("x-keyward-key-prefix"),
    }))
}

struct Walk {
    caller: Caller,
    addresses: Addresses,
    token: NewSecret,
    model: String,
}

impl Walk {
    async fn until_ready(&self) -> Result<()> {
        let url = format!("http://{}/readyz", self.addresses.probes);
        let ready = async {
            while self.caller.get(&url).await? != StatusCode::OK {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(())
        };
        timeout(PATIENCE, ready)
            .await
            .context("memory was not filled in time")?
    }

    async fn walk(&self) -> Result<bool> {
        say("keyward demo · everything on loopback, nothing is kept");
        say("  database   sqlite (temporary)        upstream   built-in echo model `echo`");
        let echo = self.model_url("echo");

        let (missing, _) = self.caller.ask(&echo, None).await?;
        step(1, "no key", missing, "missing_key");

        let (prefix, key) = self.create_key().await?;
        let (allowed, body) = self.caller.ask(&echo, Some(&key)).await?;
        let added = self.added_by_us(&key).await?;
        let told = String::from_utf8_lossy(&body).into_owned();
        step(2, &format!("new key {prefix}.…"), allowed, &told);
        say(&format!(
            "{:>42}{} µs added by keyward (median of {TIMED_CALLS} calls)",
            "",
            added.as_micros()
        ));

        let (other, _) = self
            .caller
            .ask(&self.model_url("other"), Some(&key))
            .await?;
        step(3, "same key, other model", other, "model_not_allowed");

        let asked = Instant::now();
        self.delete_key(&prefix).await?;
        let (deleted, _) = self.caller.ask(&echo, Some(&key)).await?;
        let took = asked.elapsed();
        let when = format!(
            "invalid_key   {:.1} ms from the delete to the refusal",
            took.as_secs_f64() * 1e3
        );
        step(4, "key deleted", deleted, &when);

        let answered = [missing, allowed, other, deleted].map(|status| status.as_u16());
        Ok(answered == [401, 200, 403, 401])
    }

    async fn stay(&self) -> Result<()> {
        let (_, key) = self.create_key().await?;
        let Addresses { admin, probes, .. } = self.addresses;
        say("Try it:");
        say(&format!(
            "  curl -H 'Authorization: Bearer {key}' {} -d '{{\"q\":1}}'",
            self.model_url("echo")
        ));
        say(&format!(
            "  KEYWARD_URL=http://{admin} KEYWARD_API_KEY={} keyward org api-key list",
            self.token.reveal()
        ));
        say(&format!("  curl http://{probes}/metrics"));
        say("^C to stop");
        Ok(())
    }

    fn model_url(&self, model: &str) -> String {
        format!("http://{}/models/{model}/predict", self.addresses.proxy)
    }

    async fn create_key(&self) -> Result<(String, String)> {
        let wish = json!({"type": "WORKSPACE_INVOKE", "model_ids": ["echo"]});
        let answer = self
            .administer(Method::POST, "/v1/api_keys", Some(wish))
            .await?;
        let key = answer["api_key"]
            .as_str()
            .context("a created key is in the answer")?;
        let prefix = key.split('.').next().unwrap_or_default();
        Ok((prefix.to_owned(), key.to_owned()))
    }

    async fn delete_key(&self, prefix: &str) -> Result<()> {
        let path = format!("/v1/api_keys/{prefix}");
        self.administer(Method::DELETE, &path, None).await.map(drop)
    }

    async fn administer(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let url = format!("http://{}{path}", self.addresses.admin);
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header(AUTHORIZATION, format!("Bearer {}", self.token.reveal()))
            .header(CONTENT_TYPE, "application/json")
            .body(body.map_or_else(Full::default, |body| Full::from(body.to_string())))?;
        let (status, body) = self.caller.send(request).await?;
        ensure!(
            status == StatusCode::OK,
            "the admin listener answered {status}"
        );
        Ok(serde_json::from_slice(&body)?)
    }

    /// The median of a call through us, less the median of the same call without us.
    async fn added_by_us(&self, key: &str) -> Result<Duration> {
        let direct = format!("http://{}/models/echo/predict", self.model);
        let through = self.model_url("echo");
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..TIMED_CALLS {
            for (url, key, times) in [
                (&direct, None, &mut without),
                (&through, Some(key), &mut with),
            ] {
                let begun = Instant::now();
                self.caller.ask(url, key).await?;
                times.push(begun.elapsed());
            }
        }
        let median = |times: &mut Vec<Duration>| {
            times.sort_unstable();
            times[times.len() / 2]
        };
        Ok(median(&mut with).saturating_sub(median(&mut without)))
    }
}

fn say(line: &str) {
    // That nobody reads it changes nothing.
    let _ = print::data(&format!("{line}\n"));
}

fn step(number: u8, what: &str, status: StatusCode, told: &str) {
    say(&format!(
        "  {number}  {what:<28} {}  {told}",
        status.as_u16()
    ));
}

/// Somebody who calls.
struct Caller(Client<HttpConnector, Full<Bytes>>);

impl Caller {
    fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let mut client = Client::builder(TokioExecutor::new());
        Self(client.pool_timer(TokioTimer::new()).build(connector))
    }

    async fn get(&self, url: &str) -> Result<StatusCode> {
        let request = Request::get(url).body(Full::default())?;
        Ok(self.send(request).await?.0)
    }

    async fn ask(&self, url: &str, key: Option<&str>) -> Result<(StatusCode, Bytes)> {
        let mut request = Request::post(url);
        if let Some(key) = key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        self.send(request.body(Full::from(r#"{"q":1}"#))?).await
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes)> {
        let exchange = async {
            let answer = self.0.request(request).await?;
            let status = answer.status();
            anyhow::Ok((status, answer.into_body().collect().await?.to_bytes()))
        };
        timeout(PATIENCE, exchange)
            .await
            .context("a call took too long")?
    }
}
