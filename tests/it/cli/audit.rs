//! `org audit list`.

use rstest::rstest;
use snapbox::{assert_data_eq, str};

use super::shell::{Ran, Server, Shell};

const LOGS: &str = r#"{"audit_logs":[
    {"id":12,"created_at":"2026-11-21T03:00:00Z","actor":"ada","actor_prefix":"kw_1","source":"192.0.2.1",
     "action":"update","key_id":"0198c0de-0000-7000-8000-000000000000","prefix":"kw_2","changed":["name","enabled"]},
    {"id":11,"created_at":"2026-11-21T02:00:00Z","actor":"admin","actor_prefix":null,"source":"database",
     "action":"create","key_id":"0198c0de-0000-7000-8000-000000000000","prefix":"kw_2","changed":[]}],
    "next_cursor":"11"}"#;

#[test]
fn the_trail_is_a_table() {
    let server = Server::ok(LOGS);
    let ran = Shell::at(&server).line("org audit list");
    assert_data_eq!(
        ran.to_string(),
        str![[r#"
exit Some(0)
--- out
TIME                  ACTOR       FROM       ACTION  OF    CHANGED        
2026-11-21T03:00:00Z  ada (kw_1)  192.0.2.1  update  kw_2  name, enabled  
2026-11-21T02:00:00Z  admin       database   create  kw_2                 
--- err
There are more: --cursor 11

"#]]
    );
}

#[test]
fn the_trail_as_json_has_sorted_members_and_no_nulls() {
    let server = Server::ok(LOGS);
    let ran = Shell::at(&server).line("org audit list -o json");
    assert_data_eq!(
        ran.to_string(),
        str![[r#"
exit Some(0)
--- out
{
  "audit_logs": [
    {
      "action": "update",
      "actor": "ada",
      "actor_prefix": "kw_1",
      "changed": [
        "name",
        "enabled"
      ],
      "created_at": "2026-11-21T03:00:00Z",
      "id": 12,
      "key_id": "0198c0de-0000-7000-8000-000000000000",
      "prefix": "kw_2",
      "source": "192.0.2.1"
    },
    {
      "action": "create",
      "actor": "admin",
      "changed": [],
      "created_at": "2026-11-21T02:00:00Z",
      "id": 11,
      "key_id": "0198c0de-0000-7000-8000-000000000000",
      "prefix": "kw_2",
      "source": "database"
    }
  ],
  "next_cursor": "11"
}
--- err

"#]]
    );
}

#[rstest]
#[case("", "GET /v1/audit_logs?limit=100")]
#[case("--limit 2 --cursor 11", "GET /v1/audit_logs?limit=2&cursor=11")]
fn what_is_asked_for(#[case] flags: &str, #[case] line: &str) {
    let server = Server::ok(r#"{"audit_logs":[],"next_cursor":null}"#);
    let ran = Shell::at(&server).line(&format!("org audit list {flags}"));
    assert_eq!(ran, Ran::new(0, "", "No changes found.\n"));
    assert_eq!(server.lines(), [line]);
}

#[test]
fn a_refusal_says_what_was_being_done() {
    let server = Server::always(403, "no");
    let ran = Shell::at(&server).line("org audit list");
    let error = "listing audit logs: keyward API error (HTTP 403): no\n";
    assert_eq!(ran, Ran::new(3, "", error));
}

#[test]
fn the_help_tells_output_exit_codes_and_an_example() {
    let help = Shell::new().line("org audit list --help").out;
    for part in ["Output:", "Exit codes:", "Example: keyward", "--jq"] {
        assert!(help.contains(part), "{part} in {help}");
    }
}

/// What is done straight on a database is in its trail, too.
#[test]
fn the_trail_is_told_straight_from_the_database() {
    let (shell, url) = Shell::with_database();
    let run = |line: &str| shell.line(&format!("{line} --database {url}"));
    let made = run("org api-key create --type personal --name ci -o none");
    assert_eq!(made.code, Some(0), "{made}");
    let prefix = run("org api-key list -rq .keys[0].prefix").out;
    let rotated = run(&format!("org api-key rotate {} -o none", prefix.trim_end()));
    assert_eq!(rotated.code, Some(0), "{rotated}");
    let told = run("org audit list -q .audit_logs[]|[.actor,.source,.action,.changed] -o jsonl");
    let expected = "[\"admin\",\"database\",\"rotate\",[\"key\",\"prefix\"]]\n[\"admin\",\"database\",\"create\",[]]\n";
    assert_eq!(told, Ran::new(0, expected, ""));
}
