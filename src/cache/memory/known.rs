use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ahash::RandomState;
use moka::notification::RemovalCause;
use moka::ops::compute::{CompResult, Op};
use moka::sync::Cache;
use papaya::{HashMap, OwnedGuard, ResizeMode};

use super::{Remembered, keyed_hasher};
use crate::key::{Grant, KeyDigest};

/// Which part of the room is made at once when there is none: finding whom to put out takes a walk over the map.
const PART: u64 = 64;

/// The grants, at most so many.
///
/// While every key fits, all are in `set`, a plain map: who reads it writes nothing that another thread reads. As soon
/// as one does not fit, those that are asked for move to `asked`, and a newcomer takes the place of some that are still
/// in `set`, since nobody has asked for those. When `set` is empty, `asked` finds out who is asked for least. A fill
/// after which every key fits again moves all of them back.
///
/// A grant is in one of the two, and in both only while it moves: it comes to its new place before it leaves the old
/// one. Who asks for one that is just moving back may miss it; memory is not complete then, so that this is no
/// certainty.
#[derive(Debug)]
pub(super) struct Known {
    set: HashMap<KeyDigest, Remembered, RandomState>,
    asked: Cache<KeyDigest, Remembered, RandomState>,
    /// Held by whoever changes one of them, for microseconds. Nobody waits for it in order to read.
    changing: Mutex<()>,
    census: Arc<Census>,
}

/// How many grants there are, and whether one had to leave for want of room, or could not come.
#[derive(Debug)]
struct Census {
    capacity: u64,
    held: AtomicU64,
    /// How many of them are in `asked`.
    asked: AtomicU64,
    evicted: AtomicU64,
    /// What `evicted` was when the last ended fill began; while it has not grown, every key is held.
    evicted_at_fill: AtomicU64,
    /// Whether it matters who is asked for: some key is not held for want of room.
    is_short: AtomicBool,
}

impl Known {
    /// Room for `capacity` grants.
    pub fn new(capacity: u64) -> Self {
        let census = Arc::new(Census {
            capacity,
            held: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            evicted_at_fill: AtomicU64::new(u64::MAX),
            is_short: AtomicBool::new(false),
        });
        let counted = Arc::clone(&census);
        let asked = Cache::builder()
            .max_capacity(capacity)
            .eviction_listener(move |_, _, cause| counted.left(cause))
            .build_with_hasher(keyed_hasher());
        // Whoever makes the map grow copies all of it, so that a reader never looks in two tables.
        let set = HashMap::builder()
            .hasher(keyed_hasher())
            .resize_mode(ResizeMode::Blocking)
            .build();
        Self {
            set,
            asked,
            changing: Mutex::new(()),
            census,
        }
    }

    /// The grant known by `digest`. Waits for nobody.
    pub fn get(&self, digest: &KeyDigest) -> Option<Arc<Grant>> {
        if let Some(found) = self.set.pin().get(digest) {
            let grant = Arc::clone(&found.grant);
            if self.census.is_short() {
                self.prefer(digest);
            }
            return Some(grant);
        }
        if self.census.asked() == 0 {
            return None;
        }
        self.asked.get(digest).map(|found| found.grant)
    }

    /// Takes in a grant, in place of the one that is known by the digest, or of others when there is no room.
    pub fn put(&self, digest: KeyDigest, grant: &Remembered) {
        let _changing = self.lock();
        if !self.replace(digest, grant) {
            self.add(digest, grant);
        }
    }

    /// The same, unless a grant is known by the digest.
    pub fn put_if_absent(&self, digest: KeyDigest, grant: &Remembered) {
        let _changing = self.lock();
        let is_asked = self.census.asked() > 0 && self.asked.contains_key(&digest);
        if !is_asked && !self.set.pin().contains_key(&digest) {
            self.add(digest, grant);
        }
    }

