//! Nobody comes back from the dead: a look-up against a change, stopped at every point, in every order.

use rstest::rstest;

use super::*;
use crate::support::gate::Gate;

/// What is done to a key while a look-up for it is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// It is deleted.
    Delete,
    /// It is limited to another model.
    Narrow,
}

/// One step of one of the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    LookUp,
    Change,
}

/// Every order of so many steps of each side.
fn orders_of(look_up: u32, change: u32) -> Vec<Vec<Side>> {
    let mut orders = Vec::new();
    for pattern in 0_u32..1 << (look_up + change) {
        if pattern.count_ones() == look_up {
            let side = |step: u32| match (pattern >> step) & 1 {
                1 => Side::LookUp,
                _ => Side::Change,
            };
            orders.push((0..look_up + change).map(side).collect());
        }
    }
    orders
}

#[test]
fn every_order_is_tried() {
    assert_eq!(orders_of(4, 3).len(), 35);
    assert_eq!(orders_of(4, 5).len(), 126);
}

/// A look-up of `key` goes through four steps: it is asked for, it has read, it has ended, its caller has the answer. A
/// change goes through three: it is committed, the follower has read it, the follower has applied it.
async fn race(rig: &Rig, key: &ApiKey, change: Change, order: &[Side]) {
    let gates = &rig.store.gates;
    gates.changes.close();
    gates.changes_done.close();
    let (mut looked_up, mut changed) = (0, 0);
    let mut caller = None;
    let mut place = Cursor::default();
    for side in order {
        match side {
            Side::LookUp => {
                looked_up += 1;
                caller = look_up_step(rig, key, looked_up, caller).await;
            }
            Side::Change => {
                changed += 1;
                match changed {
                    1 => {
                        place = commit(rig, key, change);
                        within(gates.changes.somebody_waits()).await;
                    }
                    2 => {
                        gates.changes.let_one_pass();
                        within(gates.changes_done.somebody_waits()).await;
                    }
                    _ => {
                        gates.changes_done.open();
                        rig.applied(place).await;
                        gates.changes.open();
                        // From now on no caller may be told what was before.
                        assert_changed(rig, key, change, order).await;
                    }
                }
            }
        }
    }
    assert_changed(rig, key, change, order).await;
}

/// Goes one step on with a look-up, which may have ended at the first when memory could answer.
async fn look_up_step(
    rig: &Rig,
    key: &ApiKey,
    step: u32,
    caller: Option<Asking>,
) -> Option<Asking> {
    let gates = &rig.store.gates;
    match (step, caller) {
        (1, _) => {
            // Only this caller is stopped: whoever asks after it is not.
            gates.find.stop_next();
            let asking = rig.asking(key).await;
            if asking.got.is_some() {
                gates.find.open();
                return None;
            }
            within(gates.find.somebody_waits()).await;
            Some(asking)
        }
        (2, Some(caller)) => {
            gates.found.stop_next();
            gates.find.open();
            within(gates.found.somebody_waits()).await;
            Some(caller)
        }
        (3, caller) => {
            gates.found.open();
            settle().await;
            caller
        }
        (_, caller) => {
            if let Some(caller) = caller {
                assert_ne!(caller.answer().await, Err(UNAVAILABLE));
            }
            None
        }
    }
}

fn commit(rig: &Rig, key: &ApiKey, change: Change) -> Cursor {
    match change {
        Change::Delete => rig.store.delete(key.id),
        Change::Narrow => {
            let mut narrow = key.clone();
            narrow.scope = ModelScope::from_request(Some(&["other"])).expect("a scope");
            rig.store.put(&narrow)
        }
    }
}

/// Asks through the worker's front, twice, so that the second answer may come from there.
async fn assert_changed(rig: &Rig, key: &ApiKey, change: Change, order: &[Side]) {
    for _ in 0..2 {
        let grant = within(rig.grant(key)).await;
        match change {
            Change::Delete => assert_eq!(got(grant), Err(LookupError::Unknown), "in {order:?}"),
            Change::Narrow => {
                let model = NamedModel::Named(ModelId::new("m1"));
                let permit = grant
                    .expect("a live key")
                    .check(Purpose::Calling, model, START);
                assert!(permit.is_err(), "in {order:?}");
            }
        }
    }
}

