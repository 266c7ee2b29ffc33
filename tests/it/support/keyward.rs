//! A whole keyward between callers and a model server, all on loopback: in this process, or the real binary.
//!
//! Both forms read the same settings: what a test writes is TOML, laid under what every test needs (free ports, a key
//! database of its own, one worker, the fake upstream), and goes through the settings' own reader.

mod doors;
mod process;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;

use keyward::clock::Clock;
use keyward::config::{Config, Environment, Sources};
use keyward::server::{Addresses, Server};
use keyward::telemetry::Telemetry;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};
use tempfile::TempDir;

pub use doors::{Doors, TestKey, post};
pub use process::KeywardProcess;

use super::PATIENCE;
use super::admin::TOKEN;
use super::counted::Counted;
use super::upstream::FakeUpstream;

/// A keyward in this process. Ends when it is dropped; callers are reached through [`Doors`].
pub struct TestKeyward {
    /// The model server that the settings lead to, unless a test's settings lead elsewhere.
    pub upstream: FakeUpstream,
    /// What was counted so far.
    pub counted: Counted,
    _server: Server,
    doors: Doors,
    settings: Settings,
}

impl TestKeyward {
    /// With the built-in routes and default settings.
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// With these settings; `{upstream}` in them stands for the fake upstream's url.
    pub async fn with(settings: &str) -> Self {
        // All settings in it make the future of a start a large one.
        Box::pin(Self::with_clock(settings, Clock::system())).await
    }

    /// The same, and this is what time it is.
    pub async fn with_clock(settings: &str, clock: Clock) -> Self {
        let upstream = FakeUpstream::start();
        let settings = Settings::write(settings, &upstream, FREE_PORTS);
        let telemetry = Telemetry::new();
        let counted = Counted(telemetry.renderer.clone());
        let config = settings.load();
        let server = Box::pin(Server::start(&config, &telemetry, clock));
        let server = server.await.expect("free ports and a new file are there");
        let doors = Doors::at(server.addresses());
        doors.ready().await;
        Self {
            upstream,
            counted,
            _server: server,
            doors,
            settings,
        }
    }

    /// Another instance on the same key database, with these settings.
    pub async fn beside(&self, settings: &str) -> Self {
        Self::with(&self.same_database(settings)).await
    }

    /// These settings, and the key database of this keyward.
    pub fn same_database(&self, settings: &str) -> String {
        format!("store.url = \"{}\"\n{settings}", self.database_url())
    }

    /// Where its key database is.
    pub fn database_url(&self) -> String {
        self.settings.database_url()
    }

    /// Runs `sql` on the key database, as somebody would who knows nothing of keyward.
    pub async fn by_hand(&self, sql: &str) {
        self.settings.by_hand(sql).await;
    }

    /// Changes a key by hand, as this `SET` says.
    pub async fn change_key(&self, key: &TestKey, set: &str) {
        let prefix = &key.prefix;
        let sql = format!("UPDATE api_keys SET {set} WHERE prefix = '{prefix}'");
        self.by_hand(&sql).await;
    }

    /// The one number that `sql` answers, read from the database file.
    pub async fn number(&self, sql: &str) -> i64 {
        self.settings.number(sql).await
    }
}

impl Deref for TestKeyward {
    type Target = Doors;

    fn deref(&self) -> &Doors {
        &self.doors
    }
}

/// What settings in this process may take from the environment.
const ENVIRONMENT: [(&str, &str); 1] = [("UPSTREAM_KEY", "sk-of-the-environment-0001")];

/// What a test does not set. A busy machine may be slower than a caller would wait for.
const USUAL: [&str; 2] = ["proxy.workers = 1\n", "store.statement_timeout = \"30s\"\n"];

/// The system chooses.
const FREE_PORTS: Addresses = {
    let any = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
    Addresses {
        proxy: any,
        admin: any,
        probes: any,
    }
};

/// A settings file in a directory of its own, with the key database beside it.
struct Settings {
    directory: TempDir,
    /// What the real binary finds in its environment.
    environment: Vec<(String, String)>,
}

impl Settings {
    fn write(text: &str, upstream: &FakeUpstream, addresses: Addresses) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let settings = Self {
            directory,
            environment: Vec::new(),
        };
        settings.rewrite(text, upstream, addresses);
        settings
    }

    fn rewrite(&self, text: &str, upstream: &FakeUpstream, addresses: Addresses) {
        let Addresses {
            proxy,
            admin,
            probes,
        } = addresses;
        let mut whole = format!(
            "proxy.listen = \"{proxy}\"\nadmin.listen = \"{admin}\"\nprobes.listen = \"{probes}\"\n\
             admin.token = {{ inline = \"{TOKEN}\" }}\nstore.bell_every = \"5ms\"\n"
        );
        if !text.contains("store.url") {
            let _ = writeln!(whole, "store.url = \"{}\"", self.database_url());
        }
        for usual in USUAL {
            let (name, _) = usual.split_once(" = ").expect("a name and a value");
            if !text.contains(name) {
                whole.push_str(usual);
            }
        }
        let has_upstream = text.replace("store.url", "").contains("url = ");
        if !has_upstream {
            whole.push_str("upstreams.default.url = \"{upstream}\"\n");
        }
        // However busy the machine is, a connection is there for the next call.
        if (!has_upstream || text.contains("upstreams.default.url = "))
            && !text.contains("[upstreams.default")
            && !text.contains("pool_idle_timeout")
        {
            whole.push_str("upstreams.default.limits.pool_idle_timeout = \"1m\"\n");
        }
        whole.push_str(text);
        let whole = whole.replace("{upstream}", &upstream.url());
        self.rewrite_whole(&whole);
    }

    fn rewrite_whole(&self, text: &str) {
        std::fs::write(self.file(), text).expect("the directory is ours");
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("keyward.toml")
    }

    fn database(&self) -> PathBuf {
        self.directory.path().join("keyward.db")
    }

    fn database_url(&self) -> String {
        format!("sqlite://{}", self.database().display())
    }

    fn load(&self) -> Config {
        let loaded = Config::load(&Sources {
            file: Some(self.file()),
            environment: ENVIRONMENT.into_iter().collect::<Environment>(),
            ..Sources::default()
        });
        loaded
            .unwrap_or_else(|error| panic!("the settings of a test: {error}"))
            .config
    }

    /// Where both streams of the real binary go.
    fn log(&self) -> PathBuf {
        self.directory.path().join("keyward.log")
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.log()).expect("it was made before the binary ran")
    }

    async fn by_hand(&self, sql: &str) {
        let mut connection = self.connection().await;
        let done = connection.execute(AssertSqlSafe(sql)).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    async fn number(&self, sql: &str) -> i64 {
        let mut connection = self.connection().await;
        let number = sqlx::query_scalar(AssertSqlSafe(sql));
        let number = number.fetch_one(&mut connection).await;
        number.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    async fn connection(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new()
            .filename(self.database())
            .busy_timeout(PATIENCE);
        options.connect().await.expect("the database is there")
    }
}
