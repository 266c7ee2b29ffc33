//! A forward, the start and the memory with ever larger sets of keys. Envoy takes no large ones, a relay none.

use std::time::Instant;

use crate::peers::{Kind, Listens, Peer, World};
use crate::row::Row;
use crate::table::{Rounds, Table, median};
use crate::{Length, cpu, mebibytes, single};

pub const MILLION: usize = 1_000_000;
const SIZES: [usize; 4] = [1_000, 10_000, 100_000, MILLION];

/// The name of the row about memory with so many keys.
pub fn memory(keys: usize) -> String {
    format!("{keys} keys: memory, MiB")
}

/// Adds their rows; what a call costs keyward with the largest set, of what it costs another that has the smallest: the
/// median of the rounds.
pub async fn measure(
    world: &mut World,
    kinds: &[Kind],
    length: Length,
    table: &mut Table,
) -> Option<f64> {
    world.workers = 1;
    let mut smallest: Option<Peer> = None;
    let mut growth = None;
    for keys in SIZES {
        world.keys = keys;
        let mut peers = Vec::new();
        for kind in kinds {
            peers.push(match kind {
                Kind::Envoy | Kind::Relay => None,
                kind => kind.start(world, Listens::Plain).await,
            });
        }
        let (mut rounds, mut ratios) = (Rounds::new(), Vec::new());
        for _ in 0..length.rounds {
            let mut round = Vec::new();
            for peer in &peers {
                round.push(forward(peer.as_ref(), world, length).await);
            }
            if keys == MILLION {
                world.keys = SIZES[0];
                let small = forward(smallest.as_ref(), world, length).await;
                world.keys = keys;
                let large = kinds.iter().position(|kind| *kind == Kind::Keyward);
                let large = large.and_then(|place| round[place]);
                ratios.extend(large.zip(small).map(|(large, small)| large / small));
            }
            rounds.push(round);
        }
        growth = median(&mut ratios);
        table.add(&format!("{keys} keys: forward, CPU µs/call"), rounds);
        let start = single(&peers, |peer| peer.started_in.as_secs_f64());
        table.add(
            &format!("{keys} keys: start to the first allowed call, s"),
            start,
        );
        let sizes = single(&peers, |peer| mebibytes(cpu::memory(peer.pid())));
        table.add(&memory(keys), sizes);
        if smallest.is_none() {
            let mut ours = kinds.iter().zip(peers);
            let ours = ours.find(|(kind, _)| **kind == Kind::Keyward);
            smallest = ours.and_then(|(_, peer)| peer);
        }
    }
    growth
}

async fn forward(peer: Option<&Peer>, world: &World, length: Length) -> Option<f64> {
    let row = Row::Forward { callers: 64 };
    let values = row.measure(peer?, world, length.round, Instant::now());
    values.await?.first().copied()
}
