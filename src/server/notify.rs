//! Telling the service manager how we are: `sd_notify(3)`, which systemd waits for with `Type=notify`.
//!
//! The protocol is a datagram of `NAME=value` lines to the Unix socket that `NOTIFY_SOCKET` names. Nobody hears it where
//! there is no such variable. What cannot be told is lost: serving does not depend on being heard.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::config::environment;

/// The variable that names the socket.
const SOCKET: &str = "NOTIFY_SOCKET";

/// Whoever started this process and wants to know how it is; or nobody.
pub(super) struct Manager(Option<(UnixDatagram, SocketAddr)>);

impl Manager {
    /// The one that this process was told of.
    pub(super) fn of_process() -> Self {
        let Some(name) = environment::variable(SOCKET) else {
            return Self(None);
        };
        match reach(&name) {
            Ok(reached) => Self(Some(reached)),
            Err(error) => {
                tracing::warn!(%error, "the service manager cannot be told anything");
                Self(None)
            }
        }
    }

    /// Memory is filled, and calls are welcome.
    pub(super) fn ready(&self) {
        self.tell("READY=1\nSTATUS=serving\n");
    }

    /// Settings are read again; [`Manager::ready`] says when that is over.
    pub(super) fn reloading(&self) {
        self.tell("RELOADING=1\nSTATUS=reading settings again\n");
    }

    /// The end has begun.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=requests in flight may finish\n");
    }

    fn tell(&self, words: &str) {
        let Some((socket, address)) = &self.0 else {
            return;
        };
        if let Err(error) = socket.send_to_addr(words.as_bytes(), address) {
            tracing::warn!(%error, "the service manager did not hear us");
        }
    }
}

/// A socket of our own, and the address of the manager's: a path, or an abstract name after `@`.
fn reach(name: &str) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that reads nothing must not hold us up.
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}
