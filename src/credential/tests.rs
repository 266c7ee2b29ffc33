//! Where a key is looked for and what is taken off: a table for each row of SECURITY 3.2 that a request's head decides
//! (C1 to C4, C7 to C9).
#![expect(
    clippy::string_slice,
    reason = "the text of a key is ASCII, and a panic fails a test"
)]

use http::{HeaderMap, HeaderName, Request};
use proptest::prelude::*;
use rstest::rstest;
use snapbox::str;

use super::*;
use crate::key::NewSecret;

/// A key of ours; another for each seed.
fn key(seed: u8) -> String {
    let mut entropy = [0; crate::key::ENTROPY_BYTES];
    for (place, byte) in (0_u8..).zip(entropy.iter_mut()) {
        *byte = seed.wrapping_add(place.wrapping_mul(37));
    }
    NewSecret::from_entropy(&entropy)
        .unwrap()
        .reveal()
        .to_owned()
}

fn locations(toml: &str) -> Vec<CredentialLocation> {
    #[derive(serde::Deserialize)]
    struct Written {
        at: Vec<CredentialLocation>,
    }
    toml::from_str::<Written>(toml).unwrap().at
}

/// Every kind of place.
fn all_places() -> CredentialLocations {
    let places = locations(
        r#"at = [
            { in = "authorization", schemes = ["Bearer", "Api-Key"] },
            { in = "header", name = "X-Api-Key" },
            { in = "header", name = "baseten-authorization", schemes = ["Api-Key"] },
            { in = "query", name = "api_key" },
        ]"#,
    );
    CredentialLocations::new(places).unwrap()
}

fn authorization_alone() -> CredentialLocations {
    let places = locations(r#"at = [{ in = "authorization", schemes = ["Bearer", "Api-Key"] }]"#);
    CredentialLocations::new(places).unwrap()
}

/// A request of this target with these header lines, `K` and `L` in them standing for two good keys.
fn request(target: &str, lines: &[&str]) -> RequestHead {
    let keys = |text: &str| text.replace("{K}", &key(1)).replace("{L}", &key(2));
    let mut request = Request::builder().uri(keys(target));
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        request = request.header(name, keys(value));
    }
    request.body(()).unwrap().into_parts().0.into()
}

fn read(places: &CredentialLocations, parts: &RequestHead) -> &'static str {
    match places.read(&parts.headers, &parts.uri) {
        Reading::Absent => "absent",
        Reading::Malformed => "malformed",
        Reading::Found(found) => {
            let good = key(1);
            let good = PresentedKey::parse(good.as_bytes()).unwrap();
            if found.is_same_text(good) {
                "found"
            } else {
                "another key"
            }
        }
    }
}

#[rstest]
#[case::bearer(&["authorization: Bearer {K}"], "found")]
#[case::api_key(&["authorization: Api-Key {K}"], "found")]
#[case::scheme_in_capitals(&["authorization: BEARER {K}"], "found")]
#[case::scheme_in_small_letters(&["Authorization: api-key {K}"], "found")]
#[case::space_around(&["authorization:  \tBearer {K} \t"], "found")]
#[case::two_spaces(&["authorization: Bearer  {K}"], "malformed")]
#[case::tab(&["authorization: Bearer\t{K}"], "malformed")]
#[case::space_and_tab(&["authorization: Bearer \t{K}"], "malformed")]
#[case::scheme_alone(&["authorization: Bearer"], "malformed")]
#[case::no_scheme(&["authorization: {K}"], "absent")]
#[case::empty(&["authorization: "], "absent")]
#[case::scheme_and_colon(&["authorization: Bearer: {K}"], "absent")]
#[case::basic(&["authorization: Basic {K}"], "absent")]
#[case::more_after_it(&["authorization: Bearer {K} x"], "malformed")]
#[case::parameters(&["authorization: Bearer {K},realm=x"], "malformed")]
#[case::quoted(&["authorization: Bearer \"{K}\""], "another key")]
#[case::two_lines(&["authorization: Bearer {K}", "authorization: Bearer {L}"], "malformed")]
#[case::two_equal_lines(&["authorization: Bearer {K}", "authorization: Bearer {K}"], "malformed")]
#[case::a_foreign_line_first(&["authorization: Basic eDp5", "authorization: Bearer {K}"], "malformed")]
#[case::a_foreign_line_last(&["authorization: Bearer {K}", "authorization: Basic eDp5"], "malformed")]
#[case::joined(&["authorization: Bearer {K}, Bearer {L}"], "malformed")]
#[case::joined_equal(&["authorization: Bearer {K},Bearer {K}"], "malformed")]
#[case::joined_foreign_first(&["authorization: Basic eDp5, Bearer {K}"], "absent")]
fn a_key_is_read_from_authorization(#[case] lines: &[&str], #[case] expected: &str) {
    assert_eq!(read(&authorization_alone(), &request("/", lines)), expected);
}

