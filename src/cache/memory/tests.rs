mod histories;

use rstest::rstest;
use uuid::Uuid;

use super::*;
use crate::key::{KeyCategory, KeyId, ModelScope, OrgId};

/// A key known by the digest of `n`, whose name says which state of it this is.
fn key(n: u64, state: usize) -> ApiKey {
    ApiKey {
        id: KeyId::new(Uuid::from_u128(u128::from(n) + 1)),
        prefix: format!("kw_{n}").parse().unwrap(),
        digest: digest(n),
        old: None,
        name: Some(state.to_string().parse().unwrap()),
        category: KeyCategory::WorkspaceInvoke,
        operation: None,
        scope: ModelScope::Every,
        org: OrgId::new(Uuid::from_u128(1)),
        team: None,
        owner: None,
        created_at: UnixTime::from_secs(1),
        expires_at: None,
        disabled_at: None,
        ends_calls: false,
        last_used_at: None,
    }
}

fn digest(n: u64) -> KeyDigest {
    KeyDigest::of(&n.to_be_bytes())
}

fn grant(n: u64, state: usize) -> Arc<Grant> {
    grants_of(&key(n, state)).next().unwrap().1
}

fn state_of(grant: &Grant) -> usize {
    let name = grant.identity().name();
    name.parse().unwrap()
}

fn put(n: u64, state: usize) -> KeyChange {
    KeyChange::Put(Box::new(key(n, state)))
}

fn memory(keys: u64) -> Memory {
    Memory::new(&CacheConfig {
        keys,
        unknown_keys: 100,
        unknown_for: Duration::from_hours(1),
        ..CacheConfig::default()
    })
}

/// A copy of a grant, as a worker's front keeps it.
#[derive(Default)]
struct Front(Option<(Generation, Arc<Grant>)>);

impl Front {
    fn ask(&mut self, memory: &Memory, digest: &KeyDigest) -> Option<Arc<Grant>> {
        let generation = memory.generation();
        if let Some((held, grant)) = &self.0
            && *held == generation
        {
            return Some(Arc::clone(grant));
        }
        self.0 = memory.known(digest).map(|grant| (generation, grant));
        self.0.as_ref().map(|(_, grant)| Arc::clone(grant))
    }
}

#[test]
fn memory_is_bounded() {
    let memory = memory(50);
    let filling = memory.begin_fill();
    for n in 0..1_000 {
        filling.put(&key(n, 0));
    }
    filling.end();
    for n in 1_000..5_000 {
        memory.apply(vec![put(n, 0)]);
        memory.remember_loaded(digest(n + 10_000), &grant(n + 10_000, 0), memory.epoch());
        memory.remember_unknown(digest(n + 20_000), memory.epoch(), Duration::ZERO);
    }
    memory.tidy();
    assert!(memory.held() <= 50);
    assert!(memory.unknown_count() <= 100);
    memory.known.count();
    assert!(!memory.is_complete());
}

/// Every key from `keys`, as the database tells them.
fn fill(memory: &Memory, keys: impl Iterator<Item = u64>) {
    let filling = memory.begin_fill();
    for n in keys {
        filling.put(&key(n, 0));
    }
    filling.end();
}

/// Asks for a key as a worker does, and looks it up where memory does not know it.
fn ask_or_load(memory: &Memory, n: u64) -> bool {
    let is_known = memory.known(&digest(n)).is_some();
    if !is_known {
        memory.remember_loaded(digest(n), &grant(n, 0), memory.epoch());
    }
    is_known
}

#[test]
fn no_moment_sees_more_than_there_is_room_for() {
    let memory = memory(50);
    fill(&memory, 0..50);
    assert_eq!(memory.known.count(), (50, 0));
    for n in 0..500 {
        memory.apply(vec![put(n + 50, 0)]);
        ask_or_load(&memory, n % 80);
        memory.tidy();
        assert!(memory.held() <= 50, "{} after {n}", memory.held());
    }
    memory.known.count();
}

#[test]
fn what_is_asked_for_stays_when_there_is_no_room_for_all() {
    const ROOM: u64 = 1_000;
    const HOT: u64 = 100;
    let memory = memory(ROOM);
    // The hot ones are among those that do not fit at first.
    fill(&memory, 0..4 * ROOM);
    assert_eq!(memory.known.count(), (ROOM, 0));
    let hot = 3 * ROOM..3 * ROOM + HOT;
    for n in hot.clone().chain(hot.clone()) {
        ask_or_load(&memory, n);
    }
    // Many others are asked for once; between any two the hot ones are asked for again, as are keys that are new.
    for cold in 0..3 * ROOM {
        ask_or_load(&memory, cold);
        for n in [cold % HOT, (cold + 50) % HOT] {
            ask_or_load(&memory, 3 * ROOM + n);
        }
        memory.tidy();
    }
    let known = hot.filter(|n| memory.known(&digest(*n)).is_some()).count();
    assert!(known >= 95, "{known} of {HOT} hot keys are held");
    memory.known.count();
}

