//! Keys that were made elsewhere, and all keys page by page.

use keyward::key::{
    ImportedKey, KeyCategory, KeyDigest, KeyFilter, KeyId, KeySelector, ModelScope, Name,
    OldDigest, Operation, TeamId, UnixTime,
};
use keyward::store::{Conflict, Import, Imported, KeyChange, OnConflict, PageMark, StoreError};
use uuid::Uuid;

use crate::support::store::{Database, name, new_key, new_key_named, new_secret};

async fn default_team(database: &Database) -> TeamId {
    database.store.teams().await.unwrap().remove(0).id
}

/// A key of the default team with the foreign text `text`, and the prefix `text`.
async fn foreign(database: &Database, text: &str) -> ImportedKey {
    ImportedKey {
        id: None,
        prefix: text.parse().unwrap(),
        digest: KeyDigest::of(format!("text of {text}").as_bytes()),
        old: None,
        name: None,
        category: KeyCategory::WorkspaceInvoke,
        operation: None,
        scope: ModelScope::Every,
        team: default_team(database).await,
        owner: None,
        created_at: None,
        expires_at: None,
        disabled_at: None,
        ends_calls: false,
        last_used_at: None,
    }
}

async fn import(database: &Database, keys: &[ImportedKey], on_conflict: OnConflict) -> Imported {
    let import = Import {
        keys: keys.to_vec(),
        on_conflict,
        dry_run: false,
        by: None,
    };
    database.store.import(&import).await.unwrap()
}

async fn stored(database: &Database) -> Vec<String> {
    let mut keys: Vec<String> = database
        .fill()
        .await
        .iter()
        .map(|key| key.prefix.to_string())
        .collect();
    keys.sort_unstable();
    keys
}

pub async fn an_imported_key_is_stored_as_it_was_given(database: &Database) {
    let store = &database.store;
    let team = store.insert_team(&name("ops")).await.unwrap();
    let given = ImportedKey {
        id: Some(KeyId::new(Uuid::from_u128(7))),
        old: Some(OldDigest {
            digest: KeyDigest::of(b"before"),
            until: UnixTime::from_secs(4_000_000_000),
        }),
        name: Some(name("prod · “zürich” '; DROP TABLE api_keys; --")),
        category: KeyCategory::WorkspaceExportMetrics,
        operation: Some(Operation::ReadRender),
        scope: ModelScope::from_request(Some(&["llama-3", "meta/*", "a \"b\""])).unwrap(),
        team: team.id,
        owner: Some(name("ada")),
        created_at: Some(UnixTime::from_secs(1)),
        expires_at: Some(UnixTime::from_secs(4_000_000_001)),
        disabled_at: Some(UnixTime::from_secs(3)),
        ends_calls: true,
        last_used_at: Some(UnixTime::from_secs(2)),
        ..foreign(database, "sk-full").await
    };
    let before = database.end_of_log().await;
    let imported = import(database, std::slice::from_ref(&given), OnConflict::Fail).await;
    assert_eq!((imported.stored, imported.there), (1, 0));
    assert_eq!(imported.written, Some(database.end_of_log().await));
    for digest in given.digests() {
        let key = store
            .find(&digest)
            .await
            .unwrap()
            .expect("it is known by both");
        let team = key.team.clone().expect("a team");
        let found = ImportedKey {
            id: Some(key.id),
            prefix: key.prefix,
            digest: key.digest,
            old: key.old,
            name: key.name,
            category: key.category,
            operation: key.operation,
            scope: key.scope,
            team: team.id,
            owner: key.owner,
            created_at: Some(key.created_at),
            expires_at: key.expires_at,
            disabled_at: key.disabled_at,
            ends_calls: key.ends_calls,
            last_used_at: key.last_used_at,
        };
        assert_eq!(found, given);
        assert_eq!(team.name, name("ops"));
        assert_eq!(key.org, store.org().await.unwrap());
    }
    let changes = database.changes(before).await;
    assert!(matches!(&changes[..], [KeyChange::Put(key)] if key.digest == given.digest));
}

pub async fn an_imported_key_without_a_moment_or_an_id_gets_them(database: &Database) {
    let key = foreign(database, "sk-bare").await;
    import(database, std::slice::from_ref(&key), OnConflict::Fail).await;
    let key = database.store.find(&key.digest).await.unwrap().unwrap();
    assert_eq!(key.id.as_uuid().get_version_num(), 7);
    assert!(database.now().await.since(key.created_at).as_secs() < 60);
    assert_eq!(
        (key.disabled_at, key.expires_at, key.last_used_at),
        (None, None, None)
    );
}

