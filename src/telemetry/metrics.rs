//! The handles of every metric: a struct of ready ones for each room. What each means stands in `describe.rs`.
//!
//! Rooms call methods named after events; no hot code formats a name or looks up a label. Labels come from closed
//! sets and never hold a key, a prefix, a model, a path or an address (SECURITY X5). Every series exists from the
//! start, so that `rate()` sees the first failure.

mod tls;
mod upstream;

use std::time::Duration;

pub use tls::{CertificateMetrics, TlsHandshake, TlsMetrics};
pub use upstream::UpstreamServerMetrics;

use metrics::{Counter, Gauge, Histogram, Recorder};

/// How a request on the data listener ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestOutcome {
    /// The upstream answered.
    Forwarded,
    /// Another proxy asked, and may pass the call on.
    Allowed,
    /// No route.
    NoRoute,
    /// The target, the host or a header could be read in two ways.
    Ambiguous,
    /// The bytes of the connection are not HTTP/1, or their framing can be read in two ways.
    MalformedFraming,
    /// No credential.
    MissingKey,
    /// A credential that cannot be a key, or two that differ.
    MalformedKey,
    /// No key of ours.
    UnknownKey,
    /// Switched off.
    DisabledKey,
    /// Its end has come.
    ExpiredKey,
    /// Its category may not call models.
    CategoryNotAllowed,
    /// Its scope does not allow the model.
    ModelNotAllowed,
    /// It is limited to some models, and the route names none.
    ModelNotNamed,
    /// Two places name different models.
    ModelsDiffer,
    /// The body, where the model must be read, can be read in two ways or in none.
    BodyAmbiguous,
    /// The body, where the model must be read, is of a kind that is not read.
    BodyUnreadable,
    /// The model does not come within what is held of a body.
    ModelTooLate,
    /// The head is larger than allowed.
    HeadTooLarge,
    /// Not known here now: the database is away, or the look-up budget is spent.
    KeysUnavailable,
    /// All together hold as much of request bodies as they may.
    HeldBodiesFull,
    /// The answer must be cut to what the key may see, and cannot be.
    AnswerUnfilterable,
    /// More requests in flight than allowed.
    Overloaded,
    /// The upstream refused, broke off, or could not be reached.
    UpstreamFailed,
    /// The upstream took too long.
    UpstreamTimedOut,
    /// The caller went away, or broke its request off.
    CallerGone,
}

impl RequestOutcome {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 25] = [
        Self::Forwarded,
        Self::Allowed,
        Self::NoRoute,
        Self::Ambiguous,
        Self::MalformedFraming,
        Self::MissingKey,
        Self::MalformedKey,
        Self::UnknownKey,
        Self::DisabledKey,
        Self::ExpiredKey,
        Self::CategoryNotAllowed,
        Self::ModelNotAllowed,
        Self::ModelNotNamed,
        Self::ModelsDiffer,
        Self::BodyAmbiguous,
        Self::BodyUnreadable,
        Self::ModelTooLate,
        Self::HeadTooLarge,
        Self::KeysUnavailable,
        Self::HeldBodiesFull,
        Self::AnswerUnfilterable,
        Self::Overloaded,
        Self::UpstreamFailed,
        Self::UpstreamTimedOut,
        Self::CallerGone,
    ];

    /// The label's value, and the word in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Allowed => "allowed",
            Self::NoRoute => "no_route",
            Self::Ambiguous => "ambiguous",
            Self::MalformedFraming => "malformed_framing",
            Self::MissingKey => "missing_key",
            Self::MalformedKey => "malformed_key",
            Self::UnknownKey => "unknown_key",
            Self::DisabledKey => "key_disabled",
            Self::ExpiredKey => "key_expired",
            Self::CategoryNotAllowed => "category_not_allowed",
            Self::ModelNotAllowed => "model_not_allowed",
            Self::ModelNotNamed => "model_not_named",
            Self::ModelsDiffer => "models_differ",
            Self::BodyAmbiguous => "body_ambiguous",
            Self::BodyUnreadable => "body_unreadable",
            Self::ModelTooLate => "model_too_late",
            Self::HeadTooLarge => "head_too_large",
            Self::KeysUnavailable => "keys_unavailable",
            Self::HeldBodiesFull => "held_bodies_full",
            Self::AnswerUnfilterable => "answer_unfilterable",
            Self::Overloaded => "overloaded",
            Self::UpstreamFailed => "upstream_failed",
            Self::UpstreamTimedOut => "upstream_timed_out",
            Self::CallerGone => "caller_gone",
        }
    }
}

