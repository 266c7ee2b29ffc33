//! A WebSocket, once both sides have agreed on one: bytes both ways, until one side or a limit ends it.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Response, response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::relay::Relayed;
use super::{InFlight, LimitsConfig};
use crate::telemetry::metrics::{ProxyMetrics, WebSocketEnd};

/// Two connections that speak WebSocket with each other, and us between them. Nothing is read of what they say.
///
/// It holds the request's place among those in flight until it ends.
pub struct Tunnel {
    caller: OnUpgrade,
    upstream: OnUpgrade,
    limits: Silence,
    metrics: ProxyMetrics,
    _in_flight: InFlight,
    /// Empty; while it is there, the upstream is known to be busy.
    _answer: Relayed,
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
        mut response: Response<Relayed>,
        caller: OnUpgrade,
        limits: &LimitsConfig,
        metrics: ProxyMetrics,
        place: InFlight,
    ) -> (response::Parts, Self) {
        let upstream = hyper::upgrade::on(&mut response);
        let (head, answer) = response.into_parts();
        let limits = Silence {
            open: limits.stream_idle_timeout,
            half_closed: limits.websocket_close_timeout,
        };
        let tunnel = Self {
            caller,
            upstream,
            limits,
            metrics,
            _in_flight: place,
            _answer: answer,
        };
        (head, tunnel)
    }

    /// Hands bytes on, both ways, until both sides are done, one breaks off, or a silence lasts too long. One that is done
    /// is told to the other, which may still speak.
    ///
    /// Holds 8 KiB for each way. Dropping the future closes both connections.
    pub async fn run(self) {
        // Both have said 101; one may have gone since.
        let (Ok(caller), Ok(upstream)) = (self.caller.await, self.upstream.await) else {
            return;
        };
        self.metrics.websocket_opened();
        let _open = Open(&self.metrics);
        let said = Said::new();
        let mut caller = Watched {
            io: TokioIo::new(caller),
            said: &said,
        };
        let mut upstream = TokioIo::new(upstream);
        let end = tokio::select! {
            // What is there goes on before a silence is called one.
            biased;
            copied = copy_bidirectional(&mut caller, &mut upstream) => match copied {
                Ok(_) => WebSocketEnd::Closed,
                Err(_) => WebSocketEnd::Broken,
            },
            () = said.too_little(self.limits) => WebSocketEnd::Silent,
        };
        self.metrics.websocket_ended(end);
    }
}

/// Counts a tunnel as open for as long as it is, however it ends.
struct Open<'m>(&'m ProxyMetrics);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.websocket_closed();
    }
}

/// When something was last said, and whether one side is done.
struct Said {
    last: Cell<Instant>,
    is_half_closed: Cell<bool>,
    half_closes: Notify,
}

impl Said {
    fn new() -> Self {
        Self {
            last: Cell::new(Instant::now()),
            is_half_closed: Cell::new(false),
            half_closes: Notify::new(),
        }
    }

    fn note(&self) {
        self.last.set(Instant::now());
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
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.said.note();
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
        self.said.note();
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
