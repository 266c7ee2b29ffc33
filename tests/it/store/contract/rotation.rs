//! Keys that get a new text.

use keyward::key::{ApiKey, KeySelector, KeyUpdate, OldDigest, Rotation};
use keyward::store::KeyChange;

use crate::support::store::{Database, new_key, new_secret};

pub const GRACE_SECS: u64 = 3600;

pub fn rotation(grace_secs: u64) -> KeyUpdate {
    let secret = new_secret();
    KeyUpdate {
        rotate: Some(Rotation {
            digest: secret.digest(),
            prefix: secret.prefix(),
            grace_secs,
        }),
        ..KeyUpdate::default()
    }
}

pub async fn the_old_text_works_until_its_grace_is_over(database: &Database) {
    let store = &database.store;
    let (key, before) = store.insert(&new_key()).await.unwrap();
    let change = rotation(GRACE_SECS);
    let (rotated, cursor) = store
        .update(&KeySelector::Id(key.id), &change)
        .await
        .unwrap();
    let new = change.rotate.unwrap();
    let until = rotated.old.map(|old| old.until).unwrap();
    let grace = until.since(database.now().await).as_secs();
    assert!((GRACE_SECS - 60..=GRACE_SECS).contains(&grace), "{grace}");
    let old = Some(OldDigest {
        digest: key.digest,
        until,
    });
    let (digest, prefix) = (new.digest, new.prefix);
    assert_eq!(
        rotated,
        ApiKey {
            digest,
            prefix,
            old,
            ..key.clone()
        }
    );
    let told = database.changes(before).await;
    assert_eq!(told, [KeyChange::Put(Box::new(rotated.clone()))]);
    for digest in [key.digest, new.digest] {
        let found = store.find(&digest).await.unwrap();
        assert_eq!(found.as_ref(), Some(&rotated));
    }

    database
        .by_hand("UPDATE api_keys SET old_until = 1000")
        .await;
    assert_eq!(store.find(&key.digest).await.unwrap(), None);
    assert!(store.find(&new.digest).await.unwrap().is_some());
    let told = database.changes(cursor).await;
    assert!(told.contains(&KeyChange::Gone(key.digest)), "{told:?}");
    assert_eq!(told.len(), 2);
}

pub async fn a_rotation_without_grace_ends_the_old_text_at_once(database: &Database) {
    let store = &database.store;
    let (key, before) = store.insert(&new_key()).await.unwrap();
    let which = KeySelector::Id(key.id);
    let (rotated, _) = store.update(&which, &rotation(0)).await.unwrap();
    assert_eq!(rotated.old, None);
    assert_eq!(store.find(&key.digest).await.unwrap(), None);
    let told = database.changes(before).await;
    assert!(told.contains(&KeyChange::Gone(key.digest)), "{told:?}");
    assert!(
        told.contains(&KeyChange::Put(Box::new(rotated))),
        "{told:?}"
    );
}

pub async fn a_second_rotation_ends_the_first_text(database: &Database) {
    let store = &database.store;
    let (first, _) = store.insert(&new_key()).await.unwrap();
    let which = KeySelector::Id(first.id);
    let (second, before) = store.update(&which, &rotation(GRACE_SECS)).await.unwrap();
    let (third, _) = store.update(&which, &rotation(GRACE_SECS)).await.unwrap();
    assert_eq!(third.old.map(|old| old.digest), Some(second.digest));
    assert_eq!(store.find(&first.digest).await.unwrap(), None);
    assert!(store.find(&second.digest).await.unwrap().is_some());
    let told = database.changes(before).await;
    assert!(told.contains(&KeyChange::Gone(first.digest)), "{told:?}");
}

pub async fn the_longest_grace_does_not_overflow(database: &Database) {
    let (key, _) = database.store.insert(&new_key()).await.unwrap();
    let which = KeySelector::Id(key.id);
    let update = rotation(u64::MAX);
    let (rotated, _) = database.store.update(&which, &update).await.unwrap();
    let grace = rotated.old.unwrap().until.since(database.now().await);
    assert!(grace.as_secs() > 100 * 365 * 86_400);
}
