//! The audit trail: written with the change, and only ever added to.

use keyward::key::{
    Actor, ImportedKey, KeyDigest, KeySelector, KeyUpdate, ModelScope, NewApiKey, Origin, Rotation,
};
use keyward::store::{AuditEntry, Import, OnConflict, StoreError};

use crate::support::store::{Database, name, new_key, new_key_named, new_secret};

fn ada() -> Actor {
    Actor {
        name: name("ada"),
        key: Some("kw_aaaaaaaa".parse().unwrap()),
        from: Origin::Address("192.0.2.1".parse().unwrap()),
    }
}

async fn trail(database: &Database) -> Vec<AuditEntry> {
    let mut trail = database.store.audit(None, 100).await.unwrap();
    trail.reverse();
    trail
}

pub async fn a_change_leaves_who_when_from_where_and_what(database: &Database) {
    let store = &database.store;
    let by = Some(ada());
    let wanted = NewApiKey {
        by: by.clone(),
        ..new_key_named("first")
    };
    let (key, _) = store.insert(&wanted).await.unwrap();
    let which = KeySelector::Id(key.id);
    let change = KeyUpdate {
        name: Some(Some(name("second"))),
        scope: Some(ModelScope::from_request(Some(&["m"])).unwrap()),
        enabled: Some(false),
        ends_calls: Some(true),
        by: by.clone(),
        ..KeyUpdate::default()
    };
    store.update(&which, &change).await.unwrap();
    let secret = new_secret();
    let change = KeyUpdate {
        rotate: Some(Rotation {
            digest: secret.digest(),
            prefix: secret.prefix(),
            grace_secs: 60,
        }),
        by: by.clone(),
        ..KeyUpdate::default()
    };
    store.update(&which, &change).await.unwrap();
    store.delete_by(&which, by.as_ref()).await.unwrap();

    let trail = trail(database).await;
    let told: Vec<_> = trail
        .iter()
        .map(|entry| {
            (
                entry.action.as_str(),
                entry.key_prefix.as_deref().unwrap(),
                entry.changed.join(" "),
            )
        })
        .collect();
    let (old, new) = (key.prefix.as_str(), secret.prefix());
    assert_eq!(
        told,
        [
            ("create", old, String::new()),
            (
                "update",
                old,
                "name model_ids enabled ends_calls".to_owned()
            ),
            ("rotate", new.as_str(), "key prefix".to_owned()),
            ("delete", new.as_str(), String::new()),
        ]
    );
    let now = database.now().await;
    for entry in &trail {
        assert_eq!(entry.key_id, Some(key.id.to_string()));
        assert_eq!(entry.actor.as_deref(), Some("ada"));
        assert_eq!(entry.actor_prefix.as_deref(), Some("kw_aaaaaaaa"));
        assert_eq!(entry.source, "192.0.2.1");
        assert!(now.since(entry.at).as_secs() < 60);
    }
    assert!(trail.is_sorted_by_key(|entry| entry.seq));
}

pub async fn an_import_leaves_a_trace_of_each_key(database: &Database) {
    let team = database.store.teams().await.unwrap().remove(0).id;
    let key = |text: &str| ImportedKey {
        id: None,
        prefix: text.parse().unwrap(),
        digest: KeyDigest::of(text.as_bytes()),
        old: None,
        name: None,
        category: keyward::key::KeyCategory::WorkspaceInvoke,
        operation: None,
        scope: ModelScope::Every,
        team,
        owner: None,
        created_at: None,
        expires_at: None,
        disabled_at: None,
        ends_calls: false,
        last_used_at: None,
    };
    let mut import = Import {
        keys: vec![key("a"), key("b")],
        on_conflict: OnConflict::Skip,
        dry_run: true,
        by: Some(Actor {
            key: None,
            from: Origin::Database,
            ..ada()
        }),
    };
    database.store.import(&import).await.unwrap();
    assert_eq!(trail(database).await, []);
    import.dry_run = false;
    // Done again, nothing is stored, and nothing noted.
    for _ in 0..2 {
        database.store.import(&import).await.unwrap();
        let trail = trail(database).await;
        let told: Vec<_> = trail
            .iter()
            .map(|entry| (entry.action.as_str(), entry.key_prefix.as_deref().unwrap()))
            .collect();
        assert_eq!(told, [("import", "a"), ("import", "b")]);
        assert_eq!(trail[0].source, "database");
        assert_eq!(trail[0].actor_prefix, None);
        let stored = database.fill().await;
        assert!(
            stored
                .iter()
                .any(|key| Some(key.id.to_string()) == trail[0].key_id)
        );
    }
}

pub async fn what_was_refused_leaves_none(database: &Database) {
    let store = &database.store;
    store.insert(&new_key_named("taken")).await.unwrap();
    let wanted = NewApiKey {
        by: Some(ada()),
        ..new_key_named("taken")
    };
    let refused = store.insert(&wanted).await;
    assert!(matches!(refused, Err(StoreError::NameTaken(_))));
    let (key, _) = store.insert(&new_key()).await.unwrap();
    let rename = KeyUpdate {
        name: Some(Some(name("taken"))),
        by: Some(ada()),
        ..KeyUpdate::default()
    };
    let refused = store.update(&KeySelector::Id(key.id), &rename).await;
    assert!(matches!(refused, Err(StoreError::NameTaken(_))));
    assert_eq!(trail(database).await, []);
}

