//! The model server behind every proxy: answers at once, on a thread of its own.
//!
//! A call is answered with 200 bytes; one with `x-answer: big` with 1 MiB, one with `x-answer: events` with a stream of
//! events, each in a chunk of its own, that say when they were written.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The bytes of a big answer.
pub const BIG: usize = 1 << 20;
/// How many events a stream has, and how far apart they are.
pub const EVENTS: usize = 200;
const PAUSE: Duration = Duration::from_millis(2);

/// Starts it. Events say how many nanoseconds after `epoch` they were written.
pub fn start(epoch: Instant) -> SocketAddr {
    let (tell_address, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            tell_address.send(address).expect("somebody waits for it");
            let mut callers = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                callers.spawn(serve(stream, epoch));
            }
        });
    });
    address.recv().expect("the model server starts")
}

async fn serve(mut stream: TcpStream, epoch: Instant) -> Option<()> {
    let _ = stream.set_nodelay(true);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ";
    let small = format!("{head}200\r\n\r\n{}", "x".repeat(200)).into_bytes();
    let big = format!("{head}{BIG}\r\n\r\n{}", "x".repeat(BIG)).into_bytes();
    let mut buffer = vec![0; 16 << 10];
    let mut filled = 0;
    loop {
        match stream.read(buffer.get_mut(filled..)?).await {
            Ok(read @ 1..) => filled += read,
            _ => return None,
        }
        let request = &buffer[..filled];
        let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = str::from_utf8(&request[..end]).ok()?;
        let value = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            Some(lines.find(|(known, _)| known.eq_ignore_ascii_case(name))?.1)
        };
        let chunked = value("transfer-encoding").is_some();
        let length = value("content-length").and_then(|length| length.parse().ok());
        let body = &request[end + 4..];
        if body.len() < length.unwrap_or(0) || (chunked && !body.ends_with(b"0\r\n\r\n")) {
            continue;
        }
        match value("x-answer") {
            None => stream.write_all(&small).await.ok()?,
            Some("events") => stream_events(&mut stream, epoch).await?,
            Some(_) => stream.write_all(&big).await.ok()?,
        }
        filled = 0;
    }
}

async fn stream_events(stream: &mut TcpStream, epoch: Instant) -> Option<()> {
    // nginx holds events back unless it is told not to.
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-accel-buffering: no\r\n\
                transfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.ok()?;
    for _ in 0..EVENTS {
        tokio::time::sleep(PAUSE).await;
        let event = format!("data: {:020}\n\n", epoch.elapsed().as_nanos());
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        stream.write_all(chunk.as_bytes()).await.ok()?;
    }
    stream.write_all(b"0\r\n\r\n").await.ok()
}
