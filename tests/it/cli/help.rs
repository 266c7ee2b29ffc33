//! What the program says about itself, and about arguments it does not understand.

use std::io::Write as _;
use std::process::{Command, Stdio};

use rstest::rstest;

use super::shell::{Ran, Shell};

#[rstest]
#[case("-V", "keyward 0.1.0 (revision REVISION)\n")]
#[case("--version", "keyward 0.1.0 (revision REVISION)\n")]
#[case(
    "--version -o json",
    "{\n  \"revision\": \"REVISION\",\n  \"version\": \"0.1.0\"\n}\n"
)]
#[case("-V -o jsonl", "{\"revision\":\"REVISION\",\"version\":\"0.1.0\"}\n")]
#[case("-V -rq .version", "0.1.0\n")]
fn the_version_is_told(#[case] line: &str, #[case] out: &str) {
    // Whatever the build was told, which may be nothing.
    let out = out
        .replace("0.1.0", env!("CARGO_PKG_VERSION"))
        .replace("REVISION", keyward::telemetry::REVISION);
    assert_eq!(Shell::new().line(line), Ran::new(0, &out, ""));
}

#[rstest]
#[case("")]
#[case("--help")]
#[case("help")]
#[case("org")]
#[case("org api-key")]
#[case("org api-key --help")]
#[case("org api-key create -h")]
#[case("org api-key import --help")]
#[case("org api-key export -h")]
#[case("profile")]
fn help_goes_to_standard_output_and_is_no_failure(#[case] line: &str) {
    let ran = Shell::new().line(line);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran}");
    assert!(ran.out.contains("Usage: keyward"), "{ran}");
}

#[rstest]
#[case::unknown_flag("org api-key list --nope", "unexpected argument '--nope' found")]
#[case::unknown_command("org api-key lost", "unrecognized subcommand 'lost'")]
#[case::no_type("org api-key create", "--type <TYPE>")]
#[case::wrong_type(
    "org api-key create --type PERSONAL",
    "[possible values: personal, workspace-export-metrics, workspace-invoke, workspace-manage-all]"
)]
#[case::wrong_form(
    "org api-key list -o xml",
    "[possible values: text, json, jsonl, none]"
)]
#[case::no_value(
    "org api-key list --profile",
    "a value is required for '--profile <NAME>'"
)]
#[case::both_ways(
    "org api-key list --profile a --database sqlite://x",
    "cannot be used with"
)]
#[case::timeout(
    "org api-key list --timeout soon",
    "a time is written like `30s` or `500ms`"
)]
#[case::no_time("org api-key list --timeout 0s", "a time is longer than nothing")]
#[case::stray_argument("org api-key list kw_1", "unexpected argument 'kw_1' found")]
fn an_error_of_flags_ends_with_one(#[case] line: &str, #[case] error: &str) {
    let ran = Shell::new().line(line);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran}");
    assert!(ran.err.contains(error), "{ran}");
    assert!(!ran.err.contains('\u{1b}'), "{ran}");
}

#[rstest]
#[case("-o json org api-key list")]
#[case("org -o json api-key list")]
#[case("org api-key -o json list")]
#[case("org api-key list -o json")]
#[case("org api-key list -ojson")]
#[case("org api-key list --output=json")]
fn common_flags_stand_before_or_after_the_command(#[case] line: &str) {
    let server = super::shell::Server::ok(r#"{"keys":[]}"#);
    let ran = Shell::at(&server).line(line);
    assert_eq!(ran, Ran::new(0, "{\n  \"keys\": []\n}\n", ""));
}

#[rstest]
#[case("bash")]
#[case("zsh")]
#[case("fish")]
#[case("elvish")]
#[case("powershell")]
fn completions_know_the_commands(#[case] shell: &str) {
    let ran = Shell::new().line(&format!("completions {shell}"));
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(ran.out.contains("api-key"), "{ran}");
}

#[test]
fn bash_can_read_its_completions() {
    let script = Shell::new().line("completions bash").out;
    let mut bash = Command::new("bash")
        .arg("-n")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("bash is installed");
    bash.stdin
        .take()
        .unwrap()
        .write_all(script.as_bytes())
        .unwrap();
    let checked = bash.wait_with_output().unwrap();
    assert!(
        checked.status.success() && checked.stderr.is_empty(),
        "{checked:?}"
    );
}

#[rstest]
#[case("man", "keyward")]
#[case("man org api-key create", "keyward-org-api-key-create")]
#[case("man org api-key import", "keyward-org-api-key-import")]
fn a_manual_page_is_roff_with_its_title(#[case] line: &str, #[case] title: &str) {
    let ran = Shell::new().line(line);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let version = env!("CARGO_PKG_VERSION");
    assert!(ran.out.contains(&format!(".TH {title} 1")), "{ran}");
    assert!(ran.out.contains(&format!("\"keyward {version}\"")), "{ran}");
    assert!(ran.out.contains("\n.SH SYNOPSIS\n"), "{ran}");
}

#[test]
fn there_is_no_page_of_what_is_no_command() {
    let ran = Shell::new().line("man org nope");
    assert_eq!(ran, Ran::new(1, "", "there is no command `org nope`\n"));
}

/// Whoever is asked to give or take a file of digests is told what they are good for.
#[rstest]
#[case("import")]
#[case("export")]
fn the_help_says_what_a_digest_is_good_for(#[case] command: &str) {
    let help = Shell::new()
        .line(&format!("org api-key {command} --help"))
        .out;
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for sentence in [
        "A digest is the SHA-256 of a key's whole text.",
        "Nobody can call with a digest or find the text behind it; whoever has it can tell whether a text is the key's.",
    ] {
        assert!(words.contains(sentence), "{help}");
    }
    assert!(
        help.lines().all(|line| line.chars().count() <= 100),
        "{help}"
    );
}
