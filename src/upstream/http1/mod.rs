//! HTTP/1.1 as it is spoken with a model server: one call at a time on a connection, driven by whoever waits for it.
//!
//! Nothing runs behind a connection: the task of the caller's connection writes the request and reads the answer, and a
//! connection that nobody uses is looked at when it is to be used and when the pool is swept. An answer is read by the rules
//! of RFC 9112 and no others: where it can be read in two ways it is refused, and its connection is not used again.

mod answer;
mod error;
mod exchange;
mod head;
mod outgoing;
mod rest;
mod stream;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tokio::task::unconstrained;

use super::deadline::SharedTimer;
use crate::http1::ReadBuffer;

pub(super) use answer::Answer;
pub use error::Http1Error;
pub(super) use exchange::{Exchange, NotAnswered};
pub(super) use stream::Stream;
pub use stream::Upgraded;

#[cfg(test)]
mod tests;

/// How much room for a request is kept while there is none, in bytes.
const MOST_ROOM: usize = 16 * 1024;

/// One connection, on which nothing is under way.
pub(super) struct Connection {
    stream: Stream,
    read: ReadBuffer,
    /// Room for the next request.
    out: Vec<u8>,
    most_head_bytes: usize,
    /// For the deadline of an answer's head.
    timer: SharedTimer,
}

impl Connection {
    /// A new one, on which an answer's head may take so many bytes.
    pub(super) fn new(stream: Stream, most_head_bytes: usize) -> Self {
        Self {
            stream,
            read: ReadBuffer::default(),
            out: Vec::new(),
            most_head_bytes,
            timer: None,
        }
    }

    /// Whether it is still open, and nothing came that nobody asked for. Costs no system call while nothing has happened.
    pub(super) fn is_usable(&mut self) -> bool {
        if !self.read.is_empty() {
            return false;
        }
        if let Stream::Plain(stream) = &self.stream {
            return stream.is_quiet();
        }
        // To a task that has used its turn up, tokio tells of nothing that has happened.
        let mut reading = pin!(unconstrained(poll_fn(|cx| self.poll_read(cx))));
        let mut cx = Context::from_waker(Waker::noop());
        reading.as_mut().poll(&mut cx).is_pending()
    }

    /// Reads more; ready with how much, which is nothing at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.read.poll_read(&mut self.stream, cx)
    }

    /// What is kept of it while nobody uses it takes little memory.
    fn rest(&mut self) {
        self.read.rest();
        if self.out.capacity() > MOST_ROOM {
            self.out = Vec::new();
        }
    }
}
