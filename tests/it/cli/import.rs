//! `org api-key import`: many keys by their digests, through the real binary.

use keyward::key::KeyDigest;
use rstest::rstest;

use super::shell::{Ran, Shell};

/// Runs `line` on the database at `url`, with `input` on standard input.
pub fn feed(shell: &Shell, url: &str, line: &str, input: &str) -> Ran {
    let mut args: Vec<&str> = line.split_whitespace().collect();
    args.extend(["--database", url]);
    shell.feed(&args, input.as_bytes())
}

pub fn hex(text: &str) -> String {
    KeyDigest::of(text.as_bytes()).to_hex()
}

/// So many keys, as comma-separated values.
pub fn csv(keys: usize) -> String {
    let rows = (0..keys).map(|number| {
        let digest = hex(&format!("text-{number}"));
        format!("{digest},ext-{number},workspace-invoke\n")
    });
    format!("digest,prefix,type\n{}", rows.collect::<String>())
}

fn listed(shell: &Shell, url: &str, expression: &str) -> String {
    let line = format!("org api-key list --jq {expression} -r --database {url}");
    shell.line(&line).out
}

#[test]
fn keys_are_imported_from_a_file_and_from_standard_input() {
    let (shell, url) = Shell::with_database();
    std::fs::write(shell.path("keys.csv"), csv(2)).unwrap();
    let ran = shell.line(&format!(
        "org api-key import keys.csv --format csv --database {url}"
    ));
    let summary = "imported 2, skipped 0 (already there), invalid 0\n";
    assert_eq!(ran, Ran::new(0, "", summary));
    let three = csv(3);
    for (line, summary) in [
        (
            "import -",
            "imported 1, skipped 2 (already there), invalid 0\n",
        ),
        (
            "import",
            "imported 0, skipped 3 (already there), invalid 0\n",
        ),
    ] {
        let ran = feed(
            &shell,
            &url,
            &format!("org api-key {line} --format csv"),
            &three,
        );
        assert_eq!(ran, Ran::new(0, "", summary));
    }
    assert_eq!(listed(&shell, &url, ".keys|length"), "3\n");
}

#[test]
fn the_summary_comes_in_every_form() {
    let (shell, url) = Shell::with_database();
    let line = "org api-key import --format csv";
    let ran = feed(&shell, &url, &format!("{line} -o json"), &csv(1));
    let json = r#"{
  "conflicts": 0,
  "dry_run": false,
  "imported": 1,
  "invalid": 0,
  "left_out": 0,
  "skipped": 0,
  "unnamed": 0
}
"#;
    assert_eq!(ran, Ran::new(0, json, ""));
    let ran = feed(&shell, &url, &format!("{line} --jq .skipped"), &csv(1));
    assert_eq!(ran, Ran::new(0, "1\n", ""));
    let ran = feed(&shell, &url, &format!("{line} -o none"), &csv(1));
    let summary = "imported 0, skipped 1 (already there), invalid 0\n";
    assert_eq!(ran, Ran::new(0, "", summary));
}