/// How a WebSocket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WebSocketEnd {
    /// Both sides were done.
    Closed,
    /// One side broke off.
    Broken,
    /// Nothing came either way for too long.
    Silent,
}

impl WebSocketEnd {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Broken, Self::Silent];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Broken => "broken",
            Self::Silent => "silent",
        }
    }
}

/// A statement to the key database, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreQuery {
    /// Opening and migrating.
    Open,
    /// Every key.
    Snapshot,
    /// The change log.
    Changes,
    /// One key by its digest.
    Find,
    /// Keys for a list.
    List,
    /// A new key.
    Insert,
    /// Keys that were made elsewhere.
    Import,
    /// Some of the keys, one batch after another.
    Page,
    /// A tombstone.
    Delete,
    /// A change of a key.
    Update,
    /// Moments of use.
    RecordLastUsed,
    /// The organisation and its teams.
    Teams,
    /// The admin token's digest.
    AdminToken,
    /// The instances, and how far each is.
    Instances,
}

impl StoreQuery {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 14] = [
        Self::Open,
        Self::Snapshot,
        Self::Changes,
        Self::Find,
        Self::List,
        Self::Insert,
        Self::Import,
        Self::Page,
        Self::Delete,
        Self::Update,
        Self::RecordLastUsed,
        Self::Teams,
        Self::AdminToken,
        Self::Instances,
    ];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Snapshot => "snapshot",
            Self::Changes => "changes",
            Self::Find => "find",
            Self::List => "list",
            Self::Insert => "insert",
            Self::Import => "import",
            Self::Page => "page",
            Self::Delete => "delete",
            Self::Update => "update",
            Self::RecordLastUsed => "record_last_used",
            Self::Teams => "teams",
            Self::AdminToken => "admin_token",
            Self::Instances => "instances",
        }
    }
}

/// Why memory was filled again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefillReason {
    /// The start.
    Start,
    /// The log no longer reaches back to our place in it.
    LogTrimmed,
    /// Memory holds only a part of the keys, and may hold all again.
    Partial,
}

impl RefillReason {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 3] = [Self::Start, Self::LogTrimmed, Self::Partial];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::LogTrimmed => "log_trimmed",
            Self::Partial => "partial",
        }
    }
}

/// What came of reading the sealed key set, at a start without the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SealLoad {
    /// Keys are served from it.
    Loaded,
    /// There is none.
    Missing,
    /// It cannot be read.
    Unreadable,
    /// Others may write it.
    Writable,
    /// It is torn, altered, or something else.
    Damaged,
    /// Another version has written it.
    Version,
    /// It is older than keys may be served.
    TooOld,
    /// It is of a time that this machine says is still to come.
    Future,
}

impl SealLoad {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 8] = [
        Self::Loaded,
        Self::Missing,
        Self::Unreadable,
        Self::Writable,
        Self::Damaged,
        Self::Version,
        Self::TooOld,
        Self::Future,
    ];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
            Self::Writable => "writable",
            Self::Damaged => "damaged",
            Self::Version => "version",
            Self::TooOld => "too_old",
            Self::Future => "future",
        }
    }
}

/// What came of sealing the key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SealWrite {
    /// All of it was written.
    Written,
    /// It was what the file holds already, and is confirmed.
    Confirmed,
    /// It could not be written; the file is as it was.
    Failed,
}

impl SealWrite {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 3] = [Self::Written, Self::Confirmed, Self::Failed];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Confirmed => "confirmed",
            Self::Failed => "failed",
        }
    }
}

/// Why an upstream did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UpstreamFailure {
    /// No connection.
    Connect,
    /// No connection in time.
    ConnectTimeout,
    /// No trust: its certificate, or ours.
    Tls,
    /// No response head in time.
    HeadTimeout,
    /// It broke off, or sent what is no HTTP.
    Broken,
}

impl UpstreamFailure {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 5] = [
        Self::Connect,
        Self::ConnectTimeout,
        Self::Tls,
        Self::HeadTimeout,
        Self::Broken,
    ];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls",
            Self::HeadTimeout => "head_timeout",
            Self::Broken => "broken",
        }
    }
}

