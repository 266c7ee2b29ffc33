use std::hash::{BuildHasher, RandomState as StdRandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ahash::RandomState;
use moka::notification::RemovalCause;
use moka::ops::compute::{CompResult, Op};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::CacheConfig;
use super::fence::{Epoch, Fence};
use crate::key::{ApiKey, Grant, KeyDigest, UnixTime};
use crate::store::KeyChange;

/// The two memories: grants by digest, and digests that no key has.
///
/// One task, the follower, changes what is known ([`Memory::apply`], [`Memory::begin_fill`]); look-ups add to it
/// ([`Memory::remember_loaded`]) as far as the fence lets them. Nothing here waits for anything but a lock of
/// nanoseconds.
#[derive(Debug)]
pub(super) struct Memory {
    known: Cache<KeyDigest, Remembered, RandomState>,
    unknown: Cache<KeyDigest, Absence, RandomState>,
    unknown_for: Duration,
    fence: Fence,
    generation: AtomicU64,
    /// The last fill begun, and the last one ended.
    fill_begun: AtomicU64,
    fill_ended: AtomicU64,
    census: Arc<Census>,
}

#[derive(Debug, Clone)]
struct Remembered {
    grant: Arc<Grant>,
    fill: Fill,
}

/// The database said in `epoch` that there is no such key. Counts until `until`, or until anything changes.
#[derive(Debug, Clone, Copy)]
struct Absence {
    epoch: Epoch,
    until: Duration,
}

/// One reading of the whole key set. What is put during it carries it, so that what does not can be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fill(u64);

/// What memory was when somebody looked: a copy of a grant counts only while the generation is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Generation(u64);

/// What memory holds, told apart from what it held before. A look-up that adds a key makes no new version: while there
/// is room for all, the log names that key as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    generation: Generation,
    /// Partial memory changes with every look-up, and each puts another key out.
    evicted: u64,
}

/// How many grants there are, and whether one had to leave for want of room.
#[derive(Debug)]
struct Census {
    capacity: u64,
    held: AtomicU64,
    evicted: AtomicU64,
    /// What `evicted` was when the last ended fill began; while it has not grown, memory holds every key.
    evicted_at_fill: AtomicU64,
}

impl Memory {
    pub fn new(config: &CacheConfig) -> Self {
        let census = Arc::new(Census {
            capacity: config.keys,
            held: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            evicted_at_fill: AtomicU64::new(u64::MAX),
        });
        let counted = Arc::clone(&census);
        let known = Cache::builder()
            .max_capacity(config.keys)
            .eviction_listener(move |_, _, cause| counted.left(cause))
            .build_with_hasher(keyed_hasher());
        // The least recently used goes first: a flood of invented keys must not be kept out by those before it.
        let unknown = Cache::builder()
            .max_capacity(config.unknown_keys)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(config.unknown_for)
            .build_with_hasher(keyed_hasher());
        Self {
            known,
            unknown,
            unknown_for: config.unknown_for,
            fence: Fence::default(),
            generation: AtomicU64::new(0),
            fill_begun: AtomicU64::new(0),
            fill_ended: AtomicU64::new(0),
            census,
        }
    }

    /// The grant known by `digest`.
    pub fn known(&self, digest: &KeyDigest) -> Option<Arc<Grant>> {
        self.known.get(digest).map(|remembered| remembered.grant)
    }

    /// Whether the database has just said that no key is known by `digest`, and nothing has changed since.
    pub fn is_unknown(&self, digest: &KeyDigest, now: Duration) -> bool {
        self.unknown
            .get(digest)
            .is_some_and(|absence| now < absence.until && absence.epoch == self.epoch())
    }

    /// What a copy of a grant has to be marked with; to be taken before the grant is.
    pub fn generation(&self) -> Generation {
        Generation(self.generation.load(Ordering::Acquire))
    }

    /// What an answer of the database has to be marked with; to be taken before the database is asked.
    pub fn epoch(&self) -> Epoch {
        self.fence.epoch()
    }

    /// Whether every live key is in here, as of the last change applied.
    ///
    /// Ends before the first key has to leave for want of room; a fill may restore it.
    pub fn is_complete(&self) -> bool {
        self.census.is_complete()
    }

    /// Takes in a grant that the database told a look-up of epoch `since`, unless there is one already.
    ///
    /// Returns `false`, and remembers nothing, when something has changed since the database was asked.
    pub fn remember_loaded(&self, digest: KeyDigest, grant: &Arc<Grant>, since: Epoch) -> bool {
        let put = || {
            let remembered = Remembered {
                grant: Arc::clone(grant),
                fill: Fill(self.fill_ended.load(Ordering::Relaxed)),
            };
            self.known.entry(digest).and_compute_with(|present| {
                if present.is_some() {
                    return Op::Nop;
                }
                self.census.comes();
                Op::Put(remembered)
            });
        };
        self.fence.unless_raised(since, put).is_some()
    }

    /// Remembers that the database told a look-up of epoch `since` that there is no such key.
    ///
    /// Needs no fence: what has been overtaken does not count.
    pub fn remember_unknown(&self, digest: KeyDigest, since: Epoch, now: Duration) {
        let absence = Absence {
            epoch: since,
            until: now.saturating_add(self.unknown_for),
        };
        self.unknown.insert(digest, absence);
    }

    /// Takes in changes, oldest first. For the follower alone.
    pub fn apply(&self, changes: Vec<KeyChange>) {
        self.fence.raise(|| {});
        let fill = Fill(self.fill_ended.load(Ordering::Relaxed));
        for change in changes {
            match change {
                KeyChange::Put(key) => {
                    self.put(&key, fill);
                }
                KeyChange::Gone(digest) => self.remove_if(digest, |_| true),
            }
        }
        self.raise_generation();
    }

