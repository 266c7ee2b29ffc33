//! What one protocol says and the other does not: a caller of either gets the same.

use http::Request;

use crate::support::keyward::{TestKey, TestKeyward};
use crate::support::raw_upstream::RawUpstream;
use crate::support::stream::{Stream, TestBody, empty};

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

#[tokio::test]
async fn more_fields_than_allowed_are_refused_over_http2_too() {
    let keyward = TestKeyward::with("proxy.limits.head_fields = 10\n").await;
    let key = keyward.key().await;
    let caller = keyward.http2().await;
    for (further, status) in [(9, 200), (10, 431)] {
        let mut request = get(&key, empty());
        for _ in 0..further {
            request.headers_mut().append("x-more", "1".parse().unwrap());
        }
        assert_eq!(caller.call(request).await.status, status);
    }
    assert_eq!(keyward.upstream.requests().len(), 1);
}

#[tokio::test]
async fn trailers_that_speak_of_the_upstreams_connection_do_not_come_through() {
    let upstream = RawUpstream::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum, connection\r\n\r\n3\r\nabc\r\n\
         0\r\nx-sum: 6\r\nconnection: close\r\nkeep-alive: 1\r\n\r\n",
    );
    let keyward =
        TestKeyward::with(&format!("upstreams.default.url = \"{}\"\n", upstream.url())).await;
    let key = keyward.key().await;
    let answer = keyward.http2().await.call(get(&key, empty())).await;
    assert_eq!(answer.body, "abc");
    let trailers = answer.trailers.unwrap();
    assert_eq!(trailers.len(), 1, "{trailers:?}");
    assert_eq!(trailers["x-sum"], "6");
}
