use crate::key::{
    Actor, ApiKey, KeyCategory, KeyFilter, KeySelector, ModelScope, Name, NewSecret, Operation,
    OrgId, Origin, Team, TeamId, UnixTime,
};
use crate::store::{
    AuditEntry, Import, Imported, Instance, KeyPage, ListMark, ListPage, PageMark, StoreError,
};

/// What an administrator asks, in whatever dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Show keys.
    List(KeyFilter),
    /// Show at most `limit` of them, those after a mark.
    ListPage {
        /// Which keys.
        filter: KeyFilter,
        /// Where the page before ended.
        after: Option<ListMark>,
        /// How many at most.
        limit: usize,
    },
    /// Show one key.
    Find(KeySelector),
    /// Make a key.
    Create(CreateKey),
    /// Delete a key.
    Delete(KeySelector),
    /// Change what may change about a key.
    Update(KeySelector, UpdateKey),
    /// Give a key a new text; the present one works that many seconds more.
    Rotate(KeySelector, u64),
    /// Store keys that were made elsewhere, by their digests.
    Import(Import),
    /// Give out keys with their digests, those after a mark.
    Export(Option<PageMark>),
    /// Show the audit trail: at most `limit` entries, those before the one numbered `before`.
    Audit {
        /// The number of the entry shown last.
        before: Option<u64>,
        /// How many.
        limit: usize,
    },
    /// Show the servers that run on the key database.
    ListInstances,
    /// Show teams.
    ListTeams,
    /// Make a team.
    CreateTeam(Name),
    /// Say who asks.
    WhoAmI,
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
    /// Whether calls under way end with it, whatever the settings say.
    pub ends_calls: bool,
}

/// What is to change about a key. `None` leaves a thing as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpdateKey {
    /// A new name, or none.
    pub name: Option<Option<Name>>,
    /// What it may do, in px0's word: another category, unless the present one means the same.
    pub operation: Option<Operation>,
    /// Which models it may call.
    pub scope: Option<ModelScope>,
    /// Its team.
    pub team: Option<TeamId>,
    /// From when on it is refused, or never.
    pub expires_at: Option<Option<UnixTime>>,
    /// On or off.
    pub enabled: Option<bool>,
    /// Whether calls under way end with it.
    pub ends_calls: Option<bool>,
}

/// What became of a [`Command`].
#[derive(Debug)]
pub enum Outcome {
    /// The keys, newest first.
    Listed(Vec<ApiKey>),
    /// Some of the keys, newest first, and where to go on.
    ListedPage(ListPage),
    /// The key.
    Found(Box<ApiKey>),
    /// The key, and its text: shown once.
    Created {
        /// As it was stored.
        key: Box<ApiKey>,
        /// To be shown in this one answer.
        secret: NewSecret,
    },
    /// The key as it was, now a tombstone.
    Deleted(Box<ApiKey>),
    /// The key as it is now.
    Updated(Box<ApiKey>),
    /// The key as it is now, and its new text: shown once.
    Rotated {
        /// As it is stored now.
        key: Box<ApiKey>,
        /// To be shown in this one answer.
        secret: NewSecret,
    },
    /// What became of the keys.
    Imported(Imported),
    /// Some of the keys, and where to go on.
    Exported(KeyPage),
    /// The entries of the audit trail, newest first.
    Audited(Vec<AuditEntry>),
    /// The servers, by name, and how far each has followed the change log.
    Instances(Vec<Instance>),
    /// The teams, the default one first.
    Teams(Vec<Team>),
    /// The team as it was stored.
    TeamCreated(Team),
    /// Who asks.
    You {
        /// The owner of whatever the caller makes: see [`Caller::owner`].
        owner: Name,
        /// The organisation it acts in.
        org: OrgId,
    },
}

/// Who asks, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    who: Who,
    from: Origin,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Who {
    /// The holder of the admin token, or of the database itself.
    Operator,
    /// The holder of a live key.
    Key(Box<ApiKey>),
}

impl Caller {
    /// Whoever has the database itself.
    pub const OPERATOR: Self = Self {
        who: Who::Operator,
        from: Origin::Database,
    };

    /// The holder of the admin token.
    #[must_use]
    pub const fn operator(from: Origin) -> Self {
        Self {
            who: Who::Operator,
            from,
        }
    }

    /// The holder of a live key.
    #[must_use]
    pub fn key(key: ApiKey, from: Origin) -> Self {
        let who = Who::Key(Box::new(key));
        Self { who, from }
    }

    /// The key that it holds; none when it is the operator.
    #[must_use]
    pub fn holds(&self) -> Option<&ApiKey> {
        match &self.who {
            Who::Operator => None,
            Who::Key(key) => Some(key),
        }
    }

