use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::held::HeldBodies;
use super::judged::Judged;
use super::{CallerBody, Patience, UpstreamError};
use crate::clock::turn;
use crate::route::{BodyFault, BodyScanner};

/// The caller's request body on its way to the upstream: frame by frame, trailers included, nothing held but what must
/// be judged first.
///
/// It ends with an error when the caller stalls longer than the limit, so that an upstream connection is not held by a
/// caller that has gone silent; and when what is judged on its way has a fault.
pub struct RequestBody {
    incoming: CallerBody,
    trailers: TrailerFilter,
    patience: Patience,
    progress: Arc<Progress>,
    judged: Option<Box<Judged>>,
}

/// How much of a body is held, and what is still sent without its end being known.
#[derive(Debug, Clone, Copy)]
pub struct HoldLimits {
    /// A body that ends within so many bytes is judged whole before anything of it is sent.
    pub whole_bytes: usize,
    /// The most that is held of one body, in bytes.
    pub most_bytes: usize,
    /// The most that is held of all together, in bytes.
    pub all_bytes: usize,
}

/// Why the model of a body is not known, though it was read.
#[derive(Debug, thiserror::Error)]
pub enum UnknownModel {
    /// The body is not one that can be judged, or that has one reading.
    #[error(transparent)]
    Fault(#[from] BodyFault),
    /// It does not come within what may be held.
    #[error("the model does not come within the first {limit} bytes of the body")]
    TooLate {
        /// How much that is, in bytes.
        limit: usize,
    },
    /// All requests together hold as much as they may.
    #[error("too much of other requests is held")]
    NoRoom,
    /// The body broke off.
    #[error("the request body could not be read")]
    Broken(#[source] UpstreamError),
}

type BoxError = Box<dyn Error + Send + Sync>;

/// Takes from trailers what may not go on.
pub type TrailerFilter = Arc<dyn Fn(&mut HeaderMap) + Send + Sync>;

/// How far a request body has come; shared with whoever waits for the answer.
#[derive(Debug)]
pub struct Progress {
    begun: Instant,
    /// When the upstream's connection last took a part, or the end, in milliseconds since `begun`; [`AWAITING_CALLER`]
    /// while it is the caller who has nothing to give.
    taken_ms: AtomicU64,
    bytes: AtomicU64,
    is_broken: AtomicBool,
    is_malformed: AtomicBool,
    fault: OnceLock<BodyFault>,
}

/// No moment: the body waits for its caller.
const AWAITING_CALLER: u64 = u64::MAX;

impl Progress {
    /// Nothing of it was taken yet.
    pub(super) fn begin() -> Self {
        Self {
            begun: turn::now(),
            taken_ms: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            is_broken: AtomicBool::new(false),
            is_malformed: AtomicBool::new(false),
            fault: OnceLock::new(),
        }
    }

    /// Since when the upstream has had all that there was to give it; `None` while it waits for the caller.
    #[must_use]
    pub fn taken_at(&self) -> Option<Instant> {
        let millis = self.taken_ms.load(Ordering::Acquire);
        (millis != AWAITING_CALLER).then(|| self.begun + Duration::from_millis(millis))
    }

    /// How much of it the caller has sent that was read, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
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

    /// Why the caller broke off a body that `cause` ended.
    pub(super) fn blame(&self, cause: BoxError) -> UpstreamError {
        if let Some(fault) = self.fault.get() {
            UpstreamError::RequestJudged(*fault)
        } else if self.is_malformed() {
            UpstreamError::RequestFraming(cause)
        } else {
            UpstreamError::RequestBody(cause)
        }
    }

    fn read(&self, bytes: usize) {
        // Only the body itself writes it.
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let all = self.bytes.load(Ordering::Relaxed).wrapping_add(bytes);
        self.bytes.store(all, Ordering::Relaxed);
    }

    fn take(&self) {
        let millis = u64::try_from(turn::now().duration_since(self.begun).as_millis());
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
    pub fn new(incoming: CallerBody, trailers: TrailerFilter, stall: Duration) -> Self {
        Self {
            incoming,
            trailers,
            patience: Patience::of(stall),
            progress: Arc::new(Progress::begin()),
            judged: None,
        }
    }

    /// Reads the body until `scanner` knows its model, or to the end of one that is short, and gives the model. The rest
    /// will be judged on its way.
    ///
    /// Held is what the limits allow. Dropping the future leaves a body that is of no use but to be read away.
    ///
    /// # Errors
    ///
    /// Why the model is not known; nothing of the body may be sent then.
    pub async fn read_model(
        &mut self,
        scanner: BodyScanner,
        limits: HoldLimits,
        all: &HeldBodies,
    ) -> Result<String, UnknownModel> {
        let mut decoder = all.share();
        let memory = scanner.memory();
        if memory > 0 && !decoder.grow(memory, limits.all_bytes) {
            return Err(UnknownModel::NoRoom);
        }
        let mut judged = Box::new(Judged::new(scanner, all.share(), decoder));
        loop {
            let frame = poll_fn(|cx| self.poll_caller(cx)).await;
            match frame.transpose() {
                Err(error) => return Err(UnknownModel::Broken(self.progress.blame(error))),
                Ok(None) => judged.end(None)?,
                Ok(Some(frame)) => match frame.into_data() {
                    Ok(part) if judged.share.grow(part.len(), limits.all_bytes) => {
                        judged.hold(part)?;
                    }
                    Ok(part) => {
                        judged.let_go();
                        judged.pass(part)?;
                        // What is known need not be held.
                        if judged.model().is_none() {
                            return Err(UnknownModel::NoRoom);
                        }
                    }
                    Err(frame) => judged.end(frame.into_trailers().ok())?,
                },
            }
            let held = judged.share.bytes();
            match judged.model() {
                Some(model) if judged.is_flowing() || held > limits.whole_bytes => {
                    let model = model.to_owned();
                    judged.let_go();
                    self.judged = Some(judged);
                    // The upstream's time begins now.
                    self.progress.take();
                    return Ok(model);
                }
                None if held > limits.most_bytes => {
                    let limit = limits.most_bytes;
                    return Err(UnknownModel::TooLate { limit });
                }
                _ => {}
            }
        }
    }

    /// The part of the body that nobody has read.
    pub fn into_unread(self) -> CallerBody {
        self.incoming
    }

    /// The next frame from the caller, its trailers filtered.
    fn poll_caller(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
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
                if error.is_malformed() {
                    self.progress.is_malformed.store(true, Ordering::Release);
                }
                self.progress.break_off();
                Poll::Ready(Some(Err(Box::new(error))))
            }
            Some(Ok(mut frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    (self.trailers)(trailers);
                }
                self.progress.read(frame.data_ref().map_or(0, Bytes::len));
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    /// The next frame of a body that is judged on its way.
    fn poll_judged(
        &mut self,
        mut judged: Box<Judged>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let next = loop {
            if let Some(frame) = judged.next() {
                self.progress.take();
                break Poll::Ready(Some(Ok(frame)));
            }
            if judged.is_over() {
                break Poll::Ready(None);
            }
            let result = match self.poll_caller(cx) {
                Poll::Pending => break Poll::Pending,
                Poll::Ready(Some(Err(error))) => break Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => judged.end(None),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(part) => judged.pass(part),
                    Err(frame) => judged.end(frame.into_trailers().ok()),
                },
            };
            if let Err(fault) = result {
                let _ = self.progress.fault.set(fault);
                self.progress.break_off();
                break Poll::Ready(Some(Err(Box::new(fault))));
            }
        };
        self.judged = Some(judged);
        next
    }

    /// How far the body has come, now and later.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.judged.take() {
            None => self.poll_caller(cx),
            Some(judged) => self.poll_judged(judged, cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.judged {
            None => self.incoming.is_end_stream(),
            Some(judged) => judged.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.incoming.size_hint();
        let Some(judged) = &self.judged else {
            return rest;
        };
        let held = judged.bytes();
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint.set_lower(rest.lower().saturating_add(held));
        hint
    }
}
