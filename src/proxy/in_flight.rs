//! Which requests are being served: counted for the worker, for the connection, and for the metric.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::telemetry::metrics::ProxyMetrics;

/// The requests of one worker, and how many it takes at once. Each worker has its share of the process's limit, so
/// that nothing is counted across threads.
#[derive(Clone)]
pub struct WorkerLoad(Rc<Worker>);

struct Worker {
    requests: Cell<usize>,
    most: usize,
    shortage: Shortage,
    metrics: ProxyMetrics,
}

/// Whether this process takes more memory than it may, as of the last look. Copies tell the same.
#[derive(Clone, Default)]
pub struct Shortage(Arc<AtomicBool>);

/// How many requests a worker takes at once while memory is short. What is freed is not always given back to the system:
/// with none at all, a process that was short once could be so for good.
const FEW: usize = 8;

/// The requests of one connection. Whoever reads from the connection looks here to know how long silence may last.
///
/// Counted atomically only because a connection may move between threads; nobody contends for it.
#[derive(Clone, Default)]
pub struct ConnectionLoad(Arc<Counts>);

#[derive(Default)]
struct Counts {
    begun: AtomicUsize,
    in_flight: AtomicUsize,
    is_handed_over: AtomicBool,
}

/// One request of a connection; dropping it ends it.
pub struct Busy(ConnectionLoad);

/// One request's place among those in flight; dropping it gives the place back.
pub struct InFlight {
    worker: WorkerLoad,
    _connection: Busy,
}

impl WorkerLoad {
    /// Nothing in flight yet, and room for `most`, or for few while there is a `shortage`.
    #[must_use]
    pub fn new(most: usize, shortage: Shortage, metrics: ProxyMetrics) -> Self {
        Self(Rc::new(Worker {
            requests: Cell::new(0),
            most,
            shortage,
            metrics,
        }))
    }

    /// Takes a place; `Err` holds one beyond the limit, for the length of a refusal.
    pub(super) fn enter(&self, connection: &ConnectionLoad) -> Result<InFlight, InFlight> {
        let requests = self.0.requests.get() + 1;
        self.0.requests.set(requests);
        self.0.metrics.request_started();
        let place = InFlight {
            worker: self.clone(),
            _connection: connection.begin(),
        };
        let most = if self.0.shortage.is_here() {
            self.0.most.min(FEW)
        } else {
            self.0.most
        };
        if requests > most {
            Err(place)
        } else {
            Ok(place)
        }
    }
}

impl Shortage {
    /// What the last look found; `true` when that is news.
    #[must_use]
    pub fn found(&self, is_short: bool) -> bool {
        self.0.swap(is_short, Ordering::Relaxed) != is_short
    }

    fn is_here(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl ConnectionLoad {
    /// A request begins.
    #[must_use]
    pub fn begin(&self) -> Busy {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        self.0.in_flight.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// How many requests have begun so far. One that was answered at once shows nowhere else.
    #[must_use]
    pub fn begun(&self) -> usize {
        self.0.begun.load(Ordering::Relaxed)
    }

    /// No more HTTP will be read: what comes belongs to another protocol.
    pub(crate) fn hand_over(&self) {
        self.0.is_handed_over.store(true, Ordering::Relaxed);
    }

    /// Whether the connection speaks another protocol from here on.
    #[must_use]
    pub fn is_handed_over(&self) -> bool {
        self.0.is_handed_over.load(Ordering::Relaxed)
    }

    /// Whether no request of the connection is in flight.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.0.in_flight.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let worker = &self.worker.0;
        worker.requests.set(worker.requests.get() - 1);
        worker.metrics.request_ended();
    }
}