#[rstest]
#[case(Change::Delete)]
#[case(Change::Narrow)]
#[tokio::test(start_paused = true)]
async fn a_look_up_never_undoes_a_change(#[case] change: Change) {
    for order in orders_of(4, 3) {
        let rig = Rig::start().await;
        let key = key(7);
        // Known to the database, not to memory: as in partial memory.
        rig.store.put_unlogged(&key);
        race(&rig, &key, change, &order).await;
    }
}

/// A look-up goes through its four steps as above; a refill goes through five: the log is lost, the place in the log
/// is read, the keys are read, they are given, the refill is done. The deletion, which no log will tell, comes before
/// the refill begins, or at the last moment before it reads anything.
#[rstest]
#[tokio::test(start_paused = true)]
async fn a_look_up_never_undoes_what_a_refill_found_out(#[values(1, 2)] deleted_at: usize) {
    for order in orders_of(4, 5) {
        let stays = key(1);
        let rig = Rig::with(CacheConfig::default(), std::slice::from_ref(&stays)).await;
        let key = key(7);
        rig.store.put_unlogged(&key);
        let gates = &rig.store.gates;
        for gate in refill_gates(&rig) {
            gate.close();
        }
        let (mut looked_up, mut refilled) = (0, 0);
        let mut caller = None;
        for side in &order {
            match side {
                Side::LookUp => {
                    looked_up += 1;
                    caller = look_up_step(&rig, &key, looked_up, caller).await;
                }
                Side::Change => {
                    refilled += 1;
                    if refilled == deleted_at {
                        rig.store.delete_unlogged(key.id);
                    }
                    match refilled {
                        1 => {
                            rig.store.lose_log();
                            within(gates.snapshot.somebody_waits()).await;
                        }
                        5 => {
                            gates.snapshot_done.open();
                            rig.applied(rig.store.end()).await;
                            assert_changed(&rig, &key, Change::Delete, &order).await;
                        }
                        step => {
                            let [here, next] =
                                [step - 2, step - 1].map(|at| refill_gates(&rig)[at]);
                            here.open();
                            within(next.somebody_waits()).await;
                        }
                    }
                }
            }
            // Never a moment without the others.
            assert_eq!(
                rig.asking(&stays).await.got,
                Some(Ok(stays.id)),
                "in {order:?}"
            );
        }
        assert_changed(&rig, &key, Change::Delete, &order).await;
    }
}

fn refill_gates(rig: &Rig) -> [&Gate; 4] {
    let gates = &rig.store.gates;
    [
        &gates.snapshot,
        &gates.snapshot_place,
        &gates.snapshot_keys,
        &gates.snapshot_done,
    ]
}

#[rstest]
#[tokio::test(start_paused = true)]
async fn a_refill_never_undoes_a_change(
    #[values(Change::Delete, Change::Narrow)] change: Change,
    #[values(0, 1, 2, 3)] committed_at: usize,
) {
    let key = key(7);
    let rig = Rig::with(CacheConfig::default(), std::slice::from_ref(&key)).await;
    assert_eq!(rig.ask(&key).await, Ok(key.id));
    for gate in refill_gates(&rig) {
        gate.close();
    }
    rig.store.lose_log();
    let mut place = Cursor::default();
    for (at, gate) in refill_gates(&rig).into_iter().enumerate() {
        within(gate.somebody_waits()).await;
        if at == committed_at {
            place = commit(&rig, &key, change);
        }
        gate.open();
    }
    rig.applied(place).await;
    assert_changed(&rig, &key, change, &[]).await;
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_found_nothing_never_hides_a_key_made_meanwhile() {
    // So few fit that most of the new keys have left memory again when the look-ups end.
    let config = CacheConfig {
        keys: 4,
        unknown_for: Duration::from_hours(1),
        ..CacheConfig::default()
    };
    let rig = Rig::with(config, &[]).await;
    let made = keys(1..40);
    rig.store.gates.found.close();
    let mut callers = Vec::new();
    for key in &made {
        callers.push(rig.asking(key).await);
    }
    while rig.finds() < made.len() {
        settle().await;
    }
    for key in &made {
        rig.store.put(key);
    }
    rig.applied(rig.store.end()).await;
    rig.store.gates.found.open();
    for caller in callers {
        assert_eq!(caller.answer().await, Err(LookupError::Unknown));
    }
    rig.pass(Duration::from_secs(1)).await;
    for key in &made {
        assert_eq!(rig.ask(key).await, Ok(key.id));
    }
}
