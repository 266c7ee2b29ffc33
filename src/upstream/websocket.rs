//! The opening handshake of a WebSocket (RFC 6455, 4), as far as a hand between the two sides must know it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderValue, Method, Version};
use sha1::{Digest, Sha1};

use crate::http1::says;
use crate::message::RequestHead;
use crate::message::{Fields, Value};

/// What every server appends to the key before it hashes it (RFC 6455, 1.3).
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// A caller's wish to speak WebSocket from here on, and how an upstream that agrees must answer.
///
/// Whatever else asks for another protocol asks in vain: `Upgrade` is taken off, and the request stays one of HTTP
/// (SECURITY F10, F11).
#[derive(Debug)]
pub struct Handshake {
    accept: String,
}

impl Handshake {
    /// The wish, if `request` is a whole handshake and nothing else: a GET of HTTP/1.1 without a body, with one
    /// `Upgrade: websocket` that `Connection` names, one key of 16 bytes, and version 13.
    #[must_use]
    pub fn of(request: &RequestHead, has_body: bool) -> Option<Self> {
        let headers = &request.headers;
        headers.get_all(&UPGRADE).next()?;
        let is_asked = request.method == Method::GET
            && request.version == Version::HTTP_11
            && !has_body
            && !headers.contains_key(&TRANSFER_ENCODING)
            && headers
                .get(&CONTENT_LENGTH)
                .is_none_or(|length| length == "0")
            && is_websocket(headers)
            && headers.only(&SEC_WEBSOCKET_VERSION)? == "13";
        let key = headers.only(&SEC_WEBSOCKET_KEY)?.as_bytes();
        let is_key = STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16);
        (is_asked && is_key).then(|| Self {
            accept: STANDARD.encode(Sha1::new().chain_update(key).chain_update(MAGIC).finalize()),
        })
    }

    /// Puts back on a head, a request's or an answer's, what says that its connection changes protocols.
    pub fn restore(headers: &mut Fields) {
        headers.insert(&CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(&UPGRADE, WEBSOCKET);
    }

    /// Whether the head of a 101 answers this handshake and no other: only then is what follows no HTTP.
    #[must_use]
    pub fn is_answered_by(&self, answer: &Fields) -> bool {
        let accepts = |accept: Value<'_>| accept.as_bytes() == self.accept.as_bytes();
        is_websocket(answer) && answer.only(&SEC_WEBSOCKET_ACCEPT).is_some_and(accepts)
    }
}

/// Whether `Upgrade` is `websocket`, alone, and `Connection` names it.
fn is_websocket(headers: &Fields) -> bool {
    let is_named = headers
        .get_all(&CONNECTION)
        .any(|value| says(value.as_bytes(), b"upgrade"));
    let is_it = |value: Value<'_>| value.as_bytes().eq_ignore_ascii_case(WEBSOCKET.as_bytes());
    is_named && headers.only(&UPGRADE).is_some_and(is_it)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, Request};
    use rstest::rstest;

    use super::*;

    /// RFC 6455, 1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    /// The parts of a GET with the lines of the RFC's handshake, as `changed` changes them: the whole line, and what
    /// stands in its place.
    fn parts(changed: &[(&str, &str)]) -> RequestHead {
        let lines = format!(
            "connection: Upgrade\nupgrade: websocket\nsec-websocket-key: {KEY}\nsec-websocket-version: 13\n"
        );
        let lines = changed
            .iter()
            .fold(lines, |lines, (from, to)| lines.replace(from, to));
        let mut request = Request::get("/chat").version(Version::HTTP_11);
        for (name, value) in lines.lines().filter_map(|line| line.split_once(": ")) {
            request = request.header(name, value);
        }
        request.body(()).unwrap().into_parts().0.into()
    }

    #[rstest]
    #[case::as_in_the_rfc(&[], true)]
    #[case::as_firefox_says_it(&[("n: Upgrade", "n: keep-alive, Upgrade")], true)]
    #[case::in_another_case(&[("websocket\n", "WebSocket\n")], true)]
    #[case::an_empty_body_that_is_said(&[("upgrade: ", "content-length: 0\nupgrade: ")], true)]
    #[case::nothing_named(&[("n: Upgrade", "n: keep-alive")], false)]
    #[case::another_protocol(&[("websocket\n", "h2c\n")], false)]
    #[case::a_list(&[("websocket\n", "websocket, h2c\n")], false)]
    #[case::two_lines(&[("upgrade: websocket\n", "upgrade: websocket\nupgrade: h2c\n")], false)]
    #[case::a_version_in_the_protocol(&[("websocket\n", "websocket/13\n")], false)]
    #[case::no_key(&[("sec-websocket-key", "x-key")], false)]
    #[case::two_keys(&[("upgrade: ", "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\nupgrade: ")], false)]
    #[case::a_short_key(&[(KEY, "dGhl")], false)]
    #[case::a_key_that_is_none(&[(KEY, "the sample nonce")], false)]
    #[case::another_version(&[(": 13", ": 8")], false)]
    #[case::no_version(&[("sec-websocket-version", "x-version")], false)]
    #[case::a_length(&[("upgrade: ", "content-length: 5\nupgrade: ")], false)]
    #[case::chunks(&[("upgrade: ", "transfer-encoding: chunked\nupgrade: ")], false)]
    fn a_handshake_is_whole_or_none(#[case] changed: &[(&str, &str)], #[case] is_one: bool) {
        assert_eq!(Handshake::of(&parts(changed), false).is_some(), is_one);
    }

    #[test]
    fn a_handshake_is_a_get_of_http_1_1_without_a_body() {
        assert!(Handshake::of(&parts(&[]), true).is_none());
        for (method, version) in [
            (Method::POST, Version::HTTP_11),
            (Method::GET, Version::HTTP_10),
            (Method::GET, Version::HTTP_2),
        ] {
            let mut parts = parts(&[]);
            (parts.method, parts.version) = (method, version);
            assert!(Handshake::of(&parts, false).is_none(), "{parts:?}");
        }
    }

    #[rstest]
    #[case::as_in_the_rfc("connection: Upgrade | upgrade: websocket | accept", true)]
    #[case::another_protocol("connection: Upgrade | upgrade: h2c | accept", false)]
    #[case::no_protocol("connection: Upgrade | accept", false)]
    #[case::nothing_named("connection: close | upgrade: websocket | accept", false)]
    #[case::nothing_accepted("connection: Upgrade | upgrade: websocket", false)]
    #[case::something_else("connection: Upgrade | upgrade: websocket | other", false)]
    #[case::accepted_twice("connection: Upgrade | upgrade: websocket | accept | accept", false)]
    fn an_answer_answers_this_handshake(#[case] head: &str, #[case] is_answer: bool) {
        let handshake = Handshake::of(&parts(&[]), false).unwrap();
        let mut answer = Fields::new();
        for line in head.split(" | ") {
            let (name, value) = line.split_once(": ").unwrap_or((
                "sec-websocket-accept",
                if line == "accept" { ACCEPT } else { KEY },
            ));
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            answer.append(name, HeaderValue::from_str(value).unwrap());
        }
        assert_eq!(handshake.is_answered_by(&answer), is_answer);
    }
}
