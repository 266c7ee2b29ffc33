//! Credentials: one key or none is read, and none goes on.

use std::sync::LazyLock;

use http::{HeaderName, HeaderValue, Request};
use keyward::credential::{CredentialLocations, Reading};
use keyward::key::{ENTROPY_BYTES, KeyDigest, NewSecret};
use keyward::message::{RequestHead, Value};
use keyward::proxy::ProxyConfig;

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

/// Two keys, for `K` and `L` in an input.
static KEYS: LazyLock<[String; 2]> = LazyLock::new(|| {
    [[7; ENTROPY_BYTES], [8; ENTROPY_BYTES]].map(|entropy| {
        let secret = NewSecret::from_entropy(&entropy).expect("enough of it");
        secret.reveal().to_owned()
    })
});

static LOCATIONS: LazyLock<CredentialLocations> = LazyLock::new(|| {
    CredentialLocations::new(ProxyConfig::default().credentials).expect("two places")
});

/// One key is read or none, and nothing of it goes on.
pub fn law(input: &[u8]) {
    let [key, other] = &*KEYS;
    let mut written = Vec::new();
    for byte in input {
        match byte {
            b'K' => written.extend(key.as_bytes()),
            b'L' => written.extend(other.as_bytes()),
            byte => written.push(*byte),
        }
    }
    let lines = lines(&written);
    let mut request = Request::new(());
    for (name, value) in &lines {
        request.headers_mut().append(name, value.clone());
    }
    let (parts, ()) = request.into_parts();
    let mut parts = RequestHead::from(parts);
    let read = LOCATIONS.read(&parts.headers, &parts.uri);
    let is_found = matches!(read, Reading::Found(_));
    if let Reading::Found(found) = read {
        let found: KeyDigest = found.digest();
        let others = read_by_others(&lines);
        assert!(!others.is_empty());
        for text in others {
            assert_eq!(KeyDigest::of(&text), found, "{}", input.escape_ascii());
        }
    }
    LOCATIONS.remove(&mut parts);
    let is_absent = matches!(LOCATIONS.read(&parts.headers, &parts.uri), Reading::Absent);
    assert!(is_absent, "{}", input.escape_ascii());
    // What is left of a request that has a key holds none.
    let is_within = |value: Value<'_>, key: &str| {
        let mut windows = value.as_bytes().windows(key.len());
        windows.any(|window| window == key.as_bytes())
    };
    for (name, value) in parts.headers.iter().filter(|_| is_found) {
        let is_clean = !is_within(value, key) && !is_within(value, other);
        assert!(is_clean, "{name}: {}", input.escape_ascii());
    }
}
