//! Which requests are being served: counted for the worker, for the connection, and for the metric.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::telemetry::metrics::ProxyMetrics;

/// The requests of one worker, and how many it takes at once. Each worker has its share of the process's limit, so
/// that nothing is counted across threads.
#[derive(Clone)]
pub struct WorkerLoad(Rc<Worker>);

struct Worker {
    requests: Cell<usize>,
    most: usize,
    metrics: ProxyMetrics,
}

/// The requests of one connection. Whoever reads from the connection looks here to know how long silence may last.
///
/// Counted atomically only because hyper may hand an upgraded connection to another thread; nobody contends for it.
#[derive(Clone, Default)]
pub struct ConnectionLoad(Arc<AtomicUsize>);

/// One request's place among those in flight; dropping it gives the place back.
pub struct InFlight {
    worker: WorkerLoad,
    connection: ConnectionLoad,
}

impl WorkerLoad {
    /// Nothing in flight yet, and room for `most`.
    #[must_use]
    pub fn new(most: usize, metrics: ProxyMetrics) -> Self {
        Self(Rc::new(Worker {
            requests: Cell::new(0),
            most,
            metrics,
        }))
    }

    /// Takes a place; `Err` holds one beyond the limit, for the length of a refusal.
    pub(super) fn enter(&self, connection: &ConnectionLoad) -> Result<InFlight, InFlight> {
        let requests = self.0.requests.get() + 1;
        self.0.requests.set(requests);
        connection.0.fetch_add(1, Ordering::Relaxed);
        self.0.metrics.request_started();
        let place = InFlight {
            worker: self.clone(),
            connection: connection.clone(),
        };
        if requests > self.0.most {
            Err(place)
        } else {
            Ok(place)
        }
    }
}

impl ConnectionLoad {
    /// Whether no request of the connection is in flight.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let worker = &self.worker.0;
        worker.requests.set(worker.requests.get() - 1);
        self.connection.0.fetch_sub(1, Ordering::Relaxed);
        worker.metrics.request_ended();
    }
}
