//! What other callers notice while somebody floods the data listener, and what it costs in memory.
//!
//! The real program serves four callers who call again and again; each flood comes on top of them for a few seconds. Printed
//! are their times without it and with it, the resident memory of the process at its largest, and how often the flood was
//! cut off. Run with `cargo bench --bench floods`, or some with `-- slow idle fields resets continuations pings settings
//! data`; a number is the seconds of each (5). The flood is made by this process, on the same cores: what counts is that
//! callers go on being answered, and that memory is bounded.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use address::free_address;
use key::make_key;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use wire::{Caller, call, start_model};

#[path = "support/address.rs"]
mod address;
#[path = "support/key.rs"]
mod key;
#[path = "support/wire.rs"]
mod wire;

const CALLERS: usize = 4;
/// How many sockets are held open and idle.
const IDLE: usize = 10_000;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let seconds = args.iter().find_map(|arg| arg.parse().ok()).unwrap_or(5);
    let asked = |name: &str| {
        let named = FLOODS
            .iter()
            .any(|flood| args.contains(&flood.name.to_owned()));
        !named || args.iter().any(|arg| arg == name)
    };
    take_open_files();
    let keyward = Keyward::start().await;
    let quiet = keyward.round(Duration::from_secs(seconds), None).await;
    tell("| flood | made by | p50 | p99 | longest | calls/s | memory at most | cut off | sent |");
    tell("|---|---|---|---|---|---|---|---|---|");
    tell(&format!(
        "| none | | {quiet} | {} | | |",
        mib(keyward.peak())
    ));
    for flood in FLOODS.iter().filter(|flood| asked(flood.name)) {
        // Each begins with a process of its own, so that its memory is its own, too.
        let keyward = Keyward::start().await;
        let before = keyward.round(Duration::from_secs(seconds), None).await;
        let count = Arc::new(Count::default());
        let during = keyward
            .round(Duration::from_secs(seconds), Some((flood, &count)))
            .await;
        let (cut, sent) = (
            count.cut.load(Ordering::Relaxed),
            count.sent.load(Ordering::Relaxed),
        );
        tell(&format!("| before | | {before} | | | |"));
        tell(&format!(
            "| {} | {} | {during} | {} | {cut} | {sent} |",
            flood.name,
            flood.made_by,
            mib(keyward.peak()),
        ));
    }
}

/// Somebody who does not mean well.
struct Flood {
    name: &'static str,
    made_by: &'static str,
    connections: usize,
    kind: Kind,
}

enum Kind {
    /// A head, a byte at a time.
    Slow,
    /// Nothing.
    Idle,
    /// A head of very many fields.
    Fields,
    /// Frames of HTTP/2.
    Frames(fn(u32) -> Vec<u8>),
}

const FLOODS: &[Flood] = &[
    Flood {
        name: "slow",
        made_by: "2,000 connections, each with a head of a byte every 0.1 s",
        connections: 2_000,
        kind: Kind::Slow,
    },
    Flood {
        name: "idle",
        made_by: "10,000 connections that say nothing",
        connections: IDLE,
        kind: Kind::Idle,
    },
    Flood {
        name: "fields",
        made_by: "32 connections, each with heads of 1,000,000 fields",
        connections: 32,
        kind: Kind::Fields,
    },
    Flood {
        name: "resets",
        made_by: "16 connections of HTTP/2, each request reset at once",
        connections: 16,
        kind: Kind::Frames(|number| {
            let stream = number * 2 + 1;
            [
                frame(1, 4, stream, &head()),
                frame(3, 0, stream, &[0, 0, 0, 8]),
            ]
            .concat()
        }),
    },
    Flood {
        name: "continuations",
        made_by: "16 connections of HTTP/2, a head that never ends",
        connections: 16,
        kind: Kind::Frames(|number| match number {
            0 => frame(1, 0, 1, &head()),
            _ => frame(9, 0, 1, &[0, 1, b'x', 1, b'y']),
        }),
    },
    Flood {
        name: "pings",
        made_by: "16 connections of HTTP/2, nothing but PING",
        connections: 16,
        kind: Kind::Frames(|_| frame(6, 0, 0, &[0; 8])),
    },
    Flood {
        name: "settings",
        made_by: "16 connections of HTTP/2, nothing but SETTINGS",
        connections: 16,
        kind: Kind::Frames(|_| frame(4, 0, 0, &[])),
    },
    Flood {
        name: "data",
        made_by: "16 connections of HTTP/2, empty DATA frames",
        connections: 16,
        kind: Kind::Frames(|number| match number {
            0 => frame(1, 4, 1, &head()),
            _ => frame(0, 0, 1, &[]),
        }),
    },
];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The block of a `POST` without a key, each field written out (RFC 7541 6.2.2).
fn head() -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "h"),
        (":path", "/models/llama/predict"),
    ] {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("a short text"));
            block.extend(text.as_bytes());
        }
    }
    block
}

