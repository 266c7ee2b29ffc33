//! A caller's connection of HTTP/2 behind the [`Guard`]: hyper reads from it only what was let through.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::guard::{Guard, too_many};
use super::io::CallerIo;

/// How much is read at once while a head is kept back; hyper's own buffers begin at 8 KiB.
const PIECE: usize = 4 * 1024;

/// A caller's connection of HTTP/2, whose frames are counted before hyper has them.
///
/// A frame's head that comes in pieces is kept back until it is whole; nothing is copied otherwise. In place of frames that are
/// too many hyper reads some at which it ends the connection in their words.
pub(super) struct GuardedIo<S> {
    io: CallerIo<S>,
    guard: Guard,
    kept: Kept,
    purse: Purse,
}

/// What an HTTP/2 connection has earned for frames that are no requests, and was not given yet: a hundred a second, and one
/// for each 64 bytes that we send.
struct Purse {
    since: Instant,
    sent: usize,
}

impl Purse {
    const MILLIS: u64 = 10;
    const BYTES: usize = 64;

    /// What was earned by now.
    fn take(&mut self) -> u64 {
        let now = Instant::now();
        let millis = u64::try_from(now.duration_since(self.since).as_millis()).unwrap_or(u64::MAX);
        let by_time = millis / Self::MILLIS;
        if by_time > 0 {
            self.since = now;
        }
        let by_bytes = self.sent / Self::BYTES;
        self.sent %= Self::BYTES;
        by_time.saturating_add(by_bytes as u64)
    }
}

/// Bytes that were read and not handed on yet.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    /// How many of them were handed on.
    given: usize,
    /// How many of them may be handed on.
    safe: usize,
}

impl Kept {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Keeps `bytes`, of which `safe` may be handed on with all that is kept already.
    fn keep(&mut self, bytes: &[u8], safe: usize) {
        if safe > 0 {
            self.safe = self.bytes.len() + safe;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Puts `bytes` in place of all that may not be handed on.
    fn replace_rest(&mut self, bytes: &[u8]) {
        self.bytes.truncate(self.safe);
        self.keep(bytes, bytes.len());
    }

    /// Hands on what may be handed on, and whether that was anything.
    fn give(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let ready = self.bytes.get(self.given..self.safe).unwrap_or_default();
        let here = ready.len().min(buf.remaining());
        buf.put_slice(ready.get(..here).unwrap_or_default());
        self.given += here;
        if self.given == self.bytes.len() {
            // An idle connection keeps no memory.
            *self = Self::default();
        } else if self.given == self.safe {
            self.bytes.drain(..self.given);
            (self.given, self.safe) = (0, 0);
        }
        here > 0
    }
}

impl<S: AsyncRead + Unpin> GuardedIo<S> {
    /// Guards a new connection.
    pub(super) fn new(io: CallerIo<S>, guard: Guard) -> Self {
        Self {
            io,
            guard,
            kept: Kept::default(),
            purse: Purse {
                since: Instant::now(),
                sent: 0,
            },
        }
    }

    /// Guards a connection that began before: `read` was read of it, and scanned, and so much of that may be handed on.
    pub(super) fn begun(io: CallerIo<S>, guard: Guard, read: &[u8], safe: usize) -> Self {
        let mut guarded = Self::new(io, guard);
        guarded.kept.keep(read, safe);
        guarded.judge();
        guarded
    }

    /// Reads into hyper's own buffer; whether there is anything new, or the connection's end.
    fn poll_straight(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<bool>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let came = buf.filled().get(before..).unwrap_or_default();
        if came.is_empty() {
            return Poll::Ready(Ok(true));
        }
        let safe = self.scan(came);
        self.kept.keep(came.get(safe..).unwrap_or_default(), 0);
        buf.set_filled(before + safe);
        self.judge();
        Poll::Ready(Ok(safe > 0))
    }

    /// Reads behind what is kept; whether that was the connection's end.
    fn poll_behind(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut piece = [0; PIECE];
        let mut buf = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf))?;
        let safe = self.scan(buf.filled());
        self.kept.keep(buf.filled(), safe);
        self.judge();
        Poll::Ready(Ok(buf.filled().is_empty()))
    }

    fn scan(&mut self, bytes: &[u8]) -> usize {
        let earned = self.purse.take();
        self.guard.earn(earned);
        self.guard.scan(bytes)
    }

    /// Drops what was refused, and lets hyper read why the connection ends.
    fn judge(&mut self) {
        if self.guard.refused().is_some() {
            let last = too_many(self.guard.limits().bytes);
            self.kept.replace_rest(&last);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for GuardedIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.guard.is_turn_over() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            if this.kept.give(buf) {
                return Poll::Ready(Ok(()));
            }
            if let Some((error, _)) = this.guard.refused() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
            }
            let read = if this.kept.is_empty() && buf.remaining() >= PIECE {
                this.poll_straight(cx, buf)
            } else {
                this.poll_behind(cx)
            };
            if ready!(read)? {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for GuardedIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = ready!(Pin::new(&mut self.io).poll_write(cx, buf))?;
        self.purse.sent = self.purse.sent.saturating_add(sent);
        Poll::Ready(Ok(sent))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bufs))?;
        self.purse.sent = self.purse.sent.saturating_add(sent);
        Poll::Ready(Ok(sent))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
