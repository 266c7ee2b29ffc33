//! What leaves a response before it goes back, and its body on the way.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRAILER};
use http::{Response, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use super::InFlight;
use super::prepare::remove_hop_by_hop;
use crate::upstream::{AnswerBody, Patience};

/// The body of every answer: a refusal's few bytes, or the upstream's frames as they come, trailers included.
///
/// It holds the request's place among those in flight until it ends or is dropped.
pub struct ProxyBody {
    source: Source,
    _in_flight: InFlight,
}

enum Source {
    Refusal(Full<Bytes>),
    Upstream {
        incoming: AnswerBody,
        patience: Patience,
    },
}

/// The upstream sent no byte of its answer for too long.
#[derive(Debug, thiserror::Error)]
#[error("the upstream's answer stalled")]
struct Stalled;

/// Gives a refusal its body.
pub(super) fn refuse(response: Response<Bytes>, in_flight: InFlight) -> Response<ProxyBody> {
    response.map(|body| ProxyBody {
        source: Source::Refusal(Full::new(body)),
        _in_flight: in_flight,
    })
}

/// Hands an upstream's answer back: its head without what speaks of our connection to it, its body frame by frame.
pub(super) fn relay(
    mut response: Response<AnswerBody>,
    in_flight: InFlight,
    idle: Duration,
) -> Response<ProxyBody> {
    remove_hop_by_hop(response.headers_mut());
    // The version is each connection's own (RFC 9110, 2.5): an upstream's 1.0 is no reason to speak so to the caller.
    *response.version_mut() = Version::HTTP_11;
    response.map(|incoming| ProxyBody {
        source: Source::Upstream {
            incoming,
            patience: Patience::of(idle),
        },
        _in_flight: in_flight,
    })
}

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
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut self.source {
            Source::Refusal(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            Source::Upstream { incoming, patience } => {
                if let Poll::Ready(frame) = Pin::new(incoming).poll_frame(cx) {
                    patience.renew();
                    return Poll::Ready(frame.map(|frame| match frame {
                        Ok(frame) => Ok(without_framing(frame)),
                        Err(error) => Err(error.into()),
                    }));
                }
                ready!(patience.poll_over(cx));
                Poll::Ready(Some(Err(Box::new(Stalled))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Refusal(body) => body.is_end_stream(),
            Source::Upstream { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Refusal(body) => body.size_hint(),
            Source::Upstream { incoming, .. } => incoming.size_hint(),
        }
    }
}
