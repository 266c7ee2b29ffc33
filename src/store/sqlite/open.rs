//! Makes sure that there is a file, and that it is surely ours, whole, and of our version.

use std::borrow::Cow;
use std::io;
use std::os::fd::IntoRawFd;
use std::os::unix::fs::PermissionsExt;

use rustix::fs::{Advice, fadvise};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions, Connection as _, SqlSafeStr};
use tokio::fs;
use uuid::Uuid;

use super::error::{advice, passes};
use super::file::{OpenFile, Place};
use super::lane::Connection;
use super::sql;
use crate::store::StoreError;

/// A file from this size on, in bytes, is worth reading ahead.
const LARGE: u64 = 16 * 1024 * 1024;

/// The migrations, oldest first. One that has been released is never changed.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "keys", include_str!("migrations/0001_keys.sql")),
    (
        2,
        "instances",
        include_str!("migrations/0002_instances.sql"),
    ),
    (
        3,
        "cheaper inserts",
        include_str!("migrations/0003_cheaper_inserts.sql"),
    ),
    (4, "audit", include_str!("migrations/0004_audit.sql")),
    (
        5,
        "ends calls",
        include_str!("migrations/0005_ends_calls.sql"),
    ),
    (
        6,
        "audit of others",
        include_str!("migrations/0006_audit_of_others.sql"),
    ),
];

/// What the first team is called.
const DEFAULT_TEAM: &str = "default";

const DAMAGED: &str = "the file is damaged; nothing was changed. Put back a copy, or save what is readable with \
                       `sqlite3 FILE .recover`";

/// Opens the file at `place` as a whole key database of this version; makes it if it is not there, unless it must be.
///
/// A file that is there already is never replaced, and nothing is written to it before it has been checked. One that
/// is kept locked or has no room to write is [`StoreError::Away`], and so is one that is not there and must be; what is
/// damaged, empty, foreign or out of reach is [`StoreError::Open`]: somebody has to look at it.
pub async fn open(place: Place, must_exist: bool) -> Result<OpenFile, StoreError> {
    match prepare(&place, must_exist).await {
        Ok(()) => {}
        Err(Unfit::Found(advice)) => return Err(place.refusal(advice)),
        Err(Unfit::Missing(cause)) => return Err(away(&place, cause.into())),
        Err(Unfit::Failed(cause)) if passes(&cause) => return Err(away(&place, cause)),
        Err(Unfit::Failed(cause)) => return Err(cannot_open(&place, cause)),
    }
    let failed = |error: io::Error| cannot_open(&place, error.into());
    OpenFile::at(place.clone()).map_err(failed)
}

/// The newest migration that was applied to the file at `place`; 0 when there is none, or no such file.
pub async fn version(place: &Place) -> i64 {
    let Ok(mut connection) = Connection::open(&place.reader().read_only(true)).await else {
        return 0;
    };
    let version: Result<Option<i64>, _> = sqlx::query_scalar(sql::SCHEMA_VERSION)
        .fetch_one(&mut *connection)
        .await;
    connection.close().await;
    version.ok().flatten().unwrap_or(0)
}