    /// As whom the audit trail knows it.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor {
            name: self.owner(),
            key: self.holds().map(|key| key.prefix.clone()),
            from: self.from,
        }
    }

    /// In whose name the caller acts: the owner of the keys it makes, and the one it means by "mine". The operator is
    /// `admin`; a key acts in the name of its own owner ([`owner_of`]), so that whoever holds several keys of one
    /// owner finds the same keys with each.
    #[must_use]
    pub fn owner(&self) -> Name {
        match self.holds() {
            None => "admin".parse().expect("five letters are a name"),
            Some(key) => owner_of(key),
        }
    }

    /// Whether the caller may use the admin listener at all (CONTRACTS 2). What it may do there,
    /// [`KeyRegistry::execute`] decides.
    ///
    /// [`KeyRegistry::execute`]: super::KeyRegistry::execute
    #[must_use]
    pub fn may_administer(&self) -> bool {
        self.may_manage(&KeyCategory::WorkspaceInvoke)
    }

    /// Whether the caller may see, make and delete keys of this category.
    #[must_use]
    pub fn may_manage(&self, category: &KeyCategory) -> bool {
        self.holds()
            .is_none_or(|key| key.category.may_manage(category))
    }
}

/// In whose name `key` was made. A key that nobody made here (an imported one) is its own owner, under its prefix,
/// which no other key can have.
#[must_use]
pub fn owner_of(key: &ApiKey) -> Name {
    key.owner.clone().unwrap_or_else(|| {
        let prefix = key.prefix.as_str().parse();
        prefix.expect("a prefix is 1 to 64 letters, digits, `_` or `-`")
    })
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

/// What sort of refusal a [`RegistryError`] is: all that a translator needs to choose its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// The caller may not.
    Forbidden,
    /// Nobody could.
    Invalid,
    /// There is nothing to do it to.
    NotFound,
    /// Something else has the name.
    Conflict,
    /// The database did not do it; asking again may help.
    Unavailable,
    /// We cannot.
    Internal,
}

impl RegistryError {
    /// What sort of refusal it is.
    #[must_use]
    pub const fn kind(&self) -> RefusalKind {
        match self {
            Self::Forbidden => RefusalKind::Forbidden,
            Self::Invalid(_) => RefusalKind::Invalid,
            Self::Entropy | Self::Store(StoreError::NotAllowed { .. }) => RefusalKind::Internal,
            Self::Store(StoreError::NoSuchKey | StoreError::NoSuchTeam) => RefusalKind::NotFound,
            Self::Store(
                StoreError::NameTaken(_)
                | StoreError::ChangedMeanwhile
                | StoreError::PrefixTaken(_)
                | StoreError::DigestTaken
                | StoreError::TeamNameTaken(_),
            ) => RefusalKind::Conflict,
            Self::Store(
                StoreError::Open { .. }
                | StoreError::Away { .. }
                | StoreError::Query { .. }
                | StoreError::TimedOut { .. }
                | StoreError::Full { .. },
            ) => RefusalKind::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use uuid::Uuid;

    use super::*;
    use crate::key::{KeyDigest, KeyId};

    fn caller(category: KeyCategory, owner: Option<&str>) -> Caller {
        let key = ApiKey {
            id: KeyId::new(Uuid::from_u128(1)),
            prefix: "kw_aaaaaaaa".parse().unwrap(),
            digest: KeyDigest::of(b"text"),
            old: None,
            name: Some("laptop".parse().unwrap()),
            category,
            operation: None,
            scope: ModelScope::Every,
            org: OrgId::new(Uuid::from_u128(2)),
            team: None,
            owner: owner.map(|owner| owner.parse().unwrap()),
            created_at: UnixTime::from_secs(1),
            expires_at: None,
            disabled_at: None,
            ends_calls: false,
            last_used_at: None,
        };
        Caller::key(key, Origin::Database)
    }

    #[rstest]
    #[case::operator(Caller::OPERATOR, "admin")]
    #[case::owned(caller(KeyCategory::Personal, Some("ada")), "ada")]
    #[case::ownerless(caller(KeyCategory::Personal, None), "kw_aaaaaaaa")]
    fn a_caller_acts_for_its_owner(#[case] caller: Caller, #[case] owner: &str) {
        assert_eq!(caller.owner().as_str(), owner);
    }

    #[rstest]
    #[case::operator(Caller::OPERATOR, true)]
    #[case::personal(caller(KeyCategory::Personal, None), true)]
    #[case::manage_all(caller(KeyCategory::WorkspaceManageAll, None), true)]
    #[case::metrics(caller(KeyCategory::WorkspaceExportMetrics, None), false)]
    #[case::invoke(caller(KeyCategory::WorkspaceInvoke, None), false)]
    #[case::unknown(caller(KeyCategory::from_stored("NEW"), None), false)]
    fn only_these_may_administer(#[case] caller: Caller, #[case] may: bool) {
        assert_eq!(caller.may_administer(), may);
    }
}
