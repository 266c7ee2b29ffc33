//! The body of a caller's request: there with its head, or handed over part by part as whoever sends it on asks for it.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// A request's body. Dropping it says that nobody reads the rest.
#[derive(Debug)]
pub struct Body(Source);

#[derive(Debug)]
enum Source {
    /// All of it came with the head.
    Here(Bytes),
    Coming(Arc<Mutex<Passage>>),
}

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Its bytes are not framed as RFC 9112 says.
    #[error("the request body is malformed")]
    Malformed(#[source] Box<dyn Error + Send + Sync>),
    /// The caller closed the connection.
    #[error("the connection closed before the request body's end")]
    Incomplete,
    /// The caller's connection failed.
    #[error("the caller's connection failed")]
    Io(#[source] io::Error),
}

/// Where a body's parts are handed over, between the task that reads the connection and whoever reads the body. Held for
/// moments; the two are mostly one task.
#[derive(Debug)]
struct Passage {
    next: Option<Frame<Bytes>>,
    end: Option<Result<(), BodyError>>,
    /// How much comes behind `next`, where the head says; nothing where chunks do.
    left: Option<u64>,
    is_wished: bool,
    is_dropped: bool,
    reader: Option<Waker>,
    feeder: Option<Waker>,
}

/// The side that gives a body's parts, one at a time, when they are wished.
#[derive(Debug)]
pub struct Feed(Arc<Mutex<Passage>>);

/// What the reader of a body wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// The next part.
    Next,
    /// Nothing now.
    Nothing,
    /// Nothing any more.
    Gone,
}

/// A body that comes: of so many bytes, or in chunks.
#[must_use]
pub fn channel(length: Option<u64>) -> (Feed, Body) {
    let passage = Arc::new(Mutex::new(Passage {
        next: None,
        end: None,
        left: length,
        is_wished: false,
        is_dropped: false,
        reader: None,
        feeder: None,
    }));
    (Feed(Arc::clone(&passage)), Body(Source::Coming(passage)))
}

/// What it guards is whole at any moment.
fn lock(passage: &Mutex<Passage>) -> MutexGuard<'_, Passage> {
    passage.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Feed {
    /// What is wanted now. `waker` is woken when that changes: who waits for the next part waits in vain once nobody wants it.
    #[must_use]
    pub fn wish(&self, waker: &Waker) -> Wish {
        let mut passage = lock(&self.0);
        if passage.is_dropped {
            return Wish::Gone;
        }
        if !passage
            .feeder
            .as_ref()
            .is_some_and(|it| it.will_wake(waker))
        {
            passage.feeder = Some(waker.clone());
        }
        if passage.is_wished && passage.next.is_none() {
            Wish::Next
        } else {
            Wish::Nothing
        }
    }

    /// Gives the next part, which may be the last one. Whether its reader is the task that `waker` wakes, which then is to be
    /// polled; any other is woken.
    #[must_use]
    pub fn give(&self, frame: Frame<Bytes>, is_last: bool, waker: &Waker) -> bool {
        let mut passage = lock(&self.0);
        if is_last {
            passage.end = Some(Ok(()));
        }
        if let (Some(left), Some(part)) = (&mut passage.left, frame.data_ref()) {
            *left = left.saturating_sub(part.len() as u64);
        }
        passage.next = Some(frame);
        wake(passage, waker)
    }

    /// Says that nothing comes any more, and why; returns as [`Feed::give`] does.
    #[must_use]
    pub fn end(&self, why: Result<(), BodyError>, waker: &Waker) -> bool {
        let mut passage = lock(&self.0);
        passage.end = Some(why);
        wake(passage, waker)
    }
}

fn wake(mut passage: MutexGuard<'_, Passage>, waker: &Waker) -> bool {
    passage.is_wished = false;
    let Some(reader) = passage.reader.take() else {
        return false;
    };
    drop(passage);
    let is_own = reader.will_wake(waker);
    if !is_own {
        reader.wake();
    }
    is_own
}

impl Drop for Feed {
    /// Whoever still reads learns that nothing comes any more.
    fn drop(&mut self) {
        let mut passage = lock(&self.0);
        if passage.end.is_none() {
            passage.end = Some(Err(BodyError::Incomplete));
        }
        passage.feeder = None;
        let reader = passage.reader.take();
        drop(passage);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Body {
    /// A body that is all there.
    #[must_use]
    pub const fn whole(bytes: Bytes) -> Self {
        Self(Source::Here(bytes))
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Source::Coming(passage) = &self.0 {
            let mut passage = lock(passage);
            passage.is_dropped = true;
            let feeder = passage.feeder.take();
            drop(passage);
            if let Some(feeder) = feeder {
                feeder.wake();
            }
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let passage = match &mut self.0 {
            Source::Here(part) if part.is_empty() => return Poll::Ready(None),
            Source::Here(part) => {
                let part = std::mem::take(part);
                return Poll::Ready(Some(Ok(Frame::data(part))));
            }
            Source::Coming(passage) => passage,
        };
        let mut passage = lock(passage);
        if let Some(frame) = passage.next.take() {
            return Poll::Ready(Some(Ok(frame)));
        }
        match &mut passage.end {
            Some(Ok(())) => return Poll::Ready(None),
            Some(end) => {
                let end = std::mem::replace(end, Ok(()));
                return Poll::Ready(end.err().map(Err));
            }
            None => {}
        }
        passage.is_wished = true;
        passage.reader = Some(cx.waker().clone());
        // The feeder looks at what is wished whenever its own task is polled.
        let feeder = passage.feeder.take_if(|it| !it.will_wake(cx.waker()));
        drop(passage);
        if let Some(feeder) = feeder {
            feeder.wake();
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Here(part) => part.is_empty(),
            Source::Coming(passage) => {
                let passage = lock(passage);
                passage.next.is_none() && matches!(passage.end, Some(Ok(())))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Here(part) => SizeHint::with_exact(part.len() as u64),
            Source::Coming(passage) => {
                let passage = lock(passage);
                let next = passage.next.as_ref().and_then(Frame::data_ref);
                let next = next.map_or(0, Bytes::len) as u64;
                if let Some(left) = passage.left {
                    return SizeHint::with_exact(left.saturating_add(next));
                }
                let mut hint = SizeHint::new();
                hint.set_lower(next);
                hint
            }
        }
    }
}

#[cfg(test)]
mod tests;
