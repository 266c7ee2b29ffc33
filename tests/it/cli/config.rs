//! `config check` and `config show`: every mistake, and what is in force.

use std::fs;
use std::net::TcpListener;

use rstest::rstest;
use snapbox::{assert_data_eq, str};

use super::shell::{Ran, Shell};
use crate::support::source;

const RIGHT: &str = "upstreams.vllm.url = \"http://127.0.0.1:8000\"\n";
const WRONG: &str = "cache.keys = 0\n[proxy]\nlisen = \"canary\"\n";

fn with_file(name: &str, text: &str) -> Shell {
    let shell = Shell::new();
    fs::write(shell.path(name), text).expect("a file in our own home");
    shell
}

#[test]
fn settings_without_a_mistake_end_with_zero_and_say_where_they_are() {
    let shell = with_file("keyward.toml", RIGHT);
    let ran = shell.line("config check");
    assert_eq!(ran, Ran::new(0, "", "no mistakes in keyward.toml\n"));
    let ran = shell.line("config check -o jsonl");
    assert_eq!(ran, Ran::new(0, "{\"file\":\"keyward.toml\"}\n", ""));
    let ran = Shell::new().line("config check --upstream http://127.0.0.1:8000");
    let words = "no mistakes in flags, environment and defaults; there is no settings file\n";
    assert_eq!(ran, Ran::new(0, "", words));
}

