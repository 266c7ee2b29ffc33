use Step::*;
use proptest::prelude::*;
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
    std::str::from_utf8(&name).unwrap().parse().unwrap()
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

/// One step of a history: somebody does something, with one of a few keys or look-ups.
#[derive(Debug, Clone)]
enum Step {
    /// A key is made or changed, or deleted, and the log says so.
    Put(u64),
    Delete(u64),
    /// The same, and the log is lost with it.
    PutLost(u64),
    DeleteLost(u64),
    /// A look-up begins, reads the database, puts what it read.
    LookUp(u64),
    Read(usize),
    End(usize),
    /// The follower applies so many entries of the log.
    Follow(usize),
    /// A fill reads its place in the log, reads the keys, gives one, gives the rest and ends, breaks off.
    FillBegin,
    FillRead,
    FillGive,
    FillEnd,
    FillBreak,
    /// Memory has no room for a key any more.
    Evict(u64),
    /// A worker asks.
    Ask(u64),
}

const KEYS: u64 = 2;

/// With one key, all that happens happens to it; with two, they may get in each other's way.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    (1..=KEYS).prop_flat_map(|keys| prop::collection::vec(step(keys), 1..60))
}

fn step(keys: u64) -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..keys).prop_map(Step::Put),
        2 => (0..keys).prop_map(Step::Delete),
        3 => (0..keys).prop_map(Step::PutLost),
        3 => (0..keys).prop_map(Step::DeleteLost),
        4 => (0..keys).prop_map(Step::LookUp),
        4 => (0..2_usize).prop_map(Step::Read),
        4 => (0..2_usize).prop_map(Step::End),
        3 => (1..4_usize).prop_map(Step::Follow),
        4 => Just(Step::FillBegin),
        4 => Just(Step::FillRead),
        2 => Just(Step::FillGive),
        4 => Just(Step::FillEnd),
        1 => Just(Step::FillBreak),
        4 => (0..keys).prop_map(Step::Evict),
        4 => (0..keys).prop_map(Step::Ask),
    ]
}

/// A history as it goes: the database, memory, and who is in the middle of something.
struct History<'m> {
    memory: &'m Memory,
    /// Every state each key was in, oldest first: whether it was live. At first it was not.
    states: Vec<Vec<bool>>,
    /// Which key changed; `None` where that is lost.
    log: Vec<Option<u64>>,
    /// How much of the log has been applied.
    place: usize,
    /// The state of each key that memory must not fall behind: as of what has been applied.
    floor: Vec<usize>,
    look_ups: Vec<Asked>,
    fill: Option<Reading<'m>>,
    fronts: Vec<Front>,
}

struct Asked {
    n: u64,
    epoch: Epoch,
    read: Option<usize>,
}

struct Reading<'m> {
    filling: Filling<'m>,
    place: usize,
    floor: Vec<usize>,
    /// The live keys as they were read and not given yet.
    keys: Option<Vec<(u64, usize)>>,
}

impl<'m> History<'m> {
    fn new(memory: &'m Memory) -> Self {
        let keys = usize::try_from(KEYS).unwrap();
        Self {
            memory,
            states: vec![vec![false]; keys],
            log: vec![None],
            place: 0,
            floor: vec![0; keys],
            look_ups: Vec::new(),
            fill: None,
            fronts: std::iter::repeat_with(Front::default).take(keys).collect(),
        }
    }

    fn go(&mut self, step: &Step) {
        match *step {
            Step::Put(n) => self.write(n, true, true),
            Step::Delete(n) => self.write(n, false, true),
            Step::PutLost(n) => self.write(n, true, false),
            Step::DeleteLost(n) => self.write(n, false, false),
            Step::LookUp(n) => {
                let epoch = self.memory.epoch();
                self.look_ups.push(Asked {
                    n,
                    epoch,
                    read: None,
                });
            }
            Step::Read(at) => self.read(at),
            Step::End(at) => self.end(at),
            Step::Follow(count) => self.follow(count),
            Step::FillBegin => self.fill_begin(),
            Step::FillRead => self.fill_read(),
            Step::FillGive => self.fill_give(1),
            Step::FillEnd => self.fill_end(),
            Step::FillBreak => self.fill = None,
            Step::Evict(n) => self.evict(n),
            Step::Ask(n) => self.ask(n),
        }
    }