/// What an administrator asked for, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AdminCommand {
    /// Refused before it was known: no such path or method, or whoever asked may not come in.
    None,
    /// Show keys.
    ListKeys,
    /// Make a key.
    CreateKey,
    /// Delete a key.
    DeleteKey,
    /// Show teams, or one of them.
    ListTeams,
    /// Make a team.
    CreateTeam,
    /// Say who asks.
    WhoAmI,
}

impl AdminCommand {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::ListKeys,
        Self::CreateKey,
        Self::DeleteKey,
        Self::ListTeams,
        Self::CreateTeam,
        Self::WhoAmI,
    ];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ListKeys => "list_keys",
            Self::CreateKey => "create_key",
            Self::DeleteKey => "delete_key",
            Self::ListTeams => "list_teams",
            Self::CreateTeam => "create_team",
            Self::WhoAmI => "who_am_i",
        }
    }
}

/// Every status an admin listener answers with, as it stands in the label.
const ADMIN_STATUSES: [(u16, &str); 14] = [
    (200, "200"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (408, "408"),
    (409, "409"),
    (413, "413"),
    (415, "415"),
    (421, "421"),
    (429, "429"),
    (500, "500"),
    (503, "503"),
];

macro_rules! series {
    ($register:ident, $handle:ty) => {
        fn $register(
            recorder: &dyn Recorder,
            name: &'static str,
            labels: &[(&'static str, &str)],
        ) -> $handle {
            let labels: Vec<metrics::Label> = labels
                .iter()
                .map(|(label, value)| metrics::Label::new(*label, (*value).to_owned()))
                .collect();
            let key = metrics::Key::from_parts(name, labels);
            let metadata = metrics::Metadata::new(module_path!(), metrics::Level::INFO, None);
            recorder.$register(&key, &metadata)
        }
    };
}
series!(register_counter, Counter);
series!(register_gauge, Gauge);
series!(register_histogram, Histogram);

/// What the data listener counts.
#[derive(Clone)]
pub struct ProxyMetrics {
    requests: [Counter; RequestOutcome::ALL.len()],
    admission: Histogram,
    forwarded: Histogram,
    refused: Histogram,
    in_flight: Gauge,
    held_bodies: Gauge,
    memory_short: Gauge,
    connections: Gauge,
    websockets: Gauge,
    websocket_ends: [Counter; WebSocketEnd::ALL.len()],
    old_texts: Counter,
    panics: Counter,
}

impl ProxyMetrics {
    fn register(recorder: &dyn Recorder) -> Self {
        let duration = |class| {
            register_histogram(
                recorder,
                "keyward_request_duration_seconds",
                &[("outcome", class)],
            )
        };
        Self {
            requests: RequestOutcome::ALL.map(|outcome| {
                register_counter(
                    recorder,
                    "keyward_requests_total",
                    &[("outcome", outcome.as_str())],
                )
            }),
            admission: register_histogram(recorder, "keyward_admission_duration_seconds", &[]),
            forwarded: duration("forwarded"),
            refused: duration("refused"),
            in_flight: register_gauge(recorder, "keyward_requests_in_flight", &[]),
            held_bodies: register_gauge(recorder, "keyward_held_body_bytes", &[]),
            memory_short: register_gauge(recorder, "keyward_memory_short", &[]),
            connections: register_gauge(recorder, "keyward_connections", &[]),
            websockets: register_gauge(recorder, "keyward_websockets", &[]),
            websocket_ends: WebSocketEnd::ALL.map(|end| {
                let labels = [("reason", end.as_str())];
                register_counter(recorder, "keyward_websocket_ends_total", &labels)
            }),
            old_texts: register_counter(recorder, "keyward_old_key_texts_used_total", &[]),
            panics: register_counter(recorder, "keyward_request_panics_total", &[]),
        }
    }

    /// A request came.
    pub fn request_started(&self) {
        self.in_flight.increment(1.0);
    }

    /// A request was admitted after `took`, with nothing sent yet: what we add to a call.
    pub fn admitted(&self, took: Duration) {
        self.admission.record(took.as_secs_f64());
    }

    /// The head of the answer was ready after `took`, whoever gave it.
    pub fn answered(&self, outcome: RequestOutcome, took: Duration) {
        self.requests[outcome as usize].increment(1);
        let class = if outcome == RequestOutcome::Forwarded {
            &self.forwarded
        } else {
            &self.refused
        };
        class.record(took.as_secs_f64());
    }

    /// A request is over, body and all, or was dropped.
    pub fn request_ended(&self) {
        self.in_flight.decrement(1.0);
    }

    /// Whether this process takes more memory than it may, from now on.
    pub fn memory_short(&self, is_short: bool) {
        self.memory_short.set(f64::from(u8::from(is_short)));
    }

    /// So much more is held of request bodies, in bytes.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a gauge is a float; 2^53 bytes are never held"
    )]
    pub fn body_held(&self, bytes: usize) {
        self.held_bodies.increment(bytes as f64);
    }

    /// So much less is held of request bodies, in bytes.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a gauge is a float; 2^53 bytes are never held"
    )]
    pub fn body_released(&self, bytes: usize) {
        self.held_bodies.decrement(bytes as f64);
    }

    /// A caller connected.
    pub fn connection_opened(&self) {
        self.connections.increment(1.0);
    }

    /// A caller's connection ended.
    pub fn connection_closed(&self) {
        self.connections.decrement(1.0);
    }

    /// Both sides agreed to speak WebSocket.
    pub fn websocket_opened(&self) {
        self.websockets.increment(1.0);
    }

    /// A WebSocket is gone, whatever ended it.
    pub fn websocket_closed(&self) {
        self.websockets.decrement(1.0);
    }

    /// A WebSocket ended by itself or by a limit, not by our own closing.
    pub fn websocket_ended(&self, end: WebSocketEnd) {
        self.websocket_ends[end as usize].increment(1);
    }

    /// Answering a request ended in a panic.
    pub fn panicked(&self) {
        self.panics.increment(1);
    }

    /// The text before a rotation was used.
    pub fn old_text_used(&self) {
        self.old_texts.increment(1);
    }
}