#[rstest]
#[case::header("/", &["x-api-key: {K}"], "found")]
#[case::header_with_scheme("/", &["x-api-key: Bearer {K}"], "malformed")]
#[case::empty_header("/", &["x-api-key: "], "malformed")]
#[case::header_twice("/", &["x-api-key: {K}", "x-api-key: {K}"], "malformed")]
#[case::header_joined("/", &["x-api-key: {K},{K}"], "malformed")]
#[case::schemed_header("/", &["baseten-authorization: api-key {K}"], "found")]
#[case::schemed_header_alone("/", &["baseten-authorization: {K}"], "absent")]
#[case::query("/?api_key={K}", &[], "found")]
#[case::query_among_others("/?a=b&api_key={K}&&c", &[], "found")]
#[case::query_twice("/?api_key={K}&api_key={K}", &[], "malformed")]
#[case::query_empty("/?api_key=", &[], "malformed")]
#[case::query_without_value("/?api_key", &[], "malformed")]
#[case::query_name_escaped("/?api%5Fkey={K}", &[], "malformed")]
#[case::query_value_escaped("/?api_key=%6b{K}", &[], "malformed")]
#[case::query_value_with_a_plus("/?api_key=abc+def", &[], "malformed")]
#[case::query_name_longer("/?xapi_key={K}&api_keys={K}", &[], "absent")]
#[case::query_in_capitals("/?API_KEY={K}", &[], "absent")]
#[case::one_key_in_all_places("/?api_key={K}", &["authorization: Bearer {K}", "x-api-key: {K}"], "found")]
#[case::two_keys("/", &["authorization: Bearer {K}", "x-api-key: {L}"], "malformed")]
#[case::two_keys_turned_round("/", &["authorization: Bearer {L}", "x-api-key: {K}"], "malformed")]
#[case::two_keys_one_in_the_query("/?api_key={L}", &["authorization: Bearer {K}"], "malformed")]
#[case::malformed_beside_good("/", &["authorization: Bearer kw_x", "x-api-key: {K}"], "malformed")]
#[case::good_beside_malformed("/", &["authorization: Bearer {K}", "x-api-key: {K}x"], "malformed")]
#[case::good_beside_empty("/", &["authorization: Bearer {K}", "x-api-key: "], "malformed")]
#[case::good_beside_foreign_scheme("/", &["authorization: Basic eDp5", "x-api-key: {K}"], "found")]
#[case::strayed_into_the_path("/a/{K}/b", &["x-api-key: {K}"], "malformed")]
#[case::another_in_the_path("/{L}", &["x-api-key: {K}"], "malformed")]
#[case::strayed_into_a_parameter("/?a=b&key=x{K}", &["x-api-key: {K}"], "malformed")]
#[case::another_in_a_parameter("/?api_key={K}&key={L}", &[], "malformed")]
#[case::foreign_in_the_path("/a-foreign-key-of-16", &["x-api-key: a-foreign-key-of-16"], "malformed")]
#[case::short_in_the_path("/short", &["x-api-key: short"], "another key")]
fn a_request_presents_one_key_or_none(
    #[case] target: &str,
    #[case] lines: &[&str],
    #[case] expected: &str,
) {
    assert_eq!(read(&all_places(), &request(target, lines)), expected);
}

#[rstest]
#[case::query("/?api_key={K}&key={K}&access_token={K}", &[])]
#[case::user("http://{K}@a/", &[])]
#[case::path("/{K}", &[])]
#[case::cookie("/", &["cookie: authorization=Bearer {K}"])]
#[case::proxy_authorization("/", &["proxy-authorization: Bearer {K}"])]
#[case::unconfigured_headers("/", &["x-api-key: {K}", "api-key: {K}", "x-auth-token: {K}", "key: {K}"])]
#[case::another_spelling("/", &["authorization_: Bearer {K}", "x-authorization: Bearer {K}"])]
fn a_key_in_a_place_that_is_not_configured_is_no_key(#[case] target: &str, #[case] lines: &[&str]) {
    assert_eq!(
        read(&authorization_alone(), &request(target, lines)),
        "absent"
    );
}

