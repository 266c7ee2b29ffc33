//! The settings: where each comes from, and what is said about wrong ones.

mod examples;
mod keys;
mod profiles;
mod shown;
mod upstreams;
mod variables;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use keyward::config::{Config, ConfigError, Loaded, Sources};
use proptest::prelude::*;
use rstest::rstest;
use snapbox::{assert_data_eq, str};

use crate::support::source;
use examples::uncommented;

/// A directory with one settings file, and what stands beside it.
struct Settings {
    directory: tempfile::TempDir,
    sources: Sources,
}

impl Settings {
    fn none() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let sources = Sources::default();
        Self { directory, sources }
    }

    fn of(text: &str) -> Self {
        let mut settings = Self::none();
        settings.sources.file = Some(settings.write("keyward.toml", text));
        settings
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).expect("a file in our own directory");
        path
    }

    fn environment(mut self, variables: &[(&str, &str)]) -> Self {
        self.sources.environment = variables.iter().copied().collect();
        self
    }

    fn flag(mut self, flag: &'static str, path: &str, value: &str) -> Self {
        self.sources.flags = self.sources.flags.with(flag, path, Some(value.to_owned()));
        self
    }

    /// With somewhere to send calls, if nothing else says so.
    fn upstream(mut self) -> Self {
        let has_one = ["KEYWARD_UPSTREAM", "KEYWARD_UPSTREAMS__DEFAULT__URL"]
            .iter()
            .any(|name| self.sources.environment.get(name).is_some());
        if !has_one {
            self = self.flag(
                "--upstream",
                "upstreams.default.url",
                "http://127.0.0.1:8000",
            );
        }
        self
    }

    fn load(&self) -> Result<Loaded, ConfigError> {
        Config::load(&self.sources)
    }

    fn config(&self) -> Config {
        self.load().expect("settings without a mistake").config
    }

    /// Every mistake, with the directory's name taken out.
    fn mistakes(&self) -> String {
        let directory = format!("{}/", self.directory.path().display());
        let error = self.load().expect_err("settings with a mistake");
        error.to_string().replace(&directory, "")
    }
}