/// Why a file is not opened.
enum Unfit {
    /// It was looked at, and is not what it should be: what to do about it.
    Found(&'static str),
    /// It is not there, and must be.
    Missing(io::Error),
    /// It could not be looked at, or not be made.
    Failed(sqlx::Error),
}

impl From<sqlx::Error> for Unfit {
    fn from(cause: sqlx::Error) -> Self {
        Self::Failed(cause)
    }
}

impl From<io::Error> for Unfit {
    fn from(cause: io::Error) -> Self {
        Self::Failed(cause.into())
    }
}

async fn prepare(place: &Place, must_exist: bool) -> Result<(), Unfit> {
    match fs::metadata(place.path()).await {
        Ok(metadata) => {
            look_at(place, &metadata)?;
            if metadata.len() >= LARGE {
                read_ahead(place)?;
            }
            check(place).await?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if must_exist {
                return Err(Unfit::Missing(error));
            }
            create(place).await?;
        }
        Err(error) => return Err(error.into()),
    }
    let mut connection = Connection::open(&place.writer()).await?;
    migrate(&mut connection).await?;
    let mode: String = sqlx::query_scalar(sql::JOURNAL_MODE)
        .fetch_one(&mut *connection)
        .await?;
    // Needs the file to itself, so that it is asked for only where it is not so already.
    if mode != "wal" {
        set_wal(&mut connection).await?;
    }
    connection.close().await;
    Ok(())
}

/// Has the system read the file from one end to the other, in the background. The check reads it in the order of its
/// trees, which a disk that has not read it lately answers page by page: 125 MB took more than 40 s, and takes 0.5 s.
fn read_ahead(place: &Place) -> io::Result<()> {
    let file = std::fs::File::open(place.path())?;
    fadvise(&file, 0, None, Advice::WillNeed)?;
    // Never closed: to close any descriptor of a file gives up all locks that the process holds on it
    // (sqlite.org/howtocorrupt.html, 2.2).
    let _open = file.into_raw_fd();
    Ok(())
}

fn look_at(place: &Place, metadata: &std::fs::Metadata) -> Result<(), Unfit> {
    if !metadata.is_file() {
        return Err(Unfit::Found("it is no file; check `store.url`"));
    }
    if metadata.len() == 0 {
        return Err(Unfit::Found(
            "the file is empty, so that a database which was there is gone. Put back a copy, or remove the file to \
             begin with no keys",
        ));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        tracing::warn!(
            store.path = %place.path().display(),
            store.mode = format!("{mode:04o}"),
            "other users can reach the key database; `chmod 600` it and the `-wal` and `-shm` files beside it"
        );
    }
    Ok(())
}

/// Makes sure that the file is whole, a key database, and not newer than this program. Reads only: a connection that
/// could write would take the WAL into a damaged file when it closes.
async fn check(place: &Place) -> Result<(), Unfit> {
    let mut connection = Connection::open(&place.reader().read_only(true)).await?;
    let examined = examine(&mut connection).await;
    connection.close().await;
    examined
}

async fn examine(connection: &mut SqliteConnection) -> Result<(), Unfit> {
    let whole: String = sqlx::query_scalar(sql::QUICK_CHECK)
        .fetch_one(&mut *connection)
        .await?;
    if whole != "ok" {
        return Err(Unfit::Found(DAMAGED));
    }
    let is_ours: bool = sqlx::query_scalar(sql::IS_KEY_DATABASE)
        .fetch_one(&mut *connection)
        .await?;
    if !is_ours {
        return Err(Unfit::Found(
            "the file is an SQLite database, but no key database; nothing was changed. Check `store.url`",
        ));
    }
    let version: Option<i64> = sqlx::query_scalar(sql::SCHEMA_VERSION)
        .fetch_one(&mut *connection)
        .await?;
    if version > MIGRATIONS.iter().map(|(version, ..)| *version).max() {
        return Err(Unfit::Found(
            "the file was written by a newer keyward; nothing was changed. Run that version or a later one",
        ));
    }
    Ok(())
}

/// Makes an empty database, whole or not at all: it is made under another name and linked to its own when done. So a
/// file that is there is never one that a crash left half made.
async fn create(place: &Place) -> Result<(), Unfit> {
    if fs::try_exists(place.wal()).await? {
        return Err(Unfit::Found(
            "the file is gone, but its `-wal` file is there and may hold keys. Put the file back, or remove the \
             `-wal` and `-shm` files as well to begin with no keys",
        ));
    }
    let mut directories = fs::DirBuilder::new();
    directories.recursive(true).mode(0o700);
    directories.create(place.directory()).await?;

    let draft = place.beside(&format!(".keyward-{}.new", Uuid::now_v7().simple()));
    let made = fill_draft(&draft).await;
    let linked = match made {
        Ok(()) => link(&draft, place).await.map_err(Unfit::from),
        Err(cause) => Err(cause.into()),
    };
    for leftover in draft.files() {
        // What it named stays under its own name; what is not there need not go.
        let _ = fs::remove_file(leftover).await;
    }
    linked?;
    fs::File::open(place.directory()).await?.sync_all().await?;
    Ok(())
}

async fn fill_draft(draft: &Place) -> Result<(), sqlx::Error> {
    // Before SQLite opens it, so that at no moment anybody else can; `-wal` and `-shm` get the mode of the file.
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(draft.path()).await?;

    let mut connection = draft.writer().connect().await?;
    migrate(&mut connection).await?;
    set_wal(&mut connection).await?;
    connection.close().await
}

async fn link(draft: &Place, place: &Place) -> io::Result<()> {
    match fs::hard_link(draft.path(), place.path()).await {
        // Another process was quicker, and what it made is as good.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }
}

/// Brings the schema up to date and makes the first organisation and team, all in one transaction: of two processes
/// that start at once, the second finds everything done.
async fn migrate(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let migrations = MIGRATIONS.iter().map(|(version, name, text)| {
        let kind = MigrationType::Simple;
        Migration::new(
            *version,
            Cow::Borrowed(*name),
            kind,
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
        return Ok(());
    }
    Err(sqlx::Error::Io(io::Error::new(
        io::ErrorKind::Unsupported,
        "the file system does not carry SQLite's write-ahead log",
    )))
}

fn cannot_open(place: &Place, cause: sqlx::Error) -> StoreError {
    StoreError::Open {
        address: place.path().display().to_string(),
        advice: advice(&cause).to_owned(),
        cause: Some(cause),
    }
}

fn away(place: &Place, cause: sqlx::Error) -> StoreError {
    StoreError::Away {
        address: place.path().display().to_string(),
        advice: advice(&cause).to_owned(),
        cause: Some(cause),
    }
}