    fn write(&mut self, n: u64, is_live: bool, is_logged: bool) {
        self.states[index(n)].push(is_live);
        self.log.push(is_logged.then_some(n));
    }

    fn now(&self, n: u64) -> usize {
        self.states[index(n)].len() - 1
    }

    fn is_live(&self, n: u64, state: usize) -> bool {
        self.states[index(n)][state]
    }

    fn read(&mut self, at: usize) {
        if let Some(n) = self.look_ups.get(at).map(|look_up| look_up.n) {
            let now = self.now(n);
            self.look_ups[at].read.get_or_insert(now);
        }
    }

    fn end(&mut self, at: usize) {
        let Some(Asked {
            n,
            epoch,
            read: Some(state),
        }) = self.look_ups.get(at)
        else {
            return;
        };
        if self.is_live(*n, *state) {
            self.memory
                .remember_loaded(digest(*n), &grant(*n, *state), *epoch);
        } else {
            self.memory
                .remember_unknown(digest(*n), *epoch, Duration::ZERO);
        }
        self.look_ups.remove(at);
    }

    fn follow(&mut self, count: usize) {
        if self.fill.is_some() {
            return;
        }
        let after = self.log.split_off(self.place);
        let mut changes = Vec::new();
        for n in after.iter().take(count).map_while(|entry| *entry) {
            let now = self.now(n);
            changes.push(if self.is_live(n, now) {
                put(n, now)
            } else {
                KeyChange::Gone(digest(n))
            });
            self.floor[index(n)] = now;
        }
        self.place += changes.len();
        self.log.extend(after);
        self.memory.apply(changes);
    }

    fn fill_begin(&mut self) {
        if self.fill.is_none() {
            self.fill = Some(Reading {
                filling: self.memory.begin_fill(),
                place: self.log.len(),
                floor: (0..KEYS).map(|n| self.now(n)).collect(),
                keys: None,
            });
        }
    }

    fn fill_read(&mut self) {
        let live = (0..KEYS).map(|n| (n, self.now(n)));
        let live = live.filter(|(n, state)| self.is_live(*n, *state)).collect();
        if let Some(fill) = &mut self.fill {
            fill.keys.get_or_insert(live);
        }
    }

    fn fill_give(&mut self, count: usize) {
        if let Some(Reading {
            filling,
            keys: Some(keys),
            ..
        }) = &mut self.fill
        {
            for (n, state) in keys.drain(..count.min(keys.len())) {
                filling.put(&key(n, state));
            }
        }
    }

    fn fill_end(&mut self) {
        self.fill_give(usize::MAX);
        if let Some(fill) = self.fill.take_if(|fill| fill.keys.is_some()) {
            fill.filling.end();
            self.place = fill.place;
            self.floor = fill.floor;
        }
    }

    fn evict(&self, n: u64) {
        self.memory.known.put_out(&digest(n));
    }

    fn ask(&mut self, n: u64) {
        let was_complete = self.memory.is_complete();
        let told = self.fronts[index(n)].ask(self.memory, &digest(n));
        self.check(n, told.as_deref(), was_complete);
    }

    /// What is told is no older than what has been applied.
    fn check(&self, n: u64, told: Option<&Grant>, was_complete: bool) {
        let floor = self.floor[index(n)];
        if let Some(grant) = told {
            let state = state_of(grant);
            assert!(state >= floor, "{n} is told as {state}, and was {floor}");
            assert!(self.is_live(n, state));
        } else if was_complete || self.memory.is_unknown(&digest(n), Duration::ZERO) {
            let since = &self.states[index(n)][floor..];
            assert!(since.contains(&false), "{n} is told to be none");
        }
    }

