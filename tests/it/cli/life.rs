//! `org api-key rotate | disable | enable`, keys that end, and lists that are filtered and sorted.

use rstest::rstest;
use snapbox::{assert_data_eq, str};

use super::shell::{Ran, Server, Shell};

const KEYS: &str = r#"{"keys":[
    {"prefix":"kw_1","name":"beta","type":"PERSONAL","created_at":"2020-01-03T00:00:00Z",
     "last_used_at":"2020-02-01T00:00:00Z","team_name":"ops"},
    {"prefix":"kw_2","name":"alpha","type":"WORKSPACE_INVOKE","created_at":"2020-01-02T00:00:00Z","team_name":"dev",
     "expires_at":"2020-03-01T00:00:00Z","disabled_at":null,"ends_calls":false},
    {"prefix":"kw_3","type":"WORKSPACE_INVOKE","created_at":"2020-01-01T00:00:00Z","team_name":"dev",
     "last_used_at":"2999-01-01T00:00:00Z","expires_at":"2999-01-01T00:00:00Z","disabled_at":"2020-01-01T00:00:00Z",
     "ends_calls":true}]}"#;

fn shown(ran: &Ran) -> String {
    ran.to_string()
}

#[test]
fn a_rotated_key_is_printed_alone() {
    let server = Server::ok(
        r#"{"api_key":"kw_new.text","prefix":"kw_new","old_until":"2026-01-01T00:00:00Z"}"#,
    );
    let ran = Shell::at(&server).line("org api-key rotate kw_1 --grace 10m");
    assert_data_eq!(
        shown(&ran),
        str![[r#"
exit Some(0)
--- out
kw_new.text
--- err
The old key works until 2026-01-01T00:00:00Z.
Save this key now. It will not be shown again.

"#]]
    );
    let ran = Shell::at(&server).line("org api-key rotate kw_1 --wait all -o json");
    assert_data_eq!(
        shown(&ran),
        str![[r#"
exit Some(0)
--- out
{
  "api_key": "kw_new.text",
  "old_until": "2026-01-01T00:00:00Z",
  "prefix": "kw_new"
}
--- err

"#]]
    );
    assert_eq!(
        server.lines(),
        [
            "POST /v1/api_keys/kw_1/rotate?grace=600",
            "POST /v1/api_keys/kw_1/rotate?wait=all"
        ]
    );
}

#[test]
fn without_a_grace_the_old_key_is_said_to_be_refused() {
    let server = Server::ok(r#"{"api_key":"kw_new.text","prefix":"kw_new","old_until":null}"#);
    let ran = Shell::at(&server).line("org api-key rotate kw_1");
    assert_data_eq!(
        shown(&ran),
        str![[r#"
exit Some(0)
--- out
kw_new.text
--- err
The old key is refused from now on.
Save this key now. It will not be shown again.

"#]]
    );
}

#[test]
fn a_key_is_switched_off_and_on() {
    let server = Server::ok(
        r#"{"prefix":"kw_1","type":"PERSONAL","expires_at":null,"disabled_at":"2026-01-01T00:00:00Z"}"#,
    );
    let ran = Shell::at(&server).line("org api-key disable kw_1");
    assert_data_eq!(
        shown(&ran),
        str![[r#"
exit Some(0)
--- out
--- err
Disabled API key kw_1

"#]]
    );
    let ran = Shell::at(&server).line("org api-key enable kw_1 -o jsonl");
    assert_data_eq!(
        shown(&ran),
        str![[r#"
exit Some(0)
--- out
{"disabled_at":"2026-01-01T00:00:00Z","prefix":"kw_1","type":"PERSONAL"}
--- err

"#]]
    );
    let bodies: Vec<String> = server.asked().into_iter().map(|asked| asked.body).collect();
    assert_eq!(bodies, [r#"{"enabled":false}"#, r#"{"enabled":true}"#]);
    assert_eq!(server.lines(), ["PATCH /v1/api_keys/kw_1"; 2]);
}

#[rstest]
#[case(
    "org api-key rotate kw_1",
    "rotating API key: keyward API error (HTTP 404): gone\n"
)]
#[case(
    "org api-key disable kw_1",
    "disabling API key: keyward API error (HTTP 404): gone\n"
)]
#[case(
    "org api-key enable kw_1",
    "enabling API key: keyward API error (HTTP 404): gone\n"
)]
fn a_refusal_says_what_was_being_done(#[case] line: &str, #[case] error: &str) {
    let server = Server::always(404, "gone");
    assert_eq!(Shell::at(&server).line(line), Ran::new(4, "", error));
}

#[test]
fn a_key_that_is_to_end_is_asked_for_in_seconds() {
    let server = Server::ok(r#"{"api_key":"kw_new.text"}"#);
    let ran = Shell::at(&server).line("org api-key create --type personal --expires-in 30d");
    assert_eq!(ran.code, Some(0), "{ran}");
    assert_eq!(
        server.asked()[0].body,
        r#"{"expires_in":2592000,"type":"PERSONAL"}"#
    );
}

#[rstest]
#[case::all("", "kw_1,kw_2,kw_3")]
#[case::unused("--unused-for 30d", "kw_1,kw_2")]
#[case::never_that_old("--unused-for 99999w", "")]
#[case::expired("--expired", "kw_2")]
#[case::by_name("--sort name", "kw_3,kw_2,kw_1")]
#[case::by_type("--sort type", "kw_1,kw_2,kw_3")]
#[case::by_team("--sort team", "kw_2,kw_3,kw_1")]
#[case::by_age("--sort created", "kw_3,kw_2,kw_1")]
#[case::by_use("--sort last-used", "kw_2,kw_1,kw_3")]
#[case::by_end("--sort expires", "kw_2,kw_3,kw_1")]
fn a_list_is_filtered_and_sorted(#[case] flags: &str, #[case] prefixes: &str) {
    let server = Server::ok(KEYS);
    let ran = Shell::at(&server).run(
        [
            "org",
            "api-key",
            "list",
            "-rq",
            r#"[.keys[].prefix] | join(",")"#,
        ]
        .into_iter()
        .chain(flags.split_whitespace()),
    );
    assert_eq!(ran, Ran::new(0, &format!("{prefixes}\n"), ""));
}

#[test]
fn a_wide_list_has_columns_about_the_life_of_keys() {
    let server = Server::ok(KEYS);
    let ran = Shell::at(&server).line("org api-key list --wide");
    assert_data_eq!(
        shown(&ran),
        str![[r#"
exit Some(0)
--- out
NAME   KEY       TYPE              TEAM  LAST USED             EXPIRES               STATE                 
beta   kw_1****  personal          ops   2020-02-01T00:00:00Z  never                 enabled               
alpha  kw_2****  workspace-invoke  dev   never                 2020-03-01T00:00:00Z  expired               
       kw_3****  workspace-invoke  dev   2999-01-01T00:00:00Z  2999-01-01T00:00:00Z  disabled, ends calls  
--- err

"#]]
    );
}

#[rstest]
#[case(
    "--type workspace-invoke",
    "GET /v1/api_keys?type=WORKSPACE_INVOKE&limit=1000"
)]
#[case("--wide", "GET /v1/api_keys?life=true&limit=1000")]
#[case(
    "--expired --type personal",
    "GET /v1/api_keys?type=PERSONAL&life=true&limit=1000"
)]
#[case("--sort name", "GET /v1/api_keys?limit=1000")]
fn only_what_is_needed_is_asked_for(#[case] flags: &str, #[case] line: &str) {
    let server = Server::ok(KEYS);
    let ran = Shell::at(&server).line(&format!("org api-key list {flags}"));
    assert_eq!((ran.code, server.lines()), (Some(0), vec![line.to_owned()]));
}

#[rstest]
#[case("org api-key rotate", "<PREFIX>")]
#[case("org api-key rotate kw_1 --grace 0s", "a time is longer than nothing")]
#[case(
    "org api-key list --unused-for soon",
    "a time is written like `30d`, `12h` or `10m`"
)]
#[case(
    "org api-key list --sort colour",
    "[possible values: name, type, team, created, last-used, expires]"
)]
fn an_error_of_flags_ends_with_one(#[case] line: &str, #[case] error: &str) {
    let ran = Shell::new().line(line);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran}");
    assert!(ran.err.contains(error), "{ran}");
}

/// Each leaf tells what it prints, how it ends and how jq is used on it.
#[rstest]
#[case("list")]
#[case("explain")]
#[case("rotate")]
#[case("disable")]
#[case("enable")]
fn the_help_tells_output_exit_codes_and_an_example(#[case] leaf: &str) {
    let help = Shell::new().line(&format!("org api-key {leaf} --help")).out;
    for part in ["Output:", "Exit codes:", "Example: keyward", "--jq"] {
        assert!(help.contains(part), "{part} in {help}");
    }
}
