//! What leaves a response before it goes back, and its body on the way.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRAILER};
use http::response::Parts;
use http::{Response, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use super::InFlight;
use super::prepare::remove_hop_by_hop;
use super::shown::SampleFilter;
use crate::upstream::{AnswerBody, Handshake, Patience, Share};

/// The body of every answer: a few bytes of our own, or the upstream's frames as they come, trailers included, or what a
/// key may see of them.
///
/// It holds the request's place among those in flight until it ends or is dropped.
pub struct ProxyBody {
    source: Source,
    /// None where what comes after the answer holds it.
    _in_flight: Option<InFlight>,
}

enum Source {
    Ours(Full<Bytes>),
    Upstream {
        incoming: AnswerBody,
        patience: Patience,
        samples: Option<Box<SampleFilter>>,
    },
    Whole {
        body: Full<Bytes>,
        _share: Share,
    },
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

/// The upstream sent no byte of its answer for too long.
#[derive(Debug, thiserror::Error)]
#[error("the upstream's answer stalled")]
struct Stalled;

/// Gives an answer of our own its body.
pub(super) fn answer(response: Response<Bytes>, in_flight: InFlight) -> Response<ProxyBody> {
    response.map(|body| ProxyBody {
        source: Source::Ours(Full::new(body)),
        _in_flight: Some(in_flight),
    })
}

/// Hands a 101 back: its head, which says that the caller's connection changes protocols, too.
pub(super) fn switch(mut head: Parts) -> Response<ProxyBody> {
    remove_hop_by_hop(&mut head.headers);
    Handshake::restore(&mut head.headers);
    let body = ProxyBody {
        source: Source::Ours(Full::default()),
        _in_flight: None,
    };
    Response::from_parts(head, body)
}

/// Hands an upstream's answer back: its head without what speaks of our connection to it, its body frame by frame.
pub(super) fn relay(
    mut response: Response<Relayed>,
    in_flight: InFlight,
    idle: Duration,
) -> Response<ProxyBody> {
    remove_hop_by_hop(response.headers_mut());
    // The version is each connection's own (RFC 9110, 2.5): an upstream's 1.0 is no reason to speak so to the caller.
    *response.version_mut() = Version::HTTP_11;
    let upstream = |incoming, samples| Source::Upstream {
        incoming,
        patience: Patience::of(idle),
        samples,
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
        remove_hop_by_hop(trailers);
        trailers.remove(CONTENT_LENGTH);
        trailers.remove(TRAILER);
    }
    frame
}

impl Body for ProxyBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut self.source {
            Source::Ours(body) | Source::Whole { body, .. } => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            Source::Upstream {
                incoming,
                patience,
                samples,
            } => loop {
                let Poll::Ready(frame) = Pin::new(&mut *incoming).poll_frame(cx) else {
                    ready!(patience.poll_over(cx));
                    return Poll::Ready(Some(Err(Box::new(Stalled))));
                };
                patience.renew();
                let frame = frame.transpose().map_err(BoxError::from);
                let Some(samples) = samples else {
                    return Poll::Ready(frame.map(|frame| frame.map(without_framing)).transpose());
                };
                let is_end = matches!(frame, Ok(None));
                match frame.and_then(|frame| passing(frame, samples)) {
                    Ok(None) if !is_end => {}
                    passed => return Poll::Ready(passed.transpose()),
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Ours(body) | Source::Whole { body, .. } => body.is_end_stream(),
            // What is held back may still come.
            Source::Upstream {
                samples: Some(_), ..
            } => false,
            Source::Upstream { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Ours(body) | Source::Whole { body, .. } => body.size_hint(),
            Source::Upstream {
                samples: Some(_), ..
            } => SizeHint::new(),
            Source::Upstream { incoming, .. } => incoming.size_hint(),
        }
    }
}
