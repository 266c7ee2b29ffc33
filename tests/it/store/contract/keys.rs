//! Keys: made, found, changed, deleted.

use keyward::key::{
    ApiKey, KeyCategory, KeyFilter, KeyId, KeySelector, KeyUpdate, ModelScope, NewApiKey,
    Operation, Rights, Rotation, TeamId, TeamRef, UnixTime,
};
use keyward::store::{Cursor, KeyChange, StoreError};
use uuid::Uuid;

use super::rotation::{GRACE_SECS, rotation};
use crate::support::store::{Database, name, new_key, new_key_named, new_secret};

fn scope(models: &[&str]) -> ModelScope {
    ModelScope::from_request(Some(models)).unwrap()
}

pub async fn a_key_is_stored_as_it_was_given(database: &Database) {
    let store = &database.store;
    let given = NewApiKey {
        name: Some(name("prod · “zürich” '; DROP TABLE api_keys; --")),
        category: KeyCategory::WorkspaceExportMetrics,
        operation: Some(Operation::ReadRender),
        scope: scope(&["llama-3", "meta/*"]),
        owner: Some(name("ada")),
        expires_at: Some(UnixTime::from_secs(4_000_000_000)),
        ends_calls: true,
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
        team: Some(TeamRef {
            id: default_team.id,
            name: default_team.name,
        }),
        owner: given.owner,
        created_at: database.now().await,
        expires_at: given.expires_at,
        disabled_at: None,
        ends_calls: given.ends_calls,
        last_used_at: None,
    };
    assert!(expected.created_at.since(stored.created_at).as_secs() < 60);
    let expected = ApiKey {
        created_at: stored.created_at,
        ..expected
    };
    assert_eq!(stored, expected);
    assert_eq!(cursor, database.end_of_log().await);
    for which in [
        KeySelector::Id(stored.id),
        KeySelector::Prefix(stored.prefix.clone()),
    ] {
        let found = store.get(&which).await.unwrap();
        assert_eq!(found.as_ref(), Some(&expected));
    }
    let found = store.find(&stored.digest).await.unwrap();
    assert_eq!(found.as_ref(), Some(&expected));
    let changes = database.changes(Cursor::default()).await;
    assert_eq!(changes, [KeyChange::Put(Box::new(expected.clone()))]);
    let only = [expected];
    assert_eq!(store.list(&KeyFilter::default()).await.unwrap(), only);
    assert_eq!(database.fill().await, only);
}

pub async fn a_deleted_key_is_nowhere_and_cannot_be_deleted_again(database: &Database) {
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
        let refused = store.delete(&again).await;
        assert!(matches!(refused, Err(StoreError::NoSuchKey)));
    }
    assert_eq!(database.end_of_log().await, cursor);
    let tombstones = "SELECT count(*) FROM api_keys WHERE deleted_at IS NOT NULL";
    assert_eq!(database.number(tombstones).await, 1);
}

/// What is asked, and what it makes of the key.
type Step = (KeyUpdate, fn(&mut ApiKey));

pub async fn what_an_update_does_not_name_stays(database: &Database) {
    let store = &database.store;
    let given = NewApiKey {
        scope: scope(&["llama-3"]),
        expires_at: Some(UnixTime::from_secs(4_000_000_000)),
        ..new_key_named("before")
    };
    let (mut key, _) = store.insert(&given).await.unwrap();
    let which = KeySelector::Id(key.id);
    let nothing = KeyUpdate::default();
    let (stored, mut cursor) = store.update(&which, &nothing).await.unwrap();
    assert_eq!(stored, key);

    let steps: [Step; 8] = [
        (
            KeyUpdate {
                name: Some(Some(name("after"))),
                ..KeyUpdate::default()
            },
            |key| key.name = Some(name("after")),
        ),
        (
            KeyUpdate {
                name: Some(None),
                ..KeyUpdate::default()
            },
            |key| key.name = None,
        ),
        (
            KeyUpdate {
                scope: Some(scope(&["a", "b*"])),
                ..KeyUpdate::default()
            },
            |key| key.scope = scope(&["a", "b*"]),
        ),
        (
            KeyUpdate {
                scope: Some(ModelScope::Every),
                ..KeyUpdate::default()
            },
            |key| key.scope = ModelScope::Every,
        ),
        (
            KeyUpdate {
                expires_at: Some(None),
                ..KeyUpdate::default()
            },
            |key| key.expires_at = None,
        ),
        (
            KeyUpdate {
                expires_at: Some(Some(UnixTime::from_secs(7))),
                ..KeyUpdate::default()
            },
            |key| key.expires_at = Some(UnixTime::from_secs(7)),
        ),
        (
            KeyUpdate {
                ends_calls: Some(true),
                ..KeyUpdate::default()
            },
            |key| key.ends_calls = true,
        ),
        (
            KeyUpdate {
                ends_calls: Some(false),
                ..KeyUpdate::default()
            },
            |key| key.ends_calls = false,
        ),
    ];
    for (update, expect) in steps {
        let before = cursor;
        expect(&mut key);
        let stored;
        (stored, cursor) = store.update(&which, &update).await.unwrap();
        assert_eq!(stored, key, "{update:?}");
        assert_eq!(cursor, database.end_of_log().await);
        let told = database.changes(before).await;
        assert_eq!(told, [KeyChange::Put(Box::new(stored))], "{update:?}");
    }
}

