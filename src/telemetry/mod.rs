//! The cellar: metric names, logging, and where lines about calls go. Knows no other room.

pub mod access;
mod describe;
mod histogram;
pub mod logging;
pub mod metrics;
mod process;
mod recorder;
pub mod refusals;
mod stripes;
pub mod traffic;

use std::error::Error;
use std::fmt;
use std::time::Duration;

pub use access::AccessLogConfig;
pub use describe::{Description, Kind, METRICS};
pub use logging::{LogConfig, LogControl, LogFormat};
pub use process::resident_bytes;
pub use recorder::{REVISION, Renderer, VERSION, install};
pub use stripes::count_alone;

use refusals::Refusals;
use traffic::Traffic;

/// An error and all its causes, for the one line that reports it.
pub fn chain(error: &(dyn Error + 'static)) -> impl fmt::Display {
    causes(error)
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// An error and all its causes, outermost first.
pub fn causes<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// A duration as log fields have it: whole milliseconds. A `u128` would become text in JSON.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What a process tells about itself while it runs.
#[derive(Clone)]
pub struct Telemetry {
    /// The handles of every room.
    pub metrics: metrics::Metrics,
    /// What `/metrics` answers.
    pub renderer: Renderer,
    /// The latest refusals.
    pub refusals: Refusals,
    /// The traffic of the last minutes.
    pub traffic: Traffic,
}

impl Telemetry {
    /// Every series, at zero.
    #[must_use]
    pub fn new() -> Self {
        let (metrics, renderer) = install();
        Self {
            metrics,
            traffic: Traffic::new(renderer.clone()),
            renderer,
            refusals: Refusals::default(),
        }
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}
