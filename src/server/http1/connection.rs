//! One connection of a caller that speaks HTTP/1: what is read of it, and what is written.

mod writing;

use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::Frame;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::super::guard::{FramingError, Guard, Part};
use super::super::guarded::GuardedIo;
use super::super::io::CallerIo;
use super::head::{Head, Length, Terms};
use crate::http1::{
    Body, BodyError, ChunkError, Chunks, Feed, Next, ReadBuffer, Rewound, Wish, channel,
};

/// How much room for an answer is kept while there is none, in bytes.
const MOST_ROOM: usize = 16 * 1024;

/// By this a caller that waits with its body is asked for it (RFC 9110, 15.2.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A caller's connection. Of what is read the [`Guard`] judges every byte before anything is made of it.
pub(super) struct Connection<S> {
    io: CallerIo<S>,
    guard: Guard,
    read: ReadBuffer,
    /// How much of what was read the guard has let through.
    judged: usize,
    receiving: Receiving,
    /// What is left to be written of a [`CONTINUE`].
    interim: &'static [u8],
    /// Fields that join the next answer's, in lines.
    joins: Vec<u8>,
    /// Room for the next answer.
    out: Vec<u8>,
}

/// What is still to come of the request under way.
enum Receiving {
    Nothing,
    Body(Coming),
    /// More than will be read: there is no next request.
    TooMuch,
}

struct Coming {
    feed: Feed,
    framing: Framing,
    /// The caller waits to be asked for it.
    is_kept_back: bool,
}

enum Framing {
    /// So many bytes are to come.
    Length(u64),
    Chunks(Chunks),
}

/// What a connection begins with next.
pub(super) enum Begins {
    Request(Head),
    /// A request whose head is not let through, or does not come.
    Refused(FramingError),
    /// HTTP/2, with all that was read so far.
    Http2,
    /// Nothing: the caller has no more to say, or shall have none.
    Nothing,
}

