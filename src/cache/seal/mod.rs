//! The key set in a file, for a start without the database.
//!
//! One task, the [`Sealer`], writes what memory holds: whole, when keys have changed and at most every
//! [`CacheConfig::seal_every`]; while nothing changes, only that the set is still what the database says. It is no
//! part of following: however slow the disk is, changes are applied and keys are served.
//!
//! The follower reads the file once, when the first look at the database fails ([`load`]). What is read is served until
//! [`CacheConfig::max_stale`], counted from the last look that confirmed the set; a set that cannot be trusted is
//! refused, and the start goes on as if there were none.
//!
//! The set holds digests, scopes and names: no secret, and nothing that a key's text could be found from. Whoever may
//! *write* it decides who may call, so it is written for its owner alone and read only if nobody else could have
//! written it. The fingerprint finds accidents, not forgers.
//!
//! [`CacheConfig::seal_every`]: super::CacheConfig::seal_every
//! [`CacheConfig::max_stale`]: super::CacheConfig::max_stale

mod format;
mod read;
mod write;

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::memory::Version;
use super::{CacheConfig, Shared};
use crate::telemetry::chain;
use crate::telemetry::metrics::SealWrite;

pub(super) use read::{Refusal, load};

use format::{Confirmed, RECORD_HEAD};
use write::{Draft, SealedFile};

/// How often the sealer looks whether there is something to seal.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How much is written at once.
const CHUNK: usize = 256 * 1024;

/// The task that keeps the sealed set.
pub struct Sealer {
    shared: Arc<Shared>,
    path: PathBuf,
    every: Duration,
    /// What the file holds, when it is ours.
    sealed: Option<Sealed>,
    /// When it was last tried to write the whole set, and to confirm it.
    wrote_at: Option<Instant>,
    confirmed_at: Option<Instant>,
    is_failing: bool,
}

struct Sealed {
    file: SealedFile,
    version: Version,
    confirmed: Confirmed,
}

impl Sealer {
    /// A sealer, if the settings name a file.
    pub(super) fn new(shared: Arc<Shared>, config: &CacheConfig) -> Option<Self> {
        Some(Self {
            shared,
            path: config.seal.clone()?,
            every: config.seal_every,
            sealed: None,
            wrote_at: None,
            confirmed_at: None,
            is_failing: false,
        })
    }

    /// Seals what memory holds until `stop`, and then once more.
    ///
    /// Dropped at any time, it leaves the file as it was, whole.
    pub async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            never = self.seal_now_and_then() => match never {},
        }
        self.seal(true).await;
    }

    async fn seal_now_and_then(&mut self) -> Infallible {
        loop {
            sleep(LOOK_EVERY.min(self.every)).await;
            self.seal(false).await;
        }
    }

    /// Brings the file up to date as far as it is time for that; `at_once`, whatever the time.
    async fn seal(&mut self, at_once: bool) {
        // First what memory is as of, then which version it is: a change that is in memory by now makes another
        // version, and one that is not is after that moment. So what is confirmed holds every change before it.
        let Some(confirmed) = self.confirmed() else {
            return;
        };
        let version = self.shared.memory.version();
        let is_time =
            |last: Option<Instant>| at_once || last.is_none_or(|at| at.elapsed() >= self.every);
        if let Some(sealed) = &self.sealed
            && !sealed.file.is_there().await
        {
            self.sealed = None;
        }
        let result = match &mut self.sealed {
            Some(sealed) if sealed.version == version => {
                if confirmed.at <= sealed.confirmed.at || !is_time(self.confirmed_at) {
                    return;
                }
                self.confirmed_at = Some(Instant::now());
                sealed.confirmed = confirmed;
                let done = sealed.file.confirm(confirmed).await;
                done.map(|()| SealWrite::Confirmed)
            }
            _ if !is_time(self.wrote_at) => return,
            _ => {
                self.wrote_at = Some(Instant::now());
                self.confirmed_at = self.wrote_at;
                self.sealed = None;
                self.write(version, confirmed).await
            }
        };
        self.report(result);
    }

    /// As of when memory is what the database says. Nothing while it is a sealed set itself, or nothing at all.
    fn confirmed(&self) -> Option<Confirmed> {
        let Shared { looks, clock, .. } = &*self.shared;
        if looks.is_sealed() {
            return None;
        }
        let age = looks.age()?;
        Some(Confirmed {
            at: clock.machine_time().saturating_sub(age),
            ahead_ms: clock.ahead_ms(),
        })
    }

    /// Writes the whole set, in pieces: it is never held a second time.
    async fn write(&mut self, version: Version, confirmed: Confirmed) -> io::Result<SealWrite> {
        let shared = Arc::clone(&self.shared);
        let mut draft = Draft::begin(&self.path).await?;
        let mut chunk = Vec::with_capacity(CHUNK + RECORD_HEAD);
        let mut count = 0;
        let grants = shared.memory.grants();
        for (digest, grant) in grants.iter() {
            format::push_record(&mut chunk, &digest, &grant);
            count += 1;
            if chunk.len() >= CHUNK {
                draft.append(&chunk).await?;
                chunk.clear();
            }
        }
        draft.append(&chunk).await?;
        let file = draft.finish(count, confirmed).await?;
        self.sealed = Some(Sealed {
            file,
            version,
            confirmed,
        });
        Ok(SealWrite::Written)
    }

    /// A failure is told once, and its end.
    fn report(&mut self, result: io::Result<SealWrite>) {
        let metrics = &self.shared.metrics;
        let was_failing = std::mem::replace(&mut self.is_failing, result.is_err());
        match result {
            Ok(result) => {
                metrics.seal_written(result);
                if was_failing {
                    tracing::info!("the key set is sealed again");
                }
            }
            Err(error) => {
                metrics.seal_written(SealWrite::Failed);
                // A file that could not be confirmed is written anew.
                self.sealed = None;
                if !was_failing {
                    tracing::warn!(
                        cache.seal = %self.path.display(),
                        error = %chain(&error),
                        "the key set could not be sealed; it is tried again, and a start without the database would \
                         serve from what is there"
                    );
                }
            }
        }
    }
}

/// Whether a set was ever sealed where `config` says: then there was a key database, and one that is not there is
/// away, not new.
#[must_use]
pub fn was_sealed(config: &CacheConfig) -> bool {
    config.seal.as_deref().is_some_and(Path::exists)
}
