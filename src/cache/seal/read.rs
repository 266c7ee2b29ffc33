//! Reading: once, at a start without the database, and only what can be trusted.

use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::geteuid;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use xxhash_rust::xxh3::Xxh3;

use super::CHUNK;
use super::format::{BadSeal, Confirmed, HEADER, Header, take_record};
use crate::cache::Shared;
use crate::cache::memory::Filling;
use crate::telemetry::metrics::SealLoad;

/// How far in the future a set may have been confirmed: clocks are corrected by less. One that is further has an age
/// that nobody knows.
const FUTURE: Duration = Duration::from_mins(1);

/// Why no key is served from a sealed set.
#[derive(Debug, thiserror::Error)]
pub(in crate::cache) enum Refusal {
    #[error("there is none")]
    Missing,
    #[error("it cannot be read")]
    Unreadable(#[source] io::Error),
    #[error(
        "others may have written it: it must be a file of this user's, which no other may write (`chmod 600`)"
    )]
    Writable,
    #[error("it is torn or was altered, or is no sealed set")]
    Damaged,
    #[error("it is of version {0}, which this program does not read")]
    Version(u32),
    #[error("it was confirmed {} s ago, longer than `cache.max_stale`", .0.as_secs())]
    TooOld(Duration),
    #[error("it was confirmed {} s in the future, by this machine's clock", .0.as_secs())]
    Future(Duration),
}

impl Refusal {
    /// The word for it in the metric.
    pub const fn label(&self) -> SealLoad {
        match self {
            Self::Missing => SealLoad::Missing,
            Self::Unreadable(_) => SealLoad::Unreadable,
            Self::Writable => SealLoad::Writable,
            Self::Damaged => SealLoad::Damaged,
            Self::Version(_) => SealLoad::Version,
            Self::TooOld(_) => SealLoad::TooOld,
            Self::Future(_) => SealLoad::Future,
        }
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::Missing,
            _ => Self::Unreadable(error),
        }
    }
}

impl From<BadSeal> for Refusal {
    fn from(bad: BadSeal) -> Self {
        match bad {
            BadSeal::Damaged => Self::Damaged,
            BadSeal::Version(version) => Self::Version(version),
        }
    }
}

/// Puts the set at `path` into memory, which must be empty; returns as of when it is, and how old that makes it.
///
/// Nothing of memory is served before whoever calls this says so ([`Looks::unsealed`](crate::cache::looks::Looks)), so
/// the set is put there as it is read, and taken out again should its end show that it cannot be trusted.
///
/// # Errors
///
/// Why it is not to be served; memory is empty then.
pub(in crate::cache) async fn load(
    path: &Path,
    shared: &Shared,
    max_stale: Duration,
) -> Result<(Confirmed, Duration), Refusal> {
    let mut file = File::open(path).await?;
    let metadata = file.metadata().await?;
    if !is_ours_alone(&metadata) {
        return Err(Refusal::Writable);
    }
    let mut header = [0; HEADER];
    file.read_exact(&mut header).await.map_err(torn)?;
    let header = Header::from_bytes(&header)?;
    // Refused before it is read, so that an old set costs nothing; and after, since reading takes time.
    age(header.confirmed, shared, max_stale)?;
    let whole = header.length.checked_add(HEADER as u64);
    if whole != Some(metadata.len()) {
        return Err(Refusal::Damaged);
    }
    let memory = &shared.memory;
    // It never ends: what it puts is all there, but nobody claims that it is every key there is now.
    let filling = memory.begin_fill();
    let read = read_records(&mut file, header, &filling).await;
    drop(filling);
    let aged = read.and_then(|()| age(header.confirmed, shared, max_stale));
    if aged.is_err() {
        // A fill with nothing in it.
        memory.begin_fill().end();
    }
    Ok((header.confirmed, aged?))
}

/// Whether nobody else can have written the file. Not only its mode is looked at: in a directory of others, they may
/// have put a file of their own there.
fn is_ours_alone(metadata: &Metadata) -> bool {
    let is_owned = [geteuid().as_raw(), 0].contains(&metadata.uid());
    metadata.is_file() && is_owned && metadata.mode() & 0o022 == 0
}

fn age(confirmed: Confirmed, shared: &Shared, max_stale: Duration) -> Result<Duration, Refusal> {
    let now = shared.clock.machine_time();
    let ahead = confirmed.at.saturating_sub(now);
    if ahead > FUTURE {
        return Err(Refusal::Future(ahead));
    }
    let age = now.saturating_sub(confirmed.at);
    if age > max_stale {
        return Err(Refusal::TooOld(age));
    }
    Ok(age)
}

async fn read_records(
    file: &mut File,
    header: Header,
    filling: &Filling<'_>,
) -> Result<(), Refusal> {
    let mut fingerprint = Xxh3::new();
    let mut chunk = vec![0; CHUNK];
    let mut unread = Vec::with_capacity(2 * CHUNK);
    let (mut count, mut length) = (0, 0);
    loop {
        let read = file.read(&mut chunk).await?;
        if read == 0 {
            break;
        }
        length += read as u64;
        fingerprint.update(&chunk[..read]);
        unread.extend_from_slice(&chunk[..read]);
        let mut rest = unread.as_slice();
        while let Some((digest, grant)) = take_record(&mut rest)? {
            filling.put_grant(digest, Arc::new(grant));
            count += 1;
        }
        let taken = unread.len() - rest.len();
        unread.drain(..taken);
    }
    let is_whole = unread.is_empty()
        && (count, length, fingerprint.digest())
            == (header.count, header.length, header.fingerprint);
    is_whole.then_some(()).ok_or(Refusal::Damaged)
}

fn torn(error: io::Error) -> Refusal {
    match error.kind() {
        ErrorKind::UnexpectedEof => Refusal::Damaged,
        _ => Refusal::from(error),
    }
}
