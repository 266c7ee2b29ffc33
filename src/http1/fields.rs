//! Fields, as far as they frame a message.

use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING,
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, HOST, MAX_FORWARDS, SERVER, SET_COOKIE, TE,
    TRAILER, TRANSFER_ENCODING, USER_AGENT,
};
use http::{HeaderName, HeaderValue};

use crate::message::Value;

/// Writes fields, each a line.
pub fn write_fields<'f, V: Into<Value<'f>>>(
    fields: impl IntoIterator<Item = (&'f HeaderName, V)>,
    out: &mut Vec<u8>,
) {
    for (name, value) in fields {
        write_field(name, value.into().as_bytes(), out);
    }
}

/// Writes a field as a line. Its value is one that a field can have (RFC 9110, 5.5): whoever has it written has seen to that.
pub fn write_field(name: &HeaderName, value: &[u8], out: &mut Vec<u8>) {
    debug_assert!(HeaderValue::from_bytes(value).is_ok(), "{name}");
    let name = name.as_str();
    out.reserve(name.len() + value.len() + 4);
    // One after the other: what is short and always the same is copied without a call.
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// A name. The usual ones, written as most write them, are known by a look.
#[must_use]
pub fn name(text: &[u8]) -> Option<HeaderName> {
    Some(match text {
        b"Host" | b"host" => HOST,
        b"Date" | b"date" => DATE,
        b"Accept" | b"accept" => ACCEPT,
        b"Server" | b"server" => SERVER,
        b"Connection" | b"connection" => CONNECTION,
        b"User-Agent" | b"user-agent" => USER_AGENT,
        b"Content-Type" | b"content-type" => CONTENT_TYPE,
        b"Authorization" | b"authorization" => AUTHORIZATION,
        b"Cache-Control" | b"cache-control" => CACHE_CONTROL,
        b"Content-Length" | b"content-length" => CONTENT_LENGTH,
        b"Accept-Encoding" | b"accept-encoding" => ACCEPT_ENCODING,
        b"Transfer-Encoding" | b"transfer-encoding" => TRANSFER_ENCODING,
        _ => return HeaderName::from_bytes(text).ok(),
    })
}

/// A length in digits and nothing else.
#[must_use]
pub fn number(value: &[u8]) -> Option<u64> {
    let mut digits = value.iter();
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    let first = digit(digits.next()?)?;
    digits.try_fold(first, |number, byte| {
        number.checked_mul(10)?.checked_add(digit(byte)?)
    })
}

/// Whether `option` stands in a list (RFC 9110, 5.6.1), in whatever letters.
#[must_use]
pub fn says(list: &[u8], option: &[u8]) -> bool {
    let mut options = list.split(|byte| *byte == b',');
    options.any(|said| said.trim_ascii().eq_ignore_ascii_case(option))
}

/// What `Connection` fields say of the connection itself (RFC 9112, 9.3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Persistence {
    closes: bool,
    keeps_alive: bool,
}

impl Persistence {
    /// Notes what one of them says; whether it says nothing else, so that nobody needs it any more: written as most write it.
    pub fn note(&mut self, value: &[u8]) -> bool {
        let (closes, keeps_alive) = match value {
            b"keep-alive" => (false, true),
            b"close" => (true, false),
            _ => {
                self.closes |= says(value, b"close");
                self.keeps_alive |= says(value, b"keep-alive");
                return false;
            }
        };
        self.closes |= closes;
        self.keeps_alive |= keeps_alive;
        true
    }

    /// Whether another message may follow, behind one of HTTP/1.1 or of 1.0.
    #[must_use]
    pub const fn lasts(self, is_http11: bool) -> bool {
        !self.closes && (is_http11 || self.keeps_alive)
    }
}

/// The trailers that a head announces in these values of its `Trailer`, of those that may stand behind a body (RFC 9110, 6.5.1).
pub fn announced<'v>(lists: impl IntoIterator<Item = Value<'v>>) -> Vec<HeaderName> {
    let lists = lists.into_iter();
    let names = lists.flat_map(|names| names.as_bytes().split(|byte| *byte == b','));
    let names = names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok());
    names.filter(may_trail).collect()
}

/// Whether a field may stand behind a body: none that says how to read it, or what to do with it (RFC 9110, 6.5.1). hyper's
/// list.
fn may_trail(name: &HeaderName) -> bool {
    const NEVER: [HeaderName; 12] = [
        AUTHORIZATION,
        CACHE_CONTROL,
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        CONTENT_RANGE,
        CONTENT_TYPE,
        HOST,
        MAX_FORWARDS,
        SET_COOKIE,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
    ];
    !NEVER.contains(name)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_name_is_the_same_however_it_is_known() {
        let names = [
            "Host",
            "Date",
            "Accept",
            "Server",
            "Connection",
            "User-Agent",
            "Content-Type",
            "Authorization",
            "Cache-Control",
            "Content-Length",
            "Accept-Encoding",
            "Transfer-Encoding",
            "X-Request-Id",
            "tRaNsFeR-eNcOdInG",
        ];
        for text in names {
            let known = HeaderName::from_bytes(text.as_bytes()).unwrap();
            for text in [text.to_owned(), text.to_lowercase(), text.to_uppercase()] {
                assert_eq!(name(text.as_bytes()), Some(known.clone()), "{text}");
            }
        }
        for text in ["", "a b", "Host ", "\u{e9}"] {
            assert_eq!(name(text.as_bytes()), None, "{text}");
        }
    }

    #[rstest]
    #[case::nothing_said(&[], true, false)]
    #[case::kept(&["keep-alive"], true, true)]
    #[case::kept_in_capitals(&["Keep-Alive"], true, true)]
    #[case::ended(&["close"], false, false)]
    #[case::ended_in_capitals(&["CLOSE"], false, false)]
    #[case::the_end_wins(&["close", "keep-alive"], false, false)]
    #[case::the_end_wins_behind(&["keep-alive", "close"], false, false)]
    #[case::in_one_list(&["keep-alive, x,close"], false, false)]
    #[case::something_else(&["upgrade", "x-close"], true, false)]
    #[case::something_beside_it(&["x", "upgrade,keep-alive"], true, true)]
    fn a_connection_lasts_as_is_said(
        #[case] values: &[&'static str],
        #[case] in_http11: bool,
        #[case] in_http10: bool,
    ) {
        let mut said = Persistence::default();
        for value in values {
            let says_nothing_else = matches!(*value, "keep-alive" | "close");
            assert_eq!(said.note(value.as_bytes()), says_nothing_else, "{value}");
        }
        assert_eq!(
            (said.lasts(true), said.lasts(false)),
            (in_http11, in_http10)
        );
    }

    #[test]
    fn a_number_is_digits_and_nothing_else() {
        let numbers = ["0", "7", "007", "18446744073709551615"];
        for text in numbers {
            assert_eq!(number(text.as_bytes()), text.parse().ok(), "{text}");
        }
        for text in [
            "",
            "+7",
            "-7",
            " 7",
            "7 ",
            "7,7",
            "0x7",
            "18446744073709551616",
            "seven",
        ] {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
    }
}
