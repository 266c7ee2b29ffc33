//! The whole program without its key database: what it says, what it serves, and how it comes back.

use std::fs;

use http::Method;
use keyward::clock::Clock;
use keyward::config::{Config, Environment, Overrides, Sources};
use keyward::key::KeyDigest;
use keyward::server::Server;
use keyward::store;
use keyward::telemetry::Telemetry;
use keyward::telemetry::metrics::Metrics;
use rustix::process::Signal;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use tempfile::TempDir;

use crate::support::admin::Ask;
use crate::support::keyward::{Doors, KeywardProcess, TestKey};
use crate::support::raw::RawAnswer;
use crate::support::store::new_secret;
use crate::support::{eventually, within};

/// Waits for a locked file less long than it would otherwise.
const IMPATIENT: &str = "store.statement_timeout = \"250ms\"\n";

/// Keeps the file to itself, so that nobody can open it as a key database.
async fn keep(mut connection: SqliteConnection) -> SqliteConnection {
    connection.execute("BEGIN IMMEDIATE").await.unwrap();
    connection
}

/// Puts the database's files elsewhere, as when a volume is not mounted.
fn take_away(keyward: &KeywardProcess) {
    fs::create_dir(keyward.path("away")).unwrap();
    for name in ["keyward.db", "keyward.db-wal", "keyward.db-shm"] {
        // The last two are there only while somebody has it open, or was killed.
        let _ = fs::rename(keyward.path(name), keyward.path(&format!("away/{name}")));
    }
}

/// Puts them back. The log first: without it, the file may be older than what was answered.
fn put_back(keyward: &KeywardProcess) {
    for name in ["keyward.db-wal", "keyward.db-shm", "keyward.db"] {
        let _ = fs::rename(keyward.path(&format!("away/{name}")), keyward.path(name));
    }
    fs::remove_dir(keyward.path("away")).unwrap();
}

/// A well-formed key that nobody has.
fn made_up() -> TestKey {
    let secret = new_secret();
    TestKey {
        prefix: secret.prefix().to_string(),
        text: secret.reveal().to_owned(),
    }
}

/// Whether the sealed set holds the key.
fn is_sealed(keyward: &KeywardProcess, key: &TestKey) -> bool {
    let set = fs::read(keyward.path("keyward.seal")).unwrap_or_default();
    let digest = KeyDigest::of(key.text.as_bytes());
    set.windows(32).any(|bytes| bytes == digest.as_bytes())
}

/// Not known here now: told to come again in whole seconds, and nothing of the key.
fn assert_unavailable(answer: &RawAnswer, key: &TestKey) {
    assert_eq!(answer.status(), 503, "{}", answer.text());
    let wait = answer.head.field("retry-after").expect("a time to wait");
    assert!(wait.parse::<u32>().is_ok_and(|secs| secs > 0), "{wait}");
    assert!(answer.head.field("www-authenticate").is_none());
    assert!(!answer.text().contains(&key.text));
}

#[tokio::test]
async fn a_start_without_the_database_serves_nothing_and_comes_up_by_itself() {
    let settings = format!("{IMPATIENT}server.report_every = \"1m\"\n");
    let mut keyward = KeywardProcess::start(&settings).await;
    let key = keyward.key().await;
    assert_eq!(keyward.call(&key, "m1").await.status(), 200);
    keyward.kill();
    let kept = keep(keyward.database().await).await;
    keyward.spawn_again();
    keyward.listens_again().await;
    for _ in 0..3 {
        assert_eq!(keyward.readiness().await, 503);
        assert_unavailable(&keyward.call(&key, "m1").await, &key);
        let list = keyward.administer(Method::GET, "/v1/api_keys").send().await;
        assert_eq!(list.status, 503, "{list}");
    }
    let troubles = keyward.troubles().await;
    assert!(
        troubles.starts_with("starting\nkeys: ") && troubles.contains("no key is served"),
        "{troubles}"
    );
    let opens = "keyward_store_errors_total{query=\"open\"}";
    assert!(keyward.metric(opens).await >= 1.0);
    let said = |what: &str| keyward.said().contains(what).then_some(());
    eventually("it is said", || said("no key is served until it does")).await;
    kept.close().await.unwrap();
    keyward.ready_again().await;
    assert_eq!(keyward.call(&key, "m1").await.status(), 200);
    keyward.key().await;
    // The one that was killed, and this one: it is announced though it could not be at its start.
    within("this instance is known", async {
        while keyward.number("SELECT count(*) FROM instances").await != 2 {}
    })
    .await;
    within("the trouble is over", async {
        while keyward.troubles().await != "ok\n" {}
    })
    .await;
    let said = keyward.said();
    assert_eq!(said.matches("does not answer").count(), 1, "{said}");
    assert_eq!(said.matches("could be opened").count(), 1, "{said}");
}

#[tokio::test]
async fn a_start_that_waiting_does_not_help_ends_at_once() {
    let mut keyward = KeywardProcess::start(IMPATIENT).await;
    keyward.kill();
    std::fs::write(keyward.path("keyward.db"), "no database").unwrap();
    keyward.spawn_again();
    assert_eq!(keyward.exit_code().await, Some(1));
    assert!(keyward.said().contains("is no SQLite database"));
}

