//! A request's head, once the guard has let it through: what it says is taken down, not judged again.

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use memchr::memchr;

use super::super::guard::FramingError;
use crate::http1::{number, says};

/// A request's head, and what it says of how its body and its answer are framed.
pub(super) struct Head {
    pub(super) request: Request<()>,
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

/// Takes the head that stands first in `read`, where the guard has let a whole one through.
///
/// # Errors
///
/// When the target is no URI, or there are more fields than a table of them holds. What the guard refuses is refused here too,
/// in its words, should it ever come.
pub(super) fn take(read: &mut BytesMut) -> Result<Head, FramingError> {
    let (begin, end, count) = measure(read).ok_or(FramingError::RequestLine)?;
    let head = read.split_to(end).freeze();
    let mut lines = Lines {
        head: &head,
        at: begin,
    };
    let (method, target, is_http11) = lines.request_line().ok_or(FramingError::RequestLine)?;
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from_maybe_shared(target).map_err(|_| FramingError::Target)?;
    *request.version_mut() = if is_http11 {
        Version::HTTP_11
    } else {
        Version::HTTP_10
    };
    let mut length = Length::Known(0);
    let mut terms = Terms {
        is_head: request.method() == Method::HEAD,
        is_http11,
        keeps_alive: is_http11,
        takes_trailers: false,
        expects_continue: false,
    };
    let mut closes = false;
    // Some fields of ours join them.
    let mut headers = HeaderMap::with_capacity(count + 6);
    while let Some((name, value)) = lines.field()? {
        if name == CONTENT_LENGTH {
            length = Length::Known(number(&value).ok_or(FramingError::Length)?);
        } else if name == TRANSFER_ENCODING {
            length = Length::Chunked;
        } else if name == CONNECTION {
            closes |= says(&value, b"close");
            terms.keeps_alive |= says(&value, b"keep-alive");
        } else if name == EXPECT {
            let is_known = value.as_bytes().eq_ignore_ascii_case(b"100-continue");
            terms.expects_continue = is_http11 && is_known;
        } else if name == TE {
            terms.takes_trailers |= says(&value, b"trailers");
        }
        let added = headers.try_append(name, value);
        added.map_err(|_| FramingError::TooManyFields)?;
    }
    terms.keeps_alive &= !closes;
    *request.headers_mut() = headers;
    Ok(Head {
        request,
        terms,
        length,
    })
}

/// Where the request line begins, behind an empty line; where the head ends; and how many lines it has.
fn measure(read: &[u8]) -> Option<(usize, usize, usize)> {
    let begin = if read.starts_with(b"\r\n") { 2 } else { 0 };
    let (mut at, mut count) = (begin, 0);
    loop {
        let rest = read.get(at..)?;
        let line = memchr(b'\n', rest)?;
        at += line + 1;
        if line <= 1 {
            return Some((begin, at, count));
        }
        count += 1;
    }
}

/// The lines of a head.
struct Lines<'h> {
    head: &'h Bytes,
    at: usize,
}

impl<'h> Lines<'h> {
    /// The next line without its end, and where it begins.
    fn next(&mut self) -> Option<(usize, &'h [u8])> {
        let at = self.at;
        let rest = self.head.get(at..)?;
        let end = memchr(b'\n', rest)?;
        self.at = at + end + 1;
        Some((at, rest.get(..end)?.strip_suffix(b"\r")?))
    }

    fn request_line(&mut self) -> Option<(Method, Bytes, bool)> {
        let (at, line) = self.next()?;
        let method = memchr(b' ', line)?;
        let behind = line.get(method + 1..)?;
        let target = memchr(b' ', behind)?;
        let is_http11 = behind.get(target + 1..)? == b"HTTP/1.1";
        let begin = at + method + 1;
        Some((
            Method::from_bytes(line.get(..method)?).ok()?,
            self.head.slice(begin..begin + target),
            is_http11,
        ))
    }

    /// The next field; `None` at the end.
    fn field(&mut self) -> Result<Option<(HeaderName, HeaderValue)>, FramingError> {
        let Some((at, line)) = self.next().filter(|(_, line)| !line.is_empty()) else {
            return Ok(None);
        };
        let colon = memchr(b':', line).ok_or(FramingError::FieldName)?;
        let (name, value) = line.split_at(colon);
        let name = HeaderName::from_bytes(name).map_err(|_| FramingError::FieldName)?;
        let value = value.get(1..).unwrap_or_default();
        let is_white = |byte: &&u8| matches!(byte, b' ' | b'\t');
        let lead = value.iter().take_while(is_white).count();
        let tail = value.iter().rev().take_while(is_white).count();
        let begin = at + colon + 1 + lead;
        let end = (at + line.len() - tail).max(begin);
        let value = HeaderValue::from_maybe_shared(self.head.slice(begin..end));
        Ok(Some((name, value.map_err(|_| FramingError::FieldValue)?)))
    }
}
