//! Nobody changes the schema but `store::migrate`, once, and servers of two versions run beside each other.

use keyward::store::{KeyChange, Migrated, StoreConfig, StoreError};
use keyward::telemetry::metrics::Metrics;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor};

use crate::support::postgres::Postgres;
use crate::support::store::{DEADLINE, Database, in_time, new_key, open};

/// The newest migration.
const NEWEST: i64 = 5;

/// An empty database.
struct Empty {
    server: &'static Postgres,
    name: String,
    config: StoreConfig,
}

impl Empty {
    async fn new() -> Option<Self> {
        let server = Postgres::shared()?;
        let name = server.new_database().await;
        let mut config = StoreConfig {
            url: server.url(&name),
            ..StoreConfig::default()
        };
        config.postgres.statement_timeout = DEADLINE;
        config.postgres.acquire_timeout = DEADLINE;
        Some(Self {
            server,
            name,
            config,
        })
    }

    async fn hand(&self) -> PgConnection {
        self.server.connect(&self.name).await
    }

    async fn run(&self, sql: &str) {
        let done = self.hand().await.execute(AssertSqlSafe(sql)).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    async fn number(&self, sql: &str) -> i64 {
        let mut hand = self.hand().await;
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&mut hand)
            .await
            .unwrap()
    }

    async fn tables(&self) -> i64 {
        let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
        self.number(tables).await
    }

    async fn migrate(&self) -> Result<Migrated, StoreError> {
        keyward::store::migrate(&self.config).await
    }

