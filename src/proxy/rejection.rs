//! Every refusal: its status, its body in four forms, and its label, side by side.

mod face;
mod log;
mod prepared;

use std::sync::OnceLock;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::streams::KeyEnd;
use crate::cache::LookupError;
use crate::key::Denial;
use crate::message::Response;
use crate::route::{BodyFault, ErrorForm, NoRoute, UnreadableBody};
use crate::telemetry::metrics::RequestOutcome;
use crate::upstream::{UnknownAnswer, UnknownModel, UpstreamError};

pub use log::RefusalLog;
pub use prepared::Prepared;

use super::shown::Unfilterable;
use face::{
    BAD_REQUEST, FORBIDDEN, Face, INVALID_KEY, body, face, grpc_status, kind, trailers_only,
};

/// Why a request is refused. The caller is told the status and one sentence; the reason goes to the metric and the log.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// The method cannot be forwarded.
    #[error("this method is not forwarded")]
    Method,
    /// The target is longer than allowed.
    #[error("the request target is longer than allowed")]
    TargetTooLong,
    /// There are more header fields than allowed.
    #[error("there are more header fields than allowed")]
    TooManyFields,
    /// The head is longer than allowed.
    #[error("the request head is longer than allowed")]
    HeadTooLarge,
    /// The head did not come whole in time.
    #[error("the request head took too long")]
    HeadTooSlow,
    /// The bytes of the connection are not HTTP/1, or can be read in two ways; in words.
    #[error("{0}")]
    Malformed(String),
    /// Something in the head can be read in two ways.
    #[error("{0}")]
    Ambiguous(&'static str),
    /// No route leads anywhere.
    #[error("not found")]
    NoRoute,
    /// A route exists, but not for this method.
    #[error("this path takes another method")]
    OtherMethod {
        /// The methods it takes.
        allow: String,
    },
    /// No credential.
    #[error("missing API key")]
    MissingKey,
    /// A credential that cannot be a key, or two that differ.
    #[error("invalid API key")]
    MalformedKey,
    /// No key of ours.
    #[error("invalid API key")]
    UnknownKey,
    /// The key may not.
    #[error("{}", denial_message(*.0))]
    Denied(Denial),
    /// Not known here now.
    #[error("try again shortly")]
    KeysUnavailable {
        /// When trying again makes sense, in whole seconds.
        retry_after_secs: u64,
    },
    /// The body, where the model must be read, can be read in two ways or in none.
    #[error("{0}")]
    Body(BodyFault),
    /// The body, where the model must be read, is of a kind that is not read.
    #[error("{0}")]
    UnreadableBody(#[from] UnreadableBody),
    /// The model does not come within what is held of a body.
    #[error("the model does not come within the first {limit} bytes of the body")]
    ModelTooLate {
        /// How much that is, in bytes.
        limit: usize,
    },
    /// All requests together hold as much of their bodies as they may.
    #[error("too many large requests at once")]
    HeldBodiesFull,
    /// More requests in flight than allowed.
    #[error("too many requests at once")]
    Overloaded,
    /// The upstream's answer must be cut to what the key may see, and cannot be.
    #[error("{0}")]
    Unfilterable(Unfilterable),
    /// The caller said how long it would wait, and the upstream has not answered by then.
    #[error("deadline exceeded")]
    Deadline,
    /// The upstream did not answer.
    #[error("{}", upstream_message(.0))]
    Upstream(#[source] UpstreamError),
}

/// A key that no longer works is not told apart from one that never did (SECURITY C5).
const fn denial_message(denial: Denial) -> &'static str {
    match denial {
        Denial::Disabled | Denial::Expired => "invalid API key",
        Denial::MetricsCategory => "this key may not read metrics",
        Denial::Category
        | Denial::ModelOutOfScope
        | Denial::ModelNotNamed
        | Denial::ModelsDiffer => "this key may not call this model",
    }
}

const fn upstream_message(error: &UpstreamError) -> &'static str {
    match error {
        UpstreamError::HeadTimeout | UpstreamError::ConnectTimeout => "upstream timed out",
        UpstreamError::TooLargeToSign { .. } => "the request body is too large for this upstream",
        UpstreamError::NoRoom => "too many large requests at once",
        UpstreamError::NoKey => "no key of the upstream is for this call",
        UpstreamError::KeysResting { .. } => "the upstream takes no more calls now",
        UpstreamError::RequestBody(_) => "the request body broke off",
        UpstreamError::RequestFraming(_) => "the request body is not framed as it says",
        UpstreamError::RequestJudged(_) => "the request body can be read in two ways",
        UpstreamError::Connect(_)
        | UpstreamError::Tls(_)
        | UpstreamError::Broken(_)
        | UpstreamError::Refused(_)
        | UpstreamError::NoToken
        | UpstreamError::UnaskedUpgrade
        | UpstreamError::Framing => "upstream unavailable",
    }
}

