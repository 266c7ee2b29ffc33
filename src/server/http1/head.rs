//! A request's head, once the guard has let it through: what it says is taken down, not judged again.

use std::ops::Range;

use bytes::BytesMut;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRANSFER_ENCODING};
use http::{HeaderName, Method, Uri, Version};
use memchr::memchr;

use super::super::guard::FramingError;
use crate::http1::{Persistence, name, number, says};
use crate::message::{Places, RequestHead};

/// A request's head, and what it says of how its body and its answer are framed.
pub(super) struct Head {
    pub(super) request: Box<RequestHead>,
    pub(super) terms: Terms,
    pub(super) length: Length,
}

/// How long a request's body is (RFC 9112, 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// So many bytes; none where nothing is said.
    Known(u64),
    /// The chunks say.
    Chunked,
}

/// How a request wants to be answered.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is something that a head says, and none of them excludes another"
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    /// The answer has no body.
    pub(super) is_head: bool,
    /// It is of HTTP/1.1, not 1.0.
    pub(super) is_http11: bool,
    /// Another request may follow (RFC 9112, 9.3).
    pub(super) keeps_alive: bool,
    /// Trailers are taken (RFC 9110, 6.5.1).
    pub(super) takes_trailers: bool,
    /// The body is kept back until it is asked for (RFC 9110, 10.1.1).
    pub(super) expects_continue: bool,
}

impl Terms {
    /// How one is answered that was refused before anything of it was understood: as the last.
    pub(super) const REFUSED: Self = Self {
        is_head: false,
        is_http11: true,
        keeps_alive: false,
        takes_trailers: false,
        expects_continue: false,
    };
}

impl Head {
    /// Takes the head that stands first in `read`, behind an empty line or none, where the guard has let a whole one through.
    ///
    /// # Errors
    ///
    /// When the target is no URI. Which bytes a value has, the guard alone has judged; what else it refuses is refused here too,
    /// in its words, should it ever come.
    pub(super) fn take(read: &mut BytesMut) -> Result<Self, FramingError> {
        let begin = if read.starts_with(b"\r\n") { 2 } else { 0 };
        let mut lines = Lines { read, at: begin };
        let (at, line) = lines.next().ok_or(FramingError::RequestLine)?;
        let line = RequestLine::read(at, line).ok_or(FramingError::RequestLine)?;
        let mut places = Places::new();
        let mut said = Said::default();
        loop {
            let (at, line) = lines.next().ok_or(FramingError::RequestLine)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = field(at, line)?;
            if !said.note(&name, read.get(value.clone()).unwrap_or_default())? {
                places.note(name, value);
            }
        }
        let end = lines.at;
        let head = read.split_to(end).freeze();
        let target = Uri::from_maybe_shared(head.slice(line.target));
        let is_head = line.method == Method::HEAD;
        Ok(Self {
            request: Box::new(RequestHead {
                method: line.method,
                uri: target.map_err(|_| FramingError::Target)?,
                version: if line.is_http11 {
                    Version::HTTP_11
                } else {
                    Version::HTTP_10
                },
                headers: places.within(head),
            }),
            terms: Terms {
                is_head,
                is_http11: line.is_http11,
                keeps_alive: said.connection.lasts(line.is_http11),
                takes_trailers: said.takes_trailers,
                expects_continue: line.is_http11 && said.expects_continue,
            },
            length: said.length.unwrap_or(Length::Known(0)),
        })
    }
}

/// What a head's fields say of its framing and its answer's.
#[derive(Default)]
struct Said {
    length: Option<Length>,
    connection: Persistence,
    takes_trailers: bool,
    expects_continue: bool,
}

impl Said {
    /// Notes what a field says; whether that was all for which it was there.
    fn note(&mut self, name: &HeaderName, value: &[u8]) -> Result<bool, FramingError> {
        if *name == CONTENT_LENGTH {
            let length = number(value).ok_or(FramingError::Length)?;
            self.length = Some(Length::Known(length));
        } else if *name == TRANSFER_ENCODING {
            self.length = Some(Length::Chunked);
        } else if *name == CONNECTION {
            return Ok(self.connection.note(value));
        } else if *name == EXPECT {
            self.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
        } else if *name == TE {
            self.takes_trailers |= says(value, b"trailers");
        }
        Ok(false)
    }
}

/// What a head's first line says (RFC 9112, 3).
struct RequestLine {
    method: Method,
    target: Range<usize>,
    is_http11: bool,
}

impl RequestLine {
    /// Reads it from a line that begins `at`.
    fn read(at: usize, line: &[u8]) -> Option<Self> {
        let method = memchr(b' ', line)?;
        let behind = line.get(method + 1..)?;
        let target = memchr(b' ', behind)?;
        let begin = at + method + 1;
        Some(Self {
            method: Method::from_bytes(line.get(..method)?).ok()?,
            target: begin..begin + target,
            is_http11: match behind.get(target + 1..)? {
                b"HTTP/1.1" => true,
                b"HTTP/1.0" => false,
                _ => return None,
            },
        })
    }
}

/// The lines of a head.
struct Lines<'h> {
    read: &'h [u8],
    at: usize,
}

impl<'h> Lines<'h> {
    /// Where the next line begins, and the line without its end.
    fn next(&mut self) -> Option<(usize, &'h [u8])> {
        let at = self.at;
        let rest = self.read.get(at..)?;
        let end = memchr(b'\n', rest)?;
        self.at = at + end + 1;
        Some((at, rest.get(..end)?.strip_suffix(b"\r")?))
    }
}

/// The name of the field whose line begins `at`, and where its value is.
fn field(at: usize, line: &[u8]) -> Result<(HeaderName, Range<usize>), FramingError> {
    let colon = memchr(b':', line).ok_or(FramingError::FieldName)?;
    let (text, value) = line.split_at(colon);
    let name = name(text).ok_or(FramingError::FieldName)?;
    let is_white = |byte: &&u8| matches!(byte, b' ' | b'\t');
    let value = value.get(1..).unwrap_or_default();
    let lead = value.iter().take_while(is_white).count();
    let tail = value.iter().rev().take_while(is_white).count();
    let begin = at + colon + 1 + lead;
    let end = (at + line.len() - tail).max(begin);
    Ok((name, begin..end))
}

#[cfg(test)]
mod tests;
