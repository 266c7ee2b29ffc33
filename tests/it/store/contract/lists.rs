//! Keys, listed and read for a fill.

use std::collections::BTreeSet;

use keyward::key::{
    ApiKey, KeyCategory, KeyFilter, KeyId, KeySelector, KeyUpdate, ModelScope, NewApiKey,
    Operation, UnixTime,
};

use super::rotation::{GRACE_SECS, rotation};
use crate::support::store::{Database, name, new_key};

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

/// As a look-up of it tells it: a fill may read a whole page in another way.
pub async fn a_fill_tells_each_key_as_it_is(database: &Database) {
    let store = &database.store;
    let names = [
        "\"quoted\" \\ \\u0041",
        "prod · “zürich” 🚀",
        "[null]",
        "%00",
    ];
    for (place, text) in names.into_iter().enumerate() {
        let given = NewApiKey {
            name: Some(name(text)),
            owner: (place % 2 == 0).then(|| name(text)),
            operation: (place == 1).then_some(Operation::ReadRender),
            scope: ModelScope::from_request(Some(&["llama-3", text])).unwrap(),
            expires_at: (place == 2).then(|| UnixTime::from_secs(4_000_000_000)),
            ends_calls: place == 3,
            ..new_key()
        };
        store.insert(&given).await.unwrap();
    }
    let (rotated, _) = store.insert(&new_key()).await.unwrap();
    let which = KeySelector::Id(rotated.id);
    store.update(&which, &rotation(GRACE_SECS)).await.unwrap();
    let off = KeyUpdate {
        enabled: Some(false),
        ..KeyUpdate::default()
    };
    store.update(&which, &off).await.unwrap();
    let used = [(rotated.id, UnixTime::from_secs(9))];
    store.record_last_used(&used).await.unwrap();

    let filled = database.fill().await;
    assert_eq!(filled.len(), names.len() + 1);
    for key in filled {
        let told = store.get(&KeySelector::Id(key.id)).await.unwrap();
        assert_eq!(Some(key), told);
    }
}
