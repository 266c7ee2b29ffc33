//! A way to the database that can be blocked without anybody being told.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Hands bytes on in both directions, or swallows them while it is blocked: connections stay open and are even
/// accepted, and nothing arrives.
pub struct Detour {
    address: SocketAddr,
    blocked: watch::Sender<bool>,
    _passing: JoinSet<()>,
}

impl Detour {
    /// Leads to `target`.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (blocked, is_blocked) = watch::channel(false);
        let mut passing = JoinSet::new();
        passing.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                connections.spawn(join(near, target, is_blocked.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            blocked,
            _passing: passing,
        }
    }

    /// Where it begins.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Blocks it, or opens it again. What was swallowed stays lost: a connection that was blocked never hands on again.
    pub fn block(&self, blocked: bool) {
        self.blocked.send_replace(blocked);
    }
}

async fn join(near: TcpStream, target: SocketAddr, blocked: watch::Receiver<bool>) {
    // The database may be away.
    let Ok(far) = TcpStream::connect(target).await else {
        return;
    };
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    tokio::select! {
        () = hand_on(near_read, far_write, blocked.clone()) => {}
        () = hand_on(far_read, near_write, blocked) => {}
    }
}

async fn hand_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, blocked: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 * 1024];
    let mut is_deaf = false;
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        is_deaf |= *blocked.borrow();
        if !is_deaf && to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
