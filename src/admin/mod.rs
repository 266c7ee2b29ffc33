//! The control listener: where keys are listed, made and deleted over HTTP.
//!
//! A request comes through the [door], which decides who may come in, and reaches a handler of a [`Dialect`],
//! which is a translator: it makes a [`Command`], has the registry carry it out, and puts the [`Outcome`] into its own
//! words. Probes and metrics are served by [`probe`], on a listener of their own. `server` owns the sockets; it must
//! put the caller's address into every request as [`ConnectInfo<SocketAddr>`].
//!
//! [`Command`]: crate::registry::Command
//! [`Outcome`]: crate::registry::Outcome
//! [`ConnectInfo<SocketAddr>`]: axum::extract::ConnectInfo

mod config;
pub mod dialect;
mod door;
mod failures;
mod hosts;
mod page;
pub mod probe;
mod read;
mod refusal;
mod token;
mod views;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi, openapi};

pub use config::{AdminConfig, ProbesConfig};
pub use dialect::{DIALECTS, Dialect};
pub use refusal::{Refusal, status_of};
pub use token::{AdminToken, EnsuredToken, TokenError, TokenInForce, ensure_token};
pub use views::{ExampleCall, MemoryFreshness, NoViews, ThisInstance, Views};

use crate::clock::Clock;
use crate::registry::KeyRegistry;
use crate::telemetry::metrics::Metrics;
use crate::upstream::KeyCatalogue;

use door::{Door, MayPass};
use failures::Failures;
use hosts::Hosts;

/// What every request on the admin listener shares. Cheap to copy.
#[derive(Clone)]
pub struct AdminState(Arc<Shared>);

struct Shared {
    registry: KeyRegistry,
    upstream_keys: KeyCatalogue,
    token: TokenInForce,
    dialects: Vec<&'static Dialect>,
    hosts: Hosts,
    failures: Failures,
    body_bytes: usize,
    request_timeout: Duration,
    /// Whether the admin page may call us.
    has_page: bool,
    views: Arc<dyn Views>,
    metrics: Metrics,
}

/// Why the admin listener cannot be built from its settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdminConfigError {
    /// No such dialect.
    #[error("no dialect is called `{0}`; there are {names}", names = dialect_names())]
    UnknownDialect(String),
    /// Nothing would be spoken.
    #[error("name at least one dialect; there are {names}", names = dialect_names())]
    NoDialect,
    /// A dialect that is spoken already.
    #[error("`{0}` appears twice")]
    DialectTwice(String),
    /// A host that could never be asked for.
    #[error("`{0}` is no host name")]
    InvalidHost(String),
}

impl AdminConfig {
    /// Looks at the names of dialects and hosts: the setting, the place in its list, and what is wrong there.
    #[must_use]
    pub fn mistakes(&self) -> Vec<(&'static str, Option<usize>, AdminConfigError)> {
        let mut mistakes = Vec::new();
        if self.dialects.is_empty() {
            mistakes.push(("dialects", None, AdminConfigError::NoDialect));
        }
        for (place, name) in self.dialects.iter().enumerate() {
            if DIALECTS.iter().all(|dialect| dialect.name != name) {
                let error = AdminConfigError::UnknownDialect(name.clone());
                mistakes.push(("dialects", Some(place), error));
            }
            if self.dialects[..place].contains(name) {
                let error = AdminConfigError::DialectTwice(name.clone());
                mistakes.push(("dialects", Some(place), error));
            }
        }
        for (place, host) in self.hosts.iter().enumerate() {
            if hosts::name_of(host).is_none() {
                let error = AdminConfigError::InvalidHost(host.clone());
                mistakes.push(("hosts", Some(place), error));
            }
        }
        mistakes
    }
}

fn dialect_names() -> String {
    let names: Vec<String> = DIALECTS.iter().map(|d| format!("`{}`", d.name)).collect();
    names.join(", ")
}

