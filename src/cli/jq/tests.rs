use rstest::rstest;

use super::*;

const PRETTY: Style = Style {
    compact: false,
    raw: false,
};

/// What an expression makes of `json`, as compact lines.
fn results(expression: &str, json: &str) -> Result<Vec<String>, String> {
    let jq = Jq::compile(expression, PRETTY).map_err(|error| error.to_string())?;
    let input = read::parse_single(json.as_bytes()).expect("JSON");
    let context = Ctx::<Data>::new(&jq.filter.lut, Vars::new([natives::environment()]));
    let lines = jq.filter.id.run((context, input)).map(|result| {
        let value = result.map_err(|exception| match exception.get_err() {
            Ok(error) => error.to_string(),
            Err(exception) => format!("halt {:?}", exception.get_halt().ok()),
        })?;
        write::json(&value, true).map_err(|error| error.to_string())
    });
    lines.collect()
}

const KEYS: &str = r#"{"keys":[{"name":"a \"b\"","prefix":"kw_1","type":"PERSONAL"},
                              {"prefix":"kw_2","type":"WORKSPACE_INVOKE"}]}"#;

#[rstest]
#[case::identity(".keys[0]", &[r#"{"name":"a \"b\"","prefix":"kw_1","type":"PERSONAL"}"#])]
#[case::seed(r#".keys[] | select(.type == "PERSONAL") | .prefix"#, &[r#""kw_1""#])]
#[case::several(".keys[].prefix", &[r#""kw_1""#, r#""kw_2""#])]
#[case::nothing("empty", &[])]
#[case::length(".keys | length", &["2"])]
#[case::members_are_sorted("{b: 1, a: {d: 1, c: 2}}", &[r#"{"a":{"c":2,"d":1},"b":1}"#])]
#[case::csv(".keys[] | [.name, .prefix, 1, true, null] | @csv",
    &[r#""\"a \"\"b\"\"\",\"kw_1\",1,true,""#, r#"",\"kw_2\",1,true,""#])]
#[case::tsv(r#"["a\tb", "c\\d", "e\nf", "g\rh", 1.5, null] | @tsv"#,
    &[r#""a\\tb\tc\\\\d\te\\nf\tg\\rh\t1.5\t""#])]
#[case::interpolation(r#".keys[] | "\(.prefix)!""#, &[r#""kw_1!""#, r#""kw_2!""#])]
#[case::whole_quotient("4 / 2", &["2"])]
#[case::fraction("3 / 2", &["1.5"])]
#[case::large("123456789012345678901234567890", &["123456789012345678901234567890"])]
#[case::no_number("nan, infinite, -infinite",
    &["null", "1.7976931348623157e308", "-1.7976931348623157e308"])]
#[case::bytes(r#""YWI=" | @base64d"#, &[r#""ab""#])]
#[case::regular_expression(r#".keys | map(select(.prefix | test("_2$"))) | length"#, &["1"])]
#[case::environment("env.PATH == $ENV.PATH", &["true"])]
#[case::debug_passes_on("1 | debug", &["1"])]
#[case::limit("[limit(3; repeat(1))]", &["[1,1,1]"])]
fn an_expression_has_these_results(#[case] expression: &str, #[case] expected: &[&str]) {
    assert_eq!(
        results(expression, KEYS).as_deref(),
        Ok(expected)
            .map(|lines| { lines.iter().map(ToString::to_string).collect::<Vec<_>>() })
            .as_deref()
    );
}

#[rstest]
#[case::error(r#"error("no")"#, "no")]
#[case::index(".keys.x", "cannot index")]
#[case::csv_of_an_object("@csv", "cannot be csv-formatted, only an array can be")]
#[case::csv_of_objects(".keys | @csv", "is not valid in a csv row")]
#[case::member_name("{(1|tostring): 1} | with_entries(.key = 1)", "not a string")]
#[case::halt("halt", "halt Some(0)")]
#[case::halt_with("halt(3)", "halt Some(3)")]
#[case::halt_error(r#""x" | halt_error"#, "halt Some(5)")]
fn an_expression_fails_while_it_runs(#[case] expression: &str, #[case] message: &str) {
    let error = results(expression, KEYS).expect_err("a failure");
    assert!(error.contains(message), "{error}");
}

#[rstest]
#[case(".keys[", "expected closing bracket\n  .keys[\n        ^")]
#[case(
    ".keys[] | select(.type ==)",
    "expected term\n  .keys[] | select(.type ==)\n                           ^"
)]
#[case("", "expected term\n  \n  ^")]
#[case(".a b", "unexpected text\n  .a b\n     ^")]
#[case("nope", "there is no filter `nope`\n  nope\n  ^")]
#[case("nope(1)", "there is no filter `nope` with 1 argument\n  nope(1)\n  ^")]
#[case("$x", "there is no variable `$x`\n  $x\n  ^")]
#[case(".a |\n\"東\" | §", "expected token\n  \"東\" | §\n         ^")]
#[case(
    "import \"x\" as x; 1",
    "modules cannot be loaded\n  import \"x\" as x; 1\n          ^"
)]
#[case("input", "there is no filter `input`\n  input\n  ^")]
fn a_mistake_is_shown_with_its_place(#[case] expression: &str, #[case] complaint: &str) {
    let error = Jq::compile(expression, PRETTY).expect_err("a mistake");
    assert_eq!(
        error.to_string(),
        format!("invalid jq expression: {complaint}")
    );
}

#[rstest]
#[case("[]", "[]")]
#[case("{}", "{}")]
#[case(
    "[1,{\"b\":[],\"a\":null}]",
    "[\n  1,\n  {\n    \"a\": null,\n    \"b\": []\n  }\n]"
)]
fn results_are_indented_as_jq_indents_them(#[case] json: &str, #[case] pretty: &str) {
    let value = read::parse_single(json.as_bytes()).expect("JSON");
    assert_eq!(write::json(&value, false).as_deref(), Ok(pretty));
}

#[test]
fn a_compiled_expression_can_go_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Jq>();
}
