//! The change log: complete, in order, and honest about what it no longer holds.

use keyward::key::{KeyDigest, KeySelector, KeyUpdate};
use keyward::store::{Changes, Cursor, KeyChange, StoreError};

use crate::support::store::{Database, new_key, new_key_named};

async fn is_lost(database: &Database, cursor: Cursor) -> bool {
    matches!(database.store.changes(cursor).await.unwrap(), Changes::Lost)
}

pub async fn a_look_at_the_end_finds_nothing(database: &Database) {
    assert_eq!(database.changes(Cursor::default()).await, []);
    let (_, cursor) = database.store.insert(&new_key()).await.unwrap();
    let batch = database.read_changes(cursor).await;
    assert_eq!(batch.changes, []);
    assert_eq!((batch.cursor, batch.more), (cursor, false));
    assert_eq!(batch.oldest_at, None);
}

pub async fn several_changes_of_a_key_are_told_once(database: &Database) {
    let store = &database.store;
    let (key, _) = store.insert(&new_key()).await.unwrap();
    let which = KeySelector::Id(key.id);
    for enabled in [false, true, false] {
        let update = KeyUpdate {
            enabled: Some(enabled),
            ..KeyUpdate::default()
        };
        store.update(&which, &update).await.unwrap();
    }
    let key = store.get(&which).await.unwrap().unwrap();
    let told = database.changes(Cursor::default()).await;
    assert_eq!(told, [KeyChange::Put(Box::new(key.clone()))]);
    store.delete(&which).await.unwrap();
    let told = database.changes(Cursor::default()).await;
    assert_eq!(told, [KeyChange::Gone(key.digest)]);
}

pub async fn changes_are_told_in_order(database: &Database) {
    let store = &database.store;
    let mut keys = Vec::new();
    for _ in 0..4 {
        keys.push(store.insert(&new_key()).await.unwrap().0);
    }
    let first = keys.remove(0);
    store.delete(&KeySelector::Id(first.id)).await.unwrap();
    let told = database.changes(Cursor::default()).await;
    let puts = keys.into_iter().map(|key| KeyChange::Put(Box::new(key)));
    let expected: Vec<_> = puts.chain([KeyChange::Gone(first.digest)]).collect();
    assert_eq!(told, expected);
}

pub async fn a_long_log_is_told_in_batches(database: &Database) {
    database.insert_many(2500).await;
    let end = database.end_of_log().await;
    let mut cursor = Cursor::default();
    let mut told = 0;
    let mut looks = 0;
    loop {
        let batch = database.read_changes(cursor).await;
        assert!(batch.cursor > cursor);
        assert!(batch.oldest_at.is_some());
        told += batch.changes.len();
        looks += 1;
        cursor = batch.cursor;
        assert_eq!(batch.more, cursor < end);
        if !batch.more {
            break;
        }
    }
    assert_eq!((told, cursor), (2500, end));
    assert!(looks > 1);
}

pub async fn a_trimmed_log_is_lost_and_a_fill_helps(database: &Database) {
    let store = &database.store;
    let (_, first) = store.insert(&new_key()).await.unwrap();
    let (_, second) = store.insert(&new_key()).await.unwrap();
    database
        .by_hand("UPDATE key_changes SET at = at - 700000")
        .await;
    let (third, _) = store.insert(&new_key()).await.unwrap();
    assert!(is_lost(database, Cursor::default()).await);
    assert!(is_lost(database, first).await);
    assert_eq!(
        database.changes(second).await,
        [KeyChange::Put(Box::new(third))]
    );
    let filled = database.end_of_log().await;
    assert_eq!(database.changes(filled).await, []);
}

pub async fn a_log_trimmed_to_nothing_is_lost_only_to_those_behind(database: &Database) {
    let (_, before) = database.store.insert(&new_key()).await.unwrap();
    let (_, end) = database.store.insert(&new_key()).await.unwrap();
    database.by_hand("DELETE FROM key_changes").await;
    assert!(is_lost(database, before).await);
    assert_eq!(database.changes(end).await, []);
    assert_eq!(database.end_of_log().await, end);
    let (key, _) = database.store.insert(&new_key()).await.unwrap();
    assert_eq!(database.changes(end).await, [KeyChange::Put(Box::new(key))]);
    assert!(is_lost(database, before).await);
}

pub async fn a_cursor_past_the_end_is_lost(database: &Database) {
    let (_, end) = database.store.insert(&new_key()).await.unwrap();
    assert!(is_lost(database, Cursor::new(end.seq() + 1)).await);
    assert!(is_lost(database, Cursor::new(u64::MAX)).await);
}

pub async fn a_gap_in_the_log_is_lost(database: &Database) {
    let mut cursors = Vec::new();
    for _ in 0..3 {
        cursors.push(database.store.insert(&new_key()).await.unwrap().1);
    }
    let gap = format!("DELETE FROM key_changes WHERE seq = {}", cursors[1].seq());
    database.by_hand(&gap).await;
    assert!(is_lost(database, cursors[0]).await);
    assert_eq!(database.changes(cursors[1]).await.len(), 1);
}

pub async fn old_entries_go_when_new_ones_are_written(database: &Database) {
    database.insert_many(500).await;
    database
        .by_hand("UPDATE key_changes SET at = at - 700000")
        .await;
    let young = "SELECT count(*) FROM key_changes";
    let mut left = database.number(young).await;
    assert_eq!(left, 500);
    for _ in 0..10 {
        database.store.insert(&new_key()).await.unwrap();
        let now = database.number(young).await;
        assert!(now < left || now <= 10, "{left} entries became {now}");
        left = now;
    }
    assert_eq!(left, 10);
    // What is left has no gap.
    let end = database.end_of_log().await;
    let oldest = Cursor::new(end.seq() - 10);
    assert_eq!(database.changes(oldest).await.len(), 10);
    assert!(is_lost(database, Cursor::new(oldest.seq() - 1)).await);
}

pub async fn a_refused_change_is_not_logged(database: &Database) {
    let (_, end) = database.store.insert(&new_key_named("ci")).await.unwrap();
    let refused = database.store.insert(&new_key_named("ci")).await;
    assert!(matches!(refused, Err(StoreError::NameTaken(_))));
    assert_eq!(database.end_of_log().await, end);
}

pub async fn the_time_is_the_database_s(database: &Database) {
    let now = database.now().await;
    let told = database.read_changes(Cursor::default()).await.database_time;
    let filled = database.store.snapshot(&mut |_| {}).await.unwrap();
    for time in [told, filled.database_time] {
        assert!((now.as_secs()..now.as_secs() + 60).contains(&time.as_secs()));
    }
    let digest = KeyDigest::of(b"nobody's");
    assert_eq!(database.store.find(&digest).await.unwrap(), None);
}
