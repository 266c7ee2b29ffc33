//! deploy/postgres/roles.sql: each role may do what it must, and nothing else.

use std::fs;
use std::time::Duration;

use keyward::key::{Actor, KeyFilter, KeySelector, KeyUpdate, NewApiKey, Origin, UnixTime};
use keyward::store::{Cursor, InstanceId, InstanceReport, StoreConfig, StoreError};
use snapbox::{assert_data_eq, str};
use sqlx::{AssertSqlSafe, Executor};
use uuid::Uuid;

use crate::support::source;
use crate::support::store::{Database, OnPostgres, in_time, name, new_key, new_key_named, open};

/// Gives `role` to a new user; how that one opens the database.
async fn user_in(database: &Database, role: &str) -> StoreConfig {
    let on = on(database);
    let path = source::package().join("deploy/postgres/roles.sql");
    let roles = fs::read_to_string(path).unwrap();
    // It may be run again.
    for _ in 0..2 {
        database.by_hand(&roles).await;
    }
    let user = format!("{role}_{}", on.name);
    database
        .by_hand(&format!("CREATE ROLE {user} LOGIN IN ROLE {role}"))
        .await;
    let mut config = database.config.clone();
    config.url = on.server.tcp_url(&user, &on.name);
    config
}

fn on(database: &Database) -> &OnPostgres {
    database.postgres.as_ref().expect("it is on Postgres")
}

/// A user that belongs to a role cannot be left behind, for another test's roles are the same.
async fn drop_user(database: &Database, role: &str) {
    database
        .by_hand(&format!("DROP ROLE {role}_{}", on(database).name))
        .await;
}

fn assert_not_allowed<T: std::fmt::Debug>(done: &Result<T, StoreError>) {
    assert!(
        matches!(done, Err(StoreError::NotAllowed { .. })),
        "{done:?}"
    );
}

#[tokio::test]
async fn a_sidecar_can_do_everything_that_it_needs() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let (key, before) = database.store.insert(&new_key()).await.unwrap();
    let sidecar = open(&user_in(&database, "keyward_sidecar").await).await;

    let mut keys = Vec::new();
    let end = sidecar.snapshot(&mut |key| keys.push(key)).await.unwrap();
    assert_eq!(
        (keys.as_slice(), end.cursor),
        (std::slice::from_ref(&key), before)
    );
    sidecar.changes(Cursor::default()).await.unwrap();
    in_time(sidecar.changed()).await.unwrap();
    let bell = new_key_named("bell");
    let (rung, inserted) = tokio::join!(in_time(sidecar.changed()), database.store.insert(&bell),);
    rung.unwrap();
    inserted.unwrap();
    assert_eq!(sidecar.find(&key.digest).await.unwrap(), Some(key.clone()));
    assert!(
        sidecar
            .get(&KeySelector::Id(key.id))
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(sidecar.list(&KeyFilter::default()).await.unwrap().len(), 2);
    assert_eq!(sidecar.page(None).await.unwrap().keys.len(), 2);
    sidecar.org().await.unwrap();
    sidecar.teams().await.unwrap();

    let end = database.end_of_log().await;
    let used = UnixTime::from_secs(5);
    sidecar.record_last_used(&[(key.id, used)]).await.unwrap();
    let found = sidecar.find(&key.digest).await.unwrap().unwrap();
    assert_eq!(found.last_used_at, Some(used));
    assert_eq!(database.end_of_log().await, end);

    let id = InstanceId::new(Uuid::now_v7());
    let report = InstanceReport {
        id,
        name: name("sidecar"),
        up_for: Duration::ZERO,
        applied: end,
        heard_for: Duration::from_mins(1),
        serves_for: Duration::from_mins(1),
    };
    sidecar.report_instance(&report).await.unwrap();
    sidecar.report_instance(&report).await.unwrap();
    assert_eq!(sidecar.instances().await.unwrap().len(), 1);
    sidecar.remove_instance(id).await.unwrap();
    sidecar.close().await;
    drop_user(&database, "keyward_sidecar").await;
}

