//! The database is away, or this process was.

use rstest::rstest;

use super::*;
use crate::support::store::Log;

/// How the database does not answer.
#[derive(Debug, Clone, Copy)]
enum Outage {
    /// Every call fails at once.
    Fails,
    /// No call ends.
    Hangs,
}

impl Outage {
    fn begin(self, rig: &Rig) {
        match self {
            Self::Fails => rig.store.break_down(true),
            Self::Hangs => {
                rig.store.gates.changes.close();
                rig.store.gates.find.close();
            }
        }
    }

    fn end(self, rig: &Rig) {
        match self {
            Self::Fails => rig.store.break_down(false),
            Self::Hangs => {
                rig.store.gates.changes.open();
                rig.store.gates.find.open();
            }
        }
    }
}

#[rstest]
#[tokio::test(start_paused = true)]
async fn a_known_key_is_served_through_an_outage_without_waiting(
    #[values(Outage::Fails, Outage::Hangs)] outage: Outage,
) {
    let rig = Rig::with(CacheConfig::default(), &[key(1)]).await;
    outage.begin(&rig);
    for _ in 0..600 {
        rig.pass(Duration::from_millis(100)).await;
        assert_eq!(rig.asking(&key(1)).await.got, Some(Ok(key(1).id)));
    }
    assert_eq!(rig.cache.state().freshness, Freshness::Degraded);
}

#[rstest]
#[tokio::test(start_paused = true)]
async fn an_unknown_key_is_unavailable_in_an_outage_and_works_after_it(
    #[values(Outage::Fails, Outage::Hangs)] outage: Outage,
) {
    let rig = Rig::with(CacheConfig::default(), &[key(1)]).await;
    rig.store.put_unlogged(&key(2));
    outage.begin(&rig);
    assert_eq!(rig.ask(&key(2)).await, Err(UNAVAILABLE));
    outage.end(&rig);
    assert_eq!(rig.ask(&key(2)).await, Ok(key(2).id));
}

