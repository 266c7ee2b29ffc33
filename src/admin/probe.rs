//! The listener of probes and metrics: `/livez`, `/readyz`, `/startupz`, `/healthz`, `/metrics` (CONTRACTS 10).
//!
//! Whoever can reach it may ask it; it tells nothing about keys or callers.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use tokio_util::sync::CancellationToken;

/// How the process is, as its rooms see it: set by them, told by the probes. Cheap to copy; every copy is the same.
///
/// It begins as starting. It is ready once it has [started](Self::started) and until it [drains](Self::drain).
/// Trouble does not make it unready: an instance that serves known keys through an outage is worth more than none.
#[derive(Clone, Default)]
pub struct Readiness(Arc<Shared>);

#[derive(Default)]
struct Shared {
    started: CancellationToken,
    draining: AtomicBool,
    troubles: ArcSwap<BTreeMap<&'static str, String>>,
}

impl Readiness {
    /// Memory has been filled completely for the first time.
    pub fn started(&self) {
        self.0.started.cancel();
    }

    /// The end has begun: no new calls, please. There is no way back.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::Release);
    }

    /// `part` is in trouble, in the words of `what`, or no longer.
    pub fn trouble(&self, part: &'static str, what: Option<&str>) {
        self.0.troubles.rcu(|troubles| {
            let mut troubles = BTreeMap::clone(troubles);
            match what {
                Some(what) => drop(troubles.insert(part, what.to_owned())),
                None => drop(troubles.remove(part)),
            }
            troubles
        });
    }

    /// Whether memory has been filled once.
    #[must_use]
    pub fn has_started(&self) -> bool {
        self.0.started.is_cancelled()
    }

    /// Waits until memory has been filled once.
    pub async fn until_started(&self) {
        self.0.started.cancelled().await;
    }

    /// Whether calls are welcome.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.has_started() && !self.0.draining.load(Ordering::Acquire)
    }

    fn word(&self) -> &'static str {
        if self.0.draining.load(Ordering::Acquire) {
            "draining"
        } else if self.has_started() {
            "ok"
        } else {
            "starting"
        }
    }
}

/// What the probe listener tells.
#[derive(Clone)]
pub struct ProbeState {
    /// How the process is.
    pub readiness: Readiness,
    /// Renders every metric in the Prometheus text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// The probe listener.
///
/// `/healthz` answers as `/readyz`: whoever has one question for both asks whether to send calls here.
pub fn router(state: ProbeState) -> Router {
    Router::new()
        .route(
            "/livez",
            get(async || text(StatusCode::OK, "ok\n".to_owned())),
        )
        .route("/readyz", get(readyz))
        .route("/healthz", get(readyz))
        .route("/startupz", get(startupz))
        .route("/metrics", get(metrics))
        .fallback(async || text(StatusCode::NOT_FOUND, "not found\n".to_owned()))
        .with_state(state)
}

async fn readyz(State(state): State<ProbeState>, RawQuery(query): RawQuery) -> Response {
    let readiness = &state.readiness;
    let mut told = format!("{}\n", readiness.word());
    if query.is_some_and(|query| query.split('&').any(is_verbose)) {
        for (part, what) in &**readiness.0.troubles.load() {
            // Writing to a string cannot fail.
            let _ = writeln!(told, "{part}: {what}");
        }
    }
    text(status(readiness.is_ready()), told)
}

fn is_verbose(parameter: &str) -> bool {
    parameter.split('=').next() == Some("verbose")
}

async fn startupz(State(state): State<ProbeState>) -> Response {
    let started = state.readiness.has_started();
    let told = if started { "ok\n" } else { "starting\n" };
    text(status(started), told.to_owned())
}

async fn metrics(State(state): State<ProbeState>) -> Response {
    let rendered = (state.metrics)();
    let format = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (format, rendered).into_response()
}

const fn status(is_well: bool) -> StatusCode {
    if is_well {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

fn text(status: StatusCode, text: String) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], text).into_response()
}
