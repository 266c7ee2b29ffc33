//! Upstreams below HTTP: one that answers any bytes, and one that never takes a connection.

use std::future::Future;
use std::net::SocketAddr;
use std::thread::JoinHandle;

use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::raw::RawConnection;

/// A TCP server that hands each connection to a script; gone when it is dropped.
#[derive(Debug)]
pub struct RawUpstream {
    address: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl RawUpstream {
    /// Plays `script` on every connection that comes; the connection closes when the script is over.
    pub fn start<S, F>(script: S) -> Self
    where
        S: Fn(RawConnection) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener =
            std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        listener
            .set_nonblocking(true)
            .expect("a new socket takes options");
        let address = listener.local_addr().expect("a listener has an address");
        let (end, ended) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime starts").block_on(async {
                let listener = TcpListener::from_std(listener).expect("the runtime takes it");
                tokio::select! {
                    biased;
                    _ = ended => {}
                    never = play(&listener, script) => match never {},
                }
            });
        });
        Self {
            address,
            end: Some(end),
            thread: Some(thread),
        }
    }

    /// Answers the first request of every connection with these bytes, and closes.
    pub fn answering(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::start(move |mut connection| {
            let bytes = bytes.clone();
            async move {
                if let Some(head) = connection.try_read_head().await {
                    connection.read_body(&head).await;
                    // The other side may have heard enough before the end.
                    drop(connection.try_write(&bytes).await);
                }
            }
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:port`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn play<S, F>(listener: &TcpListener, script: S) -> std::convert::Infallible
where
    S: Fn(RawConnection) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let mut scripts = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(ended) = scripts.join_next() => ended.expect("a script's wishes come true"),
            stream = listener.accept() => {
                let (stream, _) = stream.expect("loopback accepts");
                scripts.spawn(script(RawConnection::over(stream)));
            }
        }
    }
}

impl Drop for RawUpstream {
    fn drop(&mut self) {
        self.end.take();
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(matches!(ended, Some(Ok(()))), "a script panicked");
        }
    }
}

/// A port where connecting neither succeeds nor fails: its queue is full, and nobody takes anything from it.
#[derive(Debug)]
pub struct BlackHole {
    address: SocketAddr,
    _listener: Socket,
    _queued: Vec<Socket>,
}

impl BlackHole {
    pub fn open() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket is made");
        let free_port = SocketAddr::from(([127, 0, 0, 1], 0));
        listener
            .bind(&free_port.into())
            .expect("loopback has a free port");
        listener.listen(0).expect("a bound socket listens");
        let address = listener.local_addr().expect("a listener has an address");
        let queued = (0..8).map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket is made");
            socket
                .set_nonblocking(true)
                .expect("a new socket takes options");
            // "In progress" is what is wanted.
            drop(socket.connect(&address));
            socket
        });
        Self {
            _queued: queued.collect(),
            address: address.as_socket().expect("it was bound to one"),
            _listener: listener,
        }
    }

    /// Where nobody answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
