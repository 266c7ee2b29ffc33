//! Rows that anybody may have written, and that are no keys of ours.

use keyward::key::{KeyCategory, KeyFilter, KeySelector, ModelScope};
use keyward::store::{KeyChange, StoreError};

use crate::support::store::{Database, new_key};

pub async fn a_row_that_is_no_key_is_set_aside_and_the_others_work(database: &Database) {
    let store = &database.store;
    let (good, _) = store.insert(&new_key()).await.unwrap();
    let only_good = std::slice::from_ref(&good);
    let broken = [
        "id = 'no uuid'",
        "id = upper(id)",
        "id = '\u{1b}[31m' || id",
        "prefix = 'a.b'",
        "prefix = ''",
        "name = 'a\nb'",
        "name = ''",
        "operation = 'unknown'",
        "scope = 'no json'",
        "scope = '{\"a\": 1}'",
        "scope = '[\"a*b\"]'",
        "scope = '[1]'",
        "org_id = 'x'",
        "team_id = 'x'",
        "team_id = '019f0000-0000-7000-8000-000000000000'",
        "owner = '\u{7}'",
        "created_at = -1",
        "expires_at = -1",
        "disabled_at = -5",
        "last_used_at = -1",
        "old_digest = randomblob(32), old_until = -1",
    ];
    // Postgres stores nothing as text that is none.
    let no_utf_8 = database
        .postgres
        .is_none()
        .then_some("name = CAST(x'ff' AS TEXT)");
    for broken in broken.into_iter().chain(no_utf_8) {
        let (key, _) = store.insert(&new_key()).await.unwrap();
        let statement = format!("UPDATE api_keys SET {broken} WHERE id = '{}'", key.id);
        database.by_hand(&statement).await;
        assert_eq!(store.find(&key.digest).await.unwrap(), None, "{broken}");
        assert_eq!(
            store.list(&KeyFilter::default()).await.unwrap(),
            only_good,
            "{broken}"
        );
        let mut filled = Vec::new();
        let end = store.snapshot(&mut |key| filled.push(key)).await.unwrap();
        assert_eq!(filled, only_good, "{broken}");
        assert_eq!(end.set_aside.len(), 1, "{broken}");
        let shown = &end.set_aside[0].id;
        assert!(
            !shown.is_empty() && !shown.contains(char::is_control),
            "{shown:?}"
        );
        for which in [KeySelector::Id(key.id), KeySelector::Prefix(key.prefix)] {
            let refused = store.delete(&which).await;
            assert!(matches!(refused, Err(StoreError::NoSuchKey)), "{broken}");
        }
        let found = store.find(&good.digest).await.unwrap();
        assert_eq!(found.as_ref(), Some(&good));
        let statement = format!("DELETE FROM api_keys WHERE id <> '{}'", good.id);
        database.by_hand(&statement).await;
    }
}

pub async fn an_unknown_category_is_kept_and_shown(database: &Database) {
    let (key, before) = database.store.insert(&new_key()).await.unwrap();
    database
        .by_hand("UPDATE api_keys SET category = 'WORKSPACE_FUTURE'")
        .await;
    let found = database.store.find(&key.digest).await.unwrap().unwrap();
    assert_eq!(
        found.category,
        KeyCategory::Unknown("WORKSPACE_FUTURE".into())
    );
    let told = database.changes(before).await;
    assert_eq!(told, [KeyChange::Put(Box::new(found.clone()))]);
    let (deleted, _) = database
        .store
        .delete(&KeySelector::Id(key.id))
        .await
        .unwrap();
    assert_eq!(deleted, found);
}

pub async fn a_key_that_becomes_unreadable_is_gone(database: &Database) {
    let (key, before) = database.store.insert(&new_key()).await.unwrap();
    database
        .by_hand("UPDATE api_keys SET scope = 'no json'")
        .await;
    let batch = database.read_changes(before).await;
    assert_eq!(batch.changes, [KeyChange::Gone(key.digest)]);
    let set_aside: Vec<_> = batch.set_aside.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(set_aside, [key.id.to_string()]);

    database.by_hand("UPDATE api_keys SET scope = NULL").await;
    let told = database.changes(batch.cursor).await;
    assert_eq!(told, [KeyChange::Put(Box::new(key))]);
}

pub async fn an_empty_scope_is_read_as_it_is(database: &Database) {
    let (key, _) = database.store.insert(&new_key()).await.unwrap();
    database.by_hand("UPDATE api_keys SET scope = '[]'").await;
    let found = database.store.find(&key.digest).await.unwrap().unwrap();
    assert_eq!(found.scope, ModelScope::Only([].into()));
}
