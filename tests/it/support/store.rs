//! Key databases for tests: real ones, each in a directory that is gone when the test is.

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use keyward::key::{
    ApiKey, ENTROPY_BYTES, KeyCategory, KeyId, ModelScope, Name, NewApiKey, NewSecret, UnixTime,
};
use keyward::store::{ChangeBatch, Changes, Cursor, KeyChange, KeyStore, StoreConfig};
use keyward::telemetry::metrics::Metrics;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use tempfile::TempDir;
use uuid::Uuid;

use super::postgres::Postgres;

/// How long a test waits for what must happen.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// An open key database.
pub struct Database {
    /// The store under test.
    pub store: Arc<dyn KeyStore>,
    /// How it was opened.
    pub config: StoreConfig,
    /// Where SQLite's files are.
    pub directory: TempDir,
    /// Where it is on Postgres.
    pub postgres: Option<OnPostgres>,
}

/// A database of one test on a server of Postgres.
pub struct OnPostgres {
    /// The server.
    pub server: &'static Postgres,
    /// The name of the database.
    pub name: String,
}

impl Drop for OnPostgres {
    fn drop(&mut self) {
        self.server.forget(&self.name);
    }
}

/// A session that knows nothing of keyward.
pub enum Plain {
    /// In SQLite.
    Sqlite(SqliteConnection),
    /// On Postgres.
    Postgres(PgConnection),
}

impl Plain {
    /// Runs `sql`, which may be refused.
    pub async fn run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = AssertSqlSafe(sql);
        match self {
            Self::Sqlite(connection) => connection.execute(sql).await.map(|_| ()),
            Self::Postgres(connection) => connection.execute(sql).await.map(|_| ()),
        }
    }

    /// The one number that `sql` answers.
    pub async fn number(&mut self, sql: &str) -> Result<i64, sqlx::Error> {
        let sql = AssertSqlSafe(sql);
        match self {
            Self::Sqlite(connection) => sqlx::query_scalar(sql).fetch_one(connection).await,
            Self::Postgres(connection) => sqlx::query_scalar(sql).fetch_one(connection).await,
        }
    }

    /// Ends the session.
    pub async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
        }
    }
}

/// What SQLite calls so, for statements that are the same for every database.
const SQLITE_WORDS: &str = "
    CREATE FUNCTION randomblob(bytes integer) RETURNS bytea LANGUAGE sql AS
      $$ SELECT substring(sha256(gen_random_uuid()::text::bytea) FOR bytes) $$;
    CREATE FUNCTION unixepoch() RETURNS bigint LANGUAGE sql AS
      $$ SELECT floor(extract(epoch FROM clock_timestamp()))::bigint $$;";

impl Database {
    /// A new SQLite file.
    pub async fn sqlite() -> Self {
        let directory = TempDir::new().unwrap();
        let config = sqlite_config(&directory);
        Self::in_sqlite(config, directory).await
    }

    /// The SQLite file in `directory` that `config` names.
    pub async fn in_sqlite(config: StoreConfig, directory: TempDir) -> Self {
        Self {
            store: open(&config).await,
            config,
            directory,
            postgres: None,
        }
    }

    /// A new database on the shared server; nothing when tests go without Postgres.
    pub async fn postgres() -> Option<Self> {
        Self::on_postgres(|_| {}).await
    }

    /// The same, opened as `set` says, with so much time for everything that a busy machine is not taken for an outage.
    pub async fn on_postgres(set: impl FnOnce(&mut StoreConfig)) -> Option<Self> {
        Self::on_postgres_as_configured(|config| {
            config.postgres.statement_timeout = DEADLINE;
            config.postgres.acquire_timeout = DEADLINE;
            set(config);
        })
        .await
    }

    /// The same, with the limits that hold when nobody sets any.
    pub async fn on_postgres_as_configured(set: impl FnOnce(&mut StoreConfig)) -> Option<Self> {
        let server = Postgres::shared()?;
        let name = server.new_database().await;
        let mut config = StoreConfig {
            url: server.url(&name),
            ..StoreConfig::default()
        };
        set(&mut config);
        keyward::store::migrate(&config).await.unwrap();
        let mut connection = server.connect(&name).await;
        connection.execute(SQLITE_WORDS).await.unwrap();
        connection.close().await.unwrap();
        Some(Self {
            store: open(&config).await,
            config,
            directory: TempDir::new().unwrap(),
            postgres: Some(OnPostgres { server, name }),
        })
    }