impl AdminState {
    /// What the settings ask for.
    ///
    /// # Errors
    ///
    /// When they name a dialect we do not speak, or something that is no host.
    pub fn new(
        config: &AdminConfig,
        registry: KeyRegistry,
        upstream_keys: KeyCatalogue,
        token: impl Into<TokenInForce>,
        clock: Clock,
        metrics: Metrics,
        views: Arc<dyn Views>,
    ) -> Result<Self, AdminConfigError> {
        if let Some((_, _, error)) = config.mistakes().into_iter().next() {
            return Err(error);
        }
        let is_spoken =
            |dialect: &&Dialect| config.dialects.iter().any(|name| name == dialect.name);
        Ok(Self(Arc::new(Shared {
            registry,
            upstream_keys,
            token: token.into(),
            dialects: DIALECTS.iter().filter(is_spoken).collect(),
            hosts: Hosts::new(config.listen.ip(), &config.hosts)
                .map_err(AdminConfigError::InvalidHost)?,
            failures: Failures::new(config.failures_per_minute, clock),
            body_bytes: config.body_bytes,
            request_timeout: config.request_timeout,
            has_page: config.page,
            views,
            metrics,
        })))
    }

    /// Lists, makes and deletes.
    #[must_use]
    pub fn registry(&self) -> &KeyRegistry {
        &self.0.registry
    }

    /// What other rooms show.
    #[must_use]
    pub fn views(&self) -> &dyn Views {
        &*self.0.views
    }

    /// What is presented to upstreams, masked.
    #[must_use]
    pub fn upstream_keys(&self) -> &KeyCatalogue {
        &self.0.upstream_keys
    }
}

/// The admin listener: every dialect the settings name, each behind its own door, and `/openapi.json` and the admin page,
/// which anyone may read.
///
/// An unknown path is refused in the words of the first dialect.
pub fn router(state: &AdminState) -> Router {
    let first = state.0.dialects[0];
    let mut whole = Router::new();
    let mut document = Document::openapi();
    for &dialect in &state.0.dialects {
        let (routes, described) = (dialect.routes)().split_for_parts();
        document.merge(described);
        let routes = routes.with_state(state.clone());
        whole = whole.merge(behind(state, dialect, MayPass::Administrators, routes));
    }
    let document = get(async move || Json(&document).into_response());
    let mut open = Router::new().route("/openapi.json", document);
    if state.0.has_page {
        open = open.merge(page::router());
    }
    let unknown = Router::new().fallback(async || (first.refuse)(&Refusal::no_such_path()));
    whole
        .merge(behind(state, first, MayPass::Anyone, open))
        .merge(behind(state, first, MayPass::Administrators, unknown))
}

/// `routes` behind a door of their own, with the dialect's words for a wrong method.
fn behind(
    state: &AdminState,
    dialect: &'static Dialect,
    may_pass: MayPass,
    routes: Router,
) -> Router {
    let door = Arc::new(Door::new(state.clone(), dialect, may_pass));
    let pass = move |request: Request, next: Next| {
        let door = Arc::clone(&door);
        async move { door.pass(request, next).await }
    };
    routes
        .method_not_allowed_fallback(async || (dialect.refuse)(&Refusal::method_not_allowed()))
        // The door has read the body, and knows what the settings allow.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn(pass))
}

/// What the OpenAPI document says before any dialect adds to it.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "keyward admin API",
        description = "Lists, makes and deletes the keys with which models are called.",
        license(name = "MIT OR Apache-2.0"),
    ),
    modifiers(&Credentials),
    security(("ApiKeyAuth" = []), ("BearerAuth" = [])),
)]
struct Document;

/// How a caller shows who it is.
struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let place = ApiKeyValue::with_description(
            "Authorization",
            "The admin token, or a key of a type that may administer: `Api-Key <key>`.",
        );
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("ApiKeyAuth", SecurityScheme::ApiKey(ApiKey::Header(place)));
        components.add_security_scheme(
            "BearerAuth",
            SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
        );
    }
}
