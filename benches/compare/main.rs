//! What the same job costs nginx, `HAProxy`, Envoy and keyward, and what a relay costs that does none of it: one table; and
//! what was wanted of keyward beside what came of it: another, of the same run.
//!
//! Every proxy is a process of one worker, pinned to the first core; callers and the model server share the second. Where
//! a row says so it is of two workers, on both cores. The proxies take turns, round by round, and what counts are the ratios
//! within a round. The cost is the time on a core of all threads of the proxy's processes over the calls that were answered
//! as they should be; keyward runs with everything switched on that it has by default. Run with `cargo bench --bench compare`,
//! shorter with `-- quick`, the jobs alone with `-- jobs`, alone the sets of 1 k to 1 M keys with `-- keys`, and alone what no
//! other proxy is asked with `-- ours`; another build of keyward is compared when its path is named, as
//! `-- target/dist/keyward`. With `-- train` keyward alone does every job once: from that `deploy/pgo.sh` learns which ways of the
//! program calls take.

#[path = "../support/address.rs"]
mod address;
mod aims;
mod counts;
mod cpu;
mod load;
mod model;
mod ours;
mod peers;
#[path = "../../tests/it/support/postgres.rs"]
#[expect(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "shared with the tests"
)]
mod postgres;
mod row;
mod sets;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with `admission`")]
mod support;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aims::{Aims, Ours};
use load::Ask;
use peers::{Kind, Listens, Peer, World};
use row::Row;
use rustix::thread::{CpuSet, sched_setaffinity};
use table::{Rounds, Table};

/// How long a way is tried, and how often.
#[derive(Clone, Copy)]
struct Length {
    round: Duration,
    rounds: usize,
}

/// How the proxies are started, one after the other: how callers speak to them, on how many workers.
const STARTS: [(Listens, usize); 4] = [
    (Listens::Plain, 1),
    (Listens::Http2, 1),
    (Listens::Tls, 1),
    (Listens::Plain, 2),
];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let asked = |word: &str| arguments.iter().any(|argument| argument == word);
    let length = if asked("quick") || asked("train") {
        Length {
            round: Duration::from_millis(200),
            rounds: 3,
        }
    } else {
        Length {
            round: Duration::from_millis(600),
            rounds: 9,
        }
    };
    // Inherited by every thread that is started from here on.
    let mut second = CpuSet::new();
    second.set(1);
    if sched_setaffinity(None, &second).is_err() {
        tell("There is no second core: proxies and callers share the first.");
    }
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/compare");
    let got = Command::new("sh")
        .arg("benches/compare/tools.sh")
        .arg(&tools)
        .status();
    assert!(got.is_ok(), "there is a shell");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let epoch = Instant::now();
    let directory = tempfile::tempdir().expect("a directory");
    let trust = certify(directory.path());
    let mut world = World {
        place: directory.path().to_owned(),
        tools,
        keyward: program(&arguments),
        model: model::start(epoch),
        keys: 1000,
        workers: 1,
        under: Vec::new(),
        store: None,
        trust,
    };
    let kinds: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| *kind == Kind::Keyward || !asked("train"))
        .filter(|kind| {
            let version = kind.version(&world);
            let found = version.is_some();
            let told = version.unwrap_or_else(|| "cannot be run here".to_owned());
            tell(&format!("{}: {told}", kind.name()));
            found
        })
        .collect();
    let mut table = Table::new(&kinds);
    let mut seen = Ours::default();
    let is_all = !["keys", "jobs", "ours", "train"].into_iter().any(asked);
    if is_all || asked("jobs") || asked("train") {
        runtime.block_on(jobs(&mut world, &kinds, length, epoch, &mut table));
    }
    if is_all || asked("keys") {
        seen.growth = runtime.block_on(sets::measure(&mut world, &kinds, length, &mut table));
    }
    if is_all || asked("ours") {
        runtime.block_on(alone(&mut world, &mut seen));
        seen.verification = ours::verification();
    }
    tell(&table.to_string());
    tell(&Aims::of(&table, &seen).to_string());
    if let Some(each) = seen.refusal_instructions {
        tell(&format!(
            "A refusal of an unknown key: {each:.0} instructions of the whole program."
        ));
    }
}