    /// The file itself.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("keyward.db")
    }

    /// Runs `sql` as somebody would who knows nothing of keyward: on a connection without any of our settings.
    pub async fn by_hand(&self, sql: &str) {
        let done = self.try_by_hand(sql).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// The same, where it may be refused.
    pub async fn try_by_hand(&self, sql: &str) -> Result<(), sqlx::Error> {
        let mut plain = self.plain().await;
        plain.run(sql).await?;
        plain.close().await
    }

    /// Begins a transaction that writes, runs `sql` in it, and leaves it open while the connection lives.
    pub async fn begin_by_hand(&self, sql: &str) -> Plain {
        let mut plain = self.plain().await;
        let begin = match plain {
            Plain::Sqlite(_) => "BEGIN IMMEDIATE",
            Plain::Postgres(_) => "BEGIN",
        };
        for statement in [begin, sql] {
            plain.run(statement).await.unwrap();
        }
        plain
    }

    /// The one number that `sql` answers.
    pub async fn number(&self, sql: &str) -> i64 {
        let mut plain = self.plain().await;
        let number = plain.number(sql).await;
        plain.close().await.unwrap();
        number.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// What the database's clock says.
    pub async fn now(&self) -> UnixTime {
        UnixTime::from_stored(self.number("SELECT unixepoch()").await).unwrap()
    }

    /// Makes so many keys in one statement, as an import would.
    pub async fn insert_many(&self, count: usize) {
        let (numbers, id) = match self.postgres {
            None => (
                format!(
                    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
                ),
                "printf('019f0000-0000-7000-8000-%012x', i)",
            ),
            Some(_) => (
                format!("WITH n (i) AS (SELECT generate_series(1, {count}))"),
                "'019f0000-0000-7000-8000-' || lpad(to_hex(i), 12, '0')",
            ),
        };
        let statement = format!(
            "INSERT INTO api_keys (id, prefix, digest, category, org_id, team_id)
             {numbers}
             SELECT {id}, 'many_' || i, randomblob(32), 'WORKSPACE_INVOKE', teams.org_id, teams.id
             FROM n, teams WHERE teams.is_default"
        );
        self.by_hand(&statement).await;
    }

    /// A session with the database's own defaults, but for foreign keys, which are not kept.
    pub async fn plain(&self) -> Plain {
        let Some(on) = &self.postgres else {
            return Plain::Sqlite(self.plain_connection().await);
        };
        let mut connection = on.server.connect(&on.name).await;
        let role = connection.execute("SET session_replication_role = replica");
        role.await.unwrap();
        Plain::Postgres(connection)
    }

    /// A connection with SQLite's own defaults.
    pub async fn plain_connection(&self) -> SqliteConnection {
        SqliteConnectOptions::new()
            .filename(self.path())
            .foreign_keys(false)
            .busy_timeout(DEADLINE)
            .connect()
            .await
            .unwrap()
    }

    /// The end of the log.
    pub async fn end_of_log(&self) -> Cursor {
        self.store.snapshot(&mut |_| {}).await.unwrap().cursor
    }

    /// Every live key, by a fill.
    pub async fn fill(&self) -> Vec<ApiKey> {
        let mut keys = Vec::new();
        self.store
            .snapshot(&mut |key| keys.push(key))
            .await
            .unwrap();
        keys
    }

    /// One look at the log, which is expected to reach back to `cursor`.
    pub async fn read_changes(&self, cursor: Cursor) -> ChangeBatch {
        match self.store.changes(cursor).await.unwrap() {
            Changes::Read(batch) => batch,
            Changes::Lost => panic!("the log does not reach back to {cursor:?}"),
        }
    }

    /// The changes after `cursor`.
    pub async fn changes(&self, cursor: Cursor) -> Vec<KeyChange> {
        self.read_changes(cursor).await.changes
    }
}

/// Settings for a file in `directory`.
pub fn sqlite_config(directory: &TempDir) -> StoreConfig {
    StoreConfig {
        url: format!("sqlite://{}/keyward.db", directory.path().display()),
        bell_every: Duration::from_millis(5),
        ..StoreConfig::default()
    }
}

/// Opens the database that `config` names.
pub async fn open(config: &StoreConfig) -> Arc<dyn KeyStore> {
    keyward::store::open(config, Metrics::unrecorded().store)
        .await
        .unwrap()
}

/// What is logged, by this thread, while somebody listens.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Listens until the guard is dropped.
    pub fn listen(&self) -> tracing::subscriber::DefaultGuard {
        // While there is one subscriber only, a line that is first spoken on a thread without it is taken for one
        // that nobody wants, on every thread (tracing-core's `has_just_one`). So there are always two.
        static OTHER: LazyLock<tracing::Dispatch> =
            LazyLock::new(|| tracing::Dispatch::new(tracing_subscriber::registry()));
        LazyLock::force(&OTHER);
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || log.clone());
        tracing::subscriber::set_default(subscriber.finish())
    }

    /// What was heard.
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Ends with `work`, or fails the test after [`DEADLINE`].
pub async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work)
        .await
        .expect("it ends in time")
}

/// A secret nobody has had before.
pub fn new_secret() -> NewSecret {
    let mut entropy = [0; ENTROPY_BYTES];
    getrandom::fill(&mut entropy).unwrap();
    NewSecret::from_entropy(&entropy).unwrap()
}

/// An unnamed key that may call every model.
pub fn new_key() -> NewApiKey {
    let secret = new_secret();
    NewApiKey {
        id: KeyId::new(Uuid::now_v7()),
        prefix: secret.prefix(),
        digest: secret.digest(),
        name: None,
        category: KeyCategory::WorkspaceInvoke,
        operation: None,
        scope: ModelScope::Every,
        team: None,
        owner: None,
        expires_at: None,
        ends_calls: false,
        by: None,
    }
}

/// The same, called `text`.
pub fn new_key_named(text: &str) -> NewApiKey {
    NewApiKey {
        name: Some(name(text)),
        ..new_key()
    }
}

/// A name.
pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}
