//! Profiles: which server, which credential, and the file that keeps them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rstest::rstest;

use super::shell::{Ran, Server, Shell};

const ME: &str = r#"{"user_id":"admin"}"#;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The last `Authorization` that `server` saw.
fn presented(server: &Server) -> String {
    let head = server.asked().pop().expect("a request").head;
    let line = head.lines().find_map(|line| {
        line.split_once(": ")
            .filter(|(name, _)| name.eq_ignore_ascii_case("authorization"))
    });
    line.expect("an authorization").1.to_owned()
}

fn log_in(shell: &Shell, server: &Server, name: &str, key: &str) {
    let url = server.url.as_str();
    let args = ["profile", "login", "--url", url, "--profile", name];
    let ran = shell.feed(&args, key.as_bytes());
    let error = format!("Logged in to {url} as profile {name}\n");
    assert_eq!(ran, Ran::new(0, "", &error));
}

#[test]
fn a_login_asks_who_it_is_and_keeps_what_it_was_given_to_itself() {
    let server = Server::ok(ME);
    let shell = Shell::new();
    log_in(&shell, &server, "prod", "kw_one\n");
    assert_eq!(server.lines(), ["GET /v1/users/me"]);
    assert_eq!(presented(&server), "Api-Key kw_one");
    let directory = shell.path(".config/keyward");
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&directory.join("profiles.toml")), 0o600);
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
}

#[test]
fn a_refused_login_keeps_nothing() {
    let server = Server::always(401, "no");
    let shell = Shell::new();
    let ran = shell.feed(&["profile", "login", "--url", &server.url], b"kw_one");
    assert_eq!(
        ran,
        Ran::new(3, "", "logging in: keyward API error (HTTP 401): no\n")
    );
    assert!(!shell.path(".config").exists());
}

#[test]
fn the_key_comes_from_a_file_or_standard_input_and_never_from_an_argument() {
    let server = Server::ok(ME);
    let shell = Shell::new();
    fs::write(shell.path("key"), "kw_filed\r\n").unwrap();
    let login = format!("profile login --url {}", server.url);
    assert_eq!(
        shell.line(&format!("{login} --api-key-file key")).code,
        Some(0)
    );
    assert_eq!(presented(&server), "Api-Key kw_filed");
    let args = [
        "profile",
        "login",
        "--url",
        &server.url,
        "--api-key-file",
        "-",
    ];
    assert_eq!(shell.feed(&args, b"kw_piped").code, Some(0));
    assert_eq!(presented(&server), "Api-Key kw_piped");
    let ran = shell.line(&format!("{login} --api-key kw_canary"));
    assert_eq!(ran.code, Some(1));
    assert!(!ran.to_string().contains("canary"), "{ran}");
}

#[rstest]
#[case::nothing(b"", "no API key was given\n")]
#[case::an_empty_line(b"\n", "no API key was given\n")]
#[case::two_lines(b"a\nb", "the API key holds characters that no key has\n")]
#[case::no_text(
    b"\xff",
    "reading the API key: invalid utf-8 sequence of 1 bytes from index 0\n"
)]
fn what_is_no_key_is_not_sent(#[case] input: &[u8], #[case] error: &str) {
    let server = Server::ok(ME);
    let ran = Shell::new().feed(&["profile", "login", "--url", &server.url], input);
    assert_eq!(ran, Ran::new(1, "", error));
    assert_eq!(server.lines(), [""; 0]);
}

#[test]
fn a_missing_key_file_is_told_by_its_name() {
    let ran = Shell::new().line("profile login --api-key-file nowhere");
    let error = "reading nowhere: No such file or directory (os error 2)\n";
    assert_eq!(ran, Ran::new(1, "", error));
}

#[rstest]
#[case("KEYWARD_URL")]
#[case("BASETEN_MANAGEMENT_API_URL_OVERRIDE")]
fn a_login_without_a_url_takes_that_of_the_environment(#[case] name: &str) {
    let server = Server::ok(ME);
    let shell = Shell::new().with(name, &server.url);
    let ran = shell.feed(&["profile", "login"], b"kw_one");
    let error = format!("Logged in to {} as profile default\n", server.url);
    assert_eq!(ran, Ran::new(0, "", &error));
}

