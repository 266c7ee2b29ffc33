//! `--wait all`: where a change is in force, in every form, by both ways, with real servers on the database.

use rstest::rstest;
use serde_json::{Value, json};

use super::shell::{Ran, Server, Shell};
use crate::support::admin::TOKEN;
use crate::support::keyward::TestKeyward;

/// Two servers on one database, and a shell for each way to it.
struct Servers {
    first: TestKeyward,
    _second: TestKeyward,
}

impl Servers {
    async fn start() -> Self {
        let first = TestKeyward::with("server.name = \"one\"\n").await;
        let second = first.beside("server.name = \"two\"\n").await;
        Self {
            first,
            _second: second,
        }
    }

    fn run(&self, is_direct: bool, line: &str) -> Ran {
        let shell = Shell::new();
        tokio::task::block_in_place(|| {
            if is_direct {
                let url = self.first.database_url();
                return shell.line(&format!("{line} --database {url}"));
            }
            let url = format!("http://{}", self.first.addresses.admin);
            let shell = shell.with("KEYWARD_URL", &url);
            shell.with("KEYWARD_API_KEY", TOKEN).line(line)
        })
    }
}

/// `text` with `<n>` in place of numbers of milliseconds.
fn timeless(text: &str) -> String {
    let words = text.split_inclusive(' ').map(|word| {
        let is_number = word.trim_end().bytes().all(|byte| byte.is_ascii_digit());
        if is_number { "<n> " } else { word }
    });
    words.collect()
}

#[rstest]
#[case::through_the_listener(false)]
#[case::on_the_database(true)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_is_in_force_everywhere_says_so(#[case] is_direct: bool) {
    let servers = Servers::start().await;
    let made = servers.run(
        is_direct,
        "org api-key create --type personal --name me --wait all",
    );
    assert_eq!(made.code, Some(0), "{made}");
    assert_eq!(made.out.trim_end().len(), 50, "{made}");
    let expected = "Save this key now. It will not be shown again.\n\
                    In force on every instance after <n> ms\n";
    assert_eq!(timeless(&made.err), expected);
    let deleted = servers.run(is_direct, "org api-key delete --name me --wait all");
    let prefix = &made.out[..11];
    let expected = format!("Deleted API key {prefix}\nIn force on every instance after <n> ms\n");
    let deleted = Ran {
        err: timeless(&deleted.err),
        ..deleted
    };
    assert_eq!(deleted, Ran::new(0, "", &expected));

    let made = servers.run(
        is_direct,
        "org api-key create --type personal --wait all -o json",
    );
    let json: Value = serde_json::from_str(&made.out).expect("JSON");
    assert_eq!((made.code, made.err.as_str()), (Some(0), ""), "{made}");
    let prefix = &json["api_key"].as_str().expect("a key")[..11];
    let in_force = |json: &Value| {
        let mut in_force = json["in_force"].clone();
        in_force["after_ms"] = json!(0);
        in_force
    };
    let everywhere = json!({ "after_ms": 0, "behind": [], "everywhere": true });
    assert_eq!(in_force(&json), everywhere);
    let line = format!("org api-key delete --prefix {prefix} --wait all -o jsonl");
    let deleted = servers.run(is_direct, &line);
    let json: Value = serde_json::from_str(&deleted.out).expect("JSON");
    assert_eq!(json["prefix"], prefix);
    assert_eq!(in_force(&json), everywhere);

    let made = servers.run(is_direct, "org api-key create --type personal");
    let prefix = &made.out[..11];
    let line = format!("org api-key delete --prefix {prefix} --wait instance");
    let deleted = servers.run(is_direct, &line);
    assert_eq!(
        deleted,
        Ran::new(0, "", &format!("Deleted API key {prefix}\n"))
    );
}

const BEHIND: &str =
    r#"{"everywhere":false,"behind":["a\u001b[31m","b"],"silent":["c"],"after_ms":2000}"#;
const UNKNOWN: &str = r#"{"everywhere":false,"behind":[],"after_ms":2000}"#;

/// The change is made, so this is no failure.
#[rstest]
#[case::text(
    BEHIND,
    "",
    "Deleted API key kw_8fJ2mQ4x\n\
     Not in force after 2000 ms on: a\\u{1b}[31m, b\n\
     Not heard of (gone, or cut off from the database): c\n",
    ""
)]
#[case::unknown(
    UNKNOWN,
    "",
    "Deleted API key kw_8fJ2mQ4x\nWhere it is in force could not be found out\n",
    ""
)]
#[case::json(
    BEHIND,
    "-o jsonl",
    "",
    "{\"in_force\":{\"after_ms\":2000,\"behind\":[\"a\\u001b[31m\",\"b\"],\"everywhere\":false,\"silent\":[\"c\"]},\
     \"prefix\":\"kw_8fJ2mQ4x\"}\n"
)]
fn an_instance_that_is_behind_is_named_and_the_exit_code_is_0(
    #[case] in_force: &str,
    #[case] flags: &str,
    #[case] words: &str,
    #[case] data: &str,
) {
    let body = format!(r#"{{"prefix":"kw_8fJ2mQ4x","in_force":{in_force}}}"#);
    let server = Server::ok(&body);
    let line = format!("org api-key delete --prefix kw_8fJ2mQ4x --wait all {flags}");
    let ran = Shell::at(&server).line(&line);
    assert_eq!(ran, Ran::new(0, data, words));
    assert_eq!(server.lines(), ["DELETE /v1/api_keys/kw_8fJ2mQ4x?wait=all"]);
}

#[test]
fn a_wait_for_nobody_is_a_mistake_of_flags() {
    let ran = Shell::new().line("org api-key delete --prefix x --wait everybody");
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran}");
    assert!(
        ran.err.contains("[possible values: instance, all]"),
        "{ran}"
    );
}
