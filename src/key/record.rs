use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use super::{Actor, KeyDigest, KeyPrefix, ModelScope, UnixTime};

macro_rules! uuid_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// The identity `uuid`.
            #[must_use]
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID itself.
            #[must_use]
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

uuid_type! {
    /// Which key: UUID v7, so that ids sort by age. Survives a rotation.
    KeyId
}
uuid_type! {
    /// Which organisation.
    OrgId
}
uuid_type! {
    /// Which team.
    TeamId
}

/// What kind of key it is, and so what it may do (CONTRACTS 2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeyCategory {
    /// A person's key: everything.
    Personal,
    /// Calls every model, reads metrics, manages the three workspace categories.
    WorkspaceManageAll,
    /// Reads exported metrics, within its scope; calls nothing.
    WorkspaceExportMetrics,
    /// Calls models, within its scope.
    WorkspaceInvoke,
    /// A stored word we do not know. Permits nothing and is listed as it is.
    Unknown(Box<str>),
}

/// The text names no category.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a key's type is PERSONAL, WORKSPACE_MANAGE_ALL, WORKSPACE_EXPORT_METRICS or WORKSPACE_INVOKE"
)]
pub struct InvalidCategory;

impl KeyCategory {
    /// The four categories that can be asked for.
    pub const ALL: [Self; 4] = [
        Self::Personal,
        Self::WorkspaceManageAll,
        Self::WorkspaceExportMetrics,
        Self::WorkspaceInvoke,
    ];

    /// The word, as it is stored and as the Baseten dialect shows it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Personal => "PERSONAL",
            Self::WorkspaceManageAll => "WORKSPACE_MANAGE_ALL",
            Self::WorkspaceExportMetrics => "WORKSPACE_EXPORT_METRICS",
            Self::WorkspaceInvoke => "WORKSPACE_INVOKE",
            Self::Unknown(word) => word,
        }
    }

    /// A category as it is stored; a word we do not know is kept.
    #[must_use]
    pub fn from_stored(word: &str) -> Self {
        word.parse().unwrap_or_else(|_| Self::Unknown(word.into()))
    }

    /// Whether such a key may call models.
    #[must_use]
    pub const fn may_invoke(&self) -> bool {
        matches!(
            self,
            Self::Personal | Self::WorkspaceManageAll | Self::WorkspaceInvoke
        )
    }

    /// Whether such a key may read the metrics that servers export (CONTRACTS 2).
    #[must_use]
    pub const fn may_read_metrics(&self) -> bool {
        matches!(
            self,
            Self::Personal | Self::WorkspaceManageAll | Self::WorkspaceExportMetrics
        )
    }

    /// Whether such a key may create and delete keys of the category `other`.
    #[must_use]
    pub const fn may_manage(&self, other: &Self) -> bool {
        match self {
            Self::Personal => true,
            Self::WorkspaceManageAll => !matches!(other, Self::Personal),
            _ => false,
        }
    }

    /// Whether such a key may be limited to some models (CONTRACTS 2).
    #[must_use]
    pub const fn may_have_scope(&self) -> bool {
        matches!(self, Self::WorkspaceExportMetrics | Self::WorkspaceInvoke)
    }
}

impl FromStr for KeyCategory {
    type Err = InvalidCategory;

    fn from_str(word: &str) -> Result<Self, InvalidCategory> {
        let known = Self::ALL
            .into_iter()
            .find(|category| category.as_str() == word);
        known.ok_or(InvalidCategory)
    }
}

/// The px0 dialect's word for what a key may do, where it says more than the category.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Reads and renders.
    ReadRender,
    /// Everything but administration.
    All,
    /// Everything.
    Admin,
}

impl Operation {
    /// The word, as it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadRender => "read_render",
            Self::All => "all",
            Self::Admin => "admin",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn from_stored(word: &str) -> Option<Self> {
        [Self::ReadRender, Self::All, Self::Admin]
            .into_iter()
            .find(|operation| operation.as_str() == word)
    }

    /// The category of a key for which px0's word is asked (CONTRACTS 2).
    #[must_use]
    pub const fn category(self) -> KeyCategory {
        match self {
            Self::ReadRender => KeyCategory::WorkspaceInvoke,
            Self::All => KeyCategory::WorkspaceManageAll,
            Self::Admin => KeyCategory::Personal,
        }
    }

