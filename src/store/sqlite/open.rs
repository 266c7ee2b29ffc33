//! From a URL to a file that is surely ours, whole, and of our version.

use std::borrow::Cow;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _};
use tokio::fs;
use uuid::Uuid;

use super::error::advice;
use super::lane::Connection;
use super::sql;
use crate::store::StoreError;

/// The migrations, oldest first. One that has been released is never changed.
const MIGRATIONS: &[(i64, &str, &str)] = &[(1, "keys", include_str!("migrations/0001_keys.sql"))];

/// What `PRAGMA application_id` says in a file of ours: "kwrd".
const APPLICATION_ID: i64 = 0x6b77_7264;

/// What the first team is called.
const DEFAULT_TEAM: &str = "default";

/// Above this, the WAL gives room back after it has been taken into the file.
const WAL_KEPT_BYTES: &str = "67108864";

/// A database file.
#[derive(Debug, Clone)]
pub struct Place {
    path: PathBuf,
    busy_timeout: Duration,
}

impl Place {
    /// The file that `url` names: `sqlite://relative/path` or `sqlite:///absolute/path`, percent-encoded.
    pub fn parse(url: &str, busy_timeout: Duration) -> Result<Self, StoreError> {
        let refuse = |advice: &str| StoreError::Open {
            address: url.to_owned(),
            advice: advice.to_owned(),
            cause: None,
        };
        let rest = url.strip_prefix("sqlite:").unwrap_or(url);
        let encoded = rest.strip_prefix("//").unwrap_or(rest);
        if encoded.contains('?') {
            return Err(refuse(
                "the url takes no options after a `?`; write a `?` in a file name as `%3F`",
            ));
        }
        let path = percent_decoded(encoded)
            .filter(|path| !path.contains('\0'))
            .ok_or_else(|| {
                refuse("a `%` in the url begins two hexadecimal digits; the path is UTF-8")
            })?;
        if path.is_empty() || path.ends_with('/') || path == ":memory:" {
            return Err(refuse(
                "the url names no file; write `sqlite://keyward.db` or `sqlite:///var/lib/keyward/keyward.db`",
            ));
        }
        Ok(Self {
            path: PathBuf::from(path),
            busy_timeout,
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

    /// Options for a connection that only reads.
    pub fn reader(&self) -> SqliteConnectOptions {
        self.writer()
            .pragma("query_only", "ON")
            .row_buffer_size(256)
    }

    /// Makes the file if it is not there (unless `must_exist`), and makes sure that it is a whole key database of this version.
    ///
    /// A file that is there already is never replaced, and nothing is written to it before it has been checked.
    pub async fn prepare(&self, must_exist: bool) -> Result<(), StoreError> {
        match fs::metadata(&self.path).await {
            Ok(metadata) => self.look_at(&metadata)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !must_exist => {
                self.create().await?;
            }
            Err(error) => return Err(self.cannot_open(error.into())),
        }
        let opened = Connection::open(&self.writer()).await;
        let mut connection = opened.map_err(|cause| self.cannot_open(cause))?;
        let checked = self.check_and_migrate(&mut connection).await;
        connection.close().await;
        checked
    }

    fn look_at(&self, metadata: &std::fs::Metadata) -> Result<(), StoreError> {
        if !metadata.is_file() {
            return Err(self.refuse("it is no file; check `store.url`"));
        }
        if metadata.len() == 0 {
            return Err(self.refuse(
                "the file is empty, so a database that was there is gone. Put back a copy, or remove the file to \
                 begin with no keys",
            ));
        }
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            tracing::warn!(
                store.path = %self.path.display(),
                store.mode = format!("{mode:04o}"),
                "the key database can be read or written by other users; `chmod 600` it and the files beside it"
            );
        }
        Ok(())
    }

    async fn check_and_migrate(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let failed = |cause| self.cannot_open(cause);
        let whole: String = sqlx::query_scalar(sql::QUICK_CHECK)
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
        if whole != "ok" {
            return Err(self.refuse(
                "the file is damaged; nothing was changed. Put back a copy, or save what is readable with \
                 `sqlite3 FILE .recover`",
            ));
        }
        self.check_owner(connection).await?;
        migrate(connection).await.map_err(failed)?;
        let mode: String = sqlx::query_scalar(sql::JOURNAL_MODE)
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
        if mode != "wal" {
            set_wal(connection).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Makes sure that the file is a key database, and no newer one than this program knows.
    async fn check_owner(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let failed = |cause| self.cannot_open(cause);
        let owner: i64 = sqlx::query_scalar(sql::APPLICATION_ID)
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
        if owner != APPLICATION_ID {
            return Err(self.refuse(
                "the file is an SQLite database of another program; nothing was changed. Check `store.url`",
            ));
        }
        let version: i64 = sqlx::query_scalar(sql::SCHEMA_VERSION)
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
        let known = MIGRATIONS.iter().map(|(version, ..)| *version).max();
        if Some(version) > known {
            return Err(self.refuse(
                "the file was written by a newer keyward; nothing was changed. Run that version or a later one",
            ));
        }
        Ok(())
    }

    /// Makes an empty database, whole or not at all: it is made under another name and linked to its own when done.
    /// So a file that is there is never one that a crash left half made.
    async fn create(&self) -> Result<(), StoreError> {
        let failed = |error: io::Error| self.cannot_open(error.into());
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .await
            .map_err(failed)?;
        let draft = Self {
            path: directory.join(format!(".keyward-{}.new", Uuid::now_v7().simple())),
            busy_timeout: self.busy_timeout,
        };
        let made = draft.fill_new().await;
        let linked = match made {
            Ok(()) => match fs::hard_link(&draft.path, &self.path).await {
                // Another process was quicker: its database is as good.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                linked => linked.map_err(sqlx::Error::Io),
            },
            Err(error) => Err(error),
        };
        // Only the other name goes; what it named stays under its own.
        let _ = fs::remove_file(&draft.path).await;
        linked.map_err(|cause| self.cannot_open(cause))?;
        let directory = fs::File::open(directory).await.map_err(failed)?;
        directory.sync_all().await.map_err(failed)
    }

    async fn fill_new(&self) -> Result<(), sqlx::Error> {
        // Before SQLite opens it, so that at no moment anybody else can; `-wal` and `-shm` get the mode of the file.
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.path)
            .await?;
        let mut connection = self.writer().connect().await?;
        migrate(&mut connection).await?;
        set_wal(&mut connection).await?;
        connection.close().await
    }

    fn refuse(&self, advice: &str) -> StoreError {
        StoreError::Open {
            address: self.path.display().to_string(),
            advice: advice.to_owned(),
            cause: None,
        }
    }

    /// The error of a file that could not be opened.
    pub fn cannot_open(&self, cause: sqlx::Error) -> StoreError {
        StoreError::Open {
            address: self.path.display().to_string(),
            advice: advice(&cause).to_owned(),
            cause: Some(cause),
        }
    }
}

/// Brings the schema up to date and makes the first organisation and team, all in one transaction: of two processes
/// that start at once, the second finds everything done.
async fn migrate(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let migrations = MIGRATIONS.iter().map(|(version, name, text)| {
        Migration::new(
            *version,
            Cow::Borrowed(*name),
            MigrationType::Simple,
            text.into_sql_str(),
            false,
        )
    });
    let migrator = Migrator::with_migrations(migrations.collect());
    let mut transaction = connection.begin_with(sql::BEGIN_WRITE).await?;
    migrator.run_direct(None, &mut *transaction, false).await?;
    sqlx::query(sql::FIRST_ORG)
        .bind(Uuid::now_v7().to_string())
        .execute(&mut *transaction)
        .await?;
    sqlx::query(sql::FIRST_TEAM)
        .bind(Uuid::now_v7().to_string())
        .bind(DEFAULT_TEAM)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

async fn set_wal(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let mode: String = sqlx::query_scalar(sql::JOURNAL_MODE_WAL)
        .fetch_one(connection)
        .await?;
    if mode == "wal" {
        Ok(())
    } else {
        Err(sqlx::Error::Io(io::Error::new(
            io::ErrorKind::Unsupported,
            "the file system does not carry SQLite's write-ahead log",
        )))
    }
}

/// `text` with each `%xx` replaced by its byte (RFC 3986, 2.1); nothing when that is not UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            let byte = digit()? * 16 + digit()?;
            decoded.push(u8::try_from(byte).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}
