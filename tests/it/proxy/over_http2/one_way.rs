//! Many small messages of one call, each a frame of its own: they are what the call is for, however many.

use http::Request;
use rstest::rstest;
use tokio::sync::mpsc;

use super::HTTP2;
use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, HEADERS, SETTINGS, WINDOW_UPDATE, frame, read,
};
use crate::support::keyward::TestKeyward;
use crate::support::raw::RawConnection;
use crate::support::raw_upstream::RawUpstream;
use crate::support::stream::Stream;
use crate::support::within;

/// Ten times as many as h2 lets wait.
const MESSAGES: usize = 20_000;
/// A message of gRPC: not compressed, five bytes long.
const MESSAGE: &[u8] = b"\0\0\0\0\x05hello";

/// Takes a call of HTTP/2 with all that it sends, and answers; what was sent.
async fn take_over_http2(connection: &mut RawConnection) -> Vec<u8> {
    connection.read_exactly(24).await;
    let wide = [0, 4, 0x7f, 0xff, 0xff, 0xff];
    connection.write(frame(SETTINGS, 0, 0, &wide)).await;
    connection.write(frame(SETTINGS, 1, 0, &[])).await;
    let wider = 0x4000_0000_u32.to_be_bytes();
    connection.write(frame(WINDOW_UPDATE, 0, 0, &wider)).await;
    let mut sent = Vec::new();
    loop {
        let next = read(connection).await.expect("the call goes on");
        if next.kind != DATA {
            continue;
        }
        sent.extend(&next.payload);
        if next.flags & END_STREAM != 0 {
            let ends = END_HEADERS | END_STREAM;
            connection
                .write(frame(HEADERS, ends, next.stream, &[0x88]))
                .await;
            return sent;
        }
    }
}

/// The same of HTTP/1.1.
async fn take_over_http1(connection: &mut RawConnection) -> Vec<u8> {
    let head = connection.read_head().await;
    let body = connection.read_body(&head).await;
    assert!(body.is_complete);
    connection
        .write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        .await;
    body.bytes
}

#[rstest]
#[case::to_http2(HTTP2)]
#[case::to_http1("")]
#[tokio::test]
async fn twenty_thousand_messages_of_one_call_arrive(#[case] protocol: &'static str) {
    let (tells, mut told) = mpsc::unbounded_channel();
    let upstream = RawUpstream::start(move |mut connection| {
        let tells = tells.clone();
        async move {
            let sent = match protocol {
                HTTP2 => take_over_http2(&mut connection).await,
                _ => take_over_http1(&mut connection).await,
            };
            drop(tells.send(sent));
            connection.until_closed().await;
        }
    });
    let url = upstream.url();
    let settings = format!("upstreams.default.url = \"{url}\"\n{protocol}");
    let keyward = TestKeyward::with(&settings).await;
    let key = keyward.key().await;
    let stream = Stream::new();
    for _ in 0..MESSAGES {
        stream.send(MESSAGE);
    }
    stream.finish();
    let request = Request::post("http://h/models/m/predict")
        .header("content-type", "application/grpc+proto")
        .header("authorization", format!("Bearer {}", key.text))
        .body(stream.body());
    let http2 = keyward.http2().await;
    let answer = http2.send(request.expect("a request")).await;
    let counted = keyward.counted.outcomes();
    let failed = keyward.counted.upstream_errors();
    let answer = answer.unwrap_or_else(|error| panic!("{error:?}: {counted:?}, {failed:?}"));
    assert_eq!(answer.status(), 200, "{counted:?}, {failed:?}");
    let sent = within("it is taken", told.recv()).await.expect("all of it");
    assert!(sent == MESSAGE.repeat(MESSAGES), "{} bytes", sent.len());
}
