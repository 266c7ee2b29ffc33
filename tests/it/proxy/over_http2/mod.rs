//! Upstreams that are called over HTTP/2: what goes through, how calls share a connection, and how it ends.

mod calls;
mod grpc;
mod lost;
mod one_way;
mod refused;
mod server;
mod sharing;

use http::request::Builder;
use http::{Request, Version};

use crate::support::keyward::{TestKey, TestKeyward};

/// A path of the built-in table that names the model `m`.
const PREDICT: &str = "/models/m/predict";

const HTTP2: &str = "upstreams.default.protocol = \"http2\"\n";

/// A keyward that calls its upstream over HTTP/2, with these settings more.
async fn over_http2(settings: &str) -> TestKeyward {
    TestKeyward::with(&format!("{HTTP2}{settings}")).await
}

/// A `POST` of `PREDICT` over HTTP/2 with `key`.
fn request(key: &TestKey) -> Builder {
    Request::post(format!("http://h{PREDICT}"))
        .version(Version::HTTP_2)
        .header("authorization", format!("Bearer {}", key.text))
}
