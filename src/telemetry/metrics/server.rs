//! The handles of the process as a whole.

use metrics::{Gauge, Recorder};

use super::register_gauge;

/// What is told of the process as a whole.
#[derive(Clone)]
pub struct ServerMetrics {
    ready: Gauge,
}

impl ServerMetrics {
    pub(super) fn register(recorder: &dyn Recorder) -> Self {
        Self {
            ready: register_gauge(recorder, "keyward_ready", &[]),
        }
    }

    /// Whether calls are welcome now.
    pub fn ready(&self, is_ready: bool) {
        self.ready.set(f64::from(u8::from(is_ready)));
    }
}
