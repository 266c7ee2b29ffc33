//! A key database that is away when it is to be opened, and what stands in for it until it is not.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use keyward::key::KeySelector;
use keyward::store::{KeyStore, StoreConfig, StoreError, open_or_await};
use keyward::telemetry::metrics::Metrics;
use tempfile::TempDir;

use crate::support::store::{Database, Log, in_time, new_key, open, sqlite_config};

async fn awaited(config: &StoreConfig) -> Result<Arc<dyn KeyStore>, StoreError> {
    open_or_await(config, Metrics::unrecorded().store).await
}

async fn keys_of(store: &dyn KeyStore) -> Result<usize, StoreError> {
    let mut keys = 0;
    store.snapshot(&mut |_| keys += 1).await.map(|_| keys)
}

fn is_away<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Away { .. }))
}

/// Waits less for a locked file than others have to.
fn impatient(config: &StoreConfig) -> StoreConfig {
    StoreConfig {
        statement_timeout: Duration::from_millis(50),
        ..config.clone()
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_yet_is_opened_when_it_is() {
    let directory = TempDir::new().unwrap();
    let config = StoreConfig {
        must_exist: true,
        ..sqlite_config(&directory)
    };
    let store = awaited(&config).await.unwrap();
    let key = new_key();
    assert!(is_away(&store.find(&key.digest).await));
    assert!(is_away(&store.insert(&key).await));
    assert!(is_away(&store.admin_token().await));
    for _ in 0..3 {
        assert!(is_away(&keys_of(&*store).await));
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    let mut bell = Box::pin(store.changed());
    tokio::select! {
        biased;
        rung = &mut bell => panic!("there is nothing to hear yet: {rung:?}"),
        () = std::future::ready(()) => {}
    }

    let other = open(&sqlite_config(&directory)).await;
    other.insert(&key).await.unwrap();
    // Only whoever fills memory tries to open it.
    assert!(is_away(&store.find(&key.digest).await));
    assert_eq!(keys_of(&*store).await.unwrap(), 1);
    assert!(store.find(&key.digest).await.unwrap().is_some());
    in_time(bell).await.unwrap();
    store.delete(&KeySelector::Id(key.id)).await.unwrap();
    assert!(other.find(&key.digest).await.unwrap().is_none());
}

#[tokio::test]
async fn a_file_that_somebody_keeps_is_opened_when_he_lets_go() {
    let database = Database::sqlite().await;
    database.store.insert(&new_key()).await.unwrap();
    database.store.close().await;
    let keeper = database
        .begin_by_hand("UPDATE api_keys SET name = 'kept'")
        .await;
    let store = awaited(&impatient(&database.config)).await.unwrap();
    let refused = keys_of(&*store).await.unwrap_err();
    assert!(refused.is_away(), "{refused:?}");
    assert!(refused.to_string().contains("keeps it locked"), "{refused}");
    keeper.close().await.unwrap();
    // So impatient a store may find a busy machine too slow; whoever fills memory asks again.
    let keys = in_time(async {
        loop {
            if let Ok(keys) = keys_of(&*store).await {
                return keys;
            }
        }
    });
    assert_eq!(keys.await, 1);
}

#[tokio::test]
async fn what_does_not_pass_by_itself_is_an_error_at_once() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("keyward.db");
    let config = sqlite_config(&directory);
    fs::create_dir(&path).unwrap();
    let refused = awaited(&config).await.err().unwrap();
    assert!(!refused.is_away(), "{refused:?}");
    fs::remove_dir(&path).unwrap();
    fs::write(&path, "no database").unwrap();
    let refused = awaited(&config).await.err().unwrap();
    assert!(!refused.is_away(), "{refused:?}");
    let unknown = StoreConfig {
        url: "mysql://127.0.0.1/keys".to_owned(),
        ..config
    };
    assert!(!awaited(&unknown).await.err().unwrap().is_away());
}

#[tokio::test]
async fn what_turns_out_to_be_damaged_is_told_once_and_used_when_it_is_whole() {
    let log = Log::default();
    let _listening = log.listen();
    let database = Database::sqlite().await;
    database.store.insert(&new_key()).await.unwrap();
    database.store.close().await;
    let (path, copy) = (database.path(), database.path().with_extension("copy"));
    fs::rename(&path, &copy).unwrap();
    let config = StoreConfig {
        must_exist: true,
        ..database.config.clone()
    };
    let store = awaited(&config).await.unwrap();
    fs::write(&path, "no database").unwrap();
    for _ in 0..3 {
        let refused = keys_of(&*store).await.unwrap_err();
        assert!(matches!(refused, StoreError::Open { .. }), "{refused:?}");
    }
    assert_eq!(fs::read(&path).unwrap(), b"no database");
    fs::rename(&copy, &path).unwrap();
    assert_eq!(keys_of(&*store).await.unwrap(), 1);
    let told = log.text();
    assert_eq!(told.matches("cannot be used").count(), 1, "{told}");
    assert_eq!(told.matches("could be opened").count(), 1, "{told}");
}

#[tokio::test]
async fn what_is_closed_is_not_opened_any_more() {
    let directory = TempDir::new().unwrap();
    let config = StoreConfig {
        must_exist: true,
        ..sqlite_config(&directory)
    };
    let store = awaited(&config).await.unwrap();
    in_time(store.close()).await;
    let _other = open(&sqlite_config(&directory)).await;
    assert!(is_away(&keys_of(&*store).await));
}
