//! What goes through: heads and bodies, both ways, byte by byte where it matters.

mod answers;
mod bodies;
mod failures;
mod heads;
mod kept;
mod leaving;
mod pool;

use http::request::Builder;
use http::{Request, Version};

use crate::support::keyward::TestKey;
use crate::support::stream::TestBody;

/// A path of the built-in table that names the model `m`.
const PREDICT: &str = "/models/m/predict";

/// The protocols a caller may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// A `POST` of `target` over HTTP/2 with `key`, to the host `h`.
fn over_http2(target: &str, key: &TestKey) -> Builder {
    Request::post(format!("http://h{target}"))
        .version(Version::HTTP_2)
        .header("authorization", format!("Bearer {}", key.text))
}

fn with(builder: Builder, body: TestBody) -> Request<TestBody> {
    builder.body(body).expect("a request")
}

/// The head of a `POST` of `PREDICT` with `key` and these header lines.
fn head(key: &TestKey, lines: &str) -> String {
    format!(
        "POST {PREDICT} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n{lines}\r\n",
        key.text
    )
}
