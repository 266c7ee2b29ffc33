//! Bodies, and what each comes to.

use rstest::rstest;

use super::reference::{by_hand, by_serde};
use super::*;

/// What is read, and the model in it.
const NAMED: &[(&[u8], &str)] = &[
    (br#"{"model":"m1"}"#, "m1"),
    (br#" {"model":"m1"}"#, "m1"),
    (b"{\"model\":\"m1\"} \x0a\x0d\x09", "m1"),
    (b"\x09\x0d\x0a{ \"model\" : \"m1\" }", "m1"),
    (br#"{"a":1,"model":"m1"}"#, "m1"),
    (br#"{"model":"m1","a":1}"#, "m1"),
    (br#"{"\u006dodel":"m1"}"#, "m1"),
    (br#"{"mod\u0065l":"m1"}"#, "m1"),
    (br#"{"\u006D\u006F\u0064\u0065\u006C":"m1"}"#, "m1"),
    (br#"{"model":"\u006d1"}"#, "m1"),
    (br#"{"model":"\u006d\u0031"}"#, "m1"),
    (br#"{"a":{"model":"x"},"model":"m1"}"#, "m1"),
    (br#"{"model":"m1","a":{"model":"x"}}"#, "m1"),
    (br#"{"model":"m1","a":[{"model":"x"},{"Model":"y"}]}"#, "m1"),
    (br#"{"a":{"b":{"model":1}},"model":"m1"}"#, "m1"),
    (
        br#"{"model":"m1","messages":[{"role":"user","content":"{\"model\":\"x\"}"}]}"#,
        "m1",
    ),
    (br#"{"model":"m1","models":"x"}"#, "m1"),
    (br#"{"model":"m1","mode":"x"}"#, "m1"),
    (br#"{"model":"m1","odel":"x"}"#, "m1"),
    (br#"{"model":"m1","model_name":"x"}"#, "m1"),
    (br#"{"model":"m1","amodel":"x"}"#, "m1"),
    (br#"{"model":"m1","":1}"#, "m1"),
    (br#"{"":1,"model":"m1"}"#, "m1"),
    (br#"{"model":"m1","modem":1}"#, "m1"),
    (br#"{"model":"m1","mod-el":1}"#, "m1"),
    (b"{\"model\":\"m1\",\"m\xc3\xb6del\":1}", "m1"),
    (b"{\"model\":\"m1\",\"mode\xe2\x85\xbc\":1}", "m1"),
    (b"{\"model\":\"m1\",\"\xf0\x9f\x98\x80\":1}", "m1"),
    (br#"{"model":"m1","\ud83d\ude00":1}"#, "m1"),
    (br#"{"model":"m1","a\ud800":1}"#, "m1"),
    (br#"{"model":"m1","a\u0000":1}"#, "m1"),
    (br#"{"model":"m1","mode\u0000l2":1}"#, "m1"),
    (br#"{"model":"m1","\/model":1}"#, "m1"),
    (br#"{"model":"m1","a":null}"#, "m1"),
    (br#"{"model":"m1","a":true,"b":false}"#, "m1"),
    (br#"{"model":"m1","a":0}"#, "m1"),
    (br#"{"model":"m1","a":-0}"#, "m1"),
    (br#"{"model":"m1","a":-0.0e-0}"#, "m1"),
    (br#"{"model":"m1","a":1E+10}"#, "m1"),
    (br#"{"model":"m1","a":1e999}"#, "m1"),
    (
        br#"{"model":"m1","a":123456789012345678901234567890.5}"#,
        "m1",
    ),
    (br#"{"model":"m1","a":[1,2.5,-3e7,[],{}]}"#, "m1"),
    (br#"{"model":"m1","a":[ ]}"#, "m1"),
    (br#"{"model":"m1","a":{ }}"#, "m1"),
    (br#"{"model":"m1","a":[1 , 2]}"#, "m1"),
    (br#"{"model":"m1","a":"\"\\\/\b\f\n\r\t\u0000"}"#, "m1"),
    (br#"{"model":"m1","a":"\ud83d"}"#, "m1"),
    (br#"{"model":"m1","a":"\udc00\ud800"}"#, "m1"),
    (
        b"{\"model\":\"m1\",\"a\":\"\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80\"}",
        "m1",
    ),
    (b"{\"model\":\"m1\",\"a\":\"\x7f\"}", "m1"),
    (b"{\"model\":\"m1\",\"a\":\"\xef\xbb\xbf\"}", "m1"),
    (br#"{"model":"m1","a":{"x":1,"x":2}}"#, "m1"),
    (br#"{"model":"m1","a":1,"a":2}"#, "m1"),
    (br#"{"model":"m1","a":{"\ud800":1}}"#, "m1"),
    (br#"{"model":"m1","a":{"model\u0000":1}}"#, "m1"),
    (b"{\"model\":\"m1\",\"\xd0\xb1\":1}", "m1"),
    (br#"{"model":"M1"}"#, "M1"),
    (br#"{"model":" m1 "}"#, " m1 "),
    (br#"{"model":"meta/llama-3"}"#, "meta/llama-3"),
    (br#"{"model":"meta\/llama-3"}"#, "meta/llama-3"),
    (br#"{"model":"a\"b"}"#, "a\"b"),
    (br#"{"model":"a\\b"}"#, "a\\b"),
    (b"{\"model\":\"\xc3\xa9\"}", "\u{e9}"),
    (br#"{"model":"\u00e9"}"#, "\u{e9}"),
    (b"{\"model\":\"e\xcc\x81\"}", "e\u{301}"),
    (br#"{"model":"\ud83d\ude00"}"#, "\u{1f600}"),
    (br#"{"model":"\uD83D\uDE00x"}"#, "\u{1f600}x"),
    (br#"{"model":"model"}"#, "model"),
    (br#"{"model":"*"}"#, "*"),
    (br#"{"model":"%6d1"}"#, "%6d1"),
    (br#"{"model":"m1,m2"}"#, "m1,m2"),
    (br#"{"model":"../m2"}"#, "../m2"),
    (br#"{"model":"\ufffd"}"#, "\u{fffd}"),
    (br#"{"model":"{}"}"#, "{}"),
    (br#"{"model":"a#b?c"}"#, "a#b?c"),
];

/// What is refused, by the reason.
const REFUSED: &[(BodyFault, &[&[u8]])] = &[
    (BodyFault::NotAnObject, &[
        b"[]",
        br#"[{"model":"m1"}]"#,
        br#""model""#,
        b"1",
        b"null",
        b"true",
        b"-",
        b"x",
        br#""{\"model\":\"m1\"}""#,
        b"}",
        b":",
        b"//c\x0a{\"model\":\"m1\"}",
        br#"/**/{"model":"m1"}"#,
        b"#\x0a{\"model\":\"m1\"}",
        br#")]}'{"model":"m1"}"#,
        b"\xef\xbb\xbf{\"model\":\"m1\"}",
        b"\x00{\"model\":\"m1\"}",
        b"\x0b{\"model\":\"m1\"}",
        b"\x0c{\"model\":\"m1\"}",
        b"\xc2\xa0{\"model\":\"m1\"}",
        b"\x1e{\"model\":\"m1\"}",
        b"model=m1",
        b"--x\x0d\x0a",
        b"a=1&model=m1",
        br#"data: {"model":"m1"}"#,
        b"\x00{\x00\"\x00m",
        b"\x00\x00\x00{",
    ]),
    (BodyFault::NotJson, &[
        b"",
        b"  ",
        b"{",
        br#"{""#,
        br#"{"model"#,
        br#"{"model""#,
        br#"{"model":"#,
        br#"{"model":"m1"#,
        br#"{"model":"m1""#,
        br#"{"model":"m1","#,
        br#"{"model":"m1",}"#,
        br#"{,"model":"m1"}"#,
        br#"{"model" "m1"}"#,
        br#"{"model"="m1"}"#,
        br#"{"model"::"m1"}"#,
        br#"{"model":"m1";"a":1}"#,
        br#"{"model":"m1" "a":1}"#,
        b"{'model':'m1'}",
        br#"{model:"m1"}"#,
        br#"{"model":m1}"#,
        br#"{"model":'m1'}"#,
        br#"{"model":"m1","a":NaN}"#,
        br#"{"model":"m1","a":Infinity}"#,
        br#"{"model":"m1","a":-Infinity}"#,
        br#"{"model":"m1","a":undefined}"#,
        br#"{"model":"m1","a":True}"#,
        br#"{"model":"m1","a":tru}"#,
        br#"{"model":"m1","a":nulll}"#,
        br#"{"model":"m1","a":01}"#,
        br#"{"model":"m1","a":1.}"#,
        br#"{"model":"m1","a":.5}"#,
        br#"{"model":"m1","a":+1}"#,
        br#"{"model":"m1","a":1e}"#,
        br#"{"model":"m1","a":1e+}"#,
        br#"{"model":"m1","a":-}"#,
        br#"{"model":"m1","a":0x10}"#,
        br#"{"model":"m1","a":1_000}"#,
        br#"{"model":"m1","a":--1}"#,
        br#"{"model":"m1","a":1.5.2}"#,
        br#"{"model":"m1","a":[1,]}"#,
        br#"{"model":"m1","a":[,1]}"#,
        br#"{"model":"m1","a":[1}}"#,
        br#"{"model":"m1","a":{]}"#,
        br#"{"model":"m1"]"#,
        br#"{"model":"m1","a":[1 2]}"#,
        br#"{"model":"m1","a":{"b"}}"#,
        br#"{"model":"m1","a":{1:2}}"#,
        br#"{"model":"m1" /**/}"#,
        b"{\"model\":\"m1\"//x\x0a}",
        b"{\"model\":\"m1\",\"a\":\"\x0a\"}",
        b"{\"model\":\"m1\",\"a\":\"\x00\"}",
        b"{\"model\":\"m1\",\"a\":\"\x09\"}",
        b"{\"model\":\"m1\x0a\"}",
        br#"{"model":"m1","a":"\x41"}"#,
        br#"{"model":"m1","a":"\u12"}"#,
        br#"{"model":"m1","a":"\u12g4"}"#,
        br#"{"model":"m1","a":"\U0041"}"#,
        br#"{"model":"m1","a":"\0"}"#,
        br#"{"model":"m1","a":"\u{41}"}"#,
        br#"{"model":"\m1"}"#,
        br#"{"mode\l":"m1"}"#,
        b"{\"model\":\"m1\"\x0b}",
        b"{\"model\":\"m1\"\xc2\xa0}",
        b"{\"model\":\"m1\"\xe2\x80\xa8}",
        b"{\"model\":\"m1\",\xef\xbb\xbf\"a\":1}",
        b"{\"model\":\"m1\",\"a\":\"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\x1fcccccccccccccccccccccccccccccccccccccccccccccccccc\"}",
        br#"{"model":"m1",...}"#,
        b"{\x00\"model\":\"m1\"}",
        b"{\"model\"\x00:\"m1\"}",
        br#"{"a" 1}"#,
        br#"{"model":"m1","a":[}"#,
        br#"{"model":"m1","a":"b}"#,
        b"{\x00\"\x00m\x00",
    ]),
    (BodyFault::MoreThanOne, &[
        br#"{"model":"m1"}{"model":"m2"}"#,
        br#"{"model":"m1"} {"model":"m2"}"#,
        b"{\"model\":\"m1\"}\x0a{\"model\":\"m2\"}",
        br#"{"model":"m1"},{"model":"m2"}"#,
        br#"{"model":"m1"}x"#,
        br#"{"model":"m1"}}"#,
        br#"{"model":"m1"}]"#,
        b"{\"model\":\"m1\"}\x00",
        br#"{"model":"m1"}//"#,
        b"{\"model\":\"m1\"}\xef\xbb\xbf",
        b"{\"model\":\"m1\"}\x1e",
        br#"{}{"model":"m1"}"#,
        br#"{"model":"m1"}null"#,
        br#"{"model":"m1"};"#,
    ]),
    (BodyFault::NoModel, &[
        b"{}",
        b"{ }",
        br#"{"a":1}"#,
        br#"{"a":{"model":"m1"}}"#,
        br#"{"a":"model"}"#,
        br#"{"models":"m1"}"#,
        br#"{"a":"model","b":"m1"}"#,
        b"{\"model \xc3\xa4\":\"m1\"}",
        br#"{"mode":"m1","l":1}"#,
    ]),
    (BodyFault::Repeated, &[
        br#"{"model":"m1","model":"m2"}"#,
        br#"{"model":"m1","model":"m1"}"#,
        br#"{"model":"m1","\u006dodel":"m2"}"#,
        br#"{"\u006dodel":"m1","model":"m2"}"#,
        br#"{"model":"m1","a":{},"model":"m2"}"#,
        br#"{"model":"m1","model":null}"#,
        br#"{"model":"m1","model":1}"#,
        br#"{"model":"m1","a":[{"model":"x"}],"model":"m2"}"#,
        br#"{"model":"m1","model":[}"#,
    ]),
    (BodyFault::Respelled, &[
        br#"{"Model":"m1"}"#,
        br#"{"MODEL":"m1"}"#,
        br#"{"model":"m1","Model":"m2"}"#,
        br#"{"model":"m1","MODEL":"m2"}"#,
        br#"{"Model":"m2","model":"m1"}"#,
        br#"{"model":"m1","mOdEl":"m2"}"#,
        br#"{"model":"m1","\u004dodel":"m2"}"#,
        br#"{"model":"m1","model\u0000":"m2"}"#,
        br#"{"model\u0000":"m1"}"#,
        br#"{"model":"m1","model\u0000abc":"m2"}"#,
        br#"{"model":"m1","Model\u0000":"m2"}"#,
        br#"{"model":"m1","\u0000model":"m2"}"#,
        br#"{"model":"m1","mo\u0000del":"m2"}"#,
        br#"{"model":"m1","model\ud800":"m2"}"#,
        br#"{"model":"m1","model\udfff":"m2"}"#,
        br#"{"model":"m1","model\ud83dabc":"m2"}"#,
        br#"{"model":"m1","model\ud800\ud800":"m2"}"#,
        br#"{"model":"m1","mod\ud800el":"m2"}"#,
        br#"{"model":"m1","model\ud800\n":"m2"}"#,
        br#"{"model":"m1","model ":"m2"}"#,
        br#"{"model":"m1"," model":"m2"}"#,
        br#"{"model":"m1","model\t":"m2"}"#,
        br#"{"model":"m1","model\u0007":"m2"}"#,
        b"{\"model\":\"m1\",\"\xef\xbb\xbfmodel\":\"m2\"}",
        b"{\"model\":\"m1\",\"mo\xe2\x80\x8bdel\":\"m2\"}",
        b"{\"model\":\"m1\",\"model\xc2\xa0\":\"m2\"}",
        b"{\"model\":\"m1\",\"model\xc2\xad\":\"m2\"}",
        br#"{"model":"m1","model\ufffd":"m2"}"#,
        b"{\"model\":\"m1\",\"model\x7f\":\"m2\"}",
    ]),
    (BodyFault::NotText, &[
        br#"{"model":1}"#,
        br#"{"model":null}"#,
        br#"{"model":true}"#,
        br#"{"model":false}"#,
        br#"{"model":[]}"#,
        br#"{"model":["m1"]}"#,
        br#"{"model":{}}"#,
        br#"{"model":{"model":"m1"}}"#,
        br#"{"model":-1}"#,
        br#"{"model":0}"#,
        br#"{"\u006dodel":1}"#,
        br#"{"model": null}"#,
    ]),
    (BodyFault::Unusable, &[
        br#"{"model":""}"#,
        br#"{"model":"m1\u0000"}"#,
        br#"{"model":"\u0000"}"#,
        br#"{"model":"m1\n"}"#,
        br#"{"model":"\u001f"}"#,
        br#"{"model":"m\u0085"}"#,
        b"{\"model\":\"m\x7f\"}",
        br#"{"model":"m1\ud800"}"#,
        br#"{"model":"\udc00"}"#,
        br#"{"model":"\ud800x"}"#,
        br#"{"model":"\ud800\ud800\udc00"}"#,
        br#"{"model":"\ud800\n"}"#,
    ]),
    (BodyFault::NotUtf8, &[
        b"{\"model\":\"m\xff\"}",
        b"{\"model\":\"m1\",\"a\":\"\xc3\"}",
        b"{\"model\":\"m1\",\"a\":\"\xc0\x80\"}",
        b"{\"model\":\"m1\",\"\xc1\xadodel\":1}",
        b"{\"model\":\"m1\",\"a\":\"\xed\xa0\x80\"}",
        b"{\"model\":\"m1\",\"a\":\"\xf4\x90\x80\x80\"}",
        b"{\"model\":\"m1\",\"a\":\"\xe2\x80\"}",
        b"{\"model\":\"m1\",\"a\":\"\x80\"}",
        b"\xff\xfe{\x00\"\x00",
        b"\xfe\xff\x00{\x00\"",
        b"{\"model\":\"m1\"}\xc3",
        b"{\"model\":\"m1\"\xff}",
        b"{\"model\":\"\xe9\"}",
        b"{\"model\xff\":\"m1\"}",
        b"{\"model\":\"m1\",\"a\":\"\xf8\x88\x80\x80\x80\"}",
        b"{\"model\":\"m1\xc3",
    ]),
];

#[test]
fn a_body_names_the_model_that_every_reader_finds() {
    for (body, model) in NAMED {
        let shown = body.escape_ascii();
        assert_eq!(judge([*body]).as_deref(), Ok(*model), "{shown}");
        assert_eq!(
            judge(body.chunks(1)).as_deref(),
            Ok(*model),
            "{shown} byte by byte"
        );
        assert_eq!(by_hand(body).as_deref(), Some(*model), "{shown} by hand");
        // serde takes no name that holds half a pair, even where it is another's.
        assert!(
            by_serde(body).is_none_or(|found| found == *model),
            "{shown} by serde"
        );
    }
}

#[test]
fn a_body_that_can_be_read_in_two_ways_is_refused() {
    for (fault, bodies) in REFUSED {
        for body in *bodies {
            let shown = body.escape_ascii();
            assert_eq!(judge([*body]), Err(*fault), "{shown}");
            assert_eq!(judge(body.chunks(1)), Err(*fault), "{shown} byte by byte");
            assert_eq!(by_hand(body), None, "{shown} by hand");
        }
    }
}

#[test]
fn there_are_rows_of_both_kinds() {
    let refused: usize = REFUSED.iter().map(|(_, bodies)| bodies.len()).sum();
    assert!(
        NAMED.len() >= 75 && refused >= 190,
        "{} and {refused}",
        NAMED.len()
    );
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

#[rstest]
#[case(r#"{"model":"m1"}"#, true)]
#[case(r#"{"model":"m1","other":1}"#, true)]
#[case(r#"{"model":"m1","lora_path2":1}"#, true)]
#[case(r#"{"model":"m1","lora_pat":1}"#, true)]
#[case(r#"{"model":"m1","xlora_path":1}"#, true)]
#[case(r#"{"model":"m1","x":{"lora_path":1},"y":"lora_path"}"#, true)]
#[case(r#"{"model":"m1","lora_path":"m2"}"#, false)]
#[case(r#"{"lora_path":null,"model":"m1"}"#, false)]
#[case(r#"{"model":"m1","lora\u005fpath":["m2"]}"#, false)]
#[case(r#"{"model":"m1","\u006c\u006f\u0072a_path":1}"#, false)]
#[case(r#"{"model":"m1","LoRA_path":1}"#, false)]
#[case(r#"{"a":{},"model":"m1","by":[{"x":1}],"lora_path":1}"#, false)]
#[case(r#"{"model":"m1","adapter":1}"#, false)]
fn a_member_that_names_another_model_is_refused(#[case] body: &str, #[case] passes: bool) {
    let members: Arc<[String]> = ["adapter".to_owned(), "lora_path".to_owned()].into();
    for size in [1, 2, 3, 5, 7, body.len()] {
        let mut scanner = ModelScanner::refusing(DEPTH, Arc::clone(&members));
        let pushed: Result<(), _> = body
            .as_bytes()
            .chunks(size)
            .try_for_each(|piece| scanner.push(piece));
        let judged = pushed.and_then(|()| scanner.finish().map(str::to_owned));
        let expected = if passes {
            Ok("m1".to_owned())
        } else {
            Err(BodyFault::OtherName)
        };
        assert_eq!(judged, expected, "{body} in pieces of {size}");
    }
    assert_eq!(judge([body.as_bytes()]).as_deref(), Ok("m1"));
}

#[test]
fn of_a_name_no_more_is_held_than_tells_it_from_those_refused() {
    let mut scanner = ModelScanner::refusing(DEPTH, ["lora_path".to_owned()].into());
    let long = format!(r#"{{"{}":1,"model":"m1"}}"#, "x".repeat(1 << 20));
    for piece in long.as_bytes().chunks(1000) {
        assert_eq!(scanner.push(piece), Ok(()));
        assert!(scanner.json.held_of_name() <= 10);
    }
    assert_eq!(scanner.finish(), Ok("m1"));
}
