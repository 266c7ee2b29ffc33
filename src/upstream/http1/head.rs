//! Heads: a request's is written, an answer's is read.

use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version};
use hyper::ext::ReasonPhrase;

use super::Http1Error;
use crate::http1::{MOST_FIELDS, Persistence, name, number, table, write_fields};
use crate::message::RequestHead;

/// Writes a request's head as it stands, with the lines that join it, and that its body comes in chunks where it does.
pub(super) fn write(head: &RequestHead, joins: &[u8], is_chunked: bool, out: &mut Vec<u8>) {
    let target = head
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let (method, headers) = (head.method.as_str(), &head.headers);
    out.reserve(method.len() + target.len() + 64 + joins.len());
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write_fields(headers.iter(), out);
    out.extend_from_slice(joins);
    if is_chunked {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// How long an answer's body is (RFC 9112, 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// So many bytes; none where there is no body.
    Known(u64),
    /// The chunks say.
    Chunked,
    /// Until the connection ends.
    UntilClose,
}

/// An answer's head.
pub(super) struct AnswerHead {
    pub(super) response: Response<()>,
    pub(super) length: Length,
    /// Whether the connection may be used again.
    pub(super) keeps_alive: bool,
}

/// Takes answers' heads, with room that is used again for each of a connection.
#[derive(Default)]
pub(super) struct Taker {
    /// Where in a head its fields' names and values are.
    fields: Vec<(Range<usize>, Range<usize>)>,
}

impl Taker {
    /// Takes the head of the answer to a call of `method` from `read`, behind those of 1xx, which say nothing that anybody
    /// waits for; `None` while it has not come.
    ///
    /// # Errors
    ///
    /// When what is there is no head, or one that does not say where its body ends, or more than `most_bytes`.
    pub(super) fn take(
        &mut self,
        read: &mut BytesMut,
        method: &Method,
        most_bytes: usize,
    ) -> Result<Option<AnswerHead>, Http1Error> {
        while !read.is_empty() {
            let Some(head) = self.take_one(read, method, most_bytes)? else {
                return Ok(None);
            };
            let status = head.response.status();
            if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(Some(head));
            }
        }
        Ok(None)
    }

    fn take_one(
        &mut self,
        read: &mut BytesMut,
        method: &Method,
        most_bytes: usize,
    ) -> Result<Option<AnswerHead>, Http1Error> {
        let too_large = Http1Error::HeadTooLarge { limit: most_bytes };
        let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
        let mut parsed = httparse::Response::new(&mut []);
        let parser = httparse::ParserConfig::default();
        let taken = parser.parse_response_with_uninit_headers(&mut parsed, read, &mut fields);
        let end = match taken.map_err(Http1Error::Head)? {
            httparse::Status::Complete(end) if end > most_bytes => return Err(too_large),
            httparse::Status::Complete(end) => end,
            httparse::Status::Partial if read.len() >= most_bytes => return Err(too_large),
            httparse::Status::Partial => return Ok(None),
        };
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(parsed.code.unwrap_or_default())
            .map_err(|_| Http1Error::Head(httparse::Error::Status))?;
        if parsed.version == Some(0) {
            *response.version_mut() = Version::HTTP_10;
        }
        let usual = response.status().canonical_reason();
        if let Some(reason) = parsed.reason.filter(|reason| usual != Some(reason))
            && let Ok(reason) = ReasonPhrase::try_from(reason.as_bytes())
        {
            response.extensions_mut().insert(reason);
        }
        // So that values can be parts of what was read.
        let begin = read.as_ptr().addr();
        let place = |part: &[u8]| {
            let at = part.as_ptr().addr() - begin;
            at..at + part.len()
        };
        let places = parsed.headers.iter();
        let places = places.map(|field| (place(field.name.as_bytes()), place(field.value)));
        self.fields.extend(places);
        let head = read.split_to(end).freeze();
        let (headers, said) = self.table(&head).map_err(Http1Error::Head)?;
        *response.headers_mut() = headers;
        let length = said.length(&response, method)?;
        Ok(Some(AnswerHead {
            length,
            keeps_alive: said
                .connection
                .lasts(response.version() == Version::HTTP_11),
            response,
        }))
    }

    /// The fields of a head, and what they say.
    fn table(&mut self, head: &Bytes) -> Result<(HeaderMap, Said), httparse::Error> {
        let headers = table(self.fields.len());
        let mut headers = headers.map_err(|_| httparse::Error::TooManyHeaders)?;
        let mut said = Said::default();
        for (text, value) in self.fields.drain(..) {
            let name = name(head.get(text).unwrap_or_default());
            let name = name.ok_or(httparse::Error::HeaderName)?;
            let value = HeaderValue::from_maybe_shared(head.slice(value));
            let value = value.map_err(|_| httparse::Error::HeaderValue)?;
            if said.note(&name, &value) {
                continue;
            }
            let added = headers.try_append(name, value);
            added.map_err(|_| httparse::Error::TooManyHeaders)?;
        }
        Ok((headers, said))
    }
}

/// What an answer's fields say of its end, and of its connection. What can be read in two ways is for `framing` to refuse; here
/// the first counts.
#[derive(Default)]
struct Said {
    /// Whether the coding is that of chunks, where there is one.
    coding: Option<bool>,
    /// What the length is, where there is one.
    length: Option<Result<u64, NoNumber>>,
    /// What it says of the connection.
    connection: Persistence,
}

#[derive(Clone, Copy)]
struct NoNumber;

impl Said {
    /// Notes what a field says; whether that was all for which it was there.
    fn note(&mut self, name: &HeaderName, value: &HeaderValue) -> bool {
        if *name == TRANSFER_ENCODING {
            let is_chunked = value.as_bytes().eq_ignore_ascii_case(b"chunked");
            self.coding.get_or_insert(is_chunked);
        } else if *name == CONTENT_LENGTH {
            self.length
                .get_or_insert_with(|| number(value.as_bytes()).ok_or(NoNumber));
        } else if *name == CONNECTION {
            return self.connection.note(value.as_bytes());
        }
        false
    }

    /// How long the body behind the head is (RFC 9112, 6.3). Where that is not clear it is read until the connection ends, so
    /// that nothing behind it is taken for an answer.
    fn length(&self, head: &Response<()>, method: &Method) -> Result<Length, Http1Error> {
        let status = head.status();
        let has_no_body = status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            || method == Method::HEAD;
        Ok(match (self.coding, self.length) {
            _ if has_no_body => Length::Known(0),
            // Before 1.1 nobody knew of it.
            (Some(_), _) if head.version() == Version::HTTP_10 => return Err(Http1Error::Framing),
            (Some(true), None) => Length::Chunked,
            (Some(_), _) | (None, None) => Length::UntilClose,
            (None, Some(length)) => Length::Known(length.map_err(|NoNumber| Http1Error::Framing)?),
        })
    }
}

#[cfg(test)]
mod tests;
