use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use proptest::prelude::*;
use rstest::rstest;

use super::*;

/// 2024-02-29, 12:34:56.
const fn second() -> u64 {
    1_709_210_096
}
const DATE_LINE: &str = "date: Thu, 29 Feb 2024 12:34:56 GMT\r\n";

type AnyBody = BoxBody<Bytes, std::convert::Infallible>;

/// A body that says how long it is.
fn known() -> AnyBody {
    Full::from("hello").boxed()
}

/// One that says that it is nothing.
fn empty() -> AnyBody {
    Empty::new().boxed()
}

/// One that does not.
fn unknown() -> AnyBody {
    let parts = futures_util::stream::iter([Ok(Frame::data(Bytes::from_static(b"hello")))]);
    StreamBody::new(parts).boxed()
}

/// Whoever asks: in words, what is not as it mostly is.
fn terms(words: &str) -> Terms {
    let is = |word| words.split(' ').any(|said| said == word);
    Terms {
        is_head: is("head"),
        is_http11: !is("1.0"),
        keeps_alive: !is("last"),
        takes_trailers: is("trailers"),
        expects_continue: false,
    }
}

/// What is written of an answer with these lines, but for its date line; how its body is framed, and what of the connection.
fn written(terms: Terms, status: u16, lines: &str, body: AnyBody) -> (String, String) {
    let mut response = http::Response::builder().status(status);
    for line in lines.split(" | ").filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        response = response.header(name, value);
    }
    let response = Response::from(response.body(body).unwrap());
    let mut out = b"before ".to_vec();
    let (framing, keeps_alive) = write(&response, b"", terms, second, &mut out);
    let out = String::from_utf8(out).unwrap();
    let out = out.strip_prefix("before ").unwrap().to_owned();
    let out = if response.headers.contains_key(&DATE) {
        out
    } else {
        assert_eq!(out.matches(DATE_LINE).count(), 1, "{out}");
        out.replace(DATE_LINE, "")
    };
    let head = out.replace("\r\n", "|");
    let framing = match framing {
        Framing::Length(length) => length.to_string(),
        Framing::Chunked(trailers) => format!("chunks {trailers:?}"),
        Framing::UntilClose => "until close".to_owned(),
        Framing::Over => "over".to_owned(),
    };
    let alive = if keeps_alive { "" } else { ", last" };
    (head, format!("{framing}{alive}"))
}

#[rstest]
// How long it is.
#[case::known("", 200, "", known(), "content-length: 5|", "5")]
#[case::empty("", 200, "", empty(), "content-length: 0|", "0")]
#[case::said("", 200, "content-length: 5", unknown(), "content-length: 5|", "5")]
#[case::said_otherwise("", 200, "content-length: 7", known(), "content-length: 7|", "7")]
#[case::said_and_known("", 200, "content-length: 5", known(), "content-length: 5|", "5")]
#[case::unknown("", 200, "", unknown(), "transfer-encoding: chunked|", "chunks []")]
#[case::no_number(
    "",
    200,
    "content-length: 5x",
    unknown(),
    "transfer-encoding: chunked|",
    "chunks []"
)]
#[case::coding_of_its_own("", 200, "transfer-encoding: gzip", known(), "content-length: 5|", "5")]
#[case::other_fields_stay(
    "",
    404,
    "a: 1 | b: 2 | a: 3",
    known(),
    "a: 1|a: 3|b: 2|content-length: 5|",
    "5"
)]
// Trailers.
#[case::trailers(
    "trailers",
    200,
    "trailer: ETag, host | trailer: x-a",
    unknown(),
    "trailer: ETag, host|trailer: x-a|transfer-encoding: chunked|",
    "chunks [\"etag\", \"x-a\"]"
)]
#[case::trailers_not_taken(
    "",
    200,
    "trailer: etag",
    unknown(),
    "trailer: etag|transfer-encoding: chunked|",
    "chunks []"
)]
#[case::no_place_for_trailers("trailers", 200, "trailer: etag", known(), "content-length: 5|", "5")]
#[case::no_trailers_in_1_0(
    "1.0 last trailers",
    200,
    "trailer: etag",
    unknown(),
    "",
    "until close, last"
)]
// No body.
#[case::head("head", 200, "", known(), "content-length: 5|", "over")]
#[case::head_said(
    "head",
    200,
    "content-length: 7",
    empty(),
    "content-length: 7|",
    "over"
)]
#[case::head_of_nobody_knows_what("head", 200, "", empty(), "", "over")]
#[case::head_of_chunks("head", 200, "transfer-encoding: chunked", unknown(), "", "over")]
#[case::no_content("", 204, "content-length: 0", empty(), "", "over")]
#[case::no_content_whatever_comes("", 204, "", known(), "", "over")]
#[case::not_modified("", 304, "", empty(), "", "over")]
#[case::not_modified_said("", 304, "content-length: 7", empty(), "content-length: 7|", "over")]
#[case::early("", 103, "content-length: 7", unknown(), "", "over")]
// The connection's end.
#[case::last(
    "last",
    200,
    "",
    known(),
    "content-length: 5|connection: close|",
    "5, last"
)]
#[case::says_last(
    "",
    200,
    "connection: close",
    known(),
    "connection: close|content-length: 5|",
    "5, last"
)]
#[case::says_last_in_other_letters(
    "last",
    200,
    "connection: x, Close",
    known(),
    "connection: x, Close|content-length: 5|",
    "5, last"
)]
#[case::last_and_head(
    "last head",
    200,
    "",
    known(),
    "content-length: 5|connection: close|",
    "over, last"
)]
#[case::old("1.0 last", 200, "", known(), "content-length: 5|", "5, last")]
#[case::old_and_alive(
    "1.0",
    200,
    "",
    known(),
    "content-length: 5|connection: keep-alive|",
    "5"
)]
#[case::old_and_of_no_length("1.0", 200, "", unknown(), "", "until close, last")]
#[case::old_head_of_no_length("1.0 head", 200, "", unknown(), "connection: keep-alive|", "over")]
#[case::switching(
    "",
    101,
    "connection: upgrade | upgrade: websocket",
    empty(),
    "connection: upgrade|upgrade: websocket|",
    "over"
)]
#[case::switching_and_leaving(
    "last",
    101,
    "connection: upgrade | upgrade: websocket",
    empty(),
    "connection: upgrade|upgrade: websocket|",
    "over, last"
)]
// The date.
#[case::dated("", 200, "date: then", known(), "date: then|content-length: 5|", "5")]
fn a_head_says_how_its_body_is_framed(
    #[case] words: &str,
    #[case] status: u16,
    #[case] lines: &str,
    #[case] body: AnyBody,
    #[case] expected: &str,
    #[case] framing: &str,
) {
    let terms = terms(words);
    let version = if terms.is_http11 { "1.1" } else { "1.0" };
    let status_code = StatusCode::from_u16(status).unwrap();
    let reason = status_code.canonical_reason().unwrap();
    let head = format!("HTTP/{version} {status} {reason}|{expected}|");
    let expected = (head, framing.to_owned());
    assert_eq!(written(terms, status, lines, body), expected);
}

