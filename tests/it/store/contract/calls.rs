//! Calls: at the same time, given up, and too late.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use keyward::key::{KeyDigest, KeyFilter, KeyId, KeySelector, KeyUpdate, NewApiKey, UnixTime};
use keyward::store::Cursor;
use uuid::Uuid;

use crate::support::store::{Database, in_time, name, new_key, open};

pub async fn writers_at_the_same_time_all_succeed(database: &Database) {
    let second = open(&database.config).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let store = if writer % 2 == 0 {
            &database.store
        } else {
            &second
        };
        let store = std::sync::Arc::clone(store);
        writers.spawn(async move {
            for _ in 0..15 {
                store.insert(&new_key()).await.unwrap();
            }
        });
    }
    in_time(writers.join_all()).await;
    assert_eq!(database.fill().await.len(), 8 * 15);
    second.close().await;
}

pub async fn readers_go_on_while_somebody_writes(database: &Database) {
    let (key, end) = database.store.insert(&new_key()).await.unwrap();
    let writing = database.begin_by_hand("DELETE FROM api_keys").await;
    let found = in_time(database.store.find(&key.digest)).await.unwrap();
    assert_eq!(found, Some(key));
    assert_eq!(in_time(database.end_of_log()).await, end);
    drop(writing);
}

/// Polls `call` at most `polls` times, then drops it.
async fn give_up_after<T>(polls: usize, call: impl Future<Output = T>) -> Option<T> {
    let mut call = pin!(call);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        call.as_mut().poll(context).map(Some)
    })
    .await
}

pub async fn a_dropped_call_is_done_or_not_and_the_next_one_works(database: &Database) {
    let store = &database.store;
    let mut answered = BTreeSet::new();
    let mut tried = BTreeSet::new();
    for round in 0..60 {
        let key = new_key();
        tried.insert(key.id);
        let inserted = give_up_after(round % 12, store.insert(&key)).await;
        if let Some(inserted) = inserted {
            answered.insert(inserted.unwrap().0.id);
        }
        // The next call, of a reader and of a writer, finds nothing in its way.
        in_time(store.find(&key.digest)).await.unwrap();
        let key = new_key();
        tried.insert(key.id);
        answered.insert(in_time(store.insert(&key)).await.unwrap().0.id);
    }
    let stored: BTreeSet<KeyId> = database.fill().await.iter().map(|key| key.id).collect();
    assert!(
        stored.is_superset(&answered),
        "an answered key is not there"
    );
    assert!(stored.is_subset(&tried));
    // Each stored key was told, and nothing else.
    assert_eq!(
        database.changes(Cursor::default()).await.len(),
        stored.len()
    );
}

pub async fn calls_after_closing_fail(database: &Database) {
    let store = &database.store;
    let (key, _) = store.insert(&new_key()).await.unwrap();
    in_time(store.close()).await;
    in_time(store.close()).await;
    let which = KeySelector::Id(key.id);
    let nobody = KeyDigest::of(b"");
    assert!(store.snapshot(&mut |_| {}).await.is_err());
    assert!(store.changes(Cursor::default()).await.is_err());
    assert!(store.changed().await.is_err());
    assert!(store.find(&key.digest).await.is_err());
    assert!(store.get(&which).await.is_err());
    assert!(store.list(&KeyFilter::default()).await.is_err());
    assert!(
        store
            .insert(&NewApiKey {
                id: KeyId::new(Uuid::now_v7()),
                ..new_key()
            })
            .await
            .is_err()
    );
    assert!(store.update(&which, &KeyUpdate::default()).await.is_err());
    assert!(store.delete(&which).await.is_err());
    let used = [(key.id, UnixTime::from_secs(1))];
    assert!(store.record_last_used(&used).await.is_err());
    assert!(store.org().await.is_err());
    assert!(store.teams().await.is_err());
    assert!(store.insert_team(&name("t")).await.is_err());
    assert!(store.admin_token().await.is_err());
    assert!(store.keep_admin_token(&nobody).await.is_err());
}
