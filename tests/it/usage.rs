//! Marks of use: coalesced, bounded, written in order, tried again, and once more at the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use keyward::clock::Clock;
use keyward::key::{Grant, KeyId, LocalGrant, ModelId, NamedModel, Permit, Purpose, UnixTime};
use keyward::telemetry::metrics::Metrics;
use keyward::usage::{UsageConfig, UsageRecorder};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::support::gated_store::{GatedStore, START};
use crate::support::keys::key;

struct Rig {
    store: Arc<GatedStore>,
    recorder: UsageRecorder,
    stop: CancellationToken,
    flusher: JoinHandle<()>,
}

impl Rig {
    fn start(config: &UsageConfig) -> Self {
        let store = Arc::new(GatedStore::new(Clock::manual(START)));
        let metrics = Metrics::unrecorded().usage;
        let (recorder, flusher) = UsageRecorder::new(Arc::clone(&store) as _, config, metrics);
        let stop = CancellationToken::new();
        let flusher = Handle::current().spawn(flusher.run(stop.clone()));
        Self {
            store,
            recorder,
            stop,
            flusher,
        }
    }

    async fn stop(self) -> Arc<GatedStore> {
        self.stop.cancel();
        self.flusher.await.expect("the flusher does not panic");
        self.store
    }
}

/// A key's grant, last used then.
fn grant(n: u128, last_used_at: Option<UnixTime>) -> Arc<Grant> {
    let mut key = key(n);
    key.last_used_at = last_used_at;
    let (_, grant) = Grant::of(&key, START).next().expect("the present text's");
    grant
}

fn permit(grant: &Arc<Grant>) -> Permit {
    let model = NamedModel::Named(ModelId::new("m1"));
    let grant = LocalGrant::from(Arc::clone(grant));
    let permit = grant.permit(Purpose::Calling, model, START);
    permit.expect("a live key")
}

fn at(secs: u64) -> UnixTime {
    UnixTime::from_secs(START.as_secs() + secs)
}

fn id(n: u128) -> KeyId {
    key(n).id
}

#[tokio::test(start_paused = true)]
async fn a_first_use_is_written_within_a_second_and_a_later_one_within_ten() {
    let rig = Rig::start(&UsageConfig::default());
    let (new, known) = (grant(1, None), grant(2, Some(START)));
    rig.recorder.touch(&permit(&new), at(5));
    rig.recorder.touch(&permit(&known), at(5));
    sleep(Duration::from_millis(1_001)).await;
    assert_eq!(rig.store.last_used(id(1)), Some(at(5)));
    assert_eq!(rig.store.last_used(id(2)), None);
    sleep(Duration::from_secs(9)).await;
    assert_eq!(rig.store.last_used(id(2)), Some(at(5)));
}

#[tokio::test(start_paused = true)]
async fn many_uses_of_one_key_are_one_row_with_the_latest_moment() {
    let rig = Rig::start(&UsageConfig::default());
    let grant = grant(1, Some(START));
    for secs in 1..9 {
        for _ in 0..1_000 {
            rig.recorder.touch(&permit(&grant), at(secs));
        }
        sleep(Duration::from_secs(1)).await;
    }
    sleep(Duration::from_secs(3)).await;
    assert_eq!(rig.store.written(), [[(id(1), at(8))]]);
}

#[tokio::test(start_paused = true)]
async fn two_texts_of_one_key_are_one_row() {
    let rig = Rig::start(&UsageConfig::default());
    let (old, new) = (grant(1, Some(START)), grant(1, Some(START)));
    rig.recorder.touch(&permit(&new), at(7));
    rig.recorder.touch(&permit(&old), at(5));
    let store = rig.stop().await;
    assert_eq!(store.written(), [[(id(1), at(7))]]);
}

#[tokio::test(start_paused = true)]
async fn batches_are_bounded_and_in_order_of_id() {
    let rig = Rig::start(&UsageConfig::default());
    for n in (1..2_501).rev() {
        rig.recorder.touch(&permit(&grant(n, Some(START))), at(1));
    }
    let written = rig.stop().await.written();
    let sizes: Vec<_> = written.iter().map(Vec::len).collect();
    assert_eq!(sizes, [1_000, 1_000, 500]);
    for batch in written {
        assert!(batch.is_sorted_by(|(a, _), (b, _)| a < b));
    }
}