    /// The same as [`Known::put`], but never in place of others: when there is no room, the grant does not come.
    pub fn put_if_room(&self, digest: KeyDigest, grant: &Remembered) {
        let _changing = self.lock();
        if !self.census.has_room() {
            if !self.replace(digest, grant) {
                self.census.evicts();
            }
        } else if self.census.asked() > 0 {
            if !self.replace(digest, grant) {
                self.add_to_set(digest, grant);
            }
        } else {
            // What a fill does a million times, with one look into the map where the grant is new.
            self.census.comes();
            let set = self.set.pin();
            if set.try_insert(digest, grant.clone()).is_err() {
                self.census.goes();
                set.insert(digest, grant.clone());
            }
        }
    }

    /// Removes the grant known by `digest` if it `goes`.
    pub fn remove_if(&self, digest: KeyDigest, goes: impl Fn(&Remembered) -> bool) {
        let _changing = self.lock();
        let set = self.set.pin();
        if let Some(present) = set.get(&digest) {
            if goes(present) {
                set.remove(&digest);
                self.census.goes();
            }
        } else if self.census.asked() > 0 {
            let entry = self.asked.entry(digest);
            let result = entry.and_compute_with(|present| match present {
                Some(present) if goes(present.value()) => Op::Remove,
                _ => Op::Nop,
            });
            if matches!(result, CompResult::Removed(_)) {
                self.census.goes_from_asked();
            }
        }
    }

    /// Ends a fill that began when so many had been evicted: keeps only what `stays`, and says whether that is every
    /// key.
    pub fn settle(&self, evicted_before: u64, stays: impl Fn(&Remembered) -> bool) {
        let gone = |grant: &Remembered| !stays(grant);
        for (digest, grant) in &self.set.pin() {
            if gone(grant) {
                self.remove_if(*digest, gone);
            }
        }
        // After `set`: what moves meanwhile moves from there to here.
        for (digest, grant) in &self.asked {
            if gone(&grant) {
                self.remove_if(*digest, gone);
            }
        }
        self.asked.run_pending_tasks();
        if self.evicted() == evicted_before {
            self.move_all_back();
        }
        let at_fill = &self.census.evicted_at_fill;
        at_fill.store(evicted_before, Ordering::Release);
    }

    /// Every grant that is held, in no order, as [`Grants::iter`] gives it.
    pub fn grants(&self) -> Grants<'_> {
        Grants {
            known: self,
            guard: self.set.owned_guard(),
        }
    }

    /// How many grants are held.
    pub fn held(&self) -> u64 {
        self.census.held.load(Ordering::Acquire)
    }

    /// How many had to leave, or could not come, for want of room.
    pub fn evicted(&self) -> u64 {
        self.census.evicted.load(Ordering::Acquire)
    }

    /// How many of them since the last ended fill began.
    pub fn evicted_since_fill(&self) -> u64 {
        let at_fill = self.census.evicted_at_fill.load(Ordering::Acquire);
        self.evicted().saturating_sub(at_fill)
    }

    /// Whether every key is held, as of the last fill and what was put and removed since.
    pub fn is_complete(&self) -> bool {
        let census = &*self.census;
        self.evicted() == census.evicted_at_fill.load(Ordering::Acquire)
            && self.held() <= census.capacity
    }

    /// Does the housekeeping, so that requests seldom have to.
    pub fn tidy(&self) {
        self.asked.run_pending_tasks();
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there was a grant to be replaced. For who holds the lock, as all that follows.
    fn replace(&self, digest: KeyDigest, grant: &Remembered) -> bool {
        let set = self.set.pin();
        if set.contains_key(&digest) {
            set.insert(digest, grant.clone());
            return true;
        }
        if self.census.asked() == 0 {
            return false;
        }
        let entry = self.asked.entry(digest);
        let result = entry.and_compute_with(|present| match present {
            Some(_) => Op::Put(grant.clone()),
            None => Op::Nop,
        });
        matches!(result, CompResult::ReplacedWith(_))
    }

    fn add(&self, digest: KeyDigest, grant: &Remembered) {
        let has_room = self.census.has_room();
        if has_room && !self.census.is_short() {
            self.add_to_set(digest, grant);
            return;
        }
        self.add_to_asked(digest, grant);
        if has_room {
            return;
        }
        let part = (self.census.capacity / PART).max(1);
        let part = usize::try_from(part).unwrap_or(usize::MAX);
        for (digest, _) in self.set.pin().iter().take(part) {
            self.evict(digest);
        }
    }

    fn add_to_set(&self, digest: KeyDigest, grant: &Remembered) {
        self.census.comes();
        self.set.pin().insert(digest, grant.clone());
    }

    fn add_to_asked(&self, digest: KeyDigest, grant: &Remembered) {
        // Counted first: who sees it leave `set` sees that there is something in `asked`.
        self.census.comes_to_asked();
        self.asked.insert(digest, grant.clone());
    }

    /// Puts a grant out of `set`. Counted first: memory is not complete any more when it leaves.
    fn evict(&self, digest: &KeyDigest) {
        self.census.evicts();
        if self.set.pin().remove(digest).is_some() {
            self.census.goes();
        }
    }

    /// Moves one that is asked for out of the way of newcomers. Whoever finds the lock taken leaves that to the next.
    fn prefer(&self, digest: &KeyDigest) {
        let Ok(_changing) = self.changing.try_lock() else {
            return;
        };
        let set = self.set.pin();
        if self.census.is_short()
            && let Some(grant) = set.get(digest)
        {
            self.add_to_asked(*digest, grant);
            set.remove(digest);
            self.census.goes();
        }
    }

    fn move_all_back(&self) {
        let mut changing = self.lock();
        self.census.is_short.store(false, Ordering::Release);
        for (digest, _) in &self.asked {
            drop(changing);
            changing = self.lock();
            if let Some(grant) = self.asked.get(&*digest) {
                self.add_to_set(*digest, &grant);
                // When there is nothing to remove, it has been put out just now, and counted.
                if self.asked.remove(&*digest).is_some() {
                    self.census.goes_from_asked();
                }
            }
        }
    }
}

