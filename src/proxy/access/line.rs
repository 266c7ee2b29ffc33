//! How a line looks: JSON in ASCII, so that nobody can write a line of their own, colour a terminal or turn text round
//! (SECURITY X4), every text of somebody else's bounded.

use std::fmt::Display;
use std::io;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, Serializer};
use serde_json::ser::{CompactFormatter, Formatter};

use super::Entry;
use crate::key::holds_a_key;
use crate::proxy::trace::hex;
use crate::telemetry::metrics::RequestOutcome;

/// So much of a path is told, in bytes.
const MOST_OF_A_PATH: usize = 512;
/// So much of a model's name, in bytes.
const MOST_OF_A_MODEL: usize = 256;
/// So many letters and digits in a row are no word and no number: they may be a secret that strayed into a path.
const LONGEST_WORD: usize = 24;
/// What stands where something is not told.
const HIDDEN: &str = "***";

/// A call.
#[derive(Serialize)]
struct Line<'l> {
    time: Moment,
    log: &'static str,
    end: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_prefix: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    org: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<Shown<std::net::IpAddr>>,
    request_id: &'l str,
    trace_id: Hex<32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    span_id: Option<Hex<16>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<Hex<16>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttfb_ms: Option<f64>,
    duration_ms: f64,
    bytes_in: u64,
    bytes_out: u64,
}

/// What was left out.
#[derive(Serialize)]
struct Missing {
    time: Moment,
    log: &'static str,
    left_out: u64,
}

/// The word by which these lines are told from others.
const ACCESS: &str = "access";

/// Writes what is told of a call.
pub(super) fn write(text: &mut Vec<u8>, entry: &Entry) {
    let head = entry.head.as_ref();
    let identity = entry.grant.as_ref().map(|grant| grant.identity());
    let upstreams = &entry.plan.access.upstreams;
    let took = entry.log.clock.elapsed().saturating_sub(entry.began);
    let outcome = match entry.answer {
        Some(answer) => Some(answer.outcome),
        None if entry.end == super::End::Panicked => None,
        None => Some(RequestOutcome::CallerGone),
    };
    let line = Line {
        time: Moment(entry.began_at),
        log: ACCESS,
        end: entry.end.as_str(),
        outcome: outcome.map(RequestOutcome::as_str),
        status: entry.answer.map(|answer| answer.status.as_u16()),
        method: head.map(|head| head.method),
        path: head.map(|head| head.path.as_str()),
        protocol: head.map(|head| head.protocol),
        route: entry.route.as_deref(),
        upstream: entry
            .upstream
            .and_then(|id| upstreams.get(id.0))
            .map(|name| &**name),
        model: entry.model.as_deref(),
        key_id: identity.and_then(|identity| word(identity.key_id())),
        key_prefix: identity.and_then(|identity| word(identity.prefix())),
        team: identity.and_then(|identity| word(identity.team())),
        org: identity.and_then(|identity| word(identity.org())),
        client: head.and_then(|head| head.client).map(Shown),
        request_id: &entry.request_id,
        trace_id: Hex(hex(entry.trace_id)),
        span_id: entry.span_id.map(|id| Hex(hex(id.into()))),
        parent_span_id: entry.caller_span_id.map(|id| Hex(hex(id.into()))),
        ttfb_ms: entry.answer.map(|answer| in_millis(answer.took)),
        duration_ms: in_millis(took),
        bytes_in: entry.bytes_in,
        bytes_out: entry.bytes_out,
    };
    put(text, &line);
}

/// Writes how many lines are not there.
pub(super) fn write_left_out(text: &mut Vec<u8>, now: Duration, count: u64) {
    let line = Missing {
        time: Moment(now),
        log: ACCESS,
        left_out: count,
    };
    put(text, &line);
}

fn put(text: &mut Vec<u8>, line: &impl Serialize) {
    let before = text.len();
    let mut serializer = serde_json::Serializer::with_formatter(&mut *text, Ascii);
    if line.serialize(&mut serializer).is_err() {
        // Memory takes everything, and every field is one that JSON has.
        text.truncate(before);
    }
}

/// JSON in which every character is a visible one of ASCII or a space; it means the same.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if fragment.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return CompactFormatter.write_string_fragment(writer, fragment);
        }
        for character in fragment.chars() {
            if matches!(character, ' '..='~') {
                writer.write_all(&[character as u8])?;
                continue;
            }
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

/// A moment since 1970, as RFC 3339 writes it in UTC, to the millisecond.
struct Moment(Duration);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let since = SignedDuration::try_from(self.0).unwrap_or_default();
        let moment = Timestamp::from_duration(since).unwrap_or_default();
        serializer.collect_str(&format_args!("{moment:.3}"))
    }
}

/// What shows itself as text.
struct Shown<T>(T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The digits of an id.
struct Hex<const DIGITS: usize>([u8; DIGITS]);

impl<const DIGITS: usize> Serialize for Hex<DIGITS> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(str::from_utf8(&self.0).unwrap_or_default())
    }
}

/// Nothing when there is none.
fn word(word: &str) -> Option<&str> {
    (!word.is_empty()).then_some(word)
}

