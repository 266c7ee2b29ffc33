//! What was read of a connection, and not taken yet.

use std::io;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

/// The least that a read has room for, in bytes, and the most: as much as came at once the time before.
const LEAST_READ: usize = 8 * 1024;
const MOST_READ: usize = 128 * 1024;

/// Bytes that were read and not taken. Reads grow with what comes at once, and shrink with it.
#[derive(Debug)]
pub struct ReadBuffer {
    bytes: BytesMut,
    at_once: usize,
}

impl Default for ReadBuffer {
    /// Nothing; it takes no memory before the first read.
    fn default() -> Self {
        Self {
            bytes: BytesMut::new(),
            at_once: LEAST_READ,
        }
    }
}

impl ReadBuffer {
    /// Reads more of `stream`; ready with how much, which is nothing at the end.
    ///
    /// # Errors
    ///
    /// The stream's.
    pub fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        // What was taken may still be in use, and then more room is new memory: as long as half of it is there, it will do.
        if self.room() < self.at_once / 2 {
            self.bytes.reserve(self.at_once);
        }
        let room = self.room();
        let read = ready!(poll_read_buf(Pin::new(stream), cx, &mut self.bytes))?;
        if read >= room {
            self.at_once = (self.at_once * 2).min(MOST_READ);
        } else if read * 4 < self.at_once {
            self.at_once = (self.at_once / 2).max(LEAST_READ);
        }
        Poll::Ready(Ok(read))
    }

    fn room(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    /// What is kept while nobody uses it takes little memory.
    pub fn rest(&mut self) {
        if self.bytes.is_empty() && self.bytes.capacity() > 2 * LEAST_READ {
            self.bytes = BytesMut::new();
        }
        self.at_once = LEAST_READ;
        // The next read begins where the last one did, if nobody needs any more what was there.
        let _is_there = self.bytes.try_reclaim(LEAST_READ);
    }

    /// What was not taken.
    #[must_use]
    pub fn into_bytes(self) -> BytesMut {
        self.bytes
    }
}

impl Deref for ReadBuffer {
    type Target = BytesMut;

    fn deref(&self) -> &BytesMut {
        &self.bytes
    }
}

impl DerefMut for ReadBuffer {
    fn deref_mut(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }
}
