//! Where a key may have strayed to.

use crate::support::canary::base64;

/// Where a key may have strayed to: a path, and header fields.
pub const STRAYED: &[(&str, &str)] = &[
    ("/models/m1/predict", ""),
    ("/models/m1/predict?api_key={key}&key={key}", ""),
    ("/models/m1/predict?a=b&redirect=x%3D{key}", ""),
    ("/models/m1/predict/{key}", ""),
    ("/models/m1/v1/{key}", ""),
    ("/models/{key}/predict", ""),
    ("/{key}", ""),
    ("http://user:{key}@localhost/models/m1/predict", ""),
    ("/models/m1/predict", "authorization: {key}\r\n"),
    ("/models/m1/predict", "authorization: Basic {basic}\r\n"),
    (
        "/models/m1/predict",
        "proxy-authorization: Bearer {key}\r\n",
    ),
    ("/models/m1/predict", "x-api-key: {key}\r\n"),
    ("/models/m1/predict", "x_api_key: {key}\r\n"),
    ("/models/m1/predict", "api-key: {key}\r\n"),
    ("/models/m1/predict", "x-goog-api-key: {key}\r\n"),
    ("/models/m1/predict", "x-auth-token: {key}\r\n"),
    ("/models/m1/predict", "cookie: a=b; key={key}\r\n"),
    ("/models/m1/predict", "referer: http://h/?key={key}\r\n"),
    ("/models/m1/predict", "user-agent: me/1.0 ({key})\r\n"),
    ("/models/m1/predict", "x-request-id: {key}\r\n"),
    ("/models/m1/predict", "x-request-id: id-{key}-1\r\n"),
    (
        "/models/m1/predict",
        "traceparent: {key}\r\ntracestate: k={key}\r\n",
    ),
    ("/models/m1/predict", "baggage: key={key}\r\n"),
    ("/models/m1/predict", "forwarded: for={key}\r\n"),
    ("/models/m1/predict", "x-keyward-key-name: {key}\r\n"),
    ("/models/m1/predict", "host: {key}\r\n"),
    ("/models/m1/predict", "connection: {key}\r\n"),
    ("/models/m1/predict", "te: trailers\r\ntrailer: {key}\r\n"),
    ("/models/m1/predict", "content-type: text/{key}\r\n"),
    (
        "/models/m1/predict",
        "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-protocol: {key}\r\n",
    ),
    ("/models/m1/predict", "{key}: 1\r\n"),
    ("/models/m1/predict", "no colon {key}\r\n"),
    ("/models/m1/{key}\u{7f}", ""),
];

/// Where a key may have strayed to on the admin listener: method, path, header fields, body.
pub const STRAYED_ADMIN: &[(&str, &str, &str, &str)] = &[
    ("GET", "/v1/api_keys?type={key}", "", ""),
    ("GET", "/v1/api_keys?created_by_me={key}", "", ""),
    ("GET", "/v1/api_keys?key={key}", "", ""),
    ("GET", "/v1/teams?name={key}", "", ""),
    ("GET", "/v1/teams/{key}", "", ""),
    ("GET", "/v1/users/{key}", "", ""),
    ("GET", "/{key}", "", ""),
    ("DELETE", "/v1/api_keys/{key}", "", ""),
    ("PUT", "/v1/api_keys/{key}", "", ""),
    (
        "POST",
        "/v1/teams/{key}/api_keys",
        "",
        r#"{"type":"PERSONAL"}"#,
    ),
    ("POST", "/v1/api_keys", "", r#"{"type":"{key}"}"#),
    ("POST", "/v1/api_keys", "", r#"{"type":["{key}"]}"#),
    (
        "POST",
        "/v1/api_keys",
        "",
        r#"{"type":"PERSONAL","team_id":"{key}"}"#,
    ),
    (
        "POST",
        "/v1/api_keys",
        "",
        r#"{"type":"PERSONAL","model_ids":"{key}"}"#,
    ),
    (
        "POST",
        "/v1/api_keys",
        "",
        r#"{"type":"PERSONAL","name":"{key}"#,
    ),
    ("POST", "/v1/api_keys", "", "{key}"),
    ("POST", "/v1/api_keys", "content-type: text/{key}\r\n", "{}"),
    ("GET", "/v1/users/me", "x-request-id: {key}\r\n", ""),
    ("GET", "/v1/users/me", "cookie: key={key}\r\n", ""),
    ("GET", "/v1/users/me", "origin: http://{key}\r\n", ""),
    ("GET", "/v1/users/me", "host: {key}\r\n", ""),
    (
        "GET",
        "/v1/users/me",
        "authorization: Basic {basic}\r\n",
        "",
    ),
    ("GET", "/v1/users/me", "authorization: Bearer {key}\r\n", ""),
    ("GET", "/v1/api_keys", "x-api-key: {key}\r\n", ""),
    ("GET", "/openapi.json?key={key}", "", ""),
    ("GET", "/v1/status", "", ""),
    ("GET", "/v1/status?key={key}", "", ""),
    ("GET", "/admin?key={key}", "", ""),
];

/// `text` with `key` in its places.
pub fn spelled(text: &str, key: &str) -> String {
    let basic = base64(format!("use:{key}").as_bytes(), 0);
    text.replace("{key}", key).replace("{basic}", &basic)
}
