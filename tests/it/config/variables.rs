//! Settings from the environment, and which source counts.

use super::*;

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
