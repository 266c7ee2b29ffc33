//! How this process and the others on its key database do, which the API that this dialect follows does not have.

use std::time::Duration;

use axum::Json;
use axum::extract::{Extension, State};
use http::Uri;
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Refused, schema};
use crate::admin::dialect::counted;
use crate::admin::{AdminState, ExampleCall, MemoryFreshness, Refusal, ThisInstance, read};
use crate::key::{KeyCategory, UnixTime};
use crate::registry::{self, Caller, Command, Outcome};
use crate::telemetry::chain;
use crate::telemetry::metrics::{AdminCommand, RequestOutcome};
use crate::telemetry::refusals;
use crate::telemetry::traffic::{Times, TrafficSample};

/// How long the key database may take to say which instances there are: whoever asks how we are while it is away gets an
/// answer nevertheless.
const INSTANCES_WITHIN: Duration = Duration::from_secs(1);

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new().routes(counted(AdminCommand::ShowStatus, routes!(status)))
}

/// Shows how this process does (how fresh its memory of the keys is, its traffic of the last minutes, the latest refusals)
/// and how far every instance on the key database is. Answers while the database is away, too. An extension of ours.
#[utoipa::path(
    get,
    path = "/v1/status",
    responses(
        (status = 200, description = "How it is", body = Status),
        schema::Refusals,
    ),
)]
async fn status(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<Status>, Refused> {
    let [] = read::query(&uri, [])?;
    // A key of a type that the caller may not manage is not shown to it elsewhere either.
    let sees_prefixes = caller.may_manage(&KeyCategory::Personal);
    let views = state.views();
    let refused = views.outcomes().into_iter().filter(is_refused);
    Ok(Json(Status {
        now: state.registry().moment_in(0).to_rfc3339(),
        this: views.this_instance().into(),
        instances: instances(&state, &caller).await?,
        refused: refused.map(RefusedCount::from).collect(),
        refusals: views
            .refusals()
            .into_iter()
            .map(|refused| LatestRefusal::new(refused, sees_prefixes))
            .collect(),
        traffic: views.traffic().iter().map(TrafficWindow::from).collect(),
    }))
}

const fn is_refused(&(outcome, count): &(RequestOutcome, u64)) -> bool {
    count > 0 && !matches!(outcome, RequestOutcome::Forwarded | RequestOutcome::Allowed)
}

/// Nothing when the database does not say in time.
async fn instances(
    state: &AdminState,
    caller: &Caller,
) -> Result<Option<Vec<InstanceStatus>>, Refused> {
    let asked = state.registry().execute(caller, Command::ListInstances);
    match timeout(INSTANCES_WITHIN, asked).await {
        Ok(Ok(Outcome::Instances(instances))) => Ok(Some(
            instances.into_iter().map(InstanceStatus::from).collect(),
        )),
        Ok(Ok(_)) => Err(Refused(Refusal::unexpected_outcome())),
        Ok(Err(error)) => {
            tracing::debug!(error = %chain(&error), "the instances could not be asked for");
            Ok(None)
        }
        Err(_) => Ok(None),
    }
}

/// How this process and the others on its key database do.
#[derive(Serialize, ToSchema)]
#[schema(as = StatusV1)]
pub struct Status {
    /// What time it is, by the key database's clock as far as it is known.
    #[schema(format = DateTime)]
    now: String,
    /// The process that answers.
    this: ThisStatus,
    /// Every instance on the key database, by name; null while it does not answer.
    #[schema(required)]
    instances: Option<Vec<InstanceStatus>>,
    /// How many requests to this instance were refused, or failed, since its start, by reason.
    refused: Vec<RefusedCount>,
    /// The latest of them, newest first: a few of each reason, not all.
    refusals: Vec<LatestRefusal>,
    /// The traffic of this instance in the last five minutes, oldest first.
    traffic: Vec<TrafficWindow>,
}

/// The process that answers.
#[derive(Serialize, ToSchema)]
#[schema(as = ThisInstanceV1)]
struct ThisStatus {
    /// What people call it.
    name: String,
    /// Its version.
    version: String,
    /// How well its memory follows the key database.
    memory: MemoryWord,
    /// How many milliseconds ago the last successful look at the database began; null before the first.
    #[schema(required)]
    age_ms: Option<u64>,
    /// Whether its memory holds every key.
    complete: bool,
    /// Whether its memory is that of a sealed set: the database has not answered since the start.
    sealed: bool,
    /// Where calls come in, as the listener has it.
    #[schema(example = "http://127.0.0.1:8080")]
    calls_at: String,
    /// A call that its routes let through; null when none of those that are known does.
    #[schema(required)]
    example: Option<Example>,
}

/// How well memory follows the key database.
#[derive(Serialize, ToSchema)]
#[schema(as = MemoryV1)]
#[serde(rename_all = "lowercase")]
enum MemoryWord {
    /// It was never filled: no key is served.
    Empty,
    /// It is current.
    Fresh,
    /// It is old: known keys are served on.
    Degraded,
    /// It is too old: no key is served.
    Stale,
}

/// A `POST` of JSON that calls a model.
#[derive(Serialize, ToSchema)]
#[schema(as = ExampleCallV1)]
struct Example {
    /// Its path; `{model}` in it stands for the model.
    #[schema(example = "/v1/chat/completions")]
    path: &'static str,
    /// Its body; `{model}` in it, inside quotation marks, stands for the model.
    body: &'static str,
}

impl From<ExampleCall> for Example {
    fn from(call: ExampleCall) -> Self {
        let ExampleCall { path, body } = call;
        Self { path, body }
    }
}

impl From<ThisInstance> for ThisStatus {
    fn from(this: ThisInstance) -> Self {
        Self {
            name: this.name,
            version: crate::telemetry::VERSION.to_owned(),
            memory: match this.memory {
                MemoryFreshness::Empty => MemoryWord::Empty,
                MemoryFreshness::Fresh => MemoryWord::Fresh,
                MemoryFreshness::Degraded => MemoryWord::Degraded,
                MemoryFreshness::Stale => MemoryWord::Stale,
            },
            age_ms: this.age.map(crate::telemetry::millis),
            complete: this.is_complete,
            sealed: this.is_sealed,
            calls_at: this.calls_at,
            example: this.example.map(Example::from),
        }
    }
}

/// An instance, as the key database knows it.
#[derive(Serialize, ToSchema)]
#[schema(as = InstanceV1)]
struct InstanceStatus {
    /// What people call it; not unique.
    name: String,
    /// When it began.
    #[schema(format = DateTime)]
    started_at: String,
    /// When it was last heard of.
    #[schema(format = DateTime)]
    seen_at: String,
    /// How many changes of keys it had not applied when it was last heard of. It says so again when somebody waits, or every
    /// `server.report_every`.
    behind_by: u64,
    /// Whether it was heard of lately. One that was not has ended without a word, or is cut off from the database and may
    /// serve what it remembers.
    heard: bool,
}

impl From<registry::Instance> for InstanceStatus {
    fn from(instance: registry::Instance) -> Self {
        Self {
            name: instance.name,
            started_at: instance.started_at.to_rfc3339(),
            seen_at: instance.seen_at.to_rfc3339(),
            behind_by: instance.behind_by,
            heard: instance.is_heard,
        }
    }
}

/// How often something was the reason.
#[derive(Serialize, ToSchema)]
#[schema(as = RefusedCountV1)]
struct RefusedCount {
    /// The reason, as it stands in `keyward_requests_total`.
    #[schema(example = "model_not_allowed")]
    reason: &'static str,
    /// How often.
    count: u64,
}

impl From<(RequestOutcome, u64)> for RefusedCount {
    fn from((outcome, count): (RequestOutcome, u64)) -> Self {
        Self {
            reason: outcome.as_str(),
            count,
        }
    }
}

/// A refusal.
#[derive(Serialize, ToSchema)]
#[schema(as = RefusalV1)]
struct LatestRefusal {
    /// When.
    #[schema(format = DateTime)]
    at: String,
    /// Why, as it stands in `keyward_requests_total`.
    #[schema(example = "model_not_allowed")]
    reason: &'static str,
    /// The route that was asked for, as it stands in the settings; null when there is none.
    #[schema(required, example = "/models/{model}/predict")]
    route: Option<String>,
    /// The prefix of the key that was presented; null when it is none of ours, or the caller may not see it.
    #[schema(required)]
    prefix: Option<String>,
}

impl LatestRefusal {
    fn new(refused: refusals::Refused, sees_prefixes: bool) -> Self {
        let prefix = refused.prefix.filter(|_| sees_prefixes);
        Self {
            at: UnixTime::from_secs(refused.at_secs).to_rfc3339(),
            reason: refused.reason.as_str(),
            route: refused.route.map(|route| route.to_string()),
            prefix: prefix.map(String::from),
        }
    }
}

/// What happened in a few seconds. Times are milliseconds, as well as the buckets of a histogram tell.
#[derive(Serialize, ToSchema)]
#[schema(as = TrafficV1)]
struct TrafficWindow {
    /// When those seconds ended.
    #[schema(format = DateTime)]
    at: String,
    /// How many milliseconds they were.
    over_ms: u64,
    /// How many calls an upstream answered.
    forwarded: u64,
    /// How many requests were refused, or failed.
    refused: u64,
    /// Half of the upstreams' answers began within this; null when there were none.
    #[schema(required)]
    answer_p50_ms: Option<f64>,
    /// All but one in a hundred began within this.
    #[schema(required)]
    answer_p99_ms: Option<f64>,
    /// Half of the calls that were let through were so within this: what keyward adds to them.
    #[schema(required)]
    admission_p50_ms: Option<f64>,
    /// All but one in a hundred were.
    #[schema(required)]
    admission_p99_ms: Option<f64>,
}

impl From<&TrafficSample> for TrafficWindow {
    fn from(sample: &TrafficSample) -> Self {
        let ms =
            |times: Option<Times>, which: fn(Times) -> f64| times.map(|times| which(times) * 1e3);
        Self {
            at: UnixTime::from_secs(sample.at_secs).to_rfc3339(),
            over_ms: crate::telemetry::millis(sample.over),
            forwarded: sample.forwarded,
            refused: sample.refused,
            answer_p50_ms: ms(sample.answer, |times| times.p50),
            answer_p99_ms: ms(sample.answer, |times| times.p99),
            admission_p50_ms: ms(sample.admission, |times| times.p50),
            admission_p99_ms: ms(sample.admission, |times| times.p99),
        }
    }
}
