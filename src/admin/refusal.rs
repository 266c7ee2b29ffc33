use std::borrow::Cow;
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use crate::registry::{RefusalKind, RegistryError};
use crate::telemetry::chain;

/// Why a request on the admin listener is refused: a status and a sentence, in no dialect's form yet.
///
/// The sentence may name what the caller sent (a member, a name) but never holds a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// What is wrong, for a person.
    pub message: Cow<'static, str>,
    /// How long to wait before asking again.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal with this status and sentence.
    #[must_use]
    pub fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            message: message.into(),
            retry_after: None,
        }
    }

    /// The request contradicts the contract.
    #[must_use]
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// There is no such thing.
    #[must_use]
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(super) fn no_such_path() -> Self {
        Self::not_found("there is nothing at this path")
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "this path does not take this method",
        )
    }

    pub(super) fn unavailable() -> Self {
        Self {
            retry_after: Some(Duration::from_secs(1)),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the key database did not do what was asked; try again",
            )
        }
    }

    /// What the registry would not do, or could not. What it could not is logged here, once; the caller is not told
    /// why.
    #[must_use]
    pub fn of(error: &RegistryError) -> Self {
        match error.kind() {
            RefusalKind::Unavailable => {
                tracing::warn!(error = %chain(error), "the key database failed an administrator");
                Self::unavailable()
            }
            RefusalKind::Internal => {
                tracing::error!(error = %chain(error), "an administrator's request failed");
                Self::new(status_of(error), "keyward could not do this")
            }
            _ => Self::new(status_of(error), error.to_string()),
        }
    }

    /// The answer with `body`, a dialect's form of the refusal: its status, how to present a credential, when to ask
    /// again.
    pub(super) fn respond(&self, body: &impl Serialize) -> Response {
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            for challenge in ["Api-Key realm=\"keyward\"", "Bearer realm=\"keyward\""] {
                headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
        }
        if let Some(wait) = self.retry_after {
            // Rounded up: a caller that waits as long as it is told is not told again.
            let secs = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(secs));
        }
        response
    }

    /// An outcome that does not belong to the command: a mistake of ours.
    #[must_use]
    pub fn unexpected_outcome() -> Self {
        tracing::error!("the registry answered another command than it was given");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "keyward could not do this",
        )
    }
}

/// The status of what the registry refused: every dialect's, unless it says otherwise in its own file.
#[must_use]
pub fn status_of(error: &RegistryError) -> StatusCode {
    match error.kind() {
        RefusalKind::Forbidden => StatusCode::FORBIDDEN,
        RefusalKind::Invalid => StatusCode::BAD_REQUEST,
        RefusalKind::NotFound => StatusCode::NOT_FOUND,
        RefusalKind::Conflict => StatusCode::CONFLICT,
        RefusalKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        RefusalKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
