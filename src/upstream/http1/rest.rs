//! What of a request is still sent when its answer has begun.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::io::{WriteHalf, split};
use tokio::select;
use tokio::sync::oneshot;

use super::outgoing::{NotSent, Outgoing};
use super::{Http1Error, Stream};
use crate::upstream::connect::Tasks;
use crate::upstream::deadline::HeadDeadline;

/// What of a request is still sent, by a task of its own, behind the beginning of its answer: what the server waits for must not
/// wait for the caller to take the answer. It ends with the answer if that is dropped before its end; behind that it may go on until
/// the server has taken nothing for as long as an answer's head may take, or the caller gives nothing for too long.
pub(super) struct Rest {
    /// Told when the answer has come to its end.
    is_answered: oneshot::Sender<()>,
    /// Tells why the body broke off; there until nothing more is sent.
    failed: Option<oneshot::Receiver<Http1Error>>,
}

impl Rest {
    /// Sends what is left on `stream`, whose other half is given back.
    pub(super) fn of(
        stream: Stream,
        mut outgoing: Outgoing,
        deadline: HeadDeadline,
        tasks: &Tasks,
    ) -> (Stream, Self) {
        let (read, mut write): (_, WriteHalf<Box<Stream>>) = split(Box::new(stream));
        let (is_answered, answered) = oneshot::channel();
        let (fails, failed) = oneshot::channel();
        tasks.run(async move {
            let mut sending = pin!(poll_fn(|cx| outgoing.poll_send(&mut write, cx)));
            let sent = select! {
                biased;
                sent = &mut sending => sent,
                answered = answered => match answered {
                    Ok(()) => select! {
                        biased;
                        sent = sending => sent,
                        () = deadline.passed() => return,
                    },
                    Err(_) => return,
                },
            };
            // A server that takes no more may answer all the same.
            if let Err(NotSent::Body(error)) = sent {
                let _ = fails.send(error);
            }
        });
        let rest = Self {
            is_answered,
            failed: Some(failed),
        };
        (Stream::Half(read), rest)
    }

    /// The answer has come to its end: the rest may go on without it.
    pub(super) fn go_on(self) {
        let _ = self.is_answered.send(());
    }

    /// Is ready when the body broke off, and its answer with it.
    pub(super) fn poll_failed(&mut self, cx: &mut Context<'_>) -> Poll<Http1Error> {
        let Some(failed) = &mut self.failed else {
            return Poll::Pending;
        };
        let failed = ready!(Pin::new(failed).poll(cx));
        self.failed = None;
        failed.map_or(Poll::Pending, Poll::Ready)
    }
}