#[rstest]
#[case::check("config check")]
#[case::show("config show")]
#[case::serve("serve")]
fn mistakes_end_with_two_and_are_all_told(#[case] line: &str) {
    let ran = with_file("keyward.toml", WRONG).line(line);
    let expected = str![[r#"
keyward.toml:1: cache.keys: must be from 1 to 1_000_000_000 keys
keyward.toml:3: proxy.lisen: is no setting; did you mean `listen`?
keyward.toml:3: proxy.listen: must be an address and a port, such as `127.0.0.1:8080`
keyward.toml:1: upstreams: is missing: say where calls go, by `--upstream http://127.0.0.1:8000`, by the variable `KEYWARD_UPSTREAM`, or by `upstreams.default.url = "http://127.0.0.1:8000"` in a settings file

"#]];
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran}");
    assert_data_eq!(ran.err, expected);
}

#[rstest]
#[case::here("config check", &[], "keyward.toml")]
#[case::by_variable("config check", &[("KEYWARD_CONFIG", "other.toml")], "other.toml")]
#[case::by_flag("config check --config third.toml", &[("KEYWARD_CONFIG", "other.toml")], "third.toml")]
fn the_file_is_the_named_one_or_the_first_that_is_there(
    #[case] line: &str,
    #[case] variables: &[(&str, &str)],
    #[case] file: &str,
) {
    let mut shell = with_file("keyward.toml", RIGHT);
    for name in ["other.toml", "third.toml"] {
        fs::write(shell.path(name), RIGHT).expect("a file");
    }
    for (name, value) in variables {
        shell = shell.with(name, value);
    }
    let ran = shell.line(line);
    assert_eq!(ran, Ran::new(0, "", &format!("no mistakes in {file}\n")));
}

#[rstest]
#[case::by_flag("config check --config nowhere.toml", &[], "--config: cannot read `nowhere.toml`: ")]
#[case::by_variable("config check", &[("KEYWARD_CONFIG", "nowhere.toml")], "KEYWARD_CONFIG: cannot read `nowhere.toml`: ")]
fn a_named_file_that_is_missing_is_a_mistake(
    #[case] line: &str,
    #[case] variables: &[(&str, &str)],
    #[case] said: &str,
) {
    let mut shell = with_file("keyward.toml", RIGHT);
    for (name, value) in variables {
        shell = shell.with(name, value);
    }
    let ran = shell.line(line);
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(ran.err.starts_with(said), "{ran}");
}

#[test]
fn what_is_shown_has_the_place_of_every_value() {
    let shell = with_file(
        "keyward.toml",
        r#"
[proxy]
listen = "127.0.0.1:1"
credentials = [{ in = "header", name = "x-key" }]

[[proxy.routes]]
path = "/models/{model}/v1/{rest}"
forward = "/v1/{rest}"
upstream = "vllm"
model = { fixed = "llama" }

[upstreams.vllm]
url = "http://127.0.0.1:8000"

[upstreams.vllm.credential]
kind = "fixed"
secret = { inline = "canary" }
at = { in = "authorization", schemes = ["Bearer"] }

[admin]
token = { env = "TOKEN" }
"#,
    );
    let shell = shell
        .with("TOKEN", "canary")
        .with("KEYWARD_CACHE__MAX_LAG", "3s")
        .with("KEYWARD_ADMIN__HOSTS", "[\"keyward.internal\"]");
    let ran = shell.line("config show --origins --admin-listen 127.0.0.1:2");
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(!ran.to_string().contains("canary"), "{ran}");
    let (defaults, said): (Vec<_>, Vec<_>) = ran
        .out
        .lines()
        .filter(|line| !line.is_empty())
        .partition(|line| line.ends_with("  # default"));
    assert!(defaults.contains(&"level = \"info\"  # default"), "{ran}");
    assert_data_eq!(
        said.join("\n"),
        str![[r#"
[proxy]
listen = "127.0.0.1:1"  # keyward.toml:3
[proxy.limits]
[[proxy.credentials]]  # keyward.toml:4
in = "header"
name = "x-key"
[[proxy.routes]]  # keyward.toml:6
path = "/models/{model}/v1/{rest}"
forward = "/v1/{rest}"
upstream = "vllm"
model = { fixed = "llama" }
[upstreams.vllm]
url = "http://127.0.0.1:8000"  # keyward.toml:13
[upstreams.vllm.credential]
kind = "fixed"  # keyward.toml:16
[upstreams.vllm.credential.secret]
inline = "***"  # keyward.toml:17
[upstreams.vllm.credential.at]
in = "authorization"  # keyward.toml:18
schemes = ["Bearer"]  # keyward.toml:18
[upstreams.vllm.key_rules]
[upstreams.vllm.limits]
[upstreams.vllm.health]
[store]
[store.postgres]
[cache]
max_lag = "3s"  # KEYWARD_CACHE__MAX_LAG
[usage]
[probes]
[admin]
listen = "127.0.0.1:2"  # --admin-listen
hosts = ["keyward.internal"]  # KEYWARD_ADMIN__HOSTS
[admin.token]
env = "TOKEN"  # keyward.toml:21
[server]
[shutdown]
[log]
[access_log]
"#]]
    );
}

#[test]
fn what_is_shown_is_a_settings_file_that_means_the_same() {
    let minimal = source::package().join("config/keyward.minimal.toml");
    let minimal = fs::read_to_string(minimal).expect("an example");
    let shell = with_file("keyward.toml", &minimal).with("KEYWARD_CACHE__KEYS", "7");
    let shown = shell.line("config show");
    assert_eq!(shown.code, Some(0), "{shown}");
    let again = with_file("keyward.toml", &shown.out).line("config show");
    assert_eq!(again.out, shown.out);
    let json = shell.line("config show -o json");
    let json_again = with_file("keyward.toml", &shown.out).line("config show -o json");
    assert_eq!(json_again.out, json.out);
    assert!(json.out.contains("\"keys\": 7"), "{json}");
}

#[test]
fn nothing_is_opened_unless_asked_for() {
    let shell = with_file(
        "keyward.toml",
        r#"
upstreams.a.url = "http://127.0.0.1:1"
upstreams.b.url = "https://[::1]:2"
proxy.routes = [{ path = "/{rest}", upstream = "a" }]
"#,
    );
    assert_eq!(shell.line("config check").code, Some(0));
    let ran = shell.line("config check --connect");
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran}");
    assert!(ran.err.contains("key database at keyward.db"), "{ran}");
    assert!(ran.err.contains("upstreams.a: 127.0.0.1:1: "), "{ran}");
    assert!(ran.err.contains("upstreams.b: [::1]:2: "), "{ran}");
    let left: Vec<_> = fs::read_dir(shell.path(""))
        .expect("our home")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(left, ["keyward.toml"]);
}

#[test]
fn what_answers_is_told() {
    let (shell, url) = Shell::with_database();
    let made = shell.line(&format!(
        "org api-key create --type personal --database {url}"
    ));
    assert_eq!(made.code, Some(0), "{made}");
    let upstream = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = upstream.local_addr().expect("an address");
    let ran = shell.line(&format!(
        "config check --connect --database {url} --upstream http://{address}"
    ));
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""), "{ran}");
    assert!(
        ran.err
            .ends_with("; the key database and every upstream answer\n"),
        "{ran}"
    );
}