#[rstest]
#[tokio::test(start_paused = true)]
async fn nothing_is_served_past_max_stale_and_everything_after_recovery(
    #[values(Outage::Fails, Outage::Hangs)] outage: Outage,
) {
    let config = CacheConfig {
        max_stale: Duration::from_secs(30),
        ..CacheConfig::default()
    };
    let rig = Rig::with(config, &keys(1..3)).await;
    outage.begin(&rig);
    rig.pass(Duration::from_secs(29)).await;
    assert_eq!(rig.ask(&key(1)).await, Ok(key(1).id));
    rig.pass(Duration::from_secs(2)).await;
    assert_eq!(rig.ask(&key(1)).await, Err(UNAVAILABLE));
    assert_eq!(rig.cache.state().freshness, Freshness::Stale);

    outage.end(&rig);
    let place = rig.store.delete(key(2).id);
    rig.pass(Duration::from_secs(2)).await;
    assert_eq!(rig.ask(&key(1)).await, Ok(key(1).id));
    assert_eq!(*rig.cache.applied().borrow(), place);
    assert_eq!(rig.ask(&key(2)).await, Err(LookupError::Unknown));
    assert_eq!(rig.cache.state().freshness, Freshness::Fresh);
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_away_is_asked_about_once_a_second() {
    let rig = Rig::with(CacheConfig::default(), &[]).await;
    rig.store.break_down(true);
    let before = count(&rig.store.calls.changes);
    rig.pass(Duration::from_mins(1)).await;
    let asked = count(&rig.store.calls.changes) - before;
    assert!((50..=140).contains(&asked), "asked {asked} times");
}

#[tokio::test(start_paused = true)]
async fn a_start_without_the_database_serves_nothing_and_comes_up_by_itself() {
    let rig = Rig::over(&CacheConfig::default(), &[key(1)], |store| {
        store.break_down(true);
    });
    assert_eq!(rig.ask(&key(1)).await, Err(UNAVAILABLE));
    rig.pass(Duration::from_mins(10)).await;
    assert_eq!(rig.asking(&key(1)).await.got, Some(Err(UNAVAILABLE)));
    assert_eq!(rig.cache.state().freshness, Freshness::Empty);
    assert_eq!(rig.cache.state().age, None);
    assert_eq!(rig.finds(), 0);

    rig.store.break_down(false);
    rig.pass(Duration::from_secs(1)).await;
    assert_eq!(rig.ask(&key(1)).await, Ok(key(1).id));
}

#[tokio::test(start_paused = true)]
async fn what_was_revoked_during_a_pause_is_refused_after_it() {
    let rig = Rig::with(CacheConfig::default(), &keys(1..3)).await;
    assert_eq!(rig.ask(&key(1)).await, Ok(key(1).id));
    rig.store.deafen();
    rig.store.delete(key(1).id);
    rig.pause(Duration::from_secs(10));
    assert_eq!(rig.ask(&key(1)).await, Err(LookupError::Unknown));
    assert_eq!(rig.ask(&key(2)).await, Ok(key(2).id));
}

#[tokio::test(start_paused = true)]
async fn a_look_from_before_a_pause_vouches_for_nothing_after_it() {
    let rig = Rig::with(CacheConfig::default(), &[key(1)]).await;
    let gates = &rig.store.gates;
    gates.changes_done.stop_next();
    rig.store.ring_for_nothing();
    within(gates.changes_done.somebody_waits()).await;
    rig.store.delete(key(1).id);
    rig.pause(Duration::from_secs(10));
    let mut caller = rig.asking(&key(1)).await;
    gates.changes.close();
    gates.changes_done.open();
    within(gates.changes.somebody_waits()).await;
    assert!(!caller.has_answer().await);
    assert!(!rig.asking(&key(1)).await.has_answer().await);
    gates.changes.open();
    assert_eq!(caller.answer().await, Err(LookupError::Unknown));
}

#[tokio::test(start_paused = true)]
async fn a_look_that_a_pause_broke_is_no_sign_of_an_outage() {
    let rig = Rig::with(CacheConfig::default(), &[key(1)]).await;
    let gates = &rig.store.gates;
    gates.changes.close();
    rig.store.ring_for_nothing();
    within(gates.changes.somebody_waits()).await;
    rig.store.delete(key(1).id);
    rig.store.fail_next();
    rig.pause(Duration::from_secs(10));
    let mut caller = rig.asking(&key(1)).await;
    gates.changes.let_one_pass();
    settle().await;
    within(gates.changes.somebody_waits()).await;
    assert!(!caller.has_answer().await);
    assert!(!rig.asking(&key(1)).await.has_answer().await);
    gates.changes.open();
    assert_eq!(caller.answer().await, Err(LookupError::Unknown));
}

#[rstest]
#[tokio::test(start_paused = true)]
async fn a_pause_that_ends_in_an_outage_costs_one_short_wait(
    #[values(Outage::Fails, Outage::Hangs)] outage: Outage,
) {
    let rig = Rig::with(CacheConfig::default(), &[key(1)]).await;
    outage.begin(&rig);
    rig.pause(Duration::from_secs(10));
    let began = tokio::time::Instant::now();
    assert_eq!(rig.ask(&key(1)).await, Ok(key(1).id));
    assert!(began.elapsed() <= Duration::from_millis(500));
    assert_eq!(rig.asking(&key(1)).await.got, Some(Ok(key(1).id)));
}

#[tokio::test(start_paused = true)]
async fn a_pause_within_an_outage_is_noticed_too() {
    let rig = Rig::with(CacheConfig::default(), &[key(1)]).await;
    rig.store.break_down(true);
    rig.pass(Duration::from_secs(20)).await;
    assert_eq!(rig.ask(&key(1)).await, Ok(key(1).id));
    rig.store.break_down(false);
    rig.store.deafen();
    rig.store.delete(key(1).id);
    rig.pause(Duration::from_secs(20));
    assert_eq!(rig.ask(&key(1)).await, Err(LookupError::Unknown));
}

#[tokio::test(start_paused = true)]
async fn many_callers_after_a_pause_wait_for_one_look() {
    let rig = Rig::with(CacheConfig::default(), &[key(1)]).await;
    let before = count(&rig.store.calls.changes);
    rig.pause(Duration::from_secs(10));
    let mut callers = Vec::new();
    for _ in 0..100 {
        callers.push(rig.asking(&key(1)).await);
    }
    for caller in callers {
        assert_eq!(caller.answer().await, Ok(key(1).id));
    }
    assert!(count(&rig.store.calls.changes) - before <= 2);
}

#[rstest]
#[tokio::test(start_paused = true)]
async fn a_recovery_is_one_look_however_many_callers_there_are(
    #[values(Outage::Fails, Outage::Hangs)] outage: Outage,
) {
    let rig = Rig::with(CacheConfig::default(), &keys(1..3)).await;
    outage.begin(&rig);
    rig.pass(Duration::from_secs(20)).await;
    let before = count(&rig.store.calls.changes);
    outage.end(&rig);
    let mut callers = Vec::new();
    for _ in 0..200 {
        callers.push(rig.asking(&key(1)).await);
    }
    for caller in callers {
        assert_eq!(caller.answer().await, Ok(key(1).id));
    }
    // Known keys wake nobody; the follower looks when its own wait has ended, within a second.
    while rig.cache.state().freshness != Freshness::Fresh {
        rig.pass(Duration::from_millis(100)).await;
    }
    assert!(count(&rig.store.calls.changes) - before <= 2);
    assert_eq!(count(&rig.store.calls.snapshot), 1);
}

#[tokio::test(start_paused = true)]
async fn unknown_keys_in_an_outage_ask_the_database_within_the_budget_and_are_not_remembered() {
    let rig = Rig::with(CacheConfig::default(), &[key(1)]).await;
    rig.store.put_unlogged(&key(2));
    rig.store.break_down(true);
    for _ in 0..20 {
        assert_eq!(rig.ask(&key(2)).await, Err(UNAVAILABLE));
        rig.pass(Duration::from_secs(1)).await;
    }
    rig.store.break_down(false);
    assert_eq!(rig.ask(&key(2)).await, Ok(key(2).id));
}

#[tokio::test(start_paused = true)]
async fn the_log_is_told_of_an_outage_once_and_of_its_end_once() {
    let log = Log::default();
    let _listening = log.listen();
    let config = CacheConfig {
        max_stale: Duration::from_secs(30),
        ..CacheConfig::default()
    };
    let rig = Rig::with(config, &[key(1)]).await;
    rig.store.break_down(true);
    rig.store.break_bell();
    rig.pass(Duration::from_mins(2)).await;
    let said = |what: &str| log.text().matches(what).count();
    assert_eq!(said("the key database does not answer; known keys"), 1);
    assert_eq!(said("query `changes` did not end in time"), 1);
    assert_eq!(said("has not answered for `cache.max_stale`"), 1);
    assert_eq!(said("the bell of the key database is broken"), 1);
    assert_eq!(said("answers again"), 0);
    rig.store.break_down(false);
    rig.pass(Duration::from_mins(2)).await;
    assert_eq!(said("the key database answers again"), 1);
    assert_eq!(log.text().lines().count(), 5, "{}", log.text());
}
