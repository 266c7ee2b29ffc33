//! Changes by somebody who knows nothing of keyward, with plain SQL.

use keyward::key::{ApiKey, KeySelector, KeyUpdate, NewApiKey, Rotation, UnixTime};
use keyward::store::KeyChange;

use crate::support::store::{Database, new_key, new_key_named, new_secret};

/// A key with a present and an old text.
async fn rotated_key(database: &Database) -> ApiKey {
    let (key, _) = database.store.insert(&new_key()).await.unwrap();
    let secret = new_secret();
    let update = KeyUpdate {
        rotate: Some(Rotation {
            digest: secret.digest(),
            prefix: secret.prefix(),
            grace_secs: 3600,
        }),
        ..KeyUpdate::default()
    };
    let which = KeySelector::Id(key.id);
    database.store.update(&which, &update).await.unwrap().0
}

pub async fn every_statement_that_matters_is_logged(database: &Database) {
    let statements = [
        "UPDATE api_keys SET prefix = 'other' WHERE id = $id",
        "UPDATE api_keys SET digest = randomblob(32) WHERE id = $id",
        "UPDATE api_keys SET old_digest = randomblob(32) WHERE id = $id",
        "UPDATE api_keys SET old_digest = NULL, old_until = NULL WHERE id = $id",
        "UPDATE api_keys SET old_until = old_until + 1 WHERE id = $id",
        "UPDATE api_keys SET name = 'other' WHERE id = $id",
        "UPDATE api_keys SET category = 'PERSONAL' WHERE id = $id",
        "UPDATE api_keys SET operation = 'all' WHERE id = $id",
        "UPDATE api_keys SET scope = '[\"a\"]' WHERE id = $id",
        "UPDATE api_keys SET org_id = '019f0000-0000-7000-8000-000000000000' WHERE id = $id",
        "UPDATE api_keys SET team_id = NULL WHERE id = $id",
        "UPDATE api_keys SET owner = 'ada' WHERE id = $id",
        "UPDATE api_keys SET created_at = 1 WHERE id = $id",
        "UPDATE api_keys SET expires_at = 1 WHERE id = $id",
        "UPDATE api_keys SET disabled_at = 1 WHERE id = $id",
        "UPDATE api_keys SET ends_calls = NOT ends_calls WHERE id = $id",
        "UPDATE api_keys SET deleted_at = 1 WHERE id = $id",
        "DELETE FROM api_keys WHERE id = $id",
        "DELETE FROM api_keys",
    ];
    for statement in statements {
        let key = rotated_key(database).await;
        let before = database.end_of_log().await;
        let statement = statement.replace("$id", &format!("'{}'", key.id));
        database.by_hand(&statement).await;
        let told = database.changes(before).await;
        assert!(!told.is_empty(), "{statement}");
        let old = key.old.unwrap().digest;
        // Either text is what it is now: known by the present key, or gone.
        for digest in [key.digest, old] {
            let known = database.store.find(&digest).await.unwrap();
            let is_told = told.iter().any(|change| match (change, &known) {
                (KeyChange::Put(key), Some(known)) => **key == *known,
                (KeyChange::Gone(gone), None) => *gone == digest,
                _ => false,
            });
            assert!(is_told, "{statement}: {told:?}");
        }
        let present = database
            .fill()
            .await
            .into_iter()
            .find(|now| now.id == key.id);
        if let Some(present) = present {
            let put = KeyChange::Put(Box::new(present));
            assert!(told.contains(&put), "{statement}: {told:?}");
        }
        database.by_hand("DELETE FROM api_keys").await;
    }
}

