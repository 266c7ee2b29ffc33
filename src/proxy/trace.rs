//! The request id and the trace a request belongs to: continued, or begun here.

use std::cell::Cell;
use std::ops::Range;

use http::HeaderName;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::prepare::put;
use crate::http1::write_field;
use crate::key::holds_a_key;
use crate::message::{Fields, Value};

/// The header of the request id, both ways.
pub(super) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The header of the trace, both ways (W3C Trace Context).
pub(super) static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// How long an id of ours is, and a trace's header in the version that we write, in bytes.
const ID_DIGITS: usize = 32;
const TRACEPARENT_BYTES: usize = 55;

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
#[derive(Debug)]
pub struct Trace {
    id: Text<ID_DIGITS>,
    parent: Text<TRACEPARENT_BYTES>,
    origin: Origin,
}

/// A text of ours, or the caller's as it came: visible ASCII either way.
#[derive(Debug, Clone)]
enum Text<const LENGTH: usize> {
    Ours([u8; LENGTH]),
    Callers(Box<[u8]>),
}

impl<const LENGTH: usize> Text<LENGTH> {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Ours(text) => text,
            Self::Callers(text) => text,
        }
    }

    fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

/// Whose trace it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The caller's, passed on as it came.
    Continued,
    /// The caller's, in which we are a span of our own below this one.
    Joined { caller: u64 },
    /// Ours: the caller sent none, or none that is well formed.
    Begun,
}

/// The flag that says that whoever sent this may have recorded it (Trace Context, 3.2.2.5).
const SAMPLED: u8 = 1;
/// The flags that are known: beside it, that the trace's id is random (Trace Context Level 2, 4.2.1.2). Others are not
/// passed on by whoever writes a header of their own.
const KNOWN_FLAGS: u8 = 3;

impl Trace {
    /// Takes over what the caller sent, if it is well formed and sent once; makes the rest.
    pub(super) fn of(headers: &Fields, ids: &IdMaker) -> Self {
        let id = headers.only(&REQUEST_ID).map(Value::as_bytes);
        let id = id.filter(|id| {
            (1..=LONGEST_ID).contains(&id.len())
                && id.iter().all(u8::is_ascii_graphic)
                // It is logged, answered and passed on.
                && !holds_a_key(id)
        });
        let parent = headers.only(&TRACEPARENT).map(Value::as_bytes);
        let parent = parent.filter(|parent| is_traceparent(parent));
        Self {
            id: match id {
                Some(id) => Text::Callers(id.into()),
                None => Text::Ours(hex(ids.next())),
            },
            origin: parent.map_or(Origin::Begun, |_| Origin::Continued),
            parent: match parent {
                Some(parent) => Text::Callers(parent.into()),
                None => Text::Ours(begin(ids)),
            },
        }
    }

    /// The request's id.
    pub(super) fn id(&self) -> &str {
        self.id.as_str()
    }

    /// Makes this call a span of its own in its trace, as whoever records one must (Trace Context, 3.4): what goes on names
    /// us as the parent, in the version that we know (3.2.4). Whoever records nothing passes on what came.
    ///
    /// The caller's flags stay: whether others record is its decision. A trace that begins here says that it is recorded.
    pub(super) fn join(&mut self, ids: &IdMaker) {
        let (trace, span, flags) = (self.trace_id(), self.span_id(), self.flags());
        match self.origin {
            Origin::Joined { .. } => {}
            Origin::Begun => {
                self.parent = Text::Ours(traceparent(trace, span, SAMPLED));
            }
            Origin::Continued => {
                let ours = fresh_span(ids);
                self.parent = Text::Ours(traceparent(trace, ours, flags & KNOWN_FLAGS));
                self.origin = Origin::Joined { caller: span };
            }
        }
    }

    /// Puts the names on a request or an answer that has none of them any more.
    pub fn write(&self, headers: &mut Fields) {
        for (name, text) in self.names() {
            put(headers, name, text);
        }
    }

    /// The same in lines.
    pub fn write_lines(&self, out: &mut Vec<u8>) {
        for (name, text) in self.names() {
            write_field(name, text, out);
        }
    }

