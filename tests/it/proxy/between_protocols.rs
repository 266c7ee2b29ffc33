//! What one protocol says and the other does not: a caller of either gets the same.

use http::Request;

use crate::support::keyward::{TestKey, TestKeyward};
use crate::support::stream::{Stream, TestBody};

fn get(key: &TestKey, body: TestBody) -> Request<TestBody> {
    let request = Request::get("http://h/v1/models");
    let request = request.header("authorization", format!("Bearer {}", key.text));
    request.body(body).unwrap()
}

#[tokio::test]
async fn a_get_keeps_a_body_whose_length_it_does_not_say() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let request = format!(
        "GET /v1/models HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n0\r\n\r\n",
        key.text
    );
    assert_eq!(keyward.raw().await.call(request).await.status(), 200);
    let stream = Stream::new();
    stream.send("abc");
    stream.finish();
    let request = get(&key, stream.body());
    assert_eq!(keyward.http2().await.call(request).await.status, 200);
    let bodies: Vec<Vec<u8>> = keyward
        .upstream
        .requests()
        .iter()
        .map(|seen| seen.body())
        .collect();
    assert_eq!(bodies, [b"abc", b"abc"]);
}
