//! What a million keys cost: to import, to export, to fill memory with, to follow one change of, to list.
//!
//! Everything goes by the real program, on a database that is gone afterwards. Run with `cargo bench --bench scale`, with
//! another number of keys or another (empty) database as `cargo bench --bench scale -- 100000 postgres://…`.

use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use keyward::key::{KeyDigest, KeyFilter, KeySelector};
use keyward::store::{self, Changes, KeyStore, StoreConfig};
use keyward::telemetry::metrics::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

#[path = "support/address.rs"]
mod address;

use address::free_address;

const KEYS: usize = 1_000_000;
const TRIALS: usize = 100;
const KEYWARD: &str = env!("CARGO_BIN_EXE_keyward");
const TOKEN: &str = "kwadmin_the-token-of-this-bench";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let keys = args.iter().find_map(|arg| arg.parse().ok());
    let keys = keys.unwrap_or(KEYS);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("keyward.db");
    let given = args.iter().find(|arg| arg.contains("://"));
    let url = given.cloned();
    let url = url.unwrap_or_else(|| format!("sqlite://{}", file.display()));

    write_keys(directory.path(), keys);
    let import = "org api-key import keys.csv --format csv";
    let took = run(
        directory.path(),
        &url,
        import,
        "import into an empty database",
    )
    .await;
    tell_rate(keys, took);
    let took = run(directory.path(), &url, import, "the same import again").await;
    tell_rate(keys, took);
    let export = "org api-key export --output-file all.csv";
    let took = run(directory.path(), &url, export, "export").await;
    tell_rate(keys, took);

    let config = StoreConfig {
        url: url.clone(),
        ..StoreConfig::default()
    };
    let began = Instant::now();
    let store = store::open(&config, Metrics::unrecorded().store).await;
    let store = store.expect("the database that was just made");
    tell("open the database", began.elapsed());
    read(&*store).await;
    serve(&*store, directory.path(), &url, keys).await;
    store.close().await;
}

/// The text of key number `number`.
fn text(number: usize) -> String {
    format!("sk-{number:040}")
}

fn write_keys(directory: &Path, keys: usize) {
    let file = std::fs::File::create(directory.join("keys.csv")).expect("a new file");
    let mut file = BufWriter::new(file);
    writeln!(file, "digest,prefix,name,type,model_ids,owner").expect("room for it");
    for number in 0..keys {
        let digest = KeyDigest::of(text(number).as_bytes()).to_hex();
        let row = format!("old-{number},service-{number},WORKSPACE_INVOKE,\"[\"\"llama\"\"]\",ada");
        writeln!(file, "{digest},{row}").expect("room for it");
    }
    file.flush().expect("room for it");
}

/// Runs a command line, split at spaces, to its end; how long that took.
async fn run(directory: &Path, url: &str, line: &str, what: &str) -> Duration {
    let began = Instant::now();
    let mut child = Command::new(KEYWARD)
        .current_dir(directory)
        .args(["--database", url])
        .args(line.split_whitespace())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut peak = 0;
    let status = loop {
        peak = peak.max(memory(child.id(), "VmHWM:"));
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        sleep(Duration::from_millis(20)).await;
    };
    assert!(status.success(), "{line}");
    let took = began.elapsed();
    tell(&format!("{what} (at most {} MiB)", peak / 1024), took);
    took
}

/// What the line `name` says of the memory of a process, in KiB; zero when that is not known any more.
fn memory(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    let status = status.unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0)
}

/// What the database alone takes to be read.
async fn read(store: &dyn KeyStore) {
    let began = Instant::now();
    let mut keys = 0_u64;
    let end = store.snapshot(&mut |_| keys += 1).await;
    let mut cursor = end.expect("it answers").cursor;
    tell(&format!("read all {keys} keys for a fill"), began.elapsed());
    let began = Instant::now();
    let listed = store.list(&KeyFilter::default()).await;
    let listed = listed.map(|keys| keys.len());
    tell(
        &format!("list every key at once: {listed:?}"),
        began.elapsed(),
    );
    let began = Instant::now();
    let page = store.page(None).await.expect("it answers");
    tell(
        &format!("one page of {} keys", page.keys.len()),
        began.elapsed(),
    );

    let mut times = Vec::new();
    for key in page.keys.iter().take(TRIALS) {
        let deleted = store.delete(&KeySelector::Id(key.id)).await;
        deleted.expect("it is there");
        let began = Instant::now();
        let changes = store.changes(cursor).await.expect("it answers");
        times.push(began.elapsed());
        let Changes::Read(batch) = changes else {
            unreachable!("the log reaches back to a moment ago");
        };
        assert_eq!(batch.changes.len(), 1);
        cursor = batch.cursor;
    }
    tell_times("read one change from the log", &mut times);
}

