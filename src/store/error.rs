use crate::key::{KeyPrefix, Name};

/// Why the key database could not answer, or would not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It could not be opened, or is not a key database.
    #[error("cannot open the key database at {address}: {advice}")]
    Open {
        /// Where it was looked for, without any password.
        address: String,
        /// What is wrong in one sentence, and what to do about it.
        advice: String,
        /// The cause.
        #[source]
        cause: Option<sqlx::Error>,
    },
    /// It is not there now and may be later, though nobody sets anything otherwise: it does not answer, somebody keeps
    /// everybody else out, there is no room, or a file that must be there is not (a volume that is not mounted yet).
    #[error("cannot open the key database at {address}: {advice}")]
    Away {
        /// Where it was looked for, without any password.
        address: String,
        /// What is wrong in one sentence, and what to do about it.
        advice: String,
        /// The cause.
        #[source]
        cause: Option<sqlx::Error>,
    },
    /// A statement failed, or the database was away.
    #[error("query `{query}` failed")]
    Query {
        /// The statement's name.
        query: &'static str,
        /// The cause.
        #[source]
        cause: sqlx::Error,
    },
    /// A statement did not end in time. Nothing was changed, unless it was the commit itself that took so long: then
    /// it may be done or not.
    #[error("query `{query}` did not end in time")]
    TimedOut {
        /// The statement's name.
        query: &'static str,
    },
    /// The database's user has not the right, or the server only reads; nothing was changed.
    #[error("the key database does not let this user do that (query `{query}`)")]
    NotAllowed {
        /// The statement's name.
        query: &'static str,
        /// The cause.
        #[source]
        cause: sqlx::Error,
    },
    /// There is no room to write; nothing was changed.
    #[error("the key database has no room left to write")]
    Full {
        /// The cause.
        #[source]
        cause: sqlx::Error,
    },
    /// Another live key of the same team (for a personal key: of the same owner) has the name.
    #[error("a key named `{0}` exists already")]
    NameTaken(Name),
    /// A key, live or deleted, has the prefix.
    #[error("a key with prefix `{0}` exists already")]
    PrefixTaken(KeyPrefix),
    /// A key, live or deleted, has the digest.
    #[error("a key with this text exists already")]
    DigestTaken,
    /// A team of the organisation has the name.
    #[error("a team named `{0}` exists already")]
    TeamNameTaken(Name),
    /// No live key is the one selected.
    #[error("there is no such key")]
    NoSuchKey,
    /// There is no such team.
    #[error("there is no such team")]
    NoSuchTeam,
    /// The key may do something else by now than what it was seen to.
    #[error("the key was changed at the same moment; try again")]
    ChangedMeanwhile,
}

impl StoreError {
    /// Whether the database itself did not answer, as opposed to having answered no.
    #[must_use]
    pub const fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Open { .. }
                | Self::Away { .. }
                | Self::Query { .. }
                | Self::TimedOut { .. }
                | Self::NotAllowed { .. }
                | Self::Full { .. }
        )
    }

    /// Whether a database that could not be opened may be opened later as it is: trying again may help, where with any
    /// other error somebody has to do something first.
    #[must_use]
    pub const fn is_away(&self) -> bool {
        matches!(self, Self::Away { .. } | Self::TimedOut { .. })
    }
}
