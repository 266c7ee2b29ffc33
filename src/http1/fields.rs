//! Fields, as far as they frame a message.

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    HOST, MAX_FORWARDS, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Writes fields, each a line.
pub fn write_fields<'f>(
    fields: impl IntoIterator<Item = (&'f HeaderName, &'f HeaderValue)>,
    out: &mut Vec<u8>,
) {
    for (name, value) in fields {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
}

/// A length in digits and nothing else.
#[must_use]
pub fn number(value: &HeaderValue) -> Option<u64> {
    let digits = value.to_str().ok()?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok())?
}

/// Whether `option` stands in a list (RFC 9110, 5.6.1), in whatever letters.
#[must_use]
pub fn says(list: &HeaderValue, option: &[u8]) -> bool {
    let mut options = list.as_bytes().split(|byte| *byte == b',');
    options.any(|said| said.trim_ascii().eq_ignore_ascii_case(option))
}

/// The trailers that a head announces, of those that may stand behind a body (RFC 9110, 6.5.1).
#[must_use]
pub fn announced(headers: &HeaderMap) -> Vec<HeaderName> {
    let lists = headers.iter().filter(|(name, _)| *name == TRAILER);
    let names = lists.flat_map(|(_, names)| names.as_bytes().split(|byte| *byte == b','));
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