#[test]
fn every_mistake_is_told_at_once_with_its_place_and_path() {
    let settings = Settings::of(
        r#"
[proxy]
lisen = "127.0.0.1:8080"
workers = -1
errors = "opnai"

[[proxy.routes]]
path = "/v1/x"

[[proxy.routes]]
path = 7
upstream = "vllm"
methods = "GET"

[upstreams.vllm]
credential = { kind = "fixed", secrt = { inlin = "canary" }, at = { in = "heder", name = "x-key" } }

[cache]
poll_every = "fast"
max_lag = 2
keys = 99999999999999999999

[admin]
token = "canary"
listen = "localhost"

[shutdwn]
delay = "1s"
"#,
    );
    assert_data_eq!(
        settings.mistakes(),
        str![[r#"
keyward.toml:25: admin.listen: must be an address and a port, such as `127.0.0.1:8080`
keyward.toml:24: admin.token: must be one of `{ file = … }`, `{ env = … }`, `{ inline = … }`
keyward.toml:21: cache.keys: is a number that is not whole or too large, but must be a whole number, 0 or more
keyward.toml:20: cache.max_lag: is a whole number, but must be a time, such as `1m 30s`, with units from `h` down to `ms`
keyward.toml:19: cache.poll_every: must be a time, such as `1m 30s`, with units from `h` down to `ms`
keyward.toml:5: proxy.errors: must be one of `openai`, `anthropic`, `baseten`, `problem`; did you mean `openai`?
keyward.toml:3: proxy.lisen: is no setting; did you mean `listen`?
keyward.toml:7: proxy.routes[0]: lacks `upstream`
keyward.toml:10: proxy.routes[1]: lacks `path`
keyward.toml:13: proxy.routes[1].methods: is text, but must be a list
keyward.toml:11: proxy.routes[1].path: is a whole number, but must be text
keyward.toml:4: proxy.workers: must be a whole number, 0 or more
keyward.toml:27: shutdwn: is no setting; did you mean `shutdown`?
keyward.toml:15: upstreams.vllm: lacks `url`, or `servers`
keyward.toml:16: upstreams.vllm.credential: must be one of `inline`, `env`, `file`; did you mean `inline`?
keyward.toml:16: upstreams.vllm.credential.secrt: is no setting; did you mean `secret`?
"#]]
    );
}

#[test]
fn settings_of_the_right_type_are_looked_at_too() {
    let settings = Settings::of(
        r#"
[proxy]
listen = "0.0.0.0:9090"
workers = 5000
[proxy.limits]
head_bytes = 4096
requests = 0
head_timeout = "0s"
http2_stream_window_bytes = 1000

[upstreams.vllm]
url = "http://127.0.0.1:8000"
limits = { response_head_bytes = 1, connect_timeout = "2 days" }

[store]
url = "keyward.db"
readers = 0

[cache]
poll_every = "5s"

[usage]
first_within = "11s"

[admin]
token = { file = "nowhere" }
hosts = ["keyward.example.com", "http://x"]
dialects = ["baseten", "bastn", "baseten"]

[shutdown]
delay = "25s"

[log]
level = "inof"
"#,
    );
    assert_data_eq!(
        settings.mistakes(),
        str![[r#"
keyward.toml:28: admin.dialects[1]: no dialect is called `bastn`; there are `baseten`, `px0`, `bifrost`
keyward.toml:28: admin.dialects[2]: `baseten` appears twice
keyward.toml:27: admin.hosts[1]: `http://x` is no host name
keyward.toml:25: admin.listen: is the address of `proxy.listen`, too
keyward.toml:26: admin.token: cannot read the file `nowhere`: No such file or directory (os error 2)
keyward.toml:19: cache.max_lag: must not be shorter than `cache.poll_every`, or memory is never fresh
keyward.toml:34: log.level: `inof` is no level: write one of `off`, `error`, `warn`, `info`, `debug`, `trace`, or `part=level`
keyward.toml:6: proxy.limits.head_bytes: must be from 8_192 to 1_048_576 bytes
keyward.toml:8: proxy.limits.head_timeout: must be from 1ms to 24h
keyward.toml:9: proxy.limits.http2_stream_window_bytes: must be from 65_535 to 2_147_483_647 bytes
keyward.toml:7: proxy.limits.requests: must be from 1 to 10_000_000 requests
keyward.toml:4: proxy.workers: must be from 0 to 1_024 threads
keyward.toml:30: shutdown.deadline: must be longer than `shutdown.delay`, which is a part of it
keyward.toml:17: store.readers: must be from 1 to 64 connections
keyward.toml:16: store.url: a database url begins with `sqlite:`, as in `sqlite:///var/lib/keyward/keyward.db`, or with `postgres:`, as in `postgres://keyward@localhost/keyward`
keyward.toml:13: upstreams.vllm.limits.connect_timeout: must be a time, such as `1m 30s`, with units from `h` down to `ms`
keyward.toml:13: upstreams.vllm.limits.response_head_bytes: must be from 8_192 to 1_048_576 bytes
keyward.toml:23: usage.first_within: must not be longer than `usage.flush_every`, which writes every use
"#]]
    );
}

#[rstest]
#[case::no_file("seal = \"/\"", "cache.seal: must name a file")]
#[case::too_seldom(
    "seal = \"set\"\nmax_stale = \"30s\"",
    "cache.seal_every: must be less than `cache.max_stale`, or the sealed set would be too old whenever it is needed"
)]
#[case::too_often("seal_every = \"1ms\"", "cache.seal_every: must be from 1s to 24h")]
fn a_sealed_set_has_a_file_and_time_to_be_read(#[case] text: &str, #[case] said: &str) {
    let settings = Settings::of(&format!("[cache]\n{text}")).upstream();
    let mistakes = settings.mistakes();
    assert!(mistakes.trim_end().ends_with(said), "{mistakes}");
    assert_eq!(mistakes.trim_end().lines().count(), 1, "{mistakes}");
}

#[test]
fn a_file_that_is_no_toml_says_where() {
    let settings = Settings::of("[proxy]\nlisten = \"canary\n[cache\nkeys = = 1\n");
    assert_data_eq!(
        settings.mistakes(),
        str![[r#"
keyward.toml:2: invalid basic string, expected `"`
keyward.toml:3: unclosed table, expected `]`
keyward.toml:4: extra `=`, expected nothing
keyward.toml:4: unexpected key or value, expected newline, `#`
"#]]
    );
}

#[test]
fn a_secret_beside_a_credential_of_no_kind_is_a_mistake() {
    let settings = Settings::of(
        r#"
[upstreams.vllm]
url = "http://127.0.0.1:8000"
credential = { kind = "none", secret = { inline = "canary" } }
"#,
    );
    assert_data_eq!(
        settings.mistakes(),
        str!["keyward.toml:4: upstreams.vllm.credential.secret: is no setting here"]
    );
}

#[test]
fn what_rooms_say_of_routes_credentials_and_upstreams_has_its_path() {
    let settings = Settings::of(
        r#"
[proxy]
credentials = [{ in = "header", name = "host" }]

[[proxy.routes]]
upstream = "vllm"

[[proxy.routes]]
path = "/{model}/{model}"
upstream = "vlm"

[upstreams.vllm]
url = "http://canary:canary@127.0.0.1:8000"
credential.kind = "fixed"
credential.secret.env = "NOWHERE"
credential.at = { in = "header", name = "host" }

[upstreams."a b"]
url = "127.0.0.1:8000"
"#,
    );
    assert_data_eq!(
        settings.mistakes(),
        str![[r#"
keyward.toml:3: proxy.credentials: header `host` has another meaning
keyward.toml:5: proxy.routes[0]: lacks `path`
keyward.toml:9: proxy.routes[1].path: `{model}` appears twice
keyward.toml:10: proxy.routes[1].upstream: no upstream is called `vlm`; did you mean `vllm`?
keyward.toml:18: upstreams."a b": must be named by 1 to 64 letters, digits, `-`, `_` and `.`
keyward.toml:19: upstreams."a b".url: must be `http://host:port` or `https://host:port`
keyward.toml:16: upstreams.vllm.credential.at: header `host` has another meaning
keyward.toml:15: upstreams.vllm.credential.secret: the environment variable `NOWHERE` is unset or empty
keyward.toml:13: upstreams.vllm.url: must not hold a user or a password; `credential` says what is presented
"#]]
    );
}

#[test]
fn without_anywhere_to_send_calls_it_says_what_to_write() {
    assert_data_eq!(
        Settings::none().mistakes(),
        str![[
            r#"upstreams: is missing: say where calls go, by `--upstream http://127.0.0.1:8000`, by the variable `KEYWARD_UPSTREAM`, or by `upstreams.default.url = "http://127.0.0.1:8000"` in a settings file"#
        ]]
    );
    let several = Settings::of(
        "upstreams.a.url = \"http://127.0.0.1:1\"\nupstreams.b.url = \"http://127.0.0.1:2\"\n",
    );
    assert_data_eq!(
        several.mistakes(),
        str![
            "keyward.toml:1: proxy.routes: is missing: only routes can say which call goes to which of `a`, `b`"
        ]
    );
    let closed = Settings::of("proxy.routes = []\nupstreams.a.url = \"http://127.0.0.1:1\"\n");
    assert_data_eq!(
        closed.mistakes(),
        str!["keyward.toml:1: proxy.routes: is empty, so every call would be refused"]
    );
}

/// Everything that settings come to.
fn whole(settings: &Settings) -> String {
    format!("{:#?}", settings.config())
}

#[rstest]
#[case::nothing("", "", &[])]
#[case::said_in_full("cache.keys = 100_000", "", &[])]
#[case::routes_and_upstreams("", "proxy.errors = \"openai\"\nupstreams.b.url = \"http://127.0.0.1:2\"\nproxy.routes = [{ path = \"/{rest}\", upstream = \"b\" }]", &[])]
#[case::profiles("", "proxy.profiles = [{ profile = \"vllm\" }]\nproxy.limits.model_list_bytes = 2000", &[])]
#[case::level("log.level = \"info\"", "log.level = \"debug\"", &[])]
#[case::some_limits("", "proxy.limits.head_timeout = \"1s\"\nproxy.limits.requests = 1", &["proxy.limits.requests"])]
#[case::a_listener("", "admin.listen = \"127.0.0.1:1\"", &["admin.listen"])]
#[case::back_to_the_default("store.readers = 3", "", &["store.readers"])]
#[case::a_list("", "admin.hosts = [\"keyward.internal\"]", &["admin.hosts"])]
#[case::several("cache.keys = 1", "cache.keys = 2\nusage.queue = 1\nlog.format = \"json\"", &["cache.keys", "log.format", "usage.queue"])]
fn what_waits_for_a_restart_is_named(
    #[case] before: &str,
    #[case] after: &str,
    #[case] named: &[&str],
) {
    let upstream = "upstreams.a.url = \"http://127.0.0.1:1\"\n";
    let load = |text: &str| Settings::of(&format!("{upstream}{text}\n")).load();
    let before = load(before).expect("no mistake").settings;
    let after = load(after).expect("no mistake").settings;
    assert_eq!(before.needs_restart(&after), named);
}

/// Values of every kind, right somewhere and wrong elsewhere.
const VALUES: [&str; 14] = [
    "1",
    "-1",
    "0",
    "1.5",
    "nan",
    "true",
    "\"x\"",
    "\"1s\"",
    "[]",
    "[1]",
    "[{}]",
    "{}",
    "{ a = 1 }",
    "1979-05-27",
];

proptest! {
    /// Whatever stands anywhere, reading ends, and ends in an answer.
    #[test]
    fn any_value_anywhere_is_read_or_told(
        places in proptest::collection::vec((0..200_usize, 0..VALUES.len(), any::<bool>()), 1..12)
    ) {
        let text = uncommented();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let settings: Vec<usize> = (0..lines.len())
            .filter(|at| !lines[*at].starts_with('#') && lines[*at].contains(" = "))
            .collect();
        for (place, value, misspell) in places {
            let line = &mut lines[settings[place % settings.len()]];
            let (key, _) = line.split_once(" = ").expect("a setting");
            let key = if misspell { &key[1..] } else { key };
            // A key of one letter, misspelt, is none.
            if !key.is_empty() {
                *line = format!("{key} = {}", VALUES[value]);
            }
        }
        let settings = Settings::of(&lines.join("\n"));
        if let Err(error) = settings.load() {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn any_text_is_read_or_told(text in "\\PC{0,80}", value in "\\PC{0,40}") {
        let settings = Settings::of(&text).environment(&[
            ("KEYWARD_CACHE__KEYS", &value),
            ("KEYWARD_PROXY__ROUTES", &value),
            ("KEYWARD_ADMIN__TOKEN", &value),
            ("KEYWARD_UPSTREAMS__A__CREDENTIAL", &value),
        ]);
        if let Err(error) = settings.load() {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
