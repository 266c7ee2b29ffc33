//! The inventory: every metric by its name, kind, labels and help. Whatever is registered stands here, and whatever
//! stands here is registered; a test compares both.

use metrics::{KeyName, Recorder, SharedString};

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Description {
    /// Its name: `keyward_`, the thing, the base unit, and `_total` when it counts.
    pub name: &'static str,
    /// What kind of numbers it gives.
    pub kind: Kind,
    /// The names of its labels. Their values come from closed sets (SECURITY X5).
    pub labels: &'static [&'static str],
    /// What it says, in a sentence.
    pub help: &'static str,
}

/// What kind of numbers a metric gives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Grows until the process ends.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often values were at most each of these bounds.
    Histogram(&'static [f64]),
}

/// What we add to a call: a key in memory takes microseconds, and one that is looked up milliseconds.
const ADMISSION: &[f64] = &[
    1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2,
    5e-2, 1e-1,
];
/// A model's answer: a cached embedding takes milliseconds, a long generation minutes.
const ANSWER: &[f64] = &[
    5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    120.0, 300.0, 600.0,
];
/// A statement: microseconds in SQLite, seconds when another process writes.
const QUERY: &[f64] = &[
    1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// A change on its way: milliseconds behind a bell, seconds behind a poll.
const LAG: &[f64] = &[
    1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];
/// A revocation on its way to an instance: a bell and a look are milliseconds, a poll is a second, and whatever takes
/// longer than ten is an outage.
const PROPAGATION: &[f64] = &[
    1e-3, 2e-3, 3e-3, 5e-3, 7.5e-3, 1e-2, 1.5e-2, 2e-2, 3e-2, 5e-2, 7.5e-2, 0.1, 0.15, 0.25, 0.5,
    1.0, 2.0, 5.0, 10.0,
];

/// Every metric of ours. Those of the process are in `process.rs`.
pub const METRICS: &[Description] = &[
    Description {
        name: "keyward_build_info",
        kind: Kind::Gauge,
        labels: &["version", "revision"],
        help: "Always 1; the labels say what is running.",
    },
    Description {
        name: "keyward_ready",
        kind: Kind::Gauge,
        labels: &[],
        help: "1 while calls are welcome, as /readyz says; 0 before memory was filled once, and while the process closes.",
    },
    Description {
        name: "keyward_requests_total",
        kind: Kind::Counter,
        labels: &["outcome"],
        help: "Calls answered, by how they ended: forwarded, or why not.",
    },
    Description {
        name: "keyward_admission_duration_seconds",
        kind: Kind::Histogram(ADMISSION),
        labels: &[],
        help: "What keyward adds to a call: from its head to the moment it may go on; measured for one call in 17.",
    },
    Description {
        name: "keyward_request_duration_seconds",
        kind: Kind::Histogram(ANSWER),
        labels: &["outcome"],
        help: "From a call's head to the head of its answer, the upstream's time included.",
    },
    Description {
        name: "keyward_requests_in_flight",
        kind: Kind::Gauge,
        labels: &[],
        help: "Calls that have begun and not ended, body and all.",
    },
    Description {
        name: "keyward_held_body_bytes",
        kind: Kind::Gauge,
        labels: &[],
        help: "How much is held of request bodies whose model must be known before they go on.",
    },
    Description {
        name: "keyward_memory_short",
        kind: Kind::Gauge,
        labels: &[],
        help: "1 while this process takes more memory than it may and takes few more calls, else 0.",
    },
    Description {
        name: "keyward_connections",
        kind: Kind::Gauge,
        labels: &[],
        help: "Connections of callers.",
    },
    Description {
        name: "keyward_websockets",
        kind: Kind::Gauge,
        labels: &[],
        help: "WebSockets that are open; each is a call in flight, too.",
    },
    Description {
        name: "keyward_websocket_ends_total",
        kind: Kind::Counter,
        labels: &["reason"],
        help: "WebSockets that have ended: both sides were done, one broke off, a silence lasted too long, or the key ended.",
    },
    Description {
        name: "keyward_tls_handshakes_total",
        kind: Kind::Counter,
        labels: &["result"],
        help: "TLS handshakes with callers, by how they ended: full, resumed, or why not.",
    },
    Description {
        name: "keyward_tls_certificate_expiry_seconds",
        kind: Kind::Gauge,
        labels: &["certificate"],
        help: "When each certificate of ours that is in force ends, in Unix time, by the place of its settings.",
    },
    Description {
        name: "keyward_tls_reloads_total",
        kind: Kind::Counter,
        labels: &["certificate", "result"],
        help: "Times the files of certificates had changed: taken, or the old ones kept because the new do not fit.",
    },
    Description {
        name: "keyward_request_panics_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Calls that a mistake in keyward ended; the log names each with its request id.",
    },
    Description {
        name: "keyward_calls_ended_with_keys_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Calls under way that were ended because their keys were deleted, disabled or expired.",
    },
    Description {
        name: "keyward_old_key_texts_used_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Calls with the text that a key had before its rotation.",
    },
    Description {
        name: "keyward_cache_lookups_total",
        kind: Kind::Counter,
        labels: &["result"],
        help: "Keys looked for: known to memory, unknown to it, loaded from the database, or refused to be.",
    },
    Description {
        name: "keyward_cache_keys",
        kind: Kind::Gauge,
        labels: &["memory"],
        help: "Keys, and texts that are no keys, in memory.",
    },
    Description {
        name: "keyward_cache_complete",
        kind: Kind::Gauge,
        labels: &[],
        help: "1 while memory holds every key, 0 while it holds a part.",
    },
    Description {
        name: "keyward_cache_age_seconds",
        kind: Kind::Gauge,
        labels: &[],
        help: "Time since the change log was last read.",
    },
    Description {
        name: "keyward_cache_discarded_loads_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Loads thrown away because the key changed while they ran.",
    },
    Description {
        name: "keyward_changes_applied_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Changes of keys taken over from the change log.",
    },
    Description {
        name: "keyward_change_lag_seconds",
        kind: Kind::Histogram(LAG),
        labels: &[],
        help: "From a change being written to its being in force here, for the oldest of each batch.",
    },
    Description {
        name: "keyward_revocation_propagation_seconds",
        kind: Kind::Histogram(PROPAGATION),
        labels: &[],
        help: "From each revocation being written, just before its commit, to no worker of this instance accepting the \
               key.",
    },
    Description {
        name: "keyward_refills_total",
        kind: Kind::Counter,
        labels: &["reason"],
        help: "Times memory was filled from the whole database.",
    },
    Description {
        name: "keyward_bad_key_rows",
        kind: Kind::Gauge,
        labels: &[],
        help: "Rows of the database that the last fill could not read as keys.",
    },
    Description {
        name: "keyward_cache_sealed",
        kind: Kind::Gauge,
        labels: &[],
        help: "1 while keys are served from the sealed set because the database was away at the start, else 0.",
    },
    Description {
        name: "keyward_seal_loads_total",
        kind: Kind::Counter,
        labels: &["result"],
        help: "Times the sealed set was to be read: loaded, or why not.",
    },
    Description {
        name: "keyward_seal_writes_total",
        kind: Kind::Counter,
        labels: &["result"],
        help: "Times the key set was to be sealed: written, confirmed as it is, or failed.",
    },
    Description {
        name: "keyward_store_query_duration_seconds",
        kind: Kind::Histogram(QUERY),
        labels: &["query"],
        help: "How long the database took.",
    },
    Description {
        name: "keyward_store_errors_total",
        kind: Kind::Counter,
        labels: &["query"],
        help: "Queries that the database did not answer.",
    },
    Description {
        name: "keyward_usage_pending",
        kind: Kind::Gauge,
        labels: &[],
        help: "Keys whose last use waits to be written.",
    },
    Description {
        name: "keyward_usage_flushed_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Last uses written.",
    },
    Description {
        name: "keyward_usage_dropped_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Last uses not written because too many waited; the next use of the key tries again.",
    },
    Description {
        name: "keyward_access_log_lines_total",
        kind: Kind::Counter,
        labels: &["result"],
        help: "Lines about calls: written, left out because too many calls were refused in a second, or lost.",
    },
    Description {
        name: "keyward_upstream_duration_seconds",
        kind: Kind::Histogram(ANSWER),
        labels: &["upstream"],
        help: "From sending a call to the head of the upstream's answer.",
    },
    Description {
        name: "keyward_upstream_errors_total",
        kind: Kind::Counter,
        labels: &["upstream", "reason"],
        help: "Calls that the upstream did not answer.",
    },
    Description {
        name: "keyward_upstream_retries_total",
        kind: Kind::Counter,
        labels: &["upstream"],
        help: "Calls sent again, because nothing of them had been sent or the server did not look at them.",
    },
    Description {
        name: "keyward_upstream_healthy",
        kind: Kind::Gauge,
        labels: &["upstream", "server"],
        help: "1 while a server of the upstream is called as usual, 0 while it is left alone.",
    },
    Description {
        name: "keyward_upstream_key_calls_total",
        kind: Kind::Counter,
        labels: &["upstream", "key", "result"],
        help: "Answers of the upstream to calls that were given one of its keys.",
    },
    Description {
        name: "keyward_upstream_key_resting",
        kind: Kind::Gauge,
        labels: &["upstream", "key"],
        help: "1 while a key of the upstream is left alone because it was refused.",
    },
    Description {
        name: "keyward_upstream_tokens_total",
        kind: Kind::Counter,
        labels: &["upstream", "key", "result"],
        help: "Tokens asked for in place of a key of the upstream.",
    },
    Description {
        name: "keyward_admin_requests_total",
        kind: Kind::Counter,
        labels: &["dialect", "command", "status"],
        help: "Requests to the admin listener.",
    },
];

/// Tells `recorder` what every counter and gauge means.
pub fn describe(recorder: &dyn Recorder) {
    for metric in METRICS {
        let name = KeyName::from_const_str(metric.name);
        let help = SharedString::const_str(metric.help);
        match metric.kind {
            Kind::Counter => recorder.describe_counter(name, None, help),
            Kind::Gauge => recorder.describe_gauge(name, None, help),
            Kind::Histogram(_) => recorder.describe_histogram(name, None, help),
        }
    }
}

/// What is said of `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Description> {
    METRICS.iter().find(|metric| metric.name == name)
}

/// The bounds of the histogram `name`; none when it is no histogram.
#[must_use]
pub fn bounds(name: &str) -> &'static [f64] {
    match find(name).map(|metric| metric.kind) {
        Some(Kind::Histogram(bounds)) => bounds,
        _ => &[],
    }
}