/// Not even by whoever owns the table.
pub async fn the_trail_is_only_added_to(database: &Database) {
    let wanted = NewApiKey {
        by: Some(ada()),
        ..new_key()
    };
    database.store.insert(&wanted).await.unwrap();
    let before = trail(database).await;
    let mut refused = vec![
        "UPDATE audit_logs SET actor = 'eve'",
        "DELETE FROM audit_logs",
    ];
    if database.postgres.is_some() {
        refused.push("TRUNCATE audit_logs");
        refused.push("SET session_replication_role = replica; DELETE FROM audit_logs");
    } else {
        refused.push(
            "INSERT OR REPLACE INTO audit_logs SELECT seq, at, 'eve', actor_prefix, source, action, key_id, key_prefix, \
             changed, team FROM audit_logs",
        );
    }
    for sql in refused {
        let error = database.try_by_hand(sql).await.expect_err(sql);
        assert!(
            error.to_string().contains("only added to"),
            "{sql}: {error}"
        );
    }
    assert_eq!(trail(database).await, before);
}

pub async fn the_trail_is_told_in_pages(database: &Database) {
    for _ in 0..5 {
        let wanted = NewApiKey {
            by: Some(ada()),
            ..new_key()
        };
        database.store.insert(&wanted).await.unwrap();
    }
    let whole = database.store.audit(None, 100).await.unwrap();
    assert_eq!(whole.len(), 5);
    let mut paged = Vec::new();
    let mut before = None;
    loop {
        let page = database.store.audit(before, 2).await.unwrap();
        before = page.last().map(|entry| entry.seq);
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 2);
        paged.extend(page);
    }
    assert_eq!(paged, whole);
}

/// Nobody can say who it was, and that is what is told.
pub async fn a_change_by_plain_sql_is_told_as_nobodys(database: &Database) {
    database.insert_many(2).await;
    let steps = [
        "UPDATE api_keys SET name = 'new', scope = '[]' WHERE prefix = 'many_1'",
        "UPDATE api_keys SET disabled_at = 1, expires_at = 2 WHERE prefix = 'many_1'",
        // What is not logged, and what changes nothing.
        "UPDATE api_keys SET last_used_at = 5 WHERE prefix = 'many_1'",
        "UPDATE api_keys SET name = name WHERE prefix = 'many_1'",
        "UPDATE api_keys SET deleted_at = 3 WHERE prefix = 'many_1'",
        "DELETE FROM api_keys WHERE prefix = 'many_2'",
    ];
    for sql in steps {
        database.by_hand(sql).await;
    }
    let trail = trail(database).await;
    let told: Vec<_> = trail
        .iter()
        .map(|entry| {
            let prefix = entry.key_prefix.as_deref().unwrap();
            (entry.action.as_str(), prefix, entry.changed.join(" "))
        })
        .collect();
    let nothing = String::new();
    assert_eq!(
        told,
        [
            ("create", "many_1", nothing.clone()),
            ("create", "many_2", nothing.clone()),
            ("update", "many_1", "name model_ids".to_owned()),
            ("update", "many_1", "expires_at enabled".to_owned()),
            ("delete", "many_1", "deleted_at".to_owned()),
            ("delete", "many_2", nothing),
        ]
    );
    for entry in &trail {
        assert_eq!((&entry.actor, &entry.actor_prefix), (&None, &None));
        assert_eq!(entry.source, "sql");
    }
    // What keyward does is told by it alone, before and after.
    let wanted = NewApiKey {
        by: Some(ada()),
        ..new_key()
    };
    database.store.insert(&wanted).await.unwrap();
    database
        .by_hand("UPDATE api_keys SET name = 'newer' WHERE prefix = 'many_1'")
        .await;
    let actors: Vec<_> = self::trail(database).await.split_off(6);
    let actors: Vec<_> = actors.iter().map(|entry| entry.actor.as_deref()).collect();
    assert_eq!(actors, [Some("ada"), None]);
}

pub async fn what_is_no_key_is_told_by_its_name(database: &Database) {
    let store = &database.store;
    let by = ada();
    store.insert_team_by(&name("ops"), Some(&by)).await.unwrap();
    let taken = store.insert_team_by(&name("ops"), Some(&by)).await;
    assert!(matches!(taken, Err(StoreError::TeamNameTaken(_))));
    for token in [b"first", b"later"] {
        let digest = KeyDigest::of(token);
        store.keep_admin_token_by(&digest, Some(&by)).await.unwrap();
    }
    let trail = trail(database).await;
    let told: Vec<_> = trail
        .iter()
        .map(|entry| (entry.action.as_str(), entry.team.as_deref()))
        .collect();
    assert_eq!(
        told,
        [("create_team", Some("ops")), ("create_admin_token", None)]
    );
    for entry in trail {
        assert_eq!((entry.key_id, entry.key_prefix), (None, None));
        assert_eq!(entry.actor.as_deref(), Some("ada"));
    }
}
