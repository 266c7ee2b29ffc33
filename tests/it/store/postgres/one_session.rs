//! What an instance asks again and again goes over the connection that listens.

use std::sync::Arc;
use std::time::Duration;

use keyward::key::{KeySelector, UnixTime};
use keyward::store::{Cursor, KeyStore};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::store::{Database, in_time, new_key};

/// Sessions of the database but the one that asks this, and the last statement of each: those that listened first.
const SESSIONS: &str = "SELECT pid, query FROM pg_stat_activity WHERE datname = current_database() \
    AND application_name = 'keyward' AND pid <> pg_backend_pid()";

/// The process of every session, and what it was asked last.
async fn sessions(database: &Database) -> Vec<(i32, String)> {
    let postgres = database.postgres.as_ref().unwrap();
    let mut plain = postgres.server.connect(&postgres.name).await;
    sqlx::query_as(SESSIONS)
        .fetch_all(&mut plain)
        .await
        .unwrap()
}

/// The one that was asked to listen last of all it was asked.
async fn listener(database: &Database) -> i32 {
    let all = sessions(database).await;
    let mut listening = all.iter().filter(|(_, query)| query.starts_with("LISTEN"));
    let (pid, _) = listening.next().expect("somebody listens");
    assert_eq!(listening.next(), None);
    *pid
}

/// Whether another session than `pid` listens.
async fn listens_anew(database: &Database, pid: i32) -> bool {
    let all = sessions(database).await;
    all.iter()
        .any(|(other, query)| *other != pid && query.starts_with("LISTEN"))
}

/// What `pid` was asked last.
async fn last_of(database: &Database, pid: i32) -> String {
    let all = sessions(database).await;
    let found = all.into_iter().find(|(other, _)| *other == pid);
    found.expect("the session is there").1
}

/// Whoever follows: waits for the bell again and again.
async fn listen(store: Arc<dyn KeyStore>, rings: tokio::sync::mpsc::UnboundedSender<()>) {
    while store.changed().await.is_ok() {
        rings.send(()).unwrap();
    }
}

#[tokio::test]
async fn looks_reports_and_last_uses_share_the_session_that_listens() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let store = &database.store;
    let (key, _) = store.insert(&new_key()).await.unwrap();
    in_time(store.changed()).await.unwrap();
    let pid = listener(&database).await;
    store.changes(Cursor::default()).await.unwrap();
    assert!(last_of(&database, pid).await.contains("key_changes"));
    let used = [(key.id, UnixTime::from_secs(5))];
    store.record_last_used(&used).await.unwrap();
    assert!(last_of(&database, pid).await.contains("last_used_at"));
    let found = store.get(&KeySelector::Id(key.id)).await.unwrap().unwrap();
    assert_eq!(found.last_used_at, Some(UnixTime::from_secs(5)));
    assert!(!last_of(&database, pid).await.contains("k.id = $1"));
}

#[tokio::test]
async fn who_listens_lends_and_hears_on() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let store = &database.store;
    let (ring, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let mut listening = tokio::task::JoinSet::new();
    listening.spawn(listen(Arc::clone(store), ring));
    in_time(heard.recv()).await.unwrap();
    let pid = listener(&database).await;
    for _ in 0..20 {
        // Which of the two is first is left to chance.
        let new = new_key();
        let (looked, inserted) = tokio::join!(store.changes(Cursor::default()), store.insert(&new));
        looked.unwrap();
        inserted.unwrap();
        in_time(heard.recv()).await.unwrap();
    }
    assert!(last_of(&database, pid).await.contains("key_changes"));
    listening.shutdown().await;
}

#[tokio::test]
async fn where_the_session_that_listens_is_frozen_another_answers() {
    let Some(database) = Database::on_postgres_as_configured(|_| {}).await else {
        return;
    };
    let store = &database.store;
    in_time(store.changed()).await.unwrap();
    let pid = listener(&database).await;
    let process = Pid::from_raw(pid).unwrap();
    kill_process(process, Signal::STOP).unwrap();
    let (_, place) = store.insert(&new_key()).await.unwrap();
    for _ in 0..3 {
        let read = in_time(database.read_changes(Cursor::default())).await;
        assert_eq!(read.cursor, place);
        assert_eq!(read.changes.len(), 1);
    }
    // It is not waited for longer than a statement may take: then a new one is made, and rings.
    let rung = tokio::time::timeout(Duration::from_secs(20), store.changed()).await;
    kill_process(process, Signal::CONT).unwrap();
    rung.unwrap().unwrap();
    assert!(listens_anew(&database, pid).await);
}

#[tokio::test]
async fn a_session_that_was_late_is_heard_and_lent_again() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let store = &database.store;
    in_time(store.changed()).await.unwrap();
    let pid = listener(&database).await;
    let process = Pid::from_raw(pid).unwrap();
    kill_process(process, Signal::STOP).unwrap();
    let (key, place) = store.insert(&new_key()).await.unwrap();
    let read = in_time(database.read_changes(Cursor::default())).await;
    kill_process(process, Signal::CONT).unwrap();
    assert_eq!(read.cursor, place);
    // What it was told meanwhile is heard.
    in_time(store.changed()).await.unwrap();
    // It has shown that it lives when it is asked again.
    let waiting = Arc::clone(store);
    let mut listening = tokio::task::JoinSet::new();
    let (ring, _heard) = tokio::sync::mpsc::unbounded_channel();
    listening.spawn(listen(waiting, ring));
    in_time(async {
        loop {
            let used = [(key.id, UnixTime::from_secs(5))];
            store.record_last_used(&used).await.unwrap();
            if last_of(&database, pid).await.contains("greatest(") {
                break;
            }
        }
    })
    .await;
    listening.shutdown().await;
}
