//! What holds for every body.

use keyward::route::{BodyFault, MAX_BODY_DEPTH, ModelScanner};
use proptest::prelude::*;
use rstest::rstest;

use super::reading::by_hand::{by_hand, by_serde};
use super::reading::{DEPTH, judge, serde, written};
use super::table;
use crate::support::cases;

/// A name that is `model`, is like it, or is not.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just("model".to_owned()),
        2 => prop::sample::select(vec![
            r"\u006dodel", r"mod\u0065l", "Model", "MODEL", r"model\u0000", r"model\u0000x", r"\u0000model", "model ",
            r"model\ud800", r"model\udc00x", r"model\ud83d\ude00", "models", "mode", "mödel", "model\u{feff}", r"model\n",
            "\u{200b}model", r"\/model", "mode\u{131}", r"mod\u000",
        ]).prop_map(str::to_owned),
        2 => "[a-zA-Zé\u{4e2d}]{0,6}",
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("m1".to_owned()),
        Just(r"m\u0031".to_owned()),
        Just(r"\ud83d\ude00".to_owned()),
        Just(r"\ud83d".to_owned()),
        Just(r"a\nb".to_owned()),
        "[ -!#-\\[\\]-~é\u{4e2d}\u{1f600}]{0,40}",
        "[a-z]{250,260}",
    ]
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        3 => text().prop_map(|text| format!("\"{text}\"")),
        1 => prop::sample::select(vec!["1", "-0.5e+3", "01", "1.", "true", "null", "NaN", "-", "1e999", "[]", "{}"])
            .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((name(), inner), 0..4).prop_map(|members| object(&members)),
        ]
    })
}

fn object(members: &[(String, String)]) -> String {
    let members: Vec<_> = members
        .iter()
        .map(|(name, value)| format!("\"{name}\" : {value}"))
        .collect();
    format!("{{{} }}", members.join(","))
}

fn document() -> impl Strategy<Value = Vec<u8>> {
    let model = (name(), text().prop_map(|text| format!("\"{text}\"")));
    let members = (
        model,
        prop::collection::vec((name(), value()), 0..4),
        any::<prop::sample::Index>(),
    );
    members.prop_map(|(model, mut members, place)| {
        members.insert(place.index(members.len() + 1), model);
        object(&members).into_bytes()
    })
}

/// A document with something done to it, mostly where it hurts.
fn document_with_changes() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop_oneof![
        prop::sample::select(
            b"{}[]\",:\\ \n\x00019eE.-+tfnu\x7f\x1f\xef\xbb\xbf\xc3\xa9\xe2\x80\xed\xa0\xf4\x90\xff"
                .to_vec()
        ),
        any::<u8>(),
    ];
    let change = (any::<prop::sample::Index>(), 0..4u8, bytes);
    (document(), prop::collection::vec(change, 0..3)).prop_map(|(mut body, changes)| {
        for (place, what, byte) in changes {
            let place = place.index(body.len() + 1);
            match what {
                0 => body.insert(place, byte),
                1 if place < body.len() => body[place] = byte,
                2 if place < body.len() => drop(body.remove(place)),
                _ => body.truncate(place.max(1)),
            }
        }
        body
    })
}

/// What readers are known to differ about, to be put anywhere.
const TOKENS: &[&[u8]] = &[
    br#""model":"m2","#,
    br#","model":"m2""#,
    br#"{"model":"m2"}"#,
    br#","\u006dodel":"m2""#,
    br#""Model":"m2","#,
    br#"\u0000"#,
    br#"\ud800"#,
    br#"\/"#,
    b"NaN",
    b"-Infinity",
    b"/*",
    b"*/",
    b"//",
    b"'",
    b"\xef\xbb\xbf",
    b"\xed\xa0\xbd\xed\xb8\x80",
    b"\xc0\x80",
    b"\xe2\x80\xa8",
    b"\xc2\xa0",
    b"\x1e",
    b"\0",
    b",",
    b"}{",
    b"[[[[[[[[",
    b"1e999",
];