    fn check_all(&self) {
        for n in 0..KEYS {
            let told = self.memory.known(&digest(n));
            self.check(n, told.as_deref(), self.memory.is_complete());
        }
    }

    /// Lets everybody end what they began, and the follower catch up.
    fn come_to_rest(&mut self) {
        self.fill = None;
        while !self.look_ups.is_empty() {
            self.read(0);
            self.end(0);
        }
        self.follow(usize::MAX);
        if self.place < self.log.len() {
            self.fill_begin();
            self.fill_read();
            self.fill_end();
        }
    }
}

fn index(n: u64) -> usize {
    usize::try_from(n).unwrap()
}

/// Lets `steps` happen to a memory with `room` for so many, each with what must hold after it, and then everything come to rest.
fn live_through(steps: &[Step], room: u64) {
    let memory = memory(room);
    let mut history = History::new(&memory);
    for step in steps {
        history.go(step);
        history.check_all();
    }
    history.come_to_rest();
    for n in 0..KEYS {
        let now = history.now(n);
        history.ask(n);
        match memory.known(&digest(n)) {
            Some(grant) => assert!(history.is_live(n, now) && state_of(&grant) == now),
            None => assert!(!history.is_live(n, now) || !memory.is_complete()),
        }
        if memory.is_unknown(&digest(n), Duration::ZERO) {
            assert!(!history.is_live(n, now));
        }
    }
    memory.known.count();
    assert!(memory.held() <= room);
}

#[rstest]
#[case::look_up_before_a_deletion(&[
    FillBegin, FillRead, FillEnd, Put(0), LookUp(0), Read(0), Delete(0), Follow(9), End(0), Ask(0),
])]
#[case::look_up_before_a_creation(&[
    FillBegin, FillRead, FillEnd, LookUp(0), Read(0), Put(0), Follow(9), Evict(0), End(0), Ask(0),
])]
#[case::copy_before_a_deletion(&[
    Put(0), FillBegin, FillRead, FillEnd, Ask(0), Delete(0), Follow(9), Ask(0),
])]
#[case::look_up_before_a_lost_deletion(&[
    Put(0), LookUp(0), Read(0), DeleteLost(0), FillBegin, End(0), FillRead, FillEnd, Ask(0),
])]
#[case::look_up_that_ends_after_a_lost_deletion(&[
    Put(0), LookUp(0), Read(0), DeleteLost(0), FillBegin, FillRead, FillEnd, End(0), Ask(0),
])]
#[case::look_up_older_than_what_the_fill_gave(&[
    Put(0), LookUp(0), Read(0), PutLost(0), FillBegin, FillRead, FillGive, End(0), FillEnd, Ask(0),
])]
#[case::copy_before_a_lost_deletion(&[
    Put(0), FillBegin, FillRead, FillEnd, Ask(0), DeleteLost(0), FillBegin, FillRead, FillEnd, Ask(0),
])]
#[case::fill_that_broke_off(&[
    Put(0), FillBegin, FillRead, FillGive, DeleteLost(0), FillBreak, FillBegin, FillRead, FillEnd, Ask(0),
])]
#[case::change_during_a_fill(&[
    Put(0), FillBegin, FillRead, Delete(0), FillEnd, Follow(9), Ask(0),
])]
fn a_known_trap_catches_nobody(#[case] steps: &[Step], #[values(1, 10)] room: u64) {
    live_through(steps, room);
}

proptest! {
    #[test]
    fn any_history_ends_with_what_the_database_says(steps in steps(), room in 1..4_u64) {
        // With room for one, two keys are in each other's way; with room for three, never.
        live_through(&steps, room);
    }
}