/// What a server beside it takes.
async fn serve(store: &dyn KeyStore, directory: &Path, url: &str, keys: usize) {
    let empty = format!("sqlite://{}", directory.join("empty.db").display());
    let served = Served::start(directory, &empty, keys);
    served.ready().await;
    let without = memory(served.process.id(), "VmRSS:");
    drop(served);

    let began = Instant::now();
    let served = Served::start(directory, url, keys);
    served.ready().await;
    let took = began.elapsed();
    let [with, peak] = ["VmRSS:", "VmHWM:"].map(|line| memory(served.process.id(), line));
    let each = with.saturating_sub(without) * 1024 / u64::try_from(keys).unwrap_or(1).max(1);
    let memory = format!("{each} bytes a key, at most {} MiB in all", peak / 1024);
    tell(
        &format!("start a server until it is ready, filled: {memory}"),
        took,
    );

    let mut times = Vec::new();
    for number in (keys - TRIALS)..keys {
        let key = text(number);
        served.until(&key, b"502").await;
        let prefix = format!("old-{number}").parse().expect("a prefix");
        let deleted = store.delete(&KeySelector::Prefix(prefix)).await;
        deleted.expect("it is there");
        times.push(served.until(&key, b"401").await);
    }
    tell_times("from a deletion elsewhere to the refusal", &mut times);

    let began = Instant::now();
    let head = "GET /v1/api_keys";
    let listed = served.ask(served.admin, head, TOKEN, usize::MAX).await;
    let listed = listed.map_or(0, |answer| answer.len());
    tell(
        &format!("GET /v1/api_keys ({} MiB)", listed >> 20),
        began.elapsed(),
    );
}

/// `keyward serve`, ended when dropped. Nobody listens behind it: a known key is told by 502, an unknown one by 401.
struct Served {
    process: Child,
    data: SocketAddr,
    admin: SocketAddr,
    probes: SocketAddr,
}

impl Served {
    fn start(directory: &Path, url: &str, keys: usize) -> Self {
        let [data, admin, probes, model] = [(); 4].map(|()| free_address());
        let process = Command::new(KEYWARD)
            .current_dir(directory)
            .args(["--database", url, "serve", "--listen", &data.to_string()])
            .args(["--admin-listen", &admin.to_string()])
            .args(["--upstream", &format!("http://{model}")])
            .env("KEYWARD_PROBES__LISTEN", probes.to_string())
            .env("KEYWARD_ADMIN__TOKEN", TOKEN)
            .env("KEYWARD_CACHE__KEYS", (keys * 2).to_string())
            .stderr(Stdio::null())
            .spawn();
        Self {
            process: process.expect("the program starts"),
            data,
            admin,
            probes,
        }
    }

    async fn ready(&self) {
        let asked = async {
            let ready = |answer: Vec<u8>| answer.starts_with(b"HTTP/1.1 200");
            while !self
                .ask(self.probes, "GET /readyz", "-", 12)
                .await
                .is_some_and(ready)
            {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let ready = timeout(Duration::from_mins(5), asked).await;
        ready.expect("it gets ready in time");
    }

    /// Calls with `key` until the answer has this status; how long that took.
    async fn until(&self, key: &str, status: &[u8; 3]) -> Duration {
        let began = Instant::now();
        let asked = async {
            let call = "POST /models/llama/predict";
            let is = |answer: Vec<u8>| answer.ends_with(status);
            while !self.ask(self.data, call, key, 12).await.is_some_and(is) {
                sleep(Duration::from_micros(500)).await;
            }
        };
        let answered = timeout(Duration::from_secs(10), asked).await;
        answered.expect("an answer in time");
        began.elapsed()
    }

    /// The first bytes of the answer, at most so many.
    async fn ask(&self, to: SocketAddr, line: &str, key: &str, most: usize) -> Option<Vec<u8>> {
        let mut stream = TcpStream::connect(to).await.ok()?;
        let request = format!(
            "{line} HTTP/1.1\r\nhost: {to}\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\
             content-length: 0\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        stream.take(most).read_to_end(&mut answer).await.ok()?;
        Some(answer)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[expect(clippy::print_stdout, reason = "a bench tells its figures")]
fn tell(what: &str, took: Duration) {
    println!("{what}: {took:.1?}");
}

fn tell_rate(keys: usize, took: Duration) {
    let keys = u32::try_from(keys).unwrap_or(u32::MAX);
    let second = f64::from(keys) / took.as_secs_f64();
    tell(
        &format!("  {second:.0} keys a second, each"),
        took / keys.max(1),
    );
}

fn tell_times(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    let longest = format!(
        "{what}, {} times: longest {:.1?}, median",
        times.len(),
        at(100)
    );
    tell(&longest, at(50));
}
