//! What many sidecars on one Postgres promise, measured: a throw-away server, and sidecars as real processes.
//!
//! Every part prints a table in Markdown. Run all with `cargo bench --bench drill`, or some by name with `cargo bench
//! --bench drill -- revoke interleavings outages sealed followers restart`. A number makes it a shorter drill: `-- 20 revoke`
//! has a tenth of the usual trials, lives, seconds and calls. Needs the binaries of a Postgres.

use std::time::Duration;

#[path = "../support/address.rs"]
mod address;
mod detour;
mod fleet;
mod followers;
mod interleavings;
mod load;
mod outages;
#[path = "../../tests/it/support/postgres.rs"]
#[expect(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "shared with the tests"
)]
mod postgres;
mod restart;
mod revoke;
mod sealed;
#[path = "../support/wire.rs"]
mod wire;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let parts = [
        "revoke",
        "interleavings",
        "outages",
        "sealed",
        "followers",
        "restart",
    ];
    let asked: Vec<&str> = parts
        .into_iter()
        .filter(|part| args.iter().any(|arg| arg == part))
        .collect();
    // Of 200: as many trials, and everything else in proportion.
    let share = args.iter().find_map(|arg| arg.parse().ok());
    let share = share.unwrap_or(200);
    for part in if asked.is_empty() { &parts[..] } else { &asked } {
        match *part {
            "revoke" => revoke::run(share).await,
            "interleavings" => interleavings::run(share).await,
            "outages" => outages::run(share).await,
            "sealed" => sealed::run().await,
            "restart" => restart::run(share).await,
            _ => followers::run().await,
        }
    }
}

/// The median, the 99th of a hundred, and the longest.
fn percentiles(times: &mut [Duration]) -> [Duration; 3] {
    times.sort_unstable();
    let last = times.len() - 1;
    [50, 99, 100].map(|share| times[(times.len() * share / 100).min(last)])
}

#[expect(clippy::print_stdout, reason = "a bench tells its figures")]
fn tell(figures: &str) {
    println!("{figures}");
}
