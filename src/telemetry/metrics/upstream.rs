use metrics::{Gauge, Recorder};

use super::register_gauge;

/// What is told of one server of an upstream, both named in the settings.
#[derive(Clone)]
pub struct UpstreamServerMetrics {
    healthy: Gauge,
}

impl UpstreamServerMetrics {
    pub(super) fn register(recorder: &dyn Recorder, upstream: &str, server: &str) -> Self {
        Self {
            healthy: register_gauge(
                recorder,
                "keyward_upstream_healthy",
                &[("upstream", upstream), ("server", server)],
            ),
        }
    }

    /// Whether it is called as usual, from now on.
    pub fn healthy(&self, is_healthy: bool) {
        self.healthy.set(f64::from(u8::from(is_healthy)));
    }
}
