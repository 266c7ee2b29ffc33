//! The way straight to a database: the same words, without a server.

use rstest::rstest;

use super::shell::{Ran, Shell};

/// Runs `line` on the database at `url`.
fn on(shell: &Shell, url: &str, line: &str) -> Ran {
    shell.line(&format!("{line} --database {url}"))
}

/// Makes a key and returns its prefix.
fn make(shell: &Shell, url: &str, flags: &str) -> String {
    let ran = on(shell, url, &format!("org api-key create {flags}"));
    let saved = "Save this key now. It will not be shown again.\n";
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), saved), "{ran}");
    let (prefix, secret) = ran.out.trim_end().split_once('.').expect("a dot");
    assert_eq!((prefix.len(), secret.len()), (11, 38), "{ran}");
    prefix.to_owned()
}

#[test]
fn keys_are_made_listed_and_deleted() {
    let (shell, url) = Shell::with_database();
    let personal = make(&shell, &url, "--type personal --name laptop");
    let invoke = make(
        &shell,
        &url,
        "--type workspace-invoke --model-id m1 --model-id m/*",
    );
    let table = format!(
        "\
NAME    KEY              TYPE              TEAM     \n        \
        {invoke}****  workspace-invoke  default  \n\
laptop  {personal}****  personal          default  \n"
    );
    assert_eq!(
        on(&shell, &url, "org api-key list"),
        Ran::new(0, &table, "")
    );
    let models = on(
        &shell,
        &url,
        "org api-key list -o jsonl -q .keys[].model_ids",
    );
    assert_eq!(models, Ran::new(0, "[\"m1\",\"m/*\"]\nnull\n", ""));
    let ran = on(&shell, &url, "org api-key delete --name laptop");
    assert_eq!(
        ran,
        Ran::new(0, "", &format!("Deleted API key {personal}\n"))
    );
    let ran = on(
        &shell,
        &url,
        &format!("org api-key delete -o json --prefix {invoke}"),
    );
    assert_eq!(
        ran,
        Ran::new(0, &format!("{{\n  \"prefix\": \"{invoke}\"\n}}\n"), "")
    );
    let ran = on(&shell, &url, "org api-key list");
    assert_eq!(ran, Ran::new(0, "", "No API keys found.\n"));
}

#[test]
fn a_key_is_made_in_the_team_that_is_meant() {
    let (shell, url) = Shell::with_database();
    let ran = on(&shell, &url, "org team create --name ops");
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (Some(0), "Created team ops\n")
    );
    let id = ran.out.trim_end();
    make(&shell, &url, "--type personal --name by-name --team ops");
    make(
        &shell,
        &url,
        &format!("--type personal --name by-id --team {id}"),
    );
    let teams = on(&shell, &url, "org api-key list -rq .keys[].team_name");
    assert_eq!(teams, Ran::new(0, "ops\nops\n", ""));
    let teams = on(
        &shell,
        &url,
        "org team list -o jsonl -q .teams[]|[.name,.default]",
    );
    assert_eq!(
        teams,
        Ran::new(0, "[\"default\",true]\n[\"ops\",false]\n", "")
    );
}

#[rstest]
#[case::taken_name(
    "create --type workspace-invoke --name taken",
    5,
    "creating API key: a key named `taken` exists already\n"
)]
#[case::long_name(
    "create --type personal --name {200}",
    5,
    "creating API key: a name has 1 to 200 characters and no control characters\n"
)]
#[case::pattern(
    "create --type workspace-invoke --model-id a*b",
    5,
    "creating API key: model id `a*b`: a `*` may stand only at the end of a model id\n"
)]
#[case::no_such_prefix(
    "delete --prefix kw_aaaaaaaa",
    4,
    "deleting API key: there is no such key\n"
)]
#[case::no_prefix("delete --prefix ../x", 4, "deleting API key: there is no such key\n")]
#[case::no_such_name("delete --name nobody", 1, "no API key named \"nobody\"\n")]
#[case::no_such_team(
    "create --type personal --team nobody",
    1,
    "no team matched \"nobody\"\n"
)]
fn a_refusal_has_the_exit_code_of_the_admin_listener(
    #[case] line: &str,
    #[case] code: i32,
    #[case] error: &str,
) {
    let (shell, url) = Shell::with_database();
    make(&shell, &url, "--type workspace-invoke --name taken");
    let line = line.replace("{200}", &"n".repeat(201));
    let ran = on(&shell, &url, &format!("org api-key {line}"));
    assert_eq!(ran, Ran::new(code, "", error));
}

#[rstest]
#[case("org api-key list")]
#[case("org api-key delete --name x")]
#[case("org api-key delete --prefix kw_aaaaaaaa")]
#[case("org team list")]
fn whoever_only_looks_makes_no_database(#[case] line: &str) {
    let (shell, url) = Shell::with_database();
    let ran = on(&shell, &url, line);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran}");
    let file = shell.path("keys.db");
    let beginning = format!("cannot open the key database at {}", file.display());
    assert!(ran.err.starts_with(&beginning), "{ran}");
    assert!(!file.exists());
}

#[test]
fn a_url_of_no_database_of_ours_is_told_without_its_password() {
    let ran =
        Shell::new().line("org api-key create --type personal --database mysql://u:canary@h/d");
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran}");
    assert!(!ran.err.contains("canary"), "{ran}");
}

#[test]
fn a_database_wins_over_the_environment() {
    let (shell, url) = Shell::with_database();
    let shell = shell
        .with("KEYWARD_API_KEY", "kw_test")
        .with("KEYWARD_PROFILE", "nope");
    make(&shell, &url, "--type personal");
}

#[test]
fn names_of_every_script_line_up() {
    let (shell, url) = Shell::with_database();
    for name in ["東京", "👩‍🚀", "Zürich", "שלום", "e\u{301}"] {
        let args = [
            "org",
            "api-key",
            "create",
            "--type",
            "personal",
            "--name",
            name,
            "--database",
            &url,
        ];
        assert_eq!(shell.run(args).code, Some(0));
    }
    let table = on(&shell, &url, "org api-key list").out;
    let columns = table.lines().map(|line| {
        let key = line.find("kw_").or_else(|| line.find("KEY"));
        unicode_width::UnicodeWidthStr::width(&line[..key.unwrap()])
    });
    assert!(columns.into_iter().all(|width| width == 8), "{table}");
}