impl Census {
    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Acquire)
    }

    fn has_room(&self) -> bool {
        self.held.load(Ordering::Acquire) < self.capacity
    }

    fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Acquire)
    }

    fn comes(&self) {
        self.held.fetch_add(1, Ordering::AcqRel);
    }

    fn comes_to_asked(&self) {
        self.asked.fetch_add(1, Ordering::AcqRel);
        self.comes();
    }

    fn goes(&self) {
        self.held.fetch_sub(1, Ordering::AcqRel);
    }

    fn goes_from_asked(&self) {
        self.asked.fetch_sub(1, Ordering::AcqRel);
        self.goes();
    }

    fn evicts(&self) {
        self.evicted.fetch_add(1, Ordering::AcqRel);
        self.is_short.store(true, Ordering::Release);
    }

    /// `asked` has let one go.
    fn left(&self, cause: RemovalCause) {
        if cause == RemovalCause::Size {
            self.evicts();
            self.goes_from_asked();
        }
    }
}

/// What [`Known`] holds, to be read in pieces. What leaves it meanwhile is kept in memory until this is dropped.
pub(in crate::cache) struct Grants<'k> {
    known: &'k Known,
    guard: OwnedGuard<'k>,
}

impl Grants<'_> {
    /// Every grant, in no order. What changes meanwhile is seen or not; what moves may be seen twice.
    pub fn iter(&self) -> impl Iterator<Item = (KeyDigest, Arc<Grant>)> + Send {
        let set = self.known.set.iter(&self.guard);
        let set = set.map(|(digest, grant)| (*digest, Arc::clone(&grant.grant)));
        let asked = self.known.asked.iter();
        set.chain(asked.map(|(digest, grant)| (*digest, grant.grant)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Known {
        /// Puts out what is known by `digest`, as for want of room.
        pub(in crate::cache) fn put_out(&self, digest: &KeyDigest) {
            if self.asked.remove(digest).is_some() {
                self.census.left(RemovalCause::Size);
            } else if self.set.pin().contains_key(digest) {
                self.evict(digest);
            }
        }

        /// How many are in each place, counted.
        pub(in crate::cache) fn count(&self) -> (u64, u64) {
            self.tidy();
            let set = u64::try_from(self.set.pin().iter().count()).unwrap();
            let asked = u64::try_from(self.asked.iter().count()).unwrap();
            assert_eq!((set + asked, asked), (self.held(), self.census.asked()));
            (set, asked)
        }
    }
}
