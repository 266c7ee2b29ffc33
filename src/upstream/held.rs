//! What is held of bodies: how much all together may hold, and how much is held now.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::telemetry::metrics::ProxyMetrics;

/// The memory that all requests together hold of their bodies and of answers. Copies share it.
#[derive(Clone)]
pub struct HeldBodies(Arc<Held>);

struct Held {
    bytes: AtomicUsize,
    metrics: ProxyMetrics,
}

/// One request's share; dropping it gives it back.
pub struct Share {
    of: HeldBodies,
    bytes: usize,
}

impl HeldBodies {
    /// Nothing held yet.
    #[must_use]
    pub fn new(metrics: ProxyMetrics) -> Self {
        let bytes = AtomicUsize::new(0);
        Self(Arc::new(Held { bytes, metrics }))
    }

    /// A share of nothing.
    #[must_use]
    pub fn share(&self) -> Share {
        let of = self.clone();
        Share { of, bytes: 0 }
    }
}

impl Share {
    /// Takes `more` bytes, unless all together would then hold more than `most`.
    pub(super) fn grow(&mut self, more: usize, most: usize) -> bool {
        let held = &self.of.0;
        let grown = |bytes: usize| bytes.checked_add(more).filter(|bytes| *bytes <= most);
        // Relaxed: it is a sum, and orders nothing.
        let taken = held
            .bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown);
        if taken.is_ok() {
            self.bytes += more;
            held.metrics.body_held(more);
        }
        taken.is_ok()
    }

    /// Gives back up to `less` bytes.
    pub(super) fn shrink(&mut self, less: usize) {
        let less = less.min(self.bytes);
        self.bytes -= less;
        self.of.0.bytes.fetch_sub(less, Ordering::Relaxed);
        self.of.0.metrics.body_released(less);
    }

    /// How many bytes it is.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}
