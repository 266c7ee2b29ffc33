//! A disk without room: writing is refused, reading goes on, and writing goes on when there is room again.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use keyward::key::{ApiKey, KeySelector};
use keyward::store::{KeyStore, StoreConfig, StoreError};
use tempfile::TempDir;

use crate::support::child::{self, Child};
use crate::support::store::{in_time, new_key, open};

const CHILD: &str = "store::sqlite::room::child_runs_out_of_room";

/// Mounts a small file system where only the child sees it: needs no root, but a kernel that lets users have
/// namespaces of their own.
const SMALL_DISK: &str = r#"mount -t tmpfs -o size=1m,mode=700 tmpfs "$0" && exec "$@""#;

/// Lets no file of the child grow past 400 kB, as a quota would; needs nothing.
const SMALL_FILES: &str = r#"trap '' XFSZ; exec prlimit --fsize=400000:unlimited "$@""#;

#[tokio::test]
async fn a_full_disk_refuses_writes_and_nothing_else() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().to_str().unwrap();
    let unshare = ["unshare", "--user", "--map-root-user", "--mount"];
    let mut wrapper = unshare.to_vec();
    wrapper.extend(["sh", "-c", SMALL_DISK, path]);
    let possible = Command::new(wrapper[0])
        .args(&wrapper[1..])
        .arg("true")
        .output();
    if !possible.is_ok_and(|ended| ended.status.success()) {
        eprintln!("no namespaces for users here: see the test with small files");
        return;
    }
    in_time(Child::start(CHILD, &wrapper, &[path, "full"]).passes()).await;
}

#[tokio::test]
async fn a_file_that_may_not_grow_refuses_writes_and_nothing_else() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().to_str().unwrap();
    let wrapper = ["sh", "-c", SMALL_FILES, "sh"];
    in_time(Child::start(CHILD, &wrapper, &[path, "limited"]).passes()).await;
}

#[tokio::test]
#[ignore = "started by another test, as a process of its own"]
async fn child_runs_out_of_room() {
    let Some(input) = child::input() else { return };
    let directory = Path::new(&input[0]);
    let config = StoreConfig {
        url: format!("sqlite://{}/keyward.db", directory.display()),
        ..StoreConfig::default()
    };
    let store = open(&config).await;
    let (first, _) = store.insert(&new_key()).await.unwrap();
    let filler = directory.join("filler");
    if input[1] == "full" {
        fill(&filler);
    }

    let (mut keys, refused) = insert_until_refused(&*store).await;
    match input[1].as_str() {
        "full" => assert!(matches!(refused, StoreError::Full { .. }), "{refused:?}"),
        _ => assert!(refused.is_outage(), "{refused:?}"),
    }
    // A deletion may still fit, or not: it is done when it was answered, and only then.
    match store.delete(&KeySelector::Id(first.id)).await {
        Ok(_) => assert_eq!(store.find(&first.digest).await.unwrap(), None),
        Err(refused) => {
            assert!(refused.is_outage(), "{refused:?}");
            keys.push(first);
        }
    }
    assert_all_there(&*store, &keys).await;

    let _ = fs::remove_file(&filler);
    let this = std::process::id().to_string();
    let lift = ["--fsize=unlimited", "--pid", &this];
    let _ = Command::new("prlimit").args(lift).output();
    keys.push(in_time(store.insert(&new_key())).await.unwrap().0);
    let deleted = keys.remove(0);
    store.delete(&KeySelector::Id(deleted.id)).await.unwrap();
    assert_all_there(&*store, &keys).await;
    store.close().await;

    let again = open(&config).await;
    assert_all_there(&*again, &keys).await;
    assert_eq!(again.find(&deleted.digest).await.unwrap(), None);
}

/// Writes until the disk takes no byte more.
fn fill(filler: &Path) {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(filler)
        .unwrap();
    for size in [4096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

/// The keys whose making was answered, and the error of the one that was not made.
async fn insert_until_refused(store: &dyn KeyStore) -> (Vec<ApiKey>, StoreError) {
    let mut keys = Vec::new();
    loop {
        match store.insert(&new_key()).await {
            Ok((key, _)) => keys.push(key),
            Err(refused) => return (keys, refused),
        }
        assert!(keys.len() < 10_000, "the disk does not fill");
    }
}

/// The answered keys are there, and no other.
async fn assert_all_there(store: &dyn KeyStore, keys: &[ApiKey]) {
    let mut filled = Vec::new();
    store.snapshot(&mut |key| filled.push(key)).await.unwrap();
    assert_eq!(filled.len(), keys.len());
    for key in keys {
        let found = store.find(&key.digest).await.unwrap();
        assert_eq!(found.as_ref(), Some(key));
    }
}
