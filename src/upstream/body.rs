use std::error::Error;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep, sleep_until};

use super::Patience;

/// The caller's request body on its way to the upstream: frame by frame, trailers included, nothing held.
///
/// It ends with an error when the caller stalls longer than the limit, so that an upstream connection is not held by a
/// caller that has gone silent.
pub struct RequestBody {
    incoming: Incoming,
    trailers: TrailerFilter,
    patience: Patience,
    progress: Arc<Progress>,
}

/// Takes from trailers what may not go on.
pub type TrailerFilter = Arc<dyn Fn(&mut HeaderMap) + Send + Sync>;

/// How far a request body has come; shared with whoever waits for the answer.
#[derive(Debug, Default)]
pub struct Progress {
    ended_at: OnceLock<Instant>,
    is_broken: AtomicBool,
}

impl Progress {
    /// When the whole body had been handed on, if it has been.
    #[must_use]
    pub fn ended_at(&self) -> Option<Instant> {
        self.ended_at.get().copied()
    }

    /// Whether the caller broke the body off.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Acquire)
    }

    fn end(&self) {
        self.ended_at.get_or_init(Instant::now);
    }

    fn break_off(&self) {
        self.is_broken.store(true, Ordering::Release);
    }
}

/// The caller sent no byte of its body for too long.
#[derive(Debug, thiserror::Error)]
#[error("the request body stalled")]
struct Stalled;

impl RequestBody {
    /// Wraps the caller's body; `stall` is how long it may go without a frame while one is asked for.
    #[must_use]
    pub fn new(incoming: Incoming, trailers: TrailerFilter, stall: Duration) -> Self {
        let progress = Arc::new(Progress::default());
        if incoming.is_end_stream() {
            progress.end();
        }
        Self {
            incoming,
            trailers,
            patience: Patience::of(stall),
            progress,
        }
    }

    /// How far the body has come, now and later.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(self.patience.poll_over(cx));
                self.progress.break_off();
                return Poll::Ready(Some(Err(Box::new(Stalled))));
            }
        };
        self.patience.renew();
        match frame {
            None => {
                self.progress.end();
                Poll::Ready(None)
            }
            Some(Err(error)) => {
                self.progress.break_off();
                Poll::Ready(Some(Err(Box::new(error))))
            }
            Some(Ok(mut frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    (self.trailers)(trailers);
                }
                if self.incoming.is_end_stream() {
                    self.progress.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// Waits until the answer is late: `limit` after the request body has gone out whole, however long that took.
pub(super) async fn lateness(progress: &Progress, limit: Duration) {
    loop {
        if let Some(ended_at) = progress.ended_at() {
            return sleep_until(ended_at + limit).await;
        }
        // A body that still flows has its own limit; whether it has ended is looked at once in a while.
        sleep(limit).await;
    }
}
