//! The Baseten management API, as far as it is about keys (CONTRACTS 6).
//!
//! Whose keys: every key has an owner, the one in whose name it was made ([`Caller::owner`]). `users/me` tells the
//! caller's own as `user_id`, `created_by_me` lists the keys made in it, and a personal key shows it as its `owner`:
//! three times the same text.

mod life;
mod schema;
mod status;
mod trail;
mod words;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Uri};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::words::{
    ApiKey, ApiKeyInfo, ApiKeyTombstone, ApiKeys, CreateApiKey, CreateTeam, ErrorBody, InForce,
    Seconds, Team, Teams, UserInfo,
};
use super::{Dialect, counted, document};
use crate::admin::read::{self, Accepts};
use crate::admin::{AdminState, Refusal};
use crate::key::{
    self, InvalidCategory, InvalidName, InvalidScope, KeyCategory, KeyFilter, KeySelector,
    ModelScope, Name, TeamId,
};
use crate::registry::{Caller, Command, CreateKey, InvalidWait, Outcome, Wait};
use crate::telemetry::metrics::AdminCommand;

/// `/v1/api_keys`, `/v1/teams`, `/v1/users/me`.
pub const DIALECT: Dialect = Dialect {
    name: "baseten",
    routes,
    refuse,
};

/// What `wait` does, for the document.
const WAIT: &str = "For which instances the answer waits: the one that answers (`instance`, as without it), or all that \
                    run (`all`), for at most two seconds; the answer then says in `in_force` where the change is in force";

fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(counted(AdminCommand::ListKeys, routes!(list_keys)))
        .routes(counted(AdminCommand::CreateKey, routes!(create_key)))
        .routes(counted(AdminCommand::CreateKey, routes!(create_team_key)))
        .routes(counted(AdminCommand::DeleteKey, routes!(delete_key)))
        .merge(life::routes())
        .merge(trail::routes())
        .merge(status::routes())
        .routes(counted(AdminCommand::ListTeams, routes!(list_teams)))
        .routes(counted(AdminCommand::ListTeams, routes!(find_team)))
        .routes(counted(AdminCommand::CreateTeam, routes!(create_team)))
        .routes(counted(AdminCommand::WhoAmI, routes!(who_am_i)))
}

/// A refusal in this dialect's form: `{"code","message"}`.
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

async fn execute(
    state: &AdminState,
    caller: &Caller,
    command: Command,
) -> Result<Outcome, Refused> {
    let outcome = state.registry().execute(caller, command).await;
    outcome.map_err(|error| Refused(Refusal::of(&error)))
}

/// The same, and where the change is in force for whoever asked for that.
async fn execute_and_wait(
    state: &AdminState,
    caller: &Caller,
    command: Command,
    wait: Wait,
) -> Result<(Outcome, Option<InForce>), Refused> {
    let registry = state.registry();
    match registry.execute_and_wait(caller, command, wait).await {
        Ok((outcome, in_force)) => Ok((outcome, in_force.map(InForce::from))),
        Err(error) => Err(Refused(Refusal::of(&error))),
    }
}

/// Lists the API keys that the caller may manage, newest first: metadata only, never the text of a key.
#[utoipa::path(
    get,
    path = "/v1/api_keys",
    params(
        ("type" = inline(Option<schema::Category>), Query, description = "Only keys of this type"),
        ("created_by_me" = Option<bool>, Query, description = "Only keys made in the caller's name"),
        ("team_id" = Option<uuid::Uuid>, Query, description = "Only keys of this team; an extension of ours"),
        ("life" = Option<bool>, Query, description = "Tell when each key ends, too; an extension of ours"),
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
    let names = [
        "type",
        "created_by_me",
        "team_id",
        "life",
        "limit",
        "cursor",
    ];
    let [category, mine, team, life, limit, cursor] = read::query(&uri, names)?;
    let filter = KeyFilter {
        category: category.as_deref().map(parse_category).transpose()?,
        owner: is_true("created_by_me", mine.as_deref())?.then(|| caller.owner()),
        team: team.as_deref().map(parse_team_filter).transpose()?,
    };
    let item = if is_true("life", life.as_deref())? {
        ApiKeyInfo::with_life
    } else {
        |key: &key::ApiKey| ApiKeyInfo::from(key)
    };
    let command = match read::page(limit.as_deref(), cursor.as_deref())? {
        None => Command::List(filter),
        Some((after, limit)) => Command::ListPage {
            filter,
            after,
            limit,
        },
    };
    match execute(&state, &caller, command).await? {
        Outcome::Listed(keys) => Ok(Json(ApiKeys {
            keys: keys.iter().map(item).collect(),
            next_cursor: None,
        })),
        Outcome::ListedPage(page) => Ok(Json(ApiKeys {
            keys: page.keys.iter().map(item).collect(),
            next_cursor: Some(page.next.map(|mark| mark.to_string())),
        })),
        _ => Err(Refused(Refusal::unexpected_outcome())),
    }
}