#[rstest]
#[case::truncated(|k: &str, _: &str| k[..49].to_owned())]
#[case::extended(|k: &str, _: &str| format!("{k}a"))]
#[case::other_case(|k: &str, _: &str| k.to_lowercase())]
#[case::prefix_of_one_secret_of_another(|k: &str, l: &str| format!("{}{}", &k[..11], &l[11..]))]
#[case::prefix_alone(|k: &str, _: &str| k[..11].to_owned())]
#[case::wild_card(|k: &str, _: &str| format!("{}.%", &k[..11]))]
#[case::sql(|k: &str, _: &str| format!("{k}'--"))]
#[case::glob(|k: &str, _: &str| format!("{}*", &k[..48]))]
fn a_near_key_is_malformed(#[case] near: fn(&str, &str) -> String) {
    let near = near(&key(1), &key(2));
    let parts = request("/", &[&format!("authorization: Bearer {near}")]);
    assert_eq!(read(&authorization_alone(), &parts), "malformed", "{near}");
}

#[test]
fn nothing_that_holds_the_key_goes_on() {
    let mut parts = request(
        "http://h/p?a=1&api_key={K}&b=%2F&&c",
        &[
            "authorization: Bearer {K}",
            "x-api-key: {K}",
            "proxy-authorization: Basic eDp5",
            "api-key: other",
            "x-goog-api-key: other",
            "x-bf-vk: other",
            "baseten-authorization: Api-Key {K}",
            "x_api_key: other",
            "x.api.key: other",
            "api_key: other",
            "proxy_authorization: other",
            "cookie: theme=dark; token={K}",
            "x-debug: <{K}>",
            "x-debug: harmless",
            "accept: */*",
            "x-api-keys: kept",
            "content-type: application/json",
        ],
    );
    all_places().remove(&mut parts);
    let mut left: Vec<String> = parts
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    left.sort();
    snapbox::assert_data_eq!(
        left.join("\n"),
        str![[r"
accept: */*
content-type: application/json
x-api-keys: kept
"]]
    );
    assert_eq!(parts.uri, "http://h/p?a=1&b=%2F&&c");
}

#[rstest]
#[case("/p?api_key=x", "/p")]
#[case("/p?api_key=x&", "/p?")]
#[case("/p?api_key=x&a", "/p?a")]
#[case("/p?a&api_key=x", "/p?a")]
#[case("/p?a&api_key=x&b&api_key", "/p?a&b")]
#[case("/p?", "/p?")]
#[case("/p?a=%zz&api%5fkey=x", "/p?a=%zz")]
#[case("/p?api_keys=x", "/p?api_keys=x")]
fn removing_a_parameter_leaves_the_others_as_they_came(#[case] target: &str, #[case] left: &str) {
    let mut parts = request(target, &[]);
    all_places().remove(&mut parts);
    assert_eq!(parts.uri.to_string(), left);
}

/// The subprotocols of a WebSocket, and one place more.
fn subprotocols() -> CredentialLocations {
    let places = locations(
        r#"at = [
            { in = "websocket-protocol", prefix = "key." },
            { in = "header", name = "x-api-key" },
        ]"#,
    );
    CredentialLocations::new(places).unwrap()
}

#[rstest]
#[case::alone(&["sec-websocket-protocol: key.{K}"], "found", "")]
#[case::among_others(&["sec-websocket-protocol: a,key.{K} ,, b"], "found", "a, b")]
#[case::in_another_line(&["sec-websocket-protocol: a", "sec-websocket-protocol: key.{K}"], "found", "a")]
#[case::in_another_place_too(&["sec-websocket-protocol: key.{K}, a", "x-api-key: {K}"], "found", "a")]
#[case::another_elsewhere(&["sec-websocket-protocol: key.{K}", "x-api-key: {L}"], "malformed", "")]
#[case::twice(&["sec-websocket-protocol: key.{K}, key.{K}"], "malformed", "")]
#[case::two(&["sec-websocket-protocol: key.{K}", "sec-websocket-protocol: key.{L}"], "malformed", "")]
#[case::nothing_behind_the_prefix(&["sec-websocket-protocol: key., a"], "malformed", "a")]
#[case::another_prefix(&["sec-websocket-protocol: key-{K}"], "absent", "key-{K}")]
#[case::in_capitals(&["sec-websocket-protocol: KEY.{K}"], "absent", "KEY.{K}")]
#[case::no_prefix(&["sec-websocket-protocol: a, b"], "absent", "a, b")]
#[case::a_copy_beside_it(&["sec-websocket-protocol: key.{K}, other.{K}"], "found", "")]
#[case::another_of_ours_beside_it(&["sec-websocket-protocol: key.{K}, other.{L}"], "found", "")]
fn a_subprotocol_may_hold_the_key_and_is_taken_out(
    #[case] lines: &[&str],
    #[case] expected: &str,
    #[case] left: &str,
) {
    let mut parts = request("/", lines);
    assert_eq!(read(&subprotocols(), &parts), expected);
    subprotocols().remove(&mut parts);
    let list = parts.headers.get_all(&SEC_WEBSOCKET_PROTOCOL);
    let list: Vec<&str> = list.map(|value| value.to_str().unwrap()).collect();
    assert_eq!(list.join(" | "), left.replace("{K}", &key(1)));
}

#[test]
fn a_secret_of_ours_joins_the_subprotocols() {
    let at = locations(r#"at = [{ in = "websocket-protocol", prefix = "key." }]"#).remove(0);
    let secret = |text: &str| SecretText::new(text.to_owned());
    let list = |parts: &RequestHead| {
        let list = parts.headers.only(&SEC_WEBSOCKET_PROTOCOL);
        list.unwrap().to_str().unwrap().to_owned()
    };
    let mut parts = request("/", &["sec-websocket-protocol: a, key.theirs"]);
    at.write(&secret("s-1"), &mut parts).unwrap();
    assert_eq!(list(&parts), "a, key.s-1");
    at.write(&secret("s-2"), &mut parts).unwrap();
    assert_eq!(list(&parts), "a, key.s-2");
    for unwritable in ["", "a, b", "a b", "a\n"] {
        let written = at.write(&secret(unwritable), &mut parts);
        assert_eq!(written, Err(UnwritableSecret), "{unwritable}");
        assert_eq!(list(&parts), "a");
    }
}

#[test]
fn what_is_not_the_key_goes_on_when_no_key_is_presented() {
    let mut parts = request("/", &["cookie: token={K}", "accept: */*"]);
    authorization_alone().remove(&mut parts);
    assert_eq!(parts.headers.len(), 2);
}

#[rstest]
#[case("authorization", true)]
#[case("proxy-authorization", true)]
#[case("proxy_authorization", true)]
#[case("x-api-key", true)]
#[case("x_api.key", true)]
#[case("x-bf-vk", true)]
#[case("x-team-key", true)]
#[case("x_team_key", true)]
#[case("x-api-keys", false)]
#[case("xapikey", false)]
#[case("content-type", false)]
fn a_name_that_some_server_reads_as_a_credential_is_one(
    #[case] name: &str,
    #[case] expected: bool,
) {
    let places = locations(r#"at = [{ in = "header", name = "x.team-key" }]"#);
    let places = CredentialLocations::new(places).unwrap();
    let name: HeaderName = name.parse().unwrap();
    assert_eq!(places.is_credential_name(&name), expected);
}

#[rstest]
#[case::authorization(
    r#"{ in = "authorization", schemes = ["Bearer", "Api-Key"] }"#,
    "authorization: Bearer s-1"
)]
#[case::header(r#"{ in = "header", name = "x-api-key" }"#, "x-api-key: s-1")]
#[case::schemed_header(
    r#"{ in = "header", name = "baseten-authorization", schemes = ["Api-Key"] }"#,
    "baseten-authorization: Api-Key s-1"
)]
fn a_secret_of_ours_takes_the_place_of_what_is_there(#[case] at: &str, #[case] expected: &str) {
    let at = locations(&format!("at = [{at}]")).remove(0);
    let (name, value) = expected.split_once(": ").unwrap();
    let mut parts = request("/", &[&format!("{name}: one"), &format!("{name}: two")]);
    at.write(&SecretText::new("s-1".to_owned()), &mut parts)
        .unwrap();
    let headers = HeaderMap::from(parts.headers);
    let written: Vec<_> = headers.get_all(name).iter().collect();
    assert_eq!(written, [value]);
    assert!(written[0].is_sensitive());
}

