//! The callers: many, on one thread, each sending its next call when the last one is answered.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::model::EVENTS;

const BODY: &str = r#"{"q":1}"#;

/// The text of key number `number`.
pub fn key(number: usize) -> String {
    format!("sk-{number:040}")
}

/// What a call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// 200 bytes, with one of so many keys, another each time.
    Small { keys: usize },
    /// 200 bytes, with one of so many keys that there are not.
    Unknown { keys: usize },
    /// The same with one of keyward's form whose checksum is wrong.
    Malformed,
    /// 1 MiB.
    Big,
    /// A stream of events.
    Events,
}

impl Ask {
    fn request(self) -> Vec<u8> {
        let answer = match self {
            Self::Small { .. } | Self::Unknown { .. } | Self::Malformed => "",
            Self::Big => "x-answer: big\r\n",
            Self::Events => "x-answer: events\r\n",
        };
        format!(
            "POST /models/llama/predict HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: bench/1.0\r\naccept: */*\r\n\
             authorization: Bearer {}\r\n{answer}content-type: application/json\r\ncontent-length: {}\r\n\r\n{BODY}",
            self.key(0),
            BODY.len(),
        )
        .into_bytes()
    }

    fn key(self, number: usize) -> String {
        match self {
            Self::Small { keys } => key(number % keys),
            Self::Unknown { keys } => format!("sx-{:040}", number % keys),
            Self::Malformed => format!("kw_AAAAAAAA.{number:032}CCCCCC"),
            Self::Big | Self::Events => key(0),
        }
    }

    const fn status(self) -> u16 {
        match self {
            Self::Unknown { .. } | Self::Malformed => 401,
            _ => 200,
        }
    }
}

/// Where calls go, and how.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

impl Target {
    async fn connect(&self) -> io::Result<Box<dyn Wire>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Box::new(stream)),
            Some(config) => {
                let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
                let connector = TlsConnector::from(Arc::clone(config));
                Ok(Box::new(connector.connect(name, stream).await?))
            }
        }
    }
}

/// One caller, who keeps a connection for as long as the other side does.
pub struct Caller {
    target: Target,
    ask: Ask,
    request: Vec<u8>,
    key_at: usize,
    number: usize,
    stream: Option<Box<dyn Wire>>,
    buffer: Vec<u8>,
}

impl Caller {
    pub fn new(target: &Target, ask: Ask, first: usize) -> Self {
        let request = ask.request();
        let key = ask.key(0).into_bytes();
        let key_at = request.windows(key.len()).position(|part| part == key);
        Self {
            target: target.clone(),
            ask,
            request,
            key_at: key_at.expect("the request has the key"),
            number: first,
            stream: None,
            buffer: vec![0; 256 << 10],
        }
    }

    /// Sends one call and reads its answer: the bytes of its body. An answer of another status is an error.
    pub async fn call(&mut self) -> io::Result<usize> {
        // Far enough on that the next key is not the neighbour of the last one.
        self.number = (self.number * 1_103_515_245 + 12_345) & 0x7fff_ffff;
        let key = self.ask.key(self.number).into_bytes();
        self.request[self.key_at..][..key.len()].copy_from_slice(&key);
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.target.connect().await?,
        };
        stream.write_all(&self.request).await?;
        let mut filled = 0;
        let (end, status, length, keeps) = loop {
            let read = stream.read(&mut self.buffer[filled..]).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            filled += read;
            let text = &self.buffer[..filled];
            if let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") {
                let (status, length, keeps) =
                    head(&text[..end]).ok_or(io::ErrorKind::InvalidData)?;
                break (end + 4, status, length, keeps);
            }
        };
        if status != self.ask.status() {
            return Err(io::Error::other(format!("answered {status}")));
        }
        let mut left = (end + length).saturating_sub(filled);
        while left > 0 {
            match stream.read(&mut self.buffer).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => left = left.saturating_sub(read),
            }
        }
        if keeps {
            self.stream = Some(stream);
        }
        Ok(length)
    }

    /// Has the next call use a connection of its own.
    pub fn hang_up(&mut self) {
        self.stream = None;
    }

    /// Reads a stream of events: how long each was under way.
    pub async fn events(&mut self, epoch: Instant) -> io::Result<Vec<Duration>> {
        let mut stream = self.target.connect().await?;
        stream.write_all(&self.request).await?;
        let mut delays = Vec::with_capacity(EVENTS);
        let mut text = String::new();
        while delays.len() < EVENTS {
            let read = stream.read(&mut self.buffer).await?;
            let now = epoch.elapsed();
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            text.push_str(&String::from_utf8_lossy(&self.buffer[..read]));
            while let Some((event, rest)) = text
                .split_once("data: ")
                .and_then(|(_, event)| event.split_once("\n\n"))
            {
                let written = event.parse().map_err(io::Error::other)?;
                delays.push(now.saturating_sub(Duration::from_nanos(written)));
                text = rest.to_owned();
            }
        }
        Ok(delays)
    }
}