#[test]
fn everything_that_a_row_says_is_kept() {
    let (shell, url) = Shell::with_database();
    let rows = format!(
        "name,digest,prefix,type,model_ids,team,owner,created_at,expires_at,enabled,last_used_at\n\
         \"a, b\",{},sk-1,WORKSPACE_INVOKE,\"[\"\"m1\"\",\"\"m/*\"\"]\",search,ada,2026-01-02T03:04:05Z,\
         2099-01-01T00:00:00Z,false,2026-02-03T04:05:06+01:00\n",
        hex("one")
    );
    let line = "org api-key import --format csv --create-teams";
    assert_eq!(feed(&shell, &url, line, &rows).code, Some(0));
    let object = format!(
        r#"{{"type":"personal","owner":"eve","prefix":"sk-2","digest":"{}","name":null,"enabled":true}}"#,
        hex("two")
    );
    let line = "org api-key import --format jsonl";
    assert_eq!(feed(&shell, &url, line, &object).code, Some(0));
    let exported = shell.line(&format!(
        "org api-key export --format jsonl --database {url}"
    ));
    let mut rows: Vec<serde_json::Value> = exported
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    rows.sort_by_key(|row| row["prefix"].to_string());
    for row in &mut rows {
        let row = row.as_object_mut().unwrap();
        assert!(row.remove("id").is_some());
        assert_eq!(row.remove("disabled_at").is_some(), row["enabled"] == false);
        if row["prefix"] == "sk-2" {
            assert!(row.remove("created_at").is_some());
        }
    }
    let expected = [
        serde_json::json!({
            "created_at": "2026-01-02T03:04:05Z",
            "digest": hex("one"),
            "enabled": false,
            "expires_at": "2099-01-01T00:00:00Z",
            "last_used_at": "2026-02-03T03:05:06Z",
            "model_ids": ["m1", "m/*"],
            "name": "a, b",
            "owner": "ada",
            "prefix": "sk-1",
            "team": "search",
            "type": "WORKSPACE_INVOKE",
        }),
        serde_json::json!({
            "digest": hex("two"),
            "enabled": true,
            "owner": "eve",
            "prefix": "sk-2",
            "team": "default",
            "type": "PERSONAL",
        }),
    ];
    assert_eq!(rows, expected);
}

#[test]
fn rows_that_do_not_say_it_take_what_the_flags_say() {
    let (shell, url) = Shell::with_database();
    let made = shell.line(&format!("org team create --name ops --database {url}"));
    let team = made.out.trim_end();
    let rows = format!("digest,prefix\n{},sk-1\n", hex("one"));
    let flags = format!("--type workspace-invoke --model-id m1 --model-id m/* --team {team}");
    let line = format!("org api-key import --format csv {flags}");
    assert_eq!(feed(&shell, &url, &line, &rows).code, Some(0));
    let key = listed(&shell, &url, ".keys[]|[.type,.team_name,.model_ids[]]|@csv");
    assert_eq!(key, "\"WORKSPACE_INVOKE\",\"ops\",\"m1\",\"m/*\"\n");
}

/// No row of these is a key; none of their values is told.
#[rstest]
#[case::digest(
    "CANARY,p,PERSONAL,,",
    "digest: this is no SHA-256 digest: 64 hexadecimal digits, or base64"
)]
#[case::the_key(
    "sk-CANARY,p,PERSONAL,,",
    "digest: this is no digest but seems to be the key itself; give its SHA-256, and never write keys to files"
)]
#[case::no_digest(",p,PERSONAL,,", "digest: this is required")]
#[case::prefix(
    "{d},p.CANARY,PERSONAL,,",
    "prefix: a key prefix has 1 to 64 letters, digits, `_` or `-`"
)]
#[case::no_prefix("{d},,PERSONAL,,", "prefix: this is required")]
#[case::kind("{d},p,CANARY,,", "type: there is no such type of key")]
#[case::no_kind("{d},p,,,", "type: this is required, here or as --type")]
#[case::models(
    "{d},p,WORKSPACE_INVOKE,CANARY,",
    "model_ids: a list is written like [\"m1\",\"m2\"]"
)]
#[case::model(
    "{d},p,WORKSPACE_INVOKE,\"[\"\"CAN*ARY\"\"]\",",
    "model_ids: a `*` may stand only at the end of a model id"
)]
#[case::no_models(
    "{d},p,WORKSPACE_INVOKE,[],",
    "model_ids: a list of model ids names at least one model; leave it out for every model"
)]
#[case::models_of_a_person(
    "{d},p,PERSONAL,\"[\"\"m\"\"]\",",
    "only WORKSPACE_EXPORT_METRICS and WORKSPACE_INVOKE keys can be limited to models"
)]
#[case::name(
    "{d},p,PERSONAL,,\u{7}CANARY",
    "name: a name has 1 to 200 characters and no control characters"
)]
#[case::fields("{d},p,PERSONAL", "3 fields where the header has 5")]
#[case::secret_as_prefix(
    "{c},CANARY-CANARY,PERSONAL,,",
    "the text of the key itself stands in a column that is shown"
)]
#[case::secret_as_name(
    "{c},p,PERSONAL,,CANARY-CANARY",
    "the text of the key itself stands in a column that is shown"
)]
fn a_row_that_is_no_key_is_named_by_its_line_and_not_shown(#[case] row: &str, #[case] why: &str) {
    let (shell, url) = Shell::with_database();
    let row = row
        .replace("{d}", &hex("good"))
        .replace("{c}", &hex("CANARY-CANARY"));
    let rows = format!(
        "digest,prefix,type,model_ids,name\n{},a,PERSONAL,,\n{row}\n{},b,PERSONAL,,\n",
        hex("text a"),
        hex("text b")
    );
    let ran = feed(&shell, &url, "org api-key import --format csv", &rows);
    let err = format!(
        "line 3: {why}\nimported 0, skipped 0 (already there), invalid 1\nimporting API keys: a row is no key; \
         nothing was stored of the rows read together with it\n"
    );
    assert_eq!(ran, Ran::new(5, "", &err));
    assert_eq!(listed(&shell, &url, ".keys|length"), "0\n");

    let line = "org api-key import --format csv --on-invalid skip";
    let ran = feed(&shell, &url, line, &rows);
    let err = format!("line 3: {why}\nimported 2, skipped 0 (already there), invalid 1\n");
    assert_eq!(ran, Ran::new(0, "", &err));
}