pub async fn a_key_can_be_switched_off_and_on(database: &Database) {
    let store = &database.store;
    let (key, _) = store.insert(&new_key()).await.unwrap();
    let which = KeySelector::Id(key.id);
    let switch = |enabled| KeyUpdate {
        enabled: Some(enabled),
        ..KeyUpdate::default()
    };
    let (off, _) = store.update(&which, &switch(false)).await.unwrap();
    assert!(off.disabled_at.is_some());

    let long_ago = "UPDATE api_keys SET disabled_at = 1000";
    database.by_hand(long_ago).await;
    let (still_off, _) = store.update(&which, &switch(false)).await.unwrap();
    assert_eq!(still_off.disabled_at, Some(UnixTime::from_secs(1000)));

    let (on, _) = store.update(&which, &switch(true)).await.unwrap();
    assert_eq!(on, key);
}

pub async fn a_key_can_get_another_category_and_team(database: &Database) {
    let store = &database.store;
    let team = store.insert_team(&name("research")).await.unwrap();
    let (mut key, before) = store.insert(&new_key()).await.unwrap();
    let change = KeyUpdate {
        category: Some(KeyCategory::Personal),
        operation: Some(Operation::Admin),
        team: Some(team.id),
        seen: Some(Rights::of(&key)),
        ..KeyUpdate::default()
    };
    let which = KeySelector::Id(key.id);
    let (changed, _) = store.update(&which, &change).await.unwrap();
    key.category = KeyCategory::Personal;
    key.operation = Some(Operation::Admin);
    key.team = Some(TeamRef {
        id: team.id,
        name: team.name,
    });
    assert_eq!(changed, key);
    let told = database.changes(before).await;
    assert_eq!(told, [KeyChange::Put(Box::new(key))]);
}

pub async fn an_update_to_no_team_of_the_organisation_is_refused(database: &Database) {
    let store = &database.store;
    let elsewhere = "0198c0de-0000-7000-8000-000000000001";
    database
        .by_hand(&format!(
            "INSERT INTO orgs (id) VALUES ('{elsewhere}');
             INSERT INTO teams (id, org_id, name) VALUES ('{elsewhere}', '{elsewhere}', 'elsewhere')"
        ))
        .await;
    let (key, before) = store.insert(&new_key()).await.unwrap();
    for team in [elsewhere.parse().unwrap(), TeamId::new(Uuid::now_v7())] {
        let change = KeyUpdate {
            name: Some(Some(name("after"))),
            team: Some(team),
            ..KeyUpdate::default()
        };
        let refused = store.update(&KeySelector::Id(key.id), &change).await;
        assert!(
            matches!(refused, Err(StoreError::NoSuchTeam)),
            "{refused:?}"
        );
    }
    assert_eq!(store.find(&key.digest).await.unwrap(), Some(key));
    assert!(database.changes(before).await.is_empty());
}

/// Whoever decided that it may be changed saw another key than it is now.
pub async fn a_key_that_may_do_something_else_by_now_is_not_changed(database: &Database) {
    let store = &database.store;
    let (key, _) = store.insert(&new_key()).await.unwrap();
    let which = KeySelector::Id(key.id);
    let rights = Rights::of(&key);
    let others = [
        Rights {
            category: KeyCategory::Personal,
            ..rights.clone()
        },
        Rights {
            scope: scope(&["m2"]),
            ..rights
        },
    ];
    for seen in others {
        let change = KeyUpdate {
            seen: Some(seen),
            ..rotation(GRACE_SECS)
        };
        let refused = store.update(&which, &change).await;
        assert!(
            matches!(refused, Err(StoreError::ChangedMeanwhile)),
            "{refused:?}"
        );
        assert_eq!(store.get(&which).await.unwrap().as_ref(), Some(&key));
    }
}

