//! One word of the list of WebSocket subprotocols (RFC 6455, 11.3.4): browsers let a page put a secret nowhere else.

use http::HeaderValue;
use http::header::SEC_WEBSOCKET_PROTOCOL;

use super::UnwritableSecret;
use crate::message::Fields;

/// Every word of the list, in however many lines it came.
pub(super) fn words(headers: &Fields) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(&SEC_WEBSOCKET_PROTOCOL)
        .flat_map(|value| words_of(value.as_bytes()))
}

/// Every word of one line.
pub(super) fn words_of(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let words = line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    words.filter(|word| !word.is_empty())
}

/// What stands after `prefix` in the words that begin so. Their case matters, as that of all subprotocols.
pub(super) fn values<'h>(headers: &'h Fields, prefix: &str) -> impl Iterator<Item = &'h [u8]> {
    words(headers).filter_map(move |word| word.strip_prefix(prefix.as_bytes()))
}

/// Takes the words out that begin with `prefix`, and leaves the others as they came, in one line.
pub(super) fn remove(headers: &mut Fields, prefix: &str) {
    if values(headers, prefix).next().is_none() {
        return;
    }
    let others: Vec<&[u8]> = words(headers)
        .filter(|word| !word.starts_with(prefix.as_bytes()))
        .collect();
    let others = others.join(&b", "[..]);
    if others.is_empty() {
        headers.remove(&SEC_WEBSOCKET_PROTOCOL);
    } else {
        let others = HeaderValue::from_bytes(&others);
        let others = others.expect("words of header values, with commas between them, are one");
        headers.insert(&SEC_WEBSOCKET_PROTOCOL, others);
    }
}

/// Adds the word `prefix` + `secret` behind the others.
///
/// # Errors
///
/// When it would be no word.
pub(super) fn add(
    headers: &mut Fields,
    prefix: &str,
    secret: &str,
) -> Result<(), UnwritableSecret> {
    // `token` of RFC 9110, 5.6.2.
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if secret.is_empty() || !secret.bytes().all(is_token) {
        return Err(UnwritableSecret);
    }
    let mut list = words(headers).collect::<Vec<_>>().join(&b", "[..]);
    if !list.is_empty() {
        list.extend(b", ");
    }
    list.extend(prefix.as_bytes());
    list.extend(secret.as_bytes());
    let mut value = HeaderValue::from_bytes(&list).map_err(|_| UnwritableSecret)?;
    value.set_sensitive(true);
    headers.insert(&SEC_WEBSOCKET_PROTOCOL, value);
    Ok(())
}
