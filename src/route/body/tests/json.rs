//! What the scanner of JSON holds, seen from inside. What it judges is shown in `tests/it/readers`.

use std::sync::Arc;

use rstest::rstest;

use super::*;

const DEPTH: u16 = 128;

fn refused(written: &[&str]) -> Arc<RefusedMembers> {
    let written: Vec<_> = written.iter().map(ToString::to_string).collect();
    Arc::new(RefusedMembers::of(&written).expect("written so"))
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
    let members = refused(&["adapter", "lora_path"]);
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
    let mut anybody = ModelScanner::new(DEPTH);
    assert_eq!(anybody.push(body.as_bytes()), Ok(()));
    assert_eq!(anybody.finish(), Ok("m1"));
}

#[test]
fn of_a_name_no_more_is_held_than_tells_it_from_those_refused() {
    let mut scanner = ModelScanner::refusing(DEPTH, refused(&["lora_path"]));
    let long = format!(r#"{{"{}":1,"model":"m1"}}"#, "x".repeat(1 << 20));
    for piece in long.as_bytes().chunks(1000) {
        assert_eq!(scanner.push(piece), Ok(()));
        assert!(scanner.json.held_of_name() <= 10);
    }
    assert_eq!(scanner.finish(), Ok("m1"));
}

#[rstest]
#[case::no_tool(r#"{"model":"m1","tools":[]}"#, true)]
#[case::a_function(r#"{"model":"m1","tools":[{"type":"function","name":"f"}]}"#, true)]
#[case::a_tool(
    r#"{"model":"m1","tools":[{"type":"image_generation","model":"m2"}]}"#,
    false
)]
#[case::before_the_model(r#"{"tools":[{"model":"m2"}],"model":"m1"}"#, false)]
#[case::the_last_tool(r#"{"model":"m1","tools":[{},{"x":[1,{}]},{"model":"m2"}]}"#, false)]
#[case::even_the_same(r#"{"model":"m1","tools":[{"model":"m1"}]}"#, false)]
#[case::even_none(r#"{"model":"m1","tools":[{"model":null}]}"#, false)]
#[case::escaped(r#"{"model":"m1","tools":[{"mod\u0065l":"m2"}]}"#, false)]
#[case::in_another_case(r#"{"model":"m1","Tools":[{"MODEL":"m2"}]}"#, false)]
#[case::with_half_a_pair(r#"{"model":"m1","tools":[{"mod\ud800el":"m2"}]}"#, false)]
#[case::of_a_second_list(r#"{"model":"m1","tools":[],"tools":[{"model":"m2"}]}"#, false)]
#[case::its_parameters(
    r#"{"model":"m1","tools":[{"type":"r:advisor","parameters":{"model":"m2"}}]}"#,
    false
)]
#[case::a_list_of_models(r#"{"model":"m1","tools":[{"parameters":{"models":["m2"]}}]}"#, false)]
#[case::a_property(
    r#"{"model":"m1","tools":[{"parameters":{"properties":{"model":{}}}}]}"#,
    true
)]
#[case::a_functions_property(
    r#"{"model":"m1","tools":[{"function":{"parameters":{"properties":{"model":{"type":"string"}}}}}]}"#,
    true
)]
#[case::a_value(r#"{"model":"m1","tools":[{"name":"model"}]}"#, true)]
#[case::another_list(r#"{"model":"m1","messages":[{"model":"m2"}]}"#, true)]
#[case::behind_the_list(r#"{"model":"m1","tools":[{}],"messages":[{"model":"m2"}]}"#, true)]
#[case::a_list_further_in(r#"{"model":"m1","x":{"tools":[{"model":"m2"}]}}"#, true)]
#[case::no_list(r#"{"model":"m1","tools":{"model":"m2"}}"#, true)]
#[case::longer(r#"{"model":"m1","tools":[{"modelled":"m2"}]}"#, true)]
fn a_tool_that_names_a_model_is_refused(#[case] body: &str, #[case] passes: bool) {
    let members = refused(&["fallbacks", "tools[].model", "tools[].models"]);
    for size in [1, 2, 3, 5, 7, body.len()] {
        let mut scanner = ModelScanner::refusing(DEPTH, Arc::clone(&members));
        let mut pieces = body.as_bytes().chunks(size);
        let pushed: Result<(), _> = pieces.try_for_each(|piece| scanner.push(piece));
        let judged = pushed.and_then(|()| scanner.finish().map(str::to_owned));
        let expected = if passes {
            Ok("m1".to_owned())
        } else {
            Err(BodyFault::OtherName)
        };
        assert_eq!(judged, expected, "{body} in pieces of {size}");
    }
}
