//! How often a call reads the clock: counted between the program and the C library.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use rstest::rstest;
use tempfile::TempDir;

use super::PREDICT;
use crate::support::keyward::{KeywardProcess, TestKey, post};
use crate::support::raw_upstream::RawUpstream;
use crate::support::source;

/// What the threads that serve calls have asked for.
#[derive(Debug, Clone, Copy)]
struct Counts {
    readings: u64,
    looks: u64,
}

/// Where it is counted.
struct Counter {
    folder: TempDir,
}

impl Counter {
    fn new() -> Self {
        let folder = TempDir::new().expect("a temporary directory");
        let counter = Self { folder };
        let counts = File::create(counter.counts()).expect("the directory is ours");
        counts.set_len(16).expect("a file has room");
        let source = source::package().join("tests/it/proxy/workers/readings.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&counter.library(), &source])
            .status();
        assert!(built.expect("a C compiler, as Rust needs one").success());
        counter
    }

    fn counts(&self) -> PathBuf {
        self.folder.path().join("counts")
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("readings.so")
    }

    fn environment(&self) -> [(&'static str, String); 2] {
        let text = |path: &Path| path.display().to_string();
        [
            ("LD_PRELOAD", text(&self.library())),
            ("COUNTS", text(&self.counts())),
        ]
    }

    fn read(&self) -> Counts {
        let bytes = fs::read(self.counts()).expect("it is there");
        let number = |at: usize| {
            let bytes = bytes[at..at + 8].try_into().expect("eight bytes");
            u64::from_ne_bytes(bytes)
        };
        Counts {
            readings: number(0),
            looks: number(8),
        }
    }
}

/// An upstream whose answers come in one piece.
fn upstream() -> RawUpstream {
    RawUpstream::start(|mut connection| async move {
        while let Some(head) = connection.try_read_head().await {
            connection.read_body(&head).await;
            connection
                .write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                .await;
        }
    })
}

/// A text like the key's, but for its last letter.
fn altered(key: &TestKey) -> TestKey {
    let mut text = key.text.clone();
    let last = text.pop().expect("a key has a text");
    text.push(if last == 'x' { 'y' } else { 'x' });
    TestKey {
        text,
        prefix: key.prefix.clone(),
    }
}

/// tokio reads the clock four times around each look at its sockets: for its timers, and for what it counts of itself.
const TOKIOS: u64 = 4;

/// All that is decided about a call, and noted of it, is as of one moment; when its answer comes is another.
#[rstest]
#[case::forwarded(TestKey::clone, 200, 2)]
#[case::refused(altered, 401, 1)]
#[tokio::test]
async fn a_call_reads_the_clock_when_it_comes_and_when_its_answer_does(
    #[case] which: fn(&TestKey) -> TestKey,
    #[case] status: u16,
    #[case] expected: u64,
) {
    const CALLS: u64 = 500;

    let upstream = upstream();
    let counter = Counter::new();
    let settings = format!("upstreams.default.url = \"{}\"\n", upstream.url());
    let environment = counter.environment();
    let environment = environment
        .each_ref()
        .map(|(name, value)| (*name, &**value));
    let keyward = KeywardProcess::start_in(&settings, &environment).await;
    let key = keyward.key().await;
    let request = post(PREDICT, &which(&key), "{}");
    let mut caller = keyward.raw().await;
    let mut ask = async |times| {
        for _ in 0..times {
            assert_eq!(caller.call(&request).await.status(), status);
        }
        counter.read()
    };
    let before = ask(20).await;
    let after = ask(CALLS).await;
    let looks = after.looks - before.looks;
    assert!(
        looks > expected * CALLS / 2,
        "the counter counts nothing: {after:?}"
    );
    let ours = after.readings - before.readings - TOKIOS * looks;
    // What goes on beside the calls reads it as well, and now and then it is measured how long a call took to be let through.
    let apart = ours.abs_diff(expected * CALLS);
    assert!(apart < CALLS / 8, "{ours} of {CALLS} calls");
}
