//! HTTP/1.1 as it is spoken with a model server: one call at a time on a connection, driven by whoever waits for it.
//!
//! Nothing runs behind a connection: the task of the caller's connection writes the request and reads the answer, and a
//! connection that nobody uses is looked at when it is to be used and when the pool is swept. An answer is read by the rules
//! of RFC 9112 and no others: where it can be read in two ways it is refused, and its connection is not used again.

mod answer;
mod chunks;
mod error;
mod exchange;
mod head;
mod outgoing;
mod rest;
mod stream;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::BytesMut;
use tokio::task::unconstrained;
use tokio_util::io::poll_read_buf;

use super::deadline::SharedTimer;

pub(super) use answer::Answer;
pub use error::Http1Error;
pub(super) use exchange::{Exchange, NotAnswered};
pub(super) use stream::Stream;
pub use stream::Upgraded;

#[cfg(test)]
mod tests;

/// The least that a read has room for, in bytes, and the most: as much as came at once the time before.
const LEAST_READ: usize = 8 * 1024;
const MOST_READ: usize = 128 * 1024;

/// One connection, on which nothing is under way.
pub(super) struct Connection {
    stream: Stream,
    read: BytesMut,
    /// Room for the next request.
    out: Vec<u8>,
    reads: usize,
    most_head_bytes: usize,
    /// For the deadline of an answer's head.
    timer: SharedTimer,
}

impl Connection {
    /// A new one, on which an answer's head may take so many bytes.
    pub(super) fn new(stream: Stream, most_head_bytes: usize) -> Self {
        Self {
            stream,
            read: BytesMut::new(),
            out: Vec::new(),
            reads: LEAST_READ,
            most_head_bytes,
            timer: None,
        }
    }

    /// Whether it is still open, and nothing came that nobody asked for. Costs no system call while nothing has happened.
    pub(super) fn is_usable(&mut self) -> bool {
        if !self.read.is_empty() {
            return false;
        }
        // To a task that has used its turn up, tokio tells of nothing that has happened.
        let mut reading = pin!(unconstrained(poll_fn(|cx| self.poll_read(cx))));
        let mut cx = Context::from_waker(Waker::noop());
        reading.as_mut().poll(&mut cx).is_pending()
    }

    /// Reads more; ready with how much, which is nothing at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.read.reserve(self.reads);
        let room = self.read.capacity() - self.read.len();
        let read = ready!(poll_read_buf(
            Pin::new(&mut self.stream),
            cx,
            &mut self.read
        ))?;
        if read >= room {
            self.reads = (self.reads * 2).min(MOST_READ);
        } else if read * 4 < self.reads {
            self.reads = (self.reads / 2).max(LEAST_READ);
        }
        Poll::Ready(Ok(read))
    }

    /// What is kept of it while nobody uses it takes little memory.
    fn rest(&mut self) {
        if self.read.capacity() > 2 * LEAST_READ {
            self.read = BytesMut::new();
        }
        if self.out.capacity() > 2 * LEAST_READ {
            self.out = Vec::new();
        }
        self.reads = LEAST_READ;
    }
}