#[test]
fn a_login_as_json_names_the_profile() {
    let server = Server::ok(ME);
    let ran = Shell::new().feed(
        &["profile", "login", "--url", &server.url, "-o", "jsonl"],
        b"k",
    );
    let line = format!("{{\"profile\":\"default\",\"url\":\"{}\"}}\n", server.url);
    assert_eq!(ran, Ran::new(0, &line, ""));
}

#[test]
fn profiles_are_listed_and_the_current_one_is_marked() {
    let server = Server::ok(ME);
    let shell = Shell::new();
    assert_eq!(
        shell.line("profile list"),
        Ran::new(0, "", "No profiles found.\n")
    );
    log_in(&shell, &server, "prod", "kw_one");
    log_in(&shell, &server, "dev", "kw_two");
    let url = &server.url;
    let width = url.len();
    let table = |dev: &str, prod: &str| {
        format!(
            "NAME  {:width$}  CURRENT  \ndev   {url}  {dev:7}  \nprod  {url}  {prod:7}  \n",
            "URL"
        )
    };
    assert_eq!(
        shell.line("profile list"),
        Ran::new(0, &table("yes", ""), "")
    );
    let ran = shell.line("profile use prod");
    assert_eq!(ran, Ran::new(0, "", "Switched to profile prod\n"));
    assert_eq!(
        shell.line("profile list"),
        Ran::new(0, &table("", "yes"), "")
    );
    let line = format!(
        "{{\"profiles\":[{{\"current\":false,\"name\":\"dev\",\"url\":\"{url}\"}},\
         {{\"current\":true,\"name\":\"prod\",\"url\":\"{url}\"}}]}}\n"
    );
    assert_eq!(shell.line("profile list -o jsonl"), Ran::new(0, &line, ""));
    assert_eq!(
        shell.line("profile use nope"),
        Ran::new(1, "", "no profile named \"nope\"\n")
    );
}

