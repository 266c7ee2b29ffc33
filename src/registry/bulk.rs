//! Many keys at once, in and out, by their digests.

use super::{Caller, KeyRegistry, Outcome, RegistryError};
use crate::key::{
    ImportedKey, KeyCategory, KeyDigest, ModelPattern, ModelScope, Name, holds_a_key,
};
use crate::store::{Cursor, Import, PageMark};

impl KeyRegistry {
    /// Only for whoever may do everything: an imported key may be of any category and of any owner.
    pub(super) async fn import(
        &self,
        caller: &Caller,
        import: Import,
    ) -> Result<(Outcome, Option<Cursor>), RegistryError> {
        if !caller.may_manage(&KeyCategory::Personal) {
            return Err(RegistryError::Forbidden);
        }
        if let Some(why) = import.keys.iter().find_map(contradiction) {
            return Err(RegistryError::Invalid(why));
        }
        let import = Import {
            by: Some(caller.actor()),
            ..import
        };
        let imported = self.store.import(&import).await?;
        if imported.written.is_some() {
            tracing::info!(keys = imported.stored, caller = %caller.owner(), "keys imported");
        }
        let written = imported.written;
        Ok((Outcome::Imported(imported), written))
    }

    /// Only for whoever may do everything: a digest tells whether a text is a key's.
    pub(super) async fn export(
        &self,
        caller: &Caller,
        after: Option<&PageMark>,
    ) -> Result<Outcome, RegistryError> {
        if !caller.may_manage(&KeyCategory::Personal) {
            return Err(RegistryError::Forbidden);
        }
        Ok(Outcome::Exported(self.store.page(after).await?))
    }
}

/// Why `key` is not imported, whatever is in the database: it contradicts itself, or holds a secret where none belongs.
/// Nothing when it may be.
#[must_use]
pub fn contradiction(key: &ImportedKey) -> Option<&'static str> {
    if let Err(why) = check_rights(&key.category, &key.scope) {
        return Some(why);
    }
    if key.old.is_some_and(|old| old.digest == key.digest) {
        return Some("its digest before the rotation is its present one");
    }
    let shown = [
        Some(key.prefix.as_str()),
        key.name.as_ref().map(Name::as_str),
        key.owner.as_ref().map(Name::as_str),
    ];
    let models = key.scope.patterns().unwrap_or_default();
    let models = models.iter().map(ModelPattern::as_str);
    let mut shown = shown.into_iter().flatten().chain(models);
    let is_secret = |text: &str| {
        let digest = KeyDigest::of(text.as_bytes());
        holds_a_key(text.as_bytes()) || key.digests().any(|known| known == digest)
    };
    shown
        .any(is_secret)
        .then_some("the text of the key itself stands in a column that is shown")
}

/// Whether a key of this category may exist, and have this scope (CONTRACTS 2).
pub(super) fn check_rights(category: &KeyCategory, scope: &ModelScope) -> Result<(), &'static str> {
    if matches!(category, KeyCategory::Unknown(_)) {
        return Err("there is no such type of key");
    }
    match scope {
        ModelScope::Only(_) if !category.may_have_scope() => {
            Err("only WORKSPACE_EXPORT_METRICS and WORKSPACE_INVOKE keys can be limited to models")
        }
        ModelScope::Only(models) if models.is_empty() => {
            Err("a key that is limited to models names at least one")
        }
        ModelScope::Every | ModelScope::Only(_) => Ok(()),
    }
}
