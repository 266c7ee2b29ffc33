//! The ways of speaking about keys over HTTP. A dialect is a translator: it knows the paths, member names and status
//! habits of one API, and never sees a database, a digest or a cache.

pub mod baseten;
pub mod bifrost;
mod document;
pub mod px0;

use axum::middleware::map_response;
use axum::response::Response;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter, UtoipaMethodRouterExt};

use super::{AdminState, Refusal};
use crate::telemetry::metrics::AdminCommand;

/// One way of speaking about keys over HTTP.
pub struct Dialect {
    /// Its name in the settings and in the metrics.
    pub name: &'static str,
    /// Its routes, each with its part of the OpenAPI document, both from the same handler, and each counted under its
    /// command ([`counted`]). The door stands before them: a handler finds the [`Caller`] among the extensions, and
    /// the body has come whole.
    ///
    /// [`Caller`]: crate::registry::Caller
    pub routes: fn() -> OpenApiRouter<AdminState>,
    /// Its form of an error.
    pub refuse: fn(&Refusal) -> Response,
}

/// The one list of dialects.
pub static DIALECTS: &[Dialect] = &[baseten::DIALECT, px0::DIALECT, bifrost::DIALECT];

/// Has the answers of a route counted as answers to `command`.
fn counted(
    command: AdminCommand,
    route: UtoipaMethodRouter<AdminState>,
) -> UtoipaMethodRouter<AdminState> {
    let label = move |mut response: Response| async move {
        response.extensions_mut().insert(command);
        response
    };
    route.map(|route| route.route_layer(map_response(label)))
}
