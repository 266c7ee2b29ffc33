use http::{HeaderMap, HeaderValue};
use rstest::rstest;

use super::*;

const MOST: usize = 200;

/// What is taken of bytes that answer a call of `method`: `200 Known(5) kept`, and how much is left.
fn taken(bytes: &[u8], method: &Method) -> (String, usize) {
    let mut read = BytesMut::from(bytes);
    let taken = match AnswerHead::take(&mut read, method, MOST) {
        Ok(None) => "more".to_owned(),
        Ok(Some(head)) => {
            let AnswerHead {
                response,
                length,
                keeps_alive,
            } = head;
            let kept = if keeps_alive { "kept" } else { "closed" };
            format!("{} {length:?} {kept}", response.status.as_str())
        }
        Err(Http1Error::Framing) => "framing".to_owned(),
        Err(Http1Error::HeadTooLarge { limit }) => format!("too large: {limit}"),
        Err(Http1Error::Head(cause)) => format!("{cause:?}"),
        Err(error) => error.to_string(),
    };
    (taken, read.len())
}

#[rstest]
#[case::none("", false, "")]
#[case::some("y: 2\r\nz: 3\r\n", false, "y: 2\r\nz: 3\r\n")]
#[case::before_the_framing("y: 2\r\n", true, "y: 2\r\ntransfer-encoding: chunked\r\n")]
fn lines_join_the_fields_of_a_request(
    #[case] joins: &str,
    #[case] is_chunked: bool,
    #[case] expected: &str,
) {
    let request = http::Request::post("http://h/m?q").header("x", "1");
    let (head, ()) = request.body(()).unwrap().into_parts();
    let mut out = Vec::new();
    write(&head.into(), joins.as_bytes(), is_chunked, &mut out);
    let expected = format!("POST /m?q HTTP/1.1\r\nx: 1\r\n{expected}\r\n");
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[rstest]
#[case::counted("HTTP/1.1 200 OK | content-length: 5 || hello", "200 Known(5) kept", 5)]
#[case::zeros_before("HTTP/1.1 200 OK | content-length: 005 ||", "200 Known(5) kept", 0)]
#[case::the_longest(
    "HTTP/1.1 200 OK | content-length: 18446744073709551615 ||",
    "200 Known(18446744073709551615) kept",
    0
)]
#[case::overflow(
    "HTTP/1.1 200 OK | content-length: 18446744073709551616 ||",
    "framing",
    0
)]
#[case::sign("HTTP/1.1 200 OK | content-length: +7 ||", "framing", 0)]
#[case::negative("HTTP/1.1 200 OK | content-length: -7 ||", "framing", 0)]
#[case::hexadecimal("HTTP/1.1 200 OK | content-length: 0x7 ||", "framing", 0)]
#[case::nothing_said("HTTP/1.1 200 OK | content-length: ||", "framing", 0)]
#[case::list("HTTP/1.1 200 OK | content-length: 7, 7 ||", "framing", 0)]
#[case::chunks(
    "HTTP/1.1 200 OK | Transfer-Encoding: Chunked ||",
    "200 Chunked kept",
    0
)]
#[case::chunks_in_1_0("HTTP/1.0 200 OK | transfer-encoding: chunked ||", "framing", 0)]
#[case::another_coding(
    "HTTP/1.1 200 OK | transfer-encoding: gzip ||",
    "200 UntilClose kept",
    0
)]
#[case::two_codings(
    "HTTP/1.1 200 OK | transfer-encoding: gzip, chunked ||",
    "200 UntilClose kept",
    0
)]
#[case::length_and_chunks(
    "HTTP/1.1 200 OK | content-length: 7 | transfer-encoding: chunked ||",
    "200 UntilClose kept",
    0
)]
#[case::neither("HTTP/1.1 200 OK ||", "200 UntilClose kept", 0)]
#[case::no_reason("HTTP/1.1 200 | content-length: 5 ||", "200 Known(5) kept", 0)]
#[case::no_content(
    "HTTP/1.1 204 No Content | content-length: 5 ||",
    "204 Known(0) kept",
    0
)]
#[case::not_modified(
    "HTTP/1.1 304 Not Modified | content-length: 5 ||",
    "304 Known(0) kept",
    0
)]
#[case::other_protocols(
    "HTTP/1.1 101 Switching Protocols | upgrade: a || bytes",
    "101 Known(0) kept",
    5
)]
#[case::before_the_answer(
    "HTTP/1.1 100 Continue || HTTP/1.1 103 Early Hints | link: a || HTTP/1.1 200 OK | content-length: 5 || hello",
    "200 Known(5) kept",
    5
)]
#[case::only_before_the_answer("HTTP/1.1 100 Continue ||", "more", 0)]
#[case::half_of_it("HTTP/1.1 100 Continue || HTTP/1.1 20", "more", 11)]
#[case::says_close(
    "HTTP/1.1 200 OK | connection: close | content-length: 0 ||",
    "200 Known(0) closed",
    0
)]
#[case::says_close_among_others(
    "HTTP/1.1 200 OK | connection: x, Close | connection: keep-alive | content-length: 0 ||",
    "200 Known(0) closed",
    0
)]
#[case::says_close_last(
    "HTTP/1.1 200 OK | connection: keep-alive | connection: close | content-length: 0 ||",
    "200 Known(0) closed",
    0
)]
#[case::says_what_goes_without(
    "HTTP/1.1 200 OK | connection: x | content-length: 0 ||",
    "200 Known(0) kept",
    0
)]
#[case::an_old_one("HTTP/1.0 200 OK | content-length: 0 ||", "200 Known(0) closed", 0)]
#[case::an_old_one_with_an_option(
    "HTTP/1.0 200 OK | connection: x | content-length: 0 ||",
    "200 Known(0) closed",
    0
)]
#[case::an_old_one_that_stays(
    "HTTP/1.0 200 OK | connection: Keep-Alive | content-length: 0 ||",
    "200 Known(0) kept",
    0
)]
#[case::a_value_that_is_empty(
    "HTTP/1.1 200 OK | x-a: | content-length: 0 ||",
    "200 Known(0) kept",
    0
)]
#[case::another_protocol("SSH-2.0-OpenSSH_9.6 ||", "Version", 23)]
#[case::http_2("HTTP/2.0 200 OK ||", "Version", 19)]
#[case::a_status_of_two_digits("HTTP/1.1 20 OK ||", "Status", 18)]
#[case::a_status_that_is_none("HTTP/1.1 099 OK ||", "Status", 19)]
#[case::a_folded_line("HTTP/1.1 200 OK | x-a: 1 |  2 ||", "HeaderName", 32)]
#[case::a_blank_before_the_colon("HTTP/1.1 200 OK | x-a : 1 ||", "HeaderName", 27)]
#[case::no_name("HTTP/1.1 200 OK | : 1 ||", "HeaderName", 24)]
fn a_head_says_where_its_answer_ends(
    #[case] bytes: &str,
    #[case] expected: &str,
    #[case] left: usize,
) {
    let bytes = bytes
        .replace(" || ", "\r\n\r\n")
        .replace(" ||", "\r\n\r\n")
        .replace(" | ", "\r\n");
    let (head, rest) = taken(bytes.as_bytes(), &Method::GET);
    assert_eq!(head, expected);
    // Of one that is refused nothing is used.
    if expected.contains(' ') || expected == "more" {
        assert_eq!(rest, left);
    }
    // In whatever pieces it comes.
    for end in 0..bytes.len() {
        let (early, _) = taken(&bytes.as_bytes()[..end], &Method::GET);
        assert!(early == "more" || early == expected, "{early} at {end}");
    }
}

