//! Processes that follow one another under load: a rolling restart, and an upgrade in place. Nothing may fail.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, sleep_until, timeout};

use crate::fleet::{Fleet, is_ready};
use crate::wire::{Caller, call};
use crate::{percentiles, tell};

/// In a full drill, whose share is [`FULL`].
const CALLS_PER_SECOND: u32 = 2_000;
const STREAMS: u32 = 200;
const ROUNDS: u32 = 3;
const FULL: u32 = 200;

const INSTANCES: usize = 2;
/// Connections over which the calls go: each hears many times within the delay that it shall end.
const CALLERS: u32 = 64;
/// A stream: so many events, one each such time.
const EVENTS: usize = 40;
const EVENT_EVERY: Duration = Duration::from_millis(100);
/// How often an instance is asked whether it is ready, as a balancer asks.
const ASK_EVERY: Duration = Duration::from_millis(10);
/// Load without anything else, before and after.
const QUIET: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(30);

/// Both ways to another process, so many times each, under load.
pub async fn run(share: u32) {
    let part = |of: u32| (of * share / FULL).max(1);
    let (rate, streams, rounds) = (part(CALLS_PER_SECOND), part(STREAMS), part(ROUNDS));
    let mut tasks = JoinSet::new();
    let settings = settings(serve_streams(&mut tasks).await);
    let mut fleet = Fleet::start(INSTANCES, &settings).await;
    let key = fleet.keys.create(&["llama"]).await.text;
    let drill = Arc::new(Drill::of(&fleet, key));
    for (place, sidecar) in fleet.sidecars.iter().enumerate() {
        tasks.spawn(follow(Arc::clone(&drill), place, sidecar.probes));
    }
    let mut load = JoinSet::new();
    for number in 0..CALLERS {
        load.spawn(again_and_again(Arc::clone(&drill), number, rate));
    }
    for number in 0..streams {
        load.spawn(stream_after_stream(Arc::clone(&drill), number));
    }

    sleep(QUIET).await;
    for _ in 0..rounds {
        drill.begin(ROLLING);
        for sidecar in &mut fleet.sidecars {
            assert_eq!(sidecar.end().await, Some(0), "{}", sidecar.log());
            sidecar.start();
            sidecar.until_ready().await;
            drill.is_noticed(sidecar.proxy).await;
        }
        drill.begin(IN_PLACE);
        for sidecar in &mut fleet.sidecars {
            assert_eq!(sidecar.succeed().await, Some(0), "{}", sidecar.log());
        }
    }
    drill.begin(AFTER);
    sleep(QUIET).await;
    drill.stop.store(true, Ordering::Relaxed);
    load.join_all().await;
    tell(&format!(
        "\n## Rolling restarts and upgrades in place of {INSTANCES} instances, {rounds} of each, at {rate} calls/s \
         and {streams} streams\n\n{}",
        drill.table()
    ));
}

fn settings(streams: SocketAddr) -> String {
    format!(
        "[server]\nhandover = \"handover.sock\"\n[shutdown]\ndelay = \"2s\"\n\
         [upstreams.streams]\nurl = \"http://{streams}\"\n\
         [[proxy.routes]]\npath = \"/models/{{model}}/predict\"\nmethods = [\"POST\"]\nupstream = \"default\"\n\
         [[proxy.routes]]\npath = \"/streams/{{model}}\"\nmethods = [\"POST\"]\nupstream = \"streams\"\n"
    )
}

const PHASES: [&str; 4] = ["before", "rolling restart", "upgrade in place", "after"];
const ROLLING: usize = 1;
const IN_PLACE: usize = 2;
const AFTER: usize = 3;

/// What all who call share.
struct Drill {
    instances: Vec<Instance>,
    key: String,
    phase: AtomicUsize,
    stop: AtomicBool,
    tallies: [Mutex<Tally>; PHASES.len()],
}

struct Instance {
    proxy: SocketAddr,
    is_ready: AtomicBool,
}

/// What became of what began in one phase.
#[derive(Default)]
struct Tally {
    took: Vec<Duration>,
    streams: usize,
    /// By what failed, and how.
    failed: BTreeMap<(&'static str, String), usize>,
}

impl Drill {
    fn of(fleet: &Fleet, key: String) -> Self {
        let instances = fleet.sidecars.iter().map(|sidecar| Instance {
            proxy: sidecar.proxy,
            is_ready: AtomicBool::new(true),
        });
        Self {
            instances: instances.collect(),
            key,
            phase: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            tallies: Default::default(),
        }
    }

