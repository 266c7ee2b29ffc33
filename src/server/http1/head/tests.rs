use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use rstest::rstest;

use super::super::super::guard::{Guard, HeadLimits, Part};
use super::*;

const LIMITS: HeadLimits = HeadLimits {
    bytes: 32 * 1024,
    fields: 100,
};

/// What is taken of `bytes`, and what is left behind it.
fn taken(bytes: &[u8]) -> (Result<Head, FramingError>, BytesMut) {
    let mut read = BytesMut::from(bytes);
    let head = Head::take(&mut read);
    (head, read)
}

/// What a good head says.
fn head(bytes: &[u8]) -> Head {
    let (head, _) = taken(bytes);
    head.unwrap_or_else(|error| panic!("{error}"))
}

/// What a request line and these fields say of the framing, in words.
fn says_of(first: &str, fields: &str) -> String {
    let lines = fields.split(" | ").filter(|line| !line.is_empty());
    let lines = lines.map(|line| format!("{line}\r\n"));
    let text = format!("{first}\r\n{}\r\n", lines.collect::<String>());
    let Head { terms, length, .. } = head(text.as_bytes());
    let length = match length {
        Length::Known(length) => length.to_string(),
        Length::Chunked => "chunked".to_owned(),
    };
    let words = [
        (terms.is_head, "head"),
        (terms.is_http11, "1.1"),
        (terms.keeps_alive, "alive"),
        (terms.takes_trailers, "trailers"),
        (terms.expects_continue, "continue"),
    ];
    let words = words
        .into_iter()
        .filter_map(|(is, word)| is.then_some(word));
    words.chain([length.as_str()]).collect::<Vec<_>>().join(" ")
}

#[rstest]
#[case::nothing("", "1.1 alive 0")]
#[case::close("connection: close", "1.1 0")]
#[case::close_in_capitals("CONNECTION: CLOSE", "1.1 0")]
#[case::close_among_others("connection: te,\t Close ,x", "1.1 0")]
#[case::close_in_another_line("connection: te | x: y | Connection: close", "1.1 0")]
#[case::close_wins("connection: keep-alive | connection: close", "1.1 0")]
#[case::close_wins_before("connection: close, keep-alive", "1.1 0")]
#[case::closed_is_not_close("connection: closed, xclose, close x", "1.1 alive 0")]
#[case::close_elsewhere("proxy-connection: close | x: close", "1.1 alive 0")]
#[case::trailers("te: trailers", "1.1 alive trailers 0")]
#[case::trailers_among_others("TE: gzip;q=0.5, Trailers", "1.1 alive trailers 0")]
#[case::trailers_in_another_line("te: trailers | te: gzip", "1.1 alive trailers 0")]
#[case::other_codings("te: gzip, x-trailers", "1.1 alive 0")]
#[case::continue_expected("expect: 100-Continue", "1.1 alive continue 0")]
#[case::something_else_expected("expect: 200-ok", "1.1 alive 0")]
#[case::nothing_to_expect("expect:", "1.1 alive 0")]
#[case::length("content-length: 12", "1.1 alive 12")]
#[case::length_with_blanks("Content-Length:\t 12 \t", "1.1 alive 12")]
#[case::no_length("content-length: 0", "1.1 alive 0")]
#[case::longest("content-length: 9223372036854775807", "1.1 alive 9223372036854775807")]
#[case::chunked("transfer-encoding: chunked", "1.1 alive chunked")]
#[case::chunked_in_capitals("Transfer-Encoding: CHUNKED", "1.1 alive chunked")]
#[case::all(
    "te: trailers | connection: te | expect: 100-continue | transfer-encoding: chunked",
    "1.1 alive trailers continue chunked"
)]
fn fields_of_http_1_1_say_how_it_goes_on(#[case] fields: &str, #[case] expected: &str) {
    assert_eq!(says_of("POST / HTTP/1.1", fields), expected);
    assert_eq!(
        says_of("HEAD / HTTP/1.1", fields),
        format!("head {expected}")
    );
}

#[rstest]
#[case::nothing("", "0")]
#[case::alive("connection: Keep-Alive", "alive 0")]
#[case::alive_among_others("connection: te | connection: x, keep-alive", "alive 0")]
#[case::close_wins("connection: close | connection: keep-alive", "0")]
#[case::nobody_waits("expect: 100-continue | content-length: 3", "3")]
fn fields_of_http_1_0_say_how_it_goes_on(#[case] fields: &str, #[case] expected: &str) {
    assert_eq!(says_of("POST / HTTP/1.0", fields), expected);
}

