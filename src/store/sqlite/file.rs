//! Which file, and how SQLite is to treat it.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};

use super::read::SNAPSHOT_BATCH;
use crate::store::StoreError;

/// Above this, the WAL gives room back after it has been taken into the file: 64 MiB.
const WAL_KEPT_BYTES: &str = "67108864";

/// SQLite counts the milliseconds in 31 bits.
const LONGEST_BUSY_TIMEOUT: Duration = Duration::from_hours(24);

/// Where a database is, or is to be.
#[derive(Debug, Clone)]
pub struct Place {
    path: PathBuf,
    busy_timeout: Duration,
}

impl Place {
    /// The file that `url` names: `sqlite://relative/path` or `sqlite:///absolute/path`, percent-encoded.
    ///
    /// # Errors
    ///
    /// When it names none.
    pub fn parse(url: &str, busy_timeout: Duration) -> Result<Self, StoreError> {
        let busy_timeout = busy_timeout.min(LONGEST_BUSY_TIMEOUT);
        let parsed = path_of(url).map(|path| Self { path, busy_timeout });
        parsed.map_err(|advice| StoreError::Open {
            address: url.escape_debug().to_string(),
            advice: advice.to_owned(),
            cause: None,
        })
    }

    /// Options for a connection that writes.
    pub fn writer(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&self.path)
            .create_if_missing(false)
            .busy_timeout(self.busy_timeout)
            .foreign_keys(true)
            // A commit that was answered survives a power cut.
            .synchronous(SqliteSynchronous::Full)
            // A damaged page is an error of a statement; in a mapped file it would be the end of the process.
            .pragma("mmap_size", "0")
            .pragma("cell_size_check", "ON")
            .pragma("journal_size_limit", WAL_KEPT_BYTES)
            .thread_name(|n| format!("sqlite-{n}"))
            .disable_statement_logging()
    }

    /// Options for a connection that only reads, a page of a fill ahead of who takes it in.
    pub fn reader(&self) -> SqliteConnectOptions {
        let options = self.writer().pragma("query_only", "ON");
        options.row_buffer_size(SNAPSHOT_BATCH)
    }

    /// A file beside this one.
    pub fn beside(&self, name: &str) -> Self {
        Self {
            path: self.directory().join(name),
            busy_timeout: self.busy_timeout,
        }
    }

    /// Its path, as the url has it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory it is in.
    pub fn directory(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    /// Its write-ahead log.
    pub fn wal(&self) -> PathBuf {
        self.with_suffix("-wal")
    }

    /// Every file that SQLite may have made for it.
    pub fn files(&self) -> [PathBuf; 4] {
        ["", "-wal", "-shm", "-journal"].map(|suffix| self.with_suffix(suffix))
    }

    fn with_suffix(&self, suffix: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(suffix);
        path.into()
    }

    /// The error of a file that is not opened, and what to do about it.
    pub fn refusal(&self, advice: &str) -> StoreError {
        StoreError::Open {
            address: self.path.display().to_string(),
            advice: advice.to_owned(),
            cause: None,
        }
    }
}

/// A file that has been opened, and must go on being the one under its name.
#[derive(Debug)]
pub struct OpenFile {
    /// Where it is.
    pub place: Place,
    /// Device and inode.
    identity: (u64, u64),
}

impl OpenFile {
    /// The file at `place` now.
    pub fn at(place: Place) -> io::Result<Self> {
        let identity = identity(&place.path)?;
        Ok(Self { place, identity })
    }

    /// Makes sure that the file is still under its name. SQLite would go on with one that was removed or replaced:
    /// what we wrote would be lost, and what others write would not be seen.
    ///
    /// Blocks for a `stat`: a microsecond on the local file systems that WAL needs.
    pub fn check(&self) -> Result<(), sqlx::Error> {
        match identity(&self.place.path) {
            Ok(identity) if identity == self.identity => Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Err(sqlx::Error::Io(io::Error::other(
                "the file was removed or replaced while it was open; start again to use what is there now",
            ))),
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

fn path_of(url: &str) -> Result<PathBuf, &'static str> {
    let rest = url.strip_prefix("sqlite:").unwrap_or(url);
    let encoded = rest.strip_prefix("//").unwrap_or(rest);
    if encoded.contains('?') {
        return Err("the url takes no options after a `?`; a `?` in a file name is written `%3F`");
    }
    let path = percent_decoded(encoded)
        .filter(|path| !path.contains('\0'))
        .ok_or("in the url, `%` and two hexadecimal digits stand for a byte of UTF-8")?;
    if path.is_empty() || path.ends_with('/') || path == ":memory:" {
        return Err(
            "the url names no file; write `sqlite://keyward.db` or `sqlite:///var/lib/keyward/keyward.db`",
        );
    }
    Ok(PathBuf::from(path))
}

/// `text` with each `%xx` replaced by its byte (RFC 3986, 2.1); nothing when that is not UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let byte = digit()? * 16 + digit()?;
        decoded.push(u8::try_from(byte).ok()?);
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::relative("sqlite://keyward.db", Some("keyward.db"))]
    #[case::absolute("sqlite:///var/lib/keyward.db", Some("/var/lib/keyward.db"))]
    #[case::without_slashes("sqlite:keyward.db", Some("keyward.db"))]
    #[case::directories("sqlite://a/b/keyward.db", Some("a/b/keyward.db"))]
    #[case::space("sqlite:///a%20b.db", Some("/a b.db"))]
    #[case::question_mark("sqlite:///a%3Fb.db", Some("/a?b.db"))]
    #[case::umlaut("sqlite:///%C3%BC.db", Some("/ü.db"))]
    #[case::as_it_is("sqlite:///ü b#1.db", Some("/ü b#1.db"))]
    #[case::options("sqlite:///a.db?mode=ro", None)]
    #[case::nothing("sqlite://", None)]
    #[case::directory("sqlite:///var/lib/", None)]
    #[case::memory("sqlite::memory:", None)]
    #[case::half_a_byte("sqlite:///a%2", None)]
    #[case::no_digits("sqlite:///a%zz", None)]
    #[case::sign("sqlite:///a%+1", None)]
    #[case::no_utf_8("sqlite:///a%ff", None)]
    #[case::nul("sqlite:///a%00", None)]
    fn a_url_names_a_file(#[case] url: &str, #[case] path: Option<&str>) {
        let place = Place::parse(url, Duration::from_secs(1));
        assert_eq!(place.ok().map(|place| place.path), path.map(PathBuf::from));
    }
}