/// The status, the length of the body, and whether the connection is kept.
fn head(head: &[u8]) -> Option<(u16, usize, bool)> {
    let mut lines = str::from_utf8(head).ok()?.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let (mut length, mut keeps) = (0, true);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().ok()?;
        } else if name.eq_ignore_ascii_case("connection") {
            keeps = !value.eq_ignore_ascii_case("close");
        }
    }
    Some((status, length, keeps))
}

/// What callers did together.
#[derive(Debug, Clone, Copy, Default)]
pub struct Done {
    pub calls: usize,
    pub bytes: usize,
    pub failed: usize,
}

impl Done {
    /// How many calls were answered as they should be; nothing when too many were not.
    pub fn answered(&self) -> Option<f64> {
        let is_well = self.calls > 0 && self.failed <= self.calls / 1000;
        let calls = is_well.then(|| u32::try_from(self.calls).ok());
        calls.flatten().map(f64::from)
    }
}

/// So many callers for so long, each sending its next call when the last one is answered.
pub async fn closed(
    target: &Target,
    ask: Ask,
    callers: usize,
    time: Duration,
    fresh: bool,
) -> Done {
    let end = Instant::now() + time;
    let mut all = JoinSet::new();
    for number in 0..callers {
        let mut caller = Caller::new(target, ask, number * 7_919);
        all.spawn(async move {
            let mut done = Done::default();
            while Instant::now() < end {
                match caller.call().await {
                    Ok(bytes) => {
                        done.calls += 1;
                        done.bytes += bytes;
                    }
                    Err(_) => done.failed += 1,
                }
                if fresh {
                    caller.hang_up();
                }
            }
            done
        });
    }
    let all = all.join_all().await;
    all.into_iter().fold(Done::default(), |sum, done| Done {
        calls: sum.calls + done.calls,
        bytes: sum.bytes + done.bytes,
        failed: sum.failed + done.failed,
    })
}

/// So many calls a second for so long, whether the last ones are answered or not: how long each took from the moment
/// it was due.
pub async fn rated(target: &Target, ask: Ask, per_second: u32, time: Duration) -> Vec<Duration> {
    const CALLERS: u32 = 32;
    let began = Instant::now();
    let every = Duration::from_secs(1) * CALLERS / per_second;
    let mut all = JoinSet::new();
    for number in 0..CALLERS {
        let mut caller = Caller::new(target, ask, number as usize * 7_919);
        all.spawn(async move {
            let mut times = Vec::new();
            let mut due = began + every * number / CALLERS;
            while due < began + time {
                tokio::time::sleep_until(due.into()).await;
                if caller.call().await.is_ok() {
                    times.push(due.elapsed());
                }
                due += every;
            }
            times
        });
    }
    all.join_all().await.concat()
}

/// HTTP/2 by prior knowledge: so many connections with so many calls at a time on each.
pub async fn http2(
    target: &Target,
    ask: Ask,
    connections: usize,
    streams: usize,
    time: Duration,
) -> io::Result<Done> {
    let end = Instant::now() + time;
    // Gone with this call.
    let mut drivers = JoinSet::new();
    let mut all = JoinSet::new();
    for connection in 0..connections {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        let (sender, driver) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .map_err(io::Error::other)?;
        drivers.spawn(driver);
        for stream in 0..streams {
            let mut sender = sender.clone();
            let mut number = connection * 7_919 + stream;
            all.spawn(async move {
                let mut done = Done::default();
                while Instant::now() < end {
                    number += 1;
                    let request = http::Request::post("http://127.0.0.1/models/llama/predict")
                        .header("authorization", format!("Bearer {}", ask.key(number)))
                        .header("content-type", "application/json")
                        .body(Full::new(bytes::Bytes::from_static(BODY.as_bytes())))
                        .expect("a request");
                    let answer = async {
                        let answer = sender.send_request(request).await?;
                        let status = answer.status().as_u16();
                        answer.into_body().collect().await.map(|_| status)
                    };
                    match answer.await {
                        Ok(status) if status == ask.status() => done.calls += 1,
                        _ => done.failed += 1,
                    }
                }
                done
            });
        }
    }
    let all = all.join_all().await;
    Ok(all.into_iter().fold(Done::default(), |sum, done| Done {
        calls: sum.calls + done.calls,
        bytes: 0,
        failed: sum.failed + done.failed,
    }))
}
