//! Whether the model server can be reached past keyward.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::uri::Scheme;

use super::Finding;
use crate::upstream::{UpstreamPlan, UpstreamServer};

/// The kernel's lists of TCP sockets, see `proc(5)`.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// A socket that listens.
const LISTENS: &str = "0A";

/// Where else than on loopback somebody listens on the port of a server that is called on loopback.
pub(super) fn look(plan: &UpstreamPlan, server: &UpstreamServer, has_credential: bool) -> Finding {
    let host = server.authority.host().trim_matches(['[', ']']);
    let default = if server.scheme == Scheme::HTTPS {
        443
    } else {
        80
    };
    let port = server.authority.port_u16().unwrap_or(default);
    let is_here = host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let name = format!("{} at {}", plan.name, server.authority);
    if !is_here {
        return if has_credential {
            Finding::ok(
                "exposure",
                format!("{name}: it is called with a credential of ours"),
            )
        } else {
            let found = format!("{name}: it is called over the network, and asks us for nothing");
            let remedy = "close its port to all but keyward, or give it a credential to ask for";
            Finding::warn("exposure", found, remedy)
        };
    }
    let open: Vec<String> = TABLES
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| open_to_others(&table, port))
        .map(|ip| ip.to_string())
        .collect();
    if open.is_empty() {
        return Finding::ok(
            "exposure",
            format!("{name}: nobody listens on that port but on loopback"),
        );
    }
    let found = format!("{name}: its port is open on {}, too", open.join(" and "));
    let remedy =
        "let the model server listen on 127.0.0.1, or close the port: there nobody asks for a key";
    Finding::warn("exposure", found, remedy)
}

/// The addresses in a table of the kernel's, other than loopback, on which somebody listens on `port`.
fn open_to_others(table: &str, port: u16) -> Vec<IpAddr> {
    let sockets = table.lines().skip(1).filter_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (local, _remote, state) = (words.next()?, words.next()?, words.next()?);
        let (address, its_port) = local.split_once(':')?;
        let is_it = state == LISTENS && u16::from_str_radix(its_port, 16) == Ok(port);
        is_it.then(|| address_of(address)).flatten()
    });
    sockets
        .filter(|ip| !ip.to_canonical().is_loopback())
        .collect()
}

/// An address as the kernel writes it: words of 32 bits in this machine's order of bytes.
fn address_of(text: &str) -> Option<IpAddr> {
    let words: Vec<[u8; 4]> = text
        .as_bytes()
        .chunks(8)
        .map(|word| u32::from_str_radix(str::from_utf8(word).ok()?, 16).ok())
        .map(|word| word.map(u32::to_ne_bytes))
        .collect::<Option<_>>()?;
    match *words.as_slice() {
        [word] => Some(Ipv4Addr::from(word).into()),
        [a, b, c, d] => {
            let mut bytes = [0; 16];
            for (place, word) in bytes.chunks_mut(4).zip([a, b, c, d]) {
                place.copy_from_slice(&word);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 00000000:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1
   2: 0500A8C0:1F40 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 3 1
   3: 0500A8C0:1F42 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4 1
";
    const TCP6: &str = "\
  sl  local_address                         remote_address                        st
   0: 00000000000000000000000001000000:1F40 00000000000000000000000000000000:0000 0A 0 0
   1: 00000000000000000000000000000000:1F41 00000000000000000000000000000000:0000 0A 0 0
   2: 0000000000000000FFFF00000100007F:1F42 00000000000000000000000000000000:0000 0A 0 0
";

    #[test]
    #[cfg(target_endian = "little")]
    fn only_what_listens_elsewhere_than_on_loopback_is_open() {
        let four = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(open_to_others(TCP, 8000), Vec::<IpAddr>::new());
        assert_eq!(open_to_others(TCP, 8001), [four("0.0.0.0")]);
        assert_eq!(open_to_others(TCP, 8002), [four("192.168.0.5")]);
        assert_eq!(open_to_others(TCP6, 8000), Vec::<IpAddr>::new());
        assert_eq!(open_to_others(TCP6, 8001), [four("::")]);
        assert_eq!(open_to_others(TCP6, 8002), Vec::<IpAddr>::new());
    }
}