#[rstest]
#[case("content-length: 5\r\n")]
#[case("transfer-encoding: chunked\r\n")]
#[case("")]
fn an_answer_to_head_has_no_body(#[case] lines: &str) {
    let bytes = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
    let (head, _) = taken(bytes.as_bytes(), &Method::HEAD);
    assert_eq!(head, "200 Known(0) kept");
}

#[rstest]
#[case::the_largest(MOST, "200 Known(0) kept")]
#[case::too_large(MOST + 1, "too large: 200")]
fn a_head_has_its_limit_in_whatever_pieces_it_comes(#[case] size: usize, #[case] expected: &str) {
    let bytes = |padding: usize| {
        let padding = "x".repeat(padding);
        format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-a: {padding}\r\n\r\n")
    };
    let bytes = bytes(size - bytes(0).len()).into_bytes();
    assert_eq!(bytes.len(), size);
    assert_eq!(taken(&bytes, &Method::GET).0, expected);
    for end in 0..size {
        let early = taken(&bytes[..end], &Method::GET).0;
        assert_eq!(early, if end < MOST { "more" } else { expected }, "{end}");
    }
    // Each of those before the answer has it for itself.
    let hint = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(100);
    let all = [hint, bytes].concat();
    assert_eq!(taken(&all, &Method::GET).0, expected);
}

#[rstest]
#[case(MOST_FIELDS, true)]
#[case(MOST_FIELDS + 1, false)]
fn a_head_has_so_many_fields(#[case] count: usize, #[case] is_taken: bool) {
    let lines = "x: 1\r\n".repeat(count);
    let mut read = BytesMut::from(&*format!("HTTP/1.1 200 OK\r\n{lines}\r\n"));
    let head = AnswerHead::take(&mut read, &Method::GET, 64 * 1024);
    assert_eq!(head.is_ok(), is_taken);
}

#[test]
fn names_values_and_reasons_are_as_they_came() {
    let mut read =
        BytesMut::from("HTTP/1.1 299 Fine \r\nX-A: \t1 2\t \r\nx-b:\r\nX-A: \u{e9}\r\n\r\nrest");
    let head = AnswerHead::take(&mut read, &Method::GET, MOST)
        .unwrap()
        .unwrap();
    let mut expected = HeaderMap::new();
    for (name, value) in [("x-a", "1 2"), ("x-b", ""), ("x-a", "\u{e9}")] {
        expected.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    assert_eq!(HeaderMap::from(head.response.headers), expected);
    assert_eq!(head.response.reason.as_deref(), Some(&b"Fine "[..]));
    assert_eq!(&read[..], b"rest");
}
