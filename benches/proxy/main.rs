//! What a call costs through keyward, and without it: real sockets, everything switched on.
//!
//! Three ways, in turn, many short rounds: straight to the model server, through keyward, and refused by keyward. Run
//! with `cargo bench --bench proxy`; what counts are the ratios within one run. The CPU time is that of keyward's call
//! threads alone. Then a stream of events, straight and through (`sse`).

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use key::make_key;
use keyward::clock::Clock;
use keyward::config::{Config, Environment, Overrides, Sources};
use keyward::server::Server;
use keyward::telemetry::Telemetry;
use tokio::task::JoinSet;
use wire::{Caller, call, start_model};

#[path = "../support/key.rs"]
mod key;
mod sse;
#[path = "../support/wire.rs"]
mod wire;

const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(700);

fn main() {
    let model = start_model();
    let directory = tempfile::tempdir().expect("a directory");
    let database = format!("sqlite://{}", directory.path().join("keyward.db").display());
    let aside = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let key = aside.block_on(make_key(&database));
    let server = aside.block_on(start_keyward(&database, model));
    let keyward = server.addresses().proxy;
    aside.block_on(until_ready(keyward, &key));

    let ways = [
        Way::new("direct", model, &key),
        Way::new("through", keyward, &key),
        Way::new(
            "refused",
            keyward,
            "kw_AAAAAAAA.BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBCCCCCC",
        ),
    ];
    for connections in [1, 64] {
        compare(&ways, connections);
    }
    aside.block_on(server.close());
    sse::compare(&aside, &database, &key);
}

/// One way to send a call.
struct Way {
    name: &'static str,
    to: SocketAddr,
    request: String,
}

/// What one round gave.
#[derive(Clone, Copy)]
struct Round {
    per_second: f64,
    p50: Duration,
    p99: Duration,
    cpu_per_call: Duration,
}

impl Way {
    fn new(name: &'static str, to: SocketAddr, key: &str) -> Self {
        let request = call("llama", key);
        Self { name, to, request }
    }

    fn round(&self, connections: usize) -> Round {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let cpu_before = call_threads_cpu();
        let begun = Instant::now();
        let mut times = runtime.block_on(async {
            let mut callers = JoinSet::new();
            for _ in 0..connections {
                callers.spawn(call_again_and_again(self.to, self.request.clone()));
            }
            callers.join_all().await.concat()
        });
        let took = begun.elapsed();
        let cpu = call_threads_cpu().saturating_sub(cpu_before);
        times.sort_unstable();
        let calls = u32::try_from(times.len()).expect("a round is short");
        Round {
            per_second: f64::from(calls) / took.as_secs_f64(),
            p50: times[times.len() / 2],
            p99: times[times.len() * 99 / 100],
            cpu_per_call: cpu / calls,
        }
    }
}

fn compare(ways: &[Way; 3], connections: usize) {
    let mut rounds: Vec<[Round; 3]> = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push([0, 1, 2].map(|way: usize| ways[way].round(connections)));
    }
    tell(&format!(
        "{connections} connections, medians of {ROUNDS} rounds"
    ));
    for (place, way) in ways.iter().enumerate() {
        let of = |what: fn(&Round) -> f64| median(rounds.iter().map(|round| what(&round[place])));
        tell(&format!(
            "  {:<8} {:>9.0} calls/s   p50 {:>7.1} µs   p99 {:>8.1} µs   keyward's CPU {:>6.1} µs/call",
            way.name,
            of(|round| round.per_second),
            of(|round| round.p50.as_secs_f64() * 1e6),
            of(|round| round.p99.as_secs_f64() * 1e6),
            of(|round| round.cpu_per_call.as_secs_f64() * 1e6),
        ));
    }
    let ratio = |what: fn(&[Round; 3]) -> f64| median(rounds.iter().map(what));
    tell(&format!(
        "  through ÷ direct: {:.2} of the calls/s, p50 + {:.1} µs;   refused ÷ through: {:.2} of the CPU",
        ratio(|[direct, through, _]| through.per_second / direct.per_second),
        ratio(|[direct, through, _]| (through.p50.as_secs_f64() - direct.p50.as_secs_f64()) * 1e6),
        ratio(|[_, through, refused]| {
            refused.cpu_per_call.as_secs_f64() / through.cpu_per_call.as_secs_f64()
        }),
    ));
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn call_again_and_again(to: SocketAddr, request: String) -> Vec<Duration> {
    let mut caller = Caller::new(to);
    let mut times = Vec::with_capacity(100_000);
    let end = Instant::now() + ROUND;
    while Instant::now() < end {
        let begun = Instant::now();
        let answered = caller.send(request.as_bytes()).await;
        answered.expect("an answer");
        times.push(begun.elapsed());
    }
    times
}

async fn start_keyward(database: &str, model: SocketAddr) -> Server {
    let set =
        |flags: Overrides, path, value: &str| flags.with("bench", path, Some(value.to_owned()));
    let mut flags = Overrides::default();
    for listener in ["proxy.listen", "admin.listen", "probes.listen"] {
        flags = set(flags, listener, "127.0.0.1:0");
    }
    flags = set(flags, "proxy.workers", "1");
    flags = set(flags, "store.url", database);
    flags = set(flags, "upstreams.default.url", &format!("http://{model}"));
    flags = set(flags, "shutdown.delay", "1ms");
    let sources = Sources {
        flags,
        file: None,
        environment: Environment::default(),
    };
    let config = Config::load(&sources).expect("good settings").config;
    let started = Server::start(&config, &Telemetry::new(), Clock::system()).await;
    started.expect("a server")
}

async fn until_ready(keyward: SocketAddr, key: &str) {
    let probe = call("llama", key);
    let mut caller = Caller::new(keyward);
    while caller.send(probe.as_bytes()).await.ok() != Some(200) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The CPU time of keyward's call threads so far, from the scheduler's own account.
fn call_threads_cpu() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let spent = tasks.filter_map(|task| {
        let task = task.ok()?.path();
        let name = std::fs::read_to_string(task.join("comm")).ok()?;
        name.starts_with("keyward-call").then(|| nanos_of(&task))?
    });
    Duration::from_nanos(spent.sum())
}

fn nanos_of(task: &Path) -> Option<u64> {
    let account = std::fs::read_to_string(task.join("schedstat")).ok()?;
    account.split(' ').next()?.parse().ok()
}

#[expect(clippy::print_stdout, reason = "a bench tells its figures")]
fn tell(figures: &str) {
    println!("{figures}");
}