#[test]
fn a_key_that_was_asked_for_outlasts_those_that_were_not() {
    let memory = memory(128);
    fill(&memory, 0..200);
    let asked: Vec<u64> = (0..200)
        .filter(|n| memory.known(&digest(*n)).is_some())
        .take(60)
        .collect();
    // There are enough others to be put out.
    for n in 1_000..1_060 {
        ask_or_load(&memory, n);
    }
    for n in asked {
        assert!(memory.known(&digest(n)).is_some(), "{n} was put out");
    }
}

#[test]
fn a_fill_that_gives_more_than_fits_puts_nobody_out() {
    let memory = memory(50);
    fill(&memory, 0..50);
    fill(&memory, 0..100);
    assert!((0..50).all(|n| memory.known(&digest(n)).is_some()));
    assert!(!memory.is_complete());
    assert_eq!((memory.held(), memory.lacking()), (50, 50));
}

#[test]
fn once_every_key_fits_again_all_are_in_the_plain_map() {
    let memory = memory(50);
    fill(&memory, 0..100);
    for n in 0..100 {
        ask_or_load(&memory, n);
        memory.known(&digest(n));
    }
    let (_, asked) = memory.known.count();
    assert!(asked > 0);
    let gone = (50..100).map(|n| KeyChange::Gone(digest(n)));
    memory.apply(gone.collect());
    assert!(!memory.is_complete());
    fill(&memory, 0..50);
    assert!(memory.is_complete());
    assert_eq!(memory.lacking(), 0);
    assert!((0..50).all(|n| memory.known(&digest(n)).is_some()));
    assert_eq!(memory.known.count(), (50, 0));
}

#[test]
fn what_is_changed_or_deleted_is_so_in_either_place() {
    let memory = memory(4);
    fill(&memory, 0..8);
    // Some are in one place, some in the other, some in none.
    for n in [0, 1, 6] {
        ask_or_load(&memory, n);
        memory.known(&digest(n));
    }
    let held: Vec<u64> = (0..8)
        .filter(|n| memory.grants().iter().any(|(held, _)| held == digest(*n)))
        .collect();
    for n in held {
        memory.apply(vec![put(n, 1)]);
        let told = memory.known(&digest(n)).expect("it was there");
        assert_eq!(state_of(&told), 1);
        memory.remember_loaded(digest(n), &grant(n, 0), memory.epoch());
        assert_eq!(state_of(&memory.known(&digest(n)).unwrap()), 1);
        memory.apply(vec![KeyChange::Gone(digest(n))]);
        assert!(memory.known(&digest(n)).is_none());
    }
    memory.known.count();
}

#[test]
fn memory_is_complete_only_while_every_key_of_a_fill_is_held() {
    let memory = memory(3);
    assert!(!memory.is_complete());
    let filling = memory.begin_fill();
    for n in 0..3 {
        filling.put(&key(n, 0));
    }
    assert!(!memory.is_complete());
    filling.end();
    assert!(memory.is_complete());
    // Too many, though none has left yet.
    memory.apply(vec![put(3, 0)]);
    assert!(!memory.is_complete());
    memory.tidy();
    memory.apply(vec![KeyChange::Gone(digest(0)), KeyChange::Gone(digest(1))]);
    assert!(!memory.is_complete());
    let filling = memory.begin_fill();
    for n in 2..4 {
        filling.put(&key(n, 0));
    }
    filling.end();
    assert!(memory.is_complete());
}

#[test]
fn a_text_without_a_key_is_forgotten_after_its_time_or_at_any_change() {
    let memory = memory(3);
    let now = Duration::from_secs(9);
    let ask = |after: u64| memory.is_unknown(&digest(1), now + Duration::from_secs(after));
    memory.remember_unknown(digest(1), memory.epoch(), now);
    assert!(ask(3_599));
    assert!(!ask(3_600));
    memory.apply(vec![put(2, 0)]);
    assert!(!ask(0));
}

#[test]
fn a_flood_of_texts_without_keys_moves_on() {
    // Whoever comes last is remembered, however often the others were asked for.
    let memory = memory(3);
    for n in 0..10_000 {
        memory.remember_unknown(digest(n), memory.epoch(), Duration::ZERO);
        for _ in 0..3 {
            memory.is_unknown(&digest(n), Duration::ZERO);
        }
    }
    memory.tidy();
    assert!(memory.is_unknown(&digest(9_999), Duration::ZERO));
    assert!(!memory.is_unknown(&digest(1), Duration::ZERO));
}

