//! What the dialects' parts of the OpenAPI document have in common.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

use crate::admin::read;
use crate::key::MAX_NAME_CHARS;

/// What a [`Name`](crate::key::Name) takes: no control characters, and nothing that rearranges a line.
const NAME: &str = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]+$";

/// A type that only the document knows.
macro_rules! documented {
    ($(#[$doc:meta])+ $type:ident as $name:literal: $schema:expr) => {
        $(#[$doc])+
        pub struct $type;

        impl utoipa::PartialSchema for $type {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                serde_json::from_value($schema).expect("a fixed text that is a schema")
            }
        }

        impl utoipa::ToSchema for $type {
            fn name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }
        }
    };
}
pub(super) use documented;

documented! {
    /// How many entries are shown.
    Limit as "Limit": json!({ "type": "integer", "minimum": 1, "maximum": read::MAX_LIMIT })
}
documented! {
    /// Where a list of keys goes on.
    ListCursor as "ListCursor": json!({ "type": "string", "pattern": r"^[0-9]{1,18}\.[0-9a-f-]{0,64}$" })
}

/// The schema of a name, of one of the JSON types `types`.
pub fn name(types: &Value, description: &str) -> Value {
    json!({
        "type": types,
        "description": description,
        "minLength": 1,
        "maxLength": MAX_NAME_CHARS,
        "pattern": NAME,
    })
}

/// What any call may be answered with instead of what was asked, in the schema called `body`.
pub fn refusals(body: &str) -> BTreeMap<String, RefOr<Response>> {
    let refusals = [
        ("400", "The request is not one of this API's"),
        ("401", "No credential, or one that is not valid"),
        ("403", "The caller may not do this, or is a web page"),
        ("408", "The body did not come in time"),
        ("413", "The body is too large"),
        ("421", "The listener is not called by this host name"),
        ("429", "Too many failed attempts from this address"),
        ("500", "keyward could not do this"),
        ("503", "The key database did not do this; try again"),
    ];
    let body = ContentBuilder::new().schema(Some(Ref::from_schema_name(body)));
    let body = body.build();
    refusals
        .map(|(status, description)| {
            let response = ResponseBuilder::new().description(description);
            let response = response.content("application/json", body.clone()).build();
            (status.to_owned(), response.into())
        })
        .into()
}
