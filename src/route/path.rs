use super::NoRoute;

/// Whether a canonical path holds an encoded slash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HoldsEncodedSlash(pub bool);

/// Why a path with a percent sign is not canonical.
pub(super) const ESCAPE: NoRoute = NoRoute::NotCanonical("the path holds a percent escape");

/// Checks that a path has one reading only (SECURITY S1, S2).
///
/// Canonical is: a leading `/`; then segments that are neither empty nor end with a dot, made of the characters that
/// RFC 3986 3.3 lets stand for themselves, without `;`, which some servers cut off with all that follows it. There is
/// no percent sign: an escape is what two servers are most likely to read differently, and no model server's path
/// needs one. The one exception is `%2F`; whoever accepts it must ask for a route that does. What stands on either side
/// of it obeys the rules of a segment, so that a server that decodes first sees no stranger path either.
///
/// The root, `/`, is canonical; a closing slash makes an empty segment and is not.
///
/// # Errors
///
/// [`NoRoute::NotCanonical`] with the reason.
pub(super) fn check_canonical(path: &str) -> Result<HoldsEncodedSlash, NoRoute> {
    match path.strip_prefix('/') {
        None => Err(NoRoute::NotCanonical("the path does not begin with `/`")),
        Some("") => Ok(HoldsEncodedSlash(false)),
        Some(segments) => check_segments(segments.as_bytes()),
    }
}

/// Checks that text from within a canonical path would be canonical as one segment.
pub(super) fn check_canonical_name(name: &str) -> Result<HoldsEncodedSlash, NoRoute> {
    check_segments(name.as_bytes())
}

fn check_segments(mut segments: &[u8]) -> Result<HoldsEncodedSlash, NoRoute> {
    let mut holds_encoded_slash = false;
    loop {
        let end = segments.iter().position(|&byte| !is_plain(byte));
        let (segment, after) = segments.split_at(end.unwrap_or(segments.len()));
        let more = match after {
            [] => None,
            [b'/', more @ ..] => Some(more),
            [b'%', b'2', b'F' | b'f', more @ ..] => {
                holds_encoded_slash = true;
                Some(more)
            }
            [b'%', ..] => return Err(ESCAPE),
            _ => {
                return Err(NoRoute::NotCanonical(
                    "the path holds a character it may not hold",
                ));
            }
        };
        match segment {
            [] => return Err(NoRoute::NotCanonical("the path holds an empty segment")),
            // `.` and `..` among them; some servers cut closing dots off.
            [.., b'.'] => {
                return Err(NoRoute::NotCanonical(
                    "a segment of the path ends with a dot",
                ));
            }
            _ => {}
        }
        match more {
            None => return Ok(HoldsEncodedSlash(holds_encoded_slash)),
            Some(more) => segments = more,
        }
    }
}

/// The text before the first `at`, and that after it, if it is there.
pub(super) fn cut(text: &str, at: u8) -> (&str, Option<&str>) {
    let place = text.bytes().position(|byte| byte == at);
    match place.and_then(|place| text.split_at_checked(place)) {
        Some((before, after)) => (before, after.get(1..)),
        None => (text, None),
    }
}

/// Whether a byte stands for itself in a segment: `pchar` of RFC 3986 3.3 without `%` and `;`.
pub(super) const fn is_plain(byte: u8) -> bool {
    PLAIN[byte as usize]
}

static PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let allowed = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,=:@";
    let mut place = 0;
    while place < allowed.len() {
        plain[allowed[place] as usize] = true;
        place += 1;
    }
    plain
};
