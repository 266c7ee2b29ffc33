//! Credentials: one key or none is read, and none goes on.

use http::{HeaderName, HeaderValue, Request};
use keyward::credential::{CredentialLocations, Reading};
use keyward::key::{ENTROPY_BYTES, KeyDigest, NewSecret};
use keyward::proxy::ProxyConfig;
use proptest::prelude::*;

use super::{corpus, inputs};
use crate::support::cases;

/// Header lines from bytes; what cannot be one is left out.
fn lines(input: &[u8]) -> Vec<(HeaderName, HeaderValue)> {
    let lines = input.split(|byte| *byte == b'|').filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(colon);
        let value = value[1..].trim_ascii();
        Some((
            HeaderName::from_bytes(name).ok()?,
            HeaderValue::from_bytes(value).ok()?,
        ))
    });
    lines.collect()
}

/// The texts that some server would take for a key in these lines.
fn read_by_others(lines: &[(HeaderName, HeaderValue)]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for (name, value) in lines {
        let value = value.as_bytes();
        let space = value.iter().position(u8::is_ascii_whitespace);
        let (scheme, rest) = value.split_at(space.unwrap_or(value.len()));
        let is_scheme = [&b"bearer"[..], b"api-key"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known));
        match name.as_str() {
            "authorization" if is_scheme => found.push(rest.trim_ascii().to_vec()),
            "x-api-key" => found.push(value.to_vec()),
            _ => {}
        }
    }
    found
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn one_key_is_read_or_none_and_nothing_of_it_goes_on(
        input in inputs(corpus(include_str!("corpus/credentials.txt")), b":| ,;KL=\tbearer-_."),
    ) {
        let secrets = [[7; ENTROPY_BYTES], [8; ENTROPY_BYTES]].map(|entropy| NewSecret::from_entropy(&entropy).expect("enough of it"));
        let [key, other] = secrets.each_ref().map(|secret| secret.reveal().to_owned());
        let input: Vec<u8> = input
            .iter()
            .flat_map(|byte| match byte {
                b'K' => key.as_bytes().to_vec(),
                b'L' => other.as_bytes().to_vec(),
                byte => vec![*byte],
            })
            .collect();
        let lines = lines(&input);
        let mut request = Request::new(());
        for (name, value) in &lines {
            request.headers_mut().append(name, value.clone());
        }
        let (mut parts, ()) = request.into_parts();
        let locations = CredentialLocations::new(ProxyConfig::default().credentials).expect("two places");
        if let Reading::Found(found) = locations.read(&parts.headers, &parts.uri) {
            let found: KeyDigest = found.digest();
            let others = read_by_others(&lines);
            prop_assert!(!others.is_empty());
            for text in others {
                prop_assert_eq!(KeyDigest::of(&text), found, "{}", input.escape_ascii());
            }
        }
        locations.remove(&mut parts);
        let is_absent = matches!(locations.read(&parts.headers, &parts.uri), Reading::Absent);
        prop_assert!(is_absent, "{}", input.escape_ascii());
        let is_within = |value: &HeaderValue, key: &str| {
            value.as_bytes().windows(key.len()).any(|window| window == key.as_bytes())
        };
        // What is left of a request that has a key holds none.
        let read = {
            let mut whole = Request::new(());
            for (name, value) in &lines {
                whole.headers_mut().append(name, value.clone());
            }
            let (whole, ()) = whole.into_parts();
            matches!(locations.read(&whole.headers, &whole.uri), Reading::Found(_))
        };
        if read {
            for (name, value) in &parts.headers {
                prop_assert!(!is_within(value, &key) && !is_within(value, &other), "{}: {}", name, input.escape_ascii());
            }
        }
    }
}