/// Who is asked, with which key, when everything is said at once and then less and less.
#[test]
fn the_nearest_word_decides_which_server_is_asked() {
    let [flag, key, variable, current] = [(); 4].map(|()| Server::ok(r#"{"keys":[]}"#));
    let mut shell = Shell::new();
    log_in(&shell, &flag, "flag", "kw_flag");
    log_in(&shell, &variable, "variable", "kw_variable");
    log_in(&shell, &current, "current", "kw_current");
    let asks = |shell: &Shell, line: &str, server: &Server, key: &str| {
        let before = server.lines().len();
        let ran = shell.line(line);
        assert_eq!(ran, Ran::new(0, "", "No API keys found.\n"));
        assert_eq!(server.lines().len(), before + 1);
        assert_eq!(presented(server), format!("Api-Key {key}"));
    };
    asks(&shell, "org api-key list", &current, "kw_current");
    shell = shell.with("KEYWARD_PROFILE", "variable");
    asks(&shell, "org api-key list", &variable, "kw_variable");
    shell = shell
        .with("KEYWARD_API_KEY", "kw_key")
        .with("KEYWARD_URL", &key.url);
    asks(&shell, "org api-key list", &key, "kw_key");
    asks(&shell, "org api-key list --profile flag", &flag, "kw_flag");
    asks(&shell, "--profile flag org api-key list", &flag, "kw_flag");
}

#[rstest]
#[case::ours("KEYWARD_API_KEY", "KEYWARD_URL")]
#[case::aliases("BASETEN_API_KEY", "BASETEN_MANAGEMENT_API_URL_OVERRIDE")]
#[case::mixed("BASETEN_API_KEY", "KEYWARD_URL")]
fn a_key_and_a_url_from_the_environment_are_enough(#[case] key: &str, #[case] url: &str) {
    let server = Server::ok(r#"{"keys":[]}"#);
    let shell = Shell::new()
        .with(key, "kw_env")
        .with(url, &server.url)
        .with("KEYWARD_PROFILE", "");
    assert_eq!(shell.line("org api-key list").code, Some(0));
    assert_eq!(presented(&server), "Api-Key kw_env");
}

#[test]
fn an_empty_variable_is_an_unset_one() {
    let server = Server::ok(r#"{"keys":[]}"#);
    let mut shell = Shell::new();
    log_in(&shell, &server, "p", "kw_profile");
    for name in [
        "KEYWARD_API_KEY",
        "BASETEN_API_KEY",
        "KEYWARD_PROFILE",
        "KEYWARD_URL",
        "KEYWARD_CONFIG_DIR",
        "XDG_CONFIG_HOME",
    ] {
        shell = shell.with(name, "");
    }
    assert_eq!(shell.line("org api-key list").code, Some(0));
    assert_eq!(presented(&server), "Api-Key kw_profile");
    assert_eq!(
        shell.run(["org", "api-key", "list", "--profile", ""]).code,
        Some(0)
    );
}

#[test]
fn without_a_credential_the_ways_to_one_are_told() {
    let ran = Shell::new().line("org api-key list");
    let error =
        "not logged in: run `keyward profile login`, set KEYWARD_API_KEY, or pass --database URL\n";
    assert_eq!(ran, Ran::new(1, "", error));
    let ran = Shell::new().line("org api-key list --profile nope");
    let error = "no profile named \"nope\": run `keyward profile login --profile NAME`\n";
    assert_eq!(ran, Ran::new(1, "", error));
}

#[rstest]
#[case("KEYWARD_CONFIG_DIR", "elsewhere", "elsewhere/profiles.toml")]
#[case("XDG_CONFIG_HOME", "xdg", "xdg/keyward/profiles.toml")]
fn the_file_is_where_the_environment_says(
    #[case] name: &str,
    #[case] value: &str,
    #[case] file: &str,
) {
    let server = Server::ok(ME);
    let shell = Shell::new();
    let directory = shell.path(value);
    let shell = shell.with(name, directory.to_str().unwrap());
    log_in(&shell, &server, "p", "k");
    assert_eq!(mode(&shell.path(file)), 0o600);
    assert_eq!(mode(shell.path(file).parent().unwrap()), 0o700);
}

#[test]
fn a_relative_xdg_directory_is_ignored() {
    let server = Server::ok(ME);
    let shell = Shell::new().with("XDG_CONFIG_HOME", "relative");
    log_in(&shell, &server, "p", "k");
    assert!(shell.path(".config/keyward/profiles.toml").exists());
}

#[test]
fn a_file_that_others_can_read_is_told_of_and_mended_by_the_next_write() {
    let server = Server::ok(r#"{"keys":[]}"#);
    let shell = Shell::new();
    log_in(&shell, &server, "p", "kw_one");
    let file = shell.path(".config/keyward/profiles.toml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let ran = shell.line("org api-key list -o jsonl");
    let warning = format!(
        "warning: others can read {}: chmod 600 it\n",
        file.display()
    );
    assert_eq!(ran, Ran::new(0, "{\"keys\":[]}\n", &warning));
    shell.line("profile use p");
    assert_eq!(mode(&file), 0o600);
}

#[test]
fn a_broken_file_is_told_by_its_line_without_its_contents() {
    let shell = Shell::new();
    let directory = shell.path(".config/keyward");
    fs::create_dir_all(&directory).unwrap();
    let file = directory.join("profiles.toml");
    fs::write(
        &file,
        "[profiles.p]\nurl = \"http://x\"\napi_key = kw_canary\n",
    )
    .unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let ran = shell.line("profile list");
    let file = file.display();
    let error = format!("reading {file}: line 3 is not what a file of profiles holds\n");
    assert_eq!(ran, Ran::new(1, "", &error));
}

#[test]
fn no_output_holds_a_stored_key() {
    let server = Server::ok(r#"{"keys":[]}"#);
    let shell = Shell::new();
    log_in(&shell, &server, "p", "kw_canary");
    for line in [
        "profile list",
        "profile list -o json",
        "profile use p -v",
        "org api-key list -v",
        "org api-key list -v --timeout 1ms",
    ] {
        let ran = shell.line(line);
        assert!(!ran.to_string().contains("canary"), "{line}: {ran}");
    }
}