/// To the microsecond.
fn in_millis(time: Duration) -> f64 {
    let micros = u32::try_from(time.as_micros()).map_or(f64::from(u32::MAX), f64::from);
    // Past an hour the microseconds are of no interest, and past 49 days nothing is.
    let millis = u32::try_from(time.as_millis()).map_or(f64::from(u32::MAX), f64::from);
    if time < Duration::from_hours(1) {
        micros / 1000.0
    } else {
        millis
    }
}

/// A model's name as it is told.
pub(super) fn shown_model(model: &str) -> String {
    if holds_a_key(model.as_bytes()) {
        return HIDDEN.to_owned();
    }
    bounded(model, MOST_OF_A_MODEL)
}

/// A path as it is told: anybody may write one, and a key may have strayed into it.
pub(super) fn shown_path(path: &str) -> String {
    let is_of_a_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '%' | '+' | '=');
    let path = bounded(path, MOST_OF_A_PATH);
    let mut words = path.split(|c| !is_of_a_word(c));
    if words.all(|word| word.len() < LONGEST_WORD) {
        return path;
    }
    let mut shown = String::with_capacity(path.len());
    for part in path.split_inclusive(|c| !is_of_a_word(c)) {
        let end = part.trim_start_matches(is_of_a_word);
        if part.len() - end.len() < LONGEST_WORD {
            shown.push_str(part);
        } else {
            shown.extend([HIDDEN, end]);
        }
    }
    shown
}

fn bounded(text: &str, most: usize) -> String {
    match text.split_at_checked(text.floor_char_boundary(most)) {
        Some((begin, rest)) if !rest.is_empty() => format!("{begin}…"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::Value;

    use super::*;

    fn ascii(text: &str) -> String {
        let mut line = Vec::new();
        put(&mut line, &text);
        String::from_utf8(line).unwrap()
    }

    #[rstest]
    #[case("/v1/chat", "\"/v1/chat\"")]
    #[case("a\"b\\c", r#""a\"b\\c""#)]
    #[case("one\ntwo\r\t\0", r#""one\ntwo\r\t\u0000""#)]
    #[case("\u{1b}[31m\u{7f}", r#""\u001b[31m\u007f""#)]
    #[case("\u{9b}\u{2028}\u{202e}", r#""\u009b\u2028\u202e""#)]
    #[case("東京 👩", r#""\u6771\u4eac \ud83d\udc69""#)]
    fn a_text_is_visible_ascii_and_means_the_same(#[case] text: &str, #[case] line: &str) {
        assert_eq!(ascii(text), line);
        assert_eq!(serde_json::from_str::<Value>(line).unwrap(), text);
    }

    #[rstest]
    #[case("/models/llama-3.1-70b-instruct/predict", None)]
    #[case("/v1/0b6c9f0e-8a52-4c8e-9f6d-6f1f0d3a2b1c", None)]
    #[case("/models/0123456789abcdef0123456", None)]
    #[case("/models/0123456789abcdef01234567/x", Some("/models/***/x"))]
    #[case(
        "/kw_EkhudHL7.A7ZLjJpLC5rqJtq8L3rbFOmls6ln8cxIzT9dGU",
        Some("/kw_EkhudHL7.***")
    )]
    #[case(
        "/a/KW_EKHUDHL7-A7ZLJJPLC5RQJTQ8L3RBFOMLS6LN8CXIZT9DGU,more",
        Some("/a/KW_EKHUDHL7-***,more")
    )]
    #[case("/%6B%77%5F%45%6B%68%75%64%48%4C%37", Some("/***"))]
    fn a_long_row_of_letters_in_a_path_is_not_told(
        #[case] path: &str,
        #[case] shown: Option<&str>,
    ) {
        assert_eq!(shown_path(path), shown.unwrap_or(path));
    }

    #[test]
    fn what_is_long_is_cut_and_says_so() {
        let path = "/a".repeat(400);
        let shown = shown_path(&path);
        assert_eq!(shown.len(), MOST_OF_A_PATH + "…".len());
        assert!(shown.ends_with("a…"), "{shown}");
        let model = shown_model(&"東".repeat(300));
        assert_eq!(model, format!("{}…", "東".repeat(MOST_OF_A_MODEL / 3)));
    }

    #[test]
    fn a_moment_has_milliseconds_even_when_there_are_none() {
        let mut line = Vec::new();
        put(&mut line, &Moment(Duration::from_secs(1_000_000_000)));
        assert_eq!(line, b"\"2001-09-09T01:46:40.000Z\"");
        line.clear();
        put(&mut line, &Moment(Duration::from_micros(1_999)));
        assert_eq!(line, b"\"1970-01-01T00:00:00.001Z\"");
    }

    #[rstest]
    #[case(Duration::from_micros(1), "0.001")]
    #[case(Duration::from_micros(12_345), "12.345")]
    #[case(Duration::from_hours(2), "7200000.0")]
    #[case(Duration::MAX, "4294967295.0")]
    fn a_time_is_told_in_milliseconds(#[case] time: Duration, #[case] told: &str) {
        assert_eq!(serde_json::to_string(&in_millis(time)).unwrap(), told);
    }
}
