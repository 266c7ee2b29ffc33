//! What leaves a response before it goes back, and its body on the way.

use std::error::Error;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRAILER};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use super::InFlight;
use super::access::{End, Told};
use super::last_words::LastWords;
use super::prepare::remove_hop_by_hop;
use super::shown::SampleFilter;
use super::streams::Stream;
use crate::message::{Fields, Response};
use crate::route::ErrorForm;
use crate::upstream::{AnswerBody, BrokenAnswer, Handshake, Patience, Share};

/// The body of every answer: a few bytes of our own, or the upstream's frames as they come, trailers included, or what a
/// key may see of them.
///
/// It holds the request's place among those in flight until it ends or is dropped.
pub struct ProxyBody {
    source: Source,
    told: Told,
    /// Why it breaks off, at the next turn.
    broken: Option<BoxError>,
    /// None where what comes after the answer holds it.
    _in_flight: Option<InFlight>,
}

enum Source {
    Ours(Full<Bytes>),
    Upstream {
        incoming: AnswerBody,
        passage: Passage,
    },
    Watched(Box<Watched>),
    Whole {
        body: Full<Bytes>,
        _share: Share,
    },
}

/// How an upstream's frames go back.
struct Passage {
    patience: Patience,
    samples: Option<Box<SampleFilter>>,
}

/// An answer that ends when the key of its call does.
struct Watched {
    stream: Rc<Stream>,
    passage: Passage,
    last_words: LastWords,
    /// Nothing comes any more.
    is_over: bool,
    /// Because of its key.
    has_lost_its_key: bool,
}

/// What the upstream answered to a call.
pub(super) struct Answered {
    pub(super) response: Response<Relayed>,
    /// The form of errors that its caller expects.
    pub(super) form: ErrorForm,
    /// There when it ends with its key.
    pub(super) watched: Option<Rc<Stream>>,
}

/// What goes back of an upstream's answer.
pub(super) enum Relayed {
    /// All of it.
    AsItCame(AnswerBody),
    /// The samples that pass; no trailers.
    Samples(AnswerBody, Box<SampleFilter>),
    /// What was held of it and is left.
    Whole(Bytes, Share),
}

impl Relayed {
    /// The upstream's own, if all of it goes back.
    pub(super) fn into_whole(self) -> Option<AnswerBody> {
        match self {
            Self::AsItCame(answer) => Some(answer),
            Self::Samples(..) | Self::Whole(..) => None,
        }
    }
}

/// The upstream sent no byte of its answer for too long.
#[derive(Debug, thiserror::Error)]
#[error("the upstream's answer stalled")]
struct Stalled;

/// The key of the call has ended, and the answer has no words for that.
#[derive(Debug, thiserror::Error)]
#[error("the call was ended with its key")]
struct EndedWithItsKey;

/// Gives an answer of our own its body.
pub(super) fn answer(response: Response<Bytes>, in_flight: InFlight) -> Response<ProxyBody> {
    response.map(|body| ProxyBody {
        source: Source::Ours(Full::new(body)),
        told: Told::default(),
        broken: None,
        _in_flight: Some(in_flight),
    })
}

/// Hands a 101 back: its head, which says that the caller's connection changes protocols, too.
pub(super) fn switch(mut head: Response<()>) -> Response<ProxyBody> {
    remove_hop_by_hop(&mut head.headers);
    Handshake::restore(&mut head.headers);
    head.map(|()| ProxyBody {
        source: Source::Ours(Full::default()),
        told: Told::default(),
        broken: None,
        _in_flight: None,
    })
}

/// Hands an upstream's answer back: its head without what speaks of our connection to it, its body frame by frame.
///
/// A watched answer ends when its key does, and says so as far as it can; what is held of one is answered already.
pub(super) fn relay(
    answered: Answered,
    is_grpc: bool,
    in_flight: InFlight,
    idle: Duration,
) -> Response<ProxyBody> {
    let Answered {
        mut response,
        form,
        watched,
    } = answered;
    let watched = watched.map(|stream| {
        let last_words = LastWords::of(&response.headers, form, is_grpc);
        (stream, last_words)
    });
    remove_hop_by_hop(&mut response.headers);
    let upstream = |incoming, samples| {
        let patience = Patience::of(idle);
        let passage = Passage { patience, samples };
        match watched {
            None => Source::Upstream { incoming, passage },
            Some((stream, last_words)) => {
                stream.keep(incoming);
                Source::Watched(Box::new(Watched {
                    stream,
                    passage,
                    last_words,
                    is_over: false,
                    has_lost_its_key: false,
                }))
            }
        }
    };
    response.map(|relayed| ProxyBody {
        source: match relayed {
            Relayed::AsItCame(incoming) => upstream(incoming, None),
            Relayed::Samples(incoming, samples) => upstream(incoming, Some(samples)),
            Relayed::Whole(bytes, share) => Source::Whole {
                body: Full::new(bytes),
                _share: share,
            },
        },
        told: Told::default(),
        broken: None,
        _in_flight: Some(in_flight),
    })
}

/// What of a frame goes back; `None` when nothing does, and there may be more. At the end, of what was held back.
fn passing(
    frame: Option<Frame<Bytes>>,
    samples: &mut SampleFilter,
) -> Result<Option<Frame<Bytes>>, BoxError> {
    let passed = match frame.map(Frame::into_data) {
        None => samples.finish(),
        Some(Ok(piece)) => samples.push(&piece)?,
        Some(Err(_trailers)) => Bytes::new(),
    };
    Ok((!passed.is_empty()).then(|| Frame::data(passed)))
}

