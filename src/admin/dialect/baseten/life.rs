//! What the API that this dialect follows does not have: showing one key, changing a key that is there, and giving it a
//! new text.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Uri};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::words::{ApiKeyInfo, ErrorBody, RotatedApiKey, Seconds, UpdateApiKey, UpdatedApiKey};
use super::{
    Refused, WAIT, execute, execute_and_wait, key_in_path, parse_name, parse_scope, parse_team,
    parse_wait, schema, wait_for,
};
use crate::admin::dialect::counted;
use crate::admin::read::{self, Accepts};
use crate::admin::{AdminState, Refusal};
use crate::key::UnixTime;
use crate::registry::{Caller, Command, Outcome, UpdateKey};
use crate::telemetry::metrics::AdminCommand;

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(counted(AdminCommand::ListKeys, routes!(find_key)))
        .routes(counted(AdminCommand::UpdateKey, routes!(update_key)))
        .routes(counted(AdminCommand::RotateKey, routes!(rotate_key)))
}

/// Gets an API key by its prefix: metadata only, never its text. A key that the caller may not manage is not there. An
/// extension of ours.
#[utoipa::path(
    get,
    path = "/v1/api_keys/{api_key_prefix}",
    params(("api_key_prefix" = inline(schema::Prefix), Path, description = "The key's prefix")),
    responses(
        (status = 200, description = "The key, and when it ends", body = ApiKeyInfo),
        (status = 404, description = "There is no such thing", body = ErrorBody),
        schema::Refusals,
    ),
)]
async fn find_key(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    prefix: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<ApiKeyInfo>, Refused> {
    let [] = read::query(&uri, [])?;
    let which = key_in_path(prefix)?;
    match execute(&state, &caller, Command::Find(which)).await? {
        Outcome::Found(key) => Ok(Json(ApiKeyInfo::with_life(&key))),
        _ => Err(Refused(Refusal::unexpected_outcome())),
    }
}

/// Changes an API key: its name, models, team or end, whether calls end with it, or switches it off or on. An extension of ours.
#[utoipa::path(
    patch,
    path = "/v1/api_keys/{api_key_prefix}",
    params(
        ("api_key_prefix" = inline(schema::Prefix), Path, description = "The key's prefix"),
        ("wait" = inline(Option<schema::Wait>), Query, description = WAIT),
    ),
    request_body = schema::UpdateKey,
    responses(
        (status = 200, description = "The key as it is now", body = UpdatedApiKey),
        (status = 404, description = "There is no such thing", body = ErrorBody),
        (status = 409, description = "The name is taken", body = ErrorBody),
        (status = 415, description = "The body does not call itself JSON", body = ErrorBody),
        schema::Refusals,
    ),
)]
async fn update_key(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    prefix: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<UpdatedApiKey>, Refused> {
    let wait = wait_for(&uri)?;
    let which = key_in_path(prefix)?;
    let asked: UpdateApiKey = read::json(&headers, &body, Accepts::Json)?;
    let change = change(&state, &asked)?;
    match execute_and_wait(&state, &caller, Command::Update(which, change), wait).await? {
        (Outcome::Updated(key), in_force) => Ok(Json(UpdatedApiKey {
            key: ApiKeyInfo::with_life(&key),
            in_force,
        })),
        _ => Err(Refused(Refusal::unexpected_outcome())),
    }
}

fn change(state: &AdminState, asked: &UpdateApiKey) -> Result<UpdateKey, Refused> {
    let name = asked.name.as_ref().map(Option::as_deref);
    let scope = asked.model_ids.as_ref().map(Option::as_deref);
    Ok(UpdateKey {
        name: name
            .map(|name| name.map(parse_name).transpose())
            .transpose()?,
        operation: None,
        scope: scope.map(parse_scope).transpose()?,
        team: asked.team_id.as_deref().map(parse_team).transpose()?,
        expires_at: match asked.expires_in {
            None => None,
            Some(None) => Some(None),
            Some(Some(Seconds(secs))) => Some(Some(end(state, secs)?)),
        },
        enabled: asked.enabled,
        ends_calls: asked.ends_calls,
    })
}

/// The end of a key that is to work for `secs` seconds from now.
pub fn end(state: &AdminState, secs: u64) -> Result<UnixTime, Refusal> {
    if !(1..=schema::MAX_SECS).contains(&secs) {
        let most = schema::MAX_SECS;
        let message = format!("`expires_in` is a number of seconds from 1 to {most}");
        return Err(Refusal::invalid(message));
    }
    Ok(state.registry().moment_in(secs))
}

/// Gives an API key a new text, which is in this answer and nowhere else, and with it a new prefix. An extension of
/// ours.
#[utoipa::path(
    post,
    path = "/v1/api_keys/{api_key_prefix}/rotate",
    params(
        ("api_key_prefix" = inline(schema::Prefix), Path, description = "The key's prefix"),
        (
            "grace" = inline(Option<schema::Grace>), Query,
            description = "How many seconds the text before works beside the new one; none unless given"
        ),
        ("wait" = inline(Option<schema::Wait>), Query, description = WAIT),
    ),
    responses(
        (status = 200, description = "The key's new text", body = RotatedApiKey),
        (status = 404, description = "There is no such thing", body = ErrorBody),
        schema::Refusals,
    ),
)]
async fn rotate_key(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    prefix: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, Refused> {
    let [grace, wait] = read::query(&uri, ["grace", "wait"])?;
    let wait = parse_wait(wait.as_deref())?;
    let grace = parse_grace(grace.as_deref())?;
    let which = key_in_path(prefix)?;
    match execute_and_wait(&state, &caller, Command::Rotate(which, grace), wait).await? {
        (Outcome::Rotated { key, secret }, in_force) => Ok(Json(RotatedApiKey {
            api_key: secret.reveal(),
            prefix: key.prefix.to_string(),
            old_until: key.old.map(|old| old.until.to_rfc3339()),
            in_force,
        })
        .into_response()),
        _ => Err(Refused(Refusal::unexpected_outcome())),
    }
}

fn parse_grace(secs: Option<&str>) -> Result<u64, Refusal> {
    let Some(secs) = secs else {
        return Ok(0);
    };
    let parsed = secs.parse().ok();
    let parsed = parsed.filter(|secs| *secs <= schema::MAX_SECS);
    parsed.ok_or_else(|| {
        let most = schema::MAX_SECS;
        Refusal::invalid(format!("`grace` is a number of seconds from 0 to {most}"))
    })
}