pub async fn an_import_done_again_changes_nothing(database: &Database) {
    let mut keys = vec![
        foreign(database, "sk-1").await,
        foreign(database, "sk-2").await,
    ];
    keys[0].name = Some(name("one"));
    import(database, &keys, OnConflict::Fail).await;
    let (before, end) = (database.fill().await, database.end_of_log().await);
    keys[1].owner = Some(name("somebody else"));
    let again = import(database, &keys, OnConflict::Fail).await;
    assert_eq!(
        again,
        Imported {
            there: 2,
            ..Imported::default()
        }
    );
    assert_eq!(database.fill().await, before);
    assert_eq!(database.end_of_log().await, end);
}

/// A database with a key for every way to be in the way, and keys that each run into one of them.
async fn with_conflicts(database: &Database) -> Vec<(ImportedKey, Conflict)> {
    let store = &database.store;
    let (named, _) = store.insert(&new_key_named("taken")).await.unwrap();
    let (deleted, _) = store.insert(&new_key()).await.unwrap();
    store.delete(&KeySelector::Id(deleted.id)).await.unwrap();
    let rotated = ImportedKey {
        old: Some(OldDigest {
            digest: KeyDigest::of(b"before"),
            until: UnixTime::from_secs(4_000_000_000),
        }),
        category: KeyCategory::Personal,
        name: Some(name("mine")),
        owner: Some(name("ada")),
        ..foreign(database, "rotated").await
    };
    import(database, std::slice::from_ref(&rotated), OnConflict::Fail).await;
    let key = async |text: &str| foreign(database, text).await;
    let with_digest = async |text: &str, digest| ImportedKey {
        digest,
        ..key(text).await
    };
    let with_prefix = async |text: &str, prefix| ImportedKey {
        prefix,
        ..key(text).await
    };
    let before = KeyDigest::of(b"before");
    let old = OldDigest {
        digest: rotated.digest,
        until: UnixTime::from_secs(5),
    };
    let again = with_digest("a", deleted.digest).await;
    let again = ImportedKey {
        prefix: deleted.prefix.clone(),
        ..again
    };
    let [
        mut id,
        mut in_team,
        mut rotated_into,
        mut rotated_too,
        mut of_ada,
    ] = [
        key("f").await,
        key("g").await,
        key("i").await,
        key("j").await,
        key("k").await,
    ];
    id.id = Some(named.id);
    in_team.name = named.name;
    rotated_into.old = Some(old);
    rotated_too.old = rotated.old;
    of_ada.category = KeyCategory::Personal;
    of_ada.name = rotated.name;
    of_ada.owner = rotated.owner;
    vec![
        (again, Conflict::Deleted),
        (with_digest("b", deleted.digest).await, Conflict::Digest),
        (with_prefix("c", deleted.prefix).await, Conflict::Prefix),
        (with_digest("d", named.digest).await, Conflict::Digest),
        (with_prefix("e", named.prefix).await, Conflict::Prefix),
        (id, Conflict::Id),
        (in_team, Conflict::Name),
        (with_digest("h", before).await, Conflict::Digest),
        (rotated_into, Conflict::Digest),
        (rotated_too, Conflict::Digest),
        (of_ada, Conflict::Name),
    ]
}

pub async fn every_conflict_is_told_and_stops_what_came_with_it(database: &Database) {
    let conflicts = with_conflicts(database).await;
    let before = stored(database).await;
    let mut keys: Vec<_> = conflicts.iter().map(|(key, _)| key.clone()).collect();
    keys.push(foreign(database, "good").await);
    let imported = import(database, &keys, OnConflict::Fail).await;
    let expected = conflicts.iter().enumerate();
    let expected: Vec<_> = expected
        .map(|(place, (_, conflict))| (place, *conflict))
        .collect();
    assert_eq!(imported.conflicts, expected);
    assert_eq!((imported.stored, imported.written), (0, None));
    assert_eq!(stored(database).await, before);
}

pub async fn what_is_in_conflict_can_be_left_out(database: &Database) {
    let conflicts = with_conflicts(database).await;
    let mut keys: Vec<_> = conflicts.iter().map(|(key, _)| key.clone()).collect();
    keys.insert(3, foreign(database, "good").await);
    let imported = import(database, &keys, OnConflict::Skip).await;
    assert_eq!(
        (imported.stored, imported.conflicts.len()),
        (1, conflicts.len())
    );
    assert!(stored(database).await.contains(&"good".to_owned()));
}

