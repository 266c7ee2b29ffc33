//! Everything that can happen to memory, in any order, and what must hold after each step of it.

use Step::*;
use proptest::prelude::*;
use rstest::rstest;

use super::*;

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
