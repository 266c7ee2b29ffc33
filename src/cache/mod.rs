//! What is remembered about keys.
//!
//! Memory is a copy of the key set that follows the database. Six parts, each with one job:
//!
//! * `memory` holds what is known, and digests that no key has. An answer that a change has overtaken does not get
//!   past its `fence`: nobody comes back from the dead. While every key fits, what is known is a plain concurrent map
//!   (papaya), so that a look costs the same however many there are; what does not fit there, and the digests without
//!   a key, are caches that keep what is asked for (moka).
//! * `follow` is the task that fills memory once and then applies the change log to it.
//! * `load` asks the database for one key that memory does not hold: once however many callers wait, within a budget
//!   for the whole process.
//! * `seal` keeps the key set in a file, and fills memory from it when a start cannot reach the database.
//! * `looks` says how long ago the follower last saw the database, and so whether memory may be believed.
//! * `presence` says in the database how far the follower is, for whoever waits until a change is in force everywhere.
//!
//! Every worker has a [`WorkerFront`], which most requests do not get past.
//!
//! There are three answers: the grant, [`LookupError::Unknown`], and [`LookupError::Unavailable`] (not known here now),
//! which is never remembered and never told as the second.

mod backoff;
mod config;
mod fence;
mod follow;
mod front;
mod load;
mod looks;
mod memory;
mod presence;
mod report;
mod seal;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

pub use config::CacheConfig;
pub use follow::Follower;
pub use front::WorkerFront;
pub use load::Loader;
pub use presence::{Identity, Presence};
pub use seal::{Sealer, was_sealed};

use crate::clock::Clock;
use crate::key::{Grant, KeyDigest};
use crate::store::{Cursor, KeyStore};
use crate::telemetry::metrics::CacheMetrics;
use load::{Answer, LookUps};
use looks::{Looks, Standing};
use memory::Memory;

/// How long a caller is told to wait before it asks again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What is remembered about keys. Cheap to copy; every copy is the same memory.
#[derive(Clone)]
pub struct KeyCache(Arc<Shared>);

/// The tasks that keep a [`KeyCache`]; without them it knows nothing. All belong on the background runtime.
pub struct CacheTasks {
    /// Keeps memory in step with the database.
    pub follower: Follower,
    /// Asks the database for single keys.
    pub loader: Loader,
    /// Keeps the sealed set, if the settings name a file for it. To be stopped after the follower, so that it seals the
    /// last that was seen.
    pub sealer: Option<Sealer>,
}

/// Why a key is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// There is no such key.
    #[error("there is no such key")]
    Unknown,
    /// Whether there is such a key is not known here now: the database is away, or too much is asked of it.
    #[error("whether there is such a key is not known now")]
    Unavailable {
        /// When to ask again.
        retry_after: Duration,
    },
}

/// How well memory follows the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheState {
    /// How long ago the last successful look at the database began; `None` until memory has been filled.
    pub age: Option<Duration>,
    /// What that means.
    pub freshness: Freshness,
    /// Whether memory holds every key.
    pub is_complete: bool,
    /// Whether memory is that of a sealed set: the database has not answered since the start.
    pub is_sealed: bool,
}

/// What the age of memory means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Memory was never filled: no key is served.
    Empty,
    /// Memory is current.
    Fresh,
    /// Memory is older than [`CacheConfig::max_lag`]: known keys are served on.
    Degraded,
    /// Memory is older than [`CacheConfig::max_stale`]: no key is served.
    Stale,
}

struct Shared {
    memory: Memory,
    looks: Looks,
    lookups: LookUps,
    lookup_timeout: Duration,
    applied: watch::Sender<Cursor>,
    /// What was applied when somebody last wanted to know.
    wanted: watch::Sender<Cursor>,
    /// Whether the database knows this instance, or need not, or cannot be told.
    announced: watch::Sender<bool>,
    clock: Clock,
    metrics: CacheMetrics,
}

impl KeyCache {
    /// An empty memory, and the tasks that fill it and keep it.
    #[must_use]
    pub fn new(
        store: Arc<dyn KeyStore>,
        config: &CacheConfig,
        clock: Clock,
        metrics: CacheMetrics,
    ) -> (Self, CacheTasks) {
        let (lookups, asked) = LookUps::new(config);
        let shared = Arc::new(Shared {
            memory: Memory::new(config),
            looks: Looks::new(config, clock.clone()),
            lookups,
            lookup_timeout: config.lookup_timeout,
            applied: watch::Sender::new(Cursor::default()),
            wanted: watch::Sender::new(Cursor::default()),
            announced: watch::Sender::new(true),
            clock,
            metrics,
        });
        let tasks = CacheTasks {
            follower: Follower::new(Arc::clone(&shared), Arc::clone(&store), config),
            sealer: Sealer::new(Arc::clone(&shared), config),
            loader: Loader::new(asked, Arc::clone(&shared), store, config),
        };
        (Self(shared), tasks)
    }

    /// A front for one worker thread.
    #[must_use]
    pub fn front(&self) -> WorkerFront {
        WorkerFront::new(self.clone())
    }