    fn begin(&self, phase: usize) {
        self.phase.store(phase, Ordering::Relaxed);
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// An instance that is ready, as far as is known: each caller has one that it likes best.
    async fn choose(&self, number: u32) -> SocketAddr {
        let best = usize::try_from(number).unwrap_or(0) % self.instances.len();
        loop {
            let (before, after) = self.instances.split_at(best);
            let mut all = after.iter().chain(before);
            if let Some(one) = all.find(|one| one.is_ready.load(Ordering::Relaxed)) {
                return one.proxy;
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until those who call know that an instance is ready again.
    async fn is_noticed(&self, proxy: SocketAddr) {
        let instance = self.instances.iter().find(|one| one.proxy == proxy);
        while !instance.is_none_or(|one| one.is_ready.load(Ordering::Relaxed)) {
            sleep(ASK_EVERY).await;
        }
    }

    fn note(&self, phase: usize, note: impl FnOnce(&mut Tally)) {
        let mut tally = self.tallies[phase].lock();
        note(tally.as_mut().unwrap_or_else(|broken| broken.get_mut()));
    }

    fn table(&self) -> String {
        let mut table = "| | calls | failed | p50 | p99 | longest | streams | cut |\n|---|---|---|---|---|---|---|---|\n".to_owned();
        let mut reasons = String::new();
        for (phase, tally) in PHASES.iter().zip(&self.tallies) {
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            let count = |what| {
                let of_it = tally.failed.iter().filter(|((which, _), _)| *which == what);
                of_it.map(|(_, count)| count).sum::<usize>()
            };
            let (failed, cut, streams) = (count(CALL), count(STREAM), tally.streams);
            let calls = tally.took.len();
            if calls > 0 {
                let [p50, p99, longest] = percentiles(&mut tally.took);
                let _ = writeln!(
                    table,
                    "| {phase} | {calls} | {failed} | {p50:.2?} | {p99:.2?} | {longest:.2?} | {streams} | {cut} |"
                );
            }
            for ((what, why), count) in &tally.failed {
                let _ = write!(reasons, "\n{phase}: {count} × {what}: {why}");
            }
        }
        table + &reasons
    }
}

const CALL: &str = "call";
const STREAM: &str = "stream";

/// Follows what an instance says about itself.
async fn follow(drill: Arc<Drill>, place: usize, probes: SocketAddr) {
    loop {
        let is_ready = is_ready(probes).await;
        drill.instances[place]
            .is_ready
            .store(is_ready, Ordering::Relaxed);
        sleep(ASK_EVERY).await;
    }
}

async fn again_and_again(drill: Arc<Drill>, number: u32, rate: u32) {
    let every = Duration::from_secs(1) * CALLERS / rate;
    let request = call("llama", &drill.key);
    let mut due = Instant::now() + every * number / CALLERS;
    let mut to = drill.choose(number).await;
    let mut caller = Caller::new(to);
    while drill.goes_on() {
        sleep_until(due.into()).await;
        let chosen = drill.choose(number).await;
        if chosen != to {
            (to, caller) = (chosen, Caller::new(chosen));
        }
        let (phase, sent) = (drill.phase.load(Ordering::Relaxed), Instant::now());
        let answer = timeout(LONGEST, caller.send(request.as_bytes())).await;
        let failure = match answer {
            Ok(Ok(200)) => None,
            Ok(Ok(status)) => Some(status.to_string()),
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer".to_owned()),
        };
        drill.note(phase, |tally| {
            tally.took.push(sent.elapsed());
            if let Some(why) = failure {
                *tally.failed.entry((CALL, why)).or_default() += 1;
            }
        });
        due = (due + every).max(sent);
    }
}

async fn stream_after_stream(drill: Arc<Drill>, number: u32) {
    // Not all of them begin and end together.
    sleep(EVENT_EVERY * (number % 40)).await;
    while drill.goes_on() {
        let to = drill.choose(number).await;
        let phase = drill.phase.load(Ordering::Relaxed);
        let outcome = match timeout(LONGEST, stream(to, &drill.key)).await {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(_) => Err("no end".to_owned()),
        };
        drill.note(phase, |tally| {
            tally.streams += 1;
            if let Err(why) = outcome {
                *tally.failed.entry((STREAM, why)).or_default() += 1;
            }
        });
    }
}

/// One stream, which must come whole.
async fn stream(to: SocketAddr, key: &str) -> io::Result<()> {
    let mut connection = TcpStream::connect(to).await?;
    let request = format!(
        "POST /streams/llama HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {key}\r\ncontent-length: 0\r\n\
         connection: close\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await?;
    let text = String::from_utf8_lossy(&answer);
    let events = text.matches("data: ").count();
    if events == EVENTS && text.ends_with("\r\n0\r\n\r\n") {
        return Ok(());
    }
    let first = text.lines().next().unwrap_or("nothing");
    Err(io::Error::other(format!("{events} events after {first}")))
}

/// A model server that answers every request with a stream.
async fn serve_streams(tasks: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tasks.spawn(async move {
        let mut callers = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            callers.spawn(answer_with_streams(stream));
        }
    });
    address
}

async fn answer_with_streams(mut connection: TcpStream) {
    const HEAD: &str =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let (mut buffer, mut filled) = (vec![0; 8192], 0);
    while let Ok(read @ 1..) = connection.read(&mut buffer[filled..]).await {
        filled += read;
        if !buffer[..filled].ends_with(b"\r\n\r\n") {
            continue;
        }
        filled = 0;
        if connection.write_all(HEAD.as_bytes()).await.is_err() {
            return;
        }
        let mut ticks = interval(EVENT_EVERY);
        for number in 0..EVENTS {
            ticks.tick().await;
            let event = format!("data: {number}\n\n");
            let chunk = format!("{:x}\r\n{event}\r\n", event.len());
            if connection.write_all(chunk.as_bytes()).await.is_err() {
                return;
            }
        }
        if connection.write_all(b"0\r\n\r\n").await.is_err() {
            return;
        }
    }
}
