//! Keys: made, found, listed, changed, deleted.

use std::collections::BTreeSet;

use keyward::key::{
    ApiKey, KeyCategory, KeyFilter, KeyId, KeySelector, KeyUpdate, ModelScope, NewApiKey,
    OldDigest, Operation, Rights, Rotation, TeamId, TeamRef, UnixTime,
};
use keyward::store::{Cursor, KeyChange, StoreError};
use uuid::Uuid;

use crate::support::store::{Database, name, new_key, new_key_named, new_secret};

const GRACE_SECS: u64 = 3600;

fn rotation(grace_secs: u64) -> KeyUpdate {
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

pub async fn keys_are_listed_newest_first(database: &Database) {
    let store = &database.store;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(store.insert(&new_key()).await.unwrap().0.id);
    }
    let oldest = ids.pop().unwrap();
    let statement = format!("UPDATE api_keys SET created_at = 1000 WHERE id = '{oldest}'");
    database.by_hand(&statement).await;
    ids.reverse();
    ids.push(oldest);
    let listed = store.list(&KeyFilter::default()).await.unwrap();
    let listed: Vec<KeyId> = listed.iter().map(|key| key.id).collect();
    assert_eq!(listed, ids);
}

pub async fn a_list_shows_what_its_filter_lets_through(database: &Database) {
    let store = &database.store;
    let team = store.insert_team(&name("research")).await.unwrap().id;
    let mut keys = Vec::new();
    for category in [KeyCategory::Personal, KeyCategory::WorkspaceInvoke] {
        for owner in ["ada", "bob"] {
            for team in [None, Some(team)] {
                let key = NewApiKey {
                    category: category.clone(),
                    owner: Some(name(owner)),
                    team,
                    ..new_key()
                };
                keys.push(store.insert(&key).await.unwrap().0);
            }
        }
    }
    let category = Some(KeyCategory::Personal);
    let owner = Some(name("ada"));
    let all = KeyFilter::default();
    let filters = [
        (all.clone(), 8),
        (
            KeyFilter {
                category: category.clone(),
                ..all.clone()
            },
            4,
        ),
        (
            KeyFilter {
                owner: owner.clone(),
                ..all.clone()
            },
            4,
        ),
        (
            KeyFilter {
                team: Some(team),
                ..all.clone()
            },
            4,
        ),
        (
            KeyFilter {
                category,
                owner,
                team: Some(team),
            },
            1,
        ),
        (
            KeyFilter {
                owner: Some(name("eve")),
                ..all
            },
            0,
        ),
    ];
    for (filter, count) in filters {
        let listed = store.list(&filter).await.unwrap();
        assert_eq!(listed.len(), count, "{filter:?}");
        let lets_through = |key: &&ApiKey| {
            let asked = filter.category.as_ref();
            asked.is_none_or(|category| key.category == *category)
                && filter
                    .owner
                    .as_ref()
                    .is_none_or(|owner| key.owner.as_ref() == Some(owner))
                && filter
                    .team
                    .is_none_or(|team| key.team.as_ref().is_some_and(|is| is.id == team))
        };
        let expected: Vec<&ApiKey> = keys.iter().rev().filter(lets_through).collect();
        assert_eq!(listed.iter().collect::<Vec<_>>(), expected);
    }
}

/// Whatever comes and goes meanwhile: what was there all the time is told once.
pub async fn a_list_is_told_in_pages(database: &Database) {
    database.insert_many(25).await;
    // Many of one second, some of others.
    let older =
        "UPDATE api_keys SET created_at = created_at - 10 WHERE prefix IN ('many_1', 'many_2')";
    database.by_hand(older).await;
    let store = &database.store;
    let filter = KeyFilter {
        category: Some(KeyCategory::WorkspaceInvoke),
        ..KeyFilter::default()
    };
    let whole = store.list(&filter).await.unwrap();
    assert_eq!(whole.len(), 25);
    let mut told = Vec::new();
    let mut after = None;
    loop {
        let page = store.list_page(&filter, after.as_ref(), 7).await.unwrap();
        assert!(page.keys.len() <= 7 && page.set_aside.is_empty());
        told.extend(page.keys);
        // Newer than all that was told.
        store.insert(&new_key()).await.unwrap();
        match page.next {
            Some(next) => after = Some(next.to_string().parse().unwrap()),
            None => break,
        }
    }
    assert_eq!(told, whole);
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

pub async fn a_fill_gives_every_live_key_once(database: &Database) {
    database.insert_many(2500).await;
    let (key, _) = database.store.insert(&new_key()).await.unwrap();
    let (_, end) = database
        .store
        .delete(&KeySelector::Id(key.id))
        .await
        .unwrap();
    let mut ids = BTreeSet::new();
    let mut given = 0;
    let mut take = |key: ApiKey| {
        given += 1;
        ids.insert(key.id);
    };
    let filled = database.store.snapshot(&mut take).await.unwrap();
    assert_eq!((given, ids.len()), (2500, 2500));
    assert_eq!((filled.cursor, filled.set_aside.len()), (end, 0));
}