/// What the cache counts.
#[derive(Clone)]
pub struct CacheMetrics {
    known: Counter,
    unknown: Counter,
    loaded: Counter,
    refused: Counter,
    known_keys: Gauge,
    unknown_keys: Gauge,
    complete: Gauge,
    age: Gauge,
    discarded_loads: Counter,
    changes_applied: Counter,
    change_lag: Histogram,
    revocation_propagation: Histogram,
    refills: [Counter; RefillReason::ALL.len()],
    bad_rows: Gauge,
    sealed: Gauge,
    seal_loads: [Counter; SealLoad::ALL.len()],
    seal_writes: [Counter; SealWrite::ALL.len()],
}

impl CacheMetrics {
    fn register(recorder: &dyn Recorder) -> Self {
        let lookups = |result| {
            register_counter(
                recorder,
                "keyward_cache_lookups_total",
                &[("result", result)],
            )
        };
        let keys = |memory| register_gauge(recorder, "keyward_cache_keys", &[("memory", memory)]);
        Self {
            known: lookups("known"),
            unknown: lookups("unknown"),
            loaded: lookups("loaded"),
            refused: lookups("refused"),
            known_keys: keys("known"),
            unknown_keys: keys("unknown"),
            complete: register_gauge(recorder, "keyward_cache_complete", &[]),
            age: register_gauge(recorder, "keyward_cache_age_seconds", &[]),
            discarded_loads: register_counter(recorder, "keyward_cache_discarded_loads_total", &[]),
            changes_applied: register_counter(recorder, "keyward_changes_applied_total", &[]),
            change_lag: register_histogram(recorder, "keyward_change_lag_seconds", &[]),
            revocation_propagation: register_histogram(
                recorder,
                "keyward_revocation_propagation_seconds",
                &[],
            ),
            refills: RefillReason::ALL.map(|reason| {
                register_counter(
                    recorder,
                    "keyward_refills_total",
                    &[("reason", reason.as_str())],
                )
            }),
            bad_rows: register_gauge(recorder, "keyward_bad_key_rows", &[]),
            sealed: register_gauge(recorder, "keyward_cache_sealed", &[]),
            seal_loads: SealLoad::ALL.map(|result| {
                let labels = [("result", result.as_str())];
                register_counter(recorder, "keyward_seal_loads_total", &labels)
            }),
            seal_writes: SealWrite::ALL.map(|result| {
                let labels = [("result", result.as_str())];
                register_counter(recorder, "keyward_seal_writes_total", &labels)
            }),
        }
    }

    /// Memory knew the key.
    pub fn lookup_known(&self) {
        self.known.increment(1);
    }

    /// Memory knew that there is no such key.
    pub fn lookup_unknown(&self) {
        self.unknown.increment(1);
    }

    /// The database was asked, and answered.
    pub fn lookup_loaded(&self) {
        self.loaded.increment(1);
    }

