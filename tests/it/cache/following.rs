//! What changes in the database is in force here.

use keyward::key::OldDigest;
use keyward::store::BadRow;
use tokio::time::Instant;

use super::*;
use crate::support::gated_store::MAX_BATCH;
use crate::support::store::Log;

#[tokio::test(start_paused = true)]
async fn every_key_is_known_after_the_fill_and_none_is_looked_up() {
    let keys = keys(1..1_000);
    let rig = Rig::with(CacheConfig::default(), &keys).await;
    for key in &keys {
        assert_eq!(rig.ask(key).await, Ok(key.id));
    }
    assert_eq!(rig.finds(), 0);
    assert!(rig.cache.state().is_complete);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_known_once_its_creation_is_applied() {
    let rig = Rig::start().await;
    let place = rig.store.put(&key(1));
    rig.applied(place).await;
    assert_eq!(rig.ask(&key(1)).await, Ok(key(1).id));
    assert_eq!(rig.finds(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_key_works_at_once_though_its_creation_is_not_applied() {
    let rig = Rig::start().await;
    rig.store.gates.changes.close();
    rig.store.put(&key(1));
    assert_eq!(rig.ask(&key(1)).await, Ok(key(1).id));
    assert_eq!(rig.finds(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_key_is_refused_once_its_deletion_is_applied() {
    let rig = Rig::with(CacheConfig::default(), &keys(1..3)).await;
    assert_eq!(rig.ask(&key(1)).await, Ok(key(1).id));
    let place = rig.store.delete(key(1).id);
    rig.applied(place).await;
    assert_eq!(rig.ask(&key(1)).await, Err(LookupError::Unknown));
    assert_eq!(rig.ask(&key(2)).await, Ok(key(2).id));
}

#[tokio::test(start_paused = true)]
async fn a_changed_key_permits_what_it_says_now() {
    let rig = Rig::with(CacheConfig::default(), &[key(1)]).await;
    assert!(rig.permits(&key(1), "m1").await);

    let mut changed = key(1);
    changed.scope = ModelScope::from_request(Some(&["m2"])).expect("a scope");
    rig.applied(rig.store.put(&changed)).await;
    assert!(!rig.permits(&key(1), "m1").await);
    assert!(rig.permits(&key(1), "m2").await);

    changed.disabled_at = Some(START);
    rig.applied(rig.store.put(&changed)).await;
    assert!(!rig.permits(&key(1), "m2").await);
    assert_eq!(rig.finds(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_text_before_a_rotation_works_until_its_end() {
    let old = key(1);
    let rig = Rig::with(CacheConfig::default(), std::slice::from_ref(&old)).await;
    let mut rotated = old.clone();
    rotated.digest = KeyDigest::of(b"the new text");
    rotated.old = Some(OldDigest {
        digest: old.digest,
        until: keyward::key::UnixTime::from_secs(START.as_secs() + 10),
    });
    rig.applied(rig.store.put(&rotated)).await;
    assert!(rig.grant(&old).await.expect("known").is_old_text());
    assert!(rig.permits(&old, "m1").await);
    let new = rig.front.grant(presented("the-new-text")).await;
    assert_eq!(got(new), Err(LookupError::Unknown));

    rig.pass(Duration::from_secs(10)).await;
    assert!(!rig.permits(&old, "m1").await);

    rig.applied(rig.store.delete(old.id)).await;
    assert_eq!(rig.ask(&old).await, Err(LookupError::Unknown));
}

#[tokio::test(start_paused = true)]
async fn a_long_log_is_read_to_its_end() {
    let rig = Rig::start().await;
    let keys = keys(1..10 * MAX_BATCH as u128);
    for key in &keys {
        rig.store.put(key);
    }
    rig.applied(rig.store.end()).await;
    for key in &keys {
        assert_eq!(rig.ask(key).await, Ok(key.id));
    }
    assert_eq!(rig.finds(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_rings_during_a_look_is_seen_before_the_next_poll() {
    let rig = Rig::start().await;
    let gates = &rig.store.gates;
    gates.changes_done.stop_next();
    rig.store.ring_for_nothing();
    within(gates.changes_done.somebody_waits()).await;
    let place = rig.store.put(&key(1));
    let began = Instant::now();
    gates.changes_done.open();
    rig.applied(place).await;
    assert!(began.elapsed() < Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn a_deaf_bell_costs_no_more_than_a_poll() {
    let rig = Rig::start().await;
    rig.store.deafen();
    let place = rig.store.put(&key(1));
    let began = Instant::now();
    rig.applied(place).await;
    assert!(began.elapsed() <= CacheConfig::default().poll_every);
}

#[tokio::test(start_paused = true)]
async fn a_broken_bell_is_not_asked_again_and_again() {
    let rig = Rig::start().await;
    rig.store.break_bell();
    rig.pass(Duration::from_secs(20)).await;
    let asked = count(&rig.store.calls.changed);
    assert!(asked <= 25, "asked {asked} times");
    let looks = count(&rig.store.calls.changes);
    assert!((10..=50).contains(&looks), "looked {looks} times");
    rig.applied(rig.store.put(&key(1))).await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_log_is_made_good_by_a_refill() {
    let rig = Rig::with(CacheConfig::default(), &keys(1..4)).await;
    assert_eq!(rig.ask(&key(1)).await, Ok(key(1).id));
    rig.store.delete_unlogged(key(1).id);
    rig.store.put_unlogged(&key(9));
    rig.store.lose_log();
    rig.applied(rig.store.end()).await;
    assert_eq!(rig.ask(&key(9)).await, Ok(key(9).id));
    assert_eq!(rig.finds(), 0);
    assert_eq!(rig.ask(&key(1)).await, Err(LookupError::Unknown));
    assert_eq!(count(&rig.store.calls.snapshot), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refill_leaves_no_moment_without_the_old_set() {
    let rig = Rig::with(CacheConfig::default(), &keys(1..4)).await;
    let gates = &rig.store.gates;
    let steps = [
        &gates.snapshot,
        &gates.snapshot_place,
        &gates.snapshot_keys,
        &gates.snapshot_done,
    ];
    for gate in steps {
        gate.close();
    }
    rig.store.delete_unlogged(key(1).id);
    rig.store.put_unlogged(&key(9));
    rig.store.lose_log();
    for gate in steps {
        rig.passing(gate.somebody_waits()).await;
        for n in 1..4 {
            assert_eq!(rig.asking(&key(n)).await.got, Some(Ok(key(n).id)));
        }
        gate.open();
    }
    rig.applied(rig.store.end()).await;
    assert_eq!(rig.ask(&key(1)).await, Err(LookupError::Unknown));
    for n in [2, 3, 9] {
        assert_eq!(rig.ask(&key(n)).await, Ok(key(n).id));
    }
}

#[tokio::test(start_paused = true)]
async fn a_fill_that_breaks_off_is_begun_again_and_leaves_nothing() {
    let rig = Rig::over(&CacheConfig::default(), &keys(1..4), |store| {
        store.gates.snapshot_done.stop_next();
    });
    within(rig.store.gates.snapshot_done.somebody_waits()).await;
    rig.store.break_down(true);
    rig.store.gates.snapshot_done.open();
    settle().await;
    assert_eq!(rig.ask(&key(1)).await, Err(UNAVAILABLE));
    rig.store.delete_unlogged(key(1).id);
    rig.store.break_down(false);
    within(rig.cache.filled()).await;
    assert_eq!(rig.ask(&key(1)).await, Err(LookupError::Unknown));
    assert_eq!(rig.ask(&key(2)).await, Ok(key(2).id));
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_no_key_permits_nothing_and_is_told_of_once() {
    let log = Log::default();
    let _listening = log.listen();
    let rig = Rig::with(CacheConfig::default(), &keys(1..3)).await;
    let row = BadRow {
        id: key(1).id.to_string(),
        why: "scope is not a list",
    };
    rig.store.delete_unlogged(key(1).id);
    rig.applied(rig.store.spoil(key(1).digest, row)).await;
    assert_eq!(rig.ask(&key(1)).await, Err(LookupError::Unknown));
    assert_eq!(rig.ask(&key(2)).await, Ok(key(2).id));

    rig.store.lose_log();
    rig.applied(rig.store.end()).await;
    let rows = log.text().matches("is no key; it permits nothing").count();
    assert_eq!(rows, 1, "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn expiry_is_by_the_databases_clock() {
    let hour = Duration::from_hours(1);
    let mut expired = key(1);
    expired.expires_at = Some(keyward::key::UnixTime::from_secs(START.as_secs() + 1_800));
    let rig = Rig::over(&CacheConfig::default(), &[expired], |store| {
        store.set_ahead(hour);
    });
    within(rig.cache.filled()).await;
    assert!(!rig.permits(&key(1), "m1").await);
    assert_eq!(rig.clock.unix_time().since(START), hour);
}

#[tokio::test(start_paused = true)]
async fn a_fill_that_takes_long_does_not_put_the_clock_back() {
    let minute = Duration::from_mins(1);
    let rig = Rig::over(&CacheConfig::default(), &keys(1..4), |store| {
        store.gates.snapshot_done.stop_next();
    });
    within(rig.store.gates.snapshot_done.somebody_waits()).await;
    rig.clock.advance(minute);
    // The look after it does not come.
    rig.store.gates.changes.close();
    rig.store.gates.snapshot_done.open();
    within(rig.store.gates.changes.somebody_waits()).await;
    assert_eq!(rig.clock.unix_time().since(START), minute);
}