#[test]
fn a_status_without_a_name_has_none() {
    let (head, _) = written(terms(""), 599, "", empty());
    assert_eq!(head, "HTTP/1.1 599 <none>|content-length: 0||");
}

#[test]
fn a_reason_is_kept() {
    let mut response = Response::new(empty());
    response.reason = Some(b"Very Well"[..].into());
    let mut out = Vec::new();
    write(&response, b"", terms(""), second, &mut out);
    assert!(out.starts_with(b"HTTP/1.1 200 Very Well\r\n"));
}

#[test]
fn a_value_of_any_bytes_is_written_as_it_is() {
    let mut response = Response::new(empty());
    let value = HeaderValue::from_bytes(b"\xff\t\xc3").unwrap();
    let name = HeaderName::from_static("x");
    response.headers.append(name, value);
    let mut out = Vec::new();
    write(&response, b"", terms(""), second, &mut out);
    assert!(out.starts_with(b"HTTP/1.1 200 OK\r\nx: \xff\t\xc3\r\n"));
}

/// The date line in a second.
fn date_at(second: u64) -> String {
    let mut out = Vec::new();
    write_date(second, &mut out);
    String::from_utf8(out).unwrap()
}

fn expected_at(second: u64) -> String {
    let then = UNIX_EPOCH + Duration::from_secs(second);
    format!("date: {}\r\n", httpdate::fmt_http_date(then))
}

#[test]
fn a_date_is_that_of_its_second() {
    // The first of all, too: nothing was written before.
    assert_eq!(date_at(0), "date: Thu, 01 Jan 1970 00:00:00 GMT\r\n");
    let second = second();
    for second in [second, second, second + 1, second] {
        assert_eq!(date_at(second), expected_at(second));
    }
}

proptest! {
    #[test]
    fn a_date_is_the_usual_one_in_whatever_order(seconds in prop::collection::vec(0..4_000_000_000_u64, 1..8)) {
        for second in seconds {
            prop_assert_eq!(date_at(second), expected_at(second));
        }
    }
}

#[test]
fn lines_join_the_fields_of_a_head() {
    let mut response = Response::new(empty());
    let name = HeaderName::from_static("x");
    response.headers.append(name, HeaderValue::from_static("1"));
    let mut out = Vec::new();
    write(&response, b"y: 2\r\n", terms(""), second, &mut out);
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("\r\nx: 1\r\ny: 2\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\n"), "{text}");
}
