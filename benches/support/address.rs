//! Where nobody listens.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// An address of loopback that was free a moment ago.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.local_addr().expect("a listener has an address")
}
