//! `--jq` from end to end; the language itself is tested beside its code.

use rstest::rstest;

use super::shell::{Ran, Server, Shell};

const KEYS: &str = r#"{"keys":[{"prefix":"kw_1","name":"a, \"b\"","type":"PERSONAL","team_name":null},
                              {"prefix":"kw_2","type":"WORKSPACE_INVOKE","model_ids":["m2","m1"]}]}"#;

fn filtered(flags: &[&str]) -> Ran {
    let server = Server::ok(KEYS);
    Shell::at(&server).run(["org", "api-key", "list"].iter().chain(flags))
}

#[rstest]
#[case::strings_stay_quoted(&["-q", ".keys[].prefix"], "\"kw_1\"\n\"kw_2\"\n")]
#[case::unless_raw(&["-q", ".keys[].prefix", "-r"], "kw_1\nkw_2\n")]
#[case::raw_leaves_others(&["-rq", ".keys | length, .[0].type, {b: 1, a: [2]}"], "2\nPERSONAL\n{\n  \"a\": [\n    2\n  ],\n  \"b\": 1\n}\n")]
#[case::the_seed(&["--jq", r#".keys[] | select(.type == "PERSONAL") | .prefix"#], "\"kw_1\"\n")]
#[case::explicit_json(&["-o", "json", "-q", ".keys[0] | keys"], "[\n  \"name\",\n  \"prefix\",\n  \"type\"\n]\n")]
#[case::a_line_each(&["-o", "jsonl", "-q", ".keys[]"], "{\"name\":\"a, \\\"b\\\"\",\"prefix\":\"kw_1\",\"type\":\"PERSONAL\"}\n{\"model_ids\":[\"m2\",\"m1\"],\"prefix\":\"kw_2\",\"type\":\"WORKSPACE_INVOKE\"}\n")]
#[case::csv(&["-rq", ".keys[] | [.prefix, .name] | @csv"], "\"kw_1\",\"a, \"\"b\"\"\"\n\"kw_2\",\n")]
#[case::tsv(&["-rq", ".keys[] | [.prefix, .name] | @tsv"], "kw_1\ta, \"b\"\nkw_2\t\n")]
#[case::nothing(&["-q", "empty"], "")]
#[case::an_empty_expression_is_none(&["-q", "", "-o", "jsonl"], "{\"keys\":[{\"name\":\"a, \\\"b\\\"\",\"prefix\":\"kw_1\",\"type\":\"PERSONAL\"},{\"model_ids\":[\"m2\",\"m1\"],\"prefix\":\"kw_2\",\"type\":\"WORKSPACE_INVOKE\"}]}\n")]
#[case::halt(&["-q", "1, halt, 2"], "1\n")]
fn an_expression_filters_what_came(#[case] flags: &[&str], #[case] out: &str) {
    assert_eq!(filtered(flags), Ran::new(0, out, ""));
}

#[rstest]
#[case::text("text")]
#[case::none("none")]
fn an_expression_with_a_form_that_is_not_json_is_a_mistake(#[case] form: &str) {
    let server = Server::ok(KEYS);
    let ran = Shell::at(&server).line(&format!("org api-key list -q . -o {form}"));
    let error = format!("--jq cannot be used with --output {form}\n");
    assert_eq!(
        ran,
        Ran::new(2, "Usage: keyward org api-key list [OPTIONS]\n", &error)
    );
    assert_eq!(server.lines(), [""; 0]);
}

