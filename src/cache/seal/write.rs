//! Writing: whole or not at all, and by one process at a time.

use std::fs::{Metadata, Permissions, TryLockError};
use std::io::{self, ErrorKind, SeekFrom};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use xxhash_rust::xxh3::Xxh3;

use super::format::{Confirmed, HEADER, Header, MAGIC};

/// A set that is being written, beside the one that is there. Dropped before its end, it leaves nothing.
pub struct Draft {
    path: PathBuf,
    beside: PathBuf,
    file: Option<File>,
    fingerprint: Xxh3,
    length: u64,
}

/// The set that is in the file now, as we have written it.
pub struct SealedFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
    file: File,
    header: Header,
}

impl Draft {
    /// Begins a set that is to be at `path`; makes its directory if need be.
    ///
    /// # Errors
    ///
    /// When the system refuses, when there is something at `path` that is no sealed set (it is never replaced), or when
    /// another process is just sealing there.
    pub async fn begin(path: &Path) -> io::Result<Self> {
        let directory = directory_of(path);
        let mut directories = fs::DirBuilder::new();
        directories.recursive(true).mode(0o700);
        directories.create(directory).await?;
        check_replaceable(path).await?;
        let beside = beside(path);
        let mut file = File::from_std(claim(&beside).await?);
        file.set_len(0).await?;
        file.write_all(&[0; HEADER]).await?;
        Ok(Self {
            path: path.to_owned(),
            beside,
            file: Some(file),
            fingerprint: Xxh3::new(),
            length: 0,
        })
    }

    /// Appends records.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub async fn append(&mut self, records: &[u8]) -> io::Result<()> {
        self.fingerprint.update(records);
        self.length += records.len() as u64;
        self.file().write_all(records).await
    }

    /// Ends the set, and puts it in place of the one that was there. What this has returned for survives a power cut.
    ///
    /// # Errors
    ///
    /// When the system refuses; the one that was there is as it was then.
    pub async fn finish(mut self, count: u64, confirmed: Confirmed) -> io::Result<SealedFile> {
        let header = Header {
            count,
            length: self.length,
            fingerprint: self.fingerprint.digest(),
            confirmed,
        };
        write_header(self.file(), header).await?;
        self.file().sync_all().await?;
        let identity = identity(&self.file().metadata().await?);
        fs::rename(&self.beside, &self.path).await?;
        let file = self
            .file
            .take()
            .expect("it is taken here, where the draft ends");
        let directory = File::open(directory_of(&self.path)).await?;
        directory.sync_all().await?;
        Ok(SealedFile {
            path: std::mem::take(&mut self.path),
            identity,
            file,
            header,
        })
    }

    fn file(&mut self) -> &mut File {
        self.file
            .as_mut()
            .expect("it is taken only where the draft ends")
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.file.is_some() {
            // On a full disk it would be in everybody's way; elsewhere the next draft would write over it.
            let _ = std::fs::remove_file(&self.beside);
        }
    }
}

impl SealedFile {
    /// Whether it is still what is found under its name.
    pub async fn is_there(&self) -> bool {
        let there = fs::symlink_metadata(&self.path).await;
        there.is_ok_and(|metadata| identity(&metadata) == self.identity)
    }

    /// Says that the set is what the database said at another moment, too. Not synced: after a power cut the set may
    /// seem a little older than it is.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub async fn confirm(&mut self, confirmed: Confirmed) -> io::Result<()> {
        self.header.confirmed = confirmed;
        write_header(&mut self.file, self.header).await
    }
}

async fn write_header(file: &mut File, header: Header) -> io::Result<()> {
    file.seek(SeekFrom::Start(0)).await?;
    file.write_all(&header.to_bytes()).await?;
    file.flush().await
}

/// Opens the file of drafts, for us alone.
///
/// What a process left that was killed is taken over. The lock keeps two that live apart, such as the old and the new
/// one during an upgrade: each would rename what the other has half written. Blocks for a few calls about one inode,
/// microseconds on a local file system.
async fn claim(path: &Path) -> io::Result<std::fs::File> {
    let refused = |why: &str| io::Error::other(format!("`{}` {why}", path.display()));
    match fs::symlink_metadata(path).await {
        // Opening what is no file may wait for ever, or lead elsewhere.
        Ok(metadata) if !metadata.is_file() => return Err(refused("is no file")),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path).await?.into_std().await;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(refused("is being written by another process"));
        }
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // The other one may have renamed it before it let go: then it is the sealed set, and not to be written into.
    let (ours, there) = (file.metadata()?, std::fs::symlink_metadata(path)?);
    if identity(&ours) != identity(&there) || ours.nlink() != 1 {
        return Err(refused("was replaced by another process"));
    }
    if ours.uid() != geteuid().as_raw() {
        return Err(refused("belongs to another user"));
    }
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Makes sure that nothing is replaced but a sealed set: a mistyped path must not cost the file that it names.
async fn check_replaceable(path: &Path) -> io::Result<()> {
    let file = match File::open(path).await {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut beginning = Vec::new();
    file.take(MAGIC.len() as u64)
        .read_to_end(&mut beginning)
        .await?;
    if beginning.is_empty() || beginning == MAGIC {
        return Ok(());
    }
    Err(io::Error::new(
        ErrorKind::AlreadyExists,
        "what is there is no sealed set, and is not replaced",
    ))
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
