use crate::key::{
    ApiKey, KeyCategory, KeyFilter, KeySelector, ModelScope, Name, NewSecret, Operation, Team,
    TeamId, UnixTime,
};
use crate::store::StoreError;

/// What an administrator asks, in whatever dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Show keys.
    List(KeyFilter),
    /// Make a key.
    Create(CreateKey),
    /// Delete a key.
    Delete(KeySelector),
    /// Show teams.
    ListTeams,
    /// Make a team.
    CreateTeam(Name),
}

/// A key to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateKey {
    /// What people call it.
    pub name: Option<Name>,
    /// What it may do.
    pub category: KeyCategory,
    /// px0's word for that.
    pub operation: Option<Operation>,
    /// Which models it may call.
    pub scope: ModelScope,
    /// Its team; `None` is the default team.
    pub team: Option<TeamId>,
    /// From when on it is refused.
    pub expires_at: Option<UnixTime>,
}

/// What became of a [`Command`].
#[derive(Debug)]
pub enum Outcome {
    /// The keys, newest first.
    Listed(Vec<ApiKey>),
    /// The key, and its text: shown once.
    Created {
        /// As it was stored.
        key: Box<ApiKey>,
        /// To be shown in this one answer.
        secret: NewSecret,
    },
    /// The key as it was, now a tombstone.
    Deleted(Box<ApiKey>),
    /// The teams, the default one first.
    Teams(Vec<Team>),
    /// The team as it was stored.
    TeamCreated(Team),
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// The holder of the admin token, or of the database itself.
    Operator,
    /// The holder of a live key.
    Key(Box<ApiKey>),
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The caller's category may not do this.
    #[error("this key may not do that")]
    Forbidden,
    /// The command contradicts itself.
    #[error("{0}")]
    Invalid(&'static str),
    /// The database answered no, or not at all.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system gave no randomness.
    #[error("no randomness to be had for a new key")]
    Entropy,
}
