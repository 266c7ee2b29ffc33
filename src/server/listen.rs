//! Accepting callers: one listener, and each connection to the worker that has the fewest.

use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::worker::{NewConnection, Worker};
use super::{Addresses, handover};
use crate::config::Config;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;

/// What a caller is told that comes when there is no place left.
pub(super) const fn full(speaks_tls: bool) -> &'static [u8] {
    if speaks_tls { FULL_IN_TLS } else { FULL }
}

/// A fatal alert, `internal_error` (RFC 8446, 6.2): TLS has no word for being full, and no handshake is spent on one.
const FULL_IN_TLS: &[u8] = &[21, 3, 3, 0, 2, 2, 80];
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
    connection: close\r\ncontent-length: 34\r\n\r\n{\"error\":\"too many connections\"}\r\n";

/// A port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {listener}")]
pub struct ListenError {
    /// Where.
    pub address: SocketAddr,
    /// For which listener.
    pub listener: &'static str,
    /// The cause.
    #[source]
    pub cause: io::Error,
}

/// Opens a port.
///
/// # Errors
///
/// When the system will not: the port is taken, or needs a privilege.
fn open(listener: &'static str, address: SocketAddr) -> Result<StdTcpListener, ListenError> {
    let open = || {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        // A restart must not wait for connections of the last run to be forgotten.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(StdTcpListener::from(socket))
    };
    open().map_err(|cause| ListenError {
        address,
        listener,
        cause,
    })
}

/// Sets a listener up as its connections are to be, which have from it what they begin with (on Linux, the options of sockets and of
/// TCP): answers go out at once, and a peer that vanished is found within two minutes.
fn set_up(listener: &StdTcpListener) -> io::Result<()> {
    let socket = SockRef::from(listener);
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(Duration::from_mins(1))
            .with_interval(Duration::from_secs(15))
            .with_retries(4),
    )
}

/// Whether a listener that was given is the one for `address`: any port will do where the system was to choose.
fn is_at(listener: &StdTcpListener, address: SocketAddr) -> bool {
    listener.local_addr().is_ok_and(|given| {
        given.ip() == address.ip() && (address.port() == 0 || given.port() == address.port())
    })
}

/// The listeners of the process.
pub(super) struct Ports {
    pub(super) proxy: StdTcpListener,
    pub(super) admin: StdTcpListener,
    pub(super) probes: StdTcpListener,
}

impl Ports {
    /// The ports of the settings: those of `given` that are there, the others opened.
    pub(super) fn open(
        config: &Config,
        given: Option<[StdTcpListener; handover::LISTENERS]>,
    ) -> Result<Self, ListenError> {
        let mut given = given.into_iter().flatten();
        let mut port = |name, address| {
            let listener = match given.next() {
                Some(listener) if is_at(&listener, address) => listener,
                _ => open(name, address)?,
            };
            set_up(&listener).map_err(|cause| ListenError {
                address,
                listener: name,
                cause,
            })?;
            Ok::<_, ListenError>(listener)
        };
        Ok(Self {
            proxy: port("calls", config.proxy.listen)?,
            admin: port("administration", config.admin.listen)?,
            probes: port("probes", config.probes.listen)?,
        })
    }

    /// The same sockets once more, to be handed over.
    pub(super) fn copies(&self) -> io::Result<[OwnedFd; handover::LISTENERS]> {
        let copy = |listener: &StdTcpListener| listener.try_clone().map(OwnedFd::from);
        Ok([copy(&self.proxy)?, copy(&self.admin)?, copy(&self.probes)?])
    }

    /// Where they are, with the ports that the system chose.
    pub(super) fn addresses(&self) -> io::Result<Addresses> {
        Ok(Addresses {
            proxy: self.proxy.local_addr()?,
            admin: self.admin.local_addr()?,
            probes: self.probes.local_addr()?,
        })
    }
}

/// Accepts callers until stopped, and gives each to the worker with the fewest connections.
///
/// When every place is taken a caller is told so at once, in the words of [`full`], and closed. When the system has no descriptors left the loop
/// waits instead of spinning, and says so once.
pub(super) async fn accept(
    listener: TcpListener,
    workers: Arc<[Worker]>,
    places: Arc<Semaphore>,
    full: &'static [u8],
    stop: CancellationToken,
) {
    let mut trouble = Trouble::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                trouble.wait(&error).await;
                continue;
            }
        };
        trouble.ends();
        let Ok(stream) = stream.into_std() else {
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            refuse(&stream, full);
            continue;
        };
        if let Some(worker) = workers.iter().min_by_key(|worker| worker.burden()) {
            worker.serve(NewConnection {
                stream,
                peer,
                place,
            });
        }
    }
}

/// Says that there is no place, without waiting for anything: the answer fits any socket's buffer.
fn refuse(stream: &TcpStream, words: &[u8]) {
    use std::io::Write;

    let mut stream = stream;
    let _ = stream.write(words);
    let _ = stream.shutdown(std::net::Shutdown::Write);
}

/// Accepting fails: for one connection, or for all because the system has nothing left.
#[derive(Default)]
struct Trouble {
    pause: Option<Duration>,
}

impl Trouble {
    const SHORTEST: Duration = Duration::from_millis(20);
    const LONGEST: Duration = Duration::from_millis(500);

    async fn wait(&mut self, error: &io::Error) {
        // The peer's own doing; the next one may be better.
        if matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::Interrupted
        ) {
            return;
        }
        let pause = match self.pause {
            None => {
                tracing::error!(%error, "no more connections can be accepted; those that are open go on");
                Self::SHORTEST
            }
            Some(pause) => (pause * 2).min(Self::LONGEST),
        };
        self.pause = Some(pause);
        sleep(pause).await;
    }

    fn ends(&mut self) {
        if self.pause.take().is_some() {
            tracing::info!("connections are accepted again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_accepted_has_what_the_listener_was_set_up_with() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = open("calls", address.parse().unwrap()).unwrap();
            set_up(&listener).unwrap();
            let none = listener.accept().unwrap_err();
            assert_eq!(none.kind(), io::ErrorKind::WouldBlock);
            let _caller = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            let socket = SockRef::from(&accepted);
            assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap().as_secs(), 60);
            assert_eq!(socket.tcp_keepalive_interval().unwrap().as_secs(), 15);
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), 4);
        }
    }

    #[test]
    fn the_answer_to_one_too_many_says_its_own_length() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}\r\n", body.len()))
                || head.ends_with(&format!("content-length: {}", body.len()))
        );
    }
}
