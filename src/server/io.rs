//! A caller's connection, with a limit on every silence.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::preface::Preface;
use crate::clock::{Alarm, turn};
use crate::proxy::{ConnectionLoad, LimitsConfig};

/// How long each kind of silence may last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Silences {
    head: Duration,
    idle: Duration,
    stream: Duration,
    linger: Duration,
    linger_bytes: usize,
}

impl Silences {
    /// For listeners with few callers: `quiet` before, inside and between requests, `busy` while one is in flight.
    pub(super) const fn brief(quiet: Duration, busy: Duration) -> Self {
        Self {
            head: quiet,
            idle: quiet,
            stream: busy,
            linger: Duration::from_secs(1),
            linger_bytes: 64 * 1024,
        }
    }
}

impl From<&LimitsConfig> for Silences {
    fn from(limits: &LimitsConfig) -> Self {
        Self {
            head: limits.head_timeout,
            idle: limits.idle_timeout,
            stream: limits.stream_idle_timeout,
            linger: limits.drain_timeout,
            linger_bytes: limits.drain_bytes,
        }
    }
}

/// A caller's connection.
///
/// Three silences are told apart: before the first byte of a request, inside its head, and while requests are in
/// flight. hyper's own head timer counts the first as the second, so it is not used. There is one timer for each
/// connection, moved only when it fires or a nearer limit comes, so that a request costs no timer.
///
/// When the connection ends, what the caller still sends is read away for a moment first: closing over unread bytes
/// makes the system reset the connection, and the caller may lose the answer that told it why (RFC 9112, 9.6).
pub(super) struct CallerIo<S> {
    stream: S,
    load: ConnectionLoad,
    silences: Silences,
    timer: Alarm,
    phase: Phase,
    /// How many requests had begun when the phase was last looked at.
    begun: usize,
    last_byte: Instant,
    preface: Preface,
    /// Not known while the first bytes may still become the preface.
    is_http2: Option<bool>,
    linger: Option<Linger>,
}

/// What the caller is doing, as far as it can be told from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing of a next request has come since then.
    Idle(Instant),
    /// A head has begun to come then.
    Head(Instant),
    /// Requests are in flight.
    Busy,
}

struct Linger {
    until: Pin<Box<Sleep>>,
    bytes: usize,
}

impl<S> CallerIo<S> {
    /// Wraps a new connection, on which TLS, if it is spoken, has been agreed on; its first head is being waited for.
    pub(super) fn new(stream: S, load: ConnectionLoad, silences: Silences) -> Self {
        let now = Instant::now();
        Self {
            stream,
            load,
            silences,
            timer: Alarm::at(now + silences.head),
            phase: Phase::Head(now),
            begun: 0,
            last_byte: now,
            preface: Preface::default(),
            is_http2: None,
            linger: None,
        }
    }

    /// Whether the connection speaks another protocol than HTTP from here on.
    pub(super) fn is_handed_over(&self) -> bool {
        self.load.is_handed_over()
    }

    fn observe(&mut self) {
        let (is_idle, begun) = (self.load.is_idle(), self.load.begun());
        // A request that was refused at once has come and gone between two looks; its head is behind us all the same.
        let has_passed = begun != std::mem::replace(&mut self.begun, begun);
        match self.phase {
            // Nobody tells when a request ends; the last byte of its answer was about the last thing it did.
            _ if is_idle && has_passed => self.phase = Phase::Idle(self.last_byte),
            Phase::Busy if is_idle => self.phase = Phase::Idle(self.last_byte),
            Phase::Idle(_) | Phase::Head(_) if !is_idle => self.phase = Phase::Busy,
            _ => {}
        }
    }

    fn note_read(&mut self, bytes: &[u8]) {
        let now = turn::now();
        self.last_byte = now;
        if self.is_http2.is_none() {
            self.is_http2 = self.preface.take(bytes);
        }
        if self.is_http2 == Some(true) && self.phase != Phase::Busy {
            // Frames come between requests, too; only a request ends the silence.
            if let Phase::Head(since) = self.phase {
                self.phase = Phase::Idle(since);
            }
        } else if let Phase::Idle(_) = self.phase {
            self.phase = Phase::Head(now);
        }
    }

