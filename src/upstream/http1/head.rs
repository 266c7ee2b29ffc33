//! Heads: a request's is written, an answer's is read.

use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version};
use hyper::ext::ReasonPhrase;

use super::Http1Error;
use crate::http1::{MOST_FIELDS, name, number, says, write_fields};
use crate::route::values_of;

/// Writes a request's head as it stands, with the fields that join it, and that its body comes in chunks where it does.
pub(super) fn write(
    head: &Parts,
    joins: &[(HeaderName, HeaderValue)],
    is_chunked: bool,
    out: &mut Vec<u8>,
) {
    let target = head
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let (method, headers) = (head.method.as_str(), &head.headers);
    let length = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    let joins = joins.iter().map(|(name, value)| (name, value));
    let lengths =
        headers.iter().map(length).sum::<usize>() + joins.clone().map(length).sum::<usize>();
    out.reserve(method.len() + target.len() + 64 + lengths);
    for part in [method, " ", target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    write_fields(headers, out);
    write_fields(joins, out);
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

/// Takes the head of the answer to a call of `method` from `read`, behind those of 1xx, which say nothing that anybody waits
/// for; `None` while it has not come.
///
/// # Errors
///
/// When what is there is no head, or one that does not say where its body ends, or more than `most_bytes`.
pub(super) fn take(
    read: &mut BytesMut,
    method: &Method,
    most_bytes: usize,
) -> Result<Option<AnswerHead>, Http1Error> {
    while !read.is_empty() {
        let Some(head) = take_one(read, method, most_bytes)? else {
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
    let status = StatusCode::from_u16(parsed.code.unwrap_or_default());
    let status = status.map_err(|_| Http1Error::Head(httparse::Error::Status))?;
    let version = match parsed.version {
        Some(0) => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    let reason = parsed
        .reason
        .filter(|reason| status.canonical_reason() != Some(reason));
    let reason = reason.and_then(|reason| ReasonPhrase::try_from(reason.as_bytes()).ok());
    // Where fields are, so that values can be parts of what was read.
    let begin = read.as_ptr().addr();
    let place = |part: &[u8]| (part.as_ptr().addr() - begin, part.len());
    let places = parsed.headers.iter();
    let places = places.map(|field| (place(field.name.as_bytes()), place(field.value)));
    let places: Vec<_> = places.collect();
    let head = read.split_to(end).freeze();
    // Some fields of ours join them.
    let mut headers = HeaderMap::with_capacity(places.len() + 4);
    for ((begin, end), (at, length)) in places {
        let text = head.get(begin..begin + end).unwrap_or_default();
        let value = HeaderValue::from_maybe_shared(head.slice(at..at + length));
        headers.append(
            name(text).ok_or(Http1Error::Head(httparse::Error::HeaderName))?,
            value.map_err(|_| Http1Error::Head(httparse::Error::HeaderValue))?,
        );
    }
    let length = length(status, version, &headers, method)?;
    let keeps_alive = keeps_alive(version, &headers);
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.version_mut() = version;
    *response.headers_mut() = headers;
    if let Some(reason) = reason {
        response.extensions_mut().insert(reason);
    }
    Ok(Some(AnswerHead {
        response,
        length,
        keeps_alive,
    }))
}

/// How long the body behind a head is. What can be read in two ways is for `framing` to refuse; here it is read until the
/// connection ends, so that nothing behind it is taken for an answer.
fn length(
    status: StatusCode,
    version: Version,
    headers: &HeaderMap,
    method: &Method,
) -> Result<Length, Http1Error> {
    let has_no_body = status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || method == Method::HEAD;
    let coding = values_of(headers, &TRANSFER_ENCODING).next();
    let length = values_of(headers, &CONTENT_LENGTH).next();
    Ok(match (coding, length) {
        _ if has_no_body => Length::Known(0),
        // Before 1.1 nobody knew of it.
        (Some(_), _) if version == Version::HTTP_10 => return Err(Http1Error::Framing),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            Length::Chunked
        }
        (Some(_), _) | (None, None) => Length::UntilClose,
        (None, Some(length)) => Length::Known(number(length).ok_or(Http1Error::Framing)?),
    })
}

/// Whether the connection may be used again (RFC 9112, 9.3).
fn keeps_alive(version: Version, headers: &HeaderMap) -> bool {
    let says = |option| values_of(headers, &CONNECTION).any(|value| says(value, option));
    if values_of(headers, &CONNECTION).next().is_none() {
        return version == Version::HTTP_11;
    }
    !says(b"close") && (version == Version::HTTP_11 || says(b"keep-alive"))
}

#[cfg(test)]
mod tests;
