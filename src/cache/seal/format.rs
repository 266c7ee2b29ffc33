//! The file: a header of 64 bytes, and a record for each digest. Numbers are little-endian.
//!
//! | Header | Bytes |
//! |---|---|
//! | `kwseal\r\n` | 8 |
//! | the version of this form | 4 |
//! | zero | 4 |
//! | how many records there are, and how many bytes | 8 + 8 |
//! | the fingerprint of all those bytes | 8 |
//! | when the set was last confirmed, by the machine's clock, in milliseconds since 1970 | 8 |
//! | how many milliseconds the database's clock was ahead of that | 8 |
//! | the fingerprint of the header up to here | 8 |
//!
//! A record is the length of what follows (4), the digest (32) and the [grant](Grant::seal). Fingerprints are XXH3-64.
//!
//! The header alone is written again in place, to confirm a set that has not changed. It lies within the file's first
//! 512 bytes, so within one sector of any disk, which is written whole or not at all. Not the file's own time: a copy
//! has a new one, and would make an old set look confirmed.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use crate::key::{Grant, KeyDigest};

/// What the file begins with. The line end is damaged by whatever takes it for text.
pub const MAGIC: [u8; 8] = *b"kwseal\r\n";
/// The version that is written, and the only one that is read.
pub const VERSION: u32 = 1;
/// How long the header is.
pub const HEADER: usize = 64;
/// A record's length and digest.
pub const RECORD_HEAD: usize = 4 + DIGEST;
/// No record is longer; see [`Grant::seal`].
pub const MAX_RECORD: usize = 1024 * 1024;

const DIGEST: usize = 32;

/// As of when a set is what the database says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confirmed {
    /// By this machine's clock, since 1970: the only one that can be read when the database cannot.
    pub at: Duration,
    /// How far the database's clock was ahead of it: expiry goes by the database's.
    pub ahead_ms: i64,
}

impl Confirmed {
    /// What the database's clock says `age` later.
    pub fn database_time(self, age: Duration) -> Duration {
        let ahead = Duration::from_millis(self.ahead_ms.unsigned_abs());
        let now = self.at.saturating_add(age);
        if self.ahead_ms < 0 {
            now.saturating_sub(ahead)
        } else {
            now.saturating_add(ahead)
        }
    }
}

/// What stands before the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// How many records there are.
    pub count: u64,
    /// How many bytes they take.
    pub length: u64,
    /// The fingerprint of those.
    pub fingerprint: u64,
    /// As of when.
    pub confirmed: Confirmed,
}

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadSeal {
    /// It is no sealed set, or was altered.
    Damaged,
    /// It is of another version.
    Version(u32),
}

impl Header {
    /// The header as it stands in the file.
    pub fn to_bytes(self) -> [u8; HEADER] {
        let confirmed_ms = u64::try_from(self.confirmed.at.as_millis()).unwrap_or(u64::MAX);
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend([0; 4]);
        for number in [self.count, self.length, self.fingerprint, confirmed_ms] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.confirmed.ahead_ms.to_le_bytes());
        bytes.extend(xxh3_64(&bytes).to_le_bytes());
        bytes
            .try_into()
            .expect("eight, four, four, and six times eight are 64")
    }

    /// Reads it.
    ///
    /// # Errors
    ///
    /// When these bytes are not what [`Header::to_bytes`] makes.
    pub fn from_bytes(bytes: &[u8; HEADER]) -> Result<Self, BadSeal> {
        let number = |at: usize| {
            let bytes = bytes[at..].first_chunk().expect("every place is in 64");
            u64::from_le_bytes(*bytes)
        };
        if bytes[..MAGIC.len()] != MAGIC {
            return Err(BadSeal::Damaged);
        }
        // Another version may have its fingerprint elsewhere, so its number is looked at first.
        let version = number(8);
        if version != u64::from(VERSION) {
            let version = u32::try_from(version).map_err(|_| BadSeal::Damaged)?;
            return Err(BadSeal::Version(version));
        }
        if xxh3_64(&bytes[..HEADER - 8]) != number(HEADER - 8) {
            return Err(BadSeal::Damaged);
        }
        Ok(Self {
            count: number(16),
            length: number(24),
            fingerprint: number(32),
            confirmed: Confirmed {
                at: Duration::from_millis(number(40)),
                ahead_ms: number(48).cast_signed(),
            },
        })
    }
}

/// Appends the record of `grant`, known by `digest`.
pub fn push_record(bytes: &mut Vec<u8>, digest: &KeyDigest, grant: &Grant) {
    let start = bytes.len();
    bytes.extend([0; 4]);
    bytes.extend(digest.as_bytes());
    grant.seal(bytes);
    let length = u32::try_from(bytes.len() - start - 4).unwrap_or(u32::MAX);
    bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// Takes the first record off `bytes`; `Ok(None)` when it is not all there.
///
/// # Errors
///
/// When it is none.
pub fn take_record(bytes: &mut &[u8]) -> Result<Option<(KeyDigest, Grant)>, BadSeal> {
    let Some((length, rest)) = bytes.split_first_chunk() else {
        return Ok(None);
    };
    let length = u32::from_le_bytes(*length);
    let length = usize::try_from(length).map_err(|_| BadSeal::Damaged)?;
    if !(DIGEST..=MAX_RECORD).contains(&length) {
        return Err(BadSeal::Damaged);
    }
    let Some((record, rest)) = rest.split_at_checked(length) else {
        return Ok(None);
    };
    let (digest, grant) = record
        .split_first_chunk::<DIGEST>()
        .ok_or(BadSeal::Damaged)?;
    let grant = Grant::unseal(grant).ok_or(BadSeal::Damaged)?;
    *bytes = rest;
    Ok(Some((KeyDigest::from_bytes(*digest), grant)))
}