pub async fn a_name_is_given_up_only_where_it_alone_is_taken(database: &Database) {
    database
        .store
        .insert(&new_key_named("taken"))
        .await
        .unwrap();
    let named = |key: ImportedKey, text: &str| ImportedKey {
        name: Some(name(text)),
        ..key
    };
    let keys = [
        named(foreign(database, "a").await, "taken"),
        named(foreign(database, "b").await, "free"),
        named(foreign(database, "c").await, "free"),
    ];
    let imported = import(database, &keys, OnConflict::Unname).await;
    assert_eq!((imported.stored, imported.unnamed), (3, 2));
    let listed = database.store.list(&KeyFilter::default()).await.unwrap();
    let mut shown: Vec<_> = listed
        .iter()
        .map(|key| (key.prefix.as_str(), key.name.as_ref().map(Name::as_str)))
        .filter(|(prefix, _)| prefix.len() == 1)
        .collect();
    shown.sort_unstable();
    assert_eq!(shown, [("a", None), ("b", Some("free")), ("c", None)]);
    let other_prefix = ImportedKey {
        prefix: "d".parse().unwrap(),
        ..keys[0].clone()
    };
    let imported = import(database, &[other_prefix], OnConflict::Unname).await;
    assert_eq!(imported.conflicts, [(0, Conflict::Digest)]);
}

pub async fn of_two_keys_in_one_import_the_first_is_stored(database: &Database) {
    let first = ImportedKey {
        id: Some(KeyId::new(Uuid::from_u128(7))),
        name: Some(name("twice")),
        ..foreign(database, "first").await
    };
    let other = async |text: &str| foreign(database, text).await;
    let keys = [
        first.clone(),
        first.clone(),
        ImportedKey {
            digest: first.digest,
            ..other("a").await
        },
        ImportedKey {
            prefix: first.prefix.clone(),
            ..other("b").await
        },
        ImportedKey {
            id: first.id,
            ..other("c").await
        },
        ImportedKey {
            name: first.name.clone(),
            ..other("d").await
        },
        ImportedKey {
            category: KeyCategory::Personal,
            name: first.name.clone(),
            ..other("e").await
        },
    ];
    let imported = import(database, &keys, OnConflict::Skip).await;
    assert_eq!((imported.stored, imported.there), (2, 1));
    let conflicts = [
        Conflict::Digest,
        Conflict::Prefix,
        Conflict::Id,
        Conflict::Name,
    ];
    assert_eq!(imported.conflicts, (2..).zip(conflicts).collect::<Vec<_>>());
    assert_eq!(stored(database).await, ["e", "first"]);
}

pub async fn a_dry_run_says_the_same_and_writes_nothing(database: &Database) {
    let conflicts = with_conflicts(database).await;
    let mut keys: Vec<_> = conflicts.iter().map(|(key, _)| key.clone()).collect();
    keys.push(foreign(database, "good").await);
    let (before, end) = (stored(database).await, database.end_of_log().await);
    let import = Import {
        keys,
        on_conflict: OnConflict::Fail,
        dry_run: true,
        by: None,
    };
    let imported = database.store.import(&import).await.unwrap();
    assert_eq!(
        (imported.stored, imported.conflicts.len()),
        (1, conflicts.len())
    );
    assert_eq!(imported.written, None);
    assert_eq!(stored(database).await, before);
    assert_eq!(database.end_of_log().await, end);
}

pub async fn an_import_into_no_team_is_refused_whole(database: &Database) {
    let keys = vec![
        foreign(database, "good").await,
        ImportedKey {
            team: TeamId::new(Uuid::from_u128(9)),
            ..foreign(database, "lost").await
        },
    ];
    let import = Import {
        keys,
        on_conflict: OnConflict::Skip,
        dry_run: false,
        by: None,
    };
    let refused = database.store.import(&import).await;
    assert!(
        matches!(refused, Err(StoreError::NoSuchTeam)),
        "{refused:?}"
    );
    assert_eq!(stored(database).await, [""; 0]);
}

pub async fn an_import_of_nothing_is_nothing(database: &Database) {
    let imported = import(database, &[], OnConflict::Fail).await;
    assert_eq!(imported, Imported::default());
}

pub async fn pages_tell_every_live_key_once(database: &Database) {
    let first = database.store.page(None).await.unwrap();
    assert_eq!((first.keys.len(), first.next), (0, None));
    database.insert_many(2500).await;
    let (gone, _) = database.store.insert(&new_key()).await.unwrap();
    database
        .store
        .delete(&KeySelector::Id(gone.id))
        .await
        .unwrap();
    let (mut told, mut after, mut pages) = (Vec::new(), None::<PageMark>, 0);
    loop {
        let page = database.store.page(after.as_ref()).await.unwrap();
        told.extend(page.keys);
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let mut filled = database.fill().await;
    filled.sort_by_key(|key| key.id);
    assert!(pages > 1, "{pages}");
    assert_eq!(told, filled);
}

/// What a key of another program is told by, whatever its form: [`new_secret`]'s own would do as well.
pub async fn a_key_of_ours_can_be_imported_too(database: &Database) {
    let secret = new_secret();
    let key = ImportedKey {
        prefix: secret.prefix(),
        digest: secret.digest(),
        ..foreign(database, "x").await
    };
    import(database, &[key], OnConflict::Fail).await;
    let found = database.store.find(&secret.digest()).await.unwrap();
    assert_eq!(found.map(|key| key.prefix), Some(secret.prefix()));
}
