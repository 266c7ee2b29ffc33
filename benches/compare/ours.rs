//! What keyward alone is asked: how long a verification takes, and a start with a million keys.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::peers::{Kind, Listens, World};
use crate::postgres::Postgres;
use crate::support::{Admission, Draw};
use crate::table::median;

/// How long a verification takes, from the key's text to the permit and the note of its use, in nanoseconds, with 100,000 keys: the
/// median for 512 hot keys, of means of a thousand; and the 99th percentile with Zipf traffic, each with two readings of the clock.
pub fn verification() -> (Option<f64>, Option<f64>) {
    let admission = Admission::with_keys(100_000);
    let hot = admission.requests(Draw::Hot);
    let hot: Vec<_> = hot.all().map(|call| admission.presented(call)).collect();
    let mut times = Vec::new();
    for some in hot.chunks_exact(1000) {
        let began = Instant::now();
        for key in some {
            black_box(admission.verify_llama(black_box(*key)));
        }
        times.push(began.elapsed().as_secs_f64() * 1e6);
    }
    let middle = median(&mut times);
    let zipf = admission.requests(Draw::Zipf);
    let zipf: Vec<_> = zipf.all().map(|call| admission.presented(call)).collect();
    // Not the first calls; and in a second in which no use has been noted yet.
    admission.verifications(&zipf);
    std::thread::sleep(Duration::from_millis(1_100));
    let times = admission.verifications(&zipf);
    let longest = times.get(times.len() * 99 / 100);
    (middle, longest.map(|time| time.as_secs_f64() * 1e9))
}

/// How long a start takes until it is ready with all keys of `world` in memory, on both cores: from `SQLite`, and from a
/// Postgres on the same machine, where there is one.
pub async fn starts(world: &mut World) -> (Option<f64>, Option<f64>) {
    world.workers = 2;
    let sqlite = ready_in(world).await;
    let postgres = match Postgres::own_if_there(&[]) {
        None => None,
        Some(postgres) => {
            let database = postgres.new_database().await;
            world.store = Some(postgres.tcp_url("postgres", &database));
            let took = ready_in(world).await;
            world.store = None;
            took
        }
    };
    (sqlite, postgres)
}

/// From a start until it is ready; the keys are imported before.
async fn ready_in(world: &World) -> Option<f64> {
    let peer = Kind::Keyward.start(world, Listens::Plain).await?;
    let took = peer.ready_in().await?;
    Some(took.as_secs_f64())
}
