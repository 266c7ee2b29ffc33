//! A caller's connection behind the [`Guard`]: hyper reads from it only what was let through.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::guard::{FramingError, Guard, Part, too_many};
use super::io::CallerIo;

/// How much is read at once while a head is kept back; hyper's own buffers begin at 8 KiB.
const PIECE: usize = 4 * 1024;

/// What hyper reads in place of a refused head: a request of ours, which the service answers with the refusal. hyper
/// puts that answer behind those to the requests before, writes it, and closes.
const STAND_IN: &[u8] = b"GET /refused HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// A caller's connection whose requests are let through whole heads at a time.
///
/// A head that comes in pieces is kept back until it is whole; nothing is copied otherwise. Of a refused head hyper sees
/// no byte, but a request of ours in its place, which [`Verdict`] tells apart. A refused body ends with an error, as it
/// does when the caller breaks it off, so that its request is answered, or its answer cut, by whoever reads it. In place of
/// frames that are too many hyper reads some at which it ends the connection in their words.
pub(super) struct GuardedIo<S> {
    io: CallerIo<S>,
    guard: Guard,
    kept: Kept,
    verdict: Verdict,
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

/// Which request of a connection, if any, is no request but stands in for a refused head, and why that was refused.
#[derive(Debug, Clone, Default)]
pub(super) struct Verdict(Arc<OnceLock<(usize, FramingError)>>);

impl Verdict {
    /// Why the head was refused in whose place the request came as number `number` on its connection, counted from 0.
    pub(super) fn of(&self, number: usize) -> Option<FramingError> {
        let (refused, error) = *self.0.get()?;
        (refused == number).then_some(error)
    }

    /// Whether hyper was given a request that is none of the caller's.
    pub(super) fn is_given(&self) -> bool {
        self.0.get().is_some()
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

    /// Lets all of it be handed on.
    fn release(&mut self) {
        self.safe = self.bytes.len();
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
            verdict: Verdict::default(),
            purse: Purse {
                since: Instant::now(),
                sent: 0,
            },
        }
    }

    /// What tells requests from those that stand in for refused ones.
    pub(super) fn verdict(&self) -> Verdict {
        self.verdict.clone()
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
        if self.guard.is_http2() {
            let earned = self.purse.take();
            self.guard.earn(earned);
        }
        self.guard.scan(bytes)
    }

    /// Drops what was refused, and lets something stand in for a head.
    fn judge(&mut self) {
        match self.guard.refused() {
            None => {}
            Some((FramingError::TooManyFrames, _)) => {
                let last = too_many(self.guard.limits().bytes);
                self.kept.replace_rest(&last);
            }
            Some((_, Part::Body)) => self.kept.replace_rest(b""),
            Some((error, Part::Head)) => {
                // Refused once, and nothing is read after.
                let _ = self.verdict.0.set((self.guard.heads(), error));
                self.kept.replace_rest(STAND_IN);
            }
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
        if this.io.is_handed_over() && !this.guard.is_open() && this.guard.refused().is_none() {
            // What is here is no HTTP any more.
            this.guard.open();
            this.kept.release();
        }
        if this.guard.is_turn_over() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            if this.kept.give(buf) {
                return Poll::Ready(Ok(()));
            }
            match this.guard.refused() {
                Some((error, Part::Body)) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
                }
                // The answer to what stands in for it is the end.
                Some((_, Part::Head)) => return Poll::Pending,
                None if this.guard.is_open() && this.kept.is_empty() => {
                    return Pin::new(&mut this.io).poll_read(cx, buf);
                }
                None => {}
            }
            let read = if this.kept.is_empty() && buf.remaining() >= PIECE {
                this.poll_straight(cx, buf)
            } else {
                this.poll_behind(cx)
            };
            match ready!(read) {
                Ok(true) => return Poll::Ready(Ok(())),
                Ok(false) => {}
                // Whoever stopped in the middle of a head is told so.
                Err(error)
                    if error.kind() == io::ErrorKind::TimedOut && this.guard.give_up_waiting() =>
                {
                    this.judge();
                }
                Err(error) => return Poll::Ready(Err(error)),
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
