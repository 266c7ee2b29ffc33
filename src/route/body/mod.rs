//! The model that a body names, JSON or a form, found while the body passes.
//!
//! A request is forwarded only if no plausible reading of its body yields another model than the one that was judged
//! (SECURITY 3.3). Readers differ about bodies that are not quite JSON, and about an object that names a member twice:
//! so both are refused, and nothing is ever skipped unread.

mod coding;
mod form;
mod json;
mod kind;
mod matcher;
mod name;
mod number;
mod part;
mod plain;
mod refused;
mod utf8;

#[cfg(test)]
mod tests;

pub use coding::{BodyCoding, BodyRules, DecodedScanner};
pub use form::FormScanner;
pub use kind::UnreadableBody;

pub(super) use kind::scanner_for;
pub(super) use refused::RefusedMembers;

use std::sync::Arc;

use json::Json;
use utf8::Utf8Gate;

use crate::key::MAX_MODEL_BYTES;

/// The deepest that a body may nest, at most.
pub const MAX_BODY_DEPTH: u16 = json::MAX_DEPTH;

/// Finds the top-level `model` of a JSON body that comes in pieces of any size, and judges all of it.
///
/// Fed to the end, it has accepted exactly the bodies that are one strict JSON document (RFC 8259) in UTF-8, an object
/// with one member that any reader could take for `model`, whose value is a usable name. How the body is cut into
/// pieces changes nothing. Pure; holds less than a kilobyte, whatever it is fed; linear in what it is fed.
#[derive(Debug)]
pub struct ModelScanner {
    gate: Utf8Gate,
    json: Json,
    fault: Option<BodyFault>,
}

/// What finds the model in a body, by the body's kind.
#[derive(Debug)]
pub enum BodyScanner {
    /// The body is JSON.
    Json(Box<ModelScanner>),
    /// The body is a form.
    Form(Box<FormScanner>),
    /// The body is one of them, compressed.
    Encoded(Box<DecodedScanner>),
}

/// Why a body cannot be judged, or cannot be read in one way only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BodyFault {
    /// Not JSON as RFC 8259 has it, or cut short.
    #[error("the body is not valid JSON")]
    NotJson,
    /// Not a form as RFC 2046 and RFC 7578 have it, or one that can be taken apart in two ways, or cut short.
    #[error("the body is not a form that can be read in one way only")]
    NotForm,
    /// Some of it is no UTF-8.
    #[error("the body is not valid UTF-8")]
    NotUtf8,
    /// It does not begin with `{`; a byte order mark is no beginning either.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// Something follows the document.
    #[error("the body holds more than one JSON document")]
    MoreThanOne,
    /// It nests deeper than allowed.
    #[error("the body nests too deep")]
    TooDeep,
    /// It has no top-level `model`.
    #[error("the body names no model")]
    NoModel,
    /// It has more than one.
    #[error("the body names more than one model")]
    Repeated,
    /// A member is called so that some readers take it for `model` and some do not.
    #[error("the body spells `model` in another way")]
    Respelled,
    /// It has a member by which the server finds a model, beside `model`.
    #[error("the body names another model beside `model`, or may")]
    OtherName,
    /// The model is no string.
    #[error("the model in the body is not a string")]
    NotText,
    /// It is compressed otherwise than it says, or so that some decoders make something else of it, or cut short.
    #[error("the body is not encoded as it says")]
    Encoding,
    /// Its model does not come within so many decoded bytes as are searched.
    #[error("the model does not come soon enough in the decoded body")]
    DecodedTooLate,
    /// It becomes too many times larger by decoding.
    #[error("the body becomes too large by decoding")]
    GrowsTooMuch,
    /// The model is empty, too long, or holds a control character or half a surrogate pair.
    #[error("the model in the body is not a usable name")]
    Unusable,
}

impl ModelScanner {
    /// A scanner of a body that may nest `depth` deep, at most [`MAX_BODY_DEPTH`].
    #[must_use]
    pub fn new(depth: u16) -> Self {
        Self::refusing(depth, Arc::default())
    }

    /// A scanner that refuses a body with one of these members, beside.
    pub(in crate::route) fn refusing(depth: u16, members: Arc<RefusedMembers>) -> Self {
        Self {
            gate: Utf8Gate::default(),
            json: Json::new(depth, members),
            fault: None,
        }
    }

    /// Judges the next piece.
    ///
    /// # Errors
    ///
    /// The first fault of the body, now and at every later call. What was pushed with it must not go on.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), BodyFault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let json = &mut self.json;
        let judged = self.gate.push(piece, |text| json.take(text));
        judged.inspect_err(|fault| self.fault = Some(*fault))
    }

    /// The model, once it is known. What comes later may still be a fault.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.json.model()
    }

    /// How many bytes of the body there were when the model became known.
    #[must_use]
    pub const fn found_at(&self) -> Option<u64> {
        self.json.found_at()
    }

    /// Judges that the body ends here; gives its model.
    ///
    /// # Errors
    ///
    /// The first fault of the body; that it is cut short or names no model is one.
    pub fn finish(&mut self) -> Result<&str, BodyFault> {
        if self.fault.is_none() {
            self.fault = self.gate.finish().and_then(|()| self.json.finish()).err();
        }
        match (self.fault, self.json.model()) {
            (Some(fault), _) => Err(fault),
            (None, Some(model)) => Ok(model),
            (None, None) => Err(BodyFault::NoModel),
        }
    }
}

impl BodyScanner {
    /// Judges the next piece, as [`ModelScanner::push`] does.
    ///
    /// # Errors
    ///
    /// The first fault of the body. What was pushed with it must not go on.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), BodyFault> {
        match self {
            Self::Json(json) => json.push(piece),
            Self::Form(form) => form.push(piece),
            Self::Encoded(encoded) => encoded.push(piece),
        }
    }

    /// The model, once it is known. What comes later may still be a fault.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        match self {
            Self::Json(json) => json.model(),
            Self::Form(form) => form.model(),
            Self::Encoded(encoded) => encoded.model(),
        }
    }

    /// Judges that the body ends here; gives its model.
    ///
    /// # Errors
    ///
    /// The first fault of the body; that it is cut short or names no model is one.
    pub fn finish(&mut self) -> Result<&str, BodyFault> {
        match self {
            Self::Json(json) => json.finish(),
            Self::Form(form) => form.finish(),
            Self::Encoded(encoded) => encoded.finish(),
        }
    }

    /// How much memory it may take beside what is held of the body, in bytes, where that is worth counting.
    #[must_use]
    pub fn memory(&self) -> usize {
        match self {
            Self::Json(_) | Self::Form(_) => 0,
            Self::Encoded(encoded) => encoded.memory(),
        }
    }
}

/// Whether a model may be called so.
fn is_usable(name: &str) -> bool {
    (1..=MAX_MODEL_BYTES).contains(&name.len()) && !name.chars().any(char::is_control)
}