    /// Why it cannot be opened. Nothing may be waited for: somebody has to do something.
    async fn refusal(&self) -> String {
        let opened = keyward::store::open(&self.config, Metrics::unrecorded().store).await;
        match opened.err().expect("it is refused") {
            error @ StoreError::Open { .. } => error.to_string(),
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Empty {
    fn drop(&mut self) {
        self.server.forget(&self.name);
    }
}

#[tokio::test]
async fn a_server_never_makes_the_tables_by_itself() {
    let Some(empty) = Empty::new().await else {
        return;
    };
    let refusal = empty.refusal().await;
    assert!(
        refusal.contains("make them with `keyward database migrate`"),
        "{refusal}"
    );
    assert_eq!(empty.tables().await, 0);
    let migrated = empty.migrate().await.unwrap();
    assert_eq!((migrated.was, migrated.is), (0, NEWEST));
    let store = open(&empty.config).await;
    assert_eq!(store.teams().await.unwrap().len(), 1);
    store.close().await;
    // And again: nothing to do.
    let org = "SELECT count(*) FROM orgs";
    let migrated = empty.migrate().await.unwrap();
    assert_eq!((migrated.was, migrated.is), (NEWEST, NEWEST));
    assert_eq!(empty.number(org).await, 1);
}

#[tokio::test]
async fn of_many_who_migrate_at_once_one_does() {
    let Some(empty) = Empty::new().await else {
        return;
    };
    let (a, b, c) = tokio::join!(empty.migrate(), empty.migrate(), empty.migrate());
    let mut before: Vec<i64> = [a, b, c]
        .into_iter()
        .map(|done| done.unwrap().was)
        .collect();
    before.sort_unstable();
    assert_eq!(before, [0, NEWEST, NEWEST]);
    assert_eq!(
        empty
            .number("SELECT count(*) FROM keyward_migrations")
            .await,
        NEWEST
    );
    assert_eq!(empty.number("SELECT count(*) FROM teams").await, 1);
}

#[tokio::test]
async fn a_migration_waits_for_one_that_runs() {
    let Some(empty) = Empty::new().await else {
        return;
    };
    let mut other = empty.hand().await;
    other
        .execute("BEGIN; SELECT pg_advisory_xact_lock(1801812343, 2)")
        .await
        .unwrap();
    let waits = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' \
                       AND datname = current_database()";
        while empty.number(waiting).await == 0 {}
        assert_eq!(empty.tables().await, 0);
        other.execute("COMMIT").await.unwrap();
    };
    let (migrated, ()) = tokio::join!(Box::pin(in_time(empty.migrate())), in_time(waits));
    assert_eq!(migrated.unwrap().is, NEWEST);
}

#[tokio::test]
async fn a_migration_that_fails_changes_nothing() {
    let Some(empty) = Empty::new().await else {
        return;
    };
    // Something of somebody else's is in the way of the second step.
    empty
        .run("CREATE TABLE instances (of_somebody_else integer)")
        .await;
    let error = empty.migrate().await.unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
    assert_eq!(empty.tables().await, 1);
    empty.run("DROP TABLE instances").await;
    assert_eq!(empty.migrate().await.unwrap().was, 0);
}

#[tokio::test]
async fn an_older_schema_is_refused_until_it_is_migrated() {
    let Some(empty) = Empty::new().await else {
        return;
    };
    empty.migrate().await.unwrap();
    empty
        .run(
            "DROP TABLE instances, positions_wanted, audit_logs; DROP FUNCTION audit_logs_kept, audit_is_by_others;
             DROP TRIGGER api_keys_update_lock ON api_keys;
             ALTER TABLE api_keys DROP COLUMN ends_calls;
             CREATE TRIGGER api_keys_update_lock BEFORE UPDATE OF digest ON api_keys
               FOR EACH STATEMENT EXECUTE FUNCTION key_log_lock();
             DELETE FROM keyward_migrations WHERE version > 1",
        )
        .await;
    let refusal = empty.refusal().await;
    assert!(
        refusal.contains("its tables are of version 1, and this program needs version 5")
            && refusal.contains("keyward database migrate"),
        "{refusal}"
    );
    let migrated = empty.migrate().await.unwrap();
    assert_eq!((migrated.was, migrated.is), (1, NEWEST));
    open(&empty.config).await.close().await;
}

#[tokio::test]
async fn a_server_goes_on_beside_a_newer_one_that_has_migrated() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let store = &database.store;
    let (key, before) = store.insert(&new_key()).await.unwrap();
    database
        .by_hand(
            "ALTER TABLE api_keys ADD COLUMN of_the_next_version text NOT NULL DEFAULT '';
             CREATE TABLE of_the_next_version (id text);
             INSERT INTO keyward_migrations (version, name, min_reader) VALUES (1000, 'next', 1)",
        )
        .await;
    // One that runs, and one that is started now.
    for store in [store, &open(&database.config).await] {
        let (added, _) = store.insert(&new_key()).await.unwrap();
        assert_eq!(store.find(&added.digest).await.unwrap(), Some(added));
    }
    let changes = database.changes(before).await;
    assert_eq!(changes.len(), 2);
    assert!(
        changes
            .iter()
            .all(|change| matches!(change, KeyChange::Put(_)))
    );
    assert!(store.find(&key.digest).await.unwrap().is_some());
    // The older program's migration finds nothing to do, and takes nothing back.
    let migrated = keyward::store::migrate(&database.config).await.unwrap();
    assert_eq!((migrated.was, migrated.is), (1000, 1000));
}

#[tokio::test]
async fn a_schema_that_only_newer_programs_can_live_with_is_refused() {
    let Some(empty) = Empty::new().await else {
        return;
    };
    empty.migrate().await.unwrap();
    empty
        .run("INSERT INTO keyward_migrations (version, name, min_reader) VALUES (1000, 'next', 1000)")
        .await;
    let refusal = empty.refusal().await;
    assert!(refusal.contains("Run a newer keyward"), "{refusal}");
    let error = empty.migrate().await.unwrap_err();
    assert!(error.to_string().contains("Run a newer keyward"), "{error}");
}

#[tokio::test]
async fn a_trigger_that_is_missing_or_off_is_found_at_the_start() {
    let Some(empty) = Empty::new().await else {
        return;
    };
    empty.migrate().await.unwrap();
    empty
        .run("ALTER TABLE api_keys DISABLE TRIGGER api_keys_updated")
        .await;
    let refusal = empty.refusal().await;
    assert!(
        refusal.contains("the trigger `api_keys_updated`"),
        "{refusal}"
    );
    empty
        .run("ALTER TABLE api_keys ENABLE ALWAYS TRIGGER api_keys_updated; DROP TRIGGER teams_lock ON teams")
        .await;
    let refusal = empty.refusal().await;
    assert!(refusal.contains("the trigger `teams_lock`"), "{refusal}");
}

#[tokio::test]
async fn the_tables_may_be_in_a_schema_of_their_own() {
    let Some(empty) = Empty::new().await else {
        return;
    };
    empty.run("CREATE SCHEMA kw").await;
    let mut config = empty.config.clone();
    config.url.push_str("?options[search_path]=kw");
    keyward::store::migrate(&config).await.unwrap();
    assert_eq!(empty.tables().await, 0);
    let store = open(&config).await;
    let (key, cursor) = store.insert(&new_key()).await.unwrap();
    in_time(store.changed()).await.unwrap();
    // Whoever changes it there, with whatever path.
    empty.run("UPDATE kw.api_keys SET deleted_at = 1").await;
    in_time(store.changed()).await.unwrap();
    let keyward::store::Changes::Read(batch) = store.changes(cursor).await.unwrap() else {
        panic!("a log");
    };
    assert_eq!(batch.changes, [KeyChange::Gone(key.digest)]);
    store.close().await;
}
