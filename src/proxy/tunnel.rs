//! A WebSocket, once both sides have agreed on one: bytes both ways, until one side or a limit ends it.

mod frames;

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, copy, copy_bidirectional, sink};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::access::Told;
use super::relay::Answered;
use super::streams::{KeyEnd, Stream, key_ends};
use super::{InFlight, LimitsConfig, Rejection};
use crate::message::Response;
use crate::telemetry::metrics::{ProxyMetrics, WebSocketEnd};
use crate::upstream::AnswerBody;
use frames::Frames;

/// Two connections that speak WebSocket with each other, and us between them. Nothing is read of what they say but, where
/// calls end with their keys, how far the caller's frames have come.
///
/// It holds the request's place among those in flight until it ends.
pub struct Tunnel {
    upstream: Option<AnswerBody>,
    limits: Silence,
    metrics: ProxyMetrics,
    /// There when it ends with its key.
    watched: Option<Rc<Stream>>,
    told: Told,
    _in_flight: InFlight,
}

/// How long a tunnel may go without a byte either way.
#[derive(Debug, Clone, Copy)]
struct Silence {
    /// While both sides may speak.
    open: Duration,
    /// Once one side has said that it is done.
    half_closed: Duration,
}

impl Tunnel {
    /// The head of a 101 to be handed back, and what begins after it.
    pub(super) fn after(
        answered: Answered,
        limits: &LimitsConfig,
        metrics: ProxyMetrics,
        place: InFlight,
    ) -> (Response<()>, Self) {
        let Answered {
            response, watched, ..
        } = answered;
        let (head, answer) = response.split();
        let limits = Silence {
            open: limits.stream_idle_timeout,
            half_closed: limits.websocket_close_timeout,
        };
        let tunnel = Self {
            upstream: answer.into_whole(),
            limits,
            metrics,
            watched,
            told: Told::default(),
            _in_flight: place,
        };
        (head, tunnel)
    }

    /// Tells of the call when this ends.
    pub(super) fn tell(&mut self, told: Told) {
        self.told = told;
    }

    /// Hands bytes on between `caller` and the upstream, until both sides are done, one breaks off, or a silence lasts too long. One that is done
    /// is told to the other, which may still speak. When the key of the call ends, and that counts, the upstream's connection
    /// is closed at once, and the caller is told by a close frame where one can be sent.
    ///
    /// Holds 8 KiB for each way. Dropping the future closes both connections.
    pub async fn run(self, caller: impl AsyncRead + AsyncWrite + Unpin) {
        let upstream = self.upstream.and_then(AnswerBody::into_upgraded);
        let Some((mut upstream, _busy)) = upstream else {
            return;
        };
        self.metrics.websocket_opened();
        let _open = Open(&self.metrics);
        let said = Said::new();
        let mut telling = Telling {
            told: self.told,
            said: &said,
        };
        let mut caller = Watched {
            io: caller,
            said: &said,
            sent: self.watched.as_ref().map(|_| Frames::default()),
        };
        let mut key_end = None;
        let end = tokio::select! {
            // A key that has ended ends what is there, too; and that goes on before a silence is called one.
            biased;
            end = key_ends(self.watched.as_deref()) => {
                key_end = Some(end);
                WebSocketEnd::KeyEnded
            }
            copied = copy_bidirectional(&mut caller, &mut upstream) => match copied {
                Ok(_) => WebSocketEnd::Closed,
                Err(_) => WebSocketEnd::Broken,
            },
            () = said.too_little(self.limits) => WebSocketEnd::Silent,
        };
        self.metrics.websocket_ended(end);
        telling.told.ended(end.into());
        drop(telling);
        drop(upstream);
        if let Some(end) = key_end {
            // It may not be listening.
            let _ = timeout(self.limits.half_closed, caller.close(end)).await;
        }
    }
}

/// Counts a tunnel as open for as long as it is, however it ends.
struct Open<'m>(&'m ProxyMetrics);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.websocket_closed();
    }
}

/// Tells what was said, however the tunnel ends.
struct Telling<'s> {
    told: Told,
    said: &'s Said,
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.told
            .carried(self.said.by_caller.get(), self.said.to_caller.get());
    }
}

/// When something was last said, and whether one side is done.
struct Said {
    last: Cell<Instant>,
    /// How much, in bytes.
    by_caller: Cell<u64>,
    to_caller: Cell<u64>,
    is_half_closed: Cell<bool>,
    half_closes: Notify,
}

impl Said {
    fn new() -> Self {
        Self {
            last: Cell::new(Instant::now()),
            by_caller: Cell::new(0),
            to_caller: Cell::new(0),
            is_half_closed: Cell::new(false),
            half_closes: Notify::new(),
        }
    }

    fn note(&self) {
        self.last.set(Instant::now());
    }

    fn count(&self, all: &Cell<u64>, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        all.set(all.get().saturating_add(bytes));
        self.note();
    }

    fn half_close(&self) {
        if !self.is_half_closed.replace(true) {
            self.note();
            self.half_closes.notify_one();
        }
    }

    /// Returns once a silence has lasted too long.
    async fn too_little(&self, limits: Silence) {
        loop {
            let limit = if self.is_half_closed.get() {
                limits.half_closed.min(limits.open)
            } else {
                limits.open
            };
            let until = self.last.get() + limit;
            if until <= Instant::now() {
                return;
            }
            tokio::select! {
                biased;
                () = self.half_closes.notified() => {}
                () = sleep_until(until) => {}
            }
        }
    }
}

/// The caller's side, through which every byte goes, whichever way.
struct Watched<'s, S> {
    io: S,
    said: &'s Said,
    /// What the caller was sent, where that may have to end with a word of ours.
    sent: Option<Frames>,
}

/// "An endpoint is terminating the connection because it has received a message that violates its policy": of the codes of
/// RFC 6455, 7.4.1, the one for all that has none of its own.
const POLICY_VIOLATION: u16 = 1008;

impl<S: AsyncRead + AsyncWrite + Unpin> Watched<'_, S> {
    /// Says that the key has ended, if a frame can be sent now, and waits until the caller has closed its side: what it says
    /// until then is read away, because closing before would take the frame from it.
    async fn close(mut self, end: KeyEnd) -> io::Result<()> {
        if !self.sent.is_some_and(|sent| sent.may_begin()) {
            return Ok(());
        }
        let reason = Rejection::from(end).to_string();
        let frame = frames::close(POLICY_VIOLATION, &reason);
        self.io.write_all(&frame).await?;
        self.io.shutdown().await?;
        copy(&mut self.io, &mut sink()).await?;
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        if read > 0 {
            self.said.count(&self.said.by_caller, read);
        } else {
            self.said.half_close();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
        self.said.count(&self.said.to_caller, written);
        if let Some(sent) = &mut self.sent {
            sent.pass(bytes.get(..written).unwrap_or_default());
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The upstream is done.
        self.said.half_close();
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
