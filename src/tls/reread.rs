//! What files came to, and what they come to now.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use xxhash_rust::xxh3::xxh3_128;

use super::error::TlsError;
use super::files::{Contents, Files};

/// What a look at the files led to.
#[derive(Debug)]
pub enum Look {
    /// They are as they were, or are being written just now: the next look will tell.
    Same,
    /// What they hold now is in force.
    Taken,
    /// What they hold now cannot be used; what was in force before still is. Told once for each such change.
    Kept(TlsError),
}

/// Something made of files, and made again when they change.
pub(super) struct Reread<T> {
    files: Files,
    current: ArcSwap<T>,
    /// The fingerprint of what was looked at last, used or not.
    seen: Mutex<u128>,
}

impl<T> Reread<T> {
    /// Reads `files` and makes a `T` of them. Blocks as long as the file system does.
    pub(super) fn open(
        files: Files,
        make: impl FnOnce(&Contents) -> Result<T, TlsError>,
    ) -> Result<Self, TlsError> {
        let contents = files.read()?;
        Ok(Self {
            seen: Mutex::new(contents.fingerprint()),
            current: ArcSwap::from_pointee(make(&contents)?),
            files,
        })
    }

    /// What is in force.
    pub(super) fn current(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// Looks at the files, and takes over what they hold when it is new and good. What was seen before is looked at
    /// again only when it is `told` to.
    ///
    /// Files that change together, by the swap of a link, may be read half before it and half after; so only what two
    /// readings agree on counts. Blocks as long as the file system does.
    pub(super) fn look(
        &self,
        told: bool,
        make: impl FnOnce(&Contents, &T) -> Result<T, TlsError>,
    ) -> Look {
        // A panic while it was held left a fingerprint, whole like any other.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut contents = self.files.read();
        let mut fingerprint = fingerprint(&contents);
        if fingerprint == *seen && !told {
            return Look::Same;
        }
        for readings in 0.. {
            let again = self.files.read();
            let before = std::mem::replace(&mut fingerprint, self::fingerprint(&again));
            contents = again;
            if before == fingerprint {
                break;
            }
            if readings == MOST_READINGS {
                return Look::Same;
            }
        }
        let is_new = std::mem::replace(&mut *seen, fingerprint) != fingerprint;
        match contents.and_then(|contents| make(&contents, &self.current.load())) {
            Ok(_) if !is_new => Look::Same,
            Ok(newer) => {
                self.current.store(Arc::new(newer));
                Look::Taken
            }
            Err(error) => Look::Kept(error),
        }
    }
}

/// How often files are read that change all the time, before the next look is waited for.
const MOST_READINGS: u32 = 3;

fn fingerprint(contents: &Result<Contents, TlsError>) -> u128 {
    match contents {
        Ok(contents) => contents.fingerprint(),
        Err(error) => xxh3_128(format!("{error:?}").as_bytes()),
    }
}

impl<T> std::fmt::Debug for Reread<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Reread").field(&self.files).finish()
    }
}
