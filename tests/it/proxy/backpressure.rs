//! A side that reads slowly slows the other: what lies between is bounded, whatever is on its way (SECURITY P12).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use rstest::rstest;

use crate::support::keyward::{KeywardProcess, TestKey, post};
use crate::support::raw::{Head, RawConnection};
use crate::support::raw_upstream::RawUpstream;
use crate::support::stream::{Stream, whole};
use crate::support::{eventually, within};

const PREDICT: &str = "/models/m/predict";
const CHUNK: usize = 64 * 1024;
/// What the kernel's buffers on the way may take, and ours beside them: two loopback connections of up to 4 MiB out
/// (`tcp_wmem`) and 6 MiB in (`tcp_rmem`).
const ON_THE_WAY: usize = 24 << 20;
/// What a process of ours may grow by for one such stream: windows, buffers and the allocator's rounding.
const GROWTH: usize = 16 << 20;

/// How many bytes somebody has sent; who cannot send more is waited for.
#[derive(Clone, Default)]
struct Sent(Arc<AtomicUsize>);

impl Sent {
    fn so_far(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits until no more can be sent: long enough that it is no accident; were it one, the bound would hold as well.
    async fn stands_still(&self) -> usize {
        within("sending stands still", async {
            loop {
                let before = self.so_far();
                tokio::time::sleep(Duration::from_millis(300)).await;
                if before > 0 && self.so_far() == before {
                    return before;
                }
            }
        })
        .await
    }

    async fn goes_on_to(&self, bytes: usize) {
        eventually("sending goes on", || (self.so_far() >= bytes).then_some(())).await;
    }
}

/// An upstream that answers without end, as fast as it is read.
fn endless(sent: &Sent) -> RawUpstream {
    let sent = sent.clone();
    RawUpstream::start(move |mut connection: RawConnection| {
        let sent = sent.clone();
        async move {
            let Some(head) = connection.try_read_head().await else {
                return;
            };
            connection.read_body(&head).await;
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            connection.write(head).await;
            let chunk = [
                format!("{CHUNK:x}\r\n").into_bytes(),
                vec![b'x'; CHUNK],
                b"\r\n".into(),
            ];
            while connection
                .write_all_patiently(&chunk.concat())
                .await
                .is_ok()
            {
                sent.0.fetch_add(CHUNK, Ordering::Relaxed);
            }
        }
    })
}

/// A caller who reads when it likes.
enum Slow {
    Http1(RawConnection),
    Http2(Incoming),
}

impl Slow {
    async fn calls(protocol: u8, keyward: &KeywardProcess, key: &TestKey) -> Self {
        if protocol == 1 {
            let mut caller = keyward.raw().await;
            caller.write(post(PREDICT, key, "{}")).await;
            let head: Head = caller.read_head().await;
            assert_eq!(head.status(), 200);
            return Self::Http1(caller);
        }
        let request = Request::post(format!("http://h{PREDICT}"))
            .header("authorization", format!("Bearer {}", key.text));
        let request = request.body(whole("{}")).expect("a request");
        // The connection goes on while its caller does nothing.
        let caller = Box::leak(Box::new(keyward.http2().await));
        Self::Http2(caller.send(request).await.expect("an answer").into_body())
    }

    async fn reads(&mut self, bytes: usize) {
        let mut left = bytes;
        while left > 0 {
            let got = match self {
                Self::Http1(caller) => caller.read_chunk().await.expect("it goes on").len(),
                Self::Http2(body) => {
                    let frame = within("a frame comes", body.frame()).await;
                    let frame = frame.expect("it goes on").expect("it goes on");
                    frame.data_ref().map_or(0, bytes::Bytes::len)
                }
            };
            left = left.saturating_sub(got);
        }
    }
}

#[rstest]
#[case::http1(1)]
#[case::http2(2)]
#[tokio::test]
async fn a_caller_that_reads_nothing_stops_its_upstream_and_costs_no_memory(#[case] protocol: u8) {
    let sent = Sent::default();
    let upstream = endless(&sent);
    let settings = format!("upstreams.default.url = \"{}\"\n", upstream.url());
    let keyward = KeywardProcess::start(&settings).await;
    let key = keyward.key().await;
    let before = keyward.resident_bytes();
    let mut caller = Slow::calls(protocol, &keyward, &key).await;
    let stood = sent.stands_still().await;
    assert!(stood <= ON_THE_WAY, "{stood}");
    // As slow as it likes: each part that is read makes room for another.
    for _ in 0..3 {
        caller.reads(ON_THE_WAY).await;
    }
    sent.goes_on_to(stood + ON_THE_WAY).await;
    sent.stands_still().await;
    let grown = keyward.resident_bytes().saturating_sub(before);
    assert!(grown <= GROWTH, "{grown}");
}

#[tokio::test]
async fn an_upstream_that_reads_nothing_stops_its_caller_and_costs_no_memory() {
    let upstream = RawUpstream::start(async |mut connection: RawConnection| {
        connection.read_head().await;
        std::future::pending::<()>().await;
    });
    let settings = format!("upstreams.default.url = \"{}\"\n", upstream.url());
    let keyward = KeywardProcess::start(&settings).await;
    let key = keyward.key().await;
    let before = keyward.resident_bytes();
    let sent = Sent::default();
    let mut caller = keyward.raw().await;
    let head = format!(
        "POST {PREDICT} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\nContent-Length: 1000000000\r\n\r\n",
        key.text
    );
    caller.write(head).await;
    let part = vec![b'x'; CHUNK];
    let sending = async {
        while caller.write_all_patiently(&part).await.is_ok() {
            sent.0.fetch_add(CHUNK, Ordering::Relaxed);
        }
    };
    let stood = tokio::select! {
        biased;
        stood = sent.stands_still() => stood,
        () = sending => panic!("the upload ended"),
    };
    assert!(stood <= ON_THE_WAY, "{stood}");
    let grown = keyward.resident_bytes().saturating_sub(before);
    assert!(grown <= GROWTH, "{grown}");
}

/// Over HTTP/2 the windows are ours: an upload that nobody takes is held to them.
#[tokio::test]
async fn an_upload_over_http2_stops_at_its_window() {
    let upstream = RawUpstream::start(async |mut connection: RawConnection| {
        connection.read_head().await;
        std::future::pending::<()>().await;
    });
    let settings = format!("upstreams.default.url = \"{}\"\n", upstream.url());
    let keyward = KeywardProcess::start(&settings).await;
    let key = keyward.key().await;
    let before = keyward.resident_bytes();
    let upload = Stream::new();
    for _ in 0..1024 {
        upload.send(vec![b'x'; CHUNK]);
    }
    let request = Request::post(format!("http://h{PREDICT}"))
        .header("authorization", format!("Bearer {}", key.text));
    let request = request.body(upload.body()).expect("a request");
    let caller = keyward.http2().await;
    let sent = caller.send(request);
    let waited = tokio::time::timeout(Duration::from_secs(1), sent).await;
    assert!(waited.is_err(), "nobody answers");
    let grown = keyward.resident_bytes().saturating_sub(before);
    assert!(grown <= GROWTH, "{grown}");
}