    fn names(&self) -> [(&'static HeaderName, &[u8]); 2] {
        [
            (&TRACEPARENT, self.parent.as_bytes()),
            (&REQUEST_ID, self.id.as_bytes()),
        ]
    }

    /// Takes from a request or an answer what its names stand in place of.
    pub(super) fn make_way(&self, headers: &mut Fields) {
        // Mostly there is nothing to replace.
        if headers
            .keys()
            .any(|name| [&TRACEPARENT, &TRACESTATE, &REQUEST_ID].contains(&name))
        {
            let ours = self.part(3..35).as_bytes();
            let replaced = headers.get_all(&TRACEPARENT).next();
            if replaced.is_none_or(|before| before.as_bytes().get(3..35) != Some(ours)) {
                // What a state says belongs to the trace that it came with (Trace Context, 3.3.1.1).
                headers.remove(&TRACESTATE);
            }
            headers.remove(&TRACEPARENT);
            headers.remove(&REQUEST_ID);
        }
    }

    /// The trace.
    pub(super) fn trace_id(&self) -> u128 {
        u128::from_str_radix(self.part(3..35), 16).unwrap_or_default()
    }

    /// What goes on as the parent of the upstream's span: ours, where we are one.
    pub(super) fn span_id(&self) -> u64 {
        u64::from_str_radix(self.part(36..52), 16).unwrap_or_default()
    }

    /// The caller's span, where it named one.
    pub(super) fn caller_span_id(&self) -> Option<u64> {
        match self.origin {
            Origin::Begun => None,
            Origin::Continued => Some(self.span_id()),
            Origin::Joined { caller } => Some(caller),
        }
    }

    fn flags(&self) -> u8 {
        u8::from_str_radix(self.part(53..55), 16).unwrap_or_default()
    }

    /// A part of the header, whose form was checked when it came or was made.
    fn part(&self, place: Range<usize>) -> &str {
        self.parent.as_str().get(place).unwrap_or_default()
    }
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

/// A trace of our own, not sampled: nobody has recorded anything of it yet.
fn begin(ids: &IdMaker) -> [u8; TRACEPARENT_BYTES] {
    traceparent(ids.next().max(1), fresh_span(ids), 0)
}

fn fresh_span(ids: &IdMaker) -> u64 {
    let [_, high] = halves(ids.next());
    high.max(1)
}

const fn halves(id: u128) -> [u64; 2] {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the half that is left out is the other one"
    )]
    [id as u64, (id >> 64) as u64]
}

fn traceparent(trace: u128, span: u64, flags: u8) -> [u8; TRACEPARENT_BYTES] {
    let mut text = [b'-'; TRACEPARENT_BYTES];
    text[..2].fill(b'0');
    text[3..35].copy_from_slice(&hex::<32>(trace));
    text[36..52].copy_from_slice(&hex::<16>(span.into()));
    text[53..].copy_from_slice(&hex::<2>(flags.into()));
    text
}

