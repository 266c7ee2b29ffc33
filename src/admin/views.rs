use std::time::Duration;

use crate::telemetry::metrics::RequestOutcome;
use crate::telemetry::refusals::Refused;
use crate::telemetry::traffic::TrafficSample;

/// What administrators may see of rooms that this one may not reach: read only, handed over by `server`.
///
/// Nothing here waits for a database, and nothing holds a secret.
pub trait Views: Send + Sync {
    /// This process.
    fn this_instance(&self) -> ThisInstance;

    /// The latest refusals of the data listener, newest first: some of each reason.
    fn refusals(&self) -> Vec<Refused>;

    /// How many requests ended in each way since the start.
    fn outcomes(&self) -> Vec<(RequestOutcome, u64)>;

    /// The traffic of the last minutes, oldest first.
    fn traffic(&self) -> Vec<TrafficSample>;
}

/// This process, as its own rooms see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThisInstance {
    /// What people call it.
    pub name: String,
    /// How well its memory follows the key database.
    pub memory: MemoryFreshness,
    /// How long ago the last successful look at the database began; none before the first.
    pub age: Option<Duration>,
    /// Whether memory holds every key.
    pub is_complete: bool,
    /// Whether memory is that of a sealed set: the database has not answered since the start.
    pub is_sealed: bool,
    /// Where calls come in: scheme, address and port, as the listener has them.
    pub calls_at: String,
    /// A call that its routes would let through.
    pub example: Option<ExampleCall>,
}

/// What the age of memory means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryFreshness {
    /// Never filled: no key is served.
    Empty,
    /// Current.
    Fresh,
    /// Old: known keys are served on.
    Degraded,
    /// Too old: no key is served.
    Stale,
}

/// A `POST` of JSON that shows how a model is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExampleCall {
    /// Its path, in which `{model}` stands for the model if it is named there.
    pub path: &'static str,
    /// Its body, in which `{model}` stands for the model, inside quotation marks, if it is named there.
    pub body: &'static str,
}

/// Views of nothing, for an admin listener without a data listener beside it.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoViews;

impl Views for NoViews {
    fn this_instance(&self) -> ThisInstance {
        ThisInstance {
            name: "keyward".to_owned(),
            memory: MemoryFreshness::Empty,
            age: None,
            is_complete: false,
            is_sealed: false,
            calls_at: String::new(),
            example: None,
        }
    }

    fn refusals(&self) -> Vec<Refused> {
        Vec::new()
    }

    fn outcomes(&self) -> Vec<(RequestOutcome, u64)> {
        Vec::new()
    }

    fn traffic(&self) -> Vec<TrafficSample> {
        Vec::new()
    }
}