/// Creates an API key. Its text is in this answer and nowhere else.
#[utoipa::path(
    post,
    path = "/v1/api_keys",
    params(("wait" = inline(Option<schema::Wait>), Query, description = WAIT)),
    request_body = schema::CreateKey,
    responses(
        (status = 200, description = "The key", body = ApiKey),
        (status = 404, description = "There is no such thing", body = ErrorBody),
        (status = 409, description = "The name is taken", body = ErrorBody),
        (status = 415, description = "The body does not call itself JSON", body = ErrorBody),
        schema::Refusals,
    ),
)]
async fn create_key(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let wait = wait_for(&uri)?;
    let asked = read::json(&headers, &body, Accepts::JsonOrForm)?;
    create(&state, &caller, asked, None, wait).await
}

/// Creates an API key in a team. Its text is in this answer and nowhere else.
#[utoipa::path(
    post,
    path = "/v1/teams/{team_id}/api_keys",
    params(
        ("team_id" = uuid::Uuid, Path, description = "The team"),
        ("wait" = inline(Option<schema::Wait>), Query, description = WAIT),
    ),
    request_body = schema::CreateTeamKey,
    responses(
        (status = 200, description = "The key", body = ApiKey),
        (status = 404, description = "There is no such thing", body = ErrorBody),
        (status = 409, description = "The name is taken", body = ErrorBody),
        (status = 415, description = "The body does not call itself JSON", body = ErrorBody),
        schema::Refusals,
    ),
)]
async fn create_team_key(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    team: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let team = parse_team(&read::in_path(team))?;
    let wait = wait_for(&uri)?;
    let asked = read::json(&headers, &body, Accepts::JsonOrForm)?;
    create(&state, &caller, asked, Some(team), wait).await
}

async fn create(
    state: &AdminState,
    caller: &Caller,
    asked: CreateApiKey,
    team_in_path: Option<TeamId>,
    wait: Wait,
) -> Result<Response, Refused> {
    let team_in_body = asked.team_id.as_deref().map(parse_team).transpose()?;
    if team_in_path.is_some() && team_in_body.is_some() && team_in_path != team_in_body {
        return Err(Refused(Refusal::invalid(
            "`team_id` is not the team of the path",
        )));
    }
    let wanted = CreateKey {
        name: asked.name.as_deref().map(parse_name).transpose()?,
        category: parse_category(&asked.category)?,
        operation: None,
        scope: parse_scope(asked.model_ids.as_deref())?,
        team: team_in_path.or(team_in_body),
        expires_at: asked
            .expires_in
            .map(|Seconds(secs)| life::end(state, secs))
            .transpose()?,
        ends_calls: asked.ends_calls.unwrap_or(false),
    };
    match execute_and_wait(state, caller, Command::Create(wanted), wait).await? {
        (Outcome::Created { secret, .. }, in_force) => Ok(Json(ApiKey {
            api_key: secret.reveal(),
            in_force,
        })
        .into_response()),
        _ => Err(Refused(Refusal::unexpected_outcome())),
    }
}

