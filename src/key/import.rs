use super::{
    KeyCategory, KeyDigest, KeyId, KeyPrefix, ModelScope, Name, OldDigest, Operation, TeamId,
    UnixTime,
};

/// A key that was made elsewhere, to be stored with the digest of its text: the text itself is never here. What it is
/// called, when it was made and used come along with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedKey {
    /// Which key, when it comes from another keyward; without it, it gets an id when it is stored.
    pub id: Option<KeyId>,
    /// Its public name.
    pub prefix: KeyPrefix,
    /// SHA-256 of its text, whatever form the text has.
    pub digest: KeyDigest,
    /// The text before its last rotation.
    pub old: Option<OldDigest>,
    /// What people call it.
    pub name: Option<Name>,
    /// What it may do.
    pub category: KeyCategory,
    /// px0's word for that.
    pub operation: Option<Operation>,
    /// Which models it may call.
    pub scope: ModelScope,
    /// Its team.
    pub team: TeamId,
    /// Who made it.
    pub owner: Option<Name>,
    /// When it was made; without it, when it is stored.
    pub created_at: Option<UnixTime>,
    /// From when on it is refused.
    pub expires_at: Option<UnixTime>,
    /// Since when it is switched off.
    pub disabled_at: Option<UnixTime>,
    /// Whether calls under way end with it, whatever the settings say.
    pub ends_calls: bool,
    /// When it was last used.
    pub last_used_at: Option<UnixTime>,
}

impl ImportedKey {
    /// Every digest that it is to be known by.
    pub fn digests(&self) -> impl Iterator<Item = KeyDigest> {
        std::iter::once(self.digest).chain(self.old.map(|old| old.digest))
    }
}