/// A row of the table, or the beginning of one and the end of another, with what readers differ about put into it; or all
/// of it in another encoding.
fn row_with_changes() -> impl Strategy<Value = Vec<u8>> {
    let bodies: Vec<Vec<u8>> = table::rows().into_iter().map(|row| row.body).collect();
    let body = prop::sample::select(bodies);
    let index = any::<prop::sample::Index>;
    let beginning = (body.clone(), index(), body.clone(), index(), 0..3u8);
    let spliced = beginning.prop_map(|(one, end, other, begin, how)| {
        let end = end.index(one.len() + 1);
        let begin = begin.index(other.len() + 1);
        match how {
            0 => [&one[..end], &other[begin..]].concat(),
            // Cut at the same place, which is often a whole member's end.
            1 => [&one[..end], other.get(end..).unwrap_or_default()].concat(),
            _ => one,
        }
    });
    let tokens = prop::collection::vec((index(), prop::sample::select(TOKENS)), 0..3);
    (spliced, tokens, 0..20u8).prop_map(|(mut body, tokens, encoding)| {
        for (place, token) in tokens {
            let place = place.index(body.len() + 1);
            body.splice(place..place, token.iter().copied());
        }
        encode(body, encoding)
    })
}

/// Mostly as it is; else as Python guesses from the first bytes, or with a mark before it.
fn encode(body: Vec<u8>, encoding: u8) -> Vec<u8> {
    let text = String::from_utf8_lossy(&body).into_owned();
    let little = |units: Vec<u16>| units.into_iter().flat_map(u16::to_le_bytes).collect();
    match encoding {
        0 => little(text.encode_utf16().collect()),
        1 => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        2 => text
            .chars()
            .flat_map(|char| u32::from(char).to_le_bytes())
            .collect(),
        3 => little(format!("\u{feff}{text}").encode_utf16().collect()),
        4 => format!("\u{feff}{text}").into_bytes(),
        _ => body,
    }
}

