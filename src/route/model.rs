use std::borrow::Cow;

use super::ModelConfig;
use crate::key::{ModelId, NamedModel};

/// The model of a request, and whence it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FoundModel<'t, 'r> {
    /// Host or path name it.
    InRequest(Cow<'r, str>),
    /// The route knows it.
    Fixed(&'t str),
    /// Nothing names one.
    NotNamed,
    /// Nothing names one, and the route says that nothing must.
    NotNeeded,
    /// Two places name different ones.
    Differ,
}

impl<'t, 'r> FoundModel<'t, 'r> {
    /// What a request names in all these places, as they came, on a route that says `config`.
    pub fn agreed(
        in_path: impl IntoIterator<Item = &'r str>,
        in_host: impl IntoIterator<Item = &'r str>,
        config: &'t ModelConfig,
    ) -> Self {
        let in_path = in_path.into_iter().map(decode_slashes);
        let in_host = in_host.into_iter().map(in_lower_case);
        let mut named = in_path.chain(in_host);
        let Some(model) = named.next() else {
            return match config {
                ModelConfig::Fixed(fixed) => Self::Fixed(fixed),
                ModelConfig::Named => Self::NotNamed,
                ModelConfig::NotNeeded => Self::NotNeeded,
            };
        };
        let agrees_with_route = match config {
            ModelConfig::Fixed(fixed) => **fixed == *model,
            ModelConfig::Named | ModelConfig::NotNeeded => true,
        };
        if agrees_with_route && named.all(|other| other == model) {
            Self::InRequest(model)
        } else {
            Self::Differ
        }
    }

    /// What it is once another place names `model`, too.
    pub fn and(self, model: Cow<'r, str>) -> Self {
        match self {
            Self::NotNamed | Self::NotNeeded => Self::InRequest(model),
            Self::InRequest(ref named) if *named == model => self,
            Self::Fixed(named) if *named == *model => self,
            Self::InRequest(_) | Self::Fixed(_) | Self::Differ => Self::Differ,
        }
    }

    pub fn as_named(&self) -> NamedModel<'_> {
        match self {
            Self::InRequest(model) => NamedModel::Named(ModelId::new(model)),
            Self::Fixed(model) => NamedModel::Named(ModelId::new(model)),
            Self::NotNamed => NamedModel::NotNamed,
            Self::NotNeeded => NamedModel::NotNeeded,
            Self::Differ => NamedModel::Differ,
        }
    }
}

/// The one decoding that a path demands: a canonical path holds no escape but that of the slash.
fn decode_slashes(model: &str) -> Cow<'_, str> {
    if model.contains('%') {
        Cow::Owned(model.replace("%2F", "/").replace("%2f", "/"))
    } else {
        Cow::Borrowed(model)
    }
}

/// What stands in a host has no case (RFC 9110 4.2.3); it is compared, and goes on, in lower case.
pub(super) fn in_lower_case(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}