#[rstest]
#[case::misspelt(
    "{\"digest\":\"{d}\",\"prefix\":\"p\",\"type\":\"PERSONAL\",\"model_id\":[\"CANARY\"]}",
    "a member is not known; did you mean `model_ids`?"
)]
#[case::twice(
    "{\"digest\":\"{d}\",\"prefix\":\"p\",\"type\":\"PERSONAL\",\"type\":\"PERSONAL\"}",
    "a member stands there twice"
)]
#[case::no_json("CANARY", "this is no JSON object")]
#[case::no_object("\"CANARY\"", "this is no JSON object")]
#[case::number("{\"digest\":7}", "digest: a text belongs here")]
#[case::moment(
    "{\"digest\":\"{d}\",\"prefix\":\"p\",\"type\":\"PERSONAL\",\"expires_at\":1800000000}",
    "expires_at: a moment is written like 2026-11-21T03:00:00Z"
)]
#[case::flag(
    "{\"digest\":\"{d}\",\"prefix\":\"p\",\"type\":\"PERSONAL\",\"enabled\":\"CANARY\"}",
    "enabled: `true` or `false` belongs here"
)]
#[case::on_and_off(
    "{\"digest\":\"{d}\",\"prefix\":\"p\",\"type\":\"PERSONAL\",\"enabled\":true,\"disabled_at\":\"2026-11-21T03:00:00Z\"}",
    "disabled_at: the key is said to be enabled"
)]
#[case::half_a_rotation(
    "{\"digest\":\"{d}\",\"prefix\":\"p\",\"type\":\"PERSONAL\",\"old_until\":\"2026-11-21T03:00:00Z\"}",
    "old_digest and old_until belong together"
)]
#[case::id(
    "{\"digest\":\"{d}\",\"prefix\":\"p\",\"type\":\"PERSONAL\",\"id\":\"CANARY\"}",
    "id: this is no UUID"
)]
#[case::team(
    "{\"digest\":\"{d}\",\"prefix\":\"p\",\"type\":\"PERSONAL\",\"team\":\"CANARY\"}",
    "team: there is no such team; --create-teams makes it"
)]
fn so_it_is_with_json(#[case] row: &str, #[case] why: &str) {
    let (shell, url) = Shell::with_database();
    let row = row.replace("{d}", &hex("good"));
    let ran = feed(
        &shell,
        &url,
        "org api-key import --format jsonl",
        &format!("\n{row}\n"),
    );
    assert_eq!(ran.code, Some(5), "{ran}");
    assert!(ran.err.starts_with(&format!("line 2: {why}\n")), "{ran}");
    assert!(!ran.err.contains("CANARY"), "{ran}");
}

