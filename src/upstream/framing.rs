//! Whether an answer's end can be read in one way only.

use std::mem;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};

use crate::http1::number;
use crate::message::Fields;

/// Whether the head says how the body is framed once, in a way we understand, or not at all (RFC 9112, 6.3).
///
/// hyper reads by `Transfer-Encoding` and leaves a `Content-Length` beside it where it is. Handed on, the caller would
/// count by that one, and take a part of the next answer for this one's end (SECURITY F17).
pub(super) fn is_sound(head: &Fields) -> bool {
    let mut is_said = false;
    head.iter().all(|(name, value)| {
        let is_clear = if *name == CONTENT_LENGTH {
            number(value.as_bytes()).is_some()
        } else if *name == TRANSFER_ENCODING {
            value.as_bytes().eq_ignore_ascii_case(b"chunked")
        } else {
            return true;
        };
        is_clear && !mem::replace(&mut is_said, true)
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::neither("", true)]
    #[case::length("content-length: 7", true)]
    #[case::chunks("transfer-encoding: Chunked", true)]
    #[case::both("transfer-encoding: chunked | content-length: 7", false)]
    #[case::both_the_other_way("content-length: 7 | transfer-encoding: chunked", false)]
    #[case::two_lengths("content-length: 7 | content-length: 7", false)]
    #[case::a_list("content-length: 7, 7", false)]
    #[case::nothing_said("content-length: ", false)]
    #[case::more_than_can_be("content-length: 18446744073709551616", false)]
    #[case::a_sign("content-length: +7", false)]
    #[case::two_codings("transfer-encoding: chunked | transfer-encoding: chunked", false)]
    #[case::more_than_chunks("transfer-encoding: gzip, chunked", false)]
    #[case::no_chunks("transfer-encoding: identity", false)]
    fn an_answer_is_framed_in_one_way(#[case] head: &str, #[case] sound: bool) {
        let mut headers = Fields::new();
        for line in head.split(" | ").filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").unwrap();
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        assert_eq!(is_sound(&headers), sound);
    }
}
