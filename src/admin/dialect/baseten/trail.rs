//! The audit trail, which the API that this dialect follows does not have.

use axum::Json;
use axum::extract::{Extension, State};
use http::Uri;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::words::{AuditLog, AuditLogs};
use super::{Refused, execute, schema};
use crate::admin::dialect::{counted, document};
use crate::admin::{AdminState, Refusal, read};
use crate::registry::{Caller, Command, Outcome};
use crate::telemetry::metrics::AdminCommand;

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new().routes(counted(AdminCommand::ListAudit, routes!(list_audit_logs)))
}

/// Lists who changed which key, when, from where and in what, newest first. For callers that may do everything. An
/// extension of ours.
#[utoipa::path(
    get,
    path = "/v1/audit_logs",
    params(
        (
            "limit" = inline(Option<document::Limit>), Query,
            description = "How many entries at most; 100 unless given"
        ),
        (
            "cursor" = inline(Option<schema::PageCursor>), Query,
            description = "The `next_cursor` of the entries that were shown last; the newest unless given"
        ),
    ),
    responses(
        (status = 200, description = "The entries", body = AuditLogs),
        schema::Refusals,
    ),
)]
async fn list_audit_logs(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<AuditLogs>, Refused> {
    let [limit, cursor] = read::query(&uri, ["limit", "cursor"])?;
    let limit = read::limit(limit.as_deref())?;
    let before = parse_cursor(cursor.as_deref())?;
    // One more than is shown tells whether there are more.
    let command = Command::Audit {
        before,
        limit: limit + 1,
    };
    let Outcome::Audited(mut entries) = execute(&state, &caller, command).await? else {
        return Err(Refused(Refusal::unexpected_outcome()));
    };
    let are_more = entries.len() > limit;
    entries.truncate(limit);
    let last = entries.last().filter(|_| are_more);
    Ok(Json(AuditLogs {
        next_cursor: last.map(|entry| entry.seq.to_string()),
        audit_logs: entries.into_iter().map(AuditLog::from).collect(),
    }))
}

fn parse_cursor(cursor: Option<&str>) -> Result<Option<u64>, Refusal> {
    let is_ours = |cursor: &&str| cursor.len() <= 19 && cursor.bytes().all(|c| c.is_ascii_digit());
    let parsed = cursor.map(|cursor| Some(cursor).filter(is_ours)?.parse().ok());
    match parsed {
        None => Ok(None),
        Some(Some(before)) => Ok(Some(before)),
        Some(None) => Err(read::no_cursor()),
    }
}