#[rstest]
#[case("/p", "/p?key=s%2F1%26")]
#[case("/p?key=x&a=b", "/p?a=b&key=s%2F1%26")]
#[case("http://h", "http://h/?key=s%2F1%26")]
fn a_secret_of_ours_in_the_query_has_escapes(#[case] target: &str, #[case] expected: &str) {
    let at = locations(r#"at = [{ in = "query", name = "key" }]"#).remove(0);
    let mut parts = request(target, &[]);
    at.write(&SecretText::new("s/1&".to_owned()), &mut parts)
        .unwrap();
    assert_eq!(parts.uri.to_string(), expected);
}

#[rstest]
#[case("a\nb")]
#[case("a\0")]
#[case("schl\u{fc}ssel")]
fn a_secret_that_would_break_a_header_is_not_written(#[case] secret: &str) {
    let at = locations(r#"at = [{ in = "header", name = "x-api-key" }]"#).remove(0);
    let mut parts = request("/", &["x-api-key: theirs"]);
    let written = at.write(&SecretText::new(secret.to_owned()), &mut parts);
    assert_eq!(written, Err(UnwritableSecret));
    assert!(parts.headers.is_empty());
}

#[test]
fn every_mistake_is_named() {
    let places = locations(
        r#"at = [
            { in = "authorization", schemes = [] },
            { in = "authorization", schemes = ["Bearer", "Api Key"] },
            { in = "header", name = "authorization" },
            { in = "header", name = "Host" },
            { in = "header", name = "x-key", schemes = [""] },
            { in = "query", name = "" },
            { in = "query", name = "a&b" },
            { in = "query", name = "key" },
            { in = "query", name = "key" },
            { in = "header", name = "Sec-WebSocket-Protocol" },
            { in = "websocket-protocol", prefix = "" },
            { in = "websocket-protocol", prefix = "key, " },
            { in = "websocket-protocol", prefix = "key." },
            { in = "websocket-protocol", prefix = "key.of." },
        ]"#,
    );
    let mut mistakes = CredentialLocations::new(places).unwrap_err();
    mistakes.extend(CredentialLocations::new(Vec::new()).unwrap_err());
    snapbox::assert_data_eq!(
        mistakes.join("\n"),
        str![[r"
header `authorization` needs a scheme, such as `Bearer`
`Api Key` is no scheme
header `authorization` appears twice
header `authorization` appears twice
header `host` has another meaning
`` is no scheme
query parameter `` has a name that a query cannot hold as it is
query parameter `a&b` has a name that a query cannot hold as it is
query parameter `key` appears twice
header `sec-websocket-protocol` has another meaning
WebSocket subprotocol `` must be letters, digits, `-`, `_` and `.`
WebSocket subprotocol `key, ` must be letters, digits, `-`, `_` and `.`
WebSocket subprotocol `key, ` appears twice
WebSocket subprotocol `key.` appears twice
WebSocket subprotocol `key.of.` appears twice
there is no place for a key, so no call could pass
"]]
    );
}

proptest! {
    #[test]
    fn no_head_panics_and_none_presents_two_keys(
        values in prop::collection::vec((0..4_usize, "[ -~\t]{0,60}"), 0..6),
        query in "[ -~&&[^ \"<>#`{}]]{0,30}",
    ) {
        let names = ["authorization", "x-api-key", "baseten-authorization", "cookie"];
        let lines: Vec<String> = values.iter().map(|(name, value)| format!("{}: {value}", names[*name])).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut parts = request(&format!("/?{query}"), &lines);
        let places = all_places();
        let _ = places.read(&parts.headers, &parts.uri);
        places.remove(&mut parts);
        prop_assert!(matches!(places.read(&parts.headers, &parts.uri), Reading::Absent));
    }

    #[test]
    fn a_key_is_found_in_whatever_place_it_stands(place in 0..4_usize, other in 0..4_usize) {
        let lines = ["authorization: Bearer {K}", "x-api-key: {K}", "baseten-authorization: Api-Key {K}"];
        let target = if place == 3 || other == 3 { "/?api_key={K}" } else { "/" };
        let mut chosen: Vec<&str> = [place, other].iter().filter_map(|&place| lines.get(place).copied()).collect();
        chosen.dedup();
        prop_assert_eq!(read(&all_places(), &request(target, &chosen)), "found");
    }
}