/// Deletes an API key by its prefix. It is refused everywhere on this instance from this answer on, and with
/// `wait=all` on every instance unless the answer names some.
#[utoipa::path(
    delete,
    path = "/v1/api_keys/{api_key_prefix}",
    params(
        ("api_key_prefix" = inline(schema::Prefix), Path, description = "The key's prefix"),
        ("wait" = inline(Option<schema::Wait>), Query, description = WAIT),
    ),
    responses(
        (status = 200, description = "What was deleted", body = ApiKeyTombstone),
        (status = 404, description = "There is no such thing", body = ErrorBody),
        schema::Refusals,
    ),
)]
async fn delete_key(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    prefix: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<ApiKeyTombstone>, Refused> {
    let wait = wait_for(&uri)?;
    let which = key_in_path(prefix)?;
    match execute_and_wait(&state, &caller, Command::Delete(which), wait).await? {
        (Outcome::Deleted(key), in_force) => Ok(Json(ApiKeyTombstone {
            prefix: key.prefix.to_string(),
            in_force,
        })),
        _ => Err(Refused(Refusal::unexpected_outcome())),
    }
}

/// Lists the teams, the default one first.
#[utoipa::path(
    get,
    path = "/v1/teams",
    params(("name" = Option<String>, Query, description = "Only the team with exactly this name")),
    responses(
        (status = 200, description = "The teams", body = Teams),
        schema::Refusals,
    ),
)]
async fn list_teams(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<Teams>, Refused> {
    let [name] = read::query(&uri, ["name"])?;
    let is_asked_for = |team: &Team| name.as_ref().is_none_or(|name| *name == team.name);
    let teams = teams(&state, &caller).await?.filter(is_asked_for).collect();
    Ok(Json(Teams { teams }))
}

/// Gets a team by its id.
#[utoipa::path(
    get,
    path = "/v1/teams/{team_id}",
    params(("team_id" = uuid::Uuid, Path, description = "The team")),
    responses(
        (status = 200, description = "The team", body = Team),
        (status = 404, description = "There is no such thing", body = ErrorBody),
        schema::Refusals,
    ),
)]
async fn find_team(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Team>, Refused> {
    let id = parse_team(&read::in_path(id))?.to_string();
    let found = teams(&state, &caller).await?.find(|team| team.id == id);
    found.map(Json).ok_or_else(no_such_team)
}

async fn teams(state: &AdminState, caller: &Caller) -> Result<impl Iterator<Item = Team>, Refused> {
    match execute(state, caller, Command::ListTeams).await? {
        Outcome::Teams(teams) => Ok(teams.into_iter().map(Team::from)),
        _ => Err(Refused(Refusal::unexpected_outcome())),
    }
}

/// Creates a team. An extension of ours: the API this dialect follows has no such call.
#[utoipa::path(
    post,
    path = "/v1/teams",
    request_body = schema::CreateTeam,
    responses(
        (status = 200, description = "The team", body = Team),
        (status = 409, description = "The name is taken", body = ErrorBody),
        (status = 415, description = "The body does not call itself JSON", body = ErrorBody),
        schema::Refusals,
    ),
)]
async fn create_team(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Team>, Refused> {
    let asked: CreateTeam = read::json(&headers, &body, Accepts::Json)?;
    let command = Command::CreateTeam(parse_name(&asked.name)?);
    match execute(&state, &caller, command).await? {
        Outcome::TeamCreated(team) => Ok(Json(team.into())),
        _ => Err(Refused(Refusal::unexpected_outcome())),
    }
}

/// Tells who the caller is.
#[utoipa::path(
    get,
    path = "/v1/users/me",
    responses(
        (status = 200, description = "The caller", body = UserInfo),
        schema::Refusals,
    ),
)]
async fn who_am_i(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<UserInfo>, Refused> {
    match execute(&state, &caller, Command::WhoAmI).await? {
        Outcome::You { owner, org } => Ok(Json(UserInfo::new(&owner, org))),
        _ => Err(Refused(Refusal::unexpected_outcome())),
    }
}

fn key_in_path(prefix: Result<Path<String>, PathRejection>) -> Result<KeySelector, Refusal> {
    let no_such_key = |_| Refusal::not_found("there is no such key");
    let prefix = read::in_path(prefix).parse().map_err(no_such_key)?;
    Ok(KeySelector::Prefix(prefix))
}

/// Whom the caller wants to wait for. A word that is not known is refused before anything is done: whoever wrote it
/// relies on something that would not be so.
fn wait_for(uri: &Uri) -> Result<Wait, Refusal> {
    let [wait] = read::query(uri, ["wait"])?;
    parse_wait(wait.as_deref())
}

fn parse_wait(wait: Option<&str>) -> Result<Wait, Refusal> {
    let parsed = wait.map(str::parse).transpose();
    let parsed = parsed.map_err(|error: InvalidWait| Refusal::invalid(error.to_string()))?;
    Ok(parsed.unwrap_or_default())
}

fn parse_category(word: &str) -> Result<KeyCategory, Refusal> {
    let parsed = word.parse();
    parsed.map_err(|error: InvalidCategory| Refusal::invalid(error.to_string()))
}

fn parse_name(name: &str) -> Result<Name, Refusal> {
    let parsed = name.parse();
    parsed.map_err(|error: InvalidName| Refusal::invalid(error.to_string()))
}

/// Says what is wrong without the id, which may be anything somebody pasted.
fn parse_scope(ids: Option<&[String]>) -> Result<ModelScope, Refusal> {
    ModelScope::from_request(ids).map_err(|error| match error {
        InvalidScope::Pattern { why, .. } => Refusal::invalid(format!("`model_ids`: {why}")),
        other => Refusal::invalid(format!("`model_ids`: {other}")),
    })
}

fn parse_team(id: &str) -> Result<TeamId, Refused> {
    id.parse().map_err(|_| no_such_team())
}

fn no_such_team() -> Refused {
    Refused(Refusal::not_found("there is no such team"))
}

fn parse_team_filter(id: &str) -> Result<TeamId, Refusal> {
    let parsed = id.parse();
    parsed.map_err(|_| Refusal::invalid("`team_id` is the id of a team"))
}

fn is_true(name: &str, word: Option<&str>) -> Result<bool, Refusal> {
    match word {
        None => Ok(false),
        Some(word) if word.eq_ignore_ascii_case("true") => Ok(true),
        Some(word) if word.eq_ignore_ascii_case("false") => Ok(false),
        Some(_) => Err(Refusal::invalid(format!("`{name}` is `true` or `false`"))),
    }
}
