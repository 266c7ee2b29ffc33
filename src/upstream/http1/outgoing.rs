//! A request on its way to the upstream.

use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    HOST, MAX_FORWARDS, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName};
use http_body::{Body, Frame};
use tokio::io::AsyncWrite;

use super::{Http1Error, head};
use crate::route::values_of;
use crate::upstream::connect::BoxError;
use crate::upstream::lent::{Lent, Outbound};

/// Parts of a body up to so many bytes are copied behind what is to be written, which is cheaper than to write them apart.
const SMALL: usize = 4 * 1024;

/// So much is gathered before it is written, in bytes.
const ENOUGH: usize = 16 * 1024;

/// What is still to be written of a request.
pub(super) struct Outgoing<B = Lent> {
    /// The head, small parts of the body, and what frames them.
    out: Vec<u8>,
    /// How much of that is written.
    written: usize,
    /// The most that the first write may take.
    most_at_first: usize,
    /// A large part, to be written behind it.
    part: Bytes,
    request: Box<Outbound<B>>,
    framing: Framing,
    /// What was taken of the body, until anything is written.
    taken: Vec<Frame<Bytes>>,
    /// Anything was written.
    has_begun: bool,
    /// The head waited for the body's beginning, once.
    has_waited: bool,
}

enum Framing {
    /// So much of the body is to come.
    Length(u64),
    /// The end of a large part's chunk is not written yet, where that is said; these trailers were announced.
    Chunked {
        in_part: bool,
        announced: Vec<HeaderName>,
    },
    /// All of it was gathered.
    Over,
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
        let framing = Framing::of(&request.head.headers, &request.body);
        out.clear();
        head::write(
            &request.head,
            matches!(framing, Framing::Chunked { .. }),
            &mut out,
        );
        Self {
            out,
            written: 0,
            most_at_first,
            part: Bytes::new(),
            framing,
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
        (self.request, self.taken, self.out)
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
            while self.written < self.out.len() || !self.part.is_empty() {
                ready!(self.poll_write(stream, cx)).map_err(NotSent::Connection)?;
            }
            self.out.clear();
            self.written = 0;
            // Under TLS, what is written may not have been sent.
            let flushed = Pin::new(&mut *stream).poll_flush(cx);
            ready!(flushed).map_err(NotSent::Connection)?;
            if is_waiting {
                return Poll::Pending;
            }
            if let Framing::Over = self.framing {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = self.out.get(self.written..).unwrap_or_default();
        let stream = Pin::new(stream);
        let written = if !self.has_begun && self.most_at_first < rest.len() + self.part.len() {
            let first = rest.get(..self.most_at_first).unwrap_or(rest);
            ready!(stream.poll_write(cx, first))?
        } else if self.part.is_empty() {
            ready!(stream.poll_write(cx, rest))?
        } else {
            let parts = [IoSlice::new(rest), IoSlice::new(&self.part)];
            ready!(stream.poll_write_vectored(cx, &parts))?
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        if !self.has_begun {
            self.has_begun = true;
            self.taken = Vec::new();
        }
        let of_rest = written.min(rest.len());
        self.written += of_rest;
        self.part.advance(written - of_rest);
        Poll::Ready(Ok(()))
    }

    /// Gathers what there is of the body, until there is enough; whether more is to come that is not there.
    fn gather(&mut self, cx: &mut Context<'_>) -> Result<bool, Http1Error> {
        if let Framing::Chunked {
            in_part: in_part @ true,
            ..
        } = &mut self.framing
            && self.part.is_empty()
        {
            *in_part = false;
            self.out.extend_from_slice(b"\r\n");
        }
        while self.part.is_empty() && self.out.len() < ENOUGH {
            if let Framing::Over | Framing::Length(0) = self.framing {
                self.framing = Framing::Over;
                return Ok(false);
            }
            let frame = match Pin::new(&mut self.request.body).poll_frame(cx) {
                Poll::Pending => return Ok(true),
                Poll::Ready(frame) => frame.transpose().map_err(Http1Error::RequestBody)?,
            };
            match frame.map(Frame::into_data) {
                None => self.end(&HeaderMap::new())?,
                Some(Ok(part)) => self.take(part)?,
                Some(Err(frame)) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    self.end(&trailers)?;
                    if !self.has_begun {
                        self.taken.push(Frame::trailers(trailers));
                    }
                }
            }
        }
        Ok(false)
    }

    /// Puts a part of the body behind what is gathered.
    fn take(&mut self, part: Bytes) -> Result<(), Http1Error> {
        if part.is_empty() {
            // Over HTTP/1.1 that would be the end.
            return Ok(());
        }
        if !self.has_begun {
            self.taken.push(Frame::data(part.clone()));
        }
        let is_small = part.len() <= SMALL;
        match &mut self.framing {
            Framing::Length(left) => {
                let rest = left.checked_sub(part.len() as u64);
                *left = rest.ok_or(Http1Error::RequestLength)?;
            }
            Framing::Chunked { in_part, .. } => {
                // Writing into memory does not fail.
                let _ = write!(self.out, "{:x}\r\n", part.len());
                *in_part = !is_small;
            }
            Framing::Over => {}
        }
        if is_small {
            self.out.extend_from_slice(&part);
            if let Framing::Chunked { .. } = self.framing {
                self.out.extend_from_slice(b"\r\n");
            }
        } else {
            self.part = part;
        }
        Ok(())
    }

    /// Says that the body is over. Of its trailers those go on that its head announced (RFC 9110, 6.5.1).
    fn end(&mut self, trailers: &HeaderMap) -> Result<(), Http1Error> {
        match &self.framing {
            Framing::Length(1..) => return Err(Http1Error::RequestLength),
            Framing::Length(0) | Framing::Over => {}
            Framing::Chunked { announced, .. } => {
                self.out.extend_from_slice(b"0\r\n");
                let fields = trailers.iter();
                let fields = fields.filter(|(name, _)| announced.contains(name));
                head::write_fields(fields, &mut self.out);
                self.out.extend_from_slice(b"\r\n");
            }
        }
        self.framing = Framing::Over;
        Ok(())
    }
}

impl Framing {
    /// How a body is framed: as its head says, or in chunks where that says nothing.
    fn of(headers: &HeaderMap, body: &impl Body) -> Self {
        let is_over = body.is_end_stream();
        if let Some(length) = values_of(headers, &CONTENT_LENGTH).next() {
            // One that is no number is none of the body's.
            return Self::Length(head::number(length).unwrap_or_default());
        }
        if is_over {
            return Self::Over;
        }
        let names = values_of(headers, &TRAILER);
        let names = names.flat_map(|names| names.as_bytes().split(|byte| *byte == b','));
        let name = |name: &[u8]| HeaderName::from_bytes(name.trim_ascii()).ok();
        Self::Chunked {
            in_part: false,
            announced: names.filter_map(name).filter(may_trail).collect(),
        }
    }
}

/// Whether a field may stand behind a body: none that says how to read it, or what to do with it (RFC 9110, 6.5.1). hyper's
/// list.
fn may_trail(name: &HeaderName) -> bool {
    const NEVER: [HeaderName; 12] = [
        AUTHORIZATION,
        CACHE_CONTROL,
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        CONTENT_RANGE,
        CONTENT_TYPE,
        HOST,
        MAX_FORWARDS,
        SET_COOKIE,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
    ];
    !NEVER.contains(name)
}

#[cfg(test)]
mod tests;
