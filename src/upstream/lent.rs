use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::payload::Payload;

/// A request body lent to one attempt: it comes back when the attempt is given up before anything of it was given.
pub(super) struct Lent {
    /// There until it goes back.
    body: Option<Payload>,
    back: Option<oneshot::Sender<Payload>>,
}

/// Where a lent body comes back to.
pub(super) struct Back(oneshot::Receiver<Payload>);

/// How long a body may take to come back. The client lets go of a request at its failure, or at its next turn; should it
/// not, the request has failed.
const RETURNING: Duration = Duration::from_secs(1);

impl Lent {
    /// Lends `body` to an attempt, for good.
    pub(super) const fn for_good(body: Payload) -> (Self, Option<Back>) {
        let lent = Self {
            body: Some(body),
            back: None,
        };
        (lent, None)
    }

    /// Lends `body` to an attempt that may fail.
    pub(super) fn with_return(body: Payload) -> (Self, Option<Back>) {
        let (back, returned) = oneshot::channel();
        let lent = Self {
            body: Some(body),
            back: Some(back),
        };
        (lent, Some(Back(returned)))
    }
}

impl Lent {
    /// The body, of which nothing was given.
    pub(super) fn into_body(mut self) -> Option<Payload> {
        self.body.take()
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
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::new, Body::size_hint)
    }
}