    /// px0's word for what a key of this category may do (CONTRACTS 2); none for one we do not know.
    #[must_use]
    pub const fn of(category: &KeyCategory) -> Option<Self> {
        match category {
            KeyCategory::Personal => Some(Self::Admin),
            KeyCategory::WorkspaceManageAll => Some(Self::All),
            KeyCategory::WorkspaceInvoke | KeyCategory::WorkspaceExportMetrics => {
                Some(Self::ReadRender)
            }
            KeyCategory::Unknown(_) => None,
        }
    }
}

/// A name somebody gave: to a key, a team, an owner. 1 to 200 characters, none of them a control character.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

/// The longest name, in characters.
pub const MAX_NAME_CHARS: usize = 200;

/// The text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to {MAX_NAME_CHARS} characters and no control characters")]
pub struct InvalidName;

impl Name {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        // U+2028, U+2029 and the bidirectional controls rearrange a terminal's line just as control characters do.
        let disturbs = |c: char| {
            c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        let chars = text.chars().count();
        if (1..=MAX_NAME_CHARS).contains(&chars) && !text.chars().any(disturbs) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName)
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A team: keys belong to one, or to the whole organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// Which team.
    pub id: TeamId,
    /// The organisation it belongs to.
    pub org: OrgId,
    /// Its name, unique in the organisation.
    pub name: Name,
    /// Whether keys made without naming a team belong here. Exactly one team of an organisation is the default.
    pub is_default: bool,
    /// When it was made, by the database's clock.
    pub created_at: UnixTime,
}

/// What a key says about its team, wherever the key is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamRef {
    /// Which team.
    pub id: TeamId,
    /// Its name.
    pub name: Name,
}

/// The text a key had before its last rotation, and until when that text still works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldDigest {
    /// Its digest.
    pub digest: KeyDigest,
    /// The last moment it works.
    pub until: UnixTime,
}

/// A key as it is stored. Holding one says nothing about whether it may be used: [`Grant::permit`] does.
///
/// [`Grant::permit`]: super::Grant::permit
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Which key.
    pub id: KeyId,
    /// Its public name.
    pub prefix: KeyPrefix,
    /// SHA-256 of its text.
    pub digest: KeyDigest,
    /// The text before the last rotation, while its grace lasts.
    pub old: Option<OldDigest>,
    /// What people call it.
    pub name: Option<Name>,
    /// What it may do.
    pub category: KeyCategory,
    /// px0's word for that, where the key was made in that dialect.
    pub operation: Option<Operation>,
    /// Which models it may call.
    pub scope: ModelScope,
    /// Whose it is.
    pub org: OrgId,
    /// Its team.
    pub team: Option<TeamRef>,
    /// Who made it.
    pub owner: Option<Name>,
    /// When it was made, by the database's clock.
    pub created_at: UnixTime,
    /// From when on it is refused.
    pub expires_at: Option<UnixTime>,
    /// Since when it is switched off.
    pub disabled_at: Option<UnixTime>,
    /// Whether calls under way end with it, whatever the settings say.
    pub ends_calls: bool,
    /// When it was last used, as far as that has been written.
    pub last_used_at: Option<UnixTime>,
}

/// A key to be stored. The database adds the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApiKey {
    /// Which key.
    pub id: KeyId,
    /// Its public name.
    pub prefix: KeyPrefix,
    /// SHA-256 of its text; an import gives it from outside.
    pub digest: KeyDigest,
    /// What people call it.
    pub name: Option<Name>,
    /// What it may do.
    pub category: KeyCategory,
    /// px0's word for that.
    pub operation: Option<Operation>,
    /// Which models it may call.
    pub scope: ModelScope,
    /// Its team; `None` is the organisation's default team.
    pub team: Option<TeamId>,
    /// Who makes it.
    pub owner: Option<Name>,
    /// From when on it is refused.
    pub expires_at: Option<UnixTime>,
    /// Whether calls under way end with it, whatever the settings say.
    pub ends_calls: bool,
    /// Who is noted in the audit trail; nothing is noted without.
    pub by: Option<Actor>,
}

/// Which keys a list shows. Deleted keys are never among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyFilter {
    /// Only of this category.
    pub category: Option<KeyCategory>,
    /// Only those this owner made.
    pub owner: Option<Name>,
    /// Only of this team.
    pub team: Option<TeamId>,
}

