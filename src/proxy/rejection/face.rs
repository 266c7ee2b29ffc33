//! What callers see of a refusal: a status, and the words of each form.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;

use crate::message::Response;
use crate::proxy::grpc;
use crate::route::ErrorForm;

/// What callers see of a refusal, beside its sentence.
pub(super) struct Face {
    pub(super) status: StatusCode,
    /// The machine-readable word of the OpenAI, Baseten and problem forms.
    pub(super) code: &'static str,
    /// The type of the Anthropic form.
    pub(super) anthropic: &'static str,
    /// gRPC's status (its `statuscodes.md`).
    pub(super) grpc: &'static str,
}

pub(super) const fn face(
    status: StatusCode,
    code: &'static str,
    anthropic: &'static str,
    grpc: &'static str,
) -> Face {
    Face {
        status,
        code,
        anthropic,
        grpc,
    }
}

pub(super) const INVALID_KEY: Face = face(
    StatusCode::UNAUTHORIZED,
    "invalid_api_key",
    "authentication_error",
    "16",
);
pub(super) const FORBIDDEN: Face = face(
    StatusCode::FORBIDDEN,
    "model_not_allowed",
    "permission_error",
    "7",
);
pub(super) const BAD_REQUEST: Face = face(
    StatusCode::BAD_REQUEST,
    "invalid_request",
    "invalid_request_error",
    "3",
);

/// The body in `form`, on one line.
pub(super) fn body(form: ErrorForm, face: &Face, message: &str) -> String {
    let body = match form {
        ErrorForm::Openai => json!({"error": {
            "message": message,
            "type": if face.status.is_server_error() { "server_error" } else { "invalid_request_error" },
            "param": null,
            "code": face.code,
        }}),
        ErrorForm::Anthropic => json!({
            "type": "error",
            "error": {"type": face.anthropic, "message": message},
        }),
        ErrorForm::Baseten => json!({"error": message, "error_code": face.code}),
        ErrorForm::Problem => json!({
            "type": "about:blank",
            "title": face.status.canonical_reason(),
            "status": face.status.as_u16(),
            "detail": message,
            "code": face.code,
        }),
    };
    body.to_string()
}

/// The kind of a body in `form`.
pub(super) const fn kind(form: ErrorForm) -> HeaderValue {
    match form {
        ErrorForm::Problem => const { HeaderValue::from_static("application/problem+json") },
        ErrorForm::Openai | ErrorForm::Anthropic | ErrorForm::Baseten => {
            const { HeaderValue::from_static("application/json") }
        }
    }
}

/// Trailers-only: the status in the one head of the answer (gRPC over HTTP/2, "Responses").
pub(super) fn trailers_only(face: &Face, message: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    response.headers = grpc_status(face, message).into();
    response
        .headers
        .insert(&CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// What gRPC is told, as headers or as trailers.
pub(super) fn grpc_status(face: &Face, message: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("grpc-status", HeaderValue::from_static(face.grpc));
    headers.insert("grpc-message", grpc::message(message));
    headers
}