/// Threads that look up and read while another makes and deletes keys, one after the other: whoever asks after a
/// deletion was applied does not find the key. Where there is no room for others, those who ask move it about.
#[rstest]
#[case::with_room(0)]
#[case::without_room(200)]
fn no_thread_finds_a_key_after_its_deletion_was_applied(#[case] others: u64) {
    const ROUNDS: u64 = 200;
    let memory = memory(100);
    fill(&memory, 1_000_000..1_000_000 + others);
    let [committed, applied, looked_up, read, back] = [const { AtomicU64::new(0) }; 5];
    let is_before = |counter: &AtomicU64, n| counter.load(Ordering::Acquire) <= n;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..ROUNDS {
                let loaded = grant(n, 0);
                while is_before(&applied, n) {
                    let epoch = memory.epoch();
                    if is_before(&committed, n) {
                        memory.remember_loaded(digest(n), &loaded, epoch);
                    }
                }
                if memory.known(&digest(n)).is_some() {
                    back.fetch_add(1, Ordering::Relaxed);
                }
                looked_up.store(n + 1, Ordering::Release);
            }
        });
        scope.spawn(|| {
            for n in 0..ROUNDS {
                let mut front = Front::default();
                while is_before(&applied, n) {
                    front.ask(&memory, &digest(n));
                }
                if front.ask(&memory, &digest(n)).is_some() {
                    back.fetch_add(1, Ordering::Relaxed);
                }
                read.store(n + 1, Ordering::Release);
            }
        });
        for n in 0..ROUNDS {
            memory.apply(vec![put(n, 0)]);
            committed.store(n + 1, Ordering::Release);
            memory.apply(vec![KeyChange::Gone(digest(n))]);
            applied.store(n + 1, Ordering::Release);
            while is_before(&looked_up, n) || is_before(&read, n) {
                std::thread::yield_now();
            }
        }
    });
    assert_eq!(back.into_inner(), 0, "keys were found again");
}

/// Threads that ask for keys all the time while memory is filled again and again, with keys that go and keys that stay:
/// whoever asks for one that stays finds it, as it was or as it is.
#[test]
fn no_thread_misses_a_key_while_memory_is_filled_again() {
    const STAY: u64 = 500;
    const FILLS: u64 = 20;
    let memory = memory(2 * STAY);
    let fill = |round: u64| fill(&memory, (0..STAY).chain([STAY + round]));
    fill(0);
    let [rounds, missed] = [const { AtomicU64::new(0) }; 2];
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let digests: Vec<KeyDigest> = (0..STAY).map(digest).collect();
                while rounds.load(Ordering::Acquire) < FILLS {
                    let known = digests.iter().filter(|one| memory.known(one).is_some());
                    let found = u64::try_from(known.count()).unwrap();
                    missed.fetch_add(STAY - found, Ordering::Relaxed);
                }
            });
        }
        for round in 1..=FILLS {
            fill(round);
            rounds.store(round, Ordering::Release);
        }
    });
    assert_eq!(missed.into_inner(), 0, "keys were missed");
    assert!(memory.known(&digest(STAY + FILLS)).is_some());
    for gone in STAY..STAY + FILLS {
        assert!(
            memory.known(&digest(gone)).is_none(),
            "{gone} is still known"
        );
    }
}

/// Threads that ask for keys while memory, which was short of room, is filled again, with all that there is: whoever is
/// told that memory is complete, before and after, finds each key.
#[test]
fn no_thread_misses_a_key_of_complete_memory_while_keys_move_back() {
    const STAY: u64 = 200;
    const ROUNDS: u64 = 50;
    let memory = memory(2 * STAY);
    let [rounds, missed] = [const { AtomicU64::new(0) }; 2];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while rounds.load(Ordering::Acquire) < ROUNDS {
                for n in 0..STAY {
                    let was_complete = memory.is_complete();
                    let is_known = memory.known(&digest(n)).is_some();
                    if was_complete && !is_known && memory.is_complete() {
                        missed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
        for round in 1..=ROUNDS {
            fill(&memory, 0..3 * STAY);
            for n in 0..STAY {
                ask_or_load(&memory, n);
            }
            fill(&memory, 0..STAY);
            // What did not stay made room only at the end.
            fill(&memory, 0..STAY);
            assert!(memory.is_complete());
            assert_eq!(memory.known.count(), (STAY, 0));
            rounds.store(round, Ordering::Release);
        }
    });
    assert_eq!(missed.into_inner(), 0, "keys were missed");
}
