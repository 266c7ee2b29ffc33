//! Requests that are none, one by one.

use super::{Fields, block, field, good};
use crate::support::frames::{DATA, END_HEADERS, END_STREAM, Fate, FrameCaller, HEADERS, frame};
use crate::support::keyward::TestKeyward;

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// It goes on.
    Forwarded,
    /// It is answered so.
    Status(u16),
    /// Its stream is reset: it is malformed (RFC 9113 8.1.1).
    Reset,
    /// Its connection ends: a name or a value that is none is an error of the whole block to h2.
    Ends,
}

use Expected::{Ends, Forwarded, Reset, Status};

/// How a good request is changed.
enum Change {
    /// A field is taken away.
    Without(&'static str),
    /// A field has this value.
    With(&'static str, &'static [u8]),
    /// A field more, at the end.
    And(&'static [u8], &'static [u8]),
    /// A field more, at the beginning.
    First(&'static [u8], &'static [u8]),
}

use Change::{And, First, With, Without};

const ROWS: &[(&str, Expected, &[Change])] = &[
    ("a good one", Forwarded, &[]),
    ("te: trailers", Forwarded, &[And(b"te", b"trailers")]),
    ("the same host again", Forwarded, &[And(b"host", b"h")]),
    (
        "a host and no authority",
        Forwarded,
        &[Without(":authority"), And(b"host", b"h")],
    ),
    // Pseudo-headers (RFC 9113 8.3).
    ("no method", Reset, &[Without(":method")]),
    ("no scheme", Reset, &[Without(":scheme")]),
    ("no path", Reset, &[Without(":path")]),
    ("no host at all", Status(400), &[Without(":authority")]),
    ("an empty path", Reset, &[With(":path", b"")]),
    ("two methods", Reset, &[First(b":method", b"GET")]),
    (
        "two paths",
        Reset,
        &[First(b":path", b"/models/m2/predict")],
    ),
    (
        "two equal paths",
        Reset,
        &[First(b":path", b"/models/m/predict")],
    ),
    ("two schemes", Reset, &[First(b":scheme", b"https")]),
    ("two authorities", Reset, &[First(b":authority", b"h")]),
    ("a status", Reset, &[First(b":status", b"200")]),
    ("an unknown pseudo-header", Ends, &[First(b":model", b"m")]),
    ("a pseudo-header without a name", Ends, &[First(b":", b"x")]),
    (
        "a pseudo-header behind a field",
        Reset,
        &[First(b"x-a", b"1")],
    ),
    (
        "a path behind the fields",
        Reset,
        &[Without(":path"), And(b":path", b"/models/m/predict")],
    ),
    (
        "a protocol (extended CONNECT)",
        Reset,
        &[
            With(":method", b"CONNECT"),
            First(b":protocol", b"websocket"),
        ],
    ),
    (
        "CONNECT with scheme and path",
        Reset,
        &[With(":method", b"CONNECT")],
    ),
    (
        "CONNECT",
        Status(405),
        &[
            With(":method", b"CONNECT"),
            Without(":scheme"),
            Without(":path"),
        ],
    ),
    ("TRACE", Status(405), &[With(":method", b"TRACE")]),
    (
        "a method that is no token",
        Ends,
        &[With(":method", b"PO ST")],
    ),
    ("an empty method", Ends, &[With(":method", b"")]),
    (
        "a path without a slash",
        Reset,
        &[With(":path", b"models/m/predict")],
    ),
    (
        "a star",
        Status(400),
        &[With(":method", b"OPTIONS"), With(":path", b"*")],
    ),
    (
        "a whole url for a path",
        Reset,
        &[With(":path", b"http://h/models/m/predict")],
    ),
    // h2 cuts it off before anybody sees it; what is judged and goes on is what is left.
    (
        "a fragment",
        Forwarded,
        &[With(":path", b"/models/m/predict#x")],
    ),
    (
        "a space in the path",
        Reset,
        &[With(":path", b"/models/m predict")],
    ),
    (
        "a line end in the path",
        Reset,
        &[With(":path", b"/models/m/predict\r\nx: y")],
    ),
    (
        "a NUL in the path",
        Reset,
        &[With(":path", b"/models/m\0/predict")],
    ),
    (
        "an 8-bit byte in the path",
        Status(400),
        &[With(":path", b"/models/\xc3\xa9/predict")],
    ),
    (
        "dots in the path",
        Status(400),
        &[With(":path", b"/models/m/../m2/predict")],
    ),
    ("another scheme", Status(400), &[With(":scheme", b"ftp")]),
    ("a scheme that is none", Reset, &[With(":scheme", b"h ttp")]),
    (
        "user information",
        Status(400),
        &[With(":authority", b"u@h")],
    ),
    ("an empty authority", Reset, &[With(":authority", b"")]),
    (
        "a list for an authority",
        Reset,
        &[With(":authority", b"h,g h")],
    ),
    (
        "a path in the authority",
        Reset,
        &[With(":authority", b"h/models")],
    ),
    ("another host", Status(400), &[And(b"host", b"g")]),
    (
        "two hosts",
        Status(400),
        &[And(b"host", b"h"), And(b"host", b"h")],
    ),
    // Fields of one connection (RFC 9113 8.2.2).
    ("connection", Reset, &[And(b"connection", b"close")]),
    (
        "connection that names a credential",
        Reset,
        &[And(b"connection", b"authorization")],
    ),
    ("keep-alive", Reset, &[And(b"keep-alive", b"timeout=5")]),
    (
        "proxy-connection",
        Reset,
        &[And(b"proxy-connection", b"close")],
    ),
    (
        "transfer-encoding",
        Reset,
        &[And(b"transfer-encoding", b"chunked")],
    ),
    ("upgrade", Reset, &[And(b"upgrade", b"h2c")]),
    ("te: gzip", Reset, &[And(b"te", b"gzip")]),
    (
        "te: trailers and more",
        Reset,
        &[And(b"te", b"trailers, gzip")],
    ),
    // Names and values (RFC 9113 8.2.1).
    ("a capital in a name", Ends, &[And(b"X-A", b"1")]),
    ("an empty name", Ends, &[And(b"", b"1")]),
    ("a space in a name", Ends, &[And(b"x a", b"1")]),
    ("a space behind a name", Ends, &[And(b"x-a ", b"1")]),
    ("a colon in a name", Ends, &[And(b"x:a", b"1")]),
    ("a line end in a name", Ends, &[And(b"x-a\r\nx-b", b"1")]),
    ("a NUL in a name", Ends, &[And(b"x\0", b"1")]),
    ("an 8-bit byte in a name", Ends, &[And(b"x\xe9", b"1")]),
    ("a line feed in a value", Ends, &[And(b"x-a", b"1\nx-b: 2")]),
    ("a return in a value", Ends, &[And(b"x-a", b"1\r2")]),
    ("a NUL in a value", Ends, &[And(b"x-a", b"1\x002")]),
    ("a DEL in a value", Ends, &[And(b"x-a", b"1\x7f")]),
    // Lengths (RFC 9113 8.1.1).
    (
        "two lengths that differ",
        Reset,
        &[And(b"content-length", b"2"), And(b"content-length", b"3")],
    ),
    (
        "two equal lengths",
        Status(400),
        &[And(b"content-length", b"2"), And(b"content-length", b"2")],
    ),
    (
        "a list of lengths",
        Reset,
        &[And(b"content-length", b"2, 2")],
    ),
    ("a signed length", Reset, &[And(b"content-length", b"+2")]),
    (
        "a hexadecimal length",
        Reset,
        &[And(b"content-length", b"0x2")],
    ),
    (
        "a length with a zero before it",
        Status(400),
        &[And(b"content-length", b"02")],
    ),
    ("an empty length", Reset, &[And(b"content-length", b"")]),
    (
        "the length as it is",
        Forwarded,
        &[And(b"content-length", b"2")],
    ),
    (
        "a length that is too short",
        Reset,
        &[And(b"content-length", b"1")],
    ),
    (
        "a length that is too long",
        Reset,
        &[And(b"content-length", b"3")],
    ),
    // Credentials (SECURITY C1).
    (
        "two keys",
        Status(401),
        &[And(b"authorization", b"Bearer x")],
    ),
];

fn change(mut fields: Fields, change: &Change) -> Fields {
    match change {
        Without(name) => fields.retain(|(each, _)| each != name.as_bytes()),
        With(name, value) => {
            let found = fields.iter_mut().find(|(each, _)| each == name.as_bytes());
            found.expect("a good request has it").1 = value.to_vec();
        }
        And(name, value) => fields.push((name.to_vec(), value.to_vec())),
        First(name, value) => fields.insert(0, (name.to_vec(), value.to_vec())),
    }
    fields
}

/// Sends the block and two bytes on a connection of its own; what becomes of it.
async fn play(keyward: &TestKeyward, block: &[u8]) -> Expected {
    let mut caller = FrameCaller::connect(keyward.addresses.proxy).await;
    caller.write(frame(HEADERS, END_HEADERS, 1, block)).await;
    caller.write(frame(DATA, END_STREAM, 1, b"hi")).await;
    match caller.fate(1).await {
        Fate::Answered(200) => Forwarded,
        Fate::Answered(status) => Status(status),
        Fate::Reset(_) => Reset,
        Fate::GoAway(_) | Fate::Closed => Ends,
    }
}

#[tokio::test]
async fn a_request_that_is_none_reaches_no_upstream() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let (mut wrong, mut forwarded) = (Vec::new(), 0);
    for (name, expected, changes) in ROWS {
        let fields = changes.iter().fold(good(&key), change);
        let became = play(&keyward, &block(&fields)).await;
        forwarded += usize::from(*expected == Forwarded);
        if became != *expected {
            wrong.push(format!("{name}: {became:?}, not {expected:?}"));
        }
        // A body that does not have its length may have begun to go on; it never comes whole.
        for seen in keyward.upstream.requests().into_iter().skip(forwarded) {
            if seen.body_end().await == crate::support::upstream::BodyEnd::Complete {
                wrong.push(format!("{name}: it reached the upstream"));
            }
        }
        forwarded = keyward.upstream.requests().len();
    }
    for seen in keyward.upstream.requests() {
        assert_eq!(seen.target, "/models/m/predict");
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(ROWS.len() >= 70, "{}", ROWS.len());
}

/// Trailers (RFC 9113 8.1) are the last frame of a stream. That no pseudo-header may stand in them h2 does not enforce; it
/// takes them off, and nobody sees them.
#[tokio::test]
async fn trailers_that_are_none_reach_no_upstream() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let trailers = |name: &str, value: &str| block(&vec![field(name, value)]);
    let rows = [
        (
            "good ones",
            END_HEADERS | END_STREAM,
            trailers("x-sum", "7"),
            true,
        ),
        ("not the last", END_HEADERS, trailers("x-sum", "7"), false),
        (
            "a path",
            END_HEADERS | END_STREAM,
            trailers(":path", "/models/m2/predict"),
            true,
        ),
        (
            "a method",
            END_HEADERS | END_STREAM,
            trailers(":method", "GET"),
            true,
        ),
        (
            "a status",
            END_HEADERS | END_STREAM,
            trailers(":status", "200"),
            true,
        ),
        (
            "a capital",
            END_HEADERS | END_STREAM,
            trailers("X-Sum", "7"),
            false,
        ),
        (
            "connection",
            END_HEADERS | END_STREAM,
            trailers("connection", "close"),
            false,
        ),
    ];
    for (name, flags, trailers, is_good) in rows {
        let before = keyward.upstream.requests().len();
        let mut caller = FrameCaller::connect(keyward.addresses.proxy).await;
        caller
            .write(frame(HEADERS, END_HEADERS, 1, &block(&good(&key))))
            .await;
        caller.write(frame(DATA, 0, 1, b"hi")).await;
        caller.write(frame(HEADERS, flags, 1, &trailers)).await;
        let fate = caller.fate(1).await;
        assert_eq!(fate == Fate::Answered(200), is_good, "{name}: {fate:?}");
        for seen in keyward.upstream.requests().into_iter().skip(before) {
            let whole = seen.body_end().await == crate::support::upstream::BodyEnd::Complete;
            assert_eq!(whole, is_good, "{name}");
            let mut names = seen
                .trailers()
                .unwrap_or_default()
                .into_iter()
                .map(|(name, _)| name);
            assert!(names.all(|name| name == "x-sum"), "{name}");
        }
    }
}

