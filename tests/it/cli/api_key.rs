//! `org api-key list | create | delete` against an admin listener's canned answers, to the byte.

use rstest::rstest;

use super::shell::{Ran, Server, Shell, response};

const KEYS: &str = r#"{"keys":[
    {"prefix":"kw_8fJ2mQ4x","name":"ci-key","type":"PERSONAL","model_ids":null,"team_name":"default",
     "created_at":"2026-11-21T03:00:00Z","last_used_at":null,"owner":{"user_id":"u1","email":null,"name":"ada"}},
    {"prefix":"kw_9aQmT7bL","name":null,"type":"WORKSPACE_INVOKE","model_ids":["m1","m2"],"team_name":null,
     "created_at":"2026-11-20T03:00:00Z","last_used_at":"2026-11-21T02:59:00Z","owner":null}]}"#;

fn list(body: &str, flags: &str) -> Ran {
    let server = Server::ok(body);
    Shell::at(&server).line(&format!("org api-key list {flags}"))
}

#[test]
fn a_list_as_text_is_a_borderless_table_in_the_order_of_the_server() {
    let table = "\
NAME    KEY              TYPE              TEAM     \n\
ci-key  kw_8fJ2mQ4x****  personal          default  \n        \
        kw_9aQmT7bL****  workspace-invoke           \n";
    assert_eq!(list(KEYS, ""), Ran::new(0, table, ""));
    assert_eq!(list(KEYS, "-o text"), Ran::new(0, table, ""));
}

#[test]
fn a_list_as_json_has_sorted_members_and_no_nulls() {
    let json = r#"{
  "keys": [
    {
      "created_at": "2026-11-21T03:00:00Z",
      "name": "ci-key",
      "owner": {
        "name": "ada",
        "user_id": "u1"
      },
      "prefix": "kw_8fJ2mQ4x",
      "team_name": "default",
      "type": "PERSONAL"
    },
    {
      "created_at": "2026-11-20T03:00:00Z",
      "last_used_at": "2026-11-21T02:59:00Z",
      "model_ids": [
        "m1",
        "m2"
      ],
      "prefix": "kw_9aQmT7bL",
      "type": "WORKSPACE_INVOKE"
    }
  ]
}
"#;
    assert_eq!(list(KEYS, "--output json"), Ran::new(0, json, ""));
}

#[test]
fn a_list_as_jsonl_is_one_line() {
    let line = concat!(
        r#"{"keys":[{"created_at":"2026-11-21T03:00:00Z","name":"ci-key","owner":{"name":"ada","user_id":"u1"},"#,
        r#""prefix":"kw_8fJ2mQ4x","team_name":"default","type":"PERSONAL"},"#,
        r#"{"created_at":"2026-11-20T03:00:00Z","last_used_at":"2026-11-21T02:59:00Z","#,
        r#""model_ids":["m1","m2"],"prefix":"kw_9aQmT7bL","type":"WORKSPACE_INVOKE"}]}"#,
        "\n"
    );
    assert_eq!(list(KEYS, "-o jsonl"), Ran::new(0, line, ""));
}

