//! The settings: where each comes from, and what is said about wrong ones.

mod keys;
mod profiles;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use keyward::config::{Config, ConfigError, Loaded, Sources};
use proptest::prelude::*;
use rstest::rstest;
use snapbox::{assert_data_eq, str};

use crate::support::source;

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

/// The two files of a pair, in which no settings find anything.
const PAIR: &str = "certificate = \"crt\", key = \"key\"";

#[rstest]
#[case::half_a_pair("proxy.tls = { certificate = \"crt\" }", "proxy.tls: lacks `key`")]
#[case::no_such_file(
    "proxy.tls = { PAIR }",
    "proxy.tls.certificate: cannot read the file `crt`: No such file"
)]
#[case::no_authority(
    "proxy.tls = { PAIR, client_certificates = \"required\" }",
    "proxy.tls.client_ca: is missing"
)]
#[case::an_idle_authority(
    "proxy.tls = { PAIR, client_ca = \"ca\" }",
    "proxy.tls.client_ca: is for `client_certificates = \"optional\"` or `\"required\"`"
)]
#[case::an_old_version(
    "proxy.tls = { PAIR, min_version = \"1.1\" }",
    "proxy.tls.min_version: must be one of `1.2`, `1.3`"
)]
#[case::no_time(
    "proxy.tls = { PAIR, handshake_timeout = \"0s\" }",
    "proxy.tls.handshake_timeout: must be from"
)]
#[case::an_open_upstream(
    "upstreams.b = { url = \"http://h\", tls = {} }",
    "upstreams.b.tls: is for a url that begins with `https`"
)]
#[case::a_certificate_without_key(
    "upstreams.b = { url = \"https://h\", tls.certificate = \"crt\" }",
    "upstreams.b.tls.key: is missing: `certificate` needs it"
)]
#[case::a_key_without_certificate(
    "upstreams.b = { url = \"https://h\", tls.key = \"key\" }",
    "upstreams.b.tls.certificate: is missing"
)]
#[case::no_name(
    "upstreams.b = { url = \"https://h\", tls.server_name = \"a b\" }",
    "upstreams.b.tls.server_name: must be a host's name or address"
)]
#[case::nobody_to_trust(
    "upstreams.b = { url = \"https://h\", tls.ca = \"/dev/null\" }",
    "upstreams.b.tls.ca: the file `/dev/null` holds no certificate of an authority"
)]
#[case::trust_in_anybody(
    "upstreams.b = { url = \"https://h\", tls.verify = false }",
    "upstreams.b.tls.verify: is no setting"
)]
fn settings_of_tls_have_files_that_belong_together(#[case] text: &str, #[case] said: &str) {
    let settings = Settings::of(&text.replace("PAIR", PAIR)).upstream();
    let mistakes = settings.mistakes();
    assert!(mistakes.contains(said), "{mistakes}");
}

#[rstest]
#[case::both(
    "url = \"http://h\"\n[upstreams.u.servers.a]\nurl = \"http://h\"",
    "servers: stand beside `url`: say where they are in one way"
)]
#[case::neither("", "lacks `url`, or `servers`")]
#[case::none("servers = {}", "lacks `url`, or `servers`")]
#[case::no_url("[upstreams.u.servers.a]", "servers.a: lacks `url`")]
#[case::a_path(
    "[upstreams.u.servers.a]\nurl = \"http://h/v1\"",
    "servers.a.url: must end after the port; `forward` of a route says which path goes on"
)]
#[case::a_name(
    "[upstreams.u.servers.\"a b\"]\nurl = \"http://h\"",
    "servers.\"a b\": must be named by 1 to 64 letters, digits, `-`, `_` and `.`"
)]
#[case::a_weight(
    "[upstreams.u.servers.a]\nurl = \"http://h\"\nweight = 1001",
    "servers.a.weight: must be from 0 to 1_000 calls"
)]
#[case::no_failures(
    "url = \"http://h\"\nhealth = { failures = 0 }",
    "health.failures: must be from 1 to 1_000 failures"
)]
#[case::rests(
    "url = \"http://h\"\nhealth = { rest = \"1m\" }",
    "health.longest_rest: must not be shorter than `rest`, the first one"
)]
#[case::no_path("url = \"http://h\"\nhealth.probe = {}", "health.probe: lacks `path`")]
#[case::no_such_path(
    "url = \"http://h\"\nhealth.probe = { path = \"health\" }",
    "health.probe.path: must be a path, such as `/health`"
)]
#[case::late_probes(
    "url = \"http://h\"\nhealth.probe = { path = \"/\", every = \"1s\" }",
    "health.probe.timeout: must not be longer than `every`, or the next one is late"
)]
#[case::attempts(
    "url = \"http://h\"\nlimits.connect_attempts = 0",
    "limits.connect_attempts: must be from 1 to 64 servers"
)]
fn servers_are_said_in_one_way(#[case] text: &str, #[case] said: &str) {
    let told = Settings::of(&format!("[upstreams.u]\n{text}\n")).mistakes();
    let told: Vec<_> = told
        .lines()
        .filter_map(|line| line.split_once(": upstreams.u"))
        .collect();
    let told: Vec<_> = told
        .iter()
        .map(|(_, said)| said.trim_start_matches(['.', ':', ' ']))
        .collect();
    assert_eq!(told, [said]);
}

