//! The files: who may read them, what is in them, and what is left of them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use keyward::key::{KeySelector, NewApiKey};
use keyward::store::{StoreConfig, StoreError};
use keyward::telemetry::metrics::Metrics;
use rstest::rstest;
use tempfile::TempDir;

use crate::support::child::{self, Child};
use crate::support::store::{Database, Log, in_time, new_key, new_secret, open, sqlite_config};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[tokio::test]
async fn a_new_database_is_its_owner_s_alone() {
    let directory = TempDir::new().unwrap();
    let made = directory.path().join("var/lib");
    let config = StoreConfig {
        url: format!("sqlite://{}/key%20ward.db", made.display()),
        ..StoreConfig::default()
    };
    let store = open(&config).await;
    store.insert(&new_key()).await.unwrap();
    for directory in [&made, made.parent().unwrap()] {
        assert_eq!(mode(directory), 0o700, "{}", directory.display());
    }
    let files = ["key ward.db", "key ward.db-shm", "key ward.db-wal"];
    assert_eq!(names(&made), files.map(str::to_owned).into());
    for file in files {
        assert_eq!(mode(&made.join(file)), 0o600, "{file}");
    }
}

#[tokio::test]
async fn closing_takes_the_log_into_the_file() {
    let database = Database::sqlite().await;
    let (key, _) = database.store.insert(&new_key()).await.unwrap();
    in_time(database.store.changed()).await.unwrap();
    in_time(database.store.close()).await;
    let directory = database.path().parent().unwrap().to_owned();
    assert_eq!(names(&directory), ["keyward.db".to_owned()].into());
    let again = open(&database.config).await;
    assert_eq!(again.find(&key.digest).await.unwrap(), Some(key));
}

#[tokio::test]
async fn no_file_holds_a_key_s_text() {
    let database = Database::sqlite().await;
    let secret = new_secret();
    let key = NewApiKey {
        prefix: secret.prefix(),
        digest: secret.digest(),
        ..new_key()
    };
    let (key, _) = database.store.insert(&key).await.unwrap();
    database
        .store
        .delete(&KeySelector::Id(key.id))
        .await
        .unwrap();
    let (_, hidden) = secret.reveal().split_once('.').unwrap();
    let mut held = Vec::new();
    for name in names(database.path().parent().unwrap()) {
        held.extend(fs::read(database.path().with_file_name(name)).unwrap());
    }
    let holds = |text: &[u8]| held.windows(text.len()).any(|window| window == text);
    assert!(holds(key.digest.as_bytes()) && holds(key.prefix.as_str().as_bytes()));
    for part in [hidden, &hidden[..16], &hidden[16..32]] {
        assert!(!holds(part.as_bytes()));
    }
}

#[tokio::test]
async fn a_file_that_others_can_read_is_opened_and_complained_about() {
    // Alone in a process: what is logged by other tests at the same time gets in the way of hearing it.
    let test = "store::sqlite::files::child_hears_what_is_logged";
    in_time(Child::start(test, &[], &["go"]).passes()).await;
}

#[tokio::test]
#[ignore = "started by another test, as a process of its own"]
async fn child_hears_what_is_logged() {
    let Some(_) = child::input() else { return };
    let database = Database::sqlite().await;
    database.store.close().await;
    let log = Log::default();
    let listening = log.listen();
    open(&database.config).await.close().await;
    assert_eq!(log.text(), "");
    fs::set_permissions(database.path(), PermissionsExt::from_mode(0o640)).unwrap();
    open(&database.config).await.close().await;
    let heard = log.text();
    assert!(
        heard.contains("other users can reach the key database"),
        "{heard}"
    );
    drop(listening);
}

#[tokio::test]
async fn a_file_that_must_be_there_is_not_made() {
    let directory = TempDir::new().unwrap();
    let config = StoreConfig {
        must_exist: true,
        ..sqlite_config(&directory)
    };
    let refused = keyward::store::open(&config, Metrics::unrecorded().store).await;
    assert!(matches!(refused.err(), Some(StoreError::Away { .. })));
    assert!(names(directory.path()).is_empty());
}

#[tokio::test]
async fn two_that_start_at_once_share_one_database() {
    let directory = TempDir::new().unwrap();
    let config = sqlite_config(&directory);
    let mut starting = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let config = config.clone();
        starting.spawn(async move { open(&config).await });
    }
    let mut orgs = BTreeSet::new();
    for store in in_time(starting.join_all()).await {
        store.insert(&new_key()).await.unwrap();
        orgs.insert(store.org().await.unwrap());
        assert_eq!(store.teams().await.unwrap().len(), 1);
    }
    assert_eq!(orgs.len(), 1);
    assert!(
        names(directory.path())
            .iter()
            .all(|name| name.starts_with("keyward.db"))
    );
}

#[rstest]
#[case::removed(false)]
#[case::replaced(true)]
#[tokio::test]
async fn nothing_is_asked_of_a_file_that_is_no_longer_there(#[case] replaced: bool) {
    let database = Database::sqlite().await;
    let other = Database::sqlite().await;
    other.store.close().await;
    let (key, cursor) = database.store.insert(&new_key()).await.unwrap();
    in_time(database.store.changed()).await.unwrap();
    if replaced {
        fs::rename(other.path(), database.path()).unwrap();
    } else {
        fs::remove_file(database.path()).unwrap();
    }
    let store = &database.store;
    assert!(in_time(store.changed()).await.is_err());
    assert!(store.changes(cursor).await.is_err());
    assert!(store.find(&key.digest).await.is_err());
    assert!(store.insert(&new_key()).await.is_err());
    let refused = store.delete(&KeySelector::Id(key.id)).await.unwrap_err();
    let cause = std::error::Error::source(&refused).unwrap().to_string();
    assert!(cause.contains("removed or replaced"), "{cause}");
}

#[tokio::test]
async fn a_copy_made_by_sqlite_is_a_key_database() {
    let database = Database::sqlite().await;
    let (key, end) = database.store.insert(&new_key()).await.unwrap();
    let copy = database.path().with_file_name("copy.db");
    database
        .by_hand(&format!("VACUUM INTO '{}'", copy.display()))
        .await;
    let config = StoreConfig {
        url: format!("sqlite://{}", copy.display()),
        ..database.config.clone()
    };
    let restored = open(&config).await;
    assert_eq!(restored.find(&key.digest).await.unwrap(), Some(key));
    let filled = restored.snapshot(&mut |_| {}).await.unwrap();
    assert_eq!(filled.cursor, end);
    restored.insert(&new_key()).await.unwrap();
    let wal = copy.with_file_name("copy.db-wal");
    assert!(wal.exists(), "the copy does not use a write-ahead log");
}

#[rstest]
#[case("mysql://user:pass-word@host/db", "mysql")]
#[case("keyward.db", "the configured url")]
#[case("sqlite3://keyward.db", "sqlite3")]
#[tokio::test]
async fn a_url_of_no_database_is_refused_without_being_shown(
    #[case] url: &str,
    #[case] shown: &str,
) {
    let config = StoreConfig {
        url: url.to_owned(),
        ..StoreConfig::default()
    };
    let refused = keyward::store::open(&config, Metrics::unrecorded().store).await;
    let refused = refused.err().unwrap().to_string();
    assert!(
        refused.contains(shown) && refused.contains("`sqlite:`"),
        "{refused}"
    );
    assert!(!refused.contains("pass-word"), "{refused}");
}