    fn deadline(&self) -> Instant {
        match self.phase {
            Phase::Idle(since) => since + self.silences.idle,
            Phase::Head(since) => since + self.silences.head,
            Phase::Busy => self.last_byte + self.silences.stream,
        }
    }

    /// When to look again at the latest. While requests are in flight, that is early enough to see in time that the last
    /// of them has ended.
    fn next_look(&self, from: Instant) -> Instant {
        match self.phase {
            Phase::Busy => self.deadline().min(from + self.silences.idle),
            Phase::Idle(_) | Phase::Head(_) => self.deadline(),
        }
    }

    /// Fails once the silence has lasted too long; otherwise makes sure to be woken when it will have.
    fn check_silence(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let next_look = self.next_look(self.last_byte);
        if self.timer.deadline() > next_look {
            self.timer.reset(next_look);
        }
        while self.timer.poll(cx).is_ready() {
            self.observe();
            let now = Instant::now();
            if self.deadline() <= now {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let next_look = self.next_look(now);
            self.timer.reset(next_look);
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CallerIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.observe();
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                self.note_read(&buf.filled()[before..]);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(error) => Poll::Ready(error),
            Poll::Pending => match self.check_silence(cx) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            },
        }
    }
}

impl<S> CallerIo<S> {
    fn after_write(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(written) => {
                self.last_byte = turn::now();
                Poll::Ready(written)
            }
            Poll::Pending => match self.check_silence(cx) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            },
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for CallerIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.after_write(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.after_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // TLS holds what it was given until the socket takes it.
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(flushed) => Poll::Ready(flushed),
            Poll::Pending => match self.check_silence(cx) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            },
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_handed_over() {
            // The other side may still speak, and whoever reads from it reads on.
            return Pin::new(&mut self.stream).poll_shutdown(cx);
        }
        if self.linger.is_none() {
            let ended = Pin::new(&mut self.stream).poll_shutdown(cx)?;
            if ended.is_pending() {
                // TLS has something to say at the end, which a caller that takes nothing keeps from being sent.
                self.check_silence(cx)?;
                return Poll::Pending;
            }
            let until = Instant::now() + self.silences.linger;
            self.linger = Some(Linger {
                until: Box::pin(sleep_until(until)),
                bytes: self.silences.linger_bytes,
            });
        }
        let this = &mut *self;
        let Some(linger) = &mut this.linger else {
            return Poll::Ready(Ok(()));
        };
        let mut scratch = [0; 4096];
        while linger.bytes > 0 && linger.until.as_mut().poll(cx).is_pending() {
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut this.stream).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    linger.bytes = linger.bytes.saturating_sub(buf.filled().len());
                }
                Poll::Ready(_) => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::net::TcpStream;

    use super::*;

    /// A connection, and the other side of it.
    async fn caller(load: &ConnectionLoad) -> (CallerIo<TcpStream>, tokio::net::TcpListener) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await;
        let silences = Silences::from(&LimitsConfig::default());
        let caller = CallerIo::new(stream.unwrap(), load.clone(), silences);
        (caller, listener)
    }

    #[tokio::test]
    async fn a_request_that_was_refused_at_once_ends_the_wait_for_its_head() {
        let load = ConnectionLoad::default();
        let (mut caller, _other_side) = caller(&load).await;
        assert!(matches!(caller.phase, Phase::Head(_)));
        drop(load.begin());
        caller.observe();
        assert!(matches!(caller.phase, Phase::Idle(_)));
        caller.note_read(b"GET");
        assert!(matches!(caller.phase, Phase::Head(_)));
    }

    #[tokio::test]
    async fn a_connection_is_busy_while_a_request_is_in_flight() {
        let load = ConnectionLoad::default();
        let (mut caller, _other_side) = caller(&load).await;
        let request = load.begin();
        caller.observe();
        assert_eq!(caller.phase, Phase::Busy);
        drop(load.begin());
        caller.observe();
        assert_eq!(caller.phase, Phase::Busy);
        drop(request);
        caller.observe();
        assert!(matches!(caller.phase, Phase::Idle(_)));
    }

    #[tokio::test]
    async fn a_preface_in_two_pieces_is_one_of_http2() {
        let (mut caller, _other_side) = caller(&ConnectionLoad::default()).await;
        caller.note_read(b"PR");
        assert!(matches!(caller.phase, Phase::Head(_)));
        caller.note_read(b"I * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        assert!(matches!(caller.phase, Phase::Idle(_)));
        // Frames between requests end no silence.
        caller.note_read(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
        assert!(matches!(caller.phase, Phase::Idle(_)));
    }

    /// What TLS is to a caller that reads nothing: it takes what it is given, and cannot send it.
    struct Stuck;

    impl AsyncRead for Stuck {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Stuck {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_taken_and_cannot_be_sent_is_a_silence() {
        use tokio::io::AsyncWriteExt;

        let load = ConnectionLoad::default();
        let silences = Silences::from(&LimitsConfig::default());
        let mut caller = CallerIo::new(Stuck, load.clone(), silences);
        let _request = load.begin();
        caller.observe();
        caller.write_all(b"an answer").await.unwrap();
        let begun = Instant::now();
        let flushed = caller.flush().await.unwrap_err();
        assert_eq!(flushed.kind(), io::ErrorKind::TimedOut);
        let limit = LimitsConfig::default().stream_idle_timeout;
        assert_eq!(begun.elapsed().as_secs(), limit.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silence_ends_for_whoever_reads_now() {
        let load = ConnectionLoad::default();
        let silences = Silences::from(&LimitsConfig::default());
        let mut caller = CallerIo::new(Stuck, load, silences);
        let begun = Instant::now();
        let mut byte = [0];
        for waker in [Waker::noop(), Waker::noop()] {
            let read = Pin::new(&mut caller).poll_read(
                &mut Context::from_waker(waker),
                &mut ReadBuf::new(&mut byte),
            );
            assert!(read.is_pending());
        }
        let limit = LimitsConfig::default().head_timeout;
        let read = tokio::io::AsyncReadExt::read(&mut caller, &mut byte);
        let read = tokio::time::timeout(limit * 2, read).await;
        let read = read.expect("it ends").unwrap_err();
        assert_eq!(read.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), limit.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_cannot_be_sent_is_a_silence() {
        use tokio::io::AsyncWriteExt;

        let load = ConnectionLoad::default();
        let silences = Silences::from(&LimitsConfig::default());
        let mut caller = CallerIo::new(Stuck, load.clone(), silences);
        drop(load.begin());
        caller.observe();
        let begun = Instant::now();
        let limit = LimitsConfig::default().idle_timeout;
        let closed = tokio::time::timeout(limit * 2, caller.shutdown()).await;
        let closed = closed.expect("it ends").unwrap_err();
        assert_eq!(closed.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), limit.as_secs());
    }

    /// The connection is read on before the request's place is given back, so the end of a request is seen at the next look only.
    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_from_the_end_of_its_last_request() {
        let load = ConnectionLoad::default();
        let (mut caller, _other_side) = caller(&load).await;
        let request = load.begin();
        let mut byte = [0];
        let read = tokio::io::AsyncReadExt::read(&mut caller, &mut byte);
        tokio::pin!(read);
        let a_moment = Duration::from_millis(1);
        assert!(tokio::time::timeout(a_moment, &mut read).await.is_err());
        let ended = Instant::now();
        drop(request);
        assert_eq!(read.await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let lasted = ended.elapsed();
        let limit = LimitsConfig::default().idle_timeout;
        assert!(
            lasted <= limit && lasted + a_moment * 2 >= limit,
            "{lasted:?}"
        );
    }
}