impl From<NoRoute> for Rejection {
    fn from(why: NoRoute) -> Self {
        match why {
            NoRoute::NotFound => Self::NoRoute,
            NoRoute::MethodNotAllowed(allow) => Self::OtherMethod { allow },
            NoRoute::NotCanonical(why) => Self::Ambiguous(why),
        }
    }
}

impl From<UnknownModel> for Rejection {
    fn from(why: UnknownModel) -> Self {
        match why {
            UnknownModel::Fault(fault) => Self::Body(fault),
            UnknownModel::TooLate { limit } => Self::ModelTooLate { limit },
            UnknownModel::NoRoom => Self::HeldBodiesFull,
            UnknownModel::Broken(error) => Self::Upstream(error),
        }
    }
}

impl From<UnknownAnswer> for Rejection {
    fn from(why: UnknownAnswer) -> Self {
        match why {
            UnknownAnswer::TooLarge => Self::Unfilterable(Unfilterable::TooLarge),
            UnknownAnswer::NoRoom => Self::HeldBodiesFull,
            UnknownAnswer::Broken(error) => Self::Upstream(error),
        }
    }
}

impl From<KeyEnd> for Rejection {
    fn from(end: KeyEnd) -> Self {
        match end {
            KeyEnd::Gone => Self::UnknownKey,
            KeyEnd::Denied(denial) => Self::Denied(denial),
        }
    }
}

impl From<LookupError> for Rejection {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Unknown => Self::UnknownKey,
            LookupError::Unavailable { retry_after } => Self::KeysUnavailable {
                retry_after_secs: retry_after.as_secs().max(1),
            },
        }
    }
}

