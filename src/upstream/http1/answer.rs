use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};

use super::head::{AnswerHead, Length};
use super::rest::Rest;
use super::{Connection, Http1Error, Upgraded};
use crate::http1::{Chunks, Next, ReadBuffer};
use crate::message::Response;
use crate::upstream::pool::Idle;

/// An answer's body, frame by frame as it comes. Its connection is kept at its end; dropping it before closes the
/// connection.
pub(in crate::upstream) struct Answer {
    /// There until the end.
    connection: Option<Box<Connection>>,
    body: Reading,
    /// There when the connection may be used again.
    home: Option<Rc<Idle>>,
    rest: Option<Rest>,
}

enum Reading {
    /// So many bytes are to come.
    Length(u64),
    Chunks(Chunks),
    UntilClose,
}

impl Reading {
    /// What comes next of what is there; `None` when more must be read, or nothing comes any more.
    fn next(&mut self, read: &mut ReadBuffer) -> Result<Option<Frame<Bytes>>, Http1Error> {
        let here = match self {
            Self::Length(left) => usize::try_from(*left).unwrap_or(usize::MAX).min(read.len()),
            Self::UntilClose => read.len(),
            Self::Chunks(chunks) => {
                return Ok(match chunks.next(read)? {
                    Next::Data(part) => Some(Frame::data(part)),
                    Next::Trailers(trailers) => Some(Frame::trailers(trailers)),
                    Next::End | Next::More => None,
                });
            }
        };
        if let Self::Length(left) = self {
            *left -= here as u64;
        }
        Ok((here > 0).then(|| Frame::data(read.split_to(here).freeze())))
    }

    const fn is_over(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunks(chunks) => chunks.is_over(),
            Self::UntilClose => false,
        }
    }
}

impl Answer {
    /// What comes behind `head` on `connection`, which goes back to its `home` at the end if it may be used again; and what of the
    /// request is still sent.
    pub(super) fn behind(
        head: AnswerHead,
        connection: Box<Connection>,
        rest: Option<Rest>,
        home: Option<Rc<Idle>>,
    ) -> Response<Self> {
        let AnswerHead {
            response,
            length,
            keeps_alive,
        } = head;
        let mut answer = Self {
            connection: Some(connection),
            body: match length {
                Length::Known(bytes) => Reading::Length(bytes),
                Length::Chunked => Reading::Chunks(Chunks::default()),
                Length::UntilClose => Reading::UntilClose,
            },
            home: home.filter(|_| keeps_alive && length != Length::UntilClose),
            rest,
        };
        // Of one that changes protocols the connection is all there is.
        if response.status != StatusCode::SWITCHING_PROTOCOLS {
            answer.end_if_over();
        }
        response.map(|()| answer)
    }

    /// What is left of the connection of an answer that changed protocols.
    pub(in crate::upstream) fn into_upgraded(self) -> Option<Upgraded> {
        let Connection { stream, read, .. } = *self.connection?;
        Some(Upgraded::new(stream, read.into_bytes()))
    }

    /// At the end, keeps the connection if it can be used again.
    fn end_if_over(&mut self) {
        if !self.body.is_over() {
            return;
        }
        if let Some(rest) = self.rest.take() {
            rest.go_on();
        }
        if let (Some(mut connection), Some(home)) = (self.connection.take(), self.home.take()) {
            // What came behind the end nobody asked for.
            if connection.read.is_empty() {
                connection.rest();
                home.keep(connection);
            }
        }
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Frame<Bytes>>, Http1Error>> {
        if let Some(rest) = &mut self.rest
            && let Poll::Ready(error) = rest.poll_failed(cx)
        {
            return Poll::Ready(Err(error));
        }
        while let Some(connection) = &mut self.connection {
            let next = self.body.next(&mut connection.read)?;
            if next.is_some() || self.body.is_over() {
                self.end_if_over();
                return Poll::Ready(Ok(next));
            }
            match ready!(connection.poll_read(cx)).map_err(Http1Error::Io)? {
                0 if matches!(self.body, Reading::UntilClose) => self.body = Reading::Length(0),
                0 => return Poll::Ready(Err(Http1Error::Incomplete)),
                _ => {}
            }
        }
        Poll::Ready(Ok(None))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Http1Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Http1Error>>> {
        self.poll_next(cx).map(Result::transpose)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Reading::Length(left) => SizeHint::with_exact(*left),
            Reading::Chunks(_) | Reading::UntilClose => SizeHint::new(),
        }
    }
}