    /// The database was not asked, or did not answer: the budget, the queue or the database itself.
    pub fn lookup_refused(&self) {
        self.refused.increment(1);
    }

    /// How much both memories hold, and whether the first holds every key.
    pub fn holds(&self, known: u64, unknown: u64, is_complete: bool) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a count of keys is far below 2^52"
        )]
        let gauge = |count: u64| count as f64;
        self.known_keys.set(gauge(known));
        self.unknown_keys.set(gauge(unknown));
        self.complete.set(if is_complete { 1.0 } else { 0.0 });
    }

    /// How long ago the last look at the log succeeded.
    pub fn age(&self, age: Duration) {
        self.age.set(age.as_secs_f64());
    }

    /// A load lost against a change that came while it ran.
    pub fn discarded_load(&self) {
        self.discarded_loads.increment(1);
    }

    /// `count` changes were applied, the oldest of them `lag` after it was written.
    pub fn changes_applied(&self, count: u64, lag: Duration) {
        self.changes_applied.increment(count);
        self.change_lag.record(lag.as_secs_f64());
    }

    /// A revocation is in force on this instance, on every worker, `took` after it was written.
    pub fn revocation_applied(&self, took: Duration) {
        self.revocation_propagation.record(took.as_secs_f64());
    }

    /// Memory was filled.
    pub fn refilled(&self, reason: RefillReason) {
        self.refills[reason as usize].increment(1);
    }

    /// How many rows the last fill could not read.
    pub fn bad_rows(&self, count: u32) {
        self.bad_rows.set(f64::from(count));
    }

    /// Whether memory is that of the sealed set, and not yet the database's.
    pub fn sealed(&self, is_sealed: bool) {
        self.sealed.set(if is_sealed { 1.0 } else { 0.0 });
    }

    /// The sealed set was to be read.
    pub fn seal_loaded(&self, result: SealLoad) {
        self.seal_loads[result as usize].increment(1);
    }

    /// The set was to be sealed.
    pub fn seal_written(&self, result: SealWrite) {
        self.seal_writes[result as usize].increment(1);
    }
}

/// What the key database counts.
#[derive(Clone)]
pub struct StoreMetrics {
    durations: [Histogram; StoreQuery::ALL.len()],
    errors: [Counter; StoreQuery::ALL.len()],
}

impl StoreMetrics {
    fn register(recorder: &dyn Recorder) -> Self {
        Self {
            durations: StoreQuery::ALL.map(|query| {
                register_histogram(
                    recorder,
                    "keyward_store_query_duration_seconds",
                    &[("query", query.as_str())],
                )
            }),
            errors: StoreQuery::ALL.map(|query| {
                register_counter(
                    recorder,
                    "keyward_store_errors_total",
                    &[("query", query.as_str())],
                )
            }),
        }
    }

    /// A query ended after `took`; `failed` when the database did not answer it.
    pub fn query_ended(&self, query: StoreQuery, took: Duration, failed: bool) {
        self.durations[query as usize].record(took.as_secs_f64());
        if failed {
            self.errors[query as usize].increment(1);
        }
    }
}

/// What the recorder of last uses counts.
#[derive(Clone)]
pub struct UsageMetrics {
    pending: Gauge,
    flushed: Counter,
    dropped: Counter,
}

impl UsageMetrics {
    fn register(recorder: &dyn Recorder) -> Self {
        Self {
            pending: register_gauge(recorder, "keyward_usage_pending", &[]),
            flushed: register_counter(recorder, "keyward_usage_flushed_total", &[]),
            dropped: register_counter(recorder, "keyward_usage_dropped_total", &[]),
        }
    }

