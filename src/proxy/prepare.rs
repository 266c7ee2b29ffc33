//! What leaves and joins a request before it goes on.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::credential::CredentialLocations;
use crate::http1::says;
use crate::key::{Identity, NamedModel, holds_a_key};
use crate::message::{Fields, RequestHead, Value};

/// Everything we say about the caller begins like this.
const OURS: &str = "x-keyward-";

/// Headers by which a request can be given another target or method than the one that was decided on (SECURITY C10).
const OVERRIDES: [&str; 7] = [
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-host",
];

/// Every header by which we say who calls: the key's id, prefix and name, its team and organisation, and the model.
pub(super) static OUR_NAMES: [HeaderName; 6] = [
    HeaderName::from_static("x-keyward-key-id"),
    HeaderName::from_static("x-keyward-key-prefix"),
    HeaderName::from_static("x-keyward-key-name"),
    HeaderName::from_static("x-keyward-team"),
    HeaderName::from_static("x-keyward-org"),
    HeaderName::from_static("x-keyward-model"),
];

/// Whether a name is one of ours, or of those that say for whom a request is forwarded, in any spelling that an
/// upstream may read as one: `_` and `.` count as `-` (SECURITY C7).
pub(super) fn is_protected(name: &HeaderName) -> bool {
    let name = name.as_str();
    // Most names are told apart by their first character.
    name.starts_with(['x', 'f'])
        && (begins_with(name, OURS)
            || begins_with(name, "x-forwarded-")
            || is_spelled(name, "forwarded")
            || is_spelled(name, "x-real-ip")
            || OVERRIDES.iter().any(|known| is_spelled(name, known)))
}

fn begins_with(name: &str, beginning: &str) -> bool {
    name.len() >= beginning.len() && same_spelling(name.bytes(), beginning.bytes())
}

fn is_spelled(name: &str, known: &str) -> bool {
    name.len() == known.len() && same_spelling(name.bytes(), known.bytes())
}

/// Compares as far as both go.
fn same_spelling(name: impl Iterator<Item = u8>, known: impl Iterator<Item = u8>) -> bool {
    name.zip(known)
        .all(|(one, other)| one == other || (other == b'-' && matches!(one, b'_' | b'.')))
}

/// Takes off what belongs to this connection or must not be believed. Credentials are the locations' own matter.
pub(super) fn clean(request: &mut RequestHead) {
    let headers = &mut request.headers;
    remove_hop_by_hop(headers);
    headers.retain(|name| !is_protected(name));
    join_cookies(headers);
}

/// What speaks of one connection only (RFC 9110, 7.6.1). `Expect` was met by us, or by nobody.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "transfer-encoding",
    "upgrade",
    "te",
    "expect",
    "http2-settings",
];

/// The lengths of these names, a bit for each: most others differ in that.
const LENGTHS_OF_HOPS: u32 = {
    let (mut bits, mut at) = (0, 0);
    while at < HOP_BY_HOP.len() {
        bits |= length_bit(HOP_BY_HOP[at]);
        at += 1;
    }
    bits
};

/// The bit of a name's length; all long names share one.
const fn length_bit(name: &str) -> u32 {
    let length = name.len();
    1 << if length < 31 { length } else { 31 }
}

/// Takes off what speaks of one connection only, and what `Connection` names. `TE: trailers` is put back: we keep trailers.
/// What is not there costs one look at each name.
pub(super) fn remove_hop_by_hop(headers: &mut Fields) {
    let place = |name: &HeaderName| {
        let name = name.as_str();
        let may_be = LENGTHS_OF_HOPS & length_bit(name) != 0;
        let known = || HOP_BY_HOP.iter().position(|known| *known == name);
        may_be.then(known).flatten()
    };
    let present = headers.keys().filter_map(place);
    let present = present.fold(0_u16, |bits, place| bits | 1 << place);
    if present == 0 {
        return;
    }
    let words = headers.get_all(&CONNECTION);
    let words = words.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let words = words.map(<[u8]>::trim_ascii);
    // It goes anyway, and most of them say nothing else.
    let words = words.filter(|word| !word.eq_ignore_ascii_case(b"keep-alive"));
    let named: Vec<HeaderName> = words
        .filter_map(|word| HeaderName::from_bytes(word).ok())
        // The framing and the target are not the connection's to name.
        .filter(|name| ![HOST, CONTENT_LENGTH].contains(name))
        .collect();
    headers.remove_all(named);
    let mut takes_trailers = false;
    for (place, name) in HOP_BY_HOP.into_iter().enumerate() {
        if present & 1 << place != 0 {
            takes_trailers |= name == TE.as_str()
                && headers
                    .get_all(&TE)
                    .any(|value| says(value.as_bytes(), b"trailers"));
            headers.remove(&HeaderName::from_static(name));
        }
    }
    if takes_trailers {
        headers.insert(&TE, HeaderValue::from_static("trailers"));
    }
}

/// HTTP/2 may send cookies in crumbs; HTTP/1.1 wants one line (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut Fields) {
    if headers.get_all(&COOKIE).nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(&COOKIE).map(Value::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(&COOKIE, joined);
    }
}

/// The model as a header value; a name that no header can hold is left out.
pub(super) fn model_header(model: NamedModel<'_>) -> Option<HeaderValue> {
    match model {
        NamedModel::Named(model) => HeaderValue::from_str(model.as_str()).ok(),
        NamedModel::NotNamed | NamedModel::NotNeeded | NamedModel::Differ => None,
    }
}