/// How a caller may show who it is.
static CHALLENGES: [HeaderValue; 2] = [
    HeaderValue::from_static(r#"Bearer realm="keyward""#),
    HeaderValue::from_static(r#"Api-Key realm="keyward""#),
];
/// The same to one who tried.
static CHALLENGES_TO_BAD_KEYS: [HeaderValue; 2] = [
    HeaderValue::from_static(r#"Bearer realm="keyward", error="invalid_token""#),
    HeaderValue::from_static(r#"Api-Key realm="keyward", error="invalid_token""#),
];

impl Rejection {
    /// How the request ended, for the metric and the log.
    #[must_use]
    pub const fn outcome(&self) -> RequestOutcome {
        match self {
            Self::Method | Self::NoRoute | Self::OtherMethod { .. } => RequestOutcome::NoRoute,
            Self::TargetTooLong | Self::TooManyFields | Self::HeadTooLarge => {
                RequestOutcome::HeadTooLarge
            }
            Self::Ambiguous(_) => RequestOutcome::Ambiguous,
            Self::Malformed(_) | Self::Upstream(UpstreamError::RequestFraming(_)) => {
                RequestOutcome::MalformedFraming
            }
            Self::MissingKey => RequestOutcome::MissingKey,
            Self::MalformedKey => RequestOutcome::MalformedKey,
            Self::UnknownKey => RequestOutcome::UnknownKey,
            Self::Denied(Denial::Disabled) => RequestOutcome::DisabledKey,
            Self::Denied(Denial::Expired) => RequestOutcome::ExpiredKey,
            Self::Denied(Denial::Category | Denial::MetricsCategory) => {
                RequestOutcome::CategoryNotAllowed
            }
            Self::Denied(Denial::ModelOutOfScope) => RequestOutcome::ModelNotAllowed,
            Self::Denied(Denial::ModelNotNamed) => RequestOutcome::ModelNotNamed,
            Self::Denied(Denial::ModelsDiffer) => RequestOutcome::ModelsDiffer,
            Self::ModelTooLate { .. } | Self::Body(BodyFault::DecodedTooLate) => {
                RequestOutcome::ModelTooLate
            }
            Self::UnreadableBody(_) | Self::Body(BodyFault::GrowsTooMuch) => {
                RequestOutcome::BodyUnreadable
            }
            Self::Body(BodyFault::OtherName)
            | Self::Upstream(UpstreamError::RequestJudged(BodyFault::OtherName)) => {
                RequestOutcome::ModelNotAllowed
            }
            Self::Body(_) | Self::Upstream(UpstreamError::RequestJudged(_)) => {
                RequestOutcome::BodyAmbiguous
            }
            Self::HeldBodiesFull | Self::Upstream(UpstreamError::NoRoom) => {
                RequestOutcome::HeldBodiesFull
            }
            Self::Unfilterable(_) => RequestOutcome::AnswerUnfilterable,
            Self::KeysUnavailable { .. } => RequestOutcome::KeysUnavailable,
            Self::Overloaded => RequestOutcome::Overloaded,
            Self::HeadTooSlow | Self::Upstream(UpstreamError::RequestBody(_)) => {
                RequestOutcome::CallerGone
            }
            Self::Deadline
            | Self::Upstream(UpstreamError::HeadTimeout | UpstreamError::ConnectTimeout) => {
                RequestOutcome::UpstreamTimedOut
            }
            Self::Upstream(UpstreamError::TooLargeToSign { .. }) => {
                RequestOutcome::BodyTooLargeToSign
            }
            Self::Upstream(UpstreamError::NoKey) => RequestOutcome::NoUpstreamKey,
            Self::Upstream(UpstreamError::KeysResting { .. }) => {
                RequestOutcome::UpstreamKeysResting
            }
            Self::Upstream(_) => RequestOutcome::UpstreamFailed,
        }
    }

    fn face(&self) -> Face {
        match self {
            Self::MissingKey => Face {
                code: "missing_api_key",
                ..INVALID_KEY
            },
            Self::MalformedKey
            | Self::UnknownKey
            | Self::Denied(Denial::Disabled | Denial::Expired) => INVALID_KEY,
            Self::Denied(
                Denial::Category
                | Denial::MetricsCategory
                | Denial::ModelOutOfScope
                | Denial::ModelNotNamed
                | Denial::ModelsDiffer,
            )
            | Self::Body(BodyFault::OtherName)
            | Self::Upstream(UpstreamError::RequestJudged(BodyFault::OtherName)) => FORBIDDEN,
            Self::Upstream(UpstreamError::NoKey) => Face {
                code: "no_upstream_key",
                ..FORBIDDEN
            },
            Self::ModelTooLate { .. }
            | Self::Upstream(UpstreamError::TooLargeToSign { .. })
            | Self::Body(BodyFault::DecodedTooLate | BodyFault::GrowsTooMuch) => face(
                StatusCode::PAYLOAD_TOO_LARGE,
                "request_too_large",
                "request_too_large",
                "8",
            ),
            Self::Ambiguous(_)
            | Self::Malformed(_)
            | Self::Body(_)
            | Self::Upstream(
                UpstreamError::RequestBody(_)
                | UpstreamError::RequestFraming(_)
                | UpstreamError::RequestJudged(_),
            ) => BAD_REQUEST,
            Self::UnreadableBody(_) => Face {
                status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
                code: "unsupported_media_type",
                ..BAD_REQUEST
            },
            Self::HeadTooSlow => Face {
                status: StatusCode::REQUEST_TIMEOUT,
                ..BAD_REQUEST
            },
            Self::TargetTooLong => Face {
                status: StatusCode::URI_TOO_LONG,
                ..BAD_REQUEST
            },
            Self::TooManyFields | Self::HeadTooLarge => Face {
                status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                ..BAD_REQUEST
            },
            Self::NoRoute => face(StatusCode::NOT_FOUND, "not_found", "not_found_error", "5"),
            Self::Method | Self::OtherMethod { .. } => face(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "invalid_request_error",
                "12",
            ),
            Self::KeysUnavailable { .. } | Self::Upstream(UpstreamError::KeysResting { .. }) => {
                face(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "temporarily_unavailable",
                    "api_error",
                    "14",
                )
            }
            Self::HeldBodiesFull | Self::Upstream(UpstreamError::NoRoom) | Self::Overloaded => {
                face(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "overloaded",
                    "overloaded_error",
                    "8",
                )
            }
            Self::Deadline => face(
                StatusCode::GATEWAY_TIMEOUT,
                "deadline_exceeded",
                "api_error",
                "4",
            ),
            Self::Upstream(UpstreamError::HeadTimeout | UpstreamError::ConnectTimeout) => face(
                StatusCode::GATEWAY_TIMEOUT,
                "upstream_timed_out",
                "api_error",
                "14",
            ),
            Self::Unfilterable(_) | Self::Upstream(_) => face(
                StatusCode::BAD_GATEWAY,
                match self {
                    Self::Unfilterable(_) => "answer_unfilterable",
                    _ => "upstream_unavailable",
                },
                "api_error",
                "14",
            ),
        }
    }

    /// Whether the connection cannot carry another request, because this one's end is not known.
    pub(super) const fn ends_connection(&self) -> bool {
        matches!(
            self,
            Self::Upstream(
                UpstreamError::RequestBody(_)
                    | UpstreamError::RequestFraming(_)
                    | UpstreamError::RequestJudged(_)
                    | UpstreamError::TooLargeToSign { .. }
                    | UpstreamError::NoRoom
            )
        )
    }

    /// The answer, in the form the route's callers expect, or in gRPC's own (CONTRACTS 5), and the fields that are still to be
    /// written on it, where it was prepared.
    #[must_use]
    pub fn answer(
        self,
        form: ErrorForm,
        is_grpc: bool,
    ) -> (Response<Bytes>, Option<&'static Prepared>) {
        match self.prepared(form).filter(|_| !is_grpc) {
            Some(prepared) => (prepared.response(), Some(prepared)),
            None => (self.into_response(form, is_grpc), None),
        }
    }

    /// The whole answer, made now.
    #[must_use]
    pub fn into_response(self, form: ErrorForm, is_grpc: bool) -> Response<Bytes> {
        let face = self.face();
        let mut response = if is_grpc {
            trailers_only(&face, &self.to_string())
        } else {
            let mut response = Response::new(self.in_form(form).into());
            response.status = face.status;
            response.headers.insert(&CONTENT_TYPE, kind(form));
            response
        };
        let headers = &mut response.headers;
        headers.insert(
            &CACHE_CONTROL,
            const { HeaderValue::from_static("no-store") },
        );
        if face.status == StatusCode::UNAUTHORIZED {
            // RFC 6750, 3.1: no error code when the request held no credential at all.
            let challenges = if matches!(self, Self::MissingKey) {
                &CHALLENGES
            } else {
                &CHALLENGES_TO_BAD_KEYS
            };
            for challenge in challenges {
                headers.append(WWW_AUTHENTICATE, challenge.clone());
            }
        }
        match self {
            Self::KeysUnavailable { retry_after_secs } => {
                headers.insert(&RETRY_AFTER, HeaderValue::from(retry_after_secs));
            }
            Self::Upstream(UpstreamError::KeysResting { retry_after }) => {
                // Rounded up: a caller that waits as long as it is told is not told again.
                let secs = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
                headers.insert(&RETRY_AFTER, HeaderValue::from(secs));
            }
            Self::HeldBodiesFull | Self::Upstream(UpstreamError::NoRoom) | Self::Overloaded => {
                headers.insert(&RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::OtherMethod { allow } => {
                if let Ok(allow) = HeaderValue::from_str(&allow) {
                    headers.insert(&ALLOW, allow);
                }
            }
            Self::Method => {
                let usual =
                    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
                headers.insert(&ALLOW, usual);
            }
            _ => {}
        }
        response
    }

    /// The body of the answer in `form`, on one line.
    pub(super) fn in_form(&self, form: ErrorForm) -> String {
        body(form, &self.face(), &self.to_string())
    }

    /// What whoever has no key can have us say as often as he likes: made once in each form. All keys that do not work have
    /// the same, so that none is told apart by how it is written (SECURITY C5).
    fn prepared(&self, form: ErrorForm) -> Option<&'static Prepared> {
        static MADE: [[OnceLock<Prepared>; ErrorForm::ALL.len()]; 2] =
            [const { [const { OnceLock::new() }; ErrorForm::ALL.len()] }; 2];
        let (place, why) = match self {
            Self::MissingKey => (0, Self::MissingKey),
            Self::MalformedKey
            | Self::UnknownKey
            | Self::Denied(Denial::Disabled | Denial::Expired) => (1, Self::UnknownKey),
            _ => return None,
        };
        let made = &MADE[place][form as usize];
        Some(made.get_or_init(|| Prepared::of(why.into_response(form, false))))
    }

    /// What gRPC is told, as headers or as trailers.
    pub(super) fn grpc_status(&self) -> HeaderMap {
        grpc_status(&self.face(), &self.to_string())
    }
}

#[cfg(test)]
mod tests;