/// The caller is gone, or was silent for too long.
pub(super) struct Gone;

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(io: CallerIo<S>, guard: Guard) -> Self {
        Self {
            io,
            guard,
            read: ReadBuffer::default(),
            judged: 0,
            receiving: Receiving::Nothing,
            interim: &[],
            joins: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Reads on; ready with how much came, which is nothing at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let before = self.read.len();
        let read = ready!(self.read.poll_read(&mut self.io, cx))?;
        let safe = self.guard.scan(self.read.get(before..).unwrap_or_default());
        if safe > 0 {
            self.judged = before + safe;
        }
        Poll::Ready(Ok(read))
    }

    /// Whether nothing of a next request is there: an empty line before it is nothing (RFC 9112, 2.2).
    fn is_idle(&self) -> bool {
        matches!(**self.read, [] | [b'\r'] | [b'\r', b'\n'])
    }

    /// Takes the first bytes of those that were let through.
    fn take(&mut self, count: usize) -> BytesMut {
        self.judged -= count;
        self.read.split_to(count)
    }

    /// Waits for what comes next; nothing does where connections are to end and nothing of it is there.
    ///
    /// # Errors
    ///
    /// When the connection fails, or nothing comes for too long.
    pub(super) fn poll_next(
        &mut self,
        is_leaving: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Begins, Gone>> {
        if is_leaving && self.is_idle() {
            return Poll::Ready(Ok(Begins::Nothing));
        }
        loop {
            if self.guard.is_http2() {
                return Poll::Ready(Ok(Begins::Http2));
            }
            if self.judged > 0 {
                let all = self.read.len();
                let head = Head::take(&mut self.read);
                self.judged = self.judged.saturating_sub(all - self.read.len());
                let begins = head.map_or_else(Begins::Refused, Begins::Request);
                return Poll::Ready(Ok(begins));
            }
            if let Some((error, _)) = self.guard.refused() {
                return Poll::Ready(Ok(Begins::Refused(error)));
            }
            match ready!(self.poll_read(cx)) {
                Ok(0) => return Poll::Ready(Ok(Begins::Nothing)),
                Ok(_) => {}
                // Whoever stopped in the middle of a head is told so.
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    if !self.guard.give_up_waiting() {
                        return Poll::Ready(Err(Gone));
                    }
                }
                Err(_) => return Poll::Ready(Err(Gone)),
            }
        }
    }

    /// The body behind a head: whole, if it is there.
    pub(super) fn body(&mut self, length: Length, terms: Terms) -> Body {
        let (framing, length) = match length {
            Length::Known(length) => match usize::try_from(length) {
                Ok(length) if length <= self.judged => {
                    return Body::whole(self.take(length).freeze());
                }
                _ => (Framing::Length(length), Some(length)),
            },
            Length::Chunked => (Framing::Chunks(Chunks::default()), None),
        };
        let (feed, body) = channel(length);
        self.receiving = Receiving::Body(Coming {
            feed,
            framing,
            is_kept_back: terms.expects_continue,
        });
        body
    }

    /// What of the body is there next.
    fn next_part(&mut self) -> Result<(Next, bool), ChunkError> {
        let Receiving::Body(coming) = &mut self.receiving else {
            return Ok((Next::End, true));
        };
        match &mut coming.framing {
            Framing::Length(0) => Ok((Next::End, true)),
            Framing::Length(_) if self.judged == 0 => Ok((Next::More, false)),
            Framing::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX);
                let here = here.min(self.judged);
                *left -= here as u64;
                let is_last = *left == 0;
                Ok((Next::Data(self.take(here).freeze()), is_last))
            }
            Framing::Chunks(chunks) => {
                let rest = self.read.split_off(self.judged);
                let next = chunks.next(&mut self.read);
                self.judged = self.read.len();
                self.read.unsplit(rest);
                Ok((next?, chunks.is_over()))
            }
        }
    }

    /// Gives whoever reads the body what it wishes. Ready when it is this task that should go on reading, and when nothing
    /// more of the body is read.
    fn poll_feed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Receiving::Body(coming) = &self.receiving {
            match coming.feed.wish(cx.waker()) {
                Wish::Nothing => return Poll::Pending,
                Wish::Gone => {
                    self.pass_over(cx);
                    return Poll::Ready(());
                }
                Wish::Next => {}
            }
            let end = match self.next_part() {
                Err(error) => Err(BodyError::Malformed(error.into())),
                Ok((Next::End, _)) => Ok(()),
                Ok((Next::Data(part), is_last)) => {
                    if self.give(Frame::data(part), is_last, cx) {
                        return Poll::Ready(());
                    }
                    continue;
                }
                Ok((Next::Trailers(trailers), _)) => {
                    if self.give(Frame::trailers(trailers), true, cx) {
                        return Poll::Ready(());
                    }
                    continue;
                }
                Ok((Next::More, _)) => match ready!(self.poll_more(cx)) {
                    Ok(()) => continue,
                    Err(error) => Err(error),
                },
            };
            let rest = if end.is_ok() {
                Receiving::Nothing
            } else {
                Receiving::TooMuch
            };
            if let Receiving::Body(coming) = mem::replace(&mut self.receiving, rest) {
                let _is_ours = coming.feed.end(end, cx.waker());
            }
        }
        Poll::Ready(())
    }

    /// Gives a part; whether this task is to read it.
    fn give(&mut self, frame: Frame<Bytes>, is_last: bool, cx: &Context<'_>) -> bool {
        let Receiving::Body(coming) = &self.receiving else {
            return false;
        };
        let is_ours = coming.feed.give(frame, is_last, cx.waker());
        if is_last {
            self.receiving = Receiving::Nothing;
        }
        is_ours
    }

    /// Reads more of the body, for which a caller that keeps it back is asked first.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        if let Some((error, Part::Body)) = self.guard.refused() {
            return Poll::Ready(Err(BodyError::Malformed(error.into())));
        }
        if let Receiving::Body(coming) = &mut self.receiving
            && mem::take(&mut coming.is_kept_back)
            && self.read.is_empty()
        {
            self.interim = CONTINUE;
        }
        // A caller that takes nothing for now may send it all the same.
        if let Poll::Ready(Err(error)) = self.poll_ask(cx) {
            return Poll::Ready(Err(BodyError::Io(error)));
        }
        match ready!(self.poll_read(cx)) {
            Ok(0) => Poll::Ready(Err(BodyError::Incomplete)),
            Ok(_) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(BodyError::Io(error))),
        }
    }

    /// Writes what is left to be written by which a body is asked for, and has it sent.
    fn poll_ask(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.interim.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, self.interim))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.interim = self.interim.get(written..).unwrap_or_default();
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Passes over a body that nobody reads, if the rest of it is there.
    fn pass_over(&mut self, cx: &mut Context<'_>) {
        let mut has_read = false;
        loop {
            match self.next_part() {
                Ok((Next::End, _) | (_, true)) => {
                    self.receiving = Receiving::Nothing;
                    return;
                }
                Ok((Next::More, _)) if !mem::replace(&mut has_read, true) => {
                    if !matches!(self.poll_read(cx), Poll::Ready(Ok(1..))) {
                        break;
                    }
                }
                Ok((Next::More, _)) | Err(_) => break,
                Ok(_) => {}
            }
        }
        self.receiving = Receiving::TooMuch;
    }

    /// Looks after the caller while something else is waited for: gives what is wished of its body, and notices when it has
    /// gone. Ready when this task should look again at what it waits for.
    fn poll_meanwhile(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        match self.receiving {
            Receiving::Body(_) => return self.poll_feed(cx).map(Ok),
            Receiving::TooMuch => return Poll::Pending,
            Receiving::Nothing => {}
        }
        // What comes now is the next request, which waits; it is not asked whether more is behind it.
        while self.is_idle() {
            if let Ok(0) | Err(_) = ready!(self.poll_read(cx)) {
                return Poll::Ready(Err(Gone));
            }
        }
        Poll::Pending
    }

    /// Waits for `answer`, as long as the caller does.
    ///
    /// # Errors
    ///
    /// When it does not any more.
    pub(super) async fn wait_for<F: Future>(
        &mut self,
        mut answer: Pin<&mut F>,
    ) -> Result<F::Output, Gone> {
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                    return Poll::Ready(Ok(answer));
                }
                ready!(self.poll_meanwhile(cx))?;
            }
        })
        .await
    }

    /// Waits until the request's body has come to its end too; whether it does.
    pub(super) async fn is_read(&mut self) -> bool {
        poll_fn(|cx| {
            while let Receiving::Body(_) = self.receiving {
                ready!(self.poll_feed(cx));
            }
            Poll::Ready(())
        })
        .await;
        matches!(self.receiving, Receiving::Nothing)
    }

    /// What is kept while nothing is under way takes little memory.
    pub(super) fn rest(&mut self) {
        self.read.rest();
        if self.out.capacity() > MOST_ROOM {
            self.out = Vec::new();
        }
    }

    /// Closes the connection.
    pub(super) async fn close(mut self) {
        // Whoever has gone need not be told.
        let _ = self.io.shutdown().await;
    }

    /// The same connection, on which HTTP/2 is spoken.
    pub(super) fn into_http2(self) -> GuardedIo<S> {
        GuardedIo::begun(self.io, self.guard, &self.read, self.judged)
    }

    /// What is left of the connection for another protocol; nothing where the caller spoke before it was answered, and then
    /// no HTTP.
    pub(super) fn into_rewound(self) -> Option<Rewound<CallerIo<S>>> {
        let is_good = self.guard.refused().is_none();
        is_good.then(|| Rewound::new(self.io, self.read.into_bytes()))
    }
}

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Self {
        Self
    }
}

#[cfg(test)]
mod tests;
