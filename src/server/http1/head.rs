//! A request's head, once the guard has let it through: what it says is taken down, not judged again.

use std::ops::Range;

use bytes::BytesMut;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};
use memchr::memchr;

use super::super::guard::FramingError;
use crate::http1::{Persistence, name, number, says, table};

/// A request's head, and what it says of how its body and its answer are framed.
pub(super) struct Head {
    pub(super) parts: Box<Parts>,
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

/// Room for taking heads, used again for each of a connection.
#[derive(Default)]
pub(super) struct Taker {
    /// The fields of a head, and where in it their values are.
    fields: Vec<(HeaderName, Range<usize>)>,
}

impl Taker {
    /// Takes the head that stands first in `read`, where the guard has let a whole one through.
    ///
    /// # Errors
    ///
    /// When the target is no URI, or there are more fields than a table of them holds. What the guard refuses is refused here
    /// too, in its words, should it ever come.
    pub(super) fn take(&mut self, read: &mut BytesMut) -> Result<Head, FramingError> {
        let (line, end) = self.look(read)?;
        let head = read.split_to(end).freeze();
        let target = Uri::from_maybe_shared(head.slice(line.target));
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.uri = target.map_err(|_| FramingError::Target)?;
        parts.version = if line.is_http11 {
            Version::HTTP_11
        } else {
            Version::HTTP_10
        };
        let mut length = Length::Known(0);
        let mut terms = Terms {
            is_head: line.method == Method::HEAD,
            is_http11: line.is_http11,
            keeps_alive: false,
            takes_trailers: false,
            expects_continue: false,
        };
        let mut said = Persistence::default();
        let headers = table(self.fields.len());
        let mut headers = headers.map_err(|_| FramingError::TooManyFields)?;
        for (name, value) in self.fields.drain(..) {
            let value = HeaderValue::from_maybe_shared(head.slice(value));
            let value = value.map_err(|_| FramingError::FieldValue)?;
            if name == CONTENT_LENGTH {
                length = Length::Known(number(&value).ok_or(FramingError::Length)?);
            } else if name == TRANSFER_ENCODING {
                length = Length::Chunked;
            } else if name == CONNECTION {
                if said.note(&value) {
                    continue;
                }
            } else if name == EXPECT {
                let is_known = value.as_bytes().eq_ignore_ascii_case(b"100-continue");
                terms.expects_continue = line.is_http11 && is_known;
            } else if name == TE {
                terms.takes_trailers |= says(&value, b"trailers");
            }
            let added = headers.try_append(name, value);
            added.map_err(|_| FramingError::TooManyFields)?;
        }
        terms.keeps_alive = said.lasts(line.is_http11);
        parts.method = line.method;
        parts.headers = headers;
        Ok(Head {
            parts: Box::new(parts),
            terms,
            length,
        })
    }

    /// Notes where the fields of the head that stands first are, behind an empty line or none; its first line, and where it
    /// ends.
    fn look(&mut self, read: &[u8]) -> Result<(RequestLine, usize), FramingError> {
        self.fields.clear();
        let begin = if read.starts_with(b"\r\n") { 2 } else { 0 };
        let mut lines = Lines { read, at: begin };
        let (at, line) = lines.next().ok_or(FramingError::RequestLine)?;
        let first = RequestLine::read(at, line).ok_or(FramingError::RequestLine)?;
        loop {
            let (at, line) = lines.next().ok_or(FramingError::RequestLine)?;
            if line.is_empty() {
                return Ok((first, lines.at));
            }
            self.fields.push(field(at, line)?);
        }
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
