//! The admin page: one document for people, who then present their token to the same APIs as everybody else.
//!
//! It holds no data, so anyone may read it. Its style and its script stand inside it and are named by their digests in the
//! content security policy, which lets nothing else run, load or be called than this listener; what data says is only ever
//! put in as text (`trusted-types 'none'`: the browser would not take it otherwise). The token is kept by the script alone
//! and sent in a header that no other page can make a browser send, so there is nothing to forge a request with.

use axum::Router;
use axum::body::Bytes;
use axum::response::IntoResponse;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

const DOCUMENT: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPTS: [&str; 4] = [
    include_str!("page/page.js"),
    include_str!("page/keys.js"),
    include_str!("page/status.js"),
    include_str!("page/start.js"),
];

/// `/admin`.
pub fn router() -> Router {
    let script = SCRIPTS.concat();
    let document = DOCUMENT.replace("/* style */", STYLE);
    let document = Bytes::from(document.replace("/* script */", &script));
    let headers = headers(STYLE, &script);
    let page = move || {
        let answer = (headers.clone(), document.clone());
        async move { answer.into_response() }
    };
    Router::new().route("/admin", get(page))
}

fn headers(style: &str, script: &str) -> HeaderMap {
    let (style, script) = (digest(style), digest(script));
    let policy = format!(
        "default-src 'none'; script-src '{script}'; style-src '{style}'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
         trusted-types 'none'"
    );
    let mut headers = HeaderMap::new();
    let fixed = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-embedder-policy"),
            "require-corp",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        ),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let policy = HeaderValue::try_from(policy).expect("base64 and fixed words are visible ASCII");
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    headers
}

/// The source expression of an inline text (CSP Level 3, 2.3.1).
fn digest(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}
