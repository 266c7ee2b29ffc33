//! What any call may be refused with.

use std::collections::BTreeMap;

use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoResponses, ToSchema};

use super::super::document;
use super::words::ErrorBody;

/// What any call may be answered with instead of what was asked.
pub struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        document::refusals(&ErrorBody::name())
    }
}
