use std::cell::RefCell;
use std::sync::Arc;

use tokio::sync::watch;

use super::memory::{Absence, Generation};
use super::{KeyCache, LookupError, Shared};
use crate::key::{Grant, KeyDigest, LocalGrant, PresentedKey};
use crate::store::Cursor;

/// Slots of one front: 4096 × 64 bytes.
const SLOTS: usize = 4096;

/// How many texts that are no keys one front remembers, in as many places.
const ABSENT: usize = 64;

/// How many hits of a slot go by before partial memory is asked, too.
const HITS_UNSEEN: u8 = 32;

/// The hot keys of one worker, copied out of memory, so that most requests touch nothing that another thread writes.
///
/// A slot counts only while its generation is the cache's: a change of memory raises the generation after it, and a
/// copy is marked with the generation taken before it was made. So nothing revoked outlives the raising.
///
/// What memory was told of texts that are no keys is copied as well, for who tries one again and again: it says itself until
/// when it counts, and until which change.
pub struct WorkerFront {
    cache: KeyCache,
    slots: RefCell<Box<[Option<Slot>]>>,
    absent: RefCell<Box<[Option<Absent>]>>,
}

/// A digest that no key has, and what memory was told of it.
type Absent = (KeyDigest, Absence);

/// Each in one line of a processor's memory, so that to look into a cold one waits for one.
#[derive(Debug)]
#[repr(align(64))]
struct Slot {
    digest: KeyDigest,
    generation: Generation,
    grant: LocalGrant,
    hits: u8,
    /// How often it was asked for, halved whenever another wanted its place.
    standing: u8,
}

impl WorkerFront {
    pub(super) fn new(cache: KeyCache) -> Self {
        let slots = std::iter::repeat_with(|| None).take(SLOTS).collect();
        Self {
            cache,
            slots: RefCell::new(slots),
            absent: RefCell::new([None; ABSENT].into()),
        }
    }

    /// What may be decided about the caller of `presented`.
    ///
    /// A known key costs a digest and a few tens of nanoseconds, and waits for nothing; an unknown one may be looked up
    /// in the database, once however many callers wait, within [`CacheConfig::lookup_timeout`]. Dropping the future
    /// leaves nothing behind; a look-up that has begun goes on for whoever comes next.
    ///
    /// # Errors
    ///
    /// [`LookupError::Unknown`] when there is no such key; [`LookupError::Unavailable`] when that is not known here now.
    ///
    /// [`CacheConfig::lookup_timeout`]: super::CacheConfig::lookup_timeout
    pub async fn grant(&self, presented: PresentedKey<'_>) -> Result<LocalGrant, LookupError> {
        self.known_by(presented.digest()).await
    }

    /// The same about whoever presented a key with this digest before.
    ///
    /// # Errors
    ///
    /// As [`WorkerFront::grant`].
    pub async fn known_by(&self, digest: KeyDigest) -> Result<LocalGrant, LookupError> {
        let shared = &*self.cache.0;
        match self.remembered(&digest) {
            Remembered::Known(grant) => return Ok(grant),
            Remembered::Missed { was_complete }
                if self.is_absent(&digest)
                    || (shared.holds_every_key(was_complete) && !shared.may_look_up()) =>
            {
                shared.metrics.lookup_unknown();
                return Err(LookupError::Unknown);
            }
            Remembered::Missed { .. } | Remembered::NotAsked => {}
        }
        // Taken first: an answer that a change overtakes must not count as a copy.
        let generation = shared.memory.generation();
        // Boxed, so that not every request carries the size of a look-up.
        let found = Box::pin(self.cache.look_up(digest)).await;
        if let Err(LookupError::Unknown) = found
            && let Some(absence) = shared.memory.absence(&digest)
        {
            self.absent.borrow_mut()[place_of(&digest, ABSENT)] = Some((digest, absence));
        }
        let grant = LocalGrant::from(found?);
        // Memory that is too small may not take a newcomer in; who calls again and again is not looked up each time.
        let slot = Slot::new(digest, generation, &grant);
        self.slots.borrow_mut()[place_of(&digest, SLOTS)] = Some(slot);
        Ok(grant)
    }

    /// What memory holds about that digest, or has forgotten: no look-up is made and nothing is counted.
    #[must_use]
    pub fn held(&self, digest: &KeyDigest) -> Option<Arc<Grant>> {
        self.cache.0.memory.known(digest)
    }

    /// Tells when what memory says may have changed.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Cursor> {
        self.cache.applied()
    }

    /// Whether memory was told that no key is known by that digest, and it still counts.
    fn is_absent(&self, digest: &KeyDigest) -> bool {
        let Shared { memory, clock, .. } = &*self.cache.0;
        let held = self.absent.borrow()[place_of(digest, ABSENT)];
        held.is_some_and(|(absent, absence)| {
            absent == *digest && memory.counts(absence, clock.elapsed_at_turn())
        })
    }

    fn remembered(&self, digest: &KeyDigest) -> Remembered {
        let Shared {
            memory,
            looks,
            metrics,
            ..
        } = &*self.cache.0;
        if !looks.standing().may_serve_at_once() {
            return Remembered::NotAsked;
        }
        let generation = memory.generation();
        let mut slots = self.slots.borrow_mut();
        let slot = &mut slots[place_of(digest, SLOTS)];
        if let Some(held) = slot
            && held.digest == *digest
            && held.generation == generation
        {
            held.hits = held.hits.wrapping_add(1);
            held.standing = held.standing.saturating_add(1);
            if held.hits % HITS_UNSEEN == 0 && !memory.is_complete() {
                // Only asked so that it does not take a hot key for a cold one.
                let _ = memory.known(digest);
            }
            metrics.lookup_known();
            return Remembered::Known(held.grant.clone());
        }
        // Taken before memory is asked: a fill that ends in between must not make a miss look like a certainty.
        let was_complete = memory.is_complete();
        let Some(grant) = memory.known(digest) else {
            return Remembered::Missed { was_complete };
        };
        let grant = LocalGrant::from(grant);
        match slot {
            // Who comes seldom does not put out who comes often.
            Some(held) if held.generation == generation && held.standing > 0 => held.standing /= 2,
            _ => *slot = Some(Slot::new(*digest, generation, &grant)),
        }
        metrics.lookup_known();
        Remembered::Known(grant)
    }
}

/// What the front and memory said at once.
enum Remembered {
    Known(LocalGrant),
    /// Memory does not have it; whether it held every key before it was asked.
    Missed {
        was_complete: bool,
    },
    /// Memory is not fresh enough to be asked.
    NotAsked,
}

impl Slot {
    fn new(digest: KeyDigest, generation: Generation, grant: &LocalGrant) -> Self {
        Self {
            digest,
            generation,
            grant: grant.clone(),
            hits: 0,
            standing: 0,
        }
    }
}

const _: () = assert!(size_of::<Option<Slot>>() == 64);

/// The one of so many places that may hold this digest.
fn place_of(digest: &KeyDigest, places: usize) -> usize {
    // A few thousand: the remainder fits any usize.
    usize::try_from(digest.bucket() % places as u64).unwrap_or(0)
}
