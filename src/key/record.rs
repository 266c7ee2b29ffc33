use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use super::{Actor, KeyCategory, KeyDigest, KeyPrefix, ModelScope, Operation, UnixTime};

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

/// A key as it is stored. Holding one says nothing about whether it may be used: [`Grant::check`] does.
///
/// [`Grant::check`]: super::Grant::check
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
}
