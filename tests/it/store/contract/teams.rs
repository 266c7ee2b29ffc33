//! The organisation, its teams, and the admin token.

use keyward::key::{KeyDigest, NewApiKey, TeamId};
use keyward::store::StoreError;
use uuid::Uuid;

use crate::support::store::{Database, name, new_key};

pub async fn one_organisation_and_one_default_team_are_there_from_the_start(database: &Database) {
    let store = &database.store;
    let org = store.org().await.unwrap();
    assert_eq!(store.org().await.unwrap(), org);
    assert_eq!(org.as_uuid().get_version_num(), 7);
    for team in ["zebra", "alpha"] {
        store.insert_team(&name(team)).await.unwrap();
    }
    let teams = store.teams().await.unwrap();
    let shown: Vec<_> = teams
        .iter()
        .map(|team| (team.name.as_str(), team.is_default))
        .collect();
    assert_eq!(
        shown,
        [("default", true), ("alpha", false), ("zebra", false)]
    );
    assert!(teams.iter().all(|team| team.org == org));
    let second = "UPDATE teams SET is_default = TRUE";
    assert!(database.try_by_hand(second).await.is_err());
}

pub async fn a_key_goes_to_the_team_it_names(database: &Database) {
    let team = database.store.insert_team(&name("research")).await.unwrap();
    let given = NewApiKey {
        team: Some(team.id),
        ..new_key()
    };
    let (key, _) = database.store.insert(&given).await.unwrap();
    let is = key.team.unwrap();
    assert_eq!((is.id, is.name), (team.id, team.name));
}

pub async fn a_key_for_no_team_is_refused(database: &Database) {
    let nowhere = TeamId::new(Uuid::now_v7());
    let given = NewApiKey {
        team: Some(nowhere),
        ..new_key()
    };
    let refused = database.store.insert(&given).await;
    assert!(matches!(refused, Err(StoreError::NoSuchTeam)));
    assert!(database.fill().await.is_empty());
}

pub async fn a_team_name_is_taken_once(database: &Database) {
    let store = &database.store;
    store.insert_team(&name("research")).await.unwrap();
    for taken in ["research", "default"] {
        let refused = store.insert_team(&name(taken)).await;
        assert!(
            matches!(&refused, Err(StoreError::TeamNameTaken(team)) if team.as_str() == taken),
            "{refused:?}"
        );
    }
    assert_eq!(store.teams().await.unwrap().len(), 2);
}

pub async fn the_admin_token_that_was_kept_first_stays(database: &Database) {
    let store = &database.store;
    let (first, second) = (KeyDigest::of(b"first"), KeyDigest::of(b"second"));
    assert_eq!(store.admin_token().await.unwrap(), None);
    assert_eq!(store.keep_admin_token(&first).await.unwrap(), first);
    assert_eq!(store.keep_admin_token(&second).await.unwrap(), first);
    assert_eq!(store.admin_token().await.unwrap(), Some(first));
}
