//! What a guard says of a whole connection: what it speaks, where its first message begins, and whether one is waited for.

use keyward::server::{FramingError, Guard, HeadLimits, Part};

use super::LIMITS;
use crate::fuzz::laws::head::Judged;

/// RFC 9113, 3.4.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n";
/// A PING with its eight bytes.
const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];

/// Has `guard` read `bytes` in two pieces, the first of them `at` long.
fn judged_by(mut guard: Guard, bytes: &[u8], at: usize) -> Judged {
    let (first, second) = bytes.split_at(at);
    let mut safe = guard.scan(first);
    match guard.scan(second) {
        0 => {}
        more => safe = at + more,
    }
    Judged {
        safe,
        heads: guard.heads(),
        refused: guard.refused(),
        is_awaited: guard.give_up_waiting(),
    }
}

#[test]
fn only_a_head_that_has_begun_is_given_up() {
    let rows = [
        ("", false),
        ("\r", false),
        ("\r\n", false),
        ("G", true),
        ("\r\nG", true),
        ("PRI * HT", true),
        (GET, true),
        (&format!("{GET}\r\n"), false),
        (&format!("{GET}Content-Length: 2\r\n\r\nh"), false),
        (&format!("{GET}Content-Length: 2\r\n\r\nhiG"), true),
        (&format!("{GET}Transfer-Encoding: chunked\r\n\r\n5"), false),
    ];
    for (bytes, has_begun) in rows {
        let mut guard = Guard::new(LIMITS);
        guard.scan(bytes.as_bytes());
        assert_eq!(guard.give_up_waiting(), has_begun, "{bytes:?}");
        let refused = has_begun.then_some((FramingError::HeadTooSlow, Part::Head));
        assert_eq!(guard.refused(), refused, "{bytes:?}");
    }
}

#[test]
fn frames_begin_behind_the_preface_whoever_reads_it() {
    // All that a connection may spend at once, and one more.
    let paid = [&PREFACE[..], &PING.repeat(1_000)].concat();
    let all = [&paid[..], &PING].concat();
    let refused = (FramingError::TooManyFrames, Part::Body);
    for guard in [Guard::new(LIMITS), Guard::http2(LIMITS)] {
        for at in 0..40 {
            let judged = judged_by(guard.clone(), &all, at);
            assert_eq!(
                (judged.safe, judged.refused),
                (paid.len(), Some(refused)),
                "{at}"
            );
            let judged = judged_by(guard.clone(), &paid, at);
            assert_eq!((judged.safe, judged.refused), (paid.len(), None), "{at}");
        }
    }
}

#[test]
fn what_agreed_on_http1_does_not_become_http2() {
    let judged = judged_by(Guard::http1(LIMITS), PREFACE, 0);
    assert_eq!(
        judged.refused,
        Some((FramingError::RequestLine, Part::Head))
    );
    assert_eq!((judged.safe, judged.heads), (0, 0));
    let mut guard = Guard::new(LIMITS);
    guard.scan(PREFACE);
    assert!(guard.is_http2());
}

#[test]
fn a_head_may_be_as_long_as_the_limit_and_no_longer() {
    let head = format!("{GET}X: y\r\n\r\n");
    for (bytes, refused) in [
        (head.len(), None),
        (
            head.len() - 1,
            Some((FramingError::HeadTooLarge, Part::Head)),
        ),
        (GET.len(), Some((FramingError::HeadTooLarge, Part::Head))),
        (
            "GET / HTTP".len(),
            Some((FramingError::HeadTooLarge, Part::Head)),
        ),
        (
            "GET /".len(),
            Some((FramingError::TargetTooLong, Part::Head)),
        ),
        ("GE".len(), Some((FramingError::TargetTooLong, Part::Head))),
    ] {
        let limits = HeadLimits { bytes, ..LIMITS };
        for at in 0..head.len() {
            let judged = judged_by(Guard::http1(limits), head.as_bytes(), at);
            assert_eq!(judged.refused, refused, "{bytes} bytes, cut at {at}");
            let safe = if refused.is_none() { head.len() } else { 0 };
            assert_eq!(judged.safe, safe, "{bytes} bytes, cut at {at}");
        }
    }
}

