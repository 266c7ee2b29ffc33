use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::RequestBody;

/// A request body lent to one attempt: it comes back when the attempt is given up before anything of it was asked for.
pub(super) struct Lent {
    /// There until it goes back.
    body: Option<RequestBody>,
    back: Option<Back>,
}

/// Where a lent body comes back to.
#[derive(Clone, Default)]
pub(super) struct Back(Arc<Mutex<Option<RequestBody>>>);

impl Lent {
    /// Lends `body` to an attempt; without `back` for good.
    pub(super) const fn new(body: RequestBody, back: Option<Back>) -> Self {
        Self {
            body: Some(body),
            back,
        }
    }
}

impl Back {
    /// The body, when it has come back.
    pub(super) fn take(&self) -> Option<RequestBody> {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        place.take()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(back) = self.back.take() {
            let mut place = back.0.lock().unwrap_or_else(PoisonError::into_inner);
            *place = self.body.take();
        }
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = <RequestBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        // Whatever was asked for may be sent: from here on there is no way back.
        self.back = None;
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
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
