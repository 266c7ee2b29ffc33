//! Every call ends in time, and what was given up is undone.

use std::time::{Duration, Instant};

use keyward::key::{KeySelector, UnixTime};
use keyward::store::{StoreConfig, StoreError};
use tempfile::TempDir;

use crate::support::store::{Database, in_time, name, new_key, sqlite_config};

const LIMIT: Duration = Duration::from_millis(300);

async fn impatient() -> Database {
    database(|config| config.statement_timeout = LIMIT).await
}

async fn database(set: impl FnOnce(&mut StoreConfig)) -> Database {
    let directory = TempDir::new().unwrap();
    let mut config = sqlite_config(&directory);
    set(&mut config);
    Database::in_sqlite(config, directory).await
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

    lock.run("COMMIT").await.unwrap();
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
        lock.run("COMMIT").await.unwrap();
    });
    inserted.unwrap();
}

#[tokio::test]
async fn a_write_that_takes_too_long_is_undone_and_lets_the_next_one_through() {
    let database = impatient().await;
    let slow = "CREATE TRIGGER slow AFTER INSERT ON api_keys BEGIN
                  INSERT INTO key_changes (digest)
                    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
                    SELECT x'00' FROM n WHERE i < 0;
                END";
    database.by_hand(slow).await;
    let refused = database.store.insert(&new_key()).await;
    assert!(
        matches!(refused, Err(StoreError::TimedOut { .. })),
        "{refused:?}"
    );
    // By hand, so that it must wait for the lock that the slow one had.
    in_time(database.by_hand("DROP TRIGGER slow")).await;
    let (key, _) = in_time(database.store.insert(&new_key())).await.unwrap();
    assert_eq!(database.fill().await, [key]);
}

#[tokio::test]
async fn a_change_of_our_own_rings_without_waiting_for_the_next_look() {
    let database = database(|config| config.bell_every = Duration::from_hours(1)).await;
    in_time(database.store.changed()).await.unwrap();
    let key = new_key();
    let (rung, inserted) = tokio::join!(
        in_time(database.store.changed()),
        database.store.insert(&key),
    );
    rung.unwrap();
    inserted.unwrap();
}

#[tokio::test]
async fn closing_ends_a_wait_without_waiting_for_the_next_look() {
    let database = database(|config| config.bell_every = Duration::from_hours(1)).await;
    in_time(database.store.changed()).await.unwrap();
    let closed = async {
        tokio::task::yield_now().await;
        database.store.close().await;
    };
    let (waited, ()) = in_time(async { tokio::join!(database.store.changed(), closed) }).await;
    assert!(waited.is_err());
}

#[tokio::test]
async fn closing_ends_even_when_a_call_is_never_finished() {
    let database = impatient().await;
    let (begun, _unfinished) = {
        let mut call = Box::pin(database.store.changed());
        let begun = tokio::time::timeout(Duration::from_secs(1), &mut call).await;
        begun.unwrap().unwrap();
        let mut call = Box::pin(database.store.changed());
        let begun = tokio::time::timeout(Duration::from_millis(1), &mut call).await;
        (begun, call)
    };
    assert!(begun.is_err());
    in_time(database.store.close()).await;
}
