use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::Progress;
use super::lent::Lent;
use crate::clock::Alarm;

/// When the head of an answer is late: `limit` after the upstream took the last part of the request body, be it the end or
/// one after which it read no more. While it waits for more from the caller, it is the caller who may be late.
#[derive(Clone)]
pub(super) struct HeadDeadline {
    progress: Arc<Progress>,
    limit: Duration,
}

/// A timer that calls may share, one after the other, if all have the same limit. It is moved only when it fires, so that a call
/// costs none.
pub(super) type SharedTimer = Option<Alarm>;

impl HeadDeadline {
    /// For the answer to a request with this body.
    pub(super) fn new(body: &Lent, limit: Duration) -> Self {
        let progress = body.progress();
        Self {
            progress: progress.unwrap_or_else(|| Arc::new(Progress::begin())),
            limit,
        }
    }

    /// How far the request's body has come.
    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Is ready once the head is late. Whoever asks looks first whether it is there.
    pub(super) fn poll_late(&self, timer: &mut SharedTimer, cx: &mut Context<'_>) -> Poll<()> {
        let timer = timer.get_or_insert_with(|| Alarm::at(Instant::now() + self.limit));
        loop {
            // Set for a call before, or for this one, it fires too early rather than too late.
            ready!(timer.poll(cx));
            let now = Instant::now();
            let until = self.progress.taken_at().unwrap_or(now) + self.limit;
            if until <= now {
                return Poll::Ready(());
            }
            timer.reset(until);
        }
    }

    /// Returns once the head is late.
    pub(super) async fn passed(&self) {
        let mut timer = None;
        poll_fn(|cx| self.poll_late(&mut timer, cx)).await;
    }
}