#[derive(Default)]
struct Count {
    /// How often the other side had enough.
    cut: AtomicU64,
    /// How often something was sent: a frame, a thousand fields, a byte of a head; or how many connections were made.
    sent: AtomicU64,
}

impl Flood {
    /// Goes on until `over`.
    async fn run(&self, to: SocketAddr, over: &Arc<AtomicBool>, count: &Arc<Count>) {
        let mut floods = JoinSet::new();
        for _ in 0..self.connections {
            let (over, count) = (Arc::clone(over), Arc::clone(count));
            match self.kind {
                Kind::Idle => {
                    if let Ok(stream) = TcpStream::connect(to).await {
                        count.sent.fetch_add(1, Ordering::Relaxed);
                        floods.spawn(async move {
                            while !over.load(Ordering::Relaxed) {
                                sleep(Duration::from_millis(100)).await;
                            }
                            drop(stream);
                        });
                    }
                }
                Kind::Slow => {
                    floods.spawn(again(to, over, count, |number| match number {
                        0 => (b"POST /models/llama/predict HTTP/1.1\r\nx: ".to_vec(), 100),
                        _ => (b"x".to_vec(), 100),
                    }));
                }
                Kind::Fields => {
                    floods.spawn(again(to, over, count, |number| match number {
                        0 => (b"POST /models/llama/predict HTTP/1.1\r\n".to_vec(), 0),
                        1..=1_000 => (b"a: b\r\n".repeat(1_000), 0),
                        _ => (b"\r\n".to_vec(), 0),
                    }));
                }
                Kind::Frames(make) => {
                    floods.spawn(again(to, over, count, move |number| match number {
                        0 => {
                            let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
                            ([&preface[..], &frame(4, 0, 0, &[])].concat(), 0)
                        }
                        number => (make(number - 1), 0),
                    }));
                }
            }
        }
        while floods.join_next().await.is_some() {}
    }
}

/// Writes what `make` says, with a pause in milliseconds behind it, and begins anew whenever the other side has had enough.
async fn again(
    to: SocketAddr,
    over: Arc<AtomicBool>,
    count: Arc<Count>,
    make: impl Fn(u32) -> (Vec<u8>, u64),
) {
    let mut answer = [0; 4096];
    while !over.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect(to).await else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        for number in 0.. {
            if over.load(Ordering::Relaxed) {
                return;
            }
            let (bytes, pause) = make(number);
            let written = timeout(Duration::from_secs(2), stream.write_all(&bytes)).await;
            let is_over = match stream.try_read(&mut answer) {
                Ok(read) => read == 0,
                Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
            };
            if is_over || !matches!(written, Ok(Ok(()))) {
                count.cut.fetch_add(1, Ordering::Relaxed);
                break;
            }
            count.sent.fetch_add(1, Ordering::Relaxed);
            if pause > 0 {
                sleep(Duration::from_millis(pause)).await;
            }
        }
        // What it still says is read, as a client does.
        let _ = timeout(Duration::from_millis(50), stream.read(&mut answer)).await;
    }
}