#[test]
fn more_servers_than_there_are_places_are_a_mistake() {
    let servers = |count: usize| -> String {
        let server = |name| format!("[upstreams.u.servers.s{name}]\nurl = \"http://h:1\"\n");
        (0..count).map(server).collect()
    };
    assert_eq!(
        Settings::of(&servers(64)).config().upstreams[0]
            .servers
            .len(),
        64
    );
    let told = Settings::of(&servers(65)).mistakes();
    assert!(
        told.ends_with("upstreams.u.servers: are more than 64"),
        "{told}"
    );
}

/// A url that stands beside servers by default only is not shown, or what is shown would be a mistake.
#[test]
fn servers_are_shown_as_they_are() {
    let text = "[upstreams.u.servers.a]\nurl = \"http://h:1\"\n[upstreams.u.health.probe]\npath = \"/health\"\n";
    let settings = Settings::of(text);
    let shown = settings.load().expect("no mistake").settings.to_toml(true);
    assert!(shown.contains("[upstreams.u.servers.a]"), "{shown}");
    assert!(whole(&Settings::of(&shown)) == whole(&settings), "{shown}");
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

#[rstest]
#[case::default(&[], None, None, 100_000)]
#[case::the_file_beats_the_default(&[], Some("keys = 1"), None, 1)]
#[case::the_environment_beats_the_file(&[("KEYWARD_CACHE__KEYS", "2")], Some("keys = 1"), None, 2)]
#[case::a_flag_beats_the_environment(&[("KEYWARD_CACHE__KEYS", "2")], Some("keys = 1"), Some("3"), 3)]
#[case::the_environment_alone(&[("KEYWARD_CACHE__KEYS", "2_000")], None, None, 2_000)]
#[case::a_flag_alone(&[], None, Some("3"), 3)]
#[case::an_empty_variable_is_unset(&[("KEYWARD_CACHE__KEYS", "")], Some("keys = 1"), None, 1)]
fn a_flag_beats_the_environment_beats_the_file_beats_the_default(
    #[case] environment: &[(&str, &str)],
    #[case] file: Option<&str>,
    #[case] flag: Option<&str>,
    #[case] keys: u64,
) {
    let mut settings = match file {
        Some(line) => Settings::of(&format!("[cache]\n{line}\n")),
        None => Settings::none(),
    };
    settings = settings.environment(environment).upstream();
    if let Some(value) = flag {
        settings = settings.flag("--keys", "cache.keys", value);
    }
    assert_eq!(settings.config().cache.keys, keys);
}

#[rstest]
#[case::listen("KEYWARD_LISTEN", "127.0.0.1:1", "proxy.listen")]
#[case::database("KEYWARD_DATABASE_URL", "sqlite://x.db", "store.url")]
#[case::admin("KEYWARD_ADMIN_LISTEN", "127.0.0.1:2", "admin.listen")]
#[case::log("KEYWARD_LOG", "debug", "log.level")]
#[case::upstream("KEYWARD_UPSTREAM", "http://127.0.0.1:3", "upstreams.default.url")]
fn a_short_name_is_the_long_one(#[case] name: &str, #[case] value: &str, #[case] path: &str) {
    let long = format!("KEYWARD_{}", path.to_ascii_uppercase().replace('.', "__"));
    let short = Settings::none().environment(&[(name, value)]).upstream();
    let long = Settings::none()
        .environment(&[(long.as_str(), value)])
        .upstream();
    let text = |settings: Settings| format!("{:?}", settings.config());
    let [short, long] = [text(short), text(long)];
    assert!(short == long);
    assert!(short != text(Settings::none().flag("--x", "upstreams.default.url", "http://x")));
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
fn an_upstream_that_somebody_names_and_no_route_leads_to_is_a_mistake() {
    let file = "upstreams.vllm.url = \"http://127.0.0.1:8000\"\n\
                proxy.routes = [{ path = \"/{rest}\", upstream = \"vllm\" }]\n";
    let by_flag = Settings::of(file).flag("--upstream", "upstreams.default.url", "http://x");
    assert_data_eq!(
        by_flag.mistakes(),
        str!["--upstream: upstreams.default.url: no route leads to `default`"]
    );
    let by_variable = Settings::of(file).environment(&[("KEYWARD_UPSTREAM", "http://x")]);
    assert_data_eq!(
        by_variable.mistakes(),
        str!["KEYWARD_UPSTREAM: upstreams.default.url: no route leads to `default`"]
    );
    let by_file = Settings::of(&format!("{file}upstreams.spare.url = \"http://x\"\n"));
    assert_eq!(by_file.config().upstreams.len(), 2);
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

#[test]
fn a_wrong_variable_is_told_by_its_name() {
    let settings = Settings::of("[upstreams.my-model]\nurl = \"http://127.0.0.1:8000\"\n")
        .environment(&[
            ("KEYWARD_CACHE__KEYZ", "1"),
            ("KEYWARD_CACHE__POLL_EVERY", "canary"),
            ("KEYWARD_CASH__KEYS", "1"),
            ("KEYWARD_PROXY__CREDENTIALS", "[{ in = 'canary' }]"),
            ("KEYWARD_LISTEN", "127.0.0.1:1"),
            ("KEYWARD_PROXY__LISTEN", "127.0.0.1:2"),
            (
                "KEYWARD_UPSTREAMS__MY_MODEL__LIMITS__CONNECT_TIMEOUT",
                "canary",
            ),
            ("KEYWARD_STORE__URL_FILE", "/nowhere"),
            ("KEYWARD_ADMIN__DIALECTS__0", "canary"),
            ("KEYWARD__KEYS", "canary"),
            ("KEYWARD_DEFAULT__", "canary"),
        ]);
    assert_data_eq!(
        settings.mistakes(),
        str![[r#"
KEYWARD__KEYS: _keys: is no setting; here are `proxy`, `upstreams`, `store`, `cache`, `usage`, `probes`, `admin`, `server`, `shutdown`, `log`, `access_log`
KEYWARD_ADMIN__DIALECTS__0: admin.dialects: is a table, but must be a list
KEYWARD_CACHE__KEYZ: cache.keyz: is no setting; did you mean `KEYWARD_CACHE__KEYS`?
KEYWARD_CACHE__POLL_EVERY: cache.poll_every: must be a time, such as `1m 30s`, with units from `h` down to `ms`
KEYWARD_CASH__KEYS: cash: is no setting; did you mean `KEYWARD_CACHE__KEYS`?
KEYWARD_DEFAULT__: default: is no setting; here are `proxy`, `upstreams`, `store`, `cache`, `usage`, `probes`, `admin`, `server`, `shutdown`, `log`, `access_log`
KEYWARD_PROXY__CREDENTIALS: proxy.credentials[0].in: must be one of `authorization`, `header`, `query`, `websocket-protocol`
KEYWARD_PROXY__LISTEN: proxy.listen: is set by `KEYWARD_LISTEN`, too
KEYWARD_STORE__URL_FILE: store.url: cannot read the file `/nowhere`: No such file or directory (os error 2)
KEYWARD_UPSTREAMS__MY_MODEL__LIMITS__CONNECT_TIMEOUT: upstreams.my-model.limits.connect_timeout: must be a time, such as `1m 30s`, with units from `h` down to `ms`
"#]]
    );
}

#[test]
fn names_that_are_no_settings_are_let_alone() {
    let settings = Settings::none().upstream().environment(&[
        ("KEYWARD_API_KEY", "x"),
        ("KEYWARD_URL", "x"),
        ("KEYWARD_PROFILE", "x"),
        ("KEYWARD_CONFIG_DIR", "x"),
        ("KEYWARD_PORT", "tcp://10.0.0.1:80"),
        ("KEYWARD_PORT_8080_TCP__ADDR", "10.0.0.1"),
        ("KEYWARD_SERVICE_HOST", "10.0.0.1"),
        ("KEYWARD_SERVICE_PORT_A__B", "80"),
        ("PATH", "/usr/bin"),
    ]);
    settings.config();
}

#[test]
fn a_variable_takes_the_type_of_its_setting() {
    let settings = Settings::of("[upstreams.my-model]\nurl = \"http://127.0.0.1:8000\"\n")
        .environment(&[
            ("KEYWARD_CACHE__MAX_LAG", "3s"),
            ("KEYWARD_ADMIN__HOSTS", "[\"a.internal\", \"b.internal\"]"),
            ("KEYWARD_STORE__URL", "sqlite://12"),
            ("KEYWARD_PROXY__ERRORS", "openai"),
            (
                "KEYWARD_PROXY__CREDENTIALS",
                "[{ in = 'header', name = 'x-key' }]",
            ),
            ("KEYWARD_UPSTREAMS__MY_MODEL__URL", "http://127.0.0.1:9000"),
            (
                "KEYWARD_UPSTREAMS__MY_MODEL__LIMITS",
                "{ head_timeout = '1s' }",
            ),
            (
                "KEYWARD_UPSTREAMS__MY_MODEL__LIMITS__POOL_IDLE_CONNECTIONS",
                "7",
            ),
        ]);
    let config = settings.config();
    assert_eq!(config.cache.max_lag, Duration::from_secs(3));
    assert_eq!(config.admin.hosts, ["a.internal", "b.internal"]);
    assert_eq!(config.store.url, "sqlite://12");
    assert_eq!(config.proxy.errors, keyward::route::ErrorForm::Openai);
    assert_eq!(config.proxy.credentials.len(), 1);
    let upstream = &config.upstreams[0];
    assert_eq!(upstream.name, "my-model");
    assert_eq!(upstream.servers[0].authority, "127.0.0.1:9000");
    assert_eq!(upstream.limits.head_timeout, Duration::from_secs(1));
    assert_eq!(upstream.limits.pool_idle_connections, 7);
}

#[rstest]
#[case::plain("KEYWARD_ADMIN__TOKEN", "canary", "")]
#[case::digits("KEYWARD_ADMIN__TOKEN", "12", "")]
#[case::by_reference("KEYWARD_ADMIN__TOKEN", "{ env = 'OTHER' }", "")]
#[case::plain_beside_a_file("KEYWARD_ADMIN__TOKEN", "canary", "admin.token.env = \"OTHER\"")]
fn a_variable_may_hold_a_secret(#[case] name: &str, #[case] value: &str, #[case] file: &str) {
    let settings = Settings::of(file)
        .environment(&[(name, value), ("OTHER", "other")])
        .upstream();
    let token = settings.config().admin_token.expect("a token");
    let expected = if value.starts_with('{') {
        "other"
    } else {
        value
    };
    assert_eq!(token.reveal(), expected);
}

#[test]
fn a_variable_may_name_the_file_of_a_secret_or_of_any_setting() {
    let settings = Settings::none().upstream();
    let token = settings.write("token", "canary\n");
    let url = settings.write("url", "sqlite://from-a-file.db\r\n");
    let settings = settings.environment(&[
        ("KEYWARD_ADMIN__TOKEN_FILE", token.to_str().expect("a path")),
        ("KEYWARD_DATABASE_URL_FILE", url.to_str().expect("a path")),
    ]);
    let config = settings.config();
    assert_eq!(config.admin_token.expect("a token").reveal(), "canary");
    assert_eq!(config.store.url, "sqlite://from-a-file.db");
}

#[rstest]
#[case::empty("", "is empty")]
#[case::only_a_line_end("\n", "is empty")]
#[case::two_lines("canary\ncanary\n", "control characters")]
#[case::zero("canary\0", "control characters")]
fn a_file_that_holds_no_secret_is_a_mistake(#[case] text: &str, #[case] said: &str) {
    let settings = Settings::of("admin.token.env = \"X\"").upstream();
    let file = settings.write("token", text);
    let settings = settings.environment(&[("KEYWARD_ADMIN__TOKEN_FILE", file.to_str().unwrap())]);
    let mistakes = settings.mistakes();
    assert!(mistakes.contains(said), "{mistakes}");
    assert!(!mistakes.contains("canary"), "{mistakes}");
}

#[test]
fn a_named_file_must_be_there() {
    let mut settings = Settings::none().upstream();
    settings.sources.file = Some(settings.directory.path().join("nowhere.toml"));
    assert_data_eq!(
        settings.mistakes(),
        str!["--config: cannot read `nowhere.toml`: No such file or directory (os error 2)"]
    );
    settings.sources.file = None;
    let settings = settings.environment(&[("KEYWARD_CONFIG", "/nowhere.toml")]);
    assert_data_eq!(
        settings.mistakes(),
        str!["KEYWARD_CONFIG: cannot read `/nowhere.toml`: No such file or directory (os error 2)"]
    );
}

/// A file of `config/`.
fn example(name: &str) -> String {
    let path = source::package().join("config").join(name);
    fs::read_to_string(path).expect("a file in config/")
}

/// What an example may take from the environment.
const ADMIN_TOKEN: [(&str, &str); 1] = [("ADMIN_TOKEN", "a token of sixteen letters or more")];

#[test]
fn the_example_for_postgres_loads_with_a_bell_of_its_own_or_without() {
    let text = example("keyward.postgres.toml");
    let direct = Settings::of(&text).environment(&ADMIN_TOKEN).config().store;
    assert!(direct.url.starts_with("postgres://"));
    assert_eq!(direct.bell_url, None);
    let pooled = text.replace("# bell_url = ", "bell_url = ");
    let pooled = Settings::of(&pooled)
        .environment(&ADMIN_TOKEN)
        .config()
        .store;
    assert!(pooled.bell_url.is_some_and(|url| url != direct.url));
}

/// Everything that settings come to.
fn whole(settings: &Settings) -> String {
    format!("{:#?}", settings.config())
}

#[test]
fn every_example_loads() {
    let folder = source::package().join("config");
    let names = fs::read_dir(folder)
        .expect("config/")
        .map(|entry| entry.expect("an entry").file_name());
    let names: Vec<_> = names
        .map(|name| name.into_string().expect("text"))
        .collect();
    assert!(names.contains(&"keyward.toml".to_owned()), "{names:?}");
    for name in names {
        let loaded = Settings::of(&example(&name))
            .environment(&ADMIN_TOKEN)
            .load();
        assert!(loaded.is_ok(), "{name}: {}", loaded.expect_err("an error"));
    }
}

#[test]
fn the_annotated_example_is_what_serve_does_without_a_file() {
    let bare = Settings::none().flag(
        "--upstream",
        "upstreams.default.url",
        "http://127.0.0.1:8000",
    );
    assert_data_eq!(whole(&Settings::of(&example("keyward.toml"))), whole(&bare));
}

/// The annotated example with the settings that have no default.
fn uncommented() -> String {
    let example = example("keyward.toml");
    let lines = example.lines().map(|line| {
        let setting = line.strip_prefix("# ").unwrap_or_default();
        let is_setting = setting.starts_with('[') && setting != "[reload]"
            || setting.split_once(" = ").is_some_and(|(key, _)| {
                key.chars()
                    .all(|letter| letter.is_ascii_lowercase() || letter == '_')
            });
        if is_setting { setting } else { line }
    });
    // The second of two credentials.
    let lines = lines.map(|line| {
        if line.starts_with("credential = ") {
            ""
        } else {
            line
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_annotated_example_has_every_setting() {
    let text = uncommented();
    // The kinds of credentials have settings of their own; the example shows them in a comment.
    let is_header = |line: &&str| line.starts_with('[') && !line.ends_with(".credential]");
    let headers = text.lines().filter(is_header);
    let mut places: Vec<String> = headers.map(str::to_owned).collect();
    places.push(String::new());
    assert!(places.len() > 12, "{places:?}");
    for header in places {
        // What a table may hold is told when it holds something else.
        let (before, table) = match header.as_str() {
            "" => ("", text.as_str()),
            header => {
                let (before, after) = text.split_once(&format!("{header}\n")).expect("a header");
                (before, after)
            }
        };
        let strange = format!("{before}{header}\nzzzzzzzzzzzz = 1\n{table}");
        let mistakes = Settings::of(&strange).mistakes();
        let told = mistakes
            .lines()
            .find_map(|line| line.split_once("zzzzzzzzzzzz: is no setting; here are "))
            .unwrap_or_else(|| panic!("{header}: {mistakes}"));
        let table = table.split("\n[").next().unwrap_or_default();
        let name = header.trim_matches(['[', ']']);
        for setting in told.1.split(", ").map(|setting| setting.trim_matches('`')) {
            let has_line = table
                .lines()
                .any(|line| line.starts_with(&format!("{setting} = ")));
            let path = format!("{name}.{setting}");
            let path = path.trim_start_matches('.');
            let tables = [
                format!("[{path}]"),
                format!("[[{path}]]"),
                format!("[{path}."),
            ];
            let has_table = tables.iter().any(|table| text.contains(table.as_str()));
            assert!(has_line || has_table, "{path} is missing");
        }
    }
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

#[test]
fn secrets_are_in_no_debug_and_no_page() {
    let mut settings = Settings::of(
        r#"
[store]
url = "sqlite://canary-free.db"

[upstreams.vllm]
url = "http://127.0.0.1:8000"
credential = { kind = "fixed", secret = { inline = "canary" }, at = { in = "header", name = "x-key" } }
"#,
    );
    let file = settings.write("token", "canary");
    settings = settings.environment(&[("KEYWARD_ADMIN__TOKEN_FILE", file.to_str().expect("text"))]);
    let loaded = settings.load().expect("no mistake");
    let [toml, with_origins] = [false, true].map(|origins| loaded.settings.to_toml(origins));
    let json = loaded.settings.to_json(true).to_string();
    for text in [
        format!("{loaded:?}"),
        format!("{loaded:#?}"),
        toml,
        with_origins,
        json,
    ] {
        assert!(
            !text.replace("canary-free", "").contains("canary"),
            "{text}"
        );
        assert!(text.contains("***"), "{text}");
    }
}

#[test]
fn what_is_shown_loads_as_the_same_settings() {
    for name in ["keyward.toml", "keyward.minimal.toml"] {
        let settings = Settings::of(&example(name));
        let shown = settings.load().expect("no mistake").settings.to_toml(true);
        assert!(
            whole(&Settings::of(&shown)) == whole(&settings),
            "{name}: {shown}"
        );
    }
}

/// Routes that nobody wrote are shown as comments; with the marks taken off they make the same table.
#[test]
fn the_built_in_routes_are_shown_and_mean_what_they_are() {
    let upstream = "upstreams.a.url = \"http://127.0.0.1:1\"\n";
    let built_in = Settings::of(upstream).load().expect("no mistake");
    let shown = built_in.settings.to_toml(false);
    let rows = shown.lines().filter_map(|line| line.strip_prefix("# {"));
    let rows: Vec<String> = rows.map(|row| format!("{{{row}")).collect();
    assert_eq!(rows.len(), built_in.config.proxy.routes.len());
    let written = format!("{upstream}proxy.routes = [\n{}\n]\n", rows.join("\n"));
    let written = Settings::of(&written).load().expect("no mistake");
    assert_eq!(written.config.proxy.routes, built_in.config.proxy.routes);
    let shown = written.settings.to_toml(false);
    assert!(!shown.contains("built-in"), "{shown}");
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