#[rstest]
#[case::no_header(
    "csv",
    "CANARY,p,PERSONAL\n",
    "line 1: this is no header: it names no column `digest`"
)]
#[case::column(
    "csv",
    "digest,prefix,type,modelids\n",
    "line 1: column 4 is not known; did you mean `model_ids`?"
)]
#[case::twice("csv", "digest,type,type\n", "line 1: column 3 was there before")]
#[case::quote("csv", "digest,prefix\n\"CANARY,p\n", "line 2: a quote is not closed")]
#[case::list(
    "jsonl",
    "[{}]",
    "line 1: one JSON object a line belongs here, not a list of them"
)]
fn a_file_of_another_form_is_refused_where_it_begins(
    #[case] format: &str,
    #[case] text: &str,
    #[case] why: &str,
) {
    let (shell, url) = Shell::with_database();
    let ran = feed(
        &shell,
        &url,
        &format!("org api-key import --format {format}"),
        text,
    );
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        ran.err.ends_with(&format!("importing API keys: {why}\n")),
        "{ran}"
    );
    assert!(!ran.err.contains("CANARY"), "{ran}");
}

#[test]
fn a_conflict_stops_the_import_or_is_left_out() {
    let (shell, url) = Shell::with_database();
    assert_eq!(
        feed(&shell, &url, "org api-key import --format csv", &csv(1)).code,
        Some(0)
    );
    let rows = format!(
        "digest,prefix,type\n{},other,PERSONAL\n{},ext-0,PERSONAL\n{},new,PERSONAL\n",
        hex("text-0"),
        hex("x"),
        hex("y")
    );
    let named = "line 2: a key with this text exists already, under another prefix\n\
                 line 3: another key has this prefix\n";
    let line = "org api-key import --format csv";
    let ran = feed(&shell, &url, line, &rows);
    let err = format!(
        "{named}imported 0, skipped 0 (already there), invalid 0, 2 in conflict\nimporting API keys: 2 rows are in \
         conflict with what is there; nothing was stored of the rows read together with it\n"
    );
    assert_eq!(ran, Ran::new(5, "", &err));
    let ran = feed(&shell, &url, &format!("{line} --on-conflict skip"), &rows);
    let err = format!("{named}imported 1, skipped 0 (already there), invalid 0, 2 in conflict\n");
    assert_eq!(ran, Ran::new(0, "", &err));
}

#[test]
fn a_deleted_key_is_not_brought_back() {
    let (shell, url) = Shell::with_database();
    let line = "org api-key import --format csv";
    feed(&shell, &url, line, &csv(1));
    shell.line(&format!(
        "org api-key delete --prefix ext-0 --database {url}"
    ));
    let ran = feed(&shell, &url, line, &csv(1));
    assert_eq!(ran.code, Some(5), "{ran}");
    assert!(
        ran.err
            .starts_with("line 2: this key was here and has been deleted\n"),
        "{ran}"
    );
    assert_eq!(listed(&shell, &url, ".keys|length"), "0\n");
}

#[test]
fn what_was_stored_before_a_bad_row_stays_and_the_import_can_be_done_again() {
    let (shell, url) = Shell::with_database();
    let mut rows = csv(8500);
    rows.push_str("nonsense,p,PERSONAL\n");
    let line = "org api-key import --format csv";
    let ran = feed(&shell, &url, line, &rows);
    assert_eq!(ran.code, Some(5), "{ran}");
    assert!(
        ran.err
            .contains("imported 8000, skipped 0 (already there), invalid 1\n"),
        "{ran}"
    );
    let ran = feed(&shell, &url, line, &csv(8500));
    let summary = "imported 500, skipped 8000 (already there), invalid 0\n";
    assert_eq!(ran, Ran::new(0, "", summary));
}

