//! When keys were last used.
//!
//! A request leaves a mark on its key ([`UsageRecorder::touch`]); one task, the [`Flusher`], writes the marks to the
//! database in batches. Verification never waits for that: marks that find no room are counted and forgotten, and the
//! next use of the key tries again.

mod config;
mod flush;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use config::UsageConfig;
pub use flush::Flusher;

use crate::key::{Grant, Permit, Touch, UnixTime};
use crate::store::KeyStore;
use crate::telemetry::metrics::UsageMetrics;

/// Notes when keys were used. Cheap to copy; every copy notes in one place.
#[derive(Clone)]
pub struct UsageRecorder(Arc<Queue>);

struct Queue {
    marked: Mutex<Vec<Marked>>,
    room: usize,
    metrics: UsageMetrics,
}

/// A grant whose mark is to be written.
struct Marked {
    grant: Arc<Grant>,
    is_first_use: bool,
}

impl UsageRecorder {
    /// A recorder, and the task that writes what it notes.
    #[must_use]
    pub fn new(
        store: Arc<dyn KeyStore>,
        config: &UsageConfig,
        metrics: UsageMetrics,
    ) -> (Self, Flusher) {
        let queue = Arc::new(Queue {
            marked: Mutex::new(Vec::new()),
            room: config.queue,
            metrics,
        });
        let flusher = Flusher::new(store, Arc::clone(&queue), config);
        (Self(queue), flusher)
    }

    /// Notes that a key was used at `now`.
    ///
    /// One atomic load if this second is noted already; a short lock at the first use after the last write. Nobody is
    /// woken: the flusher comes by itself.
    pub fn touch(&self, permit: &Permit, now: UnixTime) {
        let grant = permit.grant();
        let is_first_use = match grant.last_used().touch(now) {
            Touch::Noted => return,
            Touch::Queue => false,
            Touch::QueueFirst => true,
        };
        let marked = Marked {
            grant: Arc::clone(grant.shared()),
            is_first_use,
        };
        if !self.0.push(marked) {
            grant.last_used().forget(now);
            self.0.metrics.dropped();
        }
    }
}

impl Queue {
    /// `false` when there is no room.
    fn push(&self, marked: Marked) -> bool {
        let mut queue = self.lock();
        let has_room = queue.len() < self.room;
        if has_room {
            queue.push(marked);
        }
        has_room
    }

    /// Takes at most `room` of what waits, oldest first.
    fn take(&self, room: usize) -> Vec<Marked> {
        let mut queue = self.lock();
        if queue.len() <= room {
            return std::mem::take(&mut *queue);
        }
        queue.drain(..room).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Marked>> {
        self.marked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
