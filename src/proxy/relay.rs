//! What leaves a response before it goes back, and its body on the way.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

use super::InFlight;
use super::prepare::remove_hop_by_hop;

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
        incoming: Incoming,
        idle: Duration,
        timer: Option<Pin<Box<Sleep>>>,
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
    mut response: Response<Incoming>,
    in_flight: InFlight,
    idle: Duration,
) -> Response<ProxyBody> {
    remove_hop_by_hop(response.headers_mut());
    // The version is each connection's own (RFC 9110, 2.5): an upstream's 1.0 is no reason to speak so to the caller.
    *response.version_mut() = Version::HTTP_11;
    response.map(|incoming| ProxyBody {
        source: Source::Upstream {
            incoming,
            idle,
            timer: None,
        },
        _in_flight: in_flight,
    })
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
            Source::Upstream {
                incoming,
                idle,
                timer,
            } => {
                if let Poll::Ready(frame) = Pin::new(incoming).poll_frame(cx) {
                    if let Some(timer) = timer {
                        timer.as_mut().reset(Instant::now() + *idle);
                    }
                    return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
                }
                let timer = timer.get_or_insert_with(|| Box::pin(sleep(*idle)));
                match timer.as_mut().poll(cx) {
                    Poll::Ready(()) => Poll::Ready(Some(Err(Box::new(Stalled)))),
                    Poll::Pending => Poll::Pending,
                }
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