#[test]
fn a_dry_run_checks_every_row_and_writes_nothing() {
    let (shell, url) = Shell::with_database();
    let line = "org api-key import --format csv --dry-run";
    let ran = feed(&shell, &url, line, &csv(1));
    assert_eq!(ran.code, Some(1), "without a database: {ran}");
    assert!(!shell.path("keys.db").exists());

    feed(&shell, &url, "org api-key import --format csv", &csv(1));
    let ran = feed(&shell, &url, line, &csv(2500));
    let summary =
        "nothing was written; otherwise: imported 2499, skipped 1 (already there), invalid 0\n";
    assert_eq!(ran, Ran::new(0, "", summary));
    let rows = csv(1500)
        .replacen("ext-3", "ext 3", 1)
        .replacen("ext-1200", "ext 1200", 1);
    let ran = feed(&shell, &url, line, &rows);
    assert_eq!(ran.code, Some(5), "{ran}");
    assert!(
        ran.err.contains("line 5: prefix: ") && ran.err.contains("line 1202: prefix: "),
        "{ran}"
    );
    assert!(
        ran.err
            .ends_with("importing API keys: there are rows that are no keys\n"),
        "{ran}"
    );
    assert_eq!(listed(&shell, &url, ".keys|length"), "1\n");
}

#[test]
fn one_key_is_imported_by_flags() {
    let (shell, url) = Shell::with_database();
    let line = format!(
        "org api-key import --digest {} --prefix old-1 --type workspace-invoke --model-id m1 --name web --owner ada \
         --expires-at 2099-01-01T00:00:00Z --database {url}",
        hex("an old key")
    );
    let summary = "imported 1, skipped 0 (already there), invalid 0\n";
    assert_eq!(shell.line(&line), Ran::new(0, "", summary));
    let again = "imported 0, skipped 1 (already there), invalid 0\n";
    assert_eq!(shell.line(&line), Ran::new(0, "", again));
    let key = listed(
        &shell,
        &url,
        ".keys[]|[.prefix,.name,.type,.model_ids[]]|@csv",
    );
    assert_eq!(key, "\"old-1\",\"web\",\"WORKSPACE_INVOKE\",\"m1\"\n");
}

#[rstest]
#[case::no_format("", 1, "--format <FORMAT>")]
#[case::both("--format csv --digest {d}", 1, "cannot be used with")]
#[case::no_prefix("--digest {d} --type personal", 1, "--prefix <PREFIX>")]
#[case::no_type("--digest {d} --prefix p", 1, "--type <TYPE>")]
#[case::file_and_flags(
    "keys.csv --digest {d} --prefix p --type personal",
    1,
    "cannot be used with"
)]
#[case::no_digest(
    "--digest CANARY --prefix p --type personal",
    5,
    "digest: this is no SHA-256 digest"
)]
#[case::key_itself(
    "--digest sk-CANARY --prefix p --type personal",
    5,
    "digest: this is no digest but seems to be the key itself"
)]
#[case::wrong_prefix(
    "--digest {d} --prefix CANARY.x --type personal",
    5,
    "prefix: a key prefix has"
)]
#[case::no_file(
    "missing.csv --format csv",
    1,
    "importing API keys: opening missing.csv: "
)]
#[case::no_team(
    "--digest {d} --prefix p --type personal --team nobody",
    1,
    "no team matched \"nobody\""
)]
fn a_wrong_command_ends_with_its_code_and_shows_no_digest(
    #[case] flags: &str,
    #[case] code: i32,
    #[case] error: &str,
) {
    let (shell, url) = Shell::with_database();
    let flags = flags.replace("{d}", &hex("x"));
    let ran = shell.line(&format!("org api-key import {flags} --database {url}"));
    assert_eq!((ran.code, ran.out.as_str()), (Some(code), ""), "{ran}");
    assert!(
        ran.err.contains(error) && !ran.err.contains("CANARY"),
        "{ran}"
    );
}

#[rstest]
#[case(
    "import --format csv",
    "an import works straight on a database: pass --database URL\n"
)]
#[case(
    "export",
    "an export works straight on a database: pass --database URL\n"
)]
fn without_a_database_the_way_is_told(#[case] line: &str, #[case] error: &str) {
    let ran = Shell::new().line(&format!("org api-key {line}"));
    assert_eq!(ran, Ran::new(1, "", error));
}
