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
    let err = "not taken over: budgets (2 keys)\n\
               not taken over: organisations, projects, agents and metadata (1 key)\n\
               not taken over: rate limits (1 key)\n\
               imported 5, skipped 0 (already there), invalid 0\n";
    assert_eq!(ran, Ran::new(0, "", err));
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
    ];
    assert_eq!(exported(&shell, &url), expected);
    let again = feed(&shell, &url, line, file);
    assert!(
        again
            .err
            .ends_with("imported 0, skipped 5 (already there), invalid 0\n"),
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
    "team_models: the file must say which models the key's team may call: see the query in the help"
)]
#[case::no_team(
    litellm(r#","models":["all-team-models"]"#),
    "team_models: the file must say which models the key's team may call: see the query in the help"
)]
#[case::models_of_the_organisation(
    litellm(r#","models":["all-org-models"]"#),
    "models: the models of an organisation are not in the file; write them out"
)]
#[case::nothing_in_common(
    litellm(r#","models":["a"],"team_id":"t","team_models":["b"]"#),
    "models: the key and its team have no model in common: it may call nothing"
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
    let err = "not taken over: limits to routes, tools and access groups (1 key)\n\
               not taken over: columns not known here: moon_phase\n\
               imported 1, skipped 0 (already there), invalid 0\n";
    assert_eq!(ran, Ran::new(0, "", err));
}

#[test]
fn keys_of_unkey_are_what_they_were_there() {
    let (shell, url) = Shell::with_database();
    let line = "org api-key import --format unkey --on-conflict unname";
    let ran = feed(&shell, &url, line, UNKEY_JSON);
    let err = "not taken over: credits and refills (1 key)\nnot taken over: rate limits (1 key)\n\
               Unkey knows no models: these keys may call every one; --model-id limits them\n\
               imported 3, skipped 0 (already there), invalid 0, 1 without their names\n";
    assert_eq!(ran, Ran::new(0, "", err));
    let mut rows = exported(&shell, &url);
    let moment = rows[2].as_object_mut().unwrap().remove("created_at");
    assert!(moment.is_some(), "a key of unknown age is new here");
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
    let err = "not taken over: environments, identities and metadata (1 key)\n\
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