/// Every kind of body that is searched.
pub fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![document_with_changes(), row_with_changes()]
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn how_a_body_is_cut_changes_nothing(body in body(), mut cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let whole = judge([&*body]);
        prop_assert_eq!(judge(body.chunks(1)), whole.clone());
        let mut places: Vec<usize> = cuts.drain(..).map(|cut| cut.index(body.len() + 1)).collect();
        places.extend([0, body.len()]);
        places.sort_unstable();
        prop_assert_eq!(judge(places.windows(2).map(|ends| &body[ends[0]..ends[1]])), whole);
    }

    #[test]
    fn a_reader_that_holds_everything_reads_the_same(body in body()) {
        prop_assert_eq!(judge([&*body]).ok(), by_hand(&body));
    }

    #[test]
    fn serde_reads_no_other_model_and_accepts_all_that_we_do(body in body()) {
        if let Ok(model) = judge([&*body]) {
            prop_assert_eq!(by_serde(&body), Some(model));
        } else if let Some(model) = by_serde(&body) {
            // What serde takes and we do not: other spellings beside it, names that are none.
            prop_assert!(by_hand(&body).is_none(), "{model}");
        }
    }

    /// The law of the table, for whatever is made.
    #[test]
    fn no_reading_of_serde_is_another_model(body in body()) {
        if let Ok(model) = judge([&*body]) {
            let judged = written(&model);
            for reading in serde::readings(&body) {
                prop_assert!(reading == judged || reading == "-", "{}: {}", reading, body.escape_ascii());
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(judge([&*body]).ok(), by_hand(&body));
    }

    #[test]
    fn a_long_text_ends_where_it_ends(before in 0..80usize, special in prop::sample::select(b"\"\\\x1f\x00\n".to_vec()), after in 0..5000usize) {
        let mut body = br#"{"model":"m1","x":""#.to_vec();
        body.extend(std::iter::repeat_n(b'a', before));
        body.push(special);
        body.extend(std::iter::repeat_n(b'b', after));
        body.extend(b"\"}");
        prop_assert_eq!(judge([&*body]).ok(), by_hand(&body));
        prop_assert_eq!(judge(body.chunks(1)), judge([&*body]));
    }
}

#[test]
fn a_fault_stays_and_nothing_is_found_before_its_time() {
    let body = br#"{"a":1,"model":"m1","b":2}"#;
    let mut scanner = ModelScanner::new(DEPTH);
    for (at, byte) in body.iter().enumerate() {
        assert_eq!(scanner.model().is_some(), at >= 19, "{at}");
        scanner.push(&[*byte]).unwrap();
    }
    assert_eq!(
        (scanner.model(), scanner.found_at()),
        (Some("m1"), Some(19))
    );
    assert_eq!(scanner.finish(), Ok("m1"));
    assert_eq!(scanner.push(b"{"), Err(BodyFault::MoreThanOne));
    assert_eq!(scanner.push(b" "), Err(BodyFault::MoreThanOne));
    assert_eq!(scanner.finish(), Err(BodyFault::MoreThanOne));
}

/// Of every character that one of Unicode's first planes or its tags have, behind the name or in it.
#[test]
fn a_name_with_one_character_more_is_like_model_where_that_leaves_no_mark() {
    let chars = (0..0x20000).chain(0xe0000..0xe2000);
    for char in chars.filter_map(char::from_u32) {
        if matches!(char, '"' | '\\' | '\0'..'\x20') {
            continue;
        }
        let body = format!(r#"{{"model":"m1","mo{char}del":"m2"}}"#);
        let judged = judge([body.as_bytes()]).ok();
        assert_eq!(judged, by_hand(body.as_bytes()), "{:x}", u32::from(char));
    }
}

#[rstest]
#[case::longest(256, Ok(256))]
#[case::too_long(257, Err(BodyFault::Unusable))]
#[case::far_too_long(100_000, Err(BodyFault::Unusable))]
fn a_name_has_a_longest(#[case] length: usize, #[case] expected: Result<usize, BodyFault>) {
    let name = "m".repeat(length);
    let plain = format!(r#"{{"model":"{name}"}}"#);
    let escaped = format!(r#"{{"model":"{}\u006d"}}"#, "m".repeat(length - 1));
    for body in [plain, escaped] {
        assert_eq!(judge([body.as_bytes()]).map(|name| name.len()), expected);
        assert_eq!(
            judge(body.as_bytes().chunks(7)).map(|name| name.len()),
            expected
        );
    }
}

#[rstest]
#[case::arrays("[", "]")]
#[case::objects(r#"{"a":"#, "}")]
fn a_body_nests_as_deep_as_it_may(#[case] open: &str, #[case] close: &str) {
    let body = |depth: usize| {
        let inner = if close == "}" { "1" } else { "" };
        format!(
            r#"{{"model":"m1","a":{}{inner}{}}}"#,
            open.repeat(depth),
            close.repeat(depth)
        )
    };
    assert_eq!(judge([body(127).as_bytes()]).as_deref(), Ok("m1"));
    assert_eq!(judge([body(128).as_bytes()]), Err(BodyFault::TooDeep));
    assert_eq!(judge([body(100_000).as_bytes()]), Err(BodyFault::TooDeep));
    let mut scanner = ModelScanner::new(u16::MAX);
    assert_eq!(
        scanner.push(body(2_000).as_bytes()),
        Err(BodyFault::TooDeep)
    );
    let mut scanner = ModelScanner::new(MAX_BODY_DEPTH);
    assert_eq!(scanner.push(body(1_023).as_bytes()), Ok(()));
    assert_eq!(scanner.finish(), Ok("m1"));
}

#[test]
fn a_hundred_thousand_members_are_nothing_special() {
    let members: Vec<String> = (0..100_000)
        .map(|number| format!(r#""m{number}":{number},"#))
        .collect();
    let body = format!(r#"{{{}"model":"m1"}}"#, members.concat());
    assert_eq!(judge(body.as_bytes().chunks(8192)).as_deref(), Ok("m1"));
}
