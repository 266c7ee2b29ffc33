use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until};

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
#[derive(Debug)]
pub struct Progress {
    begun: Instant,
    /// When the upstream's connection last took a part, or the end, in milliseconds since `begun`; [`AWAITING_CALLER`]
    /// while it is the caller who has nothing to give.
    taken_ms: AtomicU64,
    is_broken: AtomicBool,
    is_malformed: AtomicBool,
}

/// No moment: the body waits for its caller.
const AWAITING_CALLER: u64 = u64::MAX;

impl Progress {
    fn begin() -> Self {
        Self {
            begun: Instant::now(),
            taken_ms: AtomicU64::new(0),
            is_broken: AtomicBool::new(false),
            is_malformed: AtomicBool::new(false),
        }
    }

    /// Since when the upstream has had all that there was to give it; `None` while it waits for the caller.
    #[must_use]
    pub fn taken_at(&self) -> Option<Instant> {
        let millis = self.taken_ms.load(Ordering::Acquire);
        (millis != AWAITING_CALLER).then(|| self.begun + Duration::from_millis(millis))
    }

    /// Whether the caller broke the body off.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Acquire)
    }

    /// Whether it broke off because its bytes are not framed as it said.
    #[must_use]
    pub fn is_malformed(&self) -> bool {
        self.is_malformed.load(Ordering::Acquire)
    }

    fn take(&self) {
        let millis = u64::try_from(self.begun.elapsed().as_millis());
        let millis = millis.unwrap_or(AWAITING_CALLER - 1);
        self.taken_ms.store(millis, Ordering::Release);
    }

    fn await_caller(&self) {
        self.taken_ms.store(AWAITING_CALLER, Ordering::Release);
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
        Self {
            incoming,
            trailers,
            patience: Patience::of(stall),
            progress: Arc::new(Progress::begin()),
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
                self.progress.await_caller();
                ready!(self.patience.poll_over(cx));
                self.progress.break_off();
                return Poll::Ready(Some(Err(Box::new(Stalled))));
            }
        };
        self.patience.renew();
        self.progress.take();
        match frame {
            None => Poll::Ready(None),
            Some(Err(error)) => {
                if is_malformed(&error) {
                    self.progress.is_malformed.store(true, Ordering::Release);
                }
                self.progress.break_off();
                Poll::Ready(Some(Err(Box::new(error))))
            }
            Some(Ok(mut frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    (self.trailers)(trailers);
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

/// Whether a body ended because of what its bytes are: so say the kinds of error, whoever read them.
fn is_malformed(error: &hyper::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            use io::ErrorKind::{InvalidData, InvalidInput};
            return matches!(error.kind(), InvalidData | InvalidInput);
        }
        cause = error.source();
    }
    false
}

/// Waits until the answer is late: `limit` after the upstream took the last part of the request body, be it the end or
/// one after which it read no more. While it waits for more from the caller, it is the caller who may be late.
pub(super) async fn lateness(progress: &Progress, limit: Duration) {
    loop {
        let taken_at = progress.taken_at().unwrap_or_else(Instant::now);
        let late_at = taken_at + limit;
        if late_at <= Instant::now() {
            return;
        }
        sleep_until(late_at).await;
    }
}
