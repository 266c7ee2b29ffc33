//! What a key for some models is shown of an answer that is about many: a list of models, or metrics.
//!
//! Nothing that could not be cut is relayed: an answer that is compressed, of another kind or broken is refused before
//! its head goes back, and metrics that turn out, on their way, to be none end there.

mod models;
mod samples;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_TYPE, ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
    LAST_MODIFIED, RANGE, TRAILER,
};
use http::{HeaderName, HeaderValue, StatusCode};

pub(super) use samples::SampleFilter;

use super::Rejection;
use super::relay::Relayed;
use crate::key::{LocalGrant, ModelId};
use crate::message::{Fields, Response, Value};
use crate::route::{Route, RouteClass};
use crate::upstream::{AnswerBody, HeldBodies, WholeLimits, read_whole};

/// Why an answer cannot be cut to what a key may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfilterable {
    /// It is compressed, or a part only.
    #[error(
        "the upstream's answer is compressed or not whole, so it cannot be cut to what this key may see"
    )]
    Encoded,
    /// It is not of the kind that is cut.
    #[error(
        "the upstream's answer is of another kind than what can be cut to what this key may see"
    )]
    Kind,
    /// It is no list of models.
    #[error("the upstream's answer is no list of models that can be cut to what this key may see")]
    NoList,
    /// It is longer than what is held of one.
    #[error("the upstream's answer is too long to be cut to what this key may see")]
    TooLarge,
}

/// How an answer is cut to what a key for some models may see.
pub(super) struct Shown {
    grant: LocalGrant,
    what: What,
}

enum What {
    Models,
    /// The samples whose label of this name names one of the key's models.
    Samples(Arc<str>),
}

/// What makes an answer depend on what its caller has already, or asks for a part of it.
const CONDITIONS: [HeaderName; 7] = [
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    RANGE,
    ACCEPT_ENCODING,
];

/// What an upstream says about the bytes it sent, and not about those that are left of them.
const ABOUT_BYTES: [HeaderName; 9] = [
    CONTENT_LENGTH,
    ETAG,
    LAST_MODIFIED,
    ACCEPT_RANGES,
    TRAILER,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

impl Shown {
    /// What the key is shown of the route's answers; `None` when all of them.
    pub(super) fn of(route: &Route, grant: &LocalGrant) -> Option<Self> {
        if grant.is_for_every_model() {
            return None;
        }
        let what = match &route.class {
            RouteClass::Call | RouteClass::Metrics => return None,
            RouteClass::Models => What::Models,
            // The upstream serves no other, and the key may read about this one.
            RouteClass::LabelledMetrics(_) if route.fixed_model().is_some() => return None,
            RouteClass::LabelledMetrics(label) => What::Samples(label.as_str().into()),
        };
        let grant = grant.clone();
        Some(Self { grant, what })
    }

    /// Asks for an answer that can be cut.
    pub(super) fn ask(&self, headers: &mut Fields) {
        for name in CONDITIONS {
            headers.remove(&name);
        }
        headers.insert(&ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let What::Samples(_) = self.what {
            let text = HeaderValue::from_static("text/plain;version=0.0.4");
            headers.insert(&ACCEPT, text);
        }
    }

    /// Cuts the answer; one that is no success shows no model, and passes.
    ///
    /// # Errors
    ///
    /// When it cannot be cut, or not be read.
    pub(super) async fn cut(
        self,
        mut response: Response<AnswerBody>,
        is_head: bool,
        limits: WholeLimits,
        held: &HeldBodies,
    ) -> Result<Response<Relayed>, Rejection> {
        if !response.status.is_success() || response.status == StatusCode::NO_CONTENT {
            return Ok(response.map(Relayed::AsItCame));
        }
        for name in ABOUT_BYTES {
            response.headers.remove(&name);
        }
        // What one key is shown is not for another.
        let for_one = HeaderValue::from_static("no-store");
        response.headers.insert(&CACHE_CONTROL, for_one);
        if is_head {
            return Ok(response.map(Relayed::AsItCame));
        }
        self.check(response.status, &response.headers)
            .map_err(Rejection::Unfilterable)?;
        let grant = self.grant;
        match self.what {
            What::Samples(label) => {
                let filter = SampleFilter::new(label, move |model| grant.is_for(model));
                Ok(response.map(|body| Relayed::Samples(body, Box::new(filter))))
            }
            What::Models => {
                let (mut answer, body) = response.split();
                let whole = read_whole(body, limits, held).await?;
                let left = models::cut(&whole.bytes, |model| grant.is_for(ModelId::new(model)));
                let left = left.ok_or(Rejection::Unfilterable(Unfilterable::NoList))?;
                answer
                    .headers
                    .insert(&CONTENT_LENGTH, HeaderValue::from(left.len()));
                Ok(answer.map(|()| Relayed::Whole(Bytes::from(left), whole.share)))
            }
        }
    }

    /// Whether the head announces what can be cut.
    fn check(&self, status: StatusCode, headers: &Fields) -> Result<(), Unfilterable> {
        let mut encodings = headers.get_all(&CONTENT_ENCODING);
        let is_plain = |coding: Value<'_>| coding.as_bytes().eq_ignore_ascii_case(b"identity");
        if status != StatusCode::OK || !encodings.all(is_plain) {
            return Err(Unfilterable::Encoded);
        }
        let mut kinds = headers.get_all(&CONTENT_TYPE);
        let (Some(kind), None) = (kinds.next(), kinds.next()) else {
            return Err(Unfilterable::Kind);
        };
        let kind = kind.to_str().unwrap_or_default();
        let mut parts = kind.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        let is_known = match self.what {
            What::Models => essence == "application/json",
            What::Samples(_) => {
                matches!(&*essence, "text/plain" | "application/openmetrics-text")
            }
        };
        let is_utf8 = parts.all(|parameter| {
            let parameter = parameter.to_ascii_lowercase();
            parameter
                .strip_prefix("charset=")
                .is_none_or(|charset| matches!(charset, "utf-8" | "\"utf-8\"" | "utf8"))
        });
        if is_known && is_utf8 {
            Ok(())
        } else {
            Err(Unfilterable::Kind)
        }
    }
}