    /// Begins to read the whole key set. For the follower alone.
    pub fn begin_fill(&self) -> Filling<'_> {
        Filling {
            memory: self,
            fill: Fill(self.fill_begun.fetch_add(1, Ordering::Relaxed) + 1),
            evicted_before: self.census.evicted.load(Ordering::Acquire),
        }
    }

    /// How many grants are held, to be compared with the capacity.
    pub fn held(&self) -> u64 {
        self.census.held.load(Ordering::Acquire)
    }

    /// How many grants are held, as of the last housekeeping.
    pub fn known_count(&self) -> u64 {
        self.known.entry_count()
    }

    /// How many digests without a key are held.
    pub fn unknown_count(&self) -> u64 {
        self.unknown.entry_count()
    }

    /// Does the housekeeping of both memories, so that requests seldom have to.
    pub fn tidy(&self) {
        self.known.run_pending_tasks();
        self.unknown.run_pending_tasks();
    }

    /// Every grant that is held, in no order. Takes no lock for longer than one of them; what changes meanwhile is seen
    /// or not.
    pub fn grants(&self) -> impl Iterator<Item = (Arc<KeyDigest>, Arc<Grant>)> + Send {
        let known = self.known.iter();
        known.map(|(digest, remembered)| (digest, remembered.grant))
    }

    /// What changes whenever what [`Self::grants`] gives does.
    pub fn version(&self) -> Version {
        Version {
            generation: self.generation(),
            evicted: self.census.evicted.load(Ordering::Acquire),
        }
    }

    fn put(&self, key: &ApiKey, fill: Fill) -> u64 {
        let mut digests = 0;
        for (digest, grant) in grants_of(key) {
            digests += 1;
            self.put_grant(digest, grant, fill);
        }
        digests
    }

    fn put_grant(&self, digest: KeyDigest, grant: Arc<Grant>, fill: Fill) {
        self.known.entry(digest).and_compute_with(|present| {
            if present.is_none() {
                self.census.comes();
            }
            Op::Put(Remembered { grant, fill })
        });
    }

    fn remove_if(&self, digest: KeyDigest, goes: impl FnOnce(&Remembered) -> bool) {
        let result = self
            .known
            .entry(digest)
            .and_compute_with(|present| match present {
                Some(present) if goes(present.value()) => Op::Remove,
                _ => Op::Nop,
            });
        if matches!(result, CompResult::Removed(_)) {
            self.census.goes();
        }
    }

    /// Ends the validity of every copy. Release: whoever sees the new generation sees the memory behind it.
    fn raise_generation(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }
}

/// A reading of the whole key set, under way.
///
/// Until it ends nothing that was known is gone. Dropped before its end, it leaves what it has put, which is newer
/// than what was there, and claims nothing.
pub(super) struct Filling<'m> {
    memory: &'m Memory,
    fill: Fill,
    evicted_before: u64,
}

impl Filling<'_> {
    /// Takes in one key of the set; returns by how many digests it is known.
    pub fn put(&self, key: &ApiKey) -> u64 {
        self.memory.put(key, self.fill)
    }

    /// Takes in one grant of the set.
    pub fn put_grant(&self, digest: KeyDigest, grant: Arc<Grant>) {
        self.memory.put_grant(digest, grant, self.fill);
    }

    /// Removes what the set did not hold.
    ///
    /// A look-up that asked before the set was read may have put a key that was deleted in between, and no entry of
    /// the log will say so. Raising the epoch *after* the reading and *before* the removal settles every such look-up:
    /// it has put, without this fill's mark, and is removed here; or it comes too late. A look-up that asks after the
    /// raising knows more than the set did, and puts with this fill's mark.
    pub fn end(self) {
        let Self { memory, fill, .. } = self;
        memory
            .fence
            .raise(|| memory.fill_ended.store(fill.0, Ordering::Relaxed));
        for (digest, remembered) in &memory.known {
            if remembered.fill != fill {
                memory.remove_if(*digest, |present| present.fill != fill);
            }
        }
        memory.known.run_pending_tasks();
        memory
            .census
            .evicted_at_fill
            .store(self.evicted_before, Ordering::Release);
    }
}

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        self.memory.raise_generation();
    }
}

impl Census {
    fn comes(&self) {
        self.held.fetch_add(1, Ordering::AcqRel);
    }

    fn goes(&self) {
        self.held.fetch_sub(1, Ordering::AcqRel);
    }

    fn left(&self, cause: RemovalCause) {
        if cause == RemovalCause::Size {
            self.evicted.fetch_add(1, Ordering::AcqRel);
            self.goes();
        }
    }

    fn is_complete(&self) -> bool {
        self.evicted.load(Ordering::Acquire) == self.evicted_at_fill.load(Ordering::Acquire)
            && self.held.load(Ordering::Acquire) <= self.capacity
    }
}

/// Every grant of a key, whatever the time: whether the text before a rotation still works is decided with each
/// request, by the database's time, which is not known yet when memory is first filled.
pub(super) fn grants_of(key: &ApiKey) -> impl Iterator<Item = (KeyDigest, Arc<Grant>)> {
    Grant::of(key, UnixTime::from_secs(0))
}

/// A hasher that chooses buckets in a way nobody outside can foretell. It never stands for a digest: equality is on
/// the whole 32 bytes (SECURITY C11).
pub(super) fn keyed_hasher() -> RandomState {
    // The standard library's hasher is keyed from the system's randomness.
    let random = StdRandomState::new();
    let [a, b, c, d] = [1, 2, 3, 4].map(|place: u64| random.hash_one(place));
    RandomState::with_seeds(a, b, c, d)
}

#[cfg(test)]
mod tests;