/// The last `DIGITS` digits of a number, an even number of them, in lower-case hex. `{:032x}` says the same for ten times the
/// work, and every call has several.
pub(super) fn hex<const DIGITS: usize>(number: u128) -> [u8; DIGITS] {
    const { assert!(DIGITS <= 32 && DIGITS.is_multiple_of(2)) };
    let bytes = number.to_be_bytes();
    let (_, last) = bytes.split_at(bytes.len() - DIGITS / 2);
    let mut digits = [0; DIGITS];
    ::hex::encode_to_slice(last, &mut digits).expect("each byte has two digits");
    digits
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;
    use crate::http1::write_fields;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn sent(text: &str) -> Fields {
        let mut headers = Fields::new();
        headers.insert(&TRACEPARENT, HeaderValue::from_str(text).unwrap());
        headers.insert(&TRACESTATE, HeaderValue::from_static("vendor=1"));
        headers
    }

    /// Puts the names on `headers`, in place of what is there.
    fn replace(trace: &Trace, headers: &mut Fields) {
        trace.make_way(headers);
        trace.write(headers);
    }

    #[rstest]
    #[case(0)]
    #[case(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c)]
    #[case(u128::MAX)]
    fn the_digits_are_those_that_format_writes(#[case] number: u128) {
        assert_eq!(hex::<32>(number), *format!("{number:032x}").as_bytes());
        let low = number & u128::from(u64::MAX);
        assert_eq!(hex::<16>(number), *format!("{low:016x}").as_bytes());
    }

    #[rstest]
    #[case(GOOD, true)]
    #[case::not_sampled("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", true)]
    #[case::unknown_flags("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff", true)]
    #[case::later("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true)]
    #[case::longer("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-later", true)]
    #[case::longer_at_once("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01later", false)]
    #[case::too_long("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-later", false)]
    #[case::no_version("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false)]
    #[case::version_is_no_hex("0g-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false)]
    #[case::no_trace("00-00000000000000000000000000000000-b7ad6b7169203331-01", false)]
    #[case::no_span("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false)]
    #[case::capitals("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false)]
    #[case::capital_flags("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0A", false)]
    #[case::other_dashes("00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01", false)]
    #[case::short("00-0af7651916cd43dd8448eb211c80319c", false)]
    #[case::shorter_flags("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1", false)]
    #[case::spaces(" 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false)]
    #[case::nothing("", false)]
    fn a_trace_is_continued_only_when_well_formed(#[case] text: &str, #[case] continued: bool) {
        let mut headers = sent(text);
        replace(&Trace::of(&headers, &IdMaker::new(7)), &mut headers);
        assert_eq!(headers.get(&TRACEPARENT).unwrap() == text, continued);
        assert_eq!(headers.contains_key(&TRACESTATE), continued);
        assert!(is_traceparent(
            headers.get(&TRACEPARENT).unwrap().as_bytes()
        ));
    }

    #[test]
    fn two_parents_are_none_and_a_state_alone_is_dropped() {
        let mut headers = sent(GOOD);
        headers.append(TRACEPARENT.clone(), HeaderValue::from_static(GOOD));
        replace(&Trace::of(&headers, &IdMaker::new(7)), &mut headers);
        assert_eq!(headers.get_all(&TRACEPARENT).count(), 1);
        assert!(headers.get(&TRACEPARENT).unwrap() != GOOD && !headers.contains_key(&TRACESTATE));
        let mut headers = sent(GOOD);
        headers.remove(&TRACEPARENT);
        replace(&Trace::of(&headers, &IdMaker::new(7)), &mut headers);
        assert!(!headers.contains_key(&TRACESTATE));
    }

    #[rstest]
    #[case::as_it_was(GOOD, "01")]
    #[case::not_sampled("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", "00")]
    #[case::random("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03", "03")]
    #[case::unknown_flags("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-fd", "01")]
    #[case::later("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-later", "01")]
    fn whoever_joins_a_trace_names_itself_and_keeps_the_rest(
        #[case] text: &str,
        #[case] flags: &str,
    ) {
        let mut headers = sent(text);
        let ids = IdMaker::new(7);
        let mut trace = Trace::of(&headers, &ids);
        trace.join(&ids);
        // Once is enough.
        let span = trace.span_id();
        trace.join(&ids);
        replace(&trace, &mut headers);
        assert_eq!(trace.trace_id(), 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!(trace.caller_span_id(), Some(0xb7ad_6b71_6920_3331));
        assert_ne!(span, 0xb7ad_6b71_6920_3331);
        let expected = format!("00-0af7651916cd43dd8448eb211c80319c-{span:016x}-{flags}");
        assert_eq!(headers.get(&TRACEPARENT).unwrap(), &*expected);
        assert_eq!(headers.get(&TRACESTATE).unwrap(), "vendor=1");
    }

    #[test]
    fn a_trace_that_begins_here_is_sampled_when_it_is_recorded() {
        let ids = IdMaker::new(7);
        for (joins, flags) in [(false, "-00"), (true, "-01")] {
            let mut trace = Trace::of(&Fields::new(), &ids);
            let before = (trace.trace_id(), trace.span_id());
            if joins {
                trace.join(&ids);
            }
            assert_eq!((trace.trace_id(), trace.span_id()), before);
            assert_eq!(trace.caller_span_id(), None);
            let mut headers = Fields::new();
            trace.write(&mut headers);
            let text = headers.get(&TRACEPARENT).unwrap().to_str().unwrap();
            assert!(
                is_traceparent(text.as_bytes()) && text.ends_with(flags),
                "{text}"
            );
        }
    }

    #[test]
    fn the_names_in_lines_are_those_of_the_table() {
        for headers in [Fields::new(), sent(GOOD)] {
            let trace = Trace::of(&headers, &IdMaker::new(7));
            let (mut table, mut lines) = (Fields::new(), Vec::new());
            trace.write(&mut table);
            trace.write_lines(&mut lines);
            let mut expected = Vec::new();
            write_fields(table.iter(), &mut expected);
            assert_eq!(lines, expected);
        }
    }

    #[rstest]
    #[case("abc-123", true)]
    #[case("with space", false)]
    #[case("", false)]
    fn a_request_id_is_taken_over_only_when_visible(#[case] text: &str, #[case] taken: bool) {
        let mut headers = Fields::new();
        headers.insert(&REQUEST_ID, HeaderValue::from_str(text).unwrap());
        let trace = Trace::of(&headers, &IdMaker::new(7));
        assert_eq!(trace.id() == text, taken);
        assert!(!trace.id().is_empty());
    }

    #[test]
    fn ids_do_not_repeat_and_two_workers_make_different_ones() {
        let (one, other) = (IdMaker::new(1), IdMaker::new(2));
        let made: std::collections::HashSet<u128> =
            (0..1000).flat_map(|_| [one.next(), other.next()]).collect();
        assert_eq!(made.len(), 2000);
    }
}
