//! One parameter of a query.

use std::fmt::Write;

use http::Uri;
use http::uri::PathAndQuery;

use super::UnwritableSecret;

/// Every value of the parameter `name`, as it came; `None` for one whose name is spelled with escapes or that has no
/// value, so that it cannot be missed.
pub(super) fn values<'r>(uri: &'r Uri, name: &str) -> impl Iterator<Item = Option<&'r str>> {
    let parameters = uri.query().into_iter().flat_map(|query| query.split('&'));
    let named = parameters.filter(move |parameter| is_named(parameter, name));
    named.map(move |parameter| parameter.strip_prefix(name)?.strip_prefix('='))
}

/// Takes the parameter `name` out, in whatever spelling, and leaves the others as they came.
pub(super) fn remove(uri: &mut Uri, name: &str) {
    let Some(query) = uri.query() else { return };
    if !query.split('&').any(|parameter| is_named(parameter, name)) {
        return;
    }
    let mut target = uri.path().to_owned();
    let others = query
        .split('&')
        .filter(|parameter| !is_named(parameter, name));
    for (place, parameter) in others.enumerate() {
        target.push(if place == 0 { '?' } else { '&' });
        target.push_str(parameter);
    }
    *uri = replace(uri, target).expect("a target without some of its parameters is a target");
}

/// Adds `name=value`, the value with escapes where it needs them.
///
/// # Errors
///
/// When the target gets too long.
pub(super) fn add(uri: &mut Uri, name: &str, value: &str) -> Result<(), UnwritableSecret> {
    let mut target = uri
        .path_and_query()
        .map_or("/", PathAndQuery::as_str)
        .to_owned();
    target.push(if uri.query().is_some() { '&' } else { '?' });
    target.push_str(name);
    target.push('=');
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            target.push(char::from(byte));
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(target, "%{byte:02X}");
        }
    }
    *uri = replace(uri, target).ok_or(UnwritableSecret)?;
    Ok(())
}

/// Puts `target` in place of path and query; `None` when it is too long, or the URI has no path.
fn replace(uri: &Uri, target: String) -> Option<Uri> {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}

/// Whether a server would read this name once it has decoded the parameter.
pub(super) fn is_named(parameter: &str, name: &str) -> bool {
    let written = parameter.split('=').next().unwrap_or_default();
    written == name || (written.contains('%') && decode(written).eq(name.bytes()))
}

fn decode(text: &str) -> impl Iterator<Item = u8> {
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        let (&first, after) = rest.split_first()?;
        rest = after;
        if first == b'%'
            && let Some((digits, after)) = after.split_first_chunk::<2>()
            && let Some(byte) = decode_pair(*digits)
        {
            rest = after;
            return Some(byte);
        }
        Some(first)
    })
}

fn decode_pair(digits: [u8; 2]) -> Option<u8> {
    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
    u8::try_from(high? * 16 + low?).ok()
}
