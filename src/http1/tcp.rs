//! A connection's socket, written to by the shortest way.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// The most parts that one system call takes: the kernel's number (`UIO_MAXIOV`).
const MOST_PARTS: usize = 1024;

/// A socket as tokio's, but for how it is written to. The C library's functions make each call a point at which a thread may be
/// cancelled, which costs two locked steps in a program of several threads; these calls go to the kernel at once.
///
/// It is read as tokio reads: to fill memory that holds nothing yet takes code that is not safe, and a copy costs what is saved.
#[derive(Debug)]
pub struct Tcp(TcpStream);

impl From<TcpStream> for Tcp {
    fn from(stream: TcpStream) -> Self {
        Self(stream)
    }
}

impl Tcp {
    /// Whether it is open, and nothing has come that was not read. Costs no system call while nothing has happened; takes nothing
    /// away, and leaves whoever waits for something to come to be woken by it.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        // As it is known to tokio, which is asked by no task: one that has used its turn up would be told of nothing.
        let come = self.0.try_io(Interest::READABLE, || {
            let mut byte = [0];
            Ok(retry_on_intr(|| recv(&self.0, &mut byte, RecvFlags::PEEK))?)
        });
        come.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends by `call`, to which so many bytes are `offered`; ready with how many it took.
    fn poll_send(
        &self,
        offered: usize,
        mut call: impl FnMut(&TcpStream) -> Result<usize, Errno>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            let mut taken = 0;
            let all = self.0.try_io(Interest::WRITABLE, || {
                taken = retry_on_intr(|| call(&self.0))?;
                // There is no more room, and the system tells when there is: nobody need ask before, as tokio does not either.
                if 0 < taken && taken < offered {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Ok(())
            });
            match all {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Poll::Ready(Err(error));
                }
                Err(_) if taken == 0 => {}
                Ok(()) | Err(_) => return Poll::Ready(Ok(taken)),
            }
        }
    }
}