pub async fn a_replaced_row_is_logged(database: &Database) {
    let columns = "id, prefix, digest, name, category, org_id, team_id, created_at";
    for same in ["id", "prefix", "digest", "name, team_id, org_id"] {
        let (key, before) = database.store.insert(&new_key_named("ci")).await.unwrap();
        let other = new_key();
        let fresh = |column: &str| match column {
            _ if same.split(", ").any(|same| same == column) => column.to_owned(),
            "id" => format!("'{}'", other.id),
            "prefix" => format!("'{}'", other.prefix),
            "digest" => "randomblob(32)".to_owned(),
            "name" => "'other'".to_owned(),
            _ => column.to_owned(),
        };
        let values: Vec<String> = columns.split(", ").map(fresh).collect();
        let values = values.join(", ");
        let replace = if database.postgres.is_none() {
            format!(
                "INSERT OR REPLACE INTO api_keys ({columns}) SELECT {values} FROM api_keys WHERE id = '{}'",
                key.id
            )
        } else {
            let target = match same {
                "name, team_id, org_id" => {
                    "(org_id, coalesce(team_id, ''), name) \
                     WHERE category <> 'PERSONAL' AND deleted_at IS NULL AND name IS NOT NULL"
                }
                column => &format!("({column})"),
            };
            format!(
                "INSERT INTO api_keys ({columns}) SELECT {values} FROM api_keys WHERE id = '{}' ON CONFLICT {target} \
                 DO UPDATE SET (id, prefix, digest, name) = (excluded.id, excluded.prefix, excluded.digest, excluded.name)",
                key.id
            )
        };
        database.by_hand(&replace).await;
        let left = database.fill().await;
        assert_eq!(left.len(), 1, "{same}");
        let told = database.changes(before).await;
        let put = KeyChange::Put(Box::new(left[0].clone()));
        assert!(told.contains(&put), "{same}: {told:?}");
        if left[0].digest != key.digest {
            assert!(
                told.contains(&KeyChange::Gone(key.digest)),
                "{same}: {told:?}"
            );
        }
        database.by_hand("DELETE FROM api_keys").await;
    }

    if database.postgres.is_some() {
        // It has no other way to replace a row.
        return;
    }
    let (one, _) = database.store.insert(&new_key_named("one")).await.unwrap();
    let (two, before) = database.store.insert(&new_key_named("two")).await.unwrap();
    let rename = format!(
        "UPDATE OR REPLACE api_keys SET name = 'one' WHERE id = '{}'",
        two.id
    );
    database.by_hand(&rename).await;
    let told = database.changes(before).await;
    assert!(told.contains(&KeyChange::Gone(one.digest)), "{told:?}");
}

pub async fn a_moment_of_use_is_not_logged(database: &Database) {
    let (key, end) = database.store.insert(&new_key()).await.unwrap();
    let used = [(key.id, UnixTime::from_secs(5))];
    database.store.record_last_used(&used).await.unwrap();
    database
        .by_hand("UPDATE api_keys SET last_used_at = 7")
        .await;
    assert_eq!(database.end_of_log().await, end);
}

pub async fn a_renamed_team_is_told_with_its_keys(database: &Database) {
    let (key, before) = database.store.insert(&new_key()).await.unwrap();
    database.by_hand("UPDATE teams SET name = 'renamed'").await;
    let now = database.store.find(&key.digest).await.unwrap().unwrap();
    assert_eq!(now.team.as_ref().unwrap().name.as_str(), "renamed");
    let told = database.changes(before).await;
    assert_eq!(told, [KeyChange::Put(Box::new(now))]);

    let before = database.end_of_log().await;
    database.by_hand("DELETE FROM teams").await;
    let told = database.changes(before).await;
    assert_eq!(told, [KeyChange::Gone(key.digest)]);
}

pub async fn a_digest_is_never_that_of_two_keys(database: &Database) {
    let key = rotated_key(database).await;
    let old = key.old.unwrap().digest;
    let (other, _) = database
        .store
        .insert(&NewApiKey { ..new_key() })
        .await
        .unwrap();
    let id = other.id;
    let statements = [
        format!(
            "UPDATE api_keys SET digest = (SELECT old_digest FROM api_keys WHERE id = '{}') WHERE id = '{id}'",
            key.id
        ),
        format!(
            "UPDATE api_keys SET old_until = 1, old_digest = (SELECT digest FROM api_keys WHERE id = '{}') WHERE id = '{id}'",
            key.id
        ),
        format!("UPDATE api_keys SET old_until = 1, old_digest = digest WHERE id = '{id}'"),
    ];
    for statement in statements {
        let refused = database.try_by_hand(&statement).await;
        assert!(refused.is_err(), "{statement}");
    }
    for (digest, id) in [
        (old, key.id),
        (key.digest, key.id),
        (other.digest, other.id),
    ] {
        let found = database.store.find(&digest).await.unwrap();
        assert_eq!(found.map(|key| key.id), Some(id));
    }
}
