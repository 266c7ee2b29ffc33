//! Heads: a request's is written, an answer's is read.

use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderName, Method, StatusCode};

use super::Http1Error;
use crate::http1::{MOST_FIELDS, Persistence, name, number, write_fields};
use crate::message::{Places, RequestHead, Response};

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

impl AnswerHead {
    /// Takes the head of the answer to a call of `method` from `read`, behind those of 1xx, which say nothing that anybody
    /// waits for; `None` while it has not come.
    ///
    /// # Errors
    ///
    /// When what is there is no head, or one that does not say where its body ends, or more than `most_bytes`.
    pub(super) fn take(
        read: &mut BytesMut,
        method: &Method,
        most_bytes: usize,
    ) -> Result<Option<Self>, Http1Error> {
        while !read.is_empty() {
            let Some(head) = Self::take_one(read, method, most_bytes)? else {
                return Ok(None);
            };
            let status = head.response.status;
            if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(Some(head));
            }
        }
        Ok(None)
    }

    fn take_one(
        read: &mut BytesMut,
        method: &Method,
        most_bytes: usize,
    ) -> Result<Option<Self>, Http1Error> {
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
        let status = StatusCode::from_u16(parsed.code.unwrap_or_default())
            .map_err(|_| Http1Error::Head(httparse::Error::Status))?;
        let is_http11 = parsed.version != Some(0);
        let usual = status.canonical_reason();
        let reason = parsed.reason.filter(|reason| usual != Some(reason));
        let reason = reason.map(|reason| reason.as_bytes().into());
        let begin = read.as_ptr().addr();
        let mut places = Places::new();
        let mut said = Said::default();
        for field in parsed.headers {
            let name = name(field.name.as_bytes());
            let name = name.ok_or(Http1Error::Head(httparse::Error::HeaderName))?;
            if !said.note(&name, field.value) {
                let at = field.value.as_ptr().addr() - begin;
                places.note(name, at..at + field.value.len());
            }
        }
        let length = said.length(status, is_http11, method)?;
        let headers = places.within(read.split_to(end).freeze());
        Ok(Some(Self {
            response: Response {
                status,
                reason,
                headers,
                body: (),
            },
            length,
            keeps_alive: said.connection.lasts(is_http11),
        }))
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
    fn note(&mut self, name: &HeaderName, value: &[u8]) -> bool {
        if *name == TRANSFER_ENCODING {
            let is_chunked = value.eq_ignore_ascii_case(b"chunked");
            self.coding.get_or_insert(is_chunked);
        } else if *name == CONTENT_LENGTH {
            self.length
                .get_or_insert_with(|| number(value).ok_or(NoNumber));
        } else if *name == CONNECTION {
            return self.connection.note(value);
        }
        false
    }

    /// How long the body behind the head is (RFC 9112, 6.3). Where that is not clear it is read until the connection ends, so
    /// that nothing behind it is taken for an answer.
    fn length(
        &self,
        status: StatusCode,
        is_http11: bool,
        method: &Method,
    ) -> Result<Length, Http1Error> {
        let has_no_body = status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            || method == Method::HEAD;
        Ok(match (self.coding, self.length) {
            _ if has_no_body => Length::Known(0),
            // Before 1.1 nobody knew of it.
            (Some(_), _) if !is_http11 => return Err(Http1Error::Framing),
            (Some(true), None) => Length::Chunked,
            (Some(_), _) | (None, None) => Length::UntilClose,
            (None, Some(length)) => Length::Known(length.map_err(|NoNumber| Http1Error::Framing)?),
        })
    }
}

#[cfg(test)]
mod tests;
