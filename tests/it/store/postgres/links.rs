//! How the server is reached: through a socket or over TCP, in the open or encrypted.

use std::path::Path;

use keyward::store::{StoreConfig, StoreError};
use keyward::telemetry::metrics::Metrics;

use crate::support::postgres::Postgres;
use crate::support::store::{in_time, new_key, open};

/// How many of our sessions in `database` are encrypted, and how many are not.
async fn sessions(server: &Postgres, database: &str) -> (i64, i64) {
    let mut connection = server.connect(database).await;
    sqlx::query_as(
        "SELECT count(*) FILTER (WHERE ssl), count(*) FILTER (WHERE NOT ssl)
         FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
         WHERE application_name = 'keyward' AND datname = current_database()",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap()
}

async fn try_open(url: &str) -> Result<(), StoreError> {
    let config = StoreConfig {
        url: url.to_owned(),
        ..StoreConfig::default()
    };
    let store = keyward::store::open(&config, Metrics::unrecorded().store).await?;
    store.close().await;
    Ok(())
}

/// Opens `url`, listens for the bell as well, and counts the sessions of both.
async fn encrypted(server: &Postgres, database: &str, url: String) -> (i64, i64) {
    let config = StoreConfig {
        url,
        ..StoreConfig::default()
    };
    let store = open(&config).await;
    in_time(store.changed()).await.unwrap();
    let seen = sessions(server, database).await;
    store.close().await;
    seen
}

async fn migrated(server: &Postgres) -> String {
    let database = server.new_database().await;
    let config = StoreConfig {
        url: server.url(&database),
        ..StoreConfig::default()
    };
    keyward::store::migrate(&config).await.unwrap();
    database
}

#[tokio::test]
async fn a_socket_and_tcp_lead_to_the_same_database() {
    let Some(server) = Postgres::shared() else {
        return;
    };
    let database = migrated(server).await;
    let by = |url: String| StoreConfig {
        url,
        ..StoreConfig::default()
    };
    let socket = open(&by(server.url(&database))).await;
    let tcp = open(&by(server.tcp_url("postgres", &database))).await;
    let (key, _) = socket.insert(&new_key()).await.unwrap();
    assert_eq!(tcp.find(&key.digest).await.unwrap(), Some(key));
    let mut connection = server.connect(&database).await;
    let links: Vec<bool> = sqlx::query_scalar(
        "SELECT DISTINCT client_addr IS NULL FROM pg_stat_activity
         WHERE application_name = 'keyward' AND datname = current_database() ORDER BY 1",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(links, [false, true]);
    socket.close().await;
    tcp.close().await;
    server.forget(&database);
}

#[tokio::test]
async fn every_session_is_encrypted_where_the_url_asks_for_it() {
    let Some((server, authority)) = Postgres::own_with_tls() else {
        return;
    };
    let database = migrated(&server).await;
    let url = |host: &str, parameters: &str| server.url_by(host, &database, parameters);
    let by = |mode: &str, authority: &Path| {
        format!("sslmode={mode}&sslrootcert={}", authority.display())
    };

    let open = encrypted(&server, &database, url("127.0.0.1", "sslmode=disable")).await;
    assert!(open.0 == 0 && open.1 >= 2, "{open:?}");
    for parameters in [
        String::new(),
        "sslmode=prefer".to_owned(),
        "sslmode=require".to_owned(),
        by("verify-ca", &authority),
        by("verify-full", &authority),
    ] {
        let seen = encrypted(&server, &database, url("127.0.0.1", &parameters)).await;
        assert!(seen.0 >= 2 && seen.1 == 0, "{parameters}: {seen:?}");
    }

    // Vouched for, but not by this name.
    try_open(&url("localhost", &by("verify-ca", &authority)))
        .await
        .unwrap();
    // Not vouched for: by nobody we know, or by somebody else.
    let (_another, other) = Postgres::own_with_tls().unwrap();
    for refused in [
        url("localhost", &by("verify-full", &authority)),
        url("127.0.0.1", "sslmode=verify-ca"),
        url("127.0.0.1", "sslmode=verify-full"),
        url("127.0.0.1", &by("verify-full", &other)),
    ] {
        let error = try_open(&refused).await.unwrap_err();
        assert!(
            error.to_string().contains("TLS does not come about"),
            "{refused}: {error}"
        );
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_it_is_required() {
    let Some(server) = Postgres::shared() else {
        return;
    };
    let database = migrated(server).await;
    let open = server.url_by("127.0.0.1", &database, "sslmode=prefer");
    try_open(&open).await.unwrap();
    let required = server.url_by("127.0.0.1", &database, "sslmode=require");
    let error = try_open(&required).await.unwrap_err();
    assert!(
        error.to_string().contains("TLS does not come about"),
        "{error}"
    );
    server.forget(&database);
}