/// Settings for a database in `directory`, with no admin token among them.
fn settings(directory: &TempDir) -> Config {
    let url = format!("sqlite://{}/keyward.db", directory.path().display());
    let any = "127.0.0.1:0";
    let flags = [
        ("proxy.listen", any),
        ("admin.listen", any),
        ("probes.listen", any),
        ("upstreams.default.url", "http://127.0.0.1:9"),
        ("store.url", &url),
        ("store.statement_timeout", "250ms"),
        ("shutdown.delay", "1ms"),
    ];
    let set = |flags: Overrides, (path, value): &(&'static str, &str)| {
        flags.with("the test", path, Some((*value).to_owned()))
    };
    let sources = Sources {
        flags: flags.iter().fold(Overrides::default(), set),
        file: None,
        environment: Environment::default(),
    };
    Config::load(&sources).expect("no mistakes").config
}

#[tokio::test]
async fn an_admin_token_is_made_and_shown_when_the_database_can_be_reached() {
    let directory = TempDir::new().unwrap();
    let config = settings(&directory);
    let made = store::open(&config.store, Metrics::unrecorded().store).await;
    made.unwrap().close().await;
    let options = SqliteConnectOptions::new().filename(directory.path().join("keyward.db"));
    let kept = keep(options.connect().await.unwrap()).await;
    let telemetry = Telemetry::new();
    let started = Server::start(&config, &telemetry, Clock::system());
    let mut server = Box::pin(started).await.expect("it waits for the database");
    let doors = Doors::at(server.addresses());
    let list = |credential: &str| {
        let ask = Ask::new(doors.addresses.admin, Method::GET, "/v1/api_keys");
        ask.credential(credential).send()
    };
    assert!(server.take_first_token().is_none());
    // Nobody knows yet which token is right, so none is wrong.
    assert_eq!(list("kwadmin_anything").await.status, 503);
    kept.close().await.unwrap();
    let token = eventually("a token is shown", || server.take_first_token()).await;
    assert_eq!(list(token.reveal()).await.status, 200);
    assert_eq!(list("kwadmin_anything").await.status, 401);
    server.close().await;
}

#[tokio::test]
async fn an_outage_costs_no_known_key_anything_and_is_told() {
    let settings = "cache.poll_every = \"100ms\"\ncache.max_lag = \"200ms\"\n";
    let keyward = KeywardProcess::start(settings).await;
    let key = keyward.key().await;
    assert_eq!(keyward.call(&key, "m1").await.status(), 200);
    take_away(&keyward);
    within("the trouble is told", async {
        while !keyward.troubles().await.contains("has not answered for") {
            assert_eq!(keyward.call(&key, "m1").await.status(), 200);
        }
    })
    .await;
    assert_eq!(keyward.readiness().await, 200);
    let unknown = made_up();
    for _ in 0..3 {
        assert_unavailable(&keyward.call(&unknown, "m1").await, &unknown);
        assert_eq!(keyward.call(&key, "m1").await.status(), 200);
    }
    put_back(&keyward);
    within("the trouble is over", async {
        while keyward.troubles().await != "ok\n" {
            assert_eq!(keyward.call(&key, "m1").await.status(), 200);
        }
    })
    .await;
    assert_eq!(keyward.call(&unknown, "m1").await.status(), 401);
}

#[tokio::test]
async fn a_start_without_the_database_serves_what_was_sealed_until_it_is_back() {
    let settings = "cache.seal = \"keyward.seal\"\ncache.seal_every = \"1s\"\n";
    let mut keyward = KeywardProcess::start(settings).await;
    let (key, deleted) = (keyward.key().await, keyward.key().await);
    eventually("both are sealed", || {
        (is_sealed(&keyward, &key) && is_sealed(&keyward, &deleted)).then_some(())
    })
    .await;
    keyward.kill();
    take_away(&keyward);
    keyward.spawn_again();
    keyward.ready_again().await;
    for key in [&key, &deleted] {
        assert_eq!(keyward.call(key, "m1").await.status(), 200);
    }
    let unknown = made_up();
    assert_unavailable(&keyward.call(&unknown, "m1").await, &unknown);
    let troubles = keyward.troubles().await;
    assert!(
        troubles.starts_with("ok\nkeys: ") && troubles.contains("served from the sealed set"),
        "{troubles}"
    );
    assert!(keyward.metric("keyward_cache_sealed").await > 0.0);
    let listed = keyward.administer(Method::GET, "/v1/api_keys").send().await;
    assert_eq!(listed.status, 503, "{listed}");
    // A database that was there once is not begun anew.
    assert!(!keyward.path("keyward.db").exists());

    let delete = format!(
        "UPDATE api_keys SET deleted_at = unixepoch() WHERE prefix = '{}'",
        deleted.prefix
    );
    let options = SqliteConnectOptions::new().filename(keyward.path("away/keyward.db"));
    let mut connection = options.connect().await.unwrap();
    connection.execute(AssertSqlSafe(delete)).await.unwrap();
    connection.close().await.unwrap();
    put_back(&keyward);
    within("the deletion is in force", async {
        while keyward.call(&deleted, "m1").await.status() != 401 {
            assert_eq!(keyward.call(&key, "m1").await.status(), 200);
        }
    })
    .await;
    assert_eq!(keyward.call(&key, "m1").await.status(), 200);
    within("the trouble is over", async {
        while keyward.troubles().await != "ok\n" {}
    })
    .await;
    let newest = keyward.key().await;
    keyward.signal(Signal::TERM);
    assert_eq!(keyward.exit_code().await, Some(0));
    assert!(is_sealed(&keyward, &key) && is_sealed(&keyward, &newest));
    assert!(!is_sealed(&keyward, &deleted));
}
