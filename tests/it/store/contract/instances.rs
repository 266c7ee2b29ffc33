//! The running servers in the database, and the dates of changes.

use std::time::Duration;

use keyward::key::{KeySelector, KeyUpdate};
use keyward::store::{Cursor, Instance, InstanceId, InstanceReport};
use uuid::Uuid;

use crate::support::store::{Database, in_time, name, new_key};

const SECOND: Duration = Duration::from_secs(1);

fn report(number: u128, applied: u64) -> InstanceReport {
    InstanceReport {
        id: InstanceId::new(Uuid::from_u128(number)),
        name: name(&format!("edge-{number}")),
        up_for: 100 * SECOND,
        applied: Cursor::new(applied),
        heard_for: 15 * SECOND,
        serves_for: 3600 * SECOND,
    }
}

async fn silence(database: &Database, name: &str, secs: u64) {
    let statement = format!(
        "UPDATE instances SET seen_at_ms = seen_at_ms - {} WHERE name = '{name}'",
        secs * 1000
    );
    database.by_hand(&statement).await;
}

/// Names, whether they are heard, and how far they are behind.
async fn told(database: &Database) -> Vec<(String, bool, u64)> {
    let instances = database.store.instances().await.unwrap();
    let told = |it: Instance| (it.name, it.is_heard, it.behind_by);
    instances.into_iter().map(told).collect()
}

fn heard(name: &str, behind_by: u64) -> (String, bool, u64) {
    (name.to_owned(), true, behind_by)
}

async fn wanted(database: &Database) -> bool {
    let end = database.end_of_log().await;
    database.read_changes(end).await.positions_wanted
}

pub async fn an_instance_is_there_until_it_ends(database: &Database) {
    let store = &database.store;
    assert_eq!(store.instances().await.unwrap(), []);
    let now = database.now().await.as_secs();
    store.report_instance(&report(2, 0)).await.unwrap();
    store.report_instance(&report(1, 0)).await.unwrap();
    let (_, end) = store.insert(&new_key()).await.unwrap();
    assert_eq!(
        told(database).await,
        [heard("edge-1", 1), heard("edge-2", 1)]
    );
    store.report_instance(&report(2, end.seq())).await.unwrap();
    assert_eq!(
        told(database).await,
        [heard("edge-1", 1), heard("edge-2", 0)]
    );
    let second = store.instances().await.unwrap().remove(1);
    assert_eq!(second.applied, end);
    assert!((now..now + 60).contains(&second.seen_at.as_secs()));
    assert!((now - 100..now - 40).contains(&second.started_at.as_secs()));

    store.remove_instance(report(2, 0).id).await.unwrap();
    store.remove_instance(report(2, 0).id).await.unwrap();
    assert_eq!(told(database).await, [heard("edge-1", 1)]);
}

pub async fn an_instance_that_falls_silent_is_told_as_long_as_it_may_serve(database: &Database) {
    let store = &database.store;
    store.report_instance(&report(1, 0)).await.unwrap();
    silence(database, "edge-1", 14).await;
    assert_eq!(told(database).await, [heard("edge-1", 0)]);
    silence(database, "edge-1", 16).await;
    assert_eq!(told(database).await, [("edge-1".to_owned(), false, 0)]);
    silence(database, "edge-1", 3600).await;
    assert_eq!(told(database).await, []);
    // It was only away, and says again that it is there.
    store.report_instance(&report(1, 0)).await.unwrap();
    assert_eq!(told(database).await, [heard("edge-1", 0)]);
}

pub async fn what_an_instance_left_behind_goes_when_another_reports(database: &Database) {
    let store = &database.store;
    for number in 1..=3 {
        store.report_instance(&report(number, 0)).await.unwrap();
    }
    silence(database, "edge-1", 3700).await;
    silence(database, "edge-2", 60).await;
    store.report_instance(&report(3, 0)).await.unwrap();
    let rows = "SELECT count(*) FROM instances";
    assert_eq!(database.number(rows).await, 2);
    assert_eq!(
        told(database).await,
        [("edge-2".to_owned(), false, 0), heard("edge-3", 0)]
    );
}