#[tokio::test]
async fn a_sidecar_can_do_nothing_else() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let (key, end) = database.store.insert(&new_key()).await.unwrap();
    let config = user_in(&database, "keyward_sidecar").await;
    let sidecar = open(&config).await;
    let which = KeySelector::Id(key.id);
    assert_not_allowed(&sidecar.insert(&new_key()).await);
    assert_not_allowed(&sidecar.delete(&which).await);
    let change = KeyUpdate {
        enabled: Some(false),
        ..KeyUpdate::default()
    };
    assert_not_allowed(&sidecar.update(&which, &change).await);
    assert_not_allowed(&sidecar.insert_team(&name("mine")).await);
    assert_not_allowed(&sidecar.keep_admin_token(&key.digest).await);
    assert_not_allowed(&sidecar.admin_token().await);
    assert_not_allowed(&sidecar.want_positions(Duration::from_secs(1)).await);
    sidecar.close().await;

    let options: sqlx::postgres::PgConnectOptions = config.url.parse().unwrap();
    let mut hand = sqlx::ConnectOptions::connect(&options).await.unwrap();
    for refused in [
        "UPDATE api_keys SET scope = NULL",
        "UPDATE api_keys SET last_used_at = 1, disabled_at = NULL",
        "DELETE FROM api_keys",
        "TRUNCATE api_keys",
        "DELETE FROM key_changes",
        "UPDATE key_log SET last_seq = 0",
        "SELECT key_log_append(ARRAY[decode(repeat('00', 32), 'hex')])",
        "INSERT INTO keyward_migrations (version, name, min_reader) VALUES (9, 'x', 9)",
        "SELECT * FROM admin_tokens",
        "SELECT * FROM audit_logs",
        "ALTER TABLE api_keys DISABLE TRIGGER ALL",
        "CREATE TABLE mine (id text)",
        "DROP TABLE api_keys",
        "SET session_replication_role = replica",
    ] {
        let done = hand.execute(AssertSqlSafe(refused)).await;
        let error = done.expect_err(refused);
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .unwrap();
        assert_eq!(code, "42501", "{refused}: {error}");
    }
    // The one thing.
    hand.execute("UPDATE api_keys SET last_used_at = 1")
        .await
        .unwrap();
    assert_eq!(database.end_of_log().await, end);
    sqlx::Connection::close(hand).await.unwrap();
    drop_user(&database, "keyward_sidecar").await;
}

#[tokio::test]
async fn an_administrator_changes_keys_and_nothing_beside_them() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let admin = open(&user_in(&database, "keyward_admin").await).await;
    let by = Actor {
        name: name("ada"),
        key: None,
        from: Origin::Database,
    };
    let wanted = NewApiKey {
        by: Some(by.clone()),
        ..new_key()
    };
    let (key, _) = admin.insert(&wanted).await.unwrap();
    let which = KeySelector::Id(key.id);
    let change = KeyUpdate {
        enabled: Some(false),
        by: Some(by.clone()),
        ..KeyUpdate::default()
    };
    admin.update(&which, &change).await.unwrap();
    admin.delete_by(&which, Some(&by)).await.unwrap();
    assert_eq!(admin.audit(None, 10).await.unwrap().len(), 3);
    admin.insert_team(&name("theirs")).await.unwrap();
    admin.keep_admin_token(&key.digest).await.unwrap();
    assert_eq!(admin.admin_token().await.unwrap(), Some(key.digest));
    admin.want_positions(Duration::from_secs(1)).await.unwrap();
    admin.close().await;
    drop_user(&database, "keyward_admin").await;
}

/// Every right on every table: a new table, or a right that somebody adds, shows here.
#[tokio::test]
async fn the_rights_of_the_roles_are_these() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    user_in(&database, "keyward_sidecar").await;
    let mut hand = on(&database).server.connect(&on(&database).name).await;
    let rights: Vec<String> = sqlx::query_scalar(
        "SELECT format('%s: %s', t.tablename, (
             SELECT string_agg(format('%s %s', substring(r.role FROM 9), p.what), ', ' ORDER BY r.role DESC, p.place)
               FROM (VALUES ('keyward_sidecar'), ('keyward_admin')) AS r (role),
                    unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'])
                      WITH ORDINALITY AS p (what, place)
              WHERE has_table_privilege(r.role, t.tablename::regclass, p.what)))
         FROM pg_tables t WHERE t.schemaname = 'public'
         UNION ALL
         SELECT format('%s.%s: %s UPDATE', c.table_name, c.column_name, substring(c.grantee FROM 9))
         FROM information_schema.column_privileges c
         WHERE c.privilege_type = 'UPDATE' AND c.grantee = 'keyward_sidecar' AND c.table_name <> 'instances'
         ORDER BY 1",
    )
    .fetch_all(&mut hand)
    .await
    .unwrap();
    assert_data_eq!(
        rights.join("\n"),
        str![[r#"
admin_tokens: admin SELECT, admin INSERT
api_keys.last_used_at: sidecar UPDATE
api_keys: sidecar SELECT, admin SELECT, admin INSERT, admin UPDATE
audit_logs: admin SELECT, admin INSERT
instances: sidecar SELECT, sidecar INSERT, sidecar UPDATE, sidecar DELETE, admin SELECT, admin INSERT, admin UPDATE, admin DELETE
key_changes: sidecar SELECT, admin SELECT
key_log: sidecar SELECT, admin SELECT
keyward_migrations: sidecar SELECT, admin SELECT
orgs: sidecar SELECT, admin SELECT
positions_wanted: sidecar SELECT, admin SELECT, admin INSERT, admin UPDATE
teams: sidecar SELECT, admin SELECT, admin INSERT
"#]]
    );
    drop_user(&database, "keyward_sidecar").await;
}
