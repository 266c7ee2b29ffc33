//! A model server of HTTP/2 whose frames the test writes.

use tokio::sync::mpsc;

use super::HTTP2;
use crate::support::frames::{END_HEADERS, END_STREAM, HEADERS, SETTINGS, frame, read};
use crate::support::keyward::TestKeyward;
use crate::support::raw::RawConnection;
use crate::support::raw_upstream::RawUpstream;
use crate::support::within;

/// A server whose connections the test speaks on itself.
pub struct Server {
    upstream: RawUpstream,
    connections: mpsc::UnboundedReceiver<RawConnection>,
}

impl Server {
    pub fn start() -> Self {
        let (comes, connections) = mpsc::unbounded_channel();
        let upstream = RawUpstream::start(move |connection| {
            drop(comes.send(connection));
            std::future::ready(())
        });
        Self {
            upstream,
            connections,
        }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        self.upstream.url()
    }

    /// A keyward before it.
    pub async fn keyward(&self) -> TestKeyward {
        let url = self.url();
        TestKeyward::with(&format!("upstreams.default.url = \"{url}\"\n{HTTP2}")).await
    }

    /// The next connection, once a call has come on it, and the number of that.
    pub async fn called(&mut self) -> (RawConnection, u32) {
        self.called_under(&[]).await
    }

    /// The same, told of these settings (RFC 9113, 6.5.1).
    pub async fn called_under(&mut self, settings: &[u8]) -> (RawConnection, u32) {
        let next = within("the server is called", self.connections.recv()).await;
        let mut connection = next.expect("the server is there");
        connection.read_exactly(24).await;
        connection.write(frame(SETTINGS, 0, 0, settings)).await;
        connection.write(frame(SETTINGS, 1, 0, &[])).await;
        let (stream, _) = until(&mut connection, HEADERS).await;
        (connection, stream)
    }

    pub fn is_called_no_more(&mut self) -> bool {
        self.connections.try_recv().is_err()
    }
}

/// The stream and the payload of the next frame of this kind.
pub async fn until(connection: &mut RawConnection, kind: u8) -> (u32, Vec<u8>) {
    loop {
        let frame = read(connection).await.expect("there is more to come");
        if frame.kind == kind {
            return (frame.stream, frame.payload);
        }
    }
}

/// An empty answer: its status alone.
pub fn ok(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &[0x88])
}
