//! One request of a connection, of whatever version: handed to the proxy, and what its answer leaves to be done here.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::CONNECTION;
use http::{HeaderValue, Version};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::guard::FramingError;
use super::worker::Room;
use crate::message::{Fields, RequestHead, Response};
use crate::proxy::{Answer, ConnectionLoad, Peer, Prepared, ProxyBody, Rejection, Trace, Tunnel};
use crate::upstream::{BrokenBody, CallerBody};

/// An answer, and the WebSocket that begins behind it.
pub(super) struct Answered {
    pub(super) response: Response<ProxyBody>,
    pub(super) unwritten: Unwritten,
    pub(super) tunnel: Option<Box<Tunnel>>,
}

/// Fields that are still to be written on an answer, which has none of their names.
pub(super) struct Unwritten {
    trace: Trace,
    prepared: Option<&'static Prepared>,
}

impl Unwritten {
    /// Puts them into its table.
    pub(super) fn write(&self, headers: &mut Fields) {
        if let Some(prepared) = self.prepared {
            prepared.write(headers);
        }
        self.trace.write(headers);
    }

    /// Writes them as lines.
    pub(super) fn write_lines(&self, out: &mut Vec<u8>) {
        if let Some(prepared) = self.prepared {
            prepared.write_lines(out);
        }
        self.trace.write_lines(out);
    }
}

/// Answers a request.
pub(super) async fn answer(
    room: &Rc<Room>,
    head: Box<RequestHead>,
    body: CallerBody,
    peer: Peer,
    load: &ConnectionLoad,
) -> Answered {
    let version = head.version;
    let proxy = Rc::clone(&room.proxy.borrow());
    let (answer, trace) = proxy.handle(head, body, peer, load).await;
    let Answer {
        mut response,
        prepared,
        unread,
        tunnel,
    } = answer;
    if let Some(unread) = unread {
        read_away(unread, room.drain.get());
    }
    if room.shared.draining.has_begun() && version <= Version::HTTP_11 && tunnel.is_none() {
        let close = const { HeaderValue::from_static("close") };
        response.headers.insert(&CONNECTION, close);
    }
    Answered {
        response,
        unwritten: Unwritten { trace, prepared },
        tunnel,
    }
}

/// Answers a head that was refused before anything of it was understood.
pub(super) fn refuse(room: &Room, error: FramingError, load: &ConnectionLoad) -> Answered {
    let why = match error {
        FramingError::TargetTooLong => Rejection::TargetTooLong,
        FramingError::HeadTooLarge => Rejection::HeadTooLarge,
        FramingError::TooManyFields => Rejection::TooManyFields,
        FramingError::HeadTooSlow => Rejection::HeadTooSlow,
        error => Rejection::Malformed(error.to_string()),
    };
    let (response, trace) = room.proxy.borrow().refuse_head(why, load);
    Answered {
        response,
        unwritten: Unwritten {
            trace,
            prepared: None,
        },
        tunnel: None,
    }
}

/// Reads the rest of a refused request, so that the connection can be used again; past the limit it is dropped, which
/// closes the connection.
#[expect(
    clippy::disallowed_methods,
    reason = "the server is where tasks are made"
)]
fn read_away(mut unread: CallerBody, (most, limit): (usize, Duration)) {
    let mut left = most;
    // What has come by now is read at once; of a small body that is all.
    while let Some(next) = unread.frame().now_or_never() {
        if !is_read_on(next, &mut left) || unread.is_end_stream() {
            return;
        }
    }
    tokio::task::spawn_local(timeout(limit, async move {
        while is_read_on(unread.frame().await, &mut left) {}
    }));
}

/// Whether more is to be read behind that part, which is taken from what is `left`.
fn is_read_on(next: Option<Result<Frame<Bytes>, BrokenBody>>, left: &mut usize) -> bool {
    let Some(Ok(frame)) = next else { return false };
    let rest = left.checked_sub(frame.data_ref().map_or(0, Bytes::len));
    *left = rest.unwrap_or(0);
    rest.is_some()
}
