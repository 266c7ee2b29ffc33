//! What the same job costs nginx, `HAProxy`, Envoy and keyward, and what a relay costs that does none of it: one table.
//!
//! Every proxy is a process of one worker, pinned to the first core; callers and the model server share the second. In the
//! last rows it is of two workers, on both cores. The proxies take turns, round by round, and what counts are the ratios
//! within a round. The cost is the time on a core of all threads of the proxy's processes over the calls that were answered
//! as they should be; keyward runs with everything switched on that it has by default. Run with `cargo bench --bench compare`,
//! shorter with `-- quick`, the jobs alone with `-- jobs`, and alone the sets of 1 k, 100 k and 1 M keys with `-- keys`; another
//! build of keyward is compared when its path is named, as `-- target/dist/keyward`. With `-- train` keyward alone does every
//! job once: from that `deploy/pgo.sh` learns which ways of the program calls take.

#[path = "../support/address.rs"]
mod address;
mod cpu;
mod load;
mod model;
mod peers;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use load::{Ask, Caller, Done, Target};
use peers::{Kind, Listens, Peer, World};
use rustix::thread::{CpuSet, sched_setaffinity};
use table::{Cells, Table};

/// How long a way is tried, and how often.
#[derive(Clone, Copy)]
struct Length {
    round: Duration,
    rounds: usize,
}

/// One row: what is done to every proxy in turn.
#[derive(Clone, Copy)]
enum Row {
    Forward {
        callers: usize,
    },
    /// On two workers.
    Wide,
    Refuse,
    Rate,
    Big,
    Events,
    Fresh,
    Http2,
    Tls,
    Handshake,
}

const ROWS: [Row; 11] = [
    Row::Forward { callers: 64 },
    Row::Forward { callers: 1 },
    Row::Refuse,
    Row::Rate,
    Row::Big,
    Row::Events,
    Row::Fresh,
    Row::Http2,
    Row::Tls,
    Row::Handshake,
    Row::Wide,
];

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
    if !asked("keys") {
        runtime.block_on(jobs(&mut world, &kinds, length, epoch, &mut table));
    }
    if !asked("jobs") && !asked("train") {
        runtime.block_on(sets_of_keys(&mut world, &kinds, length, &mut table));
    }
    tell(&table.to_string());
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
        for row in ROWS.into_iter().filter(is_meant) {
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
                let values = rounds.iter().map(|round| {
                    let of = |values: &Vec<f64>| values.get(place).copied();
                    round
                        .iter()
                        .map(|peer| peer.as_ref().and_then(of))
                        .collect()
                });
                table.add(what, &Cells::of(&values.collect::<Vec<_>>()));
            }
        }
        if (listens, workers) == STARTS[0] {
            let of = |what: &dyn Fn(&Peer) -> f64| {
                Cells::of(&[peers.iter().map(|peer| peer.as_ref().map(what)).collect()])
            };
            table.add(
                "start to the first allowed call, ms",
                &of(&|peer| peer.started_in.as_secs_f64() * 1e3),
            );
            table.add(
                "memory after all that, MiB",
                &of(&|peer| mebibytes(cpu::memory(peer.pid()))),
            );
        }
    }
}

/// A forward, the start and the memory with ever larger sets of keys. Envoy takes no large ones, a relay none.
async fn sets_of_keys(world: &mut World, kinds: &[Kind], length: Length, table: &mut Table) {
    world.workers = 1;
    for keys in [1_000, 100_000, 1_000_000] {
        world.keys = keys;
        let mut peers = Vec::new();
        for kind in kinds {
            peers.push(match kind {
                Kind::Envoy | Kind::Relay => None,
                kind => kind.start(world, Listens::Plain).await,
            });
        }
        let mut rounds = Vec::new();
        for _ in 0..length.rounds {
            let mut round = Vec::new();
            for peer in &peers {
                let row = Row::Forward { callers: 64 };
                let values = match peer {
                    Some(peer) => row.measure(peer, world, length.round, Instant::now()).await,
                    None => None,
                };
                round.push(values.and_then(|values| values.first().copied()));
            }
            rounds.push(round);
        }
        table.add(
            &format!("{keys} keys: forward, CPU µs/call"),
            &Cells::of(&rounds),
        );
        let of = |what: &dyn Fn(&Peer) -> f64| {
            Cells::of(&[peers.iter().map(|peer| peer.as_ref().map(what)).collect()])
        };
        let start = of(&|peer| peer.started_in.as_secs_f64());
        table.add(
            &format!("{keys} keys: start to the first allowed call, s"),
            &start,
        );
        let memory = of(&|peer| mebibytes(cpu::memory(peer.pid())));
        table.add(&format!("{keys} keys: memory, MiB"), &memory);
    }
}

impl Row {
    const fn listens(self) -> Listens {
        match self {
            Self::Http2 => Listens::Http2,
            Self::Tls | Self::Handshake => Listens::Tls,
            _ => Listens::Plain,
        }
    }

    const fn workers(self) -> usize {
        match self {
            Self::Wide => 2,
            _ => 1,
        }
    }

    /// The names of the values that [`Row::measure`] gives.
    const fn what(self) -> &'static [&'static str] {
        match self {
            Self::Forward { callers: 1 } => &[
                "forward, 1 connection, CPU µs/call",
                "forward, 1 connection, calls/s",
            ],
            Self::Forward { .. } => &[
                "forward, 64 connections, CPU µs/call",
                "forward, 64 connections, calls/s",
            ],
            Self::Wide => &[
                "forward, 64 connections, two workers, CPU µs/call",
                "forward, 64 connections, two workers, calls/s",
            ],
            Self::Refuse => &["refuse an unknown key, CPU µs/call"],
            Self::Rate => &["2,000 calls/s: p50 µs", "2,000 calls/s: p99 µs"],
            Self::Big => &["1 MiB answers, CPU ms/GB"],
            Self::Events => &["an event of a stream under way, p50 µs", "the same, p99 µs"],
            Self::Fresh => &["a connection for each call, CPU µs/call"],
            Self::Http2 => &["HTTP/2, 4 connections of 16 calls, CPU µs/call"],
            Self::Tls => &["TLS 1.3 kept alive, 64 connections, CPU µs/call"],
            Self::Handshake => &["a TLS 1.3 handshake for each call, CPU µs/call"],
        }
    }

    /// What one round gives; nothing when it was not answered as it should be.
    async fn measure(
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
            Self::Refuse => load::closed(target, Ask::Unknown, 64, time, false).await,
            Self::Big => load::closed(target, Ask::Big, 8, time, false).await,
            Self::Fresh | Self::Handshake => load::closed(target, small, 16, time, true).await,
            Self::Tls | Self::Wide => load::closed(target, small, 64, time, false).await,
            Self::Http2 => load::http2(target, small, 4, 16, time).await.ok()?,
            Self::Rate => return percentiles(load::rated(target, small, 2000, time).await),
            Self::Events => return percentiles(events(target, epoch).await?),
        };
        let cost = cpu::cpu(peer.pid()).saturating_sub(before);
        if done.calls == 0 || done.failed > done.calls / 1000 {
            return None;
        }
        let calls = f64::from(u32::try_from(done.calls).ok()?);
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
