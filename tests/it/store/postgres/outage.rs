//! A server that is stopped, killed or silent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keyward::key::{KeyDigest, KeyFilter, KeySelector, UnixTime};
use keyward::store::{Cursor, KeyStore, StoreConfig, StoreError};

use crate::support::postgres::Postgres;
use crate::support::store::{in_time, new_key, open};

/// Long enough for a busy machine to connect in.
const LIMIT: Duration = Duration::from_secs(1);

/// A migrated database on a server of one's own.
async fn database(server: &Postgres) -> StoreConfig {
    let name = server.new_database().await;
    let mut config = StoreConfig {
        url: server.tcp_url("postgres", &name),
        ..StoreConfig::default()
    };
    keyward::store::migrate(&config).await.unwrap();
    config.postgres.statement_timeout = LIMIT;
    config.postgres.acquire_timeout = LIMIT;
    config.postgres.heartbeat = LIMIT;
    config
}

/// Asks until it answers.
async fn until_found(store: &Arc<dyn KeyStore>, digest: &KeyDigest) {
    in_time(async {
        while store.find(digest).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Waits until the bell is heard again. A ring without a change: whoever listens must look, for what was told meanwhile
/// is lost.
async fn until_rung(store: &Arc<dyn KeyStore>) {
    in_time(async {
        while store.changed().await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_the_server_has_closed_costs_nobody_an_error() {
    let Some(server) = Postgres::own(&[]) else {
        return;
    };
    let store = open(&database(&server).await).await;
    let (key, _) = store.insert(&new_key()).await.unwrap();
    let found = tokio::join!(store.find(&key.digest), store.find(&key.digest));
    assert!(found.0.is_ok() && found.1.is_ok());
    for _ in 0..2 {
        server.stop();
        server.start_again();
        let found = store.find(&key.digest).await.unwrap();
        assert_eq!(found, Some(key.clone()));
        server.stop();
        server.start_again();
        store.insert(&new_key()).await.unwrap();
    }
    store.close().await;
}

#[tokio::test]
async fn every_call_to_a_server_that_does_not_answer_ends_in_time() {
    let Some(server) = Postgres::own(&[]) else {
        return;
    };
    let store = open(&database(&server).await).await;
    let (key, end) = store.insert(&new_key()).await.unwrap();
    until_rung(&store).await;
    server.pause();
    let start = Instant::now();
    let which = KeySelector::Id(key.id);
    let used = [(key.id, UnixTime::from_secs(1))];
    let new = new_key();
    let filter = KeyFilter::default();
    let mut each = |_| {};
    let (find, list, snapshot, changes, insert, delete, used) = tokio::join!(
        store.find(&key.digest),
        store.list(&filter),
        store.snapshot(&mut each),
        store.changes(Cursor::default()),
        store.insert(&new),
        store.delete(&which),
        store.record_last_used(&used),
    );
    let took = start.elapsed();
    let refusals = [
        find.err(),
        list.err(),
        snapshot.err(),
        changes.err(),
        insert.err(),
        delete.err(),
        used.err(),
    ];
    for refusal in refusals {
        assert!(
            matches!(refusal, Some(StoreError::TimedOut { .. })),
            "{refusal:?}"
        );
    }
    assert!(took < 5 * LIMIT, "{took:?}");
    // The bell has noticed, too: by its heartbeat, for nobody told it.
    let bell = in_time(store.changed()).await;
    assert!(bell.is_err());

    server.resume();
    until_found(&store, &key.digest).await;
    until_rung(&store).await;
    // What was given up is undone, and its locks are free.
    let (_, now) = in_time(store.insert(&new_key())).await.unwrap();
    assert_eq!(now.seq(), end.seq() + 1);
    store.close().await;
}

#[tokio::test]
async fn a_killed_server_is_an_outage_until_it_is_back() {
    let Some(server) = Postgres::own(&[]) else {
        return;
    };
    let store = open(&database(&server).await).await;
    let (key, _) = store.insert(&new_key()).await.unwrap();
    until_rung(&store).await;
    server.kill();
    for _ in 0..2 {
        let refused = store.find(&key.digest).await;
        assert!(
            refused.as_ref().is_err_and(StoreError::is_outage),
            "{refused:?}"
        );
        assert!(in_time(store.changed()).await.is_err());
    }
    server.start_again();
    until_found(&store, &key.digest).await;
    until_rung(&store).await;
    assert_eq!(store.find(&key.digest).await.unwrap(), Some(key));
    store.close().await;
}
