//! Names that people give.

use keyward::key::{KeyCategory, KeySelector, KeyUpdate, NewApiKey, TeamId};
use keyward::store::StoreError;

use crate::support::store::{Database, name, new_key, new_key_named};

fn is_taken<T: std::fmt::Debug>(refused: &Result<T, StoreError>, text: &str) -> bool {
    matches!(refused, Err(StoreError::NameTaken(taken)) if *taken == name(text))
}

fn in_team(text: &str, team: Option<TeamId>) -> NewApiKey {
    NewApiKey {
        team,
        ..new_key_named(text)
    }
}

fn personal(text: &str, owner: Option<&str>) -> NewApiKey {
    NewApiKey {
        category: KeyCategory::Personal,
        owner: owner.map(name),
        ..new_key_named(text)
    }
}

pub async fn a_name_is_taken_once_in_its_team(database: &Database) {
    let store = &database.store;
    let team = store.insert_team(&name("research")).await.unwrap().id;
    store.insert(&in_team("ci", None)).await.unwrap();
    store.insert(&in_team("ci", Some(team))).await.unwrap();
    store.insert(&in_team("CI", None)).await.unwrap();
    for team in [None, Some(team)] {
        let refused = store.insert(&in_team("ci", team)).await;
        assert!(is_taken(&refused, "ci"), "{refused:?}");
    }
    let other_category = NewApiKey {
        category: KeyCategory::WorkspaceManageAll,
        ..new_key_named("ci")
    };
    let refused = store.insert(&other_category).await;
    assert!(is_taken(&refused, "ci"), "{refused:?}");
}

pub async fn a_name_of_a_personal_key_is_taken_once_for_its_owner(database: &Database) {
    let store = &database.store;
    store.insert(&new_key_named("laptop")).await.unwrap();
    for owner in [None, Some("ada"), Some("bob")] {
        let key = personal("laptop", owner);
        store.insert(&key).await.unwrap();
        let refused = store.insert(&personal("laptop", owner)).await;
        assert!(is_taken(&refused, "laptop"), "{owner:?}: {refused:?}");
    }
}

pub async fn unnamed_keys_are_exempt(database: &Database) {
    for _ in 0..3 {
        database.store.insert(&new_key()).await.unwrap();
    }
    assert_eq!(database.fill().await.len(), 3);
}

pub async fn a_deleted_key_gives_its_name_back(database: &Database) {
    let store = &database.store;
    let (key, _) = store.insert(&new_key_named("ci")).await.unwrap();
    store.delete(&KeySelector::Id(key.id)).await.unwrap();
    store.insert(&new_key_named("ci")).await.unwrap();
}

pub async fn a_refused_rename_changes_nothing(database: &Database) {
    let store = &database.store;
    store.insert(&new_key_named("ci")).await.unwrap();
    let (key, end) = store.insert(&new_key_named("cd")).await.unwrap();
    let rename = KeyUpdate {
        name: Some(Some(name("ci"))),
        enabled: Some(false),
        ..KeyUpdate::default()
    };
    let which = KeySelector::Id(key.id);
    let refused = store.update(&which, &rename).await;
    assert!(is_taken(&refused, "ci"), "{refused:?}");
    assert_eq!(store.get(&which).await.unwrap(), Some(key));
    assert_eq!(database.end_of_log().await, end);
}
