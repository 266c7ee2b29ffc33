//! How an answer is written, with its body.

use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as AnyBody, Frame};
use tokio::io::{AsyncRead, AsyncWrite};

use super::super::answer;
use super::super::head::Terms;
use super::{Connection, Gone, Receiving};
use crate::http1::{Framer, Wish};
use crate::message::Response;

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Where fields are written, in lines, that join those of the next answer, which has none of their names.
    pub(in crate::server::http1) const fn joins(&mut self) -> &mut Vec<u8> {
        &mut self.joins
    }

    /// Writes an answer; whether the connection can take another request behind it, as far as the answer says.
    ///
    /// # Errors
    ///
    /// When the caller is gone, and when the answer breaks off: then the caller must see that it did.
    pub(in crate::server::http1) async fn answer<B: AnyBody<Data = Bytes> + Unpin>(
        &mut self,
        response: Response<B>,
        mut terms: Terms,
        second: impl FnOnce() -> u64,
    ) -> Result<bool, Gone> {
        // A body that nobody reads may end here.
        poll_fn(|cx| {
            self.pass_over_unread(cx);
            Poll::Ready(())
        })
        .await;
        match &mut self.receiving {
            Receiving::Nothing => {}
            Receiving::Body(coming) => coming.is_kept_back = false,
            Receiving::TooMuch => terms.keeps_alive = false,
        }
        let mut out = mem::take(&mut self.out);
        out.clear();
        out.extend_from_slice(mem::take(&mut self.interim));
        let joins = &self.joins;
        let (framing, keeps_alive) = answer::write(&response, joins, terms, second, &mut out);
        self.joins.clear();
        let mut framer = Framer::new(out, framing);
        let (head, body) = response.split();
        // It holds what was read of the upstream, where the body is to be read into.
        drop(head);
        let mut body = Some(body);
        poll_fn(|cx| self.poll_send(&mut framer, &mut body, cx)).await?;
        self.out = framer.into_room();
        Ok(keeps_alive)
    }

    /// Passes over the rest of a body that was let go.
    fn pass_over_unread(&mut self, cx: &mut Context<'_>) {
        if let Receiving::Body(coming) = &self.receiving
            && coming.feed.wish(cx.waker()) == Wish::Gone
        {
            self.pass_over(cx);
        }
    }

    fn poll_send<B: AnyBody<Data = Bytes> + Unpin>(
        &mut self,
        framer: &mut Framer,
        body: &mut Option<B>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Gone>> {
        loop {
            let is_waiting = gather(framer, body, cx)?;
            while !framer.is_written() {
                match framer.poll_write(None, &mut self.io, cx) {
                    Poll::Ready(written) => written.map_err(|_| Gone)?,
                    Poll::Pending => ready!(self.poll_meanwhile(cx))?,
                }
            }
            // Under TLS, what is written may not have been sent.
            while Pin::new(&mut self.io).poll_flush(cx)?.is_pending() {
                ready!(self.poll_meanwhile(cx))?;
            }
            if is_waiting {
                ready!(self.poll_meanwhile(cx))?;
            } else if framer.is_over() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// Puts what there is of the body behind what is gathered, until there is enough; whether more is to come that is not there.
/// One that has ended is dropped at once.
fn gather<B: AnyBody<Data = Bytes> + Unpin>(
    framer: &mut Framer,
    body: &mut Option<B>,
    cx: &mut Context<'_>,
) -> Result<bool, Gone> {
    while framer.wants_more()
        && let Some(coming) = body
    {
        let Poll::Ready(frame) = Pin::new(coming).poll_frame(cx) else {
            return Ok(true);
        };
        // An answer whose end is not that which its head said is cut off, so that nobody takes it for whole.
        let frame = frame.transpose().map_err(|_| Gone)?;
        match frame.map(Frame::into_data) {
            None => framer.end(&HeaderMap::new()).map_err(|_| Gone)?,
            Some(Ok(part)) => framer.put(part).map_err(|_| Gone)?,
            Some(Err(frame)) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                framer.end(&trailers).map_err(|_| Gone)?;
            }
        }
    }
    if framer.is_over() {
        *body = None;
    }
    Ok(false)
}
