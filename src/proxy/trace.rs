//! The request id and the trace a request belongs to: continued, or begun here.

use std::cell::Cell;
use std::fmt::Write;

use http::{HeaderMap, HeaderName, HeaderValue};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::key::holds_a_key;

/// The header of the request id, both ways.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The header of the trace, both ways (W3C Trace Context).
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The longest request id taken over from a caller, in bytes.
const LONGEST_ID: usize = 128;

/// Makes ids that do not repeat: a counter under a random seed, one for each worker. They are names, not secrets.
#[derive(Debug)]
pub(super) struct IdMaker {
    seed: u64,
    count: Cell<u64>,
}

impl IdMaker {
    pub(super) const fn new(seed: u64) -> Self {
        Self {
            seed,
            count: Cell::new(0),
        }
    }

    fn next(&self) -> u128 {
        let count = self.count.get();
        self.count.set(count.wrapping_add(1));
        xxh3_128_with_seed(&count.to_le_bytes(), self.seed)
    }
}

/// What names a request on its way: given to the upstream and, with the answer, to the caller.
#[derive(Debug, Clone)]
pub(super) struct Trace {
    pub(super) id: HeaderValue,
    parent: HeaderValue,
}

impl Trace {
    /// Takes over what the caller sent, if it is well formed and sent once; makes the rest.
    pub(super) fn of(headers: &HeaderMap, ids: &IdMaker) -> Self {
        let id = only(headers, &REQUEST_ID).filter(|id| {
            id.len() <= LONGEST_ID
                && !id.is_empty()
                && id.as_bytes().iter().all(u8::is_ascii_graphic)
                // It is logged, answered and passed on.
                && !holds_a_key(id.as_bytes())
        });
        let parent = only(headers, &TRACEPARENT).filter(|parent| is_traceparent(parent.as_bytes()));
        Self {
            id: id.cloned().unwrap_or_else(|| fresh_id(ids)),
            parent: parent.cloned().unwrap_or_else(|| begin(ids)),
        }
    }

    /// Puts the names on a request or an answer, replacing what is there.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        let replaced = headers.insert(TRACEPARENT, self.parent.clone());
        if replaced.is_none_or(|before| before != self.parent) {
            // What a caller's state says belongs to its own parent (Trace Context, 3.3.1.1).
            headers.remove(TRACESTATE);
        }
        headers.insert(REQUEST_ID, self.id.clone());
    }
}

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// `00-{trace}-{parent}-{flags}`, all in lower-case hex, neither id zero (Trace Context, 3.2.2). Later versions may be
/// longer.
fn is_traceparent(text: &[u8]) -> bool {
    let is_hex = |part: &[u8]| part.iter().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    let is_set = |part: &[u8]| is_hex(part) && part.iter().any(|c| *c != b'0');
    let (Some(fixed), true) = (text.first_chunk::<55>(), text.len() <= 256) else {
        return false;
    };
    let version = &fixed[..2];
    let has_right_length = text.len() == 55 || (version != b"00" && text[55] == b'-');
    has_right_length
        && version != b"ff"
        && is_hex(version)
        && [fixed[2], fixed[35], fixed[52]] == [b'-'; 3]
        && is_set(&fixed[3..35])
        && is_set(&fixed[36..52])
        && is_hex(&fixed[53..])
        && text.iter().all(u8::is_ascii_graphic)
}

/// A trace of our own, not sampled: whether it is recorded is for others to decide.
fn begin(ids: &IdMaker) -> HeaderValue {
    let trace = ids.next().max(1);
    let parent = (ids.next() >> 64).max(1);
    let mut text = String::with_capacity(55);
    write!(text, "00-{trace:032x}-{parent:016x}-00").expect("a String takes everything");
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).expect("hex and dashes are visible")
}

fn fresh_id(ids: &IdMaker) -> HeaderValue {
    let text = format!("{:032x}", ids.next());
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).expect("hex digits are visible")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[rstest]
    #[case(GOOD, true)]
    #[case("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-later", true)]
    #[case("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-later", false)]
    #[case("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false)]
    #[case("00-00000000000000000000000000000000-b7ad6b7169203331-01", false)]
    #[case("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false)]
    #[case("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false)]
    #[case("00-0af7651916cd43dd8448eb211c80319c", false)]
    #[case("", false)]
    fn a_trace_is_continued_only_when_well_formed(#[case] text: &str, #[case] continued: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_str(text).unwrap());
        headers.insert(TRACESTATE, HeaderValue::from_static("vendor=1"));
        Trace::of(&headers, &IdMaker::new(7)).write(&mut headers);
        assert_eq!(headers[TRACEPARENT] == text, continued);
        assert_eq!(headers.contains_key(TRACESTATE), continued);
        assert!(is_traceparent(headers[TRACEPARENT].as_bytes()));
    }

    #[rstest]
    #[case("abc-123", true)]
    #[case("with space", false)]
    #[case("", false)]
    fn a_request_id_is_taken_over_only_when_visible(#[case] text: &str, #[case] taken: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_str(text).unwrap());
        let trace = Trace::of(&headers, &IdMaker::new(7));
        assert_eq!(trace.id == text, taken);
        assert!(!trace.id.is_empty());
    }

    #[test]
    fn ids_do_not_repeat_and_two_workers_make_different_ones() {
        let (one, other) = (IdMaker::new(1), IdMaker::new(2));
        let made: std::collections::HashSet<u128> =
            (0..1000).flat_map(|_| [one.next(), other.next()]).collect();
        assert_eq!(made.len(), 2000);
    }
}
