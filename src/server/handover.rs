//! Handing the listening sockets to the next process, so that an upgrade in place drops no connection.
//!
//! The process that serves listens on a Unix socket of its own. The next one asks there when it starts, and is given the
//! listening sockets themselves (`SCM_RIGHTS`, unix(7)). It fills its memory first and accepts nobody; then it accepts,
//! and says so. From that moment on the first one accepts nobody and closes as it would when told to. A connection that
//! waits meanwhile waits in the socket that both hold, and is lost to neither. A next process that never gets so far
//! changes nothing.

use std::future::pending;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg, sockopt,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// The listeners: for calls, for administration, for probes.
pub(super) const LISTENERS: usize = 3;

/// What the one that serves says with its sockets, and the next one when it accepts.
const HERE_THEY_ARE: &[u8] = b"keyward listeners 1\n";
const I_ACCEPT: &[u8] = b"accepting\n";

/// How long the other process may take to say what it has to say at once.
const AT_ONCE: Duration = Duration::from_secs(5);
/// How long to wait when nobody can be heard, as when the system has no descriptors left.
const PAUSE: Duration = Duration::from_millis(500);

/// The listening sockets could not be handed over.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} at {}", path.display())]
pub struct HandoverError {
    /// What was tried.
    what: &'static str,
    /// Where processes meet.
    path: PathBuf,
    #[source]
    cause: io::Error,
}

/// The process before this one and the one after it, where processes follow one another.
pub(super) struct Turns {
    predecessor: Option<Predecessor>,
    meeting: Option<Meeting>,
}

/// The process that serves until this one does.
struct Predecessor(UnixStream);

