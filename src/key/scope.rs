use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest model id or pattern, in bytes.
pub const MAX_MODEL_BYTES: usize = 256;
/// The most patterns one scope may hold.
pub const MAX_PATTERNS: usize = 1000;

/// The name of a model as a request gives it, borrowed from the request. Compared byte for byte (SECURITY S12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ModelId<'r>(&'r str);

impl<'r> ModelId<'r> {
    /// A model called `name`, exactly.
    #[must_use]
    pub const fn new(name: &'r str) -> Self {
        Self(name)
    }

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'r str {
        self.0
    }
}

/// One entry of a scope: an exact id, or everything that begins alike (`meta/*`; `*` alone is every model).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelPattern(Box<str>);

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// Nothing, or more than [`MAX_MODEL_BYTES`].
    #[error("a model id has 1 to {MAX_MODEL_BYTES} bytes")]
    Length,
    /// A control character.
    #[error("a model id holds no control characters")]
    Control,
    /// A star before the end.
    #[error("a `*` may stand only at the end of a model id")]
    Star,
}

impl ModelPattern {
    /// Whether the pattern names `model`.
    #[must_use]
    pub fn allows(&self, model: ModelId<'_>) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => model.as_str().starts_with(beginning),
            None => *self.0 == *model.as_str(),
        }
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ModelPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        if text.is_empty() || text.len() > MAX_MODEL_BYTES {
            return Err(InvalidPattern::Length);
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidPattern::Control);
        }
        if text.strip_suffix('*').unwrap_or(text).contains('*') {
            return Err(InvalidPattern::Star);
        }
        Ok(Self(text.into()))
    }
}

/// Which models a key may call. A copy costs no memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelScope {
    /// Every model. Stored and shown as null.
    Every,
    /// These and no others. An empty list permits none (CONTRACTS 1, SECURITY S15).
    Only(Arc<[ModelPattern]>),
}

/// The scopes of many keys that are read one after the other: those that are written alike are parsed once and share
/// their memory, for as long as one of the keys is held.
#[derive(Debug, Default)]
pub struct ScopesRead(HashMap<Box<str>, ModelScope>);

/// So many different scopes are told apart at a time.
const MOST_SCOPES: usize = 4096;

/// Why a list of model ids is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidScope {
    /// A list with nothing in it: more likely a mistake than a key that may call nothing.
    #[error("a list of model ids names at least one model; leave it out for every model")]
    Empty,
    /// More than [`MAX_PATTERNS`].
    #[error("a list of model ids names at most {MAX_PATTERNS} models")]
    TooMany,
    /// One of them.
    #[error("model id `{id}`: {why}")]
    Pattern {
        /// The text as it came, with control characters escaped.
        id: String,
        /// What is wrong with it.
        why: InvalidPattern,
    },
    /// The stored text is no JSON list of strings.
    #[error("the stored scope is not a JSON list of strings")]
    NotAList,
}

impl ModelScope {
    /// A scope as somebody asks for it: null is every model, a list is these.
    ///
    /// # Errors
    ///
    /// When the list is empty or too long, or an entry is no pattern.
    pub fn from_request<S: AsRef<str>>(ids: Option<&[S]>) -> Result<Self, InvalidScope> {
        match ids {
            None => Ok(Self::Every),
            Some([]) => Err(InvalidScope::Empty),
            Some(ids) => Self::from_list(ids),
        }
    }

    /// A scope as it is stored: NULL, or a JSON list of patterns.
    ///
    /// # Errors
    ///
    /// When the text is no such list. An empty list is read, and permits nothing.
    pub fn from_stored(stored: Option<&str>) -> Result<Self, InvalidScope> {
        let Some(stored) = stored else {
            return Ok(Self::Every);
        };
        let ids: Vec<String> = serde_json::from_str(stored).map_err(|_| InvalidScope::NotAList)?;
        Self::from_list(&ids)
    }

    fn from_list<S: AsRef<str>>(ids: &[S]) -> Result<Self, InvalidScope> {
        if ids.len() > MAX_PATTERNS {
            return Err(InvalidScope::TooMany);
        }
        let patterns = ids.iter().map(|id| {
            id.as_ref().parse().map_err(|why| InvalidScope::Pattern {
                id: id.as_ref().escape_debug().to_string(),
                why,
            })
        });
        patterns.collect::<Result<_, _>>().map(Self::Only)
    }

    /// The scope as it is stored.
    #[must_use]
    pub fn to_stored(&self) -> Option<String> {
        let list = self.patterns()?;
        let list: Vec<&str> = list.iter().map(ModelPattern::as_str).collect();
        Some(serde_json::to_string(&list).expect("a list of strings is always JSON"))
    }

    /// The patterns, or `None` for every model.
    #[must_use]
    pub fn patterns(&self) -> Option<&[ModelPattern]> {
        match self {
            Self::Every => None,
            Self::Only(patterns) => Some(patterns),
        }
    }

    /// Whether the scope is every model.
    #[must_use]
    pub const fn is_every_model(&self) -> bool {
        matches!(self, Self::Every)
    }

