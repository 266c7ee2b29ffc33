//! Every byte in every place where some are allowed and others end the connection. Which those are is said here once more, in
//! the words of the standards and not of the guard.

use super::judge;

/// What stands before the byte, what stands behind it, and which bytes may stand there.
type Place = (&'static str, &'static str, fn(u8) -> bool);

/// RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What stands in a URI (RFC 3986, 2), and what browsers send raw besides; no fragment (RFC 9112, 3.2).
fn is_target(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"#<>`".contains(&byte)
}

/// RFC 9110, 5.5: visible, white space, or not ASCII.
fn is_value(byte: u8) -> bool {
    byte.is_ascii_graphic() || is_white(byte) || byte >= 0x80
}

/// RFC 9110, 5.6.3.
fn is_white(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

fn is_return(byte: u8) -> bool {
    byte == b'\r'
}

const PLACES: [(&str, Place); 21] = [
    (
        "first of a method",
        ("", "ET / HTTP/1.1\r\nHost: h\r\n\r\n", is_token),
    ),
    (
        "in a method",
        ("G", "T / HTTP/1.1\r\nHost: h\r\n\r\n", is_token),
    ),
    (
        "first of a target",
        ("GET ", "x HTTP/1.1\r\nHost: h\r\n\r\n", is_target),
    ),
    (
        "in a target",
        ("GET /", "x HTTP/1.1\r\nHost: h\r\n\r\n", is_target),
    ),
    (
        "the major version",
        ("GET / HTTP/", ".1\r\nHost: h\r\n\r\n", |byte| byte == b'1'),
    ),
    (
        "the dot of the version",
        ("GET / HTTP/1", "1\r\nHost: h\r\n\r\n", |byte| byte == b'.'),
    ),
    (
        "the minor version",
        ("GET / HTTP/1.", "\r\nHost: h\r\n\r\n", |byte| {
            matches!(byte, b'0' | b'1')
        }),
    ),
    (
        "behind the version",
        ("GET / HTTP/1.1", "\nHost: h\r\n\r\n", is_return),
    ),
    (
        "first of a name",
        ("GET / HTTP/1.1\r\nHost: h\r\n", "X: y\r\n\r\n", is_token),
    ),
    // A colon ends it.
    (
        "in a name",
        ("GET / HTTP/1.1\r\nHost: h\r\nX", "Y: z\r\n\r\n", |byte| {
            is_token(byte) || byte == b':'
        }),
    ),
    (
        "first of a value",
        ("GET / HTTP/1.1\r\nHost: h\r\nX:", "y\r\n\r\n", is_value),
    ),
    (
        "in a value",
        ("GET / HTTP/1.1\r\nHost: h\r\nX: a", "b\r\n\r\n", is_value),
    ),
    (
        "behind a value",
        ("GET / HTTP/1.1\r\nHost: h\r\nX: a", "\n\r\n", is_return),
    ),
    (
        "at the end of a head",
        ("GET / HTTP/1.1\r\nHost: h\r\n", "\n", is_return),
    ),
    (
        "first of a length",
        (
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: ",
            "\r\n\r\n",
            |byte| byte.is_ascii_digit(),
        ),
    ),
    (
        "in a length",
        (
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1",
            "\r\n\r\n",
            |byte| byte.is_ascii_digit() || is_white(byte),
        ),
    ),
    (
        "behind a coding",
        (
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked",
            "\r\n\r\n",
            is_white,
        ),
    ),
    ("first of a chunk's size", (CHUNKED, "\r\n", is_hex)),
    ("behind a chunk's data", (DATA, "\n", is_return)),
    ("first of an extension", (EXTENSION, "\r\n", is_token)),
    (
        "in an extension",
        (NAMED, "\r\n", |byte| {
            byte.is_ascii_graphic() || is_white(byte)
        }),
    ),
];

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
const DATA: &str = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi";
const EXTENSION: &str = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2;";
const NAMED: &str = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2;a";

#[test]
fn every_byte_stands_where_the_standards_let_it_and_nowhere_else() {
    let mut wrong = Vec::new();
    for (place, (before, behind, may_stand)) in PLACES {
        for byte in 0..=255 {
            let bytes = [before.as_bytes(), &[byte], behind.as_bytes()].concat();
            let judged = judge(&bytes, &[]);
            if judged.refused.is_none() != may_stand(byte) {
                wrong.push(format!("{byte:#04x} {place}: {judged:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