/// Who connected, and how.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// From where.
    pub address: IpAddr,
    /// Whether TLS is spoken with it.
    pub is_tls: bool,
}

/// Puts a field into a table, in place of others of its name, unless its value is none that a field can have.
pub(super) fn put(headers: &mut Fields, name: &HeaderName, value: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(value) {
        headers.insert(name, value);
    }
}

/// Says who calls, and for which model.
pub(super) fn introduce(
    caller: &Identity,
    model: Option<&HeaderValue>,
    mut say: impl FnMut(&HeaderName, &[u8]),
) {
    let words = [
        caller.key_id().as_bytes(),
        caller.prefix().as_bytes(),
        caller.name().as_bytes(),
        caller.team().as_bytes(),
        caller.org().as_bytes(),
        model.map_or(&[], HeaderValue::as_bytes),
    ];
    for (name, word) in OUR_NAMES.iter().zip(words) {
        if !word.is_empty() {
            say(name, word);
        }
    }
}

static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Says for whom the request is forwarded, when `host` says that the settings want it said.
pub(super) fn forward_for(headers: &mut Fields, peer: Peer, host: Option<HeaderValue>) {
    let Some(host) = host else {
        return;
    };
    if let Ok(peer) = HeaderValue::from_str(&peer.address.to_string()) {
        headers.insert(&FORWARDED_FOR, peer);
    }
    headers.insert(&FORWARDED_HOST, host);
    let scheme = if peer.is_tls { "https" } else { "http" };
    headers.insert(&FORWARDED_PROTO, HeaderValue::from_static(scheme));
}

/// Takes from a request's trailers what may not go on: framing, targets, credentials and identities have no place
/// behind a body that was already judged (RFC 9110, 6.5.1; SECURITY F6, C7, C9). A key of ours goes whatever its name.
pub(super) fn filter_trailers(trailers: &mut HeaderMap, locations: &CredentialLocations) {
    let dropped: Vec<HeaderName> = trailers
        .iter()
        .filter(|(name, value)| {
            is_protected(name)
                || locations.is_credential_name(name)
                || holds_a_key(value.as_bytes())
                || [
                    HOST,
                    CONTENT_LENGTH,
                    TRANSFER_ENCODING,
                    TE,
                    TRAILER,
                    CONNECTION,
                    UPGRADE,
                    EXPECT,
                    COOKIE,
                ]
                .contains(name)
        })
        .map(|(name, _)| name.clone())
        .collect();
    for name in dropped {
        trailers.remove(name);
    }
}

/// The path and query that go on. The query is what is left of the caller's.
pub(super) fn forward_target(uri: &Uri, path: Option<String>) -> PathAndQuery {
    let came = uri.path_and_query().cloned();
    let Some(mut path) = path else {
        return came.unwrap_or_else(|| PathAndQuery::from_static("/"));
    };
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    PathAndQuery::from_maybe_shared(Bytes::from(path))
        .expect("a canonical path with a part of it replaced by its own text is a path")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("x-keyward-org", true)]
    #[case("x_keyward_org", true)]
    #[case("x.keyward-anything", true)]
    #[case("x-forwarded-host", true)]
    #[case("x_forwarded_for", true)]
    #[case("forwarded", true)]
    #[case("x-original-url", true)]
    #[case("x-keyword-org", false)]
    #[case("x-keyward", false)]
    #[case("forwarded-by", false)]
    #[case("accept", false)]
    fn a_protected_name_is_known_in_every_spelling(#[case] name: &str, #[case] protected: bool) {
        assert_eq!(
            is_protected(&HeaderName::from_bytes(name.as_bytes()).unwrap()),
            protected
        );
    }

    fn headers(lines: &[(&str, &str)]) -> Fields {
        let mut headers = Fields::new();
        for (name, value) in lines {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        headers
    }

    #[test]
    fn what_connection_names_goes_but_not_the_framing() {
        let mut headers = headers(&[
            ("connection", "close, x-private, host, content-length"),
            ("x-private", "1"),
            ("host", "h"),
            ("content-length", "3"),
            ("keep-alive", "timeout=5"),
            ("te", "gzip, Trailers"),
            ("upgrade", "h2c"),
        ]);
        remove_hop_by_hop(&mut headers);
        let left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left.len(), 3, "{left:?}");
        assert_eq!(headers.get(&TE).unwrap(), "trailers");
        assert!(headers.contains_key(&HOST) && headers.contains_key(&CONTENT_LENGTH));
    }

    #[test]
    fn each_name_of_one_connection_is_known() {
        let names = "connection keep-alive proxy-connection proxy-authenticate transfer-encoding upgrade te expect \
                     http2-settings";
        for name in names.split(' ') {
            let mut headers = headers(&[(name, "x"), ("accept", "*/*")]);
            remove_hop_by_hop(&mut headers);
            assert_eq!(headers.len(), 1, "{name}");
        }
    }

    #[test]
    fn cookie_crumbs_become_one_line() {
        let mut headers = headers(&[("cookie", "a=1"), ("cookie", "b=2")]);
        join_cookies(&mut headers);
        assert_eq!(headers.get_all(&COOKIE).collect::<Vec<_>>(), ["a=1; b=2"]);
    }
}
