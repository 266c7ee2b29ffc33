//! Other processes on the same file.

use std::process::Command;

use keyward::key::{KeySelector, KeyUpdate, UnixTime};
use keyward::store::{KeyChange, KeyStore, StoreConfig};

use crate::support::child::{self, Child};
use crate::support::store::{Database, in_time, new_key, open};

const EACH: usize = 20;

#[tokio::test]
async fn writers_in_two_processes_all_succeed() {
    let database = Database::sqlite().await;
    let test = "store::sqlite::processes::child_writes";
    let others = [0, 1].map(|_| Child::start(test, &[], &[&database.config.url]));
    write(&*database.store).await;
    for other in others {
        in_time(other.passes()).await;
    }
    assert_eq!(database.fill().await.len(), 3 * EACH);
}

#[tokio::test]
#[ignore = "started by another test, as a process of its own"]
async fn child_writes() {
    let Some(input) = child::input() else { return };
    let config = StoreConfig {
        url: input[0].clone(),
        ..StoreConfig::default()
    };
    let store = open(&config).await;
    write(&*store).await;
    store.close().await;
}

/// Reads before it writes, too: that is where SQLite does not wait, if one begins wrongly.
async fn write(store: &dyn KeyStore) {
    for _ in 0..EACH {
        let (kept, _) = store.insert(&new_key()).await.unwrap();
        let (deleted, _) = store.insert(&new_key()).await.unwrap();
        let which = KeySelector::Id(deleted.id);
        store.update(&which, &KeyUpdate::default()).await.unwrap();
        store.delete(&which).await.unwrap();
        let used = [(kept.id, UnixTime::from_secs(1))];
        store.record_last_used(&used).await.unwrap();
    }
}

#[tokio::test]
async fn a_deletion_by_another_process_is_heard_and_told() {
    let database = Database::sqlite().await;
    let (key, cursor) = database.store.insert(&new_key()).await.unwrap();
    in_time(database.store.changed()).await.unwrap();
    let test = "store::sqlite::processes::child_deletes";
    let input = [database.config.url.as_str(), key.prefix.as_str()];
    let other = Child::start(test, &[], &input);
    // It opens the file before it deletes, which may ring as well.
    let told = in_time(async {
        loop {
            database.store.changed().await.unwrap();
            let told = database.changes(cursor).await;
            if !told.is_empty() {
                return told;
            }
        }
    });
    assert_eq!(told.await, [KeyChange::Gone(key.digest)]);
    in_time(other.passes()).await;
}

#[tokio::test]
#[ignore = "started by another test, as a process of its own"]
async fn child_deletes() {
    let Some(input) = child::input() else { return };
    let config = StoreConfig {
        url: input[0].clone(),
        ..StoreConfig::default()
    };
    let store = open(&config).await;
    let which = KeySelector::Prefix(input[1].parse().unwrap());
    store.delete(&which).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn plain_sqlite3_is_followed() {
    let installed = Command::new("sqlite3").arg("--version").output();
    if installed.is_err() {
        eprintln!("sqlite3 is not installed: only the library's own SQLite was tried");
        return;
    }
    let database = Database::sqlite().await;
    for sql in [
        "UPDATE api_keys SET deleted_at = 1 WHERE prefix =",
        "DELETE FROM api_keys WHERE prefix =",
    ] {
        let (key, cursor) = database.store.insert(&new_key()).await.unwrap();
        in_time(database.store.changed()).await.unwrap();
        let mut command = Command::new("sqlite3");
        let sql = format!("{sql} '{}'", key.prefix);
        command.arg(database.path()).args([".timeout 5000", &sql]);
        let ended = tokio::task::spawn_blocking(move || command.output());
        let ended = ended.await.unwrap().unwrap();
        assert!(ended.status.success(), "{ended:?}");
        in_time(database.store.changed()).await.unwrap();
        assert_eq!(
            database.changes(cursor).await,
            [KeyChange::Gone(key.digest)]
        );
    }
}