#[test]
fn a_head_is_taken_and_nothing_behind_it() {
    let text = b"\r\nPUT /p?q HTTP/1.0\r\nA: 1\r\nb:2\r\na:\t3 \r\n\r\n";
    for behind in [&b""[..], b"\r\n", b"GET", b"\r\n\r\nGET / HTTP/1.1\r\n\r\n"] {
        let (head, left) = taken(&[text, behind].concat());
        let request = head.unwrap_or_else(|error| panic!("{error}")).request;
        assert_eq!(left, behind);
        assert_eq!(request.method, Method::PUT);
        assert_eq!(request.uri, "/p?q");
        assert_eq!(request.version, Version::HTTP_10);
        let fields = request.headers.iter();
        let fields = fields.map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
        let fields: Vec<_> = fields.collect();
        assert_eq!(fields, [("a", "1"), ("b", "2"), ("a", "3")]);
    }
}

#[rstest]
#[case::plain(b" v", b"v")]
#[case::no_blank(b"v", b"v")]
#[case::blanks_around(b" \t v \t ", b"v")]
#[case::blanks_within(b" a \tb ", b"a \tb")]
#[case::empty(b"", b"")]
#[case::only_blanks(b" \t ", b"")]
#[case::one_blank(b" ", b"")]
#[case::colons(b" :a:b:", b":a:b:")]
#[case::obs_text(b" \xff\x80 ", b"\xff\x80")]
#[case::utf8(" Jörg".as_bytes(), "Jörg".as_bytes())]
fn a_value_is_what_stands_between_blanks(#[case] written: &[u8], #[case] expected: &[u8]) {
    let text = [b"GET / HTTP/1.1\r\nx:", written, b"\r\ny: z\r\n\r\n"].concat();
    let headers = HeaderMap::from(head(&text).request.headers);
    assert_eq!(headers["x"].as_bytes(), expected);
    assert_eq!(headers["y"], "z");
}

#[rstest]
#[case::path("/a/b")]
#[case::asterisk("*")]
#[case::absolute("http://h:1/p?q=%20")]
#[case::authority("h:443")]
#[case::path_that_looks_like_more("//h/p")]
fn a_target_is_taken_as_it_stands(#[case] target: &str) {
    let text = format!("OPTIONS {target} HTTP/1.1\r\n\r\n");
    assert_eq!(head(text.as_bytes()).request.uri, target);
}

#[rstest]
#[case::no_uri("GET http:// HTTP/1.1\r\n\r\n", FramingError::Target)]
#[case::no_path("GET a/b HTTP/1.1\r\n\r\n", FramingError::Target)]
#[case::no_end("GET / HTTP/1.1\r\nhost: h\r\n", FramingError::RequestLine)]
#[case::no_line("\r\n\r\n", FramingError::RequestLine)]
#[case::no_target("GET HTTP/1.1\r\n\r\n", FramingError::RequestLine)]
#[case::no_method(" / HTTP/1.1\r\n\r\n", FramingError::RequestLine)]
#[case::a_later_version("PRI * HTTP/2.0\r\n\r\n", FramingError::RequestLine)]
#[case::an_unknown_version("GET / HTTP/1.2\r\n\r\n", FramingError::RequestLine)]
#[case::more_behind_the_version("GET / HTTP/1.1 \r\n\r\n", FramingError::RequestLine)]
#[case::no_colon("GET / HTTP/1.1\r\nhost\r\n\r\n", FramingError::FieldName)]
#[case::no_name("GET / HTTP/1.1\r\n: h\r\n\r\n", FramingError::FieldName)]
#[case::no_number("GET / HTTP/1.1\r\ncontent-length: +1\r\n\r\n", FramingError::Length)]
#[case::no_length("GET / HTTP/1.1\r\ncontent-length:\r\n\r\n", FramingError::Length)]
#[case::two_lengths("GET / HTTP/1.1\r\ncontent-length: 1, 1\r\n\r\n", FramingError::Length)]
fn what_is_no_head_is_refused(#[case] text: &str, #[case] expected: FramingError) {
    assert_eq!(taken(text.as_bytes()).0.err(), Some(expected));
}

/// Blanks that may stand round a value.
fn blanks() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![b' ', b'\t']), 0..3)
}

