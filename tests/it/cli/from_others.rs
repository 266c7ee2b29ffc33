//! Keys of LiteLLM and Unkey, from files in the shape of their tables.

use rstest::rstest;

use super::import::{feed, hex};
use super::shell::{Ran, Shell};

const LITELLM_CSV: &str = include_str!("samples/litellm.csv");
const LITELLM_JSON: &str = include_str!("samples/litellm.jsonl");
const UNKEY_CSV: &str = include_str!("samples/unkey.csv");
const UNKEY_JSON: &str = include_str!("samples/unkey.jsonl");

/// What `expression` finds in each key of an export, in the order of their prefixes.
fn exported(shell: &Shell, url: &str) -> Vec<serde_json::Value> {
    let ran = shell.line(&format!(
        "org api-key export --format jsonl --database {url}"
    ));
    let rows = ran.out.lines();
    let mut rows: Vec<serde_json::Value> =
        rows.map(|row| serde_json::from_str(row).unwrap()).collect();
    for row in &mut rows {
        let row = row.as_object_mut().unwrap();
        row.remove("id");
        row.remove("disabled_at");
    }
    rows.sort_by_key(|row| row["prefix"].to_string());
    rows
}

#[rstest]
#[case::csv(LITELLM_CSV)]
#[case::json(LITELLM_JSON)]
fn keys_of_litellm_are_what_they_were_there(#[case] file: &str) {
    let (shell, url) = Shell::with_database();
    let line = "org api-key import --format litellm --create-teams";
    let ran = feed(&shell, &url, line, file);
    let first = if file == LITELLM_CSV { 2 } else { 1 };
    let [scoped, both, user] = [first + 1, first + 4, first + 5];
    let others = "organisations, projects, agents and metadata";
    let err = format!(
        "line {scoped}: not taken over: budgets; rate limits; {others}\n\
         line {both}: not taken over: budgets\n\
         line {user}: not taken over: budgets; {others}\n\
         not taken over: budgets (3 keys)\n\
         not taken over: {others} (2 keys)\n\
         not taken over: rate limits (1 key)\n\
         imported 6, skipped 0 (already there), invalid 0\n"
    );
    assert_eq!(ran, Ran::new(0, "", &err));
    let made = "2026-03-01T09:30:00Z";
    let expected = [
        serde_json::json!({
            "digest": hex("sk-sample-both"), "prefix": "sk-both-576c596475b2", "name": "of both",
            "type": "WORKSPACE_INVOKE", "model_ids": ["meta/llama-3"], "team": "search", "created_at": made,
            "enabled": true,
        }),
        serde_json::json!({
            "digest": hex("sk-sample-blocked"), "prefix": "sk-cked-2b160a0eab8e", "type": "WORKSPACE_INVOKE",
            "team": "default", "created_at": made, "enabled": false,
        }),
        serde_json::json!({
            "digest": hex("sk-sample-plain"), "prefix": "sk-lain-5c6fed1479bf", "name": "plain",
            "type": "WORKSPACE_INVOKE", "team": "default", "owner": "ada", "created_at": made, "enabled": true,
        }),
        serde_json::json!({
            "digest": hex("sk-sample-scoped"), "prefix": "sk-oped-44f319bc23e9", "name": "scoped, two models",
            "type": "WORKSPACE_INVOKE", "model_ids": ["llama", "mixtral 8x7b"], "team": "default",
            "created_at": made, "expires_at": "2099-01-31T00:00:00Z", "last_used_at": "2026-11-20T10:00:00Z",
            "enabled": true,
        }),
        serde_json::json!({
            "digest": hex("sk-sample-team"), "prefix": "sk-team-a842afde3ffa", "name": "of the team",
            "type": "WORKSPACE_INVOKE", "model_ids": ["llama", "meta/*"], "team": "search", "created_at": made,
            "enabled": true,
        }),
        serde_json::json!({
            "digest": hex("sk-sample-user"), "prefix": "sk-user-47aea01868a7", "name": "of a user and a project",
            "type": "WORKSPACE_INVOKE", "model_ids": ["llama"], "team": "default", "owner": "bob",
            "created_at": made, "enabled": true,
        }),
    ];
    assert_eq!(exported(&shell, &url), expected);
    let again = feed(&shell, &url, line, file);
    assert!(
        again
            .err
            .ends_with("imported 0, skipped 6 (already there), invalid 0\n"),
        "{again}"
    );
}

