//! Files that an earlier version has written.

use keyward::key::KeySelector;
use keyward::store::{Changes, KeyChange};

use crate::support::store::{Database, in_time, new_key, open};

/// Takes back what the later migrations did.
const FIRST_VERSION: &str = "
    DROP TRIGGER api_keys_inserted;
    CREATE TRIGGER api_keys_inserted AFTER INSERT ON api_keys
      BEGIN INSERT INTO key_changes (digest) VALUES (NEW.digest); END;
    DROP TRIGGER key_changes_at_ms;
    ALTER TABLE key_changes DROP COLUMN at_ms;
    DROP TABLE instances;
    DROP TABLE positions_wanted;
    DROP TRIGGER api_keys_insert_noted;
    DROP TRIGGER api_keys_update_noted;
    DROP TRIGGER api_keys_delete_noted;
    DROP TABLE audit_writer;
    DROP TABLE audit_logs;
    DROP TRIGGER api_keys_updated;
    ALTER TABLE api_keys DROP COLUMN ends_calls;
    CREATE TRIGGER api_keys_updated AFTER UPDATE OF digest ON api_keys
      BEGIN INSERT INTO key_changes (digest) VALUES (NEW.digest); END;
    DELETE FROM _sqlx_migrations WHERE version > 1";

#[tokio::test]
async fn a_file_of_the_first_version_is_brought_up_to_date() {
    let database = Database::sqlite().await;
    let (kept, first) = database.store.insert(&new_key()).await.unwrap();
    let (gone, second) = database.store.insert(&new_key()).await.unwrap();
    in_time(database.store.close()).await;
    database.by_hand(FIRST_VERSION).await;

    let store = open(&database.config).await;
    let told = store.changes(first).await.unwrap();
    let Changes::Read(told) = told else {
        panic!("the log is lost")
    };
    assert_eq!(told.changes, [KeyChange::Put(Box::new(gone.clone()))]);
    let written = told.oldest_at.expect("there is an entry");
    assert_eq!(written.subsec_nanos(), 0, "an old entry knows no more");

    let which = KeySelector::Id(gone.id);
    let (_, third) = store.delete(&which).await.unwrap();
    assert_eq!(third.seq(), second.seq() + 1);
    let told = store.changes(second).await.unwrap();
    let Changes::Read(told) = told else {
        panic!("the log is lost")
    };
    assert_eq!(told.changes, [KeyChange::Gone(gone.digest)]);
    assert_eq!(told.revoked_at.len(), 1);
    assert_eq!(store.find(&kept.digest).await.unwrap(), Some(kept));
    assert_eq!(store.instances().await.unwrap(), []);
    store.close().await;
}