/// What keyward alone is asked, as a process.
async fn alone(world: &mut World, seen: &mut Ours) {
    (world.keys, world.workers) = (1000, 1);
    seen.instructions = counts::instructions(world, Ask::Small { keys: 1 }).await;
    let refusal = Ask::Unknown { keys: 1 };
    seen.refusal_instructions = counts::instructions(world, refusal).await;
    world.keys = sets::MILLION;
    seen.starts = ours::starts(world).await;
}

/// The program of ours that is named, or the one that was built with this.
fn program(arguments: &[String]) -> PathBuf {
    let named = arguments
        .iter()
        .skip(1)
        .find(|argument| argument.contains('/'));
    let program = named.map_or(env!("CARGO_BIN_EXE_keyward"), String::as_str);
    fs::canonicalize(program).expect("there is such a program")
}

/// Every row, with a thousand keys.
async fn jobs(
    world: &mut World,
    kinds: &[Kind],
    length: Length,
    epoch: Instant,
    table: &mut Table,
) {
    for (listens, workers) in STARTS {
        world.workers = workers;
        let mut peers = Vec::new();
        for kind in kinds {
            let peer = kind.start(world, listens).await;
            if peer.is_none() && kind.speaks(listens) {
                tell(&format!(
                    "{}: does not do the job ({listens:?})",
                    kind.name()
                ));
            }
            peers.push(peer);
        }
        let is_meant = |row: &Row| row.listens() == listens && row.workers() == workers;
        for row in Row::ALL.into_iter().filter(is_meant) {
            let mut rounds: Vec<Vec<Option<Vec<f64>>>> = Vec::new();
            for _ in 0..length.rounds {
                let mut round = Vec::new();
                for peer in &peers {
                    round.push(match peer {
                        Some(peer) => row.measure(peer, world, length.round, epoch).await,
                        None => None,
                    });
                }
                rounds.push(round);
            }
            for (place, what) in row.what().iter().enumerate() {
                let of = |peer: &Option<Vec<f64>>| peer.as_ref()?.get(place).copied();
                let values = rounds.iter().map(|round| round.iter().map(of).collect());
                table.add(what, values.collect());
            }
        }
        if (listens, workers) == STARTS[0] {
            let started = single(&peers, |peer| peer.started_in.as_secs_f64() * 1e3);
            table.add("start to the first allowed call, ms", started);
            let memory = single(&peers, |peer| mebibytes(cpu::memory(peer.pid())));
            table.add("memory after all that, MiB", memory);
            let mut counted = Vec::new();
            for peer in &peers {
                counted.push(match peer {
                    Some(peer) => counts::system_calls(peer, world).await,
                    None => None,
                });
            }
            table.add(row::SYSTEM_CALLS, vec![counted]);
        }
    }
}

/// What is looked at once.
fn single(peers: &[Option<Peer>], look: impl Fn(&Peer) -> f64) -> Rounds {
    vec![peers.iter().map(|peer| peer.as_ref().map(&look)).collect()]
}

#[expect(clippy::cast_precision_loss, reason = "far less than 2^52 bytes")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Writes a certificate of `localhost` for every proxy: what callers trust, who then make every handshake anew.
fn certify(place: &Path) -> Arc<rustls::ClientConfig> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let write =
        |name: &str, text: &str| fs::write(place.join(name), text).expect("the directory is ours");
    write("tls.crt", &certificate);
    write("tls.key", &key);
    write("both.pem", &format!("{certificate}{key}"));
    let ours = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(place.join("tls.key"), ours).expect("the file is ours");
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(made.cert.der().clone())
        .expect("it is well-formed");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows them");
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

#[expect(clippy::print_stdout, reason = "a bench tells its figures")]
fn tell(text: &str) {
    println!("{text}");
}