/// A row of LiteLLM's table.
fn litellm(members: &str) -> String {
    format!("{{\"token\":\"{}\"{members}}}\n", hex("sk-CANARY"))
}

#[rstest]
#[case::unhashed("{\"token\":\"sk-CANARY\"}".to_owned(), "token: this is no digest but seems to be the key itself; give its SHA-256, and never write keys to files")]
#[case::unhashed_otherwise("{\"token\":\"CANARY\"}".to_owned(), "token: this is no SHA-256 digest: 64 hexadecimal digits, or base64")]
#[case::key_as_its_name(
    litellm(r#","key_alias":"sk-CANARY""#),
    "the text of the key itself stands in a column that is shown"
)]
#[case::team_unknown(
    litellm(r#","models":[],"team_id":"CANARY""#),
    "team_models: the file must say which models these are: see the query in the help"
)]
#[case::no_team(
    litellm(r#","models":["all-team-models"]"#),
    "team_models: the file must say which models these are: see the query in the help"
)]
#[case::models_of_the_organisation(
    litellm(r#","models":["all-org-models"]"#),
    "models: the models of a whole team or organisation stand elsewhere; write them out"
)]
#[case::user_unknown(
    litellm(r#","models":[],"user_id":"CANARY""#),
    "user_models: the file must say which models these are: see the query in the help"
)]
#[case::user_without_models(
    litellm(r#","user_id":"u","user_models":["no-default-models"]"#),
    "user_models: no model is left that the key may call there"
)]
#[case::project_unknown(
    litellm(r#","models":[],"project_id":"CANARY""#),
    "project_models: the file must say which models these are: see the query in the help"
)]
#[case::member(
    litellm(r#","models":["a"],"team_id":"t","team_models":[],"member_models":["b"]"#),
    "models: no model is left that the key may call there"
)]
#[case::no_routes_to_models(
    litellm(r#","allowed_routes":["management_routes"]"#),
    "allowed_routes: its routes call no models there: it needs a key of another type"
)]
#[case::nothing_in_common(
    litellm(r#","models":["a"],"team_id":"t","team_models":["b"]"#),
    "models: no model is left that the key may call there"
)]
#[case::pattern(
    litellm(r#","models":["CAN*ARY"]"#),
    "models: a `*` may stand only at the end of a model id"
)]
fn a_key_of_litellm_that_would_change_is_refused(#[case] row: String, #[case] why: &str) {
    let (shell, url) = Shell::with_database();
    let line = "org api-key import --format litellm --create-teams";
    let ran = feed(&shell, &url, line, &row);
    assert_eq!(ran.code, Some(5), "{ran}");
    assert!(ran.err.starts_with(&format!("line 1: {why}\n")), "{ran}");
    assert!(!ran.err.contains("CANARY"), "{ran}");
}