/// A stream, or a connection, that is used otherwise than RFC 9113 5.1 lets it be.
#[tokio::test]
async fn streams_are_used_in_their_order() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let head = block(&good(&key));
    let headers = |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &head);
    let rows: [(&str, Vec<u8>); 8] = [
        ("an even stream", headers(2)),
        ("stream zero", headers(0)),
        ("data before a head", frame(DATA, END_STREAM, 1, b"hi")),
        ("a stream that is behind", [headers(5), headers(3)].concat()),
        (
            "a continuation of nothing",
            frame(crate::support::frames::CONTINUATION, END_HEADERS, 1, &head),
        ),
        (
            "another frame between a head and its continuation",
            [
                frame(HEADERS, END_STREAM, 1, &head[..9]),
                frame(DATA, 0, 1, b""),
            ]
            .concat(),
        ),
        (
            "a frame larger than said",
            frame(DATA, 0, 1, &vec![0; 16_385]),
        ),
        (
            "a block that is no HPACK",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff; 40]),
        ),
    ];
    for (name, bytes) in rows {
        let mut caller = FrameCaller::connect(keyward.addresses.proxy).await;
        caller.write(bytes).await;
        // Nothing is ever answered on a stream that nobody opened.
        let fate = caller.fate(99).await;
        assert!(
            matches!(fate, Fate::GoAway(code) if code != 0),
            "{name}: {fate:?}"
        );
    }
    assert!(keyward.upstream.requests().len() <= 1);
}