type BoxError = Box<dyn Error + Send + Sync>;

/// Takes from an answer's trailers what speaks of a connection or frames a body: over HTTP/2 the whole answer would be
/// malformed by it (RFC 9110, 6.5.1; RFC 9113, 8.2.2).
fn without_framing(mut frame: Frame<Bytes>) -> Frame<Bytes> {
    if let Some(trailers) = frame.trailers_mut() {
        let mut fields = Fields::from(mem::take(trailers));
        remove_hop_by_hop(&mut fields);
        fields.remove(&CONTENT_LENGTH);
        fields.remove(&TRAILER);
        *trailers = fields.into();
    }
    frame
}

impl Passage {
    /// The next frame of `incoming` that goes back.
    fn poll_frame(
        &mut self,
        incoming: &mut AnswerBody,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let Poll::Ready(frame) = Pin::new(&mut *incoming).poll_frame(cx) else {
                ready!(self.patience.poll_over(cx));
                return Poll::Ready(Some(Err(Box::new(Stalled))));
            };
            self.patience.renew();
            let frame = frame.transpose().map_err(BoxError::from);
            let Some(samples) = &mut self.samples else {
                return Poll::Ready(frame.map(|frame| frame.map(without_framing)).transpose());
            };
            let is_end = matches!(frame, Ok(None));
            match frame.and_then(|frame| passing(frame, samples)) {
                Ok(None) if !is_end => {}
                passed => return Poll::Ready(passed.transpose()),
            }
        }
    }

    fn is_end_stream(&self, incoming: &AnswerBody) -> bool {
        // What is held back may still come.
        self.samples.is_none() && incoming.is_end_stream()
    }

    fn size_hint(&self, incoming: &AnswerBody) -> SizeHint {
        match self.samples {
            Some(_) => SizeHint::new(),
            None => incoming.size_hint(),
        }
    }
}

impl Watched {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(end) = self.stream.poll_end(cx) {
            (self.is_over, self.has_lost_its_key) = (true, true);
            let last = self.last_words.frame(&end.into());
            return Poll::Ready(Some(last.ok_or_else(|| EndedWithItsKey.into())));
        }
        let passage = &mut self.passage;
        let polled = self
            .stream
            .with_answer(|answer| passage.poll_frame(answer, cx));
        let frame = ready!(polled.expect("it is there until the key has ended"));
        match &frame {
            Some(Ok(frame)) => self.last_words.after(frame),
            Some(Err(_)) | None => self.is_over = true,
        }
        Poll::Ready(frame)
    }

    /// Whether nothing comes any more; one that was ended has something to say first.
    fn is_end_stream(&self) -> bool {
        let is_end = |answer: &mut AnswerBody| self.passage.is_end_stream(answer);
        self.is_over || self.stream.with_answer(is_end).unwrap_or(false)
    }

    fn size_hint(&self) -> SizeHint {
        let hint = |answer: &mut AnswerBody| self.passage.size_hint(answer);
        self.stream.with_answer(hint).unwrap_or_default()
    }
}

impl ProxyBody {
    /// Tells of the call when this ends.
    pub(super) fn tell(&mut self, mut told: Told) {
        if self.is_end_stream() {
            told.ended(End::Complete);
        }
        self.told = told;
    }

    /// Takes note of what is handed over.
    fn note(&mut self, frame: Option<&Result<Frame<Bytes>, BoxError>>) {
        match frame {
            Some(Ok(frame)) => self.told.passed(frame),
            Some(Err(error)) => return self.told.ended(end_of(&**error)),
            None => {}
        }
        if matches!(&self.source, Source::Watched(watched) if watched.has_lost_its_key) {
            self.told.ended(End::KeyEnded);
        } else if frame.is_none() || self.is_end_stream() {
            self.told.ended(End::Complete);
        }
    }
}

/// What an answer that breaks off is told as.
fn end_of(error: &(dyn Error + 'static)) -> End {
    if error.is::<Stalled>() {
        End::Stalled
    } else if error.is::<EndedWithItsKey>() {
        End::KeyEnded
    } else if error.is::<BrokenAnswer>() {
        End::UpstreamBroken
    } else {
        End::Unfilterable
    }
}

impl Body for ProxyBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let polled = match &mut self.source {
            Source::Ours(body) | Source::Whole { body, .. } => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            Source::Upstream { incoming, passage } => passage.poll_frame(incoming, cx),
            Source::Watched(watched) => watched.poll_frame(cx),
        };
        if let (Poll::Ready(frame), true) = (&polled, self.told.is_kept()) {
            self.note(frame.as_ref());
        }
        if let Poll::Ready(Some(Err(error))) = polled {
            // Whoever writes it ends the connection at once. What it was given before may be waiting for this turn to be written, and be it
            // the head alone: the caller has a right to it.
            self.broken = Some(error);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        if self.broken.is_some() {
            return false;
        }
        match &self.source {
            Source::Ours(body) | Source::Whole { body, .. } => body.is_end_stream(),
            Source::Upstream { incoming, passage } => passage.is_end_stream(incoming),
            Source::Watched(watched) => watched.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Ours(body) | Source::Whole { body, .. } => body.size_hint(),
            Source::Upstream { incoming, passage } => passage.size_hint(incoming),
            Source::Watched(watched) => watched.size_hint(),
        }
    }
}
