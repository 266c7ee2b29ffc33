//! WebSocket: what becomes one and what does not, what goes through, and how they end (SECURITY F10, F11, P8).

mod asking;
mod credential;
mod ended_keys;
mod ending;
mod speaking;

use tokio::sync::{Mutex, mpsc};

use crate::support::keyward::{TestKey, TestKeyward};
use crate::support::raw::{Head, RawConnection};
use crate::support::raw_upstream::RawUpstream;
use crate::support::{eventually, within};

/// A path of the built-in table that takes GET and names the model `m`.
const WEBSOCKET: &str = "/models/m/websocket";

/// The key of RFC 6455, 1.3, and what a server must answer to it.
const NONCE: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The 101 that answers [`handshake`].
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

/// A handshake without a credential, with these lines more.
fn anonymous(lines: &str) -> String {
    format!(
        "GET {WEBSOCKET} HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {NONCE}\r\n{lines}\r\n"
    )
}

fn handshake(key: &TestKey) -> String {
    anonymous(&format!("Authorization: Bearer {}\r\n", key.text))
}

/// A keyward before an upstream whose connections the test speaks on itself.
struct Between {
    keyward: TestKeyward,
    upstreams: Mutex<mpsc::UnboundedReceiver<RawConnection>>,
    _upstream: RawUpstream,
}

impl Between {
    async fn start(settings: &str) -> Self {
        let (comes, upstreams) = mpsc::unbounded_channel();
        let upstream = RawUpstream::start(move |connection| {
            drop(comes.send(connection));
            std::future::ready(())
        });
        let settings = format!("upstreams.default.url = \"{}\"\n{settings}", upstream.url());
        Self {
            keyward: TestKeyward::with(&settings).await,
            upstreams: Mutex::new(upstreams),
            _upstream: upstream,
        }
    }

    /// The next connection to the upstream.
    async fn upstream(&self) -> RawConnection {
        let mut upstreams = self.upstreams.lock().await;
        let next = within("the upstream is called", upstreams.recv()).await;
        next.expect("the upstream is there")
    }

    /// Sends `request`, has the upstream answer with `answer`, and gives both sides and what each was told.
    async fn ask(&self, request: &str, answer: &str) -> Told {
        let mut caller = self.keyward.raw().await;
        caller.write(request).await;
        let mut upstream = self.upstream().await;
        let asked = upstream.read_head().await;
        upstream.write(answer).await;
        let answered = caller.read_head().await;
        Told {
            caller,
            answered,
            upstream,
            asked,
        }
    }

    /// Both sides of a WebSocket.
    async fn open(&self, key: &TestKey) -> (RawConnection, RawConnection) {
        let told = self.ask(&handshake(key), &format!("{SWITCHING}\r\n")).await;
        assert_eq!(told.answered.status(), 101);
        (told.caller, told.upstream)
    }

    /// Waits until so many are open: a caller hears of the agreement a moment before it is counted.
    async fn are_open(&self, count: u64) {
        eventually("they are counted", || {
            (self.keyward.counted.websockets() == count).then_some(())
        })
        .await;
    }

    async fn ends(&self, reason: &str) -> f64 {
        let series = format!("keyward_websocket_ends_total{{reason=\"{reason}\"}}");
        self.keyward.metric(&series).await
    }

    /// Waits until no WebSocket is open and nothing is in flight, and asserts that one ended for this reason.
    async fn ended(&self, reason: &str) {
        within("the WebSocket is gone", async {
            while self.keyward.metric("keyward_websockets").await > 0.0
                || self.keyward.metric("keyward_requests_in_flight").await > 0.0
                || self.ends(reason).await < 1.0
            {}
        })
        .await;
        let reasons = ["closed", "broken", "silent", "key_ended"];
        let mut counts = Vec::new();
        for each in reasons {
            counts.push((each, self.ends(each).await > 0.0));
        }
        let expected = reasons.map(|each| (each, each == reason));
        assert_eq!(counts, expected);
    }
}

/// Both sides of a handshake, and the heads that each was sent.
struct Told {
    caller: RawConnection,
    answered: Head,
    upstream: RawConnection,
    asked: Head,
}