/// The real program.
struct Keyward {
    proxy: SocketAddr,
    key: String,
    child: Child,
    _directory: TempDir,
}

impl Keyward {
    async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let database = format!("sqlite://{}", directory.path().join("keyward.db").display());
        let key = make_key(&database).await;
        let [proxy, admin, probes] = [(); 3].map(|()| free_address());
        let file = directory.path().join("keyward.toml");
        let settings = format!(
            "proxy.listen = \"{proxy}\"\nadmin.listen = \"{admin}\"\nprobes.listen = \"{probes}\"\n\
             store.url = \"{database}\"\nupstreams.default.url = \"http://{}\"\n\
             [proxy.limits]\nconnections = 12000\n",
            start_model()
        );
        fs::write(&file, settings).expect("the directory is ours");
        let log = File::create(directory.path().join("log")).expect("the directory is ours");
        let child = Command::new(env!("CARGO_BIN_EXE_keyward"))
            .args(["serve", "--config"])
            .arg(&file)
            .env_clear()
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the binary runs");
        let mut caller = Caller::new(proxy);
        let request = call("llama", &key);
        while caller.send(request.as_bytes()).await.ok() != Some(200) {
            sleep(Duration::from_millis(5)).await;
        }
        Self {
            proxy,
            key,
            child,
            _directory: directory,
        }
    }

    /// What callers notice in so much time, beside a flood.
    async fn round(&self, time: Duration, flood: Option<(&'static Flood, &Arc<Count>)>) -> Noticed {
        let over = Arc::new(AtomicBool::new(false));
        let flooding = flood.map(|(flood, count)| {
            let (to, over, count) = (self.proxy, Arc::clone(&over), Arc::clone(count));
            let mut task = JoinSet::new();
            task.spawn(async move { flood.run(to, &over, &count).await });
            task
        });
        if flooding.is_some() {
            // Until it has begun.
            sleep(Duration::from_secs(1)).await;
        }
        let end = Instant::now() + time;
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let (to, request) = (self.proxy, call("llama", &self.key));
            callers.spawn(async move {
                let (mut caller, mut times, mut failed) = (Caller::new(to), Vec::new(), 0_u32);
                while Instant::now() < end {
                    let begun = Instant::now();
                    let sent = caller.send(request.as_bytes()).await;
                    failed += u32::from(sent.ok() != Some(200));
                    times.push(begun.elapsed());
                }
                (times, failed)
            });
        }
        let rounds = callers.join_all().await;
        over.store(true, Ordering::Relaxed);
        if let Some(task) = flooding {
            task.join_all().await;
        }
        let failed = rounds.iter().map(|(_, failed)| failed).sum();
        let mut times: Vec<Duration> = rounds.into_iter().flat_map(|(times, _)| times).collect();
        times.sort_unstable();
        let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
        Noticed {
            p50: at(50),
            p99: at(99),
            longest: at(100),
            per_second: times.len() as u64 / time.as_secs().max(1),
            failed,
        }
    }

    /// The most memory the process has had, in bytes.
    fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    }
}

impl Drop for Keyward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What callers noticed.
struct Noticed {
    p50: Duration,
    p99: Duration,
    longest: Duration,
    per_second: u64,
    failed: u32,
}

impl std::fmt::Display for Noticed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            p50,
            p99,
            longest,
            per_second,
            failed,
        } = self;
        write!(f, "{p50:.2?} | {p99:.2?} | {longest:.2?} | {per_second}")?;
        match failed {
            0 => Ok(()),
            failed => write!(f, " ({failed} failed)"),
        }
    }
}

/// All the open files that the system lets this process have, for this process and the one it starts.
fn take_open_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, all).expect("what the system allows is allowed");
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes / (1024 * 1024))
}

#[expect(clippy::print_stdout, reason = "a bench tells its figures")]
fn tell(figures: &str) {
    println!("{figures}");
}
