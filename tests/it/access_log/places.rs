//! Where the lines go, and what becomes of them when that place is slow, moved or gone.

use std::fs::{self, File};
use std::io::Read;

use http::Method;
use rustix::fs::{CWD, FileType, Mode};
use rustix::process::Signal;
use serde_json::Value;

use super::PREDICT;
use crate::cli::shell::Shell;
use crate::support::admin::Ask;
use crate::support::eventually;
use crate::support::keyward::{KeywardProcess, TestKeyward, post};

fn access_lines(text: &str) -> Vec<Value> {
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let is_access = |line: &Value| line["log"] == "access";
    lines.filter(is_access).collect()
}

#[tokio::test]
async fn lines_go_to_standard_output_or_error() {
    for to in ["stdout", "stderr"] {
        let keyward = KeywardProcess::start(&format!("access_log.to = \"{to}\"\n")).await;
        let key = keyward.key().await;
        assert_eq!(keyward.call(&key, "m").await.status(), 200);
        let lines = || Some(access_lines(&keyward.said())).filter(|lines| !lines.is_empty());
        let lines = eventually("a line", lines).await;
        assert_eq!((lines.len(), &lines[0]["model"]), (1, &Value::from("m")));
    }
}

#[tokio::test]
async fn a_file_that_was_moved_is_begun_anew_at_a_signal_and_settings_count_at_once() {
    let settings = "access_log = { to = \"./access.log\", sample = 1 }\n";
    let mut keyward = KeywardProcess::start(settings).await;
    let key = keyward.key().await;
    let file = keyward.path("access.log");
    let lines = |name: &str| {
        let text = fs::read_to_string(keyward.path(name)).unwrap_or_default();
        access_lines(&text)
    };
    let mut caller = keyward.raw().await;
    assert_eq!(caller.call(post(PREDICT, &key, "{}")).await.status(), 200);
    eventually("a line", || (lines("access.log").len() == 1).then_some(())).await;
    fs::rename(&file, keyward.path("access.log.1")).expect("it is ours");
    keyward.write_settings("access_log = { to = \"./access.log\", sample = 0.0 }\n");
    keyward.signal(Signal::HUP);
    eventually("a new file", || file.exists().then_some(())).await;
    // Out of the sample by now; what is refused is told all the same.
    assert_eq!(caller.call(post(PREDICT, &key, "{}")).await.status(), 200);
    let refused = format!("POST {PREDICT} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(caller.call(refused).await.status(), 401);
    // What is there when it closes is written, too.
    keyward.signal(Signal::TERM);
    assert_eq!(keyward.exit_code().await, Some(0));
    let text = fs::read_to_string(&file).expect("it is there");
    let told: Vec<_> = access_lines(&text)
        .iter()
        .map(|line| line["status"].clone())
        .collect();
    assert_eq!(told, [401]);
    let before = fs::read_to_string(keyward.path("access.log.1")).expect("it is there");
    assert_eq!(access_lines(&before).len(), 1);
    let said = keyward.said();
    assert!(!said.contains("counts from the next start on"), "{said}");
}

/// Whoever reads the lines has stopped: calls go on as before, and what finds no room is counted.
#[tokio::test]
async fn a_place_that_takes_nothing_keeps_no_call_waiting() {
    let directory = tempfile::tempdir().expect("a directory");
    let pipe = directory.path().join("pipe");
    rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
    let both = File::options().read(true).write(true).open(&pipe);
    let mut reader = both.expect("one who reads and writes waits for nobody");
    let to = pipe.display();
    let keyward = TestKeyward::with(&format!("access_log.to = \"{to}\"\n")).await;
    let key = keyward.key().await;
    let mut caller = keyward.raw().await;
    let some = post(PREDICT, &key, "{}").repeat(20);
    let lost = || async {
        let ask = Ask::new(keyward.addresses.probes, Method::GET, "/metrics");
        let text = ask.send().await.body;
        let series = "keyward_access_log_lines_total{result=\"no_room\"} ";
        let value = text.lines().find_map(|line| line.strip_prefix(series));
        value.expect("a series").parse::<u64>().expect("a number")
    };
    let mut calls = 0;
    while lost().await == 0 {
        assert!(calls < 20_000, "memory is bounded");
        for _ in 0..10 {
            caller.write(&some).await;
            for _ in 0..20 {
                assert_eq!(caller.read_answer().await.status(), 200);
                calls += 1;
            }
        }
    }
    // Some were kept, and come when they are read.
    let mut block = vec![0; 1 << 16];
    let read = reader.read(&mut block).expect("a pipe is read");
    assert!(read > 0 && block.starts_with(b"{\"time\":"));
}

#[test]
fn a_file_that_cannot_be_opened_ends_the_start_and_a_word_is_no_file() {
    let listeners = ["PROXY", "ADMIN", "PROBES"].map(|name| format!("KEYWARD_{name}__LISTEN"));
    let serve = |to: &str| {
        let shell = Shell::new().with("KEYWARD_ACCESS_LOG__TO", to);
        let shell = listeners
            .iter()
            .fold(shell, |shell, name| shell.with(name, "127.0.0.1:0"));
        shell.line("serve --upstream http://127.0.0.1:1")
    };
    let ran = serve("./not/there/access.log");
    assert_eq!(ran.code, Some(1), "{ran}");
    let told = "the access log cannot be opened: No such file or directory (os error 2)";
    assert!(ran.err.contains(told), "{ran}");
    let ran = serve("stdut");
    assert_eq!(ran.code, Some(2), "{ran}");
    let told = "access_log.to: must be `off`, `stdout`, `stderr`, or a path with a `/` in it";
    assert!(ran.err.contains(told), "{ran}");
}
