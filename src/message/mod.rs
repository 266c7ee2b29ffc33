//! A message's head on its way through the house: a request's from the caller's side to the upstream's, and an answer's back.
//!
//! What came over HTTP/1 is written once, where it was read: a head says where in it each field stands, so that nothing is
//! copied, hashed or counted for a field that is only looked at and passed on. What is ours joins beside it. Over HTTP/2, and
//! wherever else the `http` crate's own head comes or is wanted, one is turned into the other.

mod fields;
mod response;

use http::request::Parts;
use http::{Method, Request, Uri, Version};

pub use fields::{Fields, Places, Value};
pub use response::Response;

/// The head of a request.
#[derive(Debug, Clone, Default)]
pub struct RequestHead {
    /// What is asked for.
    pub method: Method,
    /// Of what.
    pub uri: Uri,
    /// In which version it came, or goes on.
    pub version: Version,
    /// Its fields.
    pub headers: Fields,
}

impl From<Parts> for RequestHead {
    fn from(parts: Parts) -> Self {
        Self {
            method: parts.method,
            uri: parts.uri,
            version: parts.version,
            headers: parts.headers.into(),
        }
    }
}

impl From<RequestHead> for Parts {
    fn from(head: RequestHead) -> Self {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = head.method;
        parts.uri = head.uri;
        parts.version = head.version;
        parts.headers = head.headers.into();
        parts
    }
}
