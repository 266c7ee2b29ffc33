mod known;

use std::hash::{BuildHasher, RandomState as StdRandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ahash::RandomState;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use self::known::{Grants, Known};
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
    known: Known,
    unknown: Cache<KeyDigest, Absence, RandomState>,
    unknown_for: Duration,
    fence: Fence,
    generation: AtomicU64,
    /// The last fill begun, and the last one ended.
    fill_begun: AtomicU64,
    fill_ended: AtomicU64,
}

#[derive(Debug, Clone)]
struct Remembered {
    grant: Arc<Grant>,
    fill: Fill,
}

/// The database said in `epoch` that there is no such key. Counts until `until`, or until anything changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Absence {
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

impl Memory {
    pub fn new(config: &CacheConfig) -> Self {
        // The least recently used goes first: a flood of invented keys must not be kept out by those before it.
        let unknown = Cache::builder()
            .max_capacity(config.unknown_keys)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(config.unknown_for)
            .build_with_hasher(keyed_hasher());
        Self {
            known: Known::new(config.keys),
            unknown,
            unknown_for: config.unknown_for,
            fence: Fence::default(),
            generation: AtomicU64::new(0),
            fill_begun: AtomicU64::new(0),
            fill_ended: AtomicU64::new(0),
        }
    }

    /// The grant known by `digest`.
    pub fn known(&self, digest: &KeyDigest) -> Option<Arc<Grant>> {
        self.known.get(digest)
    }

    /// Whether the database has just said that no key is known by `digest`, and nothing has changed since.
    pub fn is_unknown(&self, digest: &KeyDigest, now: Duration) -> bool {
        let absence = self.absence(digest);
        absence.is_some_and(|absence| self.counts(absence, now))
    }

    /// What the database has said last about a digest that no key has, whether it still counts or not.
    pub fn absence(&self, digest: &KeyDigest) -> Option<Absence> {
        self.unknown.get(digest)
    }

    /// Whether that still counts: it was said just now, and nothing has changed since.
    pub fn counts(&self, absence: Absence, now: Duration) -> bool {
        now < absence.until && absence.epoch == self.epoch()
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
        self.known.is_complete()
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
            self.known.put_if_absent(digest, &remembered);
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
                    for (digest, grant) in grants_of(&key) {
                        self.known.put(digest, &Remembered { grant, fill });
                    }
                }
                KeyChange::Gone(digest) => self.known.remove_if(digest, |_| true),
            }
        }
        self.raise_generation();
    }

    /// Begins to read the whole key set. For the follower alone.
    pub fn begin_fill(&self) -> Filling<'_> {
        Filling {
            memory: self,
            fill: Fill(self.fill_begun.fetch_add(1, Ordering::Relaxed) + 1),
            evicted_before: self.known.evicted(),
        }
    }

    /// How many grants are held.
    pub fn held(&self) -> u64 {
        self.known.held()
    }

    /// How many had to leave, or could not come, for want of room since the last ended fill began.
    pub fn lacking(&self) -> u64 {
        self.known.evicted_since_fill()
    }

    /// How many digests without a key are held.
    pub fn unknown_count(&self) -> u64 {
        self.unknown.entry_count()
    }

    /// Does the housekeeping of both memories, so that requests seldom have to.
    pub fn tidy(&self) {
        self.known.tidy();
        self.unknown.run_pending_tasks();
    }

    /// Every grant that is held.
    pub fn grants(&self) -> Grants<'_> {
        self.known.grants()
    }

    /// What changes whenever what [`Self::grants`] gives does.
    pub fn version(&self) -> Version {
        Version {
            generation: self.generation(),
            evicted: self.known.evicted(),
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
        let mut digests = 0;
        for (digest, grant) in grants_of(key) {
            digests += 1;
            self.put_grant(digest, grant);
        }
        digests
    }

    /// Takes in one grant of the set.
    pub fn put_grant(&self, digest: KeyDigest, grant: Arc<Grant>) {
        let fill = self.fill;
        let known = &self.memory.known;
        known.put_if_room(digest, &Remembered { grant, fill });
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
        let is_of_this = |remembered: &Remembered| remembered.fill == fill;
        memory.known.settle(self.evicted_before, is_of_this);
    }
}

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        self.memory.raise_generation();
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