    /// The place in the change log up to which memory holds every change.
    #[must_use]
    pub fn applied(&self) -> watch::Receiver<Cursor> {
        self.0.applied.subscribe()
    }

    /// The task that says in `store` how far this memory is.
    #[must_use]
    pub fn presence(
        &self,
        store: Arc<dyn KeyStore>,
        identity: Identity,
        config: &CacheConfig,
    ) -> Presence {
        let Shared {
            applied,
            wanted,
            announced,
            clock,
            ..
        } = &*self.0;
        let (applied, wanted) = (applied.subscribe(), wanted.subscribe());
        Presence::new(
            store,
            identity,
            config.max_stale,
            clock.clone(),
            applied,
            wanted,
            announced.clone(),
        )
    }

    /// How well memory follows the database, now.
    #[must_use]
    pub fn state(&self) -> CacheState {
        CacheState {
            age: self.0.looks.age(),
            freshness: match self.0.looks.standing() {
                Standing::Empty => Freshness::Empty,
                Standing::Fresh => Freshness::Fresh,
                Standing::Outage | Standing::Paused => Freshness::Degraded,
                Standing::Stale => Freshness::Stale,
            },
            is_complete: self.0.memory.is_complete(),
            is_sealed: self.0.looks.is_sealed(),
        }
    }

    /// Waits until memory has been filled once, from the database or from the sealed set.
    pub async fn filled(&self) {
        self.0.looks.filled().await;
    }

    /// What the database, or memory, says about a digest that the front could not answer for at once.
    async fn look_up(&self, digest: KeyDigest) -> Result<Arc<Grant>, LookupError> {
        let shared = &*self.0;
        let found = shared.look_up(digest).await;
        match found {
            Ok(Found::Known(grant)) => {
                shared.metrics.lookup_known();
                Ok(grant)
            }
            Ok(Found::Loaded(grant)) => {
                shared.metrics.lookup_loaded();
                Ok(grant)
            }
            Ok(Found::LoadedNone) => {
                shared.metrics.lookup_loaded();
                Err(LookupError::Unknown)
            }
            Ok(Found::KnownNone) => {
                shared.metrics.lookup_unknown();
                Err(LookupError::Unknown)
            }
            Err(refusal) => {
                shared.metrics.lookup_refused();
                Err(refusal)
            }
        }
    }
}

/// Where an answer came from, and which it was.
enum Found {
    Known(Arc<Grant>),
    KnownNone,
    Loaded(Arc<Grant>),
    LoadedNone,
}

impl Shared {
    /// Whether a key that memory did not have when it was asked is none, or was made elsewhere a moment ago. `was_complete` says
    /// whether it held every key before it was asked.
    fn holds_every_key(&self, was_complete: bool) -> bool {
        was_complete && self.memory.is_complete() && self.looks.standing() == Standing::Fresh
    }

    /// Whether a look-up may begin now. Where none may, memory that holds every key is answer enough.
    fn may_look_up(&self) -> bool {
        self.lookups.may_begin(self.clock.elapsed_at_turn())
    }

    async fn look_up(&self, digest: KeyDigest) -> Result<Found, LookupError> {
        const UNAVAILABLE: LookupError = LookupError::Unavailable {
            retry_after: RETRY_AFTER,
        };
        if self.looks.standing() == Standing::Paused {
            self.looks.one_more().await;
        }
        if matches!(self.looks.standing(), Standing::Empty | Standing::Stale) {
            return Err(UNAVAILABLE);
        }
        // Taken before memory is asked: a fill that ends in between must not make a miss look like a certainty.
        let was_complete = self.memory.is_complete();
        if let Some(grant) = self.memory.known(&digest) {
            return Ok(Found::Known(grant));
        }
        let holds_every_key = self.holds_every_key(was_complete);
        // In a flood, that spares the search for what was looked up.
        let is_none = holds_every_key && !self.may_look_up();
        if is_none
            || self
                .memory
                .is_unknown(&digest, self.clock.elapsed_at_turn())
        {
            return Ok(Found::KnownNone);
        }
        let epoch = self.memory.epoch();
        let asked = if holds_every_key {
            // One that was made elsewhere a moment ago is worth a look, but memory is answer enough not to wait for it.
            self.lookups
                .ask_now(digest, epoch, self.clock.elapsed_at_turn())
        } else {
            self.lookups.ask(digest, epoch)
        };
        let Some(mut answer) = asked else {
            return if holds_every_key {
                Ok(Found::KnownNone)
            } else {
                Err(UNAVAILABLE)
            };
        };
        let answered = answer.wait_for(Option::is_some);
        let answer = match timeout(self.lookup_timeout, answered).await {
            Ok(Ok(answer)) => answer.clone(),
            // The wait was too long, or the loader has ended.
            Err(_) | Ok(Err(_)) => None,
        };
        match answer {
            Some(Answer::Known(grant)) => Ok(Found::Loaded(grant)),
            Some(Answer::Unknown) => Ok(Found::LoadedNone),
            Some(Answer::None) | None => Err(UNAVAILABLE),
        }
    }
}
