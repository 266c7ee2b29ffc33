use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::connect::Stream;
use super::health::Busy;

/// The body of an upstream's answer, frame by frame as it comes. Dropping it before its end ends the call at the upstream.
pub struct AnswerBody {
    incoming: Incoming,
    /// The server is busy with the call until its answer's end.
    _busy: Option<Busy>,
    /// And so is its connection, which others share.
    _stream: Option<Stream>,
}

impl AnswerBody {
    pub(super) const fn new(
        incoming: Incoming,
        busy: Option<Busy>,
        stream: Option<Stream>,
    ) -> Self {
        Self {
            incoming,
            _busy: busy,
            _stream: stream,
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
