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
                entry.key_prefix.as_str(),
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
        assert_eq!(entry.key_id, key.id.to_string());
        assert_eq!(entry.actor, "ada");
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
            .map(|entry| (entry.action.as_str(), entry.key_prefix.as_str()))
            .collect();
        assert_eq!(told, [("import", "a"), ("import", "b")]);
        assert_eq!(trail[0].source, "database");
        assert_eq!(trail[0].actor_prefix, None);
        let stored = database.fill().await;
        assert!(
            stored
                .iter()
                .any(|key| key.id.to_string() == trail[0].key_id)
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
             changed FROM audit_logs",
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
