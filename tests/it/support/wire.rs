//! The socket of the fake upstream: keeps what came, byte by byte, and closes as it is told.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What is known of one connection; stays when the connection has gone.
#[derive(Debug)]
pub struct Wire {
    received: Mutex<Vec<(Instant, Vec<u8>)>>,
    resets: AtomicBool,
    closed: AtomicBool,
    /// Taken away when the connection closes.
    stream: Mutex<Option<Arc<TcpStream>>>,
}

impl Wire {
    /// Everything that came, in the order and the pieces in which it was read.
    pub fn received(&self) -> Vec<(Instant, Vec<u8>)> {
        self.received
            .lock()
            .expect("no test panics with it")
            .clone()
    }

    /// Whether the connection has gone.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// From now on the connection ends with a reset (RST) and says no goodbye.
    pub fn reset_when_closed(&self) {
        self.resets.store(true, Ordering::Release);
    }

    /// Writes between the answers, past the HTTP server.
    pub fn write_aside(&self, bytes: &[u8]) {
        let stream = self.stream.lock().expect("no test panics with it").clone();
        let written = stream.map(|stream| stream.try_write(bytes));
        assert!(
            matches!(written, Some(Ok(count)) if count == bytes.len()),
            "{written:?}"
        );
    }
}

/// The connection itself, for the HTTP server to read and write.
#[derive(Debug)]
pub struct WireIo {
    stream: Arc<TcpStream>,
    wire: Arc<Wire>,
}

impl WireIo {
    pub fn new(stream: TcpStream) -> (Self, Arc<Wire>) {
        stream
            .set_nodelay(true)
            .expect("a new socket takes options");
        let stream = Arc::new(stream);
        let wire = Arc::new(Wire {
            received: Mutex::default(),
            resets: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            stream: Mutex::new(Some(Arc::clone(&stream))),
        });
        (
            Self {
                stream,
                wire: Arc::clone(&wire),
            },
            wire,
        )
    }
}

impl Drop for WireIo {
    fn drop(&mut self) {
        if self.wire.resets.load(Ordering::Acquire) {
            drop(SockRef::from(&*self.stream).set_linger(Some(Duration::ZERO)));
        }
        drop(self.wire.stream.lock().map(|mut stream| stream.take()));
        self.wire.closed.store(true, Ordering::Release);
    }
}

impl AsyncRead for WireIo {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(context))?;
            match self.stream.try_read(buffer.initialize_unfilled()) {
                Ok(0) => return Poll::Ready(Ok(())),
                Ok(count) => {
                    buffer.advance(count);
                    let filled = buffer.filled();
                    let piece = filled[filled.len() - count..].to_vec();
                    let mut received = self.wire.received.lock().expect("no test panics with it");
                    received.push((Instant::now(), piece));
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for WireIo {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(context))?;
            match self.stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.wire.resets.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(SockRef::from(&*self.stream).shutdown(std::net::Shutdown::Write))
    }
}
