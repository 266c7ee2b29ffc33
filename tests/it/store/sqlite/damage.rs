//! Files that are not what they should be: refused with advice, and left as they were.

use std::fs;
use std::path::Path;

use keyward::store::{StoreConfig, StoreError};
use keyward::telemetry::metrics::Metrics;
use rstest::rstest;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor};
use tempfile::TempDir;

use crate::support::store::{Database, new_key, open, sqlite_config};

/// Why `config` is refused: what is wrong and what to do, with the cause.
async fn refusal(config: &StoreConfig) -> String {
    let refused = keyward::store::open(config, Metrics::unrecorded().store).await;
    match refused.err() {
        Some(StoreError::Open {
            address,
            advice,
            cause,
        }) => format!("{address}: {advice} ({cause:?})"),
        other => panic!("{other:?}"),
    }
}

/// A closed database with some pages of keys.
async fn database() -> Database {
    let database = Database::sqlite().await;
    database.insert_many(300).await;
    database.store.close().await;
    database
}

fn cut_in_half(file: &Path) {
    let whole = fs::read(file).unwrap();
    fs::write(file, &whole[..whole.len() / 2]).unwrap();
}

fn cut_to_its_header(file: &Path) {
    let whole = fs::read(file).unwrap();
    fs::write(file, &whole[..100]).unwrap();
}

fn cut_in_a_page(file: &Path) {
    let whole = fs::read(file).unwrap();
    fs::write(file, &whole[..whole.len() - 1000]).unwrap();
}

fn empty(file: &Path) {
    fs::write(file, "").unwrap();
}

fn text(file: &Path) {
    fs::write(file, "[store]\nurl = \"sqlite://keyward.db\"\n").unwrap();
}

fn zeros(file: &Path) {
    let whole = fs::metadata(file).unwrap().len();
    fs::write(file, vec![0; usize::try_from(whole).unwrap()]).unwrap();
}

/// Overwrites every page from the tenth on, as a disk does that forgets.
fn forgotten_pages(file: &Path) {
    let mut whole = fs::read(file).unwrap();
    whole[9 * 4096..].fill(0xff);
    fs::write(file, whole).unwrap();
}

fn first_page(file: &Path) {
    let mut whole = fs::read(file).unwrap();
    whole[100..4096].fill(0xff);
    fs::write(file, whole).unwrap();
}

#[rstest]
#[case::half(cut_in_half, "damaged")]
#[case::header(cut_to_its_header, "")]
#[case::torn_page(cut_in_a_page, "damaged")]
#[case::empty(empty, "the file is empty")]
#[case::text(text, "no SQLite database")]
#[case::zeros(zeros, "no SQLite database")]
#[case::forgotten_pages(forgotten_pages, "damaged")]
#[case::first_page(first_page, "damaged")]
#[tokio::test]
async fn a_damaged_file_is_refused_and_left_as_it_was(
    #[case] damage: fn(&Path),
    #[case] said: &str,
) {
    let database = database().await;
    damage(&database.path());
    let before = fs::read(database.path()).unwrap();
    for _ in 0..2 {
        let refusal = refusal(&database.config).await;
        assert!(refusal.contains(said), "{refusal}");
        assert!(refusal.contains("keyward.db"), "{refusal}");
        assert!(
            fs::read(database.path()).unwrap() == before,
            "the file was changed"
        );
    }
}

#[tokio::test]
async fn a_log_without_its_database_is_not_begun_over() {
    let database = Database::sqlite().await;
    database.store.insert(&new_key()).await.unwrap();
    let config = sqlite_config(&TempDir::new().unwrap());
    let path = Path::new(config.url.strip_prefix("sqlite://").unwrap());
    fs::create_dir(path.parent().unwrap()).unwrap();
    let wal = path.with_file_name("keyward.db-wal");
    fs::copy(database.path().with_file_name("keyward.db-wal"), &wal).unwrap();
    let refusal = refusal(&config).await;
    assert!(refusal.contains("`-wal` file"), "{refusal}");
    assert!(!path.exists());
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

#[tokio::test]
async fn a_damaged_file_is_not_given_what_its_log_holds() {
    let database = database().await;
    let store = open(&database.config).await;
    store.insert(&new_key()).await.unwrap();
    let files = ["keyward.db", "keyward.db-wal"].map(|name| database.path().with_file_name(name));
    let [file, wal] = files.each_ref().map(|file| fs::read(file).unwrap());
    store.close().await;
    assert!(!wal.is_empty());
    fs::write(&files[1], &wal).unwrap();
    fs::write(&files[0], &file).unwrap();
    forgotten_pages(&files[0]);
    let before = fs::read(&files[0]).unwrap();
    let refusal = refusal(&database.config).await;
    assert!(refusal.contains("damaged"), "{refusal}");
    assert!(
        fs::read(&files[0]).unwrap() == before,
        "the file was changed"
    );
    assert!(fs::read(&files[1]).unwrap() == wal, "the log was changed");
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_and_left_as_it_was() {
    let directory = TempDir::new().unwrap();
    let config = sqlite_config(&directory);
    let path = directory.path().join("keyward.db");
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    connection
        .execute("CREATE TABLE api_keys (id INT)")
        .await
        .unwrap();
    connection.close().await.unwrap();
    let before = fs::read(&path).unwrap();
    let refusal = refusal(&config).await;
    assert!(refusal.contains("no key database"), "{refusal}");
    assert!(fs::read(&path).unwrap() == before);
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_and_left_as_it_was() {
    let database = database().await;
    database
        .by_hand(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (99, 'future', TRUE, x'00', 1)",
        )
        .await;
    let before = fs::read(database.path()).unwrap();
    let refusal = refusal(&database.config).await;
    assert!(refusal.contains("newer keyward"), "{refusal}");
    assert!(fs::read(database.path()).unwrap() == before);
}

#[rstest]
#[case::directory("")]
#[case::below_a_file("file/keyward.db")]
#[case::below_a_file_twice("file/below/keyward.db")]
#[tokio::test]
async fn a_place_where_no_file_can_be_is_refused(#[case] path: &str) {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("file"), "text").unwrap();
    let mut url = format!("sqlite://{}/{path}", directory.path().display());
    if path.is_empty() {
        url.pop();
    }
    let config = StoreConfig {
        url,
        ..StoreConfig::default()
    };
    let refusal = refusal(&config).await;
    assert!(refusal.contains("check `store.url`"), "{refusal}");
}

#[tokio::test]
async fn a_directory_where_nobody_may_write_is_refused() {
    // Not even root makes a file here.
    let config = StoreConfig {
        url: "sqlite:///proc/self/keyward.db".to_owned(),
        ..StoreConfig::default()
    };
    let refusal = refusal(&config).await;
    assert!(refusal.contains("check `store.url`"), "{refusal}");
}
