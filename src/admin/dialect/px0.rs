//! The px0 API, as far as it is about keys (CONTRACTS 7).
//!
//! An operation is a word for a category and the other way round, so that a key made in one dialect is shown rightly
//! in the others. A key belongs to one team, or was made for the default one: `team_ids` names at most one. A key that
//! nobody named has an empty `name`, which px0 itself never shows.
//!
//! There is one organisation. As at px0, the holder of the admin token may look into any: one that is not there has no
//! keys, and none can be made in it (404); whoever calls with a key may only look into its own (403).

mod schema;
mod words;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, Uri};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use self::words::{
    ApiError, ApiKey, ApiKeys, CreateApiKey, CreatedApiKey, RegeneratedApiKey, UpdateApiKey,
    UpdatedApiKey,
};
use super::{Dialect, counted, document};
use crate::admin::read::{self, Accepts};
use crate::admin::{AdminState, Refusal};
use crate::key::{
    InvalidName, KeyFilter, KeyId, KeySelector, ModelScope, Name, Operation, OrgId, Team, TeamId,
};
use crate::registry::{Caller, Command, CreateKey, Outcome, RefusalKind, UpdateKey};
use crate::telemetry::metrics::AdminCommand;

/// `/v1/api-keys`.
pub const DIALECT: Dialect = Dialect {
    name: "px0",
    routes,
    refuse,
};

fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(counted(AdminCommand::ListKeys, routes!(list_keys)))
        .routes(counted(AdminCommand::CreateKey, routes!(create_key)))
        .routes(counted(AdminCommand::UpdateKey, routes!(update_key)))
        .routes(counted(AdminCommand::DeleteKey, routes!(delete_key)))
        .routes(counted(AdminCommand::RotateKey, routes!(regenerate_key)))
}

/// A refusal in this dialect's form, and in px0's words where a program may compare them: which credential is wrong,
/// and why somebody may not, px0 does not tell.
fn refuse(refusal: &Refusal) -> Response {
    let error = match refusal.status {
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::FORBIDDEN => "forbidden",
        _ => &refusal.message,
    };
    refusal.respond(&ApiError { error })
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

async fn execute(
    state: &AdminState,
    caller: &Caller,
    command: Command,
) -> Result<Outcome, Refused> {
    let outcome = state.registry().execute(caller, command).await;
    outcome.map_err(|error| {
        Refused(match error.kind() {
            // No command here names anything else that might not be there: teams are looked at before.
            RefusalKind::NotFound => Refusal::not_found("api key not found"),
            _ => Refusal::of(&error),
        })
    })
}

/// Lists the API keys of the organisation that the caller may manage, newest first: metadata only, never the text of a
/// key. An organisation that is not there has none.
#[utoipa::path(
    get,
    path = "/v1/api-keys",
    params(
        ("org_id" = Uuid, Query, description = "The organisation"),
        (
            "limit" = inline(Option<document::Limit>), Query,
            description = "How many keys at most; every one unless this or `cursor` is given. An extension of ours"
        ),
        (
            "cursor" = inline(Option<document::ListCursor>), Query,
            description = "The `next_cursor` of the keys that were shown last; an extension of ours"
        ),
    ),
    responses(
        (status = 200, description = "The keys", body = ApiKeys),
        schema::Refusals,
    ),
)]
async fn list_keys(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<ApiKeys>, Refused> {
    let [org, limit, cursor] = read::query(&uri, ["org_id", "limit", "cursor"])?;
    let org = org.filter(|org| !org.is_empty());
    let org = org.ok_or_else(|| Refusal::invalid("org_id is required"))?;
    let org = OrgId::new(parse_id(&org)?);
    let page = read::page(limit.as_deref(), cursor.as_deref())?;
    if !is_there(&state, &caller, org).await? {
        let none = ApiKeys::of(&[], org);
        return Ok(Json(match page {
            None => none,
            Some(_) => none.going_on(None),
        }));
    }
    let filter = KeyFilter::default();
    let command = match page {
        None => Command::List(filter),
        Some((after, limit)) => Command::ListPage {
            filter,
            after,
            limit,
        },
    };
    match execute(&state, &caller, command).await? {
        Outcome::Listed(keys) => Ok(Json(ApiKeys::of(&keys, org))),
        Outcome::ListedPage(page) => {
            let next = page.next.map(|mark| mark.to_string());
            Ok(Json(ApiKeys::of(&page.keys, org).going_on(next)))
        }
        _ => Err(Refused(Refusal::unexpected_outcome())),
    }
}

/// Creates an API key. Its text is in this answer and nowhere else.
#[utoipa::path(
    post,
    path = "/v1/api-keys",
    request_body = schema::CreateKey,
    responses(
        (status = 201, description = "The key", body = CreatedApiKey),
        (status = 404, description = "There is no such organisation or team", body = ApiError),
        (status = 409, description = "The name is taken", body = ApiError),
        (status = 415, description = "The body does not call itself JSON", body = ApiError),
        schema::Refusals,
    ),
)]
async fn create_key(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let asked: CreateApiKey = read::json(&headers, &body, Accepts::Json)?;
    let name = asked.name.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Refusal::invalid("name is required"))?;
    let name = parse_name(&name)?;
    let org = parse_org(asked.org_id.as_deref())?;
    let operation = parse_operation(asked.operation.as_deref())?.unwrap_or(Operation::ReadRender);
    if !is_there(&state, &caller, org).await? {
        return Err(Refused(Refusal::not_found("organization not found")));
    }
    let team = one_team(asked.team_ids.as_deref().unwrap_or_default())?;
    if let Some(team) = team {
        check_team(&teams(&state, &caller).await?, team, org)?;
    }
    let wanted = CreateKey {
        name: Some(name),
        category: operation.category(),
        operation: Some(operation),
        scope: ModelScope::Every,
        team,
        expires_at: None,
        ends_calls: false,
    };
    match execute(&state, &caller, Command::Create(wanted)).await? {
        Outcome::Created { key, secret } => {
            let created = CreatedApiKey::new(&key, secret.reveal());
            Ok((StatusCode::CREATED, Json(created)).into_response())
        }
        _ => Err(Refused(Refusal::unexpected_outcome())),
    }
}

