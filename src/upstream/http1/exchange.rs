use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::request::Parts;
use http::{Method, Request, Response};

use super::answer::Answer;
use super::head::{self, AnswerHead};
use super::outgoing::{NotSent, Outgoing};
use super::rest::Rest;
use super::{Connection, Http1Error};
use crate::upstream::lent::Lent;
use crate::upstream::pool::Idle;

/// A request that was not answered.
pub(in crate::upstream) enum NotAnswered {
    /// Here it is again: its connection ended before anything of it was written (SECURITY P6).
    Unsent(Box<Request<Lent>>, Http1Error),
    /// It may have been read.
    Broken(Http1Error),
}

/// A call, until its answer's head is there. Dropping it closes the connection.
pub(in crate::upstream) struct Exchange {
    /// There until the answer is.
    connection: Option<Connection>,
    /// There until it is written.
    outgoing: Option<Outgoing>,
    /// There until something is written.
    head: Option<Parts>,
    method: Method,
    /// Why the request was not written to its end. The answer may be there all the same.
    not_written: Option<io::Error>,
    home: Rc<Idle>,
}

impl Exchange {
    /// Sends `request` over `connection`, which goes back to `home` when all is over.
    pub(in crate::upstream) fn new(
        mut connection: Connection,
        request: Request<Lent>,
        home: Rc<Idle>,
    ) -> Self {
        let (head, body) = request.into_parts();
        let out = std::mem::take(&mut connection.out);
        Self {
            connection: Some(connection),
            outgoing: Some(Outgoing::new(&head, body, out)),
            method: head.method.clone(),
            head: Some(head),
            not_written: None,
            home,
        }
    }

    /// Writes what there is of the request.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), NotAnswered>> {
        let (Some(connection), Some(outgoing)) = (&mut self.connection, &mut self.outgoing) else {
            return Poll::Ready(Ok(()));
        };
        let sent = outgoing.poll_send(&mut connection.stream, cx);
        if outgoing.has_begun() {
            self.head = None;
        }
        let sent = ready!(sent);
        let Some(outgoing) = self.outgoing.take() else {
            return Poll::Ready(Ok(()));
        };
        let (body, out) = outgoing.into_parts();
        connection.out = out;
        Poll::Ready(match (sent, self.head.take()) {
            (Ok(()), _) => Ok(()),
            (Err(NotSent::Body(error)), _) => Err(NotAnswered::Broken(error)),
            (Err(NotSent::Connection(error)), Some(head)) => {
                let request = Box::new(Request::from_parts(head, body));
                Err(NotAnswered::Unsent(request, Http1Error::Io(error)))
            }
            (Err(NotSent::Connection(error)), None) => {
                self.not_written = Some(error);
                Ok(())
            }
        })
    }

    /// Reads the answer's head.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<AnswerHead, Http1Error>> {
        let connection = self.connection.as_mut();
        let connection = connection.expect("it is there until the answer is");
        loop {
            let most = connection.most_head_bytes;
            if let Some(head) = head::take(&mut connection.read, &self.method, most)? {
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
            let (stream, goes_on) = Rest::of(connection.stream, outgoing, self.home.tasks());
            connection.stream = stream;
            rest = Some(goes_on);
        }
        let is_kept = rest.is_none() && self.not_written.is_none();
        let home = is_kept.then(|| Rc::clone(&self.home));
        Answer::behind(head, connection, rest, home)
    }
}

impl Future for Exchange {
    type Output = Result<Response<Answer>, NotAnswered>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            return Poll::Ready(Err(error));
        }
        if self.head.is_some() {
            // Nothing is answered before it is asked.
            return Poll::Pending;
        }
        let head = ready!(self.poll_head(cx)).map_err(NotAnswered::Broken)?;
        Poll::Ready(Ok(self.answer(head)))
    }
}