#[rstest]
#[case::text("", Ran::new(0, "", "No API keys found.\n"))]
#[case::json("-o json", Ran::new(0, "{\n  \"keys\": []\n}\n", ""))]
#[case::jsonl("-o jsonl", Ran::new(0, "{\"keys\":[]}\n", ""))]
#[case::none("-o none", Ran::new(0, "", "No API keys found.\n"))]
fn an_empty_list_says_so(#[case] flags: &str, #[case] expected: Ran) {
    assert_eq!(list(r#"{"keys":[]}"#, flags), expected);
}

#[test]
fn with_none_a_list_says_nothing() {
    assert_eq!(list(KEYS, "-o none"), Ran::new(0, "", ""));
}

#[test]
fn a_server_with_members_of_its_own_or_without_some_of_ours_is_understood() {
    let original =
        r#"{"keys":[{"prefix":"bsnt_a","type":"WORKSPACE_FUTURE","colour":"red"}],"next":null}"#;
    let table =
        "NAME  KEY         TYPE              TEAM  \n      bsnt_a****  WORKSPACE_FUTURE        \n";
    assert_eq!(list(original, ""), Ran::new(0, table, ""));
    let line = "{\"keys\":[{\"prefix\":\"bsnt_a\",\"type\":\"WORKSPACE_FUTURE\"}]}\n";
    assert_eq!(list(original, "-o jsonl"), Ran::new(0, line, ""));
}

#[test]
fn widths_are_those_of_a_terminal_and_control_characters_are_shown_not_sent() {
    let body = r#"{"keys":[
        {"prefix":"kw_1","name":"東京","type":"PERSONAL"},
        {"prefix":"kw_2","name":"👩‍🚀 ok","type":"PERSONAL"},
        {"prefix":"kw_3","name":"\u001b[31mred\u001b[0m\n\u009b2J\u202e","type":"PERSONAL"}]}"#;
    let table = "\
NAME                                      KEY       TYPE      TEAM  \n\
東京                                      kw_1****  personal        \n\
👩‍🚀 ok                                     kw_2****  personal        \n\
\\u{1b}[31mred\\u{1b}[0m\\n\\u{9b}2J\\u{202e}  kw_3****  personal        \n";
    let ran = list(body, "");
    assert_eq!(ran, Ran::new(0, table, ""));
    let json = list(body, "-o json").out;
    assert!(
        !json.contains(|c: char| c.is_control() && c != '\n'),
        "{json:?}"
    );
    assert!(
        json.contains(r#""name": "\u001b[31mred\u001b[0m\n\u009b2J\u202e""#),
        "{json}"
    );
}

#[test]
fn the_request_carries_the_key_and_goes_to_the_list() {
    let server = Server::ok(r#"{"keys":[]}"#);
    Shell::at(&server).line("org api-key list");
    let asked = server.asked();
    assert_eq!(server.lines(), ["GET /v1/api_keys?limit=1000"]);
    let head = asked[0].head.to_ascii_lowercase();
    assert!(
        head.contains("\r\nauthorization: api-key kw_test\r\n"),
        "{head}"
    );
    assert!(head.contains("\r\nuser-agent: keyward/"), "{head}");
}

#[test]
fn a_base_path_stands_before_every_path() {
    let server = Server::ok(r#"{"keys":[]}"#);
    let shell = Shell::at(&server).with("KEYWARD_URL", &format!("{}/admin/", server.url));
    assert_eq!(shell.line("org api-key list").code, Some(0));
    assert_eq!(server.lines(), ["GET /admin/v1/api_keys?limit=1000"]);
}

const SAVE: &str = "Save this key now. It will not be shown again.\n";

#[rstest]
#[case::text("", Ran::new(0, "kw_new.secret\n", SAVE))]
#[case::json("-o json", Ran::new(0, "{\n  \"api_key\": \"kw_new.secret\"\n}\n", ""))]
#[case::jsonl("-o jsonl", Ran::new(0, "{\"api_key\":\"kw_new.secret\"}\n", ""))]
#[case::none("-o none", Ran::new(0, "", SAVE))]
#[case::jq("--jq .api_key", Ran::new(0, "\"kw_new.secret\"\n", ""))]
#[case::raw("-rq .api_key", Ran::new(0, "kw_new.secret\n", ""))]
fn a_new_key_stands_alone_on_standard_output(#[case] flags: &str, #[case] expected: Ran) {
    let server = Server::ok(r#"{"api_key":"kw_new.secret"}"#);
    let ran = Shell::at(&server).line(&format!("org api-key create --type personal {flags}"));
    assert_eq!(ran, expected);
}

#[rstest]
#[case("--type personal", r#"{"type":"PERSONAL"}"#)]
#[case(
    "--type workspace-manage-all --name ci",
    r#"{"name":"ci","type":"WORKSPACE_MANAGE_ALL"}"#
)]
#[case(
    "--type workspace-invoke --model-id m1 --model-id m/2",
    r#"{"model_ids":["m1","m/2"],"type":"WORKSPACE_INVOKE"}"#
)]
#[case(
    "--type workspace-export-metrics --model-id=m*",
    r#"{"model_ids":["m*"],"type":"WORKSPACE_EXPORT_METRICS"}"#
)]
fn what_a_key_shall_be_is_sent_in_the_dialect(#[case] flags: &str, #[case] body: &str) {
    let server = Server::ok(r#"{"api_key":"kw_new.secret"}"#);
    let ran = Shell::at(&server).line(&format!("org api-key create {flags}"));
    assert_eq!(ran.code, Some(0), "{ran}");
    assert_eq!(server.lines(), ["POST /v1/api_keys"]);
    assert_eq!(server.asked()[0].body, body);
}

#[test]
fn a_name_may_begin_with_a_dash() {
    let server = Server::ok(r#"{"api_key":"kw_new.secret"}"#);
    let args = [
        "org", "api-key", "create", "--type", "personal", "--name", "-v",
    ];
    assert_eq!(Shell::at(&server).run(args).code, Some(0));
    assert_eq!(server.asked()[0].body, r#"{"name":"-v","type":"PERSONAL"}"#);
}

#[test]
fn an_empty_name_or_team_is_none() {
    let server = Server::ok(r#"{"api_key":"kw_new.secret"}"#);
    let args = [
        "org", "api-key", "create", "--type", "personal", "--name", "", "--team", "",
    ];
    assert_eq!(Shell::at(&server).run(args).code, Some(0));
    assert_eq!(server.lines(), ["POST /v1/api_keys"]);
    assert_eq!(server.asked()[0].body, r#"{"type":"PERSONAL"}"#);
}

#[rstest]
#[case("personal")]
#[case("workspace-manage-all")]
fn models_for_a_type_that_has_none_are_a_mistake_before_anything_is_asked(#[case] kind: &str) {
    let server = Server::ok("{}");
    let ran = Shell::at(&server).line(&format!("org api-key create --type {kind} --model-id m1"));
    assert_eq!(
        ran,
        Ran::new(
            2,
            "Usage: keyward org api-key create [OPTIONS] --type <TYPE>\n",
            "--model-id is only valid with --type workspace-export-metrics or workspace-invoke\n"
        )
    );
    assert_eq!(server.lines(), [""; 0]);
}

fn deleting(flags: &[&str]) -> (Ran, Vec<String>) {
    let server = Server::new(|line| match line {
        "GET /v1/api_keys?limit=1000" => response(
            200,
            r#"{"keys":[{"prefix":"kw_1","name":"one","type":"PERSONAL"},
                        {"prefix":"kw_2","name":"two","type":"PERSONAL"},
                        {"prefix":"kw_3","name":"two","type":"PERSONAL"},
                        {"prefix":"kw_4","type":"PERSONAL"}]}"#,
        ),
        _ => response(200, r#"{"prefix":"kw_1"}"#),
    });
    let args = ["org", "api-key", "delete"].iter().chain(flags);
    let ran = Shell::at(&server).run(args);
    (ran, server.lines())
}

#[rstest]
#[case::text(&["--prefix", "kw_1"], Ran::new(0, "", "Deleted API key kw_1\n"))]
#[case::json(&["--prefix", "kw_1", "-o", "json"], Ran::new(0, "{\n  \"prefix\": \"kw_1\"\n}\n", ""))]
#[case::jsonl(&["--prefix", "kw_1", "-o", "jsonl"], Ran::new(0, "{\"prefix\":\"kw_1\"}\n", ""))]
#[case::none(&["--prefix", "kw_1", "-o", "none"], Ran::new(0, "", "Deleted API key kw_1\n"))]
#[case::jq(&["--prefix", "kw_1", "-q", ".prefix"], Ran::new(0, "\"kw_1\"\n", ""))]
fn a_key_is_deleted_by_its_prefix(#[case] flags: &[&str], #[case] expected: Ran) {
    let (ran, asked) = deleting(flags);
    assert_eq!(ran, expected);
    assert_eq!(asked, ["DELETE /v1/api_keys/kw_1"]);
}

#[test]
fn a_key_is_deleted_by_its_name_when_only_one_has_it() {
    let (ran, asked) = deleting(&["--name", "one"]);
    assert_eq!(ran, Ran::new(0, "", "Deleted API key kw_1\n"));
    assert_eq!(
        asked,
        ["GET /v1/api_keys?limit=1000", "DELETE /v1/api_keys/kw_1"]
    );
}

#[rstest]
#[case("two", "multiple API keys named \"two\"; pass --prefix instead\n")]
#[case("three", "no API key named \"three\"\n")]
#[case("on", "no API key named \"on\"\n")]
#[case("say \"hi\"", "no API key named \"say \\\"hi\\\"\"\n")]
fn a_name_that_does_not_mean_one_key_deletes_nothing(#[case] name: &str, #[case] error: &str) {
    let (ran, asked) = deleting(&["--name", name]);
    assert_eq!(ran, Ran::new(1, "", error));
    assert_eq!(asked, ["GET /v1/api_keys?limit=1000"]);
}

#[rstest]
#[case::neither(&[], "the following required arguments were not provided")]
#[case::both(&["--name", "one", "--prefix", "kw_1"], "cannot be used with")]
#[case::empty_prefix(&["--prefix", ""], "a value is required for '--prefix <PREFIX>'")]
#[case::empty_name(&["--name", ""], "a value is required for '--name <NAME>'")]
fn exactly_one_name_of_a_key_is_wanted(#[case] flags: &[&str], #[case] error: &str) {
    let (ran, asked) = deleting(flags);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(ran.err.contains(error), "{ran}");
    assert_eq!(asked, [""; 0]);
}

#[test]
fn a_prefix_stays_one_segment_of_the_path() {
    let (ran, asked) = deleting(&["--prefix", "../teams?x#y z%2f"]);
    assert_eq!(ran.code, Some(0), "{ran}");
    assert_eq!(asked, ["DELETE /v1/api_keys/..%2Fteams%3Fx%23y%20z%252f"]);
}
