//! The Bifrost API, as far as it shows the keys that we present to upstreams (CONTRACTS 8).
//!
//! These keys live in the settings file, so nothing here changes them. A provider is an upstream, by its name in the
//! settings. No secret leaves: what is shown was masked before it came here.

mod schema;
mod words;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::Uri;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::words::{ErrorBody, ProviderKeys, Providers, Upstream, UpstreamKey};
use super::{Dialect, counted};
use crate::admin::{AdminState, Refusal, read};
use crate::telemetry::metrics::AdminCommand;

/// `/api/keys`, `/api/providers`.
pub const DIALECT: Dialect = Dialect {
    name: "bifrost",
    routes,
    refuse,
};

fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(counted(AdminCommand::ListUpstreamKeys, routes!(list_keys)))
        .routes(counted(
            AdminCommand::ListUpstreams,
            routes!(list_providers),
        ))
        .routes(counted(
            AdminCommand::ListUpstreamKeys,
            routes!(list_provider_keys),
        ))
}

/// A refusal in this dialect's form, which is that of Bifrost's own errors.
fn refuse(refusal: &Refusal) -> Response {
    refusal.respond(&ErrorBody::new(refusal))
}

/// What a handler answers instead of what was asked.
struct Refused(Refusal);

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        refuse(&self.0)
    }
}

/// Lists the keys that are presented to upstreams: by the names of the upstreams, then in the order of the settings.
/// Their texts are masked.
#[utoipa::path(
    get,
    path = "/api/keys",
    responses(
        (status = 200, description = "The keys", body = Vec<UpstreamKey>),
        schema::Refusals,
    ),
)]
async fn list_keys(
    State(state): State<AdminState>,
    uri: Uri,
) -> Result<Json<Vec<UpstreamKey>>, Refused> {
    let [] = read::query(&uri, [])?;
    let upstreams = state.upstream_keys().upstreams();
    let keys = upstreams.into_iter().flat_map(|upstream| {
        let of = |key| UpstreamKey::new(&upstream.name, key);
        upstream.keys.into_iter().map(of).collect::<Vec<_>>()
    });
    Ok(Json(keys.collect()))
}

/// Lists the providers: the upstreams, by their names.
#[utoipa::path(
    get,
    path = "/api/providers",
    responses(
        (status = 200, description = "The providers", body = Providers),
        schema::Refusals,
    ),
)]
async fn list_providers(
    State(state): State<AdminState>,
    uri: Uri,
) -> Result<Json<Providers>, Refused> {
    let [] = read::query(&uri, [])?;
    let upstreams = state.upstream_keys().upstreams();
    let providers: Vec<_> = upstreams.into_iter().map(Upstream::from).collect();
    Ok(Json(Providers {
        total: providers.len(),
        providers,
    }))
}

/// Lists the keys that are presented to one upstream, in the order of the settings. Their texts are masked.
#[utoipa::path(
    get,
    path = "/api/providers/{provider}/keys",
    params(("provider" = String, Path, description = "The name of the upstream")),
    responses(
        (status = 200, description = "The keys", body = ProviderKeys),
        (status = 404, description = "There is no such provider", body = ErrorBody),
        schema::Refusals,
    ),
)]
async fn list_provider_keys(
    State(state): State<AdminState>,
    provider: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<ProviderKeys>, Refused> {
    let [] = read::query(&uri, [])?;
    // What does not decode to text names nothing of ours.
    let provider = provider.map(|Path(name)| name).unwrap_or_default();
    let mut upstreams = state.upstream_keys().upstreams().into_iter();
    let found = upstreams.find(|upstream| upstream.name == provider);
    let upstream = found.ok_or_else(|| Refusal::not_found("Provider not found: not found"))?;
    let of = |key| UpstreamKey::new(&upstream.name, key);
    let keys: Vec<_> = upstream.keys.into_iter().map(of).collect();
    Ok(Json(ProviderKeys {
        total: keys.len(),
        keys,
    }))
}