#[test]
fn an_expression_that_cannot_be_read_makes_no_key() {
    let server = Server::ok(r#"{"api_key":"kw_new.secret"}"#);
    let args = [
        "org",
        "api-key",
        "create",
        "--type",
        "personal",
        "--jq",
        ".api_key | select(",
    ];
    let ran = Shell::at(&server).run(args);
    let error = "invalid jq expression: expected closing parenthesis\n  .api_key | select(\n                    ^\n";
    assert_eq!(ran, Ran::new(1, "", error));
    assert_eq!(server.lines(), [""; 0]);
}

#[rstest]
#[case::error(".keys[].prefix, error(\"no\")", 1, "jq error: no\n")]
#[case::type_error(
    ".keys[].prefix, .keys.x",
    1,
    "jq error: cannot index [{\"name\":\"a, \\\"b\\\"\",\"prefix\":\"kw_1\",\"type\":\"PERSONAL\"},{\"model_ids\":[\"m2\",\"m1\"],\"prefix\":\"kw_2\",\"type\":\"WORKSPACE_INVOKE\"}] with \"x\"\n"
)]
#[case::halt(".keys[].prefix, halt(7)", 7, "")]
#[case::halt_error(".keys[].prefix, (\"gone\\n\" | halt_error)", 5, "gone\n")]
#[case::member_name(
    ".keys[].prefix, {(\"a\"): 1} + ({} | .[\"b\"] = nan) | if type == \"string\" then . else error(\"x\") end",
    1,
    "jq error: x\n"
)]
fn a_failure_at_run_time_keeps_what_was_printed(
    #[case] expression: &str,
    #[case] code: i32,
    #[case] error: &str,
) {
    assert_eq!(
        filtered(&["-q", expression]),
        Ran::new(code, "\"kw_1\"\n\"kw_2\"\n", error)
    );
}

#[test]
fn a_key_that_was_made_and_not_shown_is_told_of() {
    let server = Server::ok(r#"{"api_key":"kw_8fJ2mQ4x.secret"}"#);
    let ran = Shell::at(&server).line("org api-key create --type personal -q .key|error");
    let told =
        "The key kw_8fJ2mQ4x was made all the same. Delete it unless its text stands above.\n";
    assert_eq!(ran, Ran::new(1, "", &format!("{told}jq error: null\n")));
}

#[test]
fn a_complaint_does_not_quote_a_new_key() {
    let server = Server::ok(r#"{"api_key":"kw_8fJ2mQ4x.canary"}"#);
    let args = [
        "org",
        "api-key",
        "create",
        "--type",
        "personal",
        "-q",
        ".api_key.x",
    ];
    let ran = Shell::at(&server).run(args);
    let error = "The key kw_8fJ2mQ4x was made all the same. Delete it unless its text stands above.\n\
                 jq error: cannot index \"***\" with \"x\"\n";
    assert_eq!(ran, Ran::new(1, "", error));
}

#[test]
fn a_complaint_about_everything_is_cut() {
    let name = "n".repeat(5000);
    let body = format!(r#"{{"keys":[{{"prefix":"kw_1","type":"PERSONAL","name":"{name}"}}]}}"#);
    let server = Server::ok(&body);
    let ran = Shell::at(&server).line("org api-key list -q error");
    assert_eq!(
        (ran.code, ran.err.chars().count()),
        (Some(1), 1012),
        "{ran}"
    );
}

#[test]
fn an_expression_may_begin_with_a_sign() {
    assert_eq!(filtered(&["-q", "-1"]), Ran::new(0, "-1\n", ""));
    let ran = filtered(&["--jq", "-(.keys | length)"]);
    assert_eq!(ran, Ran::new(0, "-2\n", ""));
}

#[test]
fn words_of_an_expression_go_to_standard_error() {
    let ran = filtered(&[
        "-o",
        "jsonl",
        "-q",
        ".keys[0].prefix | debug | stderr | length",
    ]);
    assert_eq!(ran, Ran::new(0, "4\n", "[\"DEBUG:\",\"kw_1\"]\nkw_1\n"));
}

#[test]
fn the_environment_can_be_read_even_when_some_of_it_is_no_text() {
    use std::os::unix::ffi::OsStrExt as _;
    let server = Server::ok(KEYS);
    let shell = Shell::at(&server).with("WANTED", "kw_2");
    let mut command = shell.command(["org", "api-key", "list", "-rq"]);
    command.arg(".keys[] | select(.prefix == env.WANTED and .prefix == $ENV.WANTED) | .type");
    command.env("BROKEN", std::ffi::OsStr::from_bytes(b"\xff"));
    let ran = Ran::from(command.output().unwrap());
    assert_eq!(ran, Ran::new(0, "WORKSPACE_INVOKE\n", ""));
}
