//! What holds for every body.

use proptest::prelude::*;

use super::reference::{by_hand, by_serde};
use super::*;

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
fn body() -> impl Strategy<Value = Vec<u8>> {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

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

#[test]
fn what_it_holds_does_not_grow() {
    let mut scanner = ModelScanner::new(MAX_BODY_DEPTH);
    assert!(
        size_of::<ModelScanner>() < 512,
        "{}",
        size_of::<ModelScanner>()
    );
    scanner.push(br#"{"model":""#).unwrap();
    assert_eq!(scanner.push(&vec![b'm'; 100_000]), Err(BodyFault::Unusable));
    for begun in ["\"", "\"x\":\"", "\"x\":1"] {
        let mut scanner = ModelScanner::new(MAX_BODY_DEPTH);
        scanner.push(br#"{"model":"m1","#).unwrap();
        scanner.push(begun.as_bytes()).unwrap();
        for _ in 0..10_000 {
            scanner.push(&[b'1'; 100]).unwrap();
        }
        assert!(scanner.json.model.capacity() <= 512);
    }
}