/// The next process, which serves now; it is told of our end by this one's.
pub(super) struct Successor(#[expect(dead_code, reason = "its end is what is told")] UnixStream);

/// Where the next process will ask.
struct Meeting {
    listener: UnixListener,
    made_at: PathBuf,
    path: PathBuf,
}

/// Asks at `path` for the listening sockets of the process that serves; `None` when none does.
///
/// # Errors
///
/// When somebody is there and gives nothing that can be used.
async fn ask(
    path: &Path,
) -> Result<Option<([TcpListener; LISTENERS], Predecessor)>, HandoverError> {
    let failed = |cause| HandoverError {
        what: "take over the listening sockets",
        path: path.to_owned(),
        cause,
    };
    let stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    let taken = async {
        is_ours(&stream)?;
        let received = stream.async_io(Interest::READABLE, || receive(&stream));
        timeout(AT_ONCE, received).await?
    };
    let listeners = taken.await.map_err(failed)?;
    Ok(Some((listeners, Predecessor(stream))))
}

impl Turns {
    /// Asks at `path`, if processes follow one another, for the listening sockets of the one that serves.
    ///
    /// # Errors
    ///
    /// When somebody is there and gives nothing that can be used, or nobody could be met there later.
    pub(super) async fn begin(
        path: Option<&Path>,
    ) -> Result<(Self, Option<[TcpListener; LISTENERS]>), HandoverError> {
        let meeting = path.map(Meeting::prepare).transpose()?;
        let (listeners, predecessor) = match path {
            Some(path) => ask(path).await?.unzip(),
            None => (None, None),
        };
        let turns = Self {
            predecessor,
            meeting,
        };
        Ok((turns, listeners))
    }

    /// Lets callers be accepted, by `turn`: at once when nobody serves, and otherwise once we are `ready` to, when whoever
    /// served until now stops.
    pub(super) async fn take(&mut self, ready: impl Future<Output = ()>, turn: CancellationToken) {
        if self.predecessor.is_some() {
            ready.await;
        }
        turn.cancel();
        if let Some(meeting) = &self.meeting {
            meeting.open();
        }
        if let Some(predecessor) = self.predecessor.take() {
            predecessor.relieve().await;
        }
    }

    /// Gives `listeners` to the next process, which goes to `successors` once it accepts callers. Never ends.
    pub(super) async fn hand_over(
        self,
        listeners: [OwnedFd; LISTENERS],
        successors: mpsc::Sender<Successor>,
    ) {
        match self.meeting {
            Some(meeting) => meeting.hand_over(listeners, successors).await,
            None => pending().await,
        }
    }
}

impl Predecessor {
    /// Says that this process accepts callers, and waits until the other does not any more.
    async fn relieve(mut self) {
        let _ = self.0.write_all(I_ACCEPT).await;
        // It says nothing more: what is waited for is its end.
        let _ = timeout(AT_ONCE, self.0.read_u8()).await;
        tracing::info!(
            "the listening sockets were taken over; the process before accepts nobody any more"
        );
    }
}

impl Meeting {
    /// Prepares to hand over at `path`; nobody finds it there before [`Meeting::open`].
    ///
    /// # Errors
    ///
    /// When there is something else, or no socket can be made.
    fn prepare(path: &Path) -> Result<Self, HandoverError> {
        let prepare = || {
            let there = path.symlink_metadata();
            if there.is_ok_and(|there| !there.file_type().is_socket()) {
                return Err(io::Error::other("there is something that is no socket"));
            }
            let mut made_at = path.as_os_str().to_owned();
            made_at.push(format!(".{}", std::process::id()));
            let made_at = PathBuf::from(made_at);
            // Of a process that had our number and did not get far.
            let _ = std::fs::remove_file(&made_at);
            let listener = UnixListener::bind(&made_at)?;
            // Whoever may connect may take the callers.
            std::fs::set_permissions(&made_at, std::fs::Permissions::from_mode(0o600))?;
            Ok(Self {
                listener,
                made_at,
                path: path.to_owned(),
            })
        };
        prepare().map_err(|cause| HandoverError {
            what: "hand the listening sockets over",
            path: path.to_owned(),
            cause,
        })
    }

    /// Lets the next process find this one, in place of the one before. It may ask before it is heard.
    fn open(&self) {
        if let Err(error) = std::fs::rename(&self.made_at, &self.path) {
            let path = self.path.display();
            tracing::error!(%path, %error, "the next process will not find this one");
        }
    }

    /// Gives `listeners` to whoever asks, until one of them has begun to accept: that one goes to `successors`.
    async fn hand_over(self, listeners: [OwnedFd; LISTENERS], successors: mpsc::Sender<Successor>) {
        loop {
            let Ok((mut stream, _)) = self.listener.accept().await else {
                sleep(PAUSE).await;
                continue;
            };
            if let Err(error) = give(&stream, &listeners).await {
                tracing::warn!(%error, "whoever asked for the listening sockets did not get them");
                continue;
            }
            tracing::info!("another process has the listening sockets, and may take over");
            let mut said = [0; I_ACCEPT.len()];
            // It takes as long as it takes to fill its memory. One at a time: the next waits for its end.
            if stream.read_exact(&mut said).await.is_ok() && said == I_ACCEPT {
                // There is room for one, and nobody comes after it.
                let _ = successors.send(Successor(stream)).await;
                pending::<()>().await;
            }
            tracing::warn!("the other process has ended without taking over; this one serves on");
        }
    }
}

impl Drop for Meeting {
    fn drop(&mut self) {
        // Where it was opened, there is nothing left to remove.
        let _ = std::fs::remove_file(&self.made_at);
    }
}

async fn give(stream: &UnixStream, listeners: &[OwnedFd; LISTENERS]) -> io::Result<()> {
    is_ours(stream)?;
    let sent = stream.async_io(Interest::WRITABLE, || {
        let fds = listeners.each_ref().map(AsFd::as_fd);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(LISTENERS))];
        let mut rights = SendAncillaryBuffer::new(&mut space);
        rights.push(SendAncillaryMessage::ScmRights(&fds));
        let words = [IoSlice::new(HERE_THEY_ARE)];
        Ok(sendmsg(stream, &words, &mut rights, SendFlags::NOSIGNAL)?)
    });
    timeout(AT_ONCE, sent).await??;
    Ok(())
}

/// Takes the listening sockets from a message that is there.
fn receive(stream: &UnixStream) -> io::Result<[TcpListener; LISTENERS]> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(LISTENERS))];
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    let mut words = [0; HERE_THEY_ARE.len()];
    let mut buffers = [IoSliceMut::new(&mut words)];
    let received = recvmsg(stream, &mut buffers, &mut rights, RecvFlags::CMSG_CLOEXEC)?;
    let sockets = rights.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
        _ => None,
    });
    let listeners: Vec<_> = sockets.flatten().map(TcpListener::from).collect();
    let strange = || io::Error::new(io::ErrorKind::InvalidData, "it speaks another language");
    if received.bytes != words.len() || words != HERE_THEY_ARE {
        return Err(strange());
    }
    listeners.try_into().map_err(|_| strange())
}

/// Whether the other process is of the same user, or of root: nobody else may take callers, or give them.
fn is_ours(stream: &UnixStream) -> io::Result<()> {
    let theirs = sockopt::socket_peercred(stream)?.uid;
    if theirs == rustix::process::geteuid() || theirs.is_root() {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        "the other process is another user's",
    ))
}