    /// Whether a key with this scope may call `model`.
    #[must_use]
    pub fn allows(&self, model: ModelId<'_>) -> bool {
        match self {
            Self::Every => true,
            Self::Only(patterns) => patterns.iter().any(|pattern| pattern.allows(model)),
        }
    }
}

impl ScopesRead {
    /// The scope that is stored as this text; see [`ModelScope::from_stored`].
    ///
    /// # Errors
    ///
    /// When the text is no such list.
    pub fn from_stored(&mut self, stored: Option<&str>) -> Result<ModelScope, InvalidScope> {
        let Some(text) = stored else {
            return Ok(ModelScope::Every);
        };
        if let Some(scope) = self.0.get(text) {
            return Ok(scope.clone());
        }
        let scope = ModelScope::from_stored(Some(text))?;
        if self.0.len() >= MOST_SCOPES {
            self.0.clear();
        }
        self.0.insert(text.into(), scope.clone());
        Ok(scope)
    }
}

impl fmt::Display for ModelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::exact("llama-3", "llama-3", true)]
    #[case::longer("llama-3", "llama-31", false)]
    #[case::shorter("llama-3", "llama-", false)]
    #[case::prefix("meta/*", "meta/llama-3", true)]
    #[case::prefix_alone("meta/*", "meta/", true)]
    #[case::prefix_missing("meta/*", "meta", false)]
    #[case::every("*", "anything", true)]
    #[case::case_matters("Meta/*", "meta/llama-3", false)]
    #[case::no_trimming("llama-3", "llama-3 ", false)]
    #[case::no_unicode_folding("caf\u{e9}", "cafe\u{301}", false)]
    #[case::a_star_in_a_request_is_a_star("llama-3", "llama-*", false)]
    fn a_pattern_allows_only_what_it_names(
        #[case] pattern: &str,
        #[case] model: &str,
        #[case] allowed: bool,
    ) {
        let pattern: ModelPattern = pattern.parse().expect("a valid pattern");
        assert_eq!(pattern.allows(ModelId::new(model)), allowed);
    }

    #[rstest]
    #[case("", InvalidPattern::Length)]
    #[case("a*b", InvalidPattern::Star)]
    #[case("**", InvalidPattern::Star)]
    #[case("a\u{7}", InvalidPattern::Control)]
    fn what_is_no_pattern_is_refused(#[case] text: &str, #[case] why: InvalidPattern) {
        assert_eq!(text.parse::<ModelPattern>(), Err(why));
    }

    #[test]
    fn an_empty_list_is_refused_when_asked_for_and_permits_none_when_found() {
        assert_eq!(
            ModelScope::from_request::<&str>(Some(&[])),
            Err(InvalidScope::Empty)
        );
        let found = ModelScope::from_stored(Some("[]")).unwrap();
        assert!(!found.allows(ModelId::new("m")));
        assert!(!found.is_every_model());
    }

    #[rstest]
    #[case("null")]
    #[case("{}")]
    #[case("\"m\"")]
    #[case("[1]")]
    #[case("[\"a\"")]
    #[case("")]
    fn a_stored_scope_that_is_no_list_is_refused(#[case] stored: &str) {
        assert_eq!(
            ModelScope::from_stored(Some(stored)),
            Err(InvalidScope::NotAList)
        );
    }

    #[test]
    fn scopes_that_are_written_alike_are_held_once() {
        let mut scopes = ScopesRead::default();
        let mut read = |text: &str| scopes.from_stored(Some(text)).unwrap();
        let (first, other, second) = (read(r#"["a"]"#), read(r#"["b"]"#), read(r#"["a"]"#));
        assert!(std::ptr::eq(
            first.patterns().unwrap(),
            second.patterns().unwrap()
        ));
        assert!(other.allows(ModelId::new("b")) && !other.allows(ModelId::new("a")));
        for n in 0..2 * MOST_SCOPES {
            let scope = read(&format!(r#"["m{n}"]"#));
            assert!(scope.allows(ModelId::new(&format!("m{n}"))));
        }
        assert!(scopes.0.len() <= MOST_SCOPES);
        assert_eq!(scopes.from_stored(None), Ok(ModelScope::Every));
        assert_eq!(scopes.from_stored(Some("{")), Err(InvalidScope::NotAList));
    }

    proptest! {
        #[test]
        fn a_scope_survives_being_stored(ids in prop::collection::vec("[a-zA-Z0-9/._-]{1,20}[*]?", 1..6)) {
            let scope = ModelScope::from_request(Some(&ids)).unwrap();
            prop_assert_eq!(ModelScope::from_stored(scope.to_stored().as_deref()).unwrap(), scope);
        }

        #[test]
        fn a_longer_beginning_never_allows_more(beginning in "[a-c]{0,4}", more in "[a-c]{0,3}", model in "[a-c]{0,8}") {
            let wide: ModelPattern = format!("{beginning}*").parse().unwrap();
            let narrow: ModelPattern = format!("{beginning}{more}*").parse().unwrap();
            let model = ModelId::new(&model);
            prop_assert!(!narrow.allows(model) || wide.allows(model));
        }
    }
}
