//! A message as it is written: its head, and the parts of its body as the head says that they are framed.

use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName};
use tokio::io::AsyncWrite;

use super::write_fields;

/// Parts of a body up to so many bytes are copied behind what is to be written, which is cheaper than to write them apart.
pub const SMALL: usize = 4 * 1024;

/// So much is gathered before it is written, in bytes.
pub const ENOUGH: usize = 16 * 1024;

/// How a body is framed (RFC 9112, 6).
#[derive(Debug)]
pub enum Framing {
    /// So many bytes of it are to come.
    Length(u64),
    /// In chunks; of the trailers behind them these are written.
    Chunked(Vec<HeaderName>),
    /// The connection's end is its end.
    UntilClose,
    /// Nothing of it is to come.
    Over,
}

/// A body is shorter or longer than its message's head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is not as long as it says")]
pub struct WrongLength;

/// What was gathered of a message and is not written yet.
pub struct Framer {
    /// The head, small parts of the body, and what frames them.
    out: Vec<u8>,
    /// How much of that is written.
    written: usize,
    /// A large part, to be written behind it.
    part: Bytes,
    /// The end of a large part's chunk is not gathered yet.
    is_in_chunk: bool,
    framing: Framing,
}

impl Framer {
    /// A message whose head stands in `out`.
    #[must_use]
    pub const fn new(out: Vec<u8>, framing: Framing) -> Self {
        Self {
            out,
            written: 0,
            part: Bytes::new(),
            is_in_chunk: false,
            framing,
        }
    }

    /// The room that it was written from.
    #[must_use]
    pub fn into_room(self) -> Vec<u8> {
        self.out
    }

    /// Whether the body has come to its end, as far as its framing tells before it is asked.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.framing, Framing::Over | Framing::Length(0))
    }

    /// Whether more of the body should be put behind what is gathered before that is written.
    #[must_use]
    pub fn wants_more(&mut self) -> bool {
        if self.is_in_chunk && self.part.is_empty() {
            self.is_in_chunk = false;
            self.out.extend_from_slice(b"\r\n");
        }
        self.part.is_empty() && self.out.len() < ENOUGH && !self.is_over()
    }

    /// Whether all that was gathered is written.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.written == self.out.len() && self.part.is_empty()
    }

    /// How much is gathered and not written, in bytes.
    #[must_use]
    pub fn unwritten(&self) -> usize {
        self.out.len() - self.written + self.part.len()
    }

    /// Puts a part of the body behind what is gathered. An empty one is none: in chunks it would be the end.
    ///
    /// # Errors
    ///
    /// When it is more than the head says.
    pub fn put(&mut self, part: Bytes) -> Result<(), WrongLength> {
        if part.is_empty() {
            return Ok(());
        }
        let is_small = part.len() <= SMALL;
        match &mut self.framing {
            Framing::Length(left) => {
                *left = left.checked_sub(part.len() as u64).ok_or(WrongLength)?;
            }
            Framing::Chunked(_) => {
                // Writing into memory does not fail.
                let _ = write!(self.out, "{:x}\r\n", part.len());
                self.is_in_chunk = !is_small;
            }
            Framing::UntilClose => {}
            Framing::Over => return Err(WrongLength),
        }
        if is_small {
            self.out.extend_from_slice(&part);
            if let Framing::Chunked(_) = self.framing {
                self.out.extend_from_slice(b"\r\n");
            }
        } else {
            self.part = part;
        }
        Ok(())
    }

    /// Says that the body is over. Of its trailers those are written that were announced.
    ///
    /// # Errors
    ///
    /// When there was less of it than the head says.
    pub fn end(&mut self, trailers: &HeaderMap) -> Result<(), WrongLength> {
        match &self.framing {
            Framing::Length(1..) => return Err(WrongLength),
            Framing::Length(0) | Framing::UntilClose | Framing::Over => {}
            Framing::Chunked(announced) => {
                self.out.extend_from_slice(b"0\r\n");
                let fields = trailers.iter();
                let fields = fields.filter(|(name, _)| announced.contains(name));
                write_fields(fields, &mut self.out);
                self.out.extend_from_slice(b"\r\n");
            }
        }
        self.framing = Framing::Over;
        Ok(())
    }

    /// Writes once what is gathered; ready when something of it was taken. At most `most` bytes are offered, where that is said.
    ///
    /// # Errors
    ///
    /// The stream's.
    pub fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        most: Option<usize>,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = self.out.get(self.written..).unwrap_or_default();
        let stream = Pin::new(stream);
        let most = most.filter(|most| *most < self.unwritten());
        let written = if let Some(most) = most {
            ready!(stream.poll_write(cx, rest.get(..most).unwrap_or(rest)))?
        } else if self.part.is_empty() {
            ready!(stream.poll_write(cx, rest))?
        } else {
            let parts = [IoSlice::new(rest), IoSlice::new(&self.part)];
            ready!(stream.poll_write_vectored(cx, &parts))?
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        let of_rest = written.min(rest.len());
        self.written += of_rest;
        self.part.advance(written - of_rest);
        if self.is_written() {
            self.out.clear();
            self.written = 0;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