pub async fn reports_are_no_changes_of_keys(database: &Database) {
    let end = database.end_of_log().await;
    database.store.report_instance(&report(1, 0)).await.unwrap();
    database.store.want_positions(SECOND).await.unwrap();
    assert_eq!(database.end_of_log().await, end);
}

pub async fn positions_are_wanted_until_their_time_is_over(database: &Database) {
    assert!(!wanted(database).await);
    database.store.want_positions(60 * SECOND).await.unwrap();
    assert!(wanted(database).await);
    let over = "UPDATE positions_wanted SET until_ms = until_ms - 121000";
    database.by_hand(over).await;
    assert!(!wanted(database).await);
    database.store.want_positions(60 * SECOND).await.unwrap();
    assert!(wanted(database).await);
}

pub async fn many_who_want_positions_write_seldom(database: &Database) {
    let until = "SELECT until_ms FROM positions_wanted";
    database.store.want_positions(600 * SECOND).await.unwrap();
    let first = database.number(until).await;
    for _ in 0..5 {
        database.store.want_positions(600 * SECOND).await.unwrap();
    }
    assert_eq!(database.number(until).await, first);
    let half_over = "UPDATE positions_wanted SET until_ms = until_ms - 601000";
    database.by_hand(half_over).await;
    database.store.want_positions(600 * SECOND).await.unwrap();
    assert!(database.number(until).await >= first);
}

pub async fn the_bell_rings_when_positions_are_wanted(database: &Database) {
    in_time(database.store.changed()).await.unwrap();
    let (rung, asked) = tokio::join!(
        in_time(database.store.changed()),
        database.store.want_positions(SECOND),
    );
    rung.unwrap();
    asked.unwrap();
}

pub async fn a_revocation_is_dated_to_the_millisecond(database: &Database) {
    let store = &database.store;
    let (gone, _) = store.insert(&new_key()).await.unwrap();
    let (off, _) = store.insert(&new_key()).await.unwrap();
    let (_, made) = store.insert(&new_key()).await.unwrap();
    let batch = database.read_changes(Cursor::default()).await;
    assert_eq!(batch.revoked_at, [Duration::ZERO; 0]);

    let before = database.read_changes(made).await.database_time;
    store.delete(&KeySelector::Id(gone.id)).await.unwrap();
    let switch = KeyUpdate {
        enabled: Some(false),
        ..KeyUpdate::default()
    };
    store
        .update(&KeySelector::Id(off.id), &switch)
        .await
        .unwrap();
    let batch = database.read_changes(made).await;
    assert_eq!(batch.revoked_at.len(), 2);
    assert_eq!(batch.oldest_at, batch.revoked_at.first().copied());
    // Each side is rounded to a millisecond in its own way.
    let tolerance = Duration::from_millis(2);
    for at in batch.revoked_at {
        assert!(before <= at + tolerance && at <= batch.database_time + tolerance);
    }
}

pub async fn what_is_deleted_by_hand_is_dated_too(database: &Database) {
    let (_, made) = database.store.insert(&new_key()).await.unwrap();
    let before = database.read_changes(made).await.database_time;
    database.by_hand("DELETE FROM api_keys").await;
    let batch = database.read_changes(made).await;
    let [at] = batch.revoked_at[..] else {
        panic!("{:?}", batch.revoked_at)
    };
    assert!(before <= at + Duration::from_millis(2));
}

pub async fn an_entry_without_milliseconds_is_read_and_measures_nothing(database: &Database) {
    let (_, made) = database.store.insert(&new_key()).await.unwrap();
    database.by_hand("DELETE FROM api_keys").await;
    database
        .by_hand("UPDATE key_changes SET at_ms = NULL, at = 1800000000")
        .await;
    let batch = database.read_changes(made).await;
    assert_eq!(batch.changes.len(), 1);
    assert_eq!(batch.revoked_at, [Duration::ZERO; 0]);
    assert_eq!(batch.oldest_at, Some(1_800_000_000 * SECOND));
}
