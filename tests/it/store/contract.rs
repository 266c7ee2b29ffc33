//! What any key database must do: one suite, every database.

use std::sync::Arc;

use keyward::key::{
    ApiKey, KeyCategory, KeyFilter, KeySelector, ModelScope, NewApiKey, Operation, UnixTime,
};
use keyward::store::{Cursor, KeyChange, StoreError};

use crate::support::store::{Database, in_time, name, new_key};

/// The databases, a line each, and what holds for each of them.
macro_rules! suite {
    ($($test:ident),+ $(,)?) => {
        suite! { on sqlite: $($test),+ }
    };
    (on $database:ident: $($test:ident),+) => {
        mod $database {
            use super::Database;

            $(#[tokio::test]
            async fn $test() {
                super::$test(&Database::$database().await).await;
            })+
        }
    };
}

suite! {
    a_key_is_stored_as_it_was_given,
    a_deleted_key_is_nowhere_and_cannot_be_deleted_again,
    the_bell_rings_for_a_change_by_hand,
}

async fn a_key_is_stored_as_it_was_given(database: &Database) {
    let store = &database.store;
    let given = NewApiKey {
        name: Some(name("prod · “zürich” '; DROP TABLE api_keys; --")),
        category: KeyCategory::WorkspaceExportMetrics,
        operation: Some(Operation::ReadRender),
        scope: ModelScope::from_request(Some(&["llama-3", "meta/*"])).unwrap(),
        owner: Some(name("ada")),
        expires_at: Some(UnixTime::from_secs(4_000_000_000)),
        ..new_key()
    };
    let (stored, cursor) = store.insert(&given).await.unwrap();
    let default_team = store.teams().await.unwrap().remove(0);
    let expected = ApiKey {
        id: given.id,
        prefix: given.prefix,
        digest: given.digest,
        old: None,
        name: given.name,
        category: given.category,
        operation: given.operation,
        scope: given.scope,
        org: store.org().await.unwrap(),
        team: Some(keyward::key::TeamRef {
            id: default_team.id,
            name: default_team.name,
        }),
        owner: given.owner,
        created_at: stored.created_at,
        expires_at: given.expires_at,
        disabled_at: None,
        last_used_at: None,
    };
    assert_eq!(stored, expected);
    assert_eq!(cursor, database.end_of_log().await);
    assert_eq!(
        store.find(&stored.digest).await.unwrap(),
        Some(expected.clone())
    );
    assert_eq!(
        store.get(&KeySelector::Id(stored.id)).await.unwrap(),
        Some(expected.clone())
    );
    let changes = database.changes(Cursor::default()).await;
    assert_eq!(changes, [KeyChange::Put(Box::new(expected.clone()))]);
    let only = [expected];
    assert_eq!(store.list(&KeyFilter::default()).await.unwrap(), only);
    assert_eq!(database.fill().await, only);
}

async fn a_deleted_key_is_nowhere_and_cannot_be_deleted_again(database: &Database) {
    let store = &database.store;
    let (key, before) = store.insert(&new_key()).await.unwrap();
    let by_prefix = KeySelector::Prefix(key.prefix.clone());
    let (deleted, cursor) = store.delete(&by_prefix).await.unwrap();
    assert_eq!(deleted, key);
    assert_eq!(cursor, database.end_of_log().await);
    assert_eq!(
        database.changes(before).await,
        [KeyChange::Gone(key.digest)]
    );
    assert_eq!(store.find(&key.digest).await.unwrap(), None);
    assert_eq!(store.get(&by_prefix).await.unwrap(), None);
    assert!(store.list(&KeyFilter::default()).await.unwrap().is_empty());
    assert!(database.fill().await.is_empty());
    for again in [KeySelector::Id(key.id), by_prefix] {
        assert!(matches!(
            store.delete(&again).await,
            Err(StoreError::NoSuchKey)
        ));
    }
    assert_eq!(database.end_of_log().await, cursor);
}

async fn the_bell_rings_for_a_change_by_hand(database: &Database) {
    let (key, cursor) = database.store.insert(&new_key()).await.unwrap();
    in_time(database.store.changed()).await.unwrap();
    let waiting = Arc::clone(&database.store);
    let rung = async move { waiting.changed().await };
    let ((), rung) = tokio::join!(
        async {
            let statement = format!("DELETE FROM api_keys WHERE id = '{}'", key.id);
            database.by_hand(&statement).await;
        },
        in_time(rung),
    );
    rung.unwrap();
    assert_eq!(
        database.changes(cursor).await,
        [KeyChange::Gone(key.digest)]
    );
}
