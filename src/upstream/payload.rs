//! What one attempt sends: the caller's body as it comes, or the same once more.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::held::Share;
use super::{Progress, RequestBody, UpstreamError};

/// The body of one attempt.
pub(super) enum Payload {
    /// The caller's.
    Caller {
        body: RequestBody,
        /// Where it is remembered meanwhile.
        copy: Option<BodyCopy>,
    },
    /// What was remembered of it.
    Again(Again),
}

/// A body that was read before.
pub(super) struct Again {
    parts: VecDeque<Bytes>,
    bytes: u64,
    progress: Arc<Progress>,
}

/// Memory for a body that may have to be sent again.
pub struct Memory {
    /// What of the memory for all it takes.
    pub share: Share,
    /// The most that all together may take, in bytes.
    pub all_bytes: usize,
}

/// What is remembered of a body while it is sent.
#[derive(Clone)]
pub(super) struct BodyCopy(Arc<Mutex<Kept>>);

struct Kept {
    parts: Vec<Bytes>,
    bytes: usize,
    most: usize,
    memory: Memory,
    state: State,
}

#[derive(Clone, PartialEq, Eq)]
enum State {
    /// All that was sent so far is there.
    SoFar,
    /// And it is all there is.
    Whole,
    /// It was too much.
    Lost,
}

impl BodyCopy {
    /// Room for a body of at most `most` bytes.
    pub(super) fn new(most: usize, memory: Memory) -> Self {
        Self(Arc::new(Mutex::new(Kept {
            parts: Vec::new(),
            bytes: 0,
            most,
            memory,
            state: State::SoFar,
        })))
    }

    /// The body once more, if all of it was sent and is remembered.
    pub(super) fn again(&self) -> Option<Payload> {
        let kept = self.lock();
        (kept.state == State::Whole).then(|| Payload::Again(Again::new(&kept.parts)))
    }

    /// Whether the body can be sent once more.
    pub(super) fn is_whole(&self) -> bool {
        self.lock().state == State::Whole
    }

    fn note(&self, frame: Option<&Frame<Bytes>>) {
        let mut kept = self.lock();
        let kept = &mut *kept;
        if kept.state != State::SoFar {
            return;
        }
        let Some(frame) = frame else {
            kept.state = State::Whole;
            return;
        };
        let part = frame.data_ref().filter(|part| {
            part.len() <= kept.most - kept.bytes
                && kept.memory.share.grow(part.len(), kept.memory.all_bytes)
        });
        if let Some(part) = part {
            kept.bytes += part.len();
            kept.parts.push(part.clone());
        } else {
            // Trailers are not kept either: they are rare, and no reason to hold anything.
            kept.state = State::Lost;
            kept.parts = Vec::new();
            kept.memory.share.shrink(kept.bytes);
        }
    }

    /// What it guards is whole at any moment.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that was read whole before anything of it is sent.
pub(super) struct Whole {
    parts: Vec<Bytes>,
    bytes: usize,
    _memory: Memory,
}

impl Whole {
    /// Reads `body` to its end. Its trailers are left out.
    ///
    /// # Errors
    ///
    /// When there is more of it than `most` bytes, or than there is room for, and when it breaks off.
    pub(super) async fn read(
        mut body: RequestBody,
        most: usize,
        mut memory: Memory,
    ) -> Result<Self, UpstreamError> {
        let too_large = UpstreamError::TooLargeToSign { limit: most };
        if body.size_hint().lower() > most as u64 {
            return Err(too_large);
        }
        let (mut parts, mut bytes) = (Vec::new(), 0);
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let frame = frame.map_err(|cause| body.progress().blame(cause))?;
            let Ok(part) = frame.into_data() else {
                continue;
            };
            if part.len() > most - bytes {
                return Err(too_large);
            }
            if !memory.share.grow(part.len(), memory.all_bytes) {
                return Err(UpstreamError::NoRoom);
            }
            bytes += part.len();
            parts.push(part);
        }
        Ok(Self {
            parts,
            bytes,
            _memory: memory,
        })
    }

    /// Its parts, in order.
    pub(super) fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().map(|part| &**part)
    }

    /// How many bytes it has.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// What one attempt sends of it: all.
    pub(super) fn again(&self) -> Payload {
        Payload::Again(Again::new(&self.parts))
    }
}

impl Again {
    /// A body of these parts.
    pub(super) fn new(parts: &[Bytes]) -> Self {
        Self {
            parts: parts.iter().cloned().collect(),
            bytes: parts.iter().map(|part| part.len() as u64).sum(),
            progress: Arc::new(Progress::begin()),
        }
    }
}

impl Payload {
    /// How far it has come, now and later.
    pub(super) fn progress(&self) -> Arc<Progress> {
        match self {
            Self::Caller { body, .. } => body.progress(),
            Self::Again(again) => Arc::clone(&again.progress),
        }
    }
}

impl From<RequestBody> for Payload {
    fn from(body: RequestBody) -> Self {
        Self::Caller { body, copy: None }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = <RequestBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Self::Again(again) => {
                let part = again.parts.pop_front();
                let part = part.inspect(|part| again.bytes -= part.len() as u64);
                Poll::Ready(part.map(|part| Ok(Frame::data(part))))
            }
            Self::Caller { body, copy } => {
                let polled = Pin::new(&mut *body).poll_frame(cx);
                if let Some(copy) = copy {
                    match &polled {
                        Poll::Ready(Some(Ok(frame))) => {
                            copy.note(Some(frame));
                            // Whoever reads may ask no more.
                            if body.is_end_stream() {
                                copy.note(None);
                            }
                        }
                        Poll::Ready(None) => copy.note(None),
                        Poll::Ready(Some(Err(_))) | Poll::Pending => {}
                    }
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Again(again) => again.parts.is_empty(),
            Self::Caller { body, copy } => {
                let is_end = body.is_end_stream();
                if is_end && let Some(copy) = copy {
                    copy.note(None);
                }
                is_end
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Again(again) => SizeHint::with_exact(again.bytes),
            Self::Caller { body, .. } => body.size_hint(),
        }
    }
}
