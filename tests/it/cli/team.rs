//! `--team` by id and by name, and `org team list | create`.

use rstest::rstest;

use super::shell::{Ran, Server, Shell, response};

const TEAMS: &str = r#"{"teams":[
    {"id":"t-1","name":"default","default":true,"created_at":"2026-11-21T03:00:00Z"},
    {"id":"t-2","name":"ops","default":false,"created_at":"2026-11-21T03:00:01Z"},
    {"id":"t-3","name":"twin","default":false,"created_at":"2026-11-21T03:00:02Z"},
    {"id":"t-4","name":"twin","default":false,"created_at":"2026-11-21T03:00:03Z"},
    {"id":"t-5","name":"t-2","default":false,"created_at":"2026-11-21T03:00:04Z"}]}"#;

fn create_in(team: &str) -> (Ran, Vec<String>) {
    let server = Server::new(|line| match line {
        "GET /v1/teams" => response(200, TEAMS),
        _ => response(200, r#"{"api_key":"kw_new.secret"}"#),
    });
    let args = [
        "org", "api-key", "create", "--type", "personal", "-o", "jsonl", "--team", team,
    ];
    (Shell::at(&server).run(args), server.lines())
}

#[rstest]
#[case::by_name("ops", "t-2")]
#[case::by_id("t-4", "t-4")]
#[case::an_id_wins_over_a_name("t-2", "t-2")]
fn a_key_is_made_in_the_team_that_is_meant(#[case] team: &str, #[case] id: &str) {
    let (ran, asked) = create_in(team);
    assert_eq!(ran, Ran::new(0, "{\"api_key\":\"kw_new.secret\"}\n", ""));
    assert_eq!(
        asked,
        [
            "GET /v1/teams".to_owned(),
            format!("POST /v1/teams/{id}/api_keys")
        ]
    );
}

#[rstest]
#[case("twin", "multiple teams named \"twin\"; pass the team ID instead\n")]
#[case("Ops", "no team matched \"Ops\"\n")]
fn a_team_that_is_not_one_team_makes_no_key(#[case] team: &str, #[case] error: &str) {
    let (ran, asked) = create_in(team);
    assert_eq!(ran, Ran::new(1, "", error));
    assert_eq!(asked, ["GET /v1/teams"]);
}

#[test]
fn teams_are_listed_in_the_order_of_the_server() {
    let one = r#"{"teams":[{"id":"t-1","name":"default","default":true,"created_at":"2026-11-21T03:00:00Z"},
                           {"id":"t-2","name":"ops","default":false,"created_at":"2026-11-21T03:00:01Z"}]}"#;
    let server = Server::ok(one);
    let shell = Shell::at(&server);
    let table = "\
ID   NAME     DEFAULT  CREATED               \n\
t-1  default  yes      2026-11-21T03:00:00Z  \n\
t-2  ops               2026-11-21T03:00:01Z  \n";
    assert_eq!(shell.line("org team list"), Ran::new(0, table, ""));
    let names = shell.line("org team list -q .teams[].name -r");
    assert_eq!(names, Ran::new(0, "default\nops\n", ""));
    let empty = Server::ok(r#"{"teams":[]}"#);
    let ran = Shell::at(&empty).line("org team list");
    assert_eq!(ran, Ran::new(0, "", "No teams found.\n"));
}

#[test]
fn a_new_team_is_told_by_its_id() {
    let team = r#"{"id":"t-9","name":"ops","default":false,"created_at":"2026-11-21T03:00:01Z"}"#;
    let server = Server::ok(team);
    let shell = Shell::at(&server);
    let ran = shell.line("org team create --name ops");
    assert_eq!(ran, Ran::new(0, "t-9\n", "Created team ops\n"));
    assert_eq!(server.lines(), ["POST /v1/teams"]);
    assert_eq!(server.asked()[0].body, r#"{"name":"ops"}"#);
}