pub async fn an_update_of_no_live_key_is_refused(database: &Database) {
    let store = &database.store;
    let (key, _) = store.insert(&new_key()).await.unwrap();
    store.delete(&KeySelector::Id(key.id)).await.unwrap();
    for which in [
        KeySelector::Id(key.id),
        KeySelector::Prefix(key.prefix),
        KeySelector::Id(KeyId::new(Uuid::now_v7())),
    ] {
        let refused = store.update(&which, &rotation(GRACE_SECS)).await;
        assert!(matches!(refused, Err(StoreError::NoSuchKey)));
    }
}

pub async fn prefixes_and_texts_are_taken_for_ever(database: &Database) {
    let store = &database.store;
    let (key, _) = store.insert(&new_key()).await.unwrap();
    let which = KeySelector::Id(key.id);
    let (rotated, _) = store.update(&which, &rotation(GRACE_SECS)).await.unwrap();
    for deleted in [false, true] {
        if deleted {
            store.delete(&which).await.unwrap();
        }
        let same_prefix = NewApiKey {
            prefix: rotated.prefix.clone(),
            ..new_key()
        };
        let refused = store.insert(&same_prefix).await;
        assert!(
            matches!(refused, Err(StoreError::PrefixTaken(prefix)) if prefix == rotated.prefix)
        );
        for digest in [rotated.digest, key.digest] {
            let refused = store
                .insert(&NewApiKey {
                    digest,
                    ..new_key()
                })
                .await;
            assert!(
                matches!(refused, Err(StoreError::DigestTaken)),
                "{refused:?}"
            );
        }
    }
    let (other, _) = store.insert(&new_key()).await.unwrap();
    let taken = [
        (rotated.digest, new_secret().prefix()),
        (key.digest, new_secret().prefix()),
        (other.digest, new_secret().prefix()),
        (new_secret().digest(), rotated.prefix),
    ];
    for (digest, prefix) in taken {
        let rotate = Some(Rotation {
            digest,
            prefix,
            grace_secs: 1,
        });
        let change = KeyUpdate {
            rotate,
            ..KeyUpdate::default()
        };
        let refused = store.update(&KeySelector::Id(other.id), &change).await;
        let taken = matches!(
            refused,
            Err(StoreError::DigestTaken | StoreError::PrefixTaken(_))
        );
        assert!(taken, "{refused:?}");
    }
    let found = store.find(&other.digest).await.unwrap();
    assert_eq!(found, Some(other));
}

pub async fn the_later_moment_of_use_is_kept(database: &Database) {
    let store = &database.store;
    let (one, _) = store.insert(&new_key()).await.unwrap();
    let (two, _) = store.insert(&new_key()).await.unwrap();
    let at = UnixTime::from_secs;
    for (batch, expected) in [
        (vec![(one.id, at(50)), (two.id, at(60))], [50, 60]),
        (vec![(one.id, at(40)), (two.id, at(70))], [50, 70]),
        (
            vec![(two.id, at(90)), (one.id, at(51)), (two.id, at(80))],
            [51, 90],
        ),
    ] {
        store.record_last_used(&batch).await.unwrap();
        for (id, secs) in [one.id, two.id].into_iter().zip(expected) {
            let key = store.get(&KeySelector::Id(id)).await.unwrap().unwrap();
            assert_eq!(key.last_used_at, Some(at(secs)));
        }
    }
}

pub async fn moments_of_unknown_keys_and_no_moments_are_no_error(database: &Database) {
    let store = &database.store;
    store.record_last_used(&[]).await.unwrap();
    let (key, _) = store.insert(&new_key()).await.unwrap();
    let mut batch: Vec<_> = (0..5000)
        .map(|secs| (KeyId::new(Uuid::now_v7()), UnixTime::from_secs(secs)))
        .collect();
    batch.push((key.id, UnixTime::from_secs(9)));
    store.record_last_used(&batch).await.unwrap();
    let used = store.get(&KeySelector::Id(key.id)).await.unwrap();
    let used = used.and_then(|key| key.last_used_at);
    assert_eq!(used, Some(UnixTime::from_secs(9)));
}
