use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::health::Busy;
use super::lent::Lent;
use super::pool::Lease;

/// The body of an upstream's answer, frame by frame as it comes. Dropping it before its end ends the call at the upstream.
pub struct AnswerBody {
    incoming: Incoming,
    /// The server is busy with the call until its answer's end.
    _busy: Option<Busy>,
    /// And so is the connection, or the call's place on it.
    _lease: Lease<Lent>,
}

impl AnswerBody {
    pub(super) const fn new(incoming: Incoming, busy: Option<Busy>, lease: Lease<Lent>) -> Self {
        Self {
            incoming,
            _busy: busy,
            _lease: lease,
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.incoming).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
