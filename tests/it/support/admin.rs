//! The admin listener for tests: the real router on a real socket, over a real database.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HOST};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use keyward::admin::{self, AdminConfig, AdminState, AdminToken, DIALECTS, NoViews};
use keyward::clock::Clock;
use keyward::key::{KeyCategory, KeyDigest, ModelScope};
use keyward::registry::{Caller, Command, CreateKey, KeyRegistry, Outcome};
use keyward::store::{Changes, KeyStore};
use keyward::telemetry::metrics::Metrics;
use keyward::upstream::KeyCatalogue;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::store::{Database, in_time};

/// The admin token of every test.
pub const TOKEN: &str = "kwadmin_the-token-of-the-tests";

/// A running admin listener and the database behind it. Ends when dropped.
pub struct TestAdmin {
    pub database: Database,
    pub clock: Clock,
    pub address: SocketAddr,
    pub metrics: PrometheusHandle,
    registry: KeyRegistry,
    _tasks: JoinSet<()>,
}

impl TestAdmin {
    /// With the default settings, and every dialect there is.
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// With settings that `change` has changed.
    pub async fn with(change: impl FnOnce(&mut AdminConfig)) -> Self {
        let database = Database::sqlite().await;
        let clock = Clock::system();
        let mut config = AdminConfig {
            dialects: DIALECTS
                .iter()
                .map(|dialect| dialect.name.to_owned())
                .collect(),
            ..AdminConfig::default()
        };
        change(&mut config);
        let mut tasks = JoinSet::new();
        let (follower, applied) = watch::channel(database.end_of_log().await);
        tasks.spawn(follow(Arc::clone(&database.store), follower));
        let registry = || {
            let applied = Some(applied.clone());
            KeyRegistry::new(Arc::clone(&database.store), clock.clone(), applied)
        };
        let token = AdminToken::new(KeyDigest::of(TOKEN.as_bytes()));
        let recorder = PrometheusBuilder::new().build_recorder();
        let rendered = recorder.handle();
        let metrics = Metrics::register(Arc::new(recorder));
        let state = AdminState::new(
            &config,
            registry(),
            KeyCatalogue::empty(),
            token,
            clock.clone(),
            metrics,
            Arc::new(NoViews),
        );
        let address = serve(&mut tasks, admin::router(&state.unwrap())).await;
        Self {
            registry: registry(),
            database,
            clock,
            address,
            metrics: rendered,
            _tasks: tasks,
        }
    }

    /// The text of a new key of the operator's.
    pub async fn key(&self, category: KeyCategory) -> String {
        let command = Command::Create(CreateKey {
            name: None,
            category,
            operation: None,
            scope: ModelScope::Every,
            team: None,
            expires_at: None,
            ends_calls: false,
        });
        match self.registry.execute(&Caller::OPERATOR, command).await {
            Ok(Outcome::Created { secret, .. }) => secret.reveal().to_owned(),
            other => panic!("no key was made: {other:?}"),
        }
    }

    /// A request with the admin token.
    pub fn ask(&self, method: Method, path: &str) -> Ask {
        Ask::new(self.address, method, path).credential(TOKEN)
    }

    /// `GET path` with the admin token.
    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path).send().await
    }

    /// `POST path` with the admin token.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(Method::POST, path).json(body).send().await
    }

    /// `DELETE path` with the admin token.
    pub async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, path).send().await
    }
}

/// Serves `router` on a port of its own.
pub async fn serve(tasks: &mut JoinSet<()>, router: Router) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tasks.spawn(async move { axum::serve(listener, service).await.unwrap() });
    address
}

/// Does as the cache does: reads the log, and says how far it has come.
async fn follow(store: Arc<dyn KeyStore>, applied: watch::Sender<keyward::store::Cursor>) {
    loop {
        let seen = *applied.borrow();
        match store.changes(seen).await {
            Ok(Changes::Read(batch)) => drop(applied.send_replace(batch.cursor)),
            other => panic!("the log cannot be followed: {other:?}"),
        }
        if store.changed().await.is_err() {
            return;
        }
    }
}

/// A request to be sent.
pub struct Ask {
    to: SocketAddr,
    request: Request<Full<Bytes>>,
}

impl Ask {
    /// A request without a credential.
    pub fn new(to: SocketAddr, method: Method, path: &str) -> Self {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, to.to_string())
            .header("x-request-id", "of-this-test");
        Self {
            to,
            request: request.body(Full::default()).unwrap(),
        }
    }

    /// With this key or token.
    pub fn credential(self, text: &str) -> Self {
        self.header("authorization", &format!("Api-Key {text}"))
    }

    /// With this header, in place of any of the name.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
        self.request.headers_mut().insert(name, value);
        self
    }

    /// With this header, beside any of the name.
    pub fn further_header(mut self, name: &'static str, value: &str) -> Self {
        let value = http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
        self.request.headers_mut().append(name, value);
        self
    }

    /// Without this header.
    pub fn without(mut self, name: &str) -> Self {
        self.request.headers_mut().remove(name);
        self
    }

    /// With this body, whatever it is, called JSON.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        *self.request.body_mut() = Full::new(body.into());
        self.header("content-type", "application/json")
    }

    /// With this body.
    pub fn json(self, body: &Value) -> Self {
        self.body(body.to_string())
    }

    /// Sends it, on a connection of its own.
    pub async fn send(self) -> Answer {
        in_time(async {
            let stream = TcpStream::connect(self.to).await.unwrap();
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
            let exchange = async move {
                let response = sender.send_request(self.request).await.unwrap();
                let (parts, body) = response.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                Answer {
                    status: parts.status,
                    headers: parts.headers,
                    body: String::from_utf8(body.to_vec()).unwrap(),
                }
            };
            tokio::join!(exchange, connection).0
        })
        .await
    }
}

/// What came back. Shown whole by `Display`, for snapshots: status, headers, and the body indented.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    /// The body, which is JSON.
    pub fn json(&self) -> Value {
        assert_eq!(self.headers[CONTENT_TYPE], "application/json", "{self}");
        serde_json::from_str(&self.body).unwrap()
    }

    /// The text at `pointer` in the body.
    pub fn text(&self, pointer: &str) -> String {
        let json = self.json();
        let found = json.pointer(pointer).and_then(Value::as_str);
        found
            .unwrap_or_else(|| panic!("{pointer} in {self}"))
            .to_owned()
    }

    /// The `code` of an error of the Baseten dialect.
    pub fn code(&self) -> String {
        self.text("/code")
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.status)?;
        let of_the_moment = [DATE, CONTENT_LENGTH];
        for (name, value) in &self.headers {
            if !of_the_moment.contains(name) {
                writeln!(f, "{name}: {}", value.to_str().unwrap_or("?"))?;
            }
        }
        match serde_json::from_str::<Value>(&self.body) {
            Ok(json) => write!(f, "\n{json:#}"),
            Err(_) => write!(f, "\n{}", self.body),
        }
    }
}

/// An answer without what is new every time.
pub fn fixed(answer: &Answer) -> String {
    let mut shown = answer.to_string();
    let texts: Vec<&str> = answer.body.split('"').collect();
    for text in texts {
        let is_time = text.len() == 20 && text.ends_with('Z') && text.as_bytes()[10] == b'T';
        let stands_for = match text.len() {
            50 if text.starts_with("kw_") => "<key>",
            11 if text.starts_with("kw_") => "<prefix>",
            36 if text.matches('-').count() == 4 => "<id>",
            20 if is_time => "<time>",
            _ => continue,
        };
        shown = shown.replace(text, stands_for);
    }
    shown
}
