//! The rows: what is done to every proxy in turn, and what one round of it gives.

use std::time::{Duration, Instant};

use crate::load::{self, Ask, Caller, Done, Target};
use crate::peers::{Listens, Peer, World};
use crate::{cpu, mebibytes};

pub const FORWARD: &str = "forward, 64 connections, CPU µs/call";
pub const WIDE: &str = "forward, 64 connections, two workers, CPU µs/call";
pub const ONE_CALLS: &str = "forward, 1 connection, calls/s";
pub const REFUSE: &str = "refuse an unknown key, CPU µs/call";
pub const P50: &str = "2,000 calls/s: p50 µs";
pub const P99: &str = "2,000 calls/s: p99 µs";
pub const BIG: &str = "1 MiB answers, CPU ms/GB";
pub const EVENT: &str = "an event of a stream under way, p50 µs";
pub const HTTP2: &str = "HTTP/2, 4 connections of 16 calls, CPU µs/call";
pub const TLS: &str = "TLS 1.3 kept alive, 64 connections, CPU µs/call";
pub const HANDSHAKE: &str = "a TLS 1.3 handshake for each call, CPU µs/call";
pub const SYSTEM_CALLS: &str = "forward, 64 connections, system calls/call";

/// One row, or two that are measured together.
#[derive(Clone, Copy)]
pub enum Row {
    Forward {
        callers: usize,
    },
    /// On two workers.
    Wide,
    Refuse,
    /// A key of the form of ours, and with a checksum that is wrong: told without a look.
    Malformed,
    Rate,
    Big,
    Events,
    Fresh,
    Http2,
    Tls,
    Handshake,
}

impl Row {
    pub const ALL: [Self; 12] = [
        Self::Forward { callers: 64 },
        Self::Forward { callers: 1 },
        Self::Refuse,
        Self::Malformed,
        Self::Rate,
        Self::Big,
        Self::Events,
        Self::Fresh,
        Self::Http2,
        Self::Tls,
        Self::Handshake,
        Self::Wide,
    ];

    pub const fn listens(self) -> Listens {
        match self {
            Self::Http2 => Listens::Http2,
            Self::Tls | Self::Handshake => Listens::Tls,
            _ => Listens::Plain,
        }
    }

    pub const fn workers(self) -> usize {
        match self {
            Self::Wide => 2,
            _ => 1,
        }
    }

    /// The names of the values that [`Row::measure`] gives.
    pub const fn what(self) -> &'static [&'static str] {
        match self {
            Self::Forward { callers: 1 } => &["forward, 1 connection, CPU µs/call", ONE_CALLS],
            Self::Forward { .. } => &[FORWARD, "forward, 64 connections, calls/s"],
            Self::Wide => &[WIDE, "forward, 64 connections, two workers, calls/s"],
            Self::Refuse => &[REFUSE],
            Self::Malformed => &["refuse a malformed key, CPU µs/call"],
            Self::Rate => &[P50, P99],
            Self::Big => &[BIG],
            Self::Events => &[EVENT, "the same, p99 µs"],
            Self::Fresh => &["a connection for each call, CPU µs/call"],
            Self::Http2 => &[HTTP2],
            Self::Tls => &[TLS],
            Self::Handshake => &[HANDSHAKE],
        }
    }

    /// What one round gives; nothing when it was not answered as it should be.
    pub async fn measure(
        self,
        peer: &Peer,
        world: &World,
        time: Duration,
        epoch: Instant,
    ) -> Option<Vec<f64>> {
        let before = cpu::cpu(peer.pid());
        let small = Ask::Small { keys: world.keys };
        let target = &peer.target;
        let done: Done = match self {
            Self::Forward { callers } => load::closed(target, small, callers, time, false).await,
            Self::Refuse => {
                let keys = usize::MAX;
                load::closed(target, Ask::Unknown { keys }, 64, time, false).await
            }
            Self::Malformed => load::closed(target, Ask::Malformed, 64, time, false).await,
            Self::Big => load::closed(target, Ask::Big, 8, time, false).await,
            Self::Fresh | Self::Handshake => load::closed(target, small, 16, time, true).await,
            Self::Tls | Self::Wide => load::closed(target, small, 64, time, false).await,
            Self::Http2 => load::http2(target, small, 4, 16, time).await.ok()?,
            Self::Rate => return percentiles(load::rated(target, small, 2000, time).await),
            Self::Events => return percentiles(events(target, epoch).await?),
        };
        let cost = cpu::cpu(peer.pid()).saturating_sub(before);
        let calls = done.answered()?;
        let each = cost.as_secs_f64() * 1e6 / calls;
        Some(match self {
            Self::Big => vec![cost.as_secs_f64() * 1e3 / (mebibytes(done.bytes as u64) / 953.674)],
            _ => vec![each, calls / time.as_secs_f64()],
        })
    }
}

async fn events(target: &Target, epoch: Instant) -> Option<Vec<Duration>> {
    Caller::new(target, Ask::Events, 0).events(epoch).await.ok()
}

fn percentiles(mut times: Vec<Duration>) -> Option<Vec<f64>> {
    times.sort_unstable();
    let at = |share: usize| Some(times.get(times.len() * share / 100)?.as_secs_f64() * 1e6);
    Some(vec![at(50)?, at(99)?])
}