/// Changes the name, the operation or the team of an API key.
#[utoipa::path(
    put,
    path = "/v1/api-keys/{id}",
    params(("id" = Uuid, Path, description = "The key")),
    request_body = schema::UpdateKey,
    responses(
        (status = 200, description = "The key as it is now", body = UpdatedApiKey),
        (status = 404, description = "There is no such key or team", body = ApiError),
        (status = 409, description = "The name is taken", body = ApiError),
        (status = 415, description = "The body does not call itself JSON", body = ApiError),
        schema::Refusals,
    ),
)]
async fn update_key(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<UpdatedApiKey>, Refused> {
    let which = key_in_path(id)?;
    let asked: UpdateApiKey = read::json(&headers, &body, Accepts::Json)?;
    let name = asked.name.filter(|name| !name.is_empty());
    let change = UpdateKey {
        name: name.as_deref().map(parse_name).transpose()?.map(Some),
        operation: parse_operation(asked.operation.as_deref())?,
        team: match asked.team_ids {
            Some(ids) => Some(team_among(&teams(&state, &caller).await?, &ids)?),
            None => None,
        },
        ..UpdateKey::default()
    };
    match execute(&state, &caller, Command::Update(which, change)).await? {
        Outcome::Updated(key) => Ok(Json(UpdatedApiKey {
            api_key: ApiKey::from(&*key),
        })),
        _ => Err(Refused(Refusal::unexpected_outcome())),
    }
}

/// Gives an API key a new text, which is in this answer and nowhere else. The text before is refused everywhere on this
/// instance from this answer on.
#[utoipa::path(
    post,
    path = "/v1/api-keys/{id}/regenerate",
    params(("id" = Uuid, Path, description = "The key")),
    responses(
        (status = 200, description = "The key with its new text", body = RegeneratedApiKey),
        (status = 404, description = "There is no such key", body = ApiError),
        schema::Refusals,
    ),
)]
async fn regenerate_key(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Refused> {
    let which = key_in_path(id)?;
    match execute(&state, &caller, Command::Rotate(which, 0)).await? {
        Outcome::Rotated { key, secret } => {
            let regenerated = RegeneratedApiKey::new(&key, secret.reveal());
            Ok(Json(regenerated).into_response())
        }
        _ => Err(Refused(Refusal::unexpected_outcome())),
    }
}

/// Deletes an API key. It is refused everywhere on this instance from this answer on.
#[utoipa::path(
    delete,
    path = "/v1/api-keys/{id}",
    params(("id" = Uuid, Path, description = "The key")),
    responses(
        (status = 204, description = "It is deleted"),
        (status = 404, description = "There is no such key", body = ApiError),
        schema::Refusals,
    ),
)]
async fn delete_key(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Refused> {
    let which = key_in_path(id)?;
    match execute(&state, &caller, Command::Delete(which)).await? {
        Outcome::Deleted(_) => Ok(StatusCode::NO_CONTENT),
        _ => Err(Refused(Refusal::unexpected_outcome())),
    }
}

/// Whether the organisation is there, for a caller that may look.
async fn is_there(state: &AdminState, caller: &Caller, wanted: OrgId) -> Result<bool, Refused> {
    match execute(state, caller, Command::WhoAmI).await? {
        Outcome::You { org, .. } if org == wanted => Ok(true),
        Outcome::You { .. } if caller.holds().is_none() => Ok(false),
        Outcome::You { .. } => Err(Refused(Refusal::new(StatusCode::FORBIDDEN, "forbidden"))),
        _ => Err(Refused(Refusal::unexpected_outcome())),
    }
}

async fn teams(state: &AdminState, caller: &Caller) -> Result<Vec<Team>, Refused> {
    match execute(state, caller, Command::ListTeams).await? {
        Outcome::Teams(teams) => Ok(teams),
        _ => Err(Refused(Refusal::unexpected_outcome())),
    }
}

/// That the team is there, and the organisation's.
fn check_team(teams: &[Team], wanted: TeamId, org: OrgId) -> Result<(), Refusal> {
    match teams.iter().find(|team| team.id == wanted) {
        None => Err(Refusal::not_found("team not found")),
        Some(team) if team.org != org => Err(Refusal::invalid(
            "team does not belong to the specified organization",
        )),
        Some(_) => Ok(()),
    }
}

/// The team that `ids` names, which none of them names for the default one.
fn team_among(teams: &[Team], ids: &[String]) -> Result<TeamId, Refusal> {
    let named = one_team(ids)?;
    let mut teams = teams.iter();
    let found = teams.find(|team| named.map_or(team.is_default, |id| team.id == id));
    let found = found.map(|team| team.id);
    found.ok_or_else(|| Refusal::not_found("team not found"))
}

/// The only team there may be: to take a second and leave it out would be to say what is not so.
fn one_team(ids: &[String]) -> Result<Option<TeamId>, Refusal> {
    match ids {
        [] => Ok(None),
        [id] => Ok(Some(TeamId::new(parse_id(id)?))),
        _ => Err(Refusal::invalid("a key belongs to one team")),
    }
}

fn key_in_path(id: Result<Path<String>, PathRejection>) -> Result<KeySelector, Refusal> {
    let id = parse_id(&read::in_path(id))?;
    Ok(KeySelector::Id(KeyId::new(id)))
}

/// As at px0, an id of nothing but zeros is none.
fn parse_org(id: Option<&str>) -> Result<OrgId, Refusal> {
    let required = || Refusal::invalid("org_id is required");
    let id = id.filter(|id| !id.is_empty()).ok_or_else(required)?;
    let id = parse_id(id)?;
    if id.is_nil() {
        return Err(required());
    }
    Ok(OrgId::new(id))
}

fn parse_id(id: &str) -> Result<Uuid, Refusal> {
    id.parse().map_err(|_| Refusal::invalid("invalid id"))
}

fn parse_name(name: &str) -> Result<Name, Refusal> {
    let parsed = name.parse();
    parsed.map_err(|error: InvalidName| Refusal::invalid(error.to_string()))
}

/// As at px0, an empty word is none.
fn parse_operation(word: Option<&str>) -> Result<Option<Operation>, Refusal> {
    let Some(word) = word.filter(|word| !word.is_empty()) else {
        return Ok(None);
    };
    let known = Operation::from_stored(word).map(Some);
    known.ok_or_else(|| Refusal::invalid("invalid operation, must be read_render, all, or admin"))
}