#[test]
fn what_is_new_in_litellm_is_told_too() {
    let (shell, url) = Shell::with_database();
    let row = litellm(r#","moon_phase":"full","CANARY":1,"allowed_routes":["/v1/models"]"#);
    let ran = feed(&shell, &url, "org api-key import --format litellm", &row);
    let err = "line 1: not taken over: limits to routes\n\
               not taken over: limits to routes (1 key)\n\
               not taken over: columns not known here: moon_phase\n\
               imported 1, skipped 0 (already there), invalid 0\n";
    assert_eq!(ran, Ran::new(0, "", err));
}

#[test]
fn keys_of_unkey_are_what_they_were_there() {
    let (shell, url) = Shell::with_database();
    let line = "org api-key import --format unkey --on-conflict unname";
    let ran = feed(&shell, &url, line, UNKEY_JSON);
    let err = "line 2: not taken over: credits and refills; rate limits\n\
               line 4: not taken over: credits and refills; rate limits; permissions and roles\n\
               not taken over: credits and refills (2 keys)\n\
               not taken over: permissions and roles (1 key)\nnot taken over: rate limits (2 keys)\n\
               Unkey knows no models: these keys may call every one; --model-id limits them\n\
               imported 4, skipped 0 (already there), invalid 0, 1 without their names\n";
    assert_eq!(ran, Ran::new(0, "", err));
    let mut rows = exported(&shell, &url);
    for row in &mut rows[2..] {
        let moment = row.as_object_mut().unwrap().remove("created_at");
        assert!(moment.is_some(), "a key of unknown age is new here");
    }
    let expected = [
        serde_json::json!({
            "digest": hex("prod_sample-one"), "prefix": "prod_sam-6152816cb2f9", "name": "checkout",
            "type": "WORKSPACE_INVOKE", "team": "default", "owner": "customer-1",
            "created_at": "2026-03-01T09:30:00Z", "last_used_at": "2026-11-20T10:00:00Z", "enabled": true,
        }),
        serde_json::json!({
            "digest": hex("prod_sample-two"), "prefix": "prod_sam-618b5c3baf1f", "type": "WORKSPACE_INVOKE",
            "team": "default", "owner": "customer-2", "created_at": "2026-03-01T09:30:00Z",
            "expires_at": "2099-01-31T00:00:00Z", "enabled": true,
        }),
        serde_json::json!({
            "digest": hex("sample-four"), "prefix": "samp-1923c822b45e", "name": "used up",
            "type": "WORKSPACE_INVOKE", "team": "default", "enabled": false,
        }),
        serde_json::json!({
            "digest": hex("sample-three"), "prefix": "samp-41f81ad221c1", "type": "WORKSPACE_INVOKE",
            "team": "default", "enabled": false,
        }),
    ];
    assert_eq!(rows, expected);
}

#[test]
fn a_key_that_unkey_has_deleted_is_left_out_and_models_come_from_the_flags() {
    let (shell, url) = Shell::with_database();
    let line = "org api-key import --format unkey --model-id m1";
    let ran = feed(&shell, &url, line, UNKEY_CSV);
    let err = "line 2: not taken over: environments, identities and metadata\n\
               not taken over: environments, identities and metadata (1 key)\n\
               imported 1, skipped 0 (already there), invalid 0, 1 left out (deleted there)\n";
    assert_eq!(ran, Ran::new(0, "", err));
    let rows = exported(&shell, &url);
    assert_eq!(rows[0]["model_ids"], serde_json::json!(["m1"]));
    assert_eq!(rows[0]["owner"], "customer-1");
}

#[rstest]
#[case::plaintext(
    r#","plaintext":"CANARY""#,
    "the key itself stands in this file: leave that column out, and remove the file"
)]
#[case::start(r#","start":"CANARY""#, "start: the whole key stands here")]
#[case::like_ours(
    r#","start":"kw_CA""#,
    "start: a text that begins with `kw_` is refused unless it was made here: it needs a new key"
)]
#[case::another_hash(
    r#","pending_migration_id":"m_1""#,
    "pending_migration_id: its hash may not be a SHA-256 of the whole key before it is first used there"
)]
fn a_key_of_unkey_that_cannot_be_taken_over_is_refused(#[case] members: &str, #[case] why: &str) {
    let (shell, url) = Shell::with_database();
    let row = format!("{{\"hash\":\"{}\"{members}}}", hex("CANARY"));
    let ran = feed(&shell, &url, "org api-key import --format unkey", &row);
    assert_eq!(ran.code, Some(5), "{ran}");
    assert!(ran.err.starts_with(&format!("line 1: {why}\n")), "{ran}");
    assert!(!ran.err.contains("CANARY"), "{ran}");
}

#[test]
fn what_many_rows_lose_is_told_of_each_when_asked() {
    let (shell, url) = Shell::with_database();
    let rows: Vec<String> = (0..150)
        .map(|number| {
            let digest = hex(&number.to_string());
            format!("{{\"hash\":\"{digest}\",\"remaining\":7}}")
        })
        .collect();
    let rows = rows.join("\n");
    let told = |line: &str| {
        let ran = feed(&shell, &url, line, &rows);
        assert_eq!(ran.code, Some(0), "{ran}");
        assert!(
            ran.err
                .contains("not taken over: credits and refills (150 keys)\n"),
            "{ran}"
        );
        ran.err
            .matches(": not taken over: credits and refills\n")
            .count()
    };
    let line = "org api-key import --format unkey --model-id m1";
    assert_eq!(told(line), 100);
    assert_eq!(told(&format!("{line} --verbose")), 150);
}
