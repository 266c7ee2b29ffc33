//! An import beside a running server: it follows what changed, and goes on serving.

use std::process::Stdio;
use std::time::Duration;

use http::Method;

use super::import::{csv, hex};
use super::shell::Shell;
use crate::support::admin::Ask;
use crate::support::keyward::{KeywardProcess, TestKey};

/// How many keys the large import has.
const MANY: usize = 100_000;

/// How long the large import and the following of it may take: it is only ever used up by a failure.
const LONG: Duration = Duration::from_mins(5);

fn url(server: &KeywardProcess) -> String {
    format!("sqlite://{}", server.path("keyward.db").display())
}

/// A key that was made elsewhere, with this text.
fn foreign(text: &str) -> TestKey {
    TestKey {
        text: text.to_owned(),
        prefix: String::new(),
    }
}

/// Waits until `key` may call `model`.
async fn until_it_works(server: &KeywardProcess, key: &TestKey, model: &str) {
    let works = async {
        while server.call(key, model).await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let worked = tokio::time::timeout(LONG, works).await;
    worked.unwrap_or_else(|_| panic!("the key does not work: {:?}", key.prefix));
}

#[tokio::test]
async fn a_key_of_another_system_works_with_its_old_text_and_within_its_scope() {
    let server = KeywardProcess::start("").await;
    let (shell, url) = (Shell::new(), url(&server));
    let text = "sk-Old.key/of+another=system!";
    let line = format!(
        "org api-key import --digest {} --prefix old-1 --type workspace-invoke --model-id llama --database {url}",
        hex(text)
    );
    let before = server.call(&foreign(text), "llama").await;
    assert_eq!(before.status(), 401);
    let ran = shell.line(&line);
    assert_eq!(ran.code, Some(0), "{ran}");
    until_it_works(&server, &foreign(text), "llama").await;
    let calls = server.upstream.requests();
    let call = calls.last().expect("it was forwarded");
    assert_eq!(call.header("x-keyward-key-prefix"), Some("old-1"));
    assert_eq!(server.call(&foreign(text), "other").await.status(), 403);
    assert_eq!(
        server.call(&foreign(&hex(text)), "llama").await.status(),
        401
    );
    let ran = shell.line(&format!(
        "org api-key delete --prefix old-1 --database {url}"
    ));
    assert_eq!(ran.code, Some(0), "{ran}");
    let refused = async {
        while server.call(&foreign(text), "llama").await.status() != 401 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LONG, refused)
        .await
        .expect("a deleted key is refused");
}

#[tokio::test]
async fn a_server_serves_and_makes_keys_while_many_are_imported_and_follows_without_a_refill() {
    let server = KeywardProcess::start("cache.keys = 200_000\n").await;
    let shell = Shell::new();
    let known = server.key().await;
    std::fs::write(shell.path("keys.csv"), csv(MANY)).unwrap();
    let url = url(&server);
    let args = [
        "org",
        "api-key",
        "import",
        "keys.csv",
        "--format",
        "csv",
        "--database",
        &url,
    ];
    let mut importing = shell
        .command(args)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut calls, mut made) = (0, Vec::new());
    let work = async {
        while importing.try_wait().unwrap().is_none() {
            assert_eq!(server.call(&known, "m").await.status(), 200);
            calls += 1;
            if calls % 50 == 0 && made.len() < 5 {
                made.push(server.key().await);
            }
        }
    };
    tokio::time::timeout(LONG, work)
        .await
        .expect("the import ends");
    let ran: super::shell::Ran = importing.wait_with_output().unwrap().into();
    assert_eq!(ran.code, Some(0), "{ran}");
    assert_eq!(
        ran.err,
        format!("imported {MANY}, skipped 0 (already there), invalid 0\n")
    );
    assert!(!made.is_empty(), "{calls} calls while it went on");
    for key in &made {
        assert_eq!(server.call(key, "m").await.status(), 200);
    }
    until_it_works(&server, &foreign(&format!("text-{}", MANY - 1)), "m").await;
    assert_eq!(server.call(&foreign("text-0"), "m").await.status(), 200);
    let metrics = Ask::new(server.addresses.probes, Method::GET, "/metrics");
    let metrics = metrics.send().await.body;
    let refills: Vec<&str> = metrics
        .lines()
        .filter(|line| line.starts_with("keyward_refills_total{") && !line.ends_with(" 0"))
        .collect();
    assert_eq!(refills, ["keyward_refills_total{reason=\"start\"} 1"]);
}
