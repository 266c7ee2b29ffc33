use std::future::Future;
use std::io;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::Method;

use super::answer::Answer;
use super::head::AnswerHead;
use super::outgoing::{NotSent, Outgoing};
use super::rest::Rest;
use super::{Connection, Http1Error};
use crate::message::Response;
use crate::upstream::deadline::HeadDeadline;
use crate::upstream::lent::Outbound;
use crate::upstream::pool::Idle;

/// A request that was not answered.
pub(in crate::upstream) enum NotAnswered {
    /// Here it is again: its connection ended before anything of it was written (SECURITY P6).
    Unsent(Box<Outbound>, Http1Error),
    /// It may have been read.
    Broken(Http1Error),
    /// The answer's head did not come in time.
    Late,
}

/// A call, until its answer's head is there. Dropping it closes the connection.
pub(in crate::upstream) struct Exchange<'d> {
    /// There until the answer is.
    connection: Option<Box<Connection>>,
    /// There until it is written.
    outgoing: Option<Outgoing>,
    method: Method,
    deadline: &'d HeadDeadline,
    /// Why the request was not written to its end. The answer may be there all the same.
    not_written: Option<io::Error>,
    home: Rc<Idle>,
}

impl<'d> Exchange<'d> {
    /// Sends `request` over `connection`, which goes back to `home` when all is over.
    pub(in crate::upstream) fn new(
        mut connection: Box<Connection>,
        request: Box<Outbound>,
        deadline: &'d HeadDeadline,
        home: Rc<Idle>,
    ) -> Self {
        let out = mem::take(&mut connection.out);
        let at_first = connection.stream.most_at_first();
        Self {
            connection: Some(connection),
            method: request.head.method.clone(),
            outgoing: Some(Outgoing::new(request, out, at_first)),
            deadline,
            not_written: None,
            home,
        }
    }

    /// Writes what there is of the request; ready when there is no more to write, or no sense in it.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), NotAnswered>> {
        let (Some(connection), Some(outgoing)) = (&mut self.connection, &mut self.outgoing) else {
            return Poll::Ready(Ok(()));
        };
        let sent = ready!(outgoing.poll_send(&mut connection.stream, cx));
        let Some(outgoing) = self.outgoing.take() else {
            return Poll::Ready(Ok(()));
        };
        let has_begun = outgoing.has_begun();
        let (mut request, taken, out) = outgoing.into_parts();
        connection.out = out;
        Poll::Ready(match sent {
            Ok(()) => Ok(()),
            Err(NotSent::Body(error)) => Err(NotAnswered::Broken(error)),
            Err(NotSent::Connection(error)) if has_begun => {
                self.not_written = Some(error);
                Ok(())
            }
            Err(NotSent::Connection(error)) => {
                request.body.give_back(taken);
                Err(NotAnswered::Unsent(request, Http1Error::Io(error)))
            }
        })
    }

    /// Reads the answer's head.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<AnswerHead, Http1Error>> {
        let connection = self.connection.as_mut();
        let connection = connection.expect("it is there until the answer is");
        loop {
            let most = connection.most_head_bytes;
            if let Some(head) = AnswerHead::take(&mut connection.read, &self.method, most)? {
                return Poll::Ready(Ok(head));
            }
            let read = ready!(connection.poll_read(cx));
            // Of two troubles the first is the cause.
            let trouble = match read {
                Ok(0) => Http1Error::Closed,
                Ok(_) => continue,
                Err(error) => Http1Error::Io(error),
            };
            let first = self.not_written.take().map(Http1Error::Io);
            return Poll::Ready(Err(first.unwrap_or(trouble)));
        }
    }

    /// The answer behind its head.
    fn answer(&mut self, head: AnswerHead) -> Response<Answer> {
        let connection = self.connection.take();
        let mut connection = connection.expect("it is there until the answer is");
        let mut rest = None;
        if let Some(outgoing) = self.outgoing.take() {
            let (stream, goes_on) = Rest::of(
                connection.stream,
                outgoing,
                self.deadline.clone(),
                self.home.tasks(),
            );
            connection.stream = stream;
            rest = Some(goes_on);
        }
        let is_kept = rest.is_none() && self.not_written.is_none();
        let home = is_kept.then(|| Rc::clone(&self.home));
        Answer::behind(head, connection, rest, home)
    }
}

impl Future for Exchange<'_> {
    type Output = Result<Response<Answer>, NotAnswered>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            return Poll::Ready(Err(error));
        }
        // Nothing is answered before it is asked.
        let is_asked = self.outgoing.as_ref().is_none_or(Outgoing::has_begun);
        if is_asked && let Poll::Ready(head) = self.poll_head(cx) {
            let head = head.map_err(NotAnswered::Broken)?;
            return Poll::Ready(Ok(self.answer(head)));
        }
        // An answer that is there is never late.
        let Self {
            connection,
            deadline,
            ..
        } = &mut *self;
        let connection = connection.as_mut();
        let connection = connection.expect("it is there until the answer is");
        ready!(deadline.poll_late(&mut connection.timer, cx));
        Poll::Ready(Err(NotAnswered::Late))
    }
}
