//! The handles of moments of use.

use metrics::{Counter, Gauge, Recorder};

use super::{register_counter, register_gauge};

/// What the recorder of last uses counts.
#[derive(Clone)]
pub struct UsageMetrics {
    pending: Gauge,
    flushed: Counter,
    dropped: Counter,
}

impl UsageMetrics {
    pub(super) fn register(recorder: &dyn Recorder) -> Self {
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
