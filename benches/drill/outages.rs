//! What callers notice while the database stops, dies, freezes or restarts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;

use crate::fleet::{Fleet, Sidecar, nobodys};
use crate::load::{Call, Load};
use crate::{percentiles, tell};

const CALLS_PER_SECOND: u32 = 5_000;
/// Calls with keys that nobody has made, which memory cannot answer for while the database is away.
const UNKNOWN_PER_SECOND: u32 = 50;
const QUIET_PER_SHARE: Duration = Duration::from_millis(100);
/// How long the database is away: a minute in a full drill.
const AWAY_PER_SHARE: Duration = Duration::from_millis(300);
/// From then on an instance knows that it has lost the database.
const NOTICED: Duration = Duration::from_secs(5);
const QUERIES: &str = "keyward_store_query_duration_seconds_count";

/// What is done to the database.
#[derive(Debug, Clone, Copy)]
enum Outage {
    Stopped,
    Killed,
    Paused,
    Restarted,
}

impl Outage {
    fn name(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Killed => "killed",
            Self::Paused => "paused (SIGSTOP)",
            Self::Restarted => "restarted",
        }
    }
}

/// Every outage, with what came before it and after it.
pub async fn run(share: u32) {
    let (quiet, away) = (share * QUIET_PER_SHARE, share * AWAY_PER_SHARE);
    let fleet = Fleet::start(3, "").await;
    let mut known = Vec::new();
    for _ in 0..1_000 {
        known.push(fleet.keys.create(&["llama"]).await.text);
    }
    let addresses: Vec<SocketAddr> = fleet.sidecars.iter().map(|each| each.proxy).collect();
    let load = Load::start(&addresses, &known, CALLS_PER_SECOND);
    let unknown = Load::start(&addresses, &nobodys(1_000), UNKNOWN_PER_SECOND);
    let mut phases = Vec::new();
    let begin = |phases: &mut Vec<String>, name: String| {
        phases.push(name);
        load.phase(phases.len());
        unknown.phase(phases.len());
    };
    begin(&mut phases, "before".to_owned());
    sleep(quiet).await;
    let mut recoveries = Vec::new();
    for outage in [
        Outage::Stopped,
        Outage::Killed,
        Outage::Paused,
        Outage::Restarted,
    ] {
        let name = outage.name();
        begin(&mut phases, format!("{name}: the first {NOTICED:.0?}"));
        let before: Vec<f64> = queries(&fleet.sidecars).await;
        take_away(&fleet, outage);
        sleep(NOTICED).await;
        if !matches!(outage, Outage::Restarted) {
            begin(&mut phases, format!("{name}: {away:.0?}"));
            sleep(away).await;
        }
        let at_the_end = queries(&fleet.sidecars).await;
        begin(&mut phases, format!("coming back, and {quiet:.0?} after"));
        bring_back(&fleet, outage);
        sleep(Duration::from_secs(1)).await;
        let after = queries(&fleet.sidecars).await;
        let most = |from: &[f64], to: &[f64]| {
            let each = from.iter().zip(to).map(|(from, to)| to - from);
            each.fold(0.0, f64::max)
        };
        recoveries.push(format!(
            "| {name} | {:.0} | {:.0} |",
            most(&before, &at_the_end),
            most(&at_the_end, &after)
        ));
        sleep(quiet).await;
    }
    print(&phases, &load.end(), &unknown.end());
    tell(
        "\n| the database was | queries by the busiest sidecar meanwhile | by the busiest in the first second after |\n\
         |---|---|---|",
    );
    for line in &recoveries {
        tell(line);
    }
}

async fn queries(sidecars: &[Sidecar]) -> Vec<f64> {
    join_all(sidecars.iter().map(|sidecar| sidecar.metric(QUERIES))).await
}

fn take_away(fleet: &Fleet, outage: Outage) {
    match outage {
        Outage::Stopped => fleet.postgres.stop(),
        Outage::Killed => fleet.postgres.kill(),
        Outage::Paused => fleet.postgres.pause(),
        Outage::Restarted => {
            fleet.postgres.stop();
            fleet.postgres.start_again();
        }
    }
}

fn bring_back(fleet: &Fleet, outage: Outage) {
    match outage {
        Outage::Stopped | Outage::Killed => fleet.postgres.start_again(),
        Outage::Paused => fleet.postgres.resume(),
        Outage::Restarted => {}
    }
}

fn print(phases: &[String], known: &[Call], unknown: &[Call]) {
    tell(&format!(
        "\n## Outages under {CALLS_PER_SECOND} calls/s of 1,000 known keys, and {UNKNOWN_PER_SECOND} calls/s of unknown ones\n\n\
         | the database | calls | 401 | ≥ 500 or none | p50 | p99 | max | unknown keys |\n|---|---|---|---|---|---|---|---|"
    ));
    for (number, name) in (1..).zip(phases) {
        let here = |call: &&Call| call.phase == number;
        let mut times: Vec<Duration> = Vec::new();
        let (mut refused, mut failed) = (0, 0);
        for call in known.iter().filter(here) {
            times.push(call.took);
            refused += u32::from(call.status == 401);
            failed += u32::from(call.status == 0 || call.status >= 500);
        }
        let mut answers: BTreeMap<u16, u32> = BTreeMap::new();
        for call in unknown.iter().filter(here) {
            *answers.entry(call.status).or_default() += 1;
        }
        let calls = times.len();
        let [p50, p99, max] = percentiles(&mut times);
        tell(&format!(
            "| {name} | {calls} | {refused} | {failed} | {p50:.0?} | {p99:.1?} | {max:.1?} | {answers:?} |"
        ));
    }
}