#[tokio::test(start_paused = true)]
async fn a_use_that_finds_no_room_is_forgotten_and_the_next_tries_again() {
    let config = UsageConfig {
        queue: 2,
        ..UsageConfig::default()
    };
    let rig = Rig::start(&config);
    for n in 1..5 {
        rig.recorder.touch(&permit(&grant(n, None)), at(1));
    }
    let late = grant(5, None);
    rig.recorder.touch(&permit(&late), at(1));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.store.last_used(id(5)), None);
    rig.recorder.touch(&permit(&late), at(1));
    let store = rig.stop().await;
    assert_eq!(store.last_used(id(5)), Some(at(1)));
    assert_eq!(store.last_used(id(3)), None);
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_written_is_kept_and_written_later_with_back_off() {
    let rig = Rig::start(&UsageConfig::default());
    rig.store.break_down(true);
    let grant = grant(1, None);
    for secs in 0..60 {
        rig.recorder.touch(&permit(&grant), at(secs));
        sleep(Duration::from_secs(1)).await;
    }
    let tried = rig.store.calls.record.load(Ordering::Relaxed);
    assert!((3..=12).contains(&tried), "tried {tried} times");
    rig.store.break_down(false);
    sleep(Duration::from_secs(11)).await;
    assert_eq!(rig.store.last_used(id(1)), Some(at(59)));
}

#[tokio::test(start_paused = true)]
async fn an_outage_holds_no_more_than_there_is_room_for() {
    let config = UsageConfig {
        queue: 100,
        ..UsageConfig::default()
    };
    let rig = Rig::start(&config);
    rig.store.break_down(true);
    for n in 1..10_000 {
        rig.recorder.touch(&permit(&grant(n, None)), at(1));
        if n % 50 == 0 {
            sleep(Duration::from_secs(1)).await;
        }
    }
    rig.store.break_down(false);
    let store = rig.stop().await;
    assert_eq!(store.written().concat().len(), 200);
}

#[tokio::test(start_paused = true)]
async fn thousands_of_busy_keys_are_one_small_statement_a_second() {
    const KEYS: u128 = 10_000;
    const CALLS_A_SECOND: u128 = 100_000;
    let rig = Rig::start(&UsageConfig::default());
    let keys: Vec<_> = (1..=KEYS).map(|n| permit(&grant(n, Some(START)))).collect();
    let mut seconds = 0;
    for size in [60, 60] {
        let before = rig.store.written().len();
        for _ in 0..size {
            seconds += 1;
            for call in 0..CALLS_A_SECOND {
                let key = usize::try_from(call % KEYS).expect("small");
                rig.recorder.touch(&keys[key], at(seconds));
            }
            sleep(Duration::from_secs(1)).await;
        }
        let written = rig.store.written();
        assert!(written.len() - before <= size, "{}", written.len());
        assert!(written.iter().all(|batch| batch.len() <= 200));
    }
    // Nobody is left out: a round takes 50 s, and another is begun at once.
    for n in 1..=KEYS {
        let last = rig.store.last_used(id(n)).expect("written by now");
        assert!(last >= at(seconds - 61), "{n}: {last:?}");
    }
    let store = rig.stop().await;
    for n in 1..=KEYS {
        assert_eq!(store.last_used(id(n)), Some(at(seconds)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_use_goes_before_what_waits_for_its_turn() {
    let rig = Rig::start(&UsageConfig::default());
    for n in 1..=10_000 {
        rig.recorder.touch(&permit(&grant(n, Some(START))), at(1));
    }
    // Their turn has begun, and takes 50 s.
    sleep(Duration::from_secs(12)).await;
    assert!(rig.store.written().len() < 5);
    rig.recorder.touch(&permit(&grant(20_000, None)), at(12));
    sleep(Duration::from_millis(1_001)).await;
    assert_eq!(rig.store.last_used(id(20_000)), Some(at(12)));
}

#[tokio::test(start_paused = true)]
async fn a_pace_above_a_statement_is_several() {
    let config = UsageConfig {
        rows_per_second: 2_500,
        ..UsageConfig::default()
    };
    let rig = Rig::start(&config);
    for n in 1..=10_000 {
        rig.recorder.touch(&permit(&grant(n, None)), at(1));
    }
    sleep(Duration::from_millis(1_001)).await;
    let sizes: Vec<_> = rig.store.written().iter().map(Vec::len).collect();
    assert_eq!(sizes[sizes.len() - 3..], [1_000, 1_000, 500]);
}

#[tokio::test(start_paused = true)]
async fn the_last_flush_writes_everything() {
    let rig = Rig::start(&UsageConfig::default());
    for n in 1..100 {
        let last = (n % 2 == 0).then_some(START);
        rig.recorder.touch(&permit(&grant(n, last)), at(1));
    }
    let store = rig.stop().await;
    assert_eq!(store.written().concat().len(), 99);
}

#[tokio::test(start_paused = true)]
async fn the_last_flush_waits_no_longer_than_five_seconds() {
    let rig = Rig::start(&UsageConfig::default());
    rig.store.gates.record.close();
    rig.recorder.touch(&permit(&grant(1, None)), at(1));
    let began = tokio::time::Instant::now();
    rig.stop().await;
    assert_eq!(began.elapsed(), Duration::from_secs(5));
}
