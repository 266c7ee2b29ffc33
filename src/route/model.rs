use std::borrow::Cow;

use super::{ModelConfig, NoRoute};
use crate::key::{ModelId, NamedModel};

/// The one model that all places of a request name, so far.
#[derive(Debug, Default)]
pub(super) struct Agreement<'r> {
    model: Option<Cow<'r, str>>,
}

/// The model of a request, and whence it is known.
#[derive(Debug)]
pub(super) enum FoundModel<'t, 'r> {
    InRequest(Cow<'r, str>),
    Fixed(&'t str),
    NotNamed,
    NotNeeded,
}

impl<'r> Agreement<'r> {
    /// Adds a model that stands in the path, as it came.
    pub fn add_from_path(&mut self, model: Option<&'r str>) -> Result<(), NoRoute> {
        model.map_or(Ok(()), |model| self.add(decode_slashes(model)))
    }

    /// Adds a model that stands in the host, as it came.
    pub fn add_from_host(&mut self, model: Option<&'r str>) -> Result<(), NoRoute> {
        model.map_or(Ok(()), |model| self.add(in_lower_case(model)))
    }

    fn add(&mut self, model: Cow<'r, str>) -> Result<(), NoRoute> {
        match &self.model {
            Some(known) if *known != model => Err(NoRoute::ModelsDiffer),
            Some(_) => Ok(()),
            None => {
                self.model = Some(model);
                Ok(())
            }
        }
    }

    /// What the request names, given what the route says about requests that name none.
    pub fn conclude<'t>(self, route: &'t ModelConfig) -> Result<FoundModel<'t, 'r>, NoRoute> {
        match (route, self.model) {
            (ModelConfig::Fixed(fixed), Some(model)) if **fixed != *model => {
                Err(NoRoute::ModelsDiffer)
            }
            (_, Some(model)) => Ok(FoundModel::InRequest(model)),
            (ModelConfig::Fixed(fixed), None) => Ok(FoundModel::Fixed(fixed)),
            (ModelConfig::Named, None) => Ok(FoundModel::NotNamed),
            (ModelConfig::NotNeeded, None) => Ok(FoundModel::NotNeeded),
        }
    }
}

impl FoundModel<'_, '_> {
    pub fn as_named(&self) -> NamedModel<'_> {
        match self {
            Self::InRequest(model) => NamedModel::Named(ModelId::new(model)),
            Self::Fixed(model) => NamedModel::Named(ModelId::new(model)),
            Self::NotNamed => NamedModel::NotNamed,
            Self::NotNeeded => NamedModel::NotNeeded,
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
