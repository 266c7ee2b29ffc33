//! The bell: it may ring for nothing, and never stays silent when something has changed.

use std::time::Duration;

use keyward::store::KeyChange;

use crate::support::store::{Database, in_time, new_key};

pub async fn the_bell_rings_once_to_begin_with(database: &Database) {
    in_time(database.store.changed()).await.unwrap();
    let second = tokio::time::timeout(Duration::from_millis(200), database.store.changed()).await;
    assert!(second.is_err(), "it rang with nothing changed");
}

pub async fn the_bell_rings_for_a_change_of_our_own(database: &Database) {
    in_time(database.store.changed()).await.unwrap();
    let key = new_key();
    let (rung, inserted) = tokio::join!(
        in_time(database.store.changed()),
        database.store.insert(&key),
    );
    rung.unwrap();
    inserted.unwrap();
}

pub async fn the_bell_rings_for_a_change_by_hand(database: &Database) {
    let (key, cursor) = database.store.insert(&new_key()).await.unwrap();
    in_time(database.store.changed()).await.unwrap();
    let (rung, ()) = tokio::join!(
        in_time(database.store.changed()),
        database.by_hand("DELETE FROM api_keys"),
    );
    rung.unwrap();
    assert_eq!(
        database.changes(cursor).await,
        [KeyChange::Gone(key.digest)]
    );
}

pub async fn a_ring_nobody_waited_for_is_not_lost(database: &Database) {
    in_time(database.store.changed()).await.unwrap();
    database.store.insert(&new_key()).await.unwrap();
    database.by_hand("DELETE FROM api_keys").await;
    in_time(database.store.changed()).await.unwrap();
}

pub async fn a_wait_that_was_given_up_loses_no_ring(database: &Database) {
    database.store.insert(&new_key()).await.unwrap();
    in_time(database.store.changed()).await.unwrap();
    for round in 0..30 {
        // Given up at another point each time: while it looks, and while it sleeps.
        let patience = Duration::from_micros(200 * round);
        let given_up = tokio::time::timeout(patience, database.store.changed()).await;
        assert!(given_up.is_err());
        let touch = "UPDATE api_keys SET created_at = created_at + 1";
        database.by_hand(touch).await;
        in_time(database.store.changed()).await.unwrap();
    }
}

pub async fn closing_ends_the_wait(database: &Database) {
    in_time(database.store.changed()).await.unwrap();
    let (waited, ()) = in_time(async {
        tokio::join!(database.store.changed(), async {
            tokio::task::yield_now().await;
            database.store.close().await;
        })
    })
    .await;
    assert!(waited.is_err());
}