impl AsyncRead for Tcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let all = |stream: &TcpStream| send(stream, bytes, SendFlags::NOSIGNAL);
        self.poll_send(bytes.len(), all, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let parts = parts.get(..MOST_PARTS).unwrap_or(parts);
        let offered = parts.iter().map(|part| part.len()).sum();
        let all = |stream: &TcpStream| {
            let mut nothing = SendAncillaryBuffer::default();
            sendmsg(stream, parts, &mut nothing, SendFlags::NOSIGNAL)
        };
        self.poll_send(offered, all, cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Wake;

    use futures_util::FutureExt;
    use rstest::rstest;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Whoever waits, once it was woken.
    #[derive(Default)]
    struct Sleeper(AtomicBool);

    impl Wake for Sleeper {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// More than the buffers of a connection hold on both its sides.
    const MUCH: usize = 16 << 20;

    async fn pair() -> (Tcp, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap());
        let (near, far) = tokio::join!(near, listener.accept());
        (near.unwrap().into(), far.unwrap().0)
    }

    /// So many bytes of which no two stretches are alike.
    fn bytes(count: usize) -> Vec<u8> {
        let numbers = (0_u32..).flat_map(u32::to_be_bytes);
        numbers.take(count).collect()
    }

    #[rstest]
    #[case::in_one_part(usize::MAX)]
    #[case::in_parts(100_000)]
    #[case::in_more_parts_than_one_call_takes(1000)]
    #[tokio::test]
    async fn all_that_is_written_comes_though_there_is_no_room_at_times(#[case] each: usize) {
        let (mut near, mut far) = pair().await;
        let sent = bytes(MUCH);
        let writing = async {
            let mut rest = &sent[..];
            while !rest.is_empty() {
                let parts = rest.chunks(each).take(2 * MOST_PARTS);
                let parts: Vec<_> = parts.map(io::IoSlice::new).collect();
                rest = &rest[near.write_vectored(&parts).await.unwrap()..];
            }
            near.shutdown().await.unwrap();
        };
        let mut heard = Vec::new();
        let ((), read) = tokio::join!(writing, far.read_to_end(&mut heard));
        read.unwrap();
        assert!(heard == sent);
    }

    #[tokio::test]
    async fn what_is_written_at_once_comes_though_there_is_no_room_at_times() {
        let (mut near, mut far) = pair().await;
        let sent = bytes(MUCH);
        let writing = async {
            near.write_all(&sent).await.unwrap();
            near.shutdown().await.unwrap();
        };
        let mut heard = Vec::new();
        let ((), read) = tokio::join!(writing, far.read_to_end(&mut heard));
        read.unwrap();
        assert!(heard == sent);
    }

    /// What a call says, and what whoever writes is told, with how often it asked.
    #[rstest]
    #[case::all(&[Ok(10)], Some(10), 1)]
    #[case::a_part(&[Ok(4)], Some(4), 1)]
    #[case::nothing_of_nothing(&[Ok(0)], Some(0), 1)]
    #[case::interrupted(&[Err(Errno::INTR), Ok(10)], Some(10), 2)]
    #[case::full(&[Err(Errno::AGAIN)], None, 1)]
    #[tokio::test]
    async fn a_call_is_told_as_it_is(
        #[case] said: &[Result<usize, Errno>],
        #[case] told: Option<usize>,
        #[case] asked: usize,
    ) {
        let (near, _far) = pair().await;
        near.0.writable().await.unwrap();
        let says = RefCell::new(said.iter());
        let send = |_: &TcpStream| *says.borrow_mut().next().expect("nobody asks more often");
        let sent = poll_fn(|cx| near.poll_send(10, send, cx)).now_or_never();
        assert_eq!(sent.map(Result::unwrap), told);
        assert_eq!(said.len() - says.borrow().len(), asked);
    }

    #[tokio::test]
    async fn where_there_was_room_for_a_part_nobody_asks_again_before_there_is_more() {
        let (near, _far) = pair().await;
        near.0.writable().await.unwrap();
        let part = poll_fn(|cx| near.poll_send(10, |_| Ok(4), cx)).now_or_never();
        assert_eq!(part.map(Result::unwrap), Some(4));
        let next = poll_fn(|cx| near.poll_send(6, |_| panic!("nobody asks"), cx));
        assert!(next.now_or_never().is_none());
    }

    #[tokio::test]
    async fn whoever_has_gone_is_told_as_an_error() {
        let (mut near, far) = pair().await;
        // Closed over what was not read: a reset.
        near.write_all(b"unread").await.unwrap();
        far.readable().await.unwrap();
        drop(far);
        let mut byte = [0];
        let read = near.read(&mut byte).await.unwrap_err();
        assert_eq!(read.kind(), io::ErrorKind::ConnectionReset);
        let written = near.write(b"more").await.unwrap_err();
        assert_eq!(written.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn what_has_come_is_seen_and_stays_there() {
        let (mut near, mut far) = pair().await;
        assert!(near.is_quiet());
        far.write_all(b"x").await.unwrap();
        near.0.readable().await.unwrap();
        assert!(!near.is_quiet() && !near.is_quiet());
        let mut byte = [0];
        near.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"x");
        // A read that filled its room does not know whether there is more.
        assert!(near.is_quiet());
        far.shutdown().await.unwrap();
        near.0.readable().await.unwrap();
        assert!(!near.is_quiet() && !near.is_quiet());
    }

    #[tokio::test]
    async fn a_reset_connection_is_not_quiet() {
        let (mut near, far) = pair().await;
        near.write_all(b"unread").await.unwrap();
        far.readable().await.unwrap();
        drop(far);
        near.0.readable().await.unwrap();
        assert!(!near.is_quiet());
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_though_somebody_else_has_looked() {
        let (mut near, mut far) = pair().await;
        let sleeper = Arc::<Sleeper>::default();
        let mut byte = [0];
        let read = Pin::new(&mut near).poll_read(
            &mut Context::from_waker(&Arc::clone(&sleeper).into()),
            &mut ReadBuf::new(&mut byte),
        );
        assert!(read.is_pending());
        assert!(near.is_quiet());
        far.write_all(b"x").await.unwrap();
        near.0.readable().await.unwrap();
        assert!(sleeper.0.load(Ordering::Relaxed));
    }
}
