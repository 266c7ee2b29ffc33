use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Progress;
use super::payload::Payload;
use crate::message::RequestHead;

/// A request on its way to a server, in a place of its own: it is handed on from hand to hand.
pub(super) struct Outbound<B = Lent> {
    pub(super) head: Box<RequestHead>,
    /// Fields in lines, written behind those of the head.
    pub(super) joins: Vec<u8>,
    pub(super) body: B,
}

impl Outbound {
    /// A request whose body is lent for good.
    pub(super) fn new(head: Box<RequestHead>, body: Payload) -> Box<Self> {
        let body = Lent::for_good(body);
        let joins = Vec::new();
        Box::new(Self { head, joins, body })
    }
}

/// A request body lent to one attempt: it comes back when the attempt is given up before anything of it was given.
pub(super) struct Lent {
    /// There until it goes back.
    body: Option<Payload>,
    /// What was read of it, and not sent: it comes again first.
    unsent: VecDeque<Frame<Bytes>>,
    back: Option<oneshot::Sender<Payload>>,
}

/// Where a lent body comes back to.
pub(super) struct Back(oneshot::Receiver<Payload>);

/// How long a body may take to come back. The client lets go of a request at its failure, or at its next turn; should it
/// not, the request has failed.
const RETURNING: Duration = Duration::from_secs(1);

impl Lent {
    /// Lends `body` to an attempt, for good.
    const fn for_good(body: Payload) -> Self {
        Self {
            body: Some(body),
            unsent: VecDeque::new(),
            back: None,
        }
    }

    /// Lends the same body to an attempt that may fail.
    pub(super) fn with_return(&mut self) -> Back {
        let (back, returned) = oneshot::channel();
        self.back = Some(back);
        Back(returned)
    }

    /// Takes back what was read of it last and not sent.
    pub(super) fn give_back(&mut self, unsent: Vec<Frame<Bytes>>) {
        // Not all of what came back before may have been read again.
        let mut unsent = VecDeque::from(unsent);
        unsent.append(&mut self.unsent);
        self.unsent = unsent;
    }

    /// How far it has come, now and later; `None` when it went back.
    pub(super) fn progress(&self) -> Option<Arc<Progress>> {
        self.body.as_ref().map(Payload::progress)
    }
}

impl Back {
    /// The body, when the attempt has let go of it; `None` when something of it was given.
    pub(super) async fn returned(self) -> Option<Payload> {
        timeout(RETURNING, self.0).await.ok()?.ok()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(back), Some(body)) = (self.back.take(), self.body.take()) {
            // Nobody waits for the body of an attempt that was answered.
            drop(back.send(body));
        }
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = <Payload as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(frame) = self.unsent.pop_front() {
            self.back = None;
            return Poll::Ready(Some(Ok(frame)));
        }
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(cx);
        if polled.is_ready() {
            // Whatever was given may be sent: from here on there is no way back.
            self.back = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.unsent.is_empty() && self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        if !self.unsent.is_empty() {
            return SizeHint::new();
        }
        self.body
            .as_ref()
            .map_or_else(SizeHint::new, Body::size_hint)
    }
}
