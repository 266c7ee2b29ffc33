//! What files hold, and whether that has changed.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;
use zeroize::Zeroizing;

use super::error::TlsError;

/// The largest file that is read, in bytes: a system's whole list of authorities is a quarter of a megabyte.
const LARGEST: u64 = 4 * 1024 * 1024;

/// A file, and the setting that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) path: PathBuf,
    pub(super) setting: &'static str,
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PairFiles {
    pub(super) certificate: Named,
    pub(super) key: Named,
}

/// Everything that one side's TLS is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) pair: Option<PairFiles>,
    pub(super) roots: Option<Named>,
}

/// The bytes of one side's files, read one after another.
pub(super) struct Contents {
    pub(super) certificate: Zeroizing<Vec<u8>>,
    pub(super) key: Zeroizing<Vec<u8>>,
    pub(super) roots: Zeroizing<Vec<u8>>,
}

impl Named {
    pub(super) fn new(path: &Path, setting: &'static str) -> Self {
        Self {
            path: path.to_owned(),
            setting,
        }
    }

    /// The file does not hold what it must.
    pub(super) fn wrong(&self, what: &'static str) -> TlsError {
        TlsError::Content {
            file: self.path.clone(),
            setting: self.setting,
            what,
        }
    }

    /// Opens the path anew each time, through whatever links there are now.
    fn read(&self) -> Result<Zeroizing<Vec<u8>>, TlsError> {
        let read = || -> io::Result<Zeroizing<Vec<u8>>> {
            let file = File::open(&self.path)?;
            // One allocation where the size is known: what is grown out of is not wiped.
            let size = file.metadata()?.len().min(LARGEST) + 1;
            let mut bytes = Zeroizing::new(Vec::with_capacity(
                usize::try_from(size).unwrap_or_default(),
            ));
            file.take(LARGEST + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().map_err(|cause| TlsError::Read {
            file: self.path.clone(),
            setting: self.setting,
            cause,
        })?;
        if bytes.len() as u64 > LARGEST {
            return Err(self.wrong("is larger than 4 MiB"));
        }
        Ok(bytes)
    }
}

impl Files {
    /// Reads all of them. Blocks as long as the file system does.
    pub(super) fn read(&self) -> Result<Contents, TlsError> {
        let read = |file: Option<&Named>| file.map_or(Ok(Zeroizing::default()), Named::read);
        let pair = self.pair.as_ref();
        Ok(Contents {
            certificate: read(pair.map(|pair| &pair.certificate))?,
            key: read(pair.map(|pair| &pair.key))?,
            roots: read(self.roots.as_ref())?,
        })
    }
}

impl Contents {
    /// Other for other contents. Says nothing of what they are, and is kept here only.
    pub(super) fn fingerprint(&self) -> u128 {
        let mut hash = Xxh3::new();
        for bytes in [&self.certificate, &self.key, &self.roots] {
            hash.update(&bytes.len().to_le_bytes());
            hash.update(bytes);
        }
        hash.digest128()
    }
}
