//! A request on its way to the upstream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, TRAILER};
use http_body::{Body, Frame};
use tokio::io::AsyncWrite;

use super::{Http1Error, head};
use crate::http1::{Framer, Framing, announced, number};
use crate::message::Fields;
use crate::upstream::connect::BoxError;
use crate::upstream::lent::{Lent, Outbound};

/// What is still to be written of a request.
pub(super) struct Outgoing<B = Lent> {
    framer: Framer,
    /// The most that the first write may take.
    most_at_first: usize,
    request: Box<Outbound<B>>,
    /// What was taken of the body, until anything is written.
    taken: Vec<Frame<Bytes>>,
    /// Anything was written.
    has_begun: bool,
    /// The head waited for the body's beginning, once.
    has_waited: bool,
}

/// Why a request does not go on.
pub(super) enum NotSent {
    /// The connection takes no more: nothing of it was taken, or something.
    Connection(io::Error),
    /// The body is not what it should be.
    Body(Http1Error),
}

impl<B> Outgoing<B>
where
    B: Body<Data = Bytes, Error = BoxError> + Unpin,
{
    /// A request of which nothing is written. `out` is room for it. The first write takes at most `most_at_first` bytes: as
    /// many as are written wholly or not at all.
    pub(super) fn new(request: Box<Outbound<B>>, mut out: Vec<u8>, most_at_first: usize) -> Self {
        let framing = framing(&request.head.headers, &request.body);
        out.clear();
        let is_chunked = matches!(framing, Framing::Chunked(_));
        head::write(&request.head, &request.joins, is_chunked, &mut out);
        Self {
            framer: Framer::new(out, framing),
            most_at_first,
            request,
            taken: Vec::new(),
            has_begun: false,
            has_waited: false,
        }
    }

    /// Whether anything of it was written.
    pub(super) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// The request, what was taken of its body if nothing was written, and the room.
    pub(super) fn into_parts(self) -> (Box<Outbound<B>>, Vec<Frame<Bytes>>, Vec<u8>) {
        (self.request, self.taken, self.framer.into_room())
    }

    /// Writes as much as there is and `stream` takes; is ready when all of it is there.
    pub(super) fn poll_send<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), NotSent>> {
        loop {
            let is_waiting = self.gather(cx).map_err(NotSent::Body)?;
            if is_waiting && !self.has_begun && !self.has_waited {
                // A small body is about to come: then one write is enough for both.
                self.has_waited = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            while !self.framer.is_written() {
                let most = (!self.has_begun).then_some(self.most_at_first);
                let written = self.framer.poll_write(most, stream, cx);
                ready!(written).map_err(NotSent::Connection)?;
                if !self.has_begun {
                    self.has_begun = true;
                    self.taken = Vec::new();
                }
            }
            // Under TLS, what is written may not have been sent.
            let flushed = Pin::new(&mut *stream).poll_flush(cx);
            ready!(flushed).map_err(NotSent::Connection)?;
            if is_waiting {
                return Poll::Pending;
            }
            if self.framer.is_over() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Gathers what there is of the body, until there is enough; whether more is to come that is not there.
    fn gather(&mut self, cx: &mut Context<'_>) -> Result<bool, Http1Error> {
        while self.framer.wants_more() {
            let frame = match Pin::new(&mut self.request.body).poll_frame(cx) {
                Poll::Pending => return Ok(true),
                Poll::Ready(frame) => frame.transpose().map_err(Http1Error::RequestBody)?,
            };
            match frame.map(Frame::into_data) {
                None => self.framer.end(&HeaderMap::new())?,
                Some(Ok(part)) => {
                    if !self.has_begun && !part.is_empty() {
                        self.taken.push(Frame::data(part.clone()));
                    }
                    self.framer.put(part)?;
                }
                Some(Err(frame)) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    self.framer.end(&trailers)?;
                    if !self.has_begun {
                        self.taken.push(Frame::trailers(trailers));
                    }
                }
            }
        }
        Ok(false)
    }
}

/// How a body is framed: as its head says, or in chunks where that says nothing.
fn framing(headers: &Fields, body: &impl Body) -> Framing {
    // Asked first: one that is sent again takes note that it is whole.
    let is_over = body.is_end_stream();
    if let Some(length) = headers.get_all(&CONTENT_LENGTH).next() {
        // One that is no number is none of the body's.
        return Framing::Length(number(length.as_bytes()).unwrap_or_default());
    }
    if is_over {
        return Framing::Over;
    }
    Framing::Chunked(announced(headers.get_all(&TRAILER)))
}

#[cfg(test)]
mod tests;
