//! How much later an event of a stream arrives through keyward than without it.
//!
//! One caller reads 1,000 events, each in a chunk of its own, and the model server writes the next one a moment after the
//! caller has seen the last: so each leaves keyward before the next arrives, or nothing goes on. Measured is the time from
//! before an event is written to after it was read. Rounds alternate between straight and through.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::wire::{Caller, call};
use crate::{start_keyward, tell};

const EVENTS: usize = 1_000;
const ROUNDS: usize = 5;
/// Between an event's arrival and the next event: a quick model's, so that everything in between falls asleep.
const PAUSE: Duration = Duration::from_millis(1);

/// Streams both ways with `key`, which is in `database`, and tells what came of it.
pub fn compare(aside: &Runtime, database: &str, key: &str) {
    let (seen, next) = channel();
    let (written, times) = channel();
    let streaming = start_streaming(next, written);
    let server = aside.block_on(start_keyward(database, streaming));
    let keyward = server.addresses().proxy;
    aside.block_on(until_filled(server.addresses().probes));

    let request = call("llama", key);
    let mut direct = Vec::new();
    let mut through = Vec::new();
    for _ in 0..ROUNDS {
        direct.extend(round(streaming, &request, &seen, &times));
        through.extend(round(keyward, &request, &seen, &times));
    }
    let (direct, through) = (Delays::of(direct), Delays::of(through));
    tell(&format!("{EVENTS} events of one stream, {ROUNDS} rounds"));
    direct.tell("direct");
    through.tell("through");
    tell(&format!(
        "  through - direct: p50 {:.1} µs, p99 {:.1} µs",
        micros(through.p50) - micros(direct.p50),
        micros(through.p99) - micros(direct.p99),
    ));
    aside.block_on(server.close());
}

/// Waits until memory is filled, as the listener at `probes` says.
async fn until_filled(probes: SocketAddr) {
    let question = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut asker = Caller::new(probes);
    while asker.send(question).await.ok() != Some(200) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What one way gave.
struct Delays {
    p50: Duration,
    p99: Duration,
}

impl Delays {
    fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        Self {
            p50: all[all.len() / 2],
            p99: all[all.len() * 99 / 100],
        }
    }

    fn tell(&self, way: &str) {
        tell(&format!(
            "  {way:<8} p50 {:>7.1} µs   p99 {:>8.1} µs",
            micros(self.p50),
            micros(self.p99)
        ));
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Reads one stream to its end: how long each event was under way.
fn round(
    to: SocketAddr,
    request: &str,
    seen: &Sender<()>,
    times: &Receiver<Instant>,
) -> Vec<Duration> {
    let mut stream = TcpStream::connect(to).expect("somebody listens");
    stream.set_nodelay(true).expect("a new socket");
    stream.write_all(request.as_bytes()).expect("it is read");
    let mut stream = BufReader::new(stream);
    while line(&mut stream) != "\r\n" {}
    let mut delays = Vec::with_capacity(EVENTS);
    for _ in 0..EVENTS {
        std::thread::sleep(PAUSE);
        seen.send(()).expect("the model server waits for it");
        let size = line(&mut stream);
        let size = usize::from_str_radix(size.trim_end(), 16).expect("a chunk");
        let mut event = vec![0; size + 2];
        stream.read_exact(&mut event).expect("a whole chunk");
        let arrived = Instant::now();
        let written = times.recv().expect("it was written before it came");
        delays.push(arrived - written);
    }
    assert_eq!(line(&mut stream), "0\r\n");
    delays
}

fn line(stream: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).expect("text");
    assert!(!line.is_empty(), "the stream broke off");
    line
}

/// A model server that answers every request with a stream of events, each of which waits for a word of `next`.
fn start_streaming(next: Receiver<()>, written: Sender<Instant>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(&stream.expect("loopback accepts"), &next, &written);
        }
    });
    address
}

fn answer(mut stream: &TcpStream, next: &Receiver<()>, written: &Sender<Instant>) {
    const HEAD: &[u8] =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\
        connection: close\r\n\r\n";
    stream.set_nodelay(true).expect("a new socket");
    let mut request = [0; 4096];
    // One small request comes at once.
    if stream.read(&mut request).expect("a request") == 0 {
        return;
    }
    stream.write_all(HEAD).expect("it is read");
    let event = format!(
        "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n",
        "x".repeat(160)
    );
    let chunk = format!("{:x}\r\n{event}\r\n", event.len());
    for _ in 0..EVENTS {
        next.recv().expect("the reader goes on");
        let begun = Instant::now();
        stream.write_all(chunk.as_bytes()).expect("it is read");
        written.send(begun).expect("the reader waits for it");
    }
    stream.write_all(b"0\r\n\r\n").expect("it is read");
}
