//! What SQLite's result codes mean (sqlite.org/rescode.html).

use crate::store::StoreError;
use crate::telemetry::metrics::StoreQuery;

/// The unique indexes and triggers that a write can run into, told apart by the message: SQLite's code says no more
/// than that there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Constraint {
    /// A live key has the name.
    KeyName,
    /// A key has the prefix.
    Prefix,
    /// A key has the digest.
    Digest,
    /// A team has the name.
    TeamName,
}

impl Constraint {
    /// The constraint that `error` reports, if it is one that a caller can do something about.
    pub fn broken(error: &sqlx::Error) -> Option<Self> {
        if !matches!(primary_code(error)?, 19) {
            return None;
        }
        let message = error.as_database_error()?.message();
        let all = [
            ("api_keys_name'", Self::KeyName),
            ("api_keys_personal_name'", Self::KeyName),
            ("api_keys.prefix", Self::Prefix),
            ("api_keys.digest", Self::Digest),
            ("api_keys.old_digest", Self::Digest),
            ("digest taken", Self::Digest),
            ("teams.name", Self::TeamName),
        ];
        let broken = all.into_iter().find(|(text, _)| message.contains(text));
        broken.map(|(_, constraint)| constraint)
    }
}

/// What ended a query early, before the query's name is added.
#[derive(Debug)]
pub enum Fault {
    /// SQLite did not answer it.
    Sqlx(sqlx::Error),
    /// It took too long.
    Late,
    /// SQLite answered, and the answer is no.
    Answer(StoreError),
}

impl From<sqlx::Error> for Fault {
    fn from(cause: sqlx::Error) -> Self {
        Self::Sqlx(cause)
    }
}

impl From<StoreError> for Fault {
    fn from(answer: StoreError) -> Self {
        Self::Answer(answer)
    }
}

impl Fault {
    /// The error of the query `query`.
    pub fn of(self, query: StoreQuery) -> StoreError {
        let query = query.as_str();
        let cause = match self {
            Self::Answer(answer) => return answer,
            Self::Late => return StoreError::TimedOut { query },
            Self::Sqlx(cause) => cause,
        };
        match (code(&cause), primary_code(&cause)) {
            // SQLITE_FULL, and SQLITE_IOERR_SHMSIZE: no room for the WAL's index beside it.
            (Some(13 | 4874), _) => StoreError::Full { cause },
            // SQLITE_BUSY: another writer kept the file longer than the busy timeout.
            (_, Some(5)) => StoreError::TimedOut { query },
            _ => StoreError::Query { query, cause },
        }
    }
}

/// What is wrong with a file that cannot be opened, and what to do about it.
pub fn advice(cause: &sqlx::Error) -> &'static str {
    match primary_code(cause) {
        Some(5) => {
            "another process keeps it locked; end that process or its transaction, and start again"
        }
        Some(8 | 14) => {
            "the file or its directory cannot be written; SQLite needs both, for the `-wal` and `-shm` files beside \
             the database. Give this user the directory, or set `store.url` to a place on a writable volume"
        }
        Some(10) => {
            "the disk or file system failed; WAL needs a local file system, not a network one. Nothing was changed"
        }
        Some(11) => {
            "the file is damaged; nothing was changed. Put back a copy, or save what is readable with \
             `sqlite3 FILE .recover`"
        }
        Some(13) => "the disk is full; make room and start again",
        Some(26) => "the file is no SQLite database; nothing was changed. Check `store.url`",
        _ => match cause {
            sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                "the disk is full; make room and start again"
            }
            sqlx::Error::Io(_) => {
                "the file or its directory cannot be reached or written; check `store.url` and the permissions"
            }
            _ => "see the cause",
        },
    }
}

/// Whether what is wrong with a file that cannot be opened may pass, with the file and the settings as they are: it is
/// kept locked, or there is no room to write.
pub fn passes(cause: &sqlx::Error) -> bool {
    match cause {
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::StorageFull,
        _ => matches!(primary_code(cause), Some(5 | 13)),
    }
}

/// SQLite's extended result code.
fn code(error: &sqlx::Error) -> Option<u32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// SQLite's primary result code: the low eight bits.
fn primary_code(error: &sqlx::Error) -> Option<u32> {
    code(error).map(|code| code & 0xff)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use sqlx::sqlite::SqliteConnection;
    use sqlx::{AssertSqlSafe, Connection, Executor};

    use super::*;

    async fn error_of(statements: &[&str]) -> sqlx::Error {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        for statement in statements {
            if let Err(error) = connection.execute(AssertSqlSafe(*statement)).await {
                return error;
            }
        }
        panic!("{statements:?} did not fail");
    }

    #[rstest]
    #[case::full(&["PRAGMA max_page_count = 3; CREATE TABLE t (x)", "INSERT INTO t VALUES (zeroblob(99999))"], "full")]
    #[case::no_such_table(&["SELECT * FROM t"], "query")]
    #[tokio::test]
    async fn a_fault_says_what_happened(#[case] statements: &[&str], #[case] expected: &str) {
        let error = Fault::from(error_of(statements).await).of(StoreQuery::Insert);
        let is = match error {
            StoreError::Full { .. } => "full",
            StoreError::TimedOut { .. } => "timed out",
            StoreError::Query {
                query: "insert", ..
            } => "query",
            _ => "other",
        };
        assert_eq!(is, expected);
    }

    #[tokio::test]
    async fn a_constraint_that_nobody_knows_is_a_fault() {
        let error = error_of(&[
            "CREATE TABLE t (x CHECK (x > 0))",
            "INSERT INTO t VALUES (0)",
        ])
        .await;
        assert_eq!(Constraint::broken(&error), None);
    }
}
