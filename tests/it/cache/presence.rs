//! What an instance says of itself in the database: seldom at rest, at once when somebody waits, and never too much.

use keyward::cache::{Identity, Presence};
use keyward::store::{InstanceId, KeyStore};
use uuid::Uuid;

use super::*;

const ID: InstanceId = InstanceId::new(Uuid::from_u128(7));
const EVERY: Duration = Duration::from_secs(5);

impl Rig {
    fn presence(&self) -> Presence {
        let identity = Identity {
            id: ID,
            name: "edge-7".parse().expect("a name"),
            report_every: EVERY,
        };
        let store: Arc<dyn KeyStore> = Arc::clone(&self.store) as _;
        self.cache
            .presence(store, identity, &CacheConfig::default())
    }

    /// Announces itself and reports from then on.
    async fn present(&self) {
        let mut presence = self.presence();
        presence.announce().await;
        Handle::current().spawn(presence.run(self.stop.clone()));
        settle().await;
    }

    /// The places that were reported so far.
    fn places(&self) -> Vec<Cursor> {
        let reports = self.store.reports();
        reports.iter().map(|report| report.applied).collect()
    }

    /// Waits until `place` has been reported.
    async fn reported(&self, place: Cursor) {
        let reported = async {
            while self.places().last() != Some(&place) {
                settle().await;
            }
        };
        within(reported).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_says_who_it_is_before_memory_is_filled_and_where_it_is_after() {
    let keys = keys(1..4);
    let rig = Rig::over(&CacheConfig::default(), &keys, |store| {
        store.gates.snapshot.close();
    });
    rig.present().await;
    assert_eq!(rig.places(), [Cursor::default()]);
    rig.store.gates.snapshot.open();
    rig.cache.filled().await;
    rig.reported(rig.store.end()).await;
    let reports = rig.store.reports();
    assert_eq!(reports.len(), 2);
    assert!(reports.iter().all(|report| report.id == ID));
    assert_eq!(reports[0].name.as_str(), "edge-7");
    assert_eq!(reports[0].heard_for, 3 * EVERY);
    let max_stale = CacheConfig::default().max_stale;
    assert!(reports[0].serves_for >= max_stale + EVERY);
}

/// The database was away when this instance began, and the fill is the first to find it. Whoever changes something
/// after that, and before the instance is known, would not wait for it.
#[tokio::test(start_paused = true)]
async fn an_instance_that_could_not_be_announced_serves_only_what_is_so_once_it_is_known() {
    for is_known in [true, false] {
        let rig = Rig::over(&CacheConfig::default(), &keys(1..3), |store| {
            store.gates.snapshot.close();
            store.break_down(true);
        });
        rig.present().await;
        rig.store.break_down(false);
        rig.store.gates.report.close();
        rig.store.gates.snapshot.open();
        within(rig.store.gates.report.somebody_waits()).await;
        let deleted = rig.store.delete(key(1).id);
        settle().await;
        assert_eq!(rig.ask(&key(1)).await, Err(UNAVAILABLE));
        if !is_known {
            rig.store.fail_next();
        }
        rig.store.gates.report.open();
        within(rig.cache.filled()).await;
        assert_eq!(rig.ask(&key(1)).await, Err(LookupError::Unknown));
        assert_eq!(rig.ask(&key(2)).await, Ok(key(2).id));
        if is_known {
            // Not every place is told, but it is known from before it served anything.
            assert!(rig.places().iter().all(|place| *place < deleted));
            assert_eq!(rig.places().len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn at_rest_it_reports_now_and_then_however_many_keys_change() {
    let rig = Rig::with(CacheConfig::default(), &[key(1)]).await;
    rig.present().await;
    let before = rig.places().len();
    for number in 2..102 {
        rig.applied(rig.store.put(&key(number))).await;
        rig.pass(Duration::from_millis(100)).await;
    }
    // Ten seconds have passed.
    assert_eq!(rig.places().len() - before, 2);
    assert_eq!(
        rig.store.reports().last().map(|it| it.up_for),
        Some(2 * EVERY)
    );
}

#[tokio::test(start_paused = true)]
async fn while_somebody_waits_every_place_is_reported_at_once_and_then_no_more() {
    let rig = Rig::with(CacheConfig::default(), &[key(1)]).await;
    rig.present().await;
    rig.store.set_positions_wanted(true);
    settle().await;
    // Wanted or not: what was reported already is not reported again.
    let before = rig.places().len();
    for number in 2..12 {
        let place = rig.store.put(&key(number));
        rig.reported(place).await;
    }
    assert_eq!(rig.places().len() - before, 10);
    for _ in 0..10 {
        rig.store.ring_for_nothing();
        settle().await;
    }
    assert_eq!(rig.places().len() - before, 10);
    rig.store.set_positions_wanted(false);
    settle().await;
    rig.applied(rig.store.put(&key(12))).await;
    settle().await;
    assert_eq!(rig.places().len() - before, 10);
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_asked_for_after_it_was_reached_is_reported() {
    let rig = Rig::with(CacheConfig::default(), &[key(1)]).await;
    rig.present().await;
    let place = rig.store.delete(key(1).id);
    rig.applied(place).await;
    settle().await;
    assert_ne!(rig.places().last(), Some(&place));
    rig.store.set_positions_wanted(true);
    rig.reported(place).await;
}

#[tokio::test(start_paused = true)]
async fn a_report_that_takes_long_holds_nobody_up_and_the_next_one_says_all() {
    let rig = Rig::with(CacheConfig::default(), &[key(1)]).await;
    rig.present().await;
    let before = rig.places().len();
    rig.store.set_positions_wanted(true);
    rig.store.gates.report.close();
    rig.store.put(&key(2));
    within(rig.store.gates.report.somebody_waits()).await;
    for number in 3..20 {
        rig.applied(rig.store.put(&key(number))).await;
        assert_eq!(rig.ask(&key(number)).await, Ok(key(number).id));
    }
    rig.store.gates.report.open();
    rig.reported(rig.store.end()).await;
    assert_eq!(rig.places().len() - before, 2);
}

/// The heart of `wait=all`: what is reported as applied is accepted by no worker, however often it was asked before.
#[tokio::test(start_paused = true)]
async fn no_worker_accepts_a_key_whose_deletion_is_being_reported() {
    let rig = Rig::with(CacheConfig::default(), &[key(1), key(2)]).await;
    rig.present().await;
    let fronts = [(); 4].map(|()| rig.cache.front());
    let text = text_of(&key(1));
    let ask = async |front: &WorkerFront| got(front.grant(presented(&text)).await);
    for front in fronts.iter().cycle().take(400) {
        assert_eq!(ask(front).await, Ok(key(1).id));
    }
    rig.store.set_positions_wanted(true);
    settle().await;
    rig.store.gates.report.close();
    let place = rig.store.delete(key(1).id);
    within(rig.store.gates.report.somebody_waits()).await;
    for front in &fronts {
        assert_eq!(ask(front).await, Err(LookupError::Unknown));
    }
    rig.store.gates.report.open();
    rig.reported(place).await;
}

/// The same when the log was lost and memory is filled again.
#[tokio::test(start_paused = true)]
async fn a_fill_reports_only_what_no_worker_contradicts() {
    let rig = Rig::with(CacheConfig::default(), &[key(1), key(2)]).await;
    rig.present().await;
    let fronts = [(); 4].map(|()| rig.cache.front());
    let text = text_of(&key(1));
    for front in &fronts {
        assert!(front.grant(presented(&text)).await.is_ok());
    }
    rig.store.set_positions_wanted(true);
    settle().await;
    rig.store.gates.report.close();
    rig.store.delete_unlogged(key(1).id);
    rig.store.lose_log();
    rig.passing(rig.store.gates.report.somebody_waits()).await;
    for front in &fronts {
        let answer = front.grant(presented(&text)).await;
        assert_eq!(got(answer), Err(LookupError::Unknown));
    }
    rig.store.gates.report.open();
    rig.reported(rig.store.end()).await;
}

#[tokio::test(start_paused = true)]
async fn a_report_that_failed_is_made_again() {
    let rig = Rig::with(CacheConfig::default(), &[key(1)]).await;
    rig.present().await;
    rig.store.set_positions_wanted(true);
    settle().await;
    rig.store.gates.report.close();
    let place = rig.store.put(&key(2));
    within(rig.store.gates.report.somebody_waits()).await;
    rig.applied(place).await;
    rig.store.fail_next();
    rig.store.gates.report.open();
    settle().await;
    assert_ne!(rig.places().last(), Some(&place));
    // The next look, whatever makes it, is enough.
    rig.store.ring_for_nothing();
    rig.reported(place).await;
}

#[tokio::test(start_paused = true)]
async fn it_says_when_it_ends_even_in_the_middle_of_a_report() {
    for is_reporting in [false, true] {
        let rig = Rig::with(CacheConfig::default(), &[key(1)]).await;
        rig.present().await;
        if is_reporting {
            rig.store.gates.report.close();
            rig.store.set_positions_wanted(true);
            rig.store.put(&key(2));
            within(rig.store.gates.report.somebody_waits()).await;
        }
        rig.stop.cancel();
        settle().await;
        assert_eq!(rig.store.removed(), [ID]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_revocation_is_measured_from_its_writing_to_its_being_in_force() {
    let rig = Rig::with(CacheConfig::default(), &keys(1..5)).await;
    rig.store.gates.changes_done.close();
    rig.store.put(&key(9));
    rig.store.delete(key(1).id);
    within(rig.store.gates.changes_done.somebody_waits()).await;
    rig.clock.advance(Duration::from_millis(90));
    rig.store.gates.changes_done.open();
    rig.applied(rig.store.end()).await;
    settle().await;
    let within = |bound| rig.counted.revocations_within(bound);
    assert_eq!(["0.075", "0.1", "10", "+Inf"].map(within), [0, 1, 1, 1]);
}
