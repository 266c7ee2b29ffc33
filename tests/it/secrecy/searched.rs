//! Everything that came of it, searched.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Answered, BODY, CREDENTIAL, QUERY, Run};
use crate::support::admin::TOKEN;
use crate::support::canary::{Canary, Searched};

impl Run {
    /// Fails when a secret stands in `bytes`.
    pub(super) fn nothing_in(&self, place: &str, bytes: &[u8], further: &[(&'static str, &str)]) {
        let text = Searched::new(bytes);
        let keys = self.keys.iter().map(|(what, text)| (*what, text.as_str()));
        let ours = [
            ("the admin token", TOKEN),
            ("the upstream's credential", CREDENTIAL),
        ];
        for (what, secret) in keys.chain(ours).chain(further.iter().copied()) {
            let canary = Canary::new(what, secret);
            if let Some(form) = canary.found_in(&text) {
                let context = context(bytes, secret);
                panic!("{} ({form}) stands in {place}: {context}", canary.what);
            }
        }
    }

    pub(super) fn nothing_in_answers(&self) {
        for Answered { to, bytes } in &self.answers {
            self.nothing_in(&format!("the answer to {to}"), bytes, &[]);
        }
    }

    pub(super) fn the_upstream_never_saw_a_key(&self) {
        for seen in self.keyward.upstream.requests() {
            let head = format!("{} {:?} {:?}", seen.target, seen.headers, seen.trailers());
            let text = Searched::new(head.as_bytes());
            for (what, key) in &self.keys {
                let found = Canary::new(what, key).found_in(&text);
                assert_eq!(found, None, "the upstream saw {what}: {head}");
            }
        }
    }

    pub(super) fn nothing_in_files(&self) {
        for name in ["keyward.db", "keyward.db-wal", "keyward.db-shm"] {
            let file = self.keyward.path(name);
            if file.exists() {
                let mode = fs::metadata(&file)
                    .expect("it is there")
                    .permissions()
                    .mode();
                assert_eq!(mode & 0o777, 0o600, "{name}");
                self.nothing_in(name, &fs::read(&file).expect("it is ours"), &[]);
            }
        }
    }

    pub(super) fn nothing_in_the_process(&self) {
        let process = format!("/proc/{}", self.keyward.pid());
        let process = Path::new(&process);
        // What cannot be read is hidden well enough.
        for name in ["cmdline", "environ"] {
            let bytes = fs::read(process.join(name)).unwrap_or_default();
            self.nothing_in(name, &bytes, &[]);
        }
        let threads = fs::read_dir(process.join("task")).expect("it runs");
        let names = threads.filter_map(|thread| fs::read(thread.ok()?.path().join("comm")).ok());
        let names: Vec<Vec<u8>> = names.collect();
        assert!(names.len() > 3, "{names:?}");
        self.nothing_in("a thread's name", &names.concat(), &[]);
        let limits = fs::read_to_string(process.join("limits")).expect("it runs");
        let dumps = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"));
        let dumps: Vec<&str> = dumps.expect("a limit").split_whitespace().collect();
        assert_eq!(dumps[4..6], ["0", "0"], "a dump of memory holds keys");
    }

    pub(super) fn nothing_in_the_log(&self) {
        let log = fs::read(self.keyward.path("keyward.log")).expect("it is ours");
        let theirs = [("a caller's query", QUERY), ("a caller's body", BODY)];
        self.nothing_in("the log", &log, &theirs);
        let calls = fs::read(self.keyward.path("access.log")).expect("it is ours");
        self.nothing_in("the log of calls", &calls, &theirs);
        let calls = String::from_utf8(calls).expect("a log is text");
        let call =
            |line| serde_json::from_str::<serde_json::Value>(line).expect("one call one line");
        let told: BTreeSet<String> = calls
            .lines()
            .map(|line| call(line)["outcome"].to_string())
            .collect();
        assert!(told.len() > 5, "too little was told: {told:?}");
        let text = String::from_utf8(log).expect("a log is text");
        let lines = text.lines().map(|line| {
            let json: serde_json::Value = serde_json::from_str(line).expect("one event one line");
            json["level"].as_str().map(str::to_owned)
        });
        let levels: BTreeSet<Option<String>> = lines.collect();
        for level in ["TRACE", "DEBUG", "INFO", "ERROR"] {
            assert!(levels.contains(&Some(level.to_owned())), "{levels:?}");
        }
    }
}

/// What stands around a secret, if it stands there as it is.
fn context(bytes: &[u8], secret: &str) -> String {
    let text = String::from_utf8_lossy(bytes);
    let shown = text.find(secret).map_or(0, |at| at.saturating_sub(200));
    text.chars().skip(shown).take(500).collect()
}
