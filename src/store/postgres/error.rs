//! What the SQLSTATEs of Postgres mean (its manual, appendix A).

use std::io::ErrorKind;

use crate::store::StoreError;
use crate::telemetry::metrics::StoreQuery;

/// The constraints that a write can run into.
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
        match error.as_database_error()?.constraint()? {
            "api_keys_name" | "api_keys_personal_name" => Some(Self::KeyName),
            "api_keys_prefix_key" => Some(Self::Prefix),
            "api_keys_digest_key" | "api_keys_old_digest_key" | "api_keys_one_digest" => {
                Some(Self::Digest)
            }
            "teams_name" => Some(Self::TeamName),
            _ => None,
        }
    }
}

/// What ended a query early, before the query's name is added.
#[derive(Debug)]
pub enum Fault {
    /// Postgres did not answer it.
    Sqlx(sqlx::Error),
    /// It took too long.
    Late,
    /// Postgres answered, and the answer is no.
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
        match code(&cause).as_deref() {
            // query_canceled, lock_not_available, idle_in_transaction_session_timeout: limits of ours (`place.rs`).
            Some("57014" | "55P03" | "25P03") => StoreError::TimedOut { query },
            // disk_full
            Some("53100") => StoreError::Full { cause },
            // insufficient_privilege, read_only_sql_transaction
            Some("42501" | "25006") => StoreError::NotAllowed { query, cause },
            _ => StoreError::Query { query, cause },
        }
    }
}

/// Whether the connection is gone, so that another one may answer.
pub fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(cause) => {
            cause.kind() != ErrorKind::ConnectionRefused && !is_distrust(error)
        }
        // connection exceptions; admin_shutdown, crash_shutdown, cannot_connect_now
        _ => {
            !is_unknown_parameter(error)
                && code(error).is_some_and(|code| {
                    code.starts_with("08") || matches!(code.as_str(), "57P01" | "57P02" | "57P03")
                })
        }
    }
}

/// Whether something between us and Postgres does not know what a session is told at its start. A pooler says so with
/// the code of all its errors, most of which pass.
fn is_unknown_parameter(error: &sqlx::Error) -> bool {
    let said = error.as_database_error();
    said.is_some_and(|said| said.message().contains("unsupported startup parameter"))
}

/// Whether the two ends do not agree on TLS, or one does not trust the other: rustls' own errors come as I/O.
fn is_distrust(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) => true,
        sqlx::Error::Io(cause) => cause.kind() == ErrorKind::InvalidData,
        _ => false,
    }
}

/// Whether what keeps a database from being opened may pass by itself.
pub fn passes(error: &sqlx::Error) -> bool {
    // disk_full, too_many_connections; statements and locks that took too long
    let is_full_or_late = |code: String| {
        matches!(
            code.as_str(),
            "53100" | "53300" | "57014" | "55P03" | "25P03"
        )
    };
    matches!(error, sqlx::Error::Io(_)) && !is_distrust(error)
        || is_lost(error)
        || code(error).is_some_and(is_full_or_late)
}

/// What is wrong with a database that cannot be opened, and what to do about it.
pub fn advice(cause: &sqlx::Error) -> &'static str {
    match code(cause).as_deref() {
        Some("28000" | "28P01") => "it refuses this user or password; check `store.url`",
        Some("3D000") => "it has no database of this name; make it, or check `store.url`",
        Some("42501") => {
            "this user may not do that; see deploy/postgres/roles.sql for what each needs"
        }
        Some("53300") => "it has no connection left; raise its `max_connections`, or use a pooler",
        Some("57P03") => "it is starting or closing; try again",
        Some("08P01") if is_unknown_parameter(cause) => {
            "something between does not speak as Postgres does; a pooler in transaction mode needs `store.bell_url`, \
             or `store.bell = \"poll\"`"
        }
        _ if is_distrust(cause) => {
            "TLS does not come about; check `sslmode` and `sslrootcert` in `store.url`"
        }
        _ if matches!(cause, sqlx::Error::Io(_)) => {
            "it cannot be reached; check `store.url`, and that the server runs"
        }
        _ => "see the cause",
    }
}

/// The SQLSTATE.
pub fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}
