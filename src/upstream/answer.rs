use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::health::Busy;
use super::http1::{self, Http1Error, Upgraded};
use super::lanes::OnLane;
use super::lent::Lent;

/// The body of an upstream's answer, frame by frame as it comes. Dropping it before its end ends the call at the upstream.
pub struct AnswerBody {
    source: AnswerSource,
    /// The server is busy with the call until its answer's end.
    busy: Option<Busy>,
}

/// Where an answer's body comes from.
pub(super) enum AnswerSource {
    /// A connection of its own.
    Alone(http1::Answer),
    /// A stream of a connection, and the place there, which is held until it ends.
    OnLane(Box<(Incoming, OnLane<Lent>)>),
}

/// Why an answer broke off.
#[derive(Debug, thiserror::Error)]
pub enum BrokenAnswer {
    /// Over HTTP/1.1.
    #[error(transparent)]
    Http1(#[from] Http1Error),
    /// Over HTTP/2.
    #[error(transparent)]
    Http2(#[from] hyper::Error),
}

impl AnswerBody {
    pub(super) const fn new(source: AnswerSource, busy: Option<Busy>) -> Self {
        Self { source, busy }
    }

    /// The connection behind a 101, and what keeps its server busy until it is dropped; `None` if there is none.
    #[must_use]
    pub fn into_upgraded(self) -> Option<(Upgraded, impl Sized)> {
        match self.source {
            AnswerSource::Alone(answer) => Some((answer.into_upgraded()?, self.busy)),
            AnswerSource::OnLane(_) => None,
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BrokenAnswer;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenAnswer>>> {
        match &mut self.source {
            AnswerSource::Alone(answer) => {
                let frame = ready!(Pin::new(answer).poll_frame(cx));
                Poll::Ready(frame.map(|frame| Ok(frame?)))
            }
            AnswerSource::OnLane(on_lane) => {
                let frame = ready!(Pin::new(&mut on_lane.0).poll_frame(cx));
                Poll::Ready(frame.map(|frame| Ok(frame?)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            AnswerSource::Alone(answer) => answer.is_end_stream(),
            AnswerSource::OnLane(on_lane) => on_lane.0.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            AnswerSource::Alone(answer) => answer.size_hint(),
            AnswerSource::OnLane(on_lane) => on_lane.0.size_hint(),
        }
    }
}