#[test]
fn a_body_has_as_many_trailers_as_a_head_fields_and_no_more_than_a_hundred() {
    let trailers = |count: usize| {
        let head = format!("{GET}Transfer-Encoding: chunked\r\n\r\n0\r\n");
        format!("{head}{}\r\n", "X: y\r\n".repeat(count))
    };
    for (fields, most) in [(3, 3), (100, 100), (200, 100)] {
        let limits = HeadLimits { fields, ..LIMITS };
        for (count, refused) in [
            (most, None),
            (most + 1, Some((FramingError::TooManyFields, Part::Body))),
        ] {
            let judged = judged_by(Guard::new(limits), trailers(count).as_bytes(), 0);
            assert_eq!(judged.refused, refused, "{count} with {fields} fields");
        }
    }
}

/// The largest number that others who count in 64 bits do not take for a negative one (SECURITY F4, F5).
#[test]
fn sizes_go_to_the_end_of_what_everybody_counts() {
    for (length, is_good) in [
        ("9223372036854775807", true),
        ("9223372036854775808", false),
    ] {
        let head = format!("{GET}Content-Length: {length}\r\n\r\n");
        let judged = judged_by(Guard::new(LIMITS), head.as_bytes(), 0);
        assert_eq!(judged.refused.is_none(), is_good, "{length}");
    }
    for (size, is_good) in [("7fffffffffffffff", true), ("8000000000000000", false)] {
        let body = format!("{GET}Transfer-Encoding: chunked\r\n\r\n{size}\r\nx");
        let judged = judged_by(Guard::new(LIMITS), body.as_bytes(), 0);
        assert_eq!(judged.refused.is_none(), is_good, "{size}");
    }
}

#[test]
fn a_name_that_only_begins_like_one_that_frames_is_another() {
    for more in ["Transfer-Encodings: x", "Content-Lengths: 7", "Hosts: x"] {
        let bytes = format!("{GET}Transfer-Encoding: chunked\r\n{more}\r\n\r\n0\r\n\r\n");
        for at in 0..bytes.len() {
            let judged = judged_by(Guard::new(LIMITS), bytes.as_bytes(), at);
            assert_eq!(
                (judged.safe, judged.refused),
                (bytes.len(), None),
                "{more} cut at {at}"
            );
        }
    }
}

#[test]
fn what_is_handed_on_of_any_row_is_good_to_its_end() {
    for row in super::rows::all() {
        let bytes = row.bytes("key");
        let judged = super::judge(&bytes, &[]);
        let through = super::judge(&bytes[..judged.safe], &[]);
        assert_eq!(through.refused, None, "{}", row.name);
        assert_eq!(through.heads, judged.heads, "{}", row.name);
    }
}

#[test]
fn an_extension_does_not_stand_for_a_size() {
    for chunk in [";a\r\n", ";a\r\n\r\n", "2\r\nhi\r\n;a\r\n\r\n"] {
        let bytes = format!("{GET}Transfer-Encoding: chunked\r\n\r\n{chunk}");
        let judged = judged_by(Guard::new(LIMITS), bytes.as_bytes(), 0);
        let refused = Some((FramingError::ChunkSize, Part::Body));
        assert_eq!(judged.refused, refused, "{chunk:?}");
    }
}

#[test]
fn frames_are_as_long_as_their_three_bytes_say() {
    for length in [300_u32, 70_000] {
        let head = [&length.to_be_bytes()[1..], &[0, 0, 0, 0, 0, 1]].concat();
        let payload = vec![b'x'; usize::try_from(length).expect("it fits")];
        let paid = [&PREFACE[..], &head, &payload, &PING.repeat(1_000)].concat();
        let all = [&paid[..], &PING].concat();
        let judged = judged_by(Guard::new(LIMITS), &all, 0);
        let refused = (FramingError::TooManyFrames, Part::Body);
        assert_eq!(
            (judged.safe, judged.refused),
            (paid.len(), Some(refused)),
            "{length}"
        );
    }
}