    /// How many moments wait to be written.
    pub fn pending(&self, count: usize) {
        self.pending
            .set(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
    }

    /// `count` moments were written.
    pub fn flushed(&self, count: usize) {
        self.flushed
            .increment(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// The queue was full; the next use of the key tries again.
    pub fn dropped(&self) {
        self.dropped.increment(1);
    }
}

/// What is counted for one upstream, named in the settings.
#[derive(Clone)]
pub struct UpstreamMetrics {
    duration: Histogram,
    tried_elsewhere: Counter,
    errors: [Counter; UpstreamFailure::ALL.len()],
}

impl UpstreamMetrics {
    fn register(recorder: &dyn Recorder, upstream: &str) -> Self {
        Self {
            duration: register_histogram(
                recorder,
                "keyward_upstream_duration_seconds",
                &[("upstream", upstream)],
            ),
            tried_elsewhere: register_counter(
                recorder,
                "keyward_upstream_retries_total",
                &[("upstream", upstream)],
            ),
            errors: UpstreamFailure::ALL.map(|failure| {
                register_counter(
                    recorder,
                    "keyward_upstream_errors_total",
                    &[("upstream", upstream), ("reason", failure.as_str())],
                )
            }),
        }
    }

    /// The upstream's response head came after `took`.
    pub fn answered(&self, took: Duration) {
        self.duration.record(took.as_secs_f64());
    }

    /// It did not answer.
    pub fn failed(&self, failure: UpstreamFailure) {
        self.errors[failure as usize].increment(1);
    }

    /// A call goes to another of its servers, for nothing of it was sent to the first.
    pub fn tried_elsewhere(&self) {
        self.tried_elsewhere.increment(1);
    }
}

/// What is counted for one dialect of the admin listener.
#[derive(Clone)]
pub struct AdminMetrics {
    requests: [[Counter; ADMIN_STATUSES.len()]; AdminCommand::ALL.len()],
}

impl AdminMetrics {
    fn register(recorder: &dyn Recorder, dialect: &str) -> Self {
        Self {
            requests: AdminCommand::ALL.map(|command| {
                ADMIN_STATUSES.map(|(_, status)| {
                    register_counter(
                        recorder,
                        "keyward_admin_requests_total",
                        &[
                            ("dialect", dialect),
                            ("command", command.as_str()),
                            ("status", status),
                        ],
                    )
                })
            }),
        }
    }

    /// A request was answered. A status that no dialect is known to use counts as 500.
    pub fn answered(&self, command: AdminCommand, status: u16) {
        let place = |wanted| ADMIN_STATUSES.iter().position(|&(code, _)| code == wanted);
        if let Some(place) = place(status).or_else(|| place(500)) {
            self.requests[command as usize][place].increment(1);
        }
    }
}

/// The ready handles of every room.
#[derive(Clone)]
pub struct Metrics {
    /// For `proxy`.
    pub proxy: ProxyMetrics,
    /// For TLS towards callers.
    pub tls: TlsMetrics,
    /// For `cache`.
    pub cache: CacheMetrics,
    /// For `store`.
    pub store: StoreMetrics,
    /// For `usage`.
    pub usage: UsageMetrics,
    recorder: std::sync::Arc<dyn Recorder + Send + Sync>,
}

impl Metrics {
    /// Registers every series with `recorder`, at zero.
    #[must_use]
    pub fn register(recorder: std::sync::Arc<dyn Recorder + Send + Sync>) -> Self {
        Self {
            proxy: ProxyMetrics::register(&*recorder),
            tls: TlsMetrics::register(&*recorder),
            cache: CacheMetrics::register(&*recorder),
            store: StoreMetrics::register(&*recorder),
            usage: UsageMetrics::register(&*recorder),
            recorder,
        }
    }

    /// Says what is running: the one series of `keyward_build_info`.
    pub(super) fn build(&self, version: &str, revision: &str) {
        let labels = [("version", version), ("revision", revision)];
        register_gauge(&*self.recorder, "keyward_build_info", &labels).set(1.0);
    }

    /// Handles that count nothing: for the command line, and for tests that look elsewhere.
    #[must_use]
    pub fn unrecorded() -> Self {
        Self::register(std::sync::Arc::new(metrics::NoopRecorder))
    }

    /// The handles for the admin dialect called `name`.
    #[must_use]
    pub fn admin(&self, name: &str) -> AdminMetrics {
        AdminMetrics::register(&*self.recorder, name)
    }

    /// The handles for the files of certificates whose settings stand at `place`, such as `proxy.tls`; with its end when
    /// one of ours `is_shown` there.
    #[must_use]
    pub fn certificate(&self, place: &str, is_shown: bool) -> CertificateMetrics {
        CertificateMetrics::register(&*self.recorder, place, is_shown)
    }

    /// The handles for the upstream called `name` in the settings.
    #[must_use]
    pub fn upstream(&self, name: &str) -> UpstreamMetrics {
        UpstreamMetrics::register(&*self.recorder, name)
    }

    /// The handles for `server` of the upstream called `upstream` in the settings.
    #[must_use]
    pub fn upstream_server(&self, upstream: &str, server: &str) -> UpstreamServerMetrics {
        UpstreamServerMetrics::register(&*self.recorder, upstream, server)
    }
}
