use std::str::FromStr;

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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

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