fn field() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        4 => "[-!#$%&'*+.^_`|~0-9A-Za-z]{1,20}",
        2 => prop::sample::select(vec!["X-Same", "x-same", "connection", "te", "expect"])
            .prop_map(str::to_owned),
    ];
    let within = prop_oneof![8 => 0x20..=0x7e_u8, 1 => Just(b'\t'), 1 => 0x80..=0xff_u8];
    let value = prop::collection::vec(within, 0..24);
    (name, blanks(), value, blanks()).prop_map(|(name, lead, value, tail)| {
        [name.as_bytes(), b":", &lead, &value, &tail, b"\r\n"].concat()
    })
}

/// A head, mostly a good one.
fn any_head() -> impl Strategy<Value = Vec<u8>> {
    let target = prop_oneof![
        6 => "/[-!$%&'()*+,./0-9:;=?@A-Z_a-z{|}~\\[\\]^\\\\]{0,30}",
        1 => "https?://[a-z.0-9:]{1,10}(/[a-z?&]{0,10})?",
        1 => "[-!$%&*+,./0-9:;=?@a-z]{1,12}",
    ];
    let framing = prop_oneof![
        3 => Just(String::new()),
        2 => (0..50_u8).prop_map(|length| format!("Content-Length: {length}\r\n")),
        1 => Just("transfer-encoding: chunked\r\n".to_owned()),
    ];
    let empty_line = prop::sample::select(vec!["", "", "\r\n"]);
    let version = prop::sample::select(vec!["1.1", "1.1", "1.0"]);
    let method = "GET|HEAD|POST|[-!#$%&'*+.^_`|~0-9A-Za-z]{1,12}";
    let fields = prop::collection::vec(field(), 0..8);
    let line = (empty_line, method, target, version);
    let line = line.prop_map(|(empty, method, target, version)| {
        format!("{empty}{method} {target} HTTP/{version}\r\n")
    });
    (line, fields, framing, any::<prop::sample::Index>()).prop_map(
        |(line, mut fields, framing, at)| {
            let at = at.index(fields.len() + 1);
            fields.insert(at, format!("{framing}Host: h\r\n").into_bytes());
            [line.into_bytes(), fields.concat(), b"\r\n".to_vec()].concat()
        },
    )
}

proptest! {
    /// What is made of a head is what another reader makes of it; and its body ends where the guard says.
    #[test]
    fn what_is_taken_is_what_stands_there(
        text in any_head(),
        behind in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut guard = Guard::http1(LIMITS);
        prop_assume!(guard.scan(&text) == text.len());
        let mut fields = [httparse::EMPTY_HEADER; 100];
        let mut other = httparse::Request::new(&mut fields);
        let end = other.parse(&text).unwrap();
        prop_assert_eq!(end, httparse::Status::Complete(text.len()));

        let (head, left) = taken(&[&text[..], &behind].concat());
        prop_assert_eq!(&left[..], &behind);
        let target = other.path.unwrap();
        let Ok(head) = head else {
            prop_assert_eq!(head.err(), Some(FramingError::Target));
            prop_assert!(target.parse::<Uri>().is_err());
            return Ok(());
        };
        prop_assert_eq!(head.request.method.as_str(), other.method.unwrap());
        prop_assert_eq!(&head.request.uri, &target.parse::<Uri>().unwrap());
        let is_http11 = other.version == Some(1);
        prop_assert_eq!(head.request.version == Version::HTTP_11, is_http11);
        prop_assert_eq!(head.terms.is_http11, is_http11);
        let mut expected = HeaderMap::new();
        for field in other.headers {
            let name = HeaderName::from_bytes(field.name.as_bytes()).unwrap();
            expected.append(name, HeaderValue::from_bytes(field.value).unwrap());
        }
        let headers = HeaderMap::from(head.request.headers.clone());
        prop_assert_eq!(headers, expected);

        // A byte that begins no head stands behind the body, where the guard stops.
        let body = match head.length {
            Length::Known(length) => vec![b'x'; usize::try_from(length).unwrap()],
            Length::Chunked => b"3\r\nabc\r\n0\r\n\r\n".to_vec(),
        };
        prop_assert_eq!(guard.scan(&[&body[..], b"\0"].concat()), body.len());
        prop_assert_eq!(guard.refused().map(|(_, part)| part), Some(Part::Head));
    }
}
