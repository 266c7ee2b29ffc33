//! Every call ends in time, and what was given up is undone.

use std::time::{Duration, Instant};

use keyward::key::{KeySelector, UnixTime};
use keyward::store::{StoreConfig, StoreError};
use tempfile::TempDir;

use crate::support::store::{Database, in_time, name, new_key, open, sqlite_config};

const LIMIT: Duration = Duration::from_millis(300);

async fn impatient() -> Database {
    let directory = TempDir::new().unwrap();
    let config = StoreConfig {
        statement_timeout: LIMIT,
        ..sqlite_config(&directory)
    };
    Database {
        store: open(&config).await,
        config,
        directory,
    }
}

#[tokio::test]
async fn a_write_that_another_process_keeps_out_ends_in_time_and_undone() {
    let database = impatient().await;
    let store = &database.store;
    let (key, end) = store.insert(&new_key()).await.unwrap();
    let which = KeySelector::Id(key.id);
    let mut lock = database.begin_by_hand("SELECT 1").await;

    let start = Instant::now();
    let refusals = [
        store.insert(&new_key()).await.err(),
        store.delete(&which).await.err(),
        store
            .record_last_used(&[(key.id, UnixTime::from_secs(1))])
            .await
            .err(),
        store.insert_team(&name("research")).await.err(),
    ];
    let took = start.elapsed();
    for refusal in refusals {
        assert!(
            matches!(refusal, Some(StoreError::TimedOut { .. })),
            "{refusal:?}"
        );
    }
    assert!(took < 4 * (LIMIT + LIMIT), "{took:?}");

    sqlx::Executor::execute(&mut lock, "COMMIT").await.unwrap();
    in_time(store.insert(&new_key())).await.unwrap();
    let stored = in_time(store.get(&which)).await.unwrap();
    assert_eq!(stored, Some(key));
    assert_eq!(database.fill().await.len(), 2);
    assert_eq!(database.end_of_log().await.seq(), end.seq() + 1);
    assert_eq!(store.teams().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_writer_waits_for_another_process_as_long_as_it_may() {
    let database = Database::sqlite().await;
    let mut lock = database.begin_by_hand("SELECT 1").await;
    let key = new_key();
    let (inserted, ()) = tokio::join!(database.store.insert(&key), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        sqlx::Executor::execute(&mut lock, "COMMIT").await.unwrap();
    });
    inserted.unwrap();
}
