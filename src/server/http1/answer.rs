//! An answer as it is written to a caller of HTTP/1: its head, and how its body is framed.

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::StatusCode;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRAILER, TRANSFER_ENCODING};
use http_body::Body;

use super::head::Terms;
use crate::http1::{Framing, announced, number, says, write_field, write_fields};
use crate::message::{Fields, Response};

/// Writes the head of the answer to a request of that `terms` behind what is in `out`; the lines `joins` stand behind its
/// fields. How its body is framed, and whether the connection can take another request behind it.
///
/// What a proxy must add is added here: a date (RFC 9110, 6.6.1), what frames the body (RFC 9112, 6), and whether the
/// connection ends (RFC 9112, 9.3, 9.6). `second` says which it is since 1970, where nobody has said.
pub(super) fn write(
    response: &Response<impl Body>,
    joins: &[u8],
    terms: Terms,
    second: impl FnOnce() -> u64,
    out: &mut Vec<u8>,
) -> (Framing, bool) {
    let (status, headers) = (response.status, &response.headers);
    out.extend_from_slice(if terms.is_http11 {
        b"HTTP/1.1 "
    } else {
        b"HTTP/1.0 "
    });
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    let usual = || status.canonical_reason().unwrap_or("<none>").as_bytes();
    out.extend_from_slice(response.reason.as_deref().unwrap_or_else(usual));
    out.extend_from_slice(b"\r\n");

    let said = Said::of(headers);
    let (framing, says_length) = framing(status, headers, said.length, &response.body, terms);
    let is_switching = status == StatusCode::SWITCHING_PROTOCOLS;
    let keeps_alive = terms.keeps_alive && !said.closes && !matches!(framing, Framing::UntilClose);
    let fields = headers.iter().filter(|(name, _)| {
        let is_framing = **name == CONTENT_LENGTH || **name == TRANSFER_ENCODING;
        let is_other = **name == TRAILER && !matches!(framing, Framing::Chunked(_));
        !is_framing && !is_other
    });
    write_fields(fields, out);
    out.extend_from_slice(joins);
    match (&framing, says_length) {
        (_, Some(length)) => {
            let mut digits = itoa::Buffer::new();
            write_field(&CONTENT_LENGTH, digits.format(length).as_bytes(), out);
        }
        (Framing::Chunked(_), None) => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        _ => {}
    }
    if !keeps_alive && !said.closes && terms.is_http11 && !is_switching {
        out.extend_from_slice(b"connection: close\r\n");
    } else if keeps_alive && !terms.is_http11 {
        out.extend_from_slice(b"connection: keep-alive\r\n");
    }
    if !said.has_date {
        write_date(second(), out);
    }
    out.extend_from_slice(b"\r\n");
    (framing, keeps_alive)
}

/// What an answer's fields say that matters here.
#[derive(Default)]
struct Said {
    length: Option<u64>,
    closes: bool,
    has_date: bool,
}

impl Said {
    fn of(headers: &Fields) -> Self {
        let mut said = Self::default();
        for (name, value) in headers.iter() {
            if *name == CONTENT_LENGTH {
                said.length = number(value.as_bytes());
            } else if *name == CONNECTION {
                said.closes |= says(value.as_bytes(), b"close");
            } else if *name == DATE {
                said.has_date = true;
            }
        }
        said
    }
}

/// How an answer's body is framed, and the length that its head says.
fn framing(
    status: StatusCode,
    headers: &Fields,
    length: Option<u64>,
    body: &impl Body,
    terms: Terms,
) -> (Framing, Option<u64>) {
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        return (Framing::Over, None);
    }
    let exact = body.size_hint().exact();
    let exact = exact.or_else(|| body.is_end_stream().then_some(0));
    if terms.is_head || status == StatusCode::NOT_MODIFIED {
        // Of what would have been sent (RFC 9110, 8.6); an empty body says nothing of that.
        return (Framing::Over, length.or(exact.filter(|exact| *exact > 0)));
    }
    match length.or(exact) {
        Some(length) => (Framing::Length(length), Some(length)),
        None if !terms.is_http11 => (Framing::UntilClose, None),
        None if terms.takes_trailers => {
            (Framing::Chunked(announced(headers.get_all(&TRAILER))), None)
        }
        None => (Framing::Chunked(Vec::new()), None),
    }
}

/// Writes which second it is since 1970: the text is made once for each.
fn write_date(second: u64, out: &mut Vec<u8>) {
    thread_local! {
        static LAST: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
    }
    LAST.with_borrow_mut(|(last, text)| {
        if *last != second || text.is_empty() {
            *last = second;
            let now: SystemTime = UNIX_EPOCH + Duration::from_secs(second);
            *text = format!("date: {}\r\n", httpdate::fmt_http_date(now));
        }
        out.extend_from_slice(text.as_bytes());
    });
}

#[cfg(test)]
mod tests;
