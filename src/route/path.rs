use super::NoRoute;

/// Checks that a path has one reading only, and tells whether it holds an encoded slash.
///
/// Canonical is: a leading `/`; segments that are neither empty nor end with a dot; in them only the characters that
/// RFC 3986 3.3 lets stand for themselves, without `;`, which some servers cut off with all that follows it. There is
/// no percent sign: an escape is what two servers are most likely to read differently, and no model server's path
/// needs one. The one exception is `%2F`; whoever accepts it must ask for a route that does. What stands between two
/// of them obeys the rules of a segment, so that a server that decodes first sees no other path either.
///
/// The root, `/`, is canonical; a closing slash is an empty segment and is not (SECURITY S1, S2).
///
/// # Errors
///
/// The reason why the path is not canonical.
pub(super) fn check_canonical(path: &str) -> Result<HoldsEncodedSlash, NoRoute> {
    let bytes = path.as_bytes();
    let Some((b'/', mut rest)) = bytes.split_first() else {
        return Err(NoRoute::NotCanonical("the path does not begin with `/`"));
    };
    let mut holds_encoded_slash = false;
    if rest.is_empty() {
        return Ok(HoldsEncodedSlash(false));
    }
    loop {
        let end = rest.iter().position(|&byte| !is_plain(byte));
        let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
        check_piece(piece)?;
        rest = match after {
            [] => return Ok(HoldsEncodedSlash(holds_encoded_slash)),
            [b'/', after @ ..] => after,
            [b'%', b'2', b'F' | b'f', after @ ..] => {
                holds_encoded_slash = true;
                after
            }
            [b'%', ..] => return Err(NoRoute::NotCanonical("the path holds a percent escape")),
            _ => {
                return Err(NoRoute::NotCanonical(
                    "the path holds a character that it may not hold",
                ));
            }
        };
    }
}

/// Whether a canonical path holds an encoded slash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HoldsEncodedSlash(pub bool);

fn check_piece(piece: &[u8]) -> Result<(), NoRoute> {
    match piece {
        [] => Err(NoRoute::NotCanonical("the path holds an empty segment")),
        // `.` and `..` among them; some servers cut the dots off.
        [.., b'.'] => Err(NoRoute::NotCanonical(
            "a segment of the path ends with a dot",
        )),
        _ => Ok(()),
    }
}

/// Whether a byte stands for itself in a segment: `pchar` of RFC 3986 3.3 without `%` and `;`.
pub(super) const fn is_plain(byte: u8) -> bool {
    PLAIN[byte as usize]
}

static PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        plain[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')'
            )
            || matches!(byte, b'*' | b'+' | b',' | b'=' | b':' | b'@');
        byte += 1;
    }
    plain
};