/// One key, by one of its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySelector {
    /// By id.
    Id(KeyId),
    /// By prefix.
    Prefix(KeyPrefix),
}

/// What may change about a key. `None` leaves a thing as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyUpdate {
    /// A new name, or none.
    pub name: Option<Option<Name>>,
    /// Another category.
    pub category: Option<KeyCategory>,
    /// Another word of px0's.
    pub operation: Option<Operation>,
    /// A new scope.
    pub scope: Option<ModelScope>,
    /// Another team of its organisation.
    pub team: Option<TeamId>,
    /// A new end, or none.
    pub expires_at: Option<Option<UnixTime>>,
    /// On or off.
    pub enabled: Option<bool>,
    /// Whether calls under way end with it.
    pub ends_calls: Option<bool>,
    /// A new text; the present one goes on working until then.
    pub rotate: Option<Rotation>,
    /// What the key may do, as it was seen by whoever decided that this may change; only while that is so.
    pub seen: Option<Rights>,
    /// Who is noted in the audit trail; nothing is noted without.
    pub by: Option<Actor>,
}

/// What a key may do, and to which models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// Its category.
    pub category: KeyCategory,
    /// Its scope.
    pub scope: ModelScope,
}

impl Rights {
    /// Those of `key`.
    #[must_use]
    pub fn of(key: &ApiKey) -> Self {
        Self {
            category: key.category.clone(),
            scope: key.scope.clone(),
        }
    }
}

/// A key's next text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// SHA-256 of the new text.
    pub digest: KeyDigest,
    /// The new text's prefix.
    pub prefix: KeyPrefix,
    /// How long the present text goes on working, in seconds.
    pub grace_secs: u64,
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("a", true)]
    #[case("prod · team “zürich” 🚀", true)]
    #[case("'; DROP TABLE api_keys; --", true)]
    #[case("", false)]
    #[case("a\nb", false)]
    #[case("a\u{1b}[31m", false)]
    #[case("a\u{202e}b", false)]
    #[case("a\u{85}b", false)]
    fn a_name_holds_no_control_characters(#[case] text: &str, #[case] valid: bool) {
        assert_eq!(text.parse::<Name>().is_ok(), valid);
    }

    #[test]
    fn a_name_is_measured_in_characters() {
        assert!("ü".repeat(200).parse::<Name>().is_ok());
        assert!("u".repeat(201).parse::<Name>().is_err());
    }

    #[test]
    fn a_stored_word_we_do_not_know_is_kept_and_permits_nothing() {
        let category = KeyCategory::from_stored("WORKSPACE_FUTURE");
        assert_eq!(category.as_str(), "WORKSPACE_FUTURE");
        assert!(!category.may_invoke());
        assert!(!category.may_read_metrics());
        assert!(
            KeyCategory::ALL
                .iter()
                .all(|other| !category.may_manage(other))
        );
        assert_eq!("personal".parse::<KeyCategory>(), Err(InvalidCategory));
    }

    #[test]
    fn an_operation_and_its_category_mean_each_other() {
        for operation in [Operation::ReadRender, Operation::All, Operation::Admin] {
            assert_eq!(Operation::of(&operation.category()), Some(operation));
        }
        let metrics = KeyCategory::WorkspaceExportMetrics;
        assert_eq!(Operation::of(&metrics), Some(Operation::ReadRender));
        assert_eq!(Operation::of(&KeyCategory::from_stored("NEW")), None);
    }

    #[rstest]
    #[case(KeyCategory::Personal, true, true, [true, true, true, true])]
    #[case(KeyCategory::WorkspaceManageAll, true, true, [false, true, true, true])]
    #[case(KeyCategory::WorkspaceExportMetrics, false, true, [false; 4])]
    #[case(KeyCategory::WorkspaceInvoke, true, false, [false; 4])]
    fn a_category_may_do_what_the_contract_says(
        #[case] category: KeyCategory,
        #[case] invoke: bool,
        #[case] metrics: bool,
        #[case] manage: [bool; 4],
    ) {
        assert_eq!(category.may_invoke(), invoke);
        assert_eq!(category.may_read_metrics(), metrics);
        assert_eq!(
            KeyCategory::ALL.map(|other| category.may_manage(&other)),
            manage
        );
    }
}
