//! A model server that always answers, and a caller that reads whole answers.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const BODY: &str = r#"{"q":1}"#;
const ANSWER: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 200\r\n\r\n";

/// A call of `model` with `key`.
pub fn call(model: &str, key: &str) -> String {
    format!(
        "POST /models/{model}/predict HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: bench/1.0\r\naccept: */*\r\n\
         authorization: Bearer {key}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{BODY}",
        BODY.len()
    )
}

/// One caller, who keeps a connection for as long as the other side does.
pub struct Caller {
    to: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Box<[u8]>,
}

impl Caller {
    /// Connects when it is needed.
    pub fn new(to: SocketAddr) -> Self {
        Self {
            to,
            stream: None,
            buffer: vec![0; 8192].into_boxed_slice(),
        }
    }

    /// Sends one request and reads its answer whole: the status. Dropped half-way, it begins anew with a connection of
    /// its own, as after an error.
    pub async fn send(&mut self, request: &[u8]) -> io::Result<u16> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(self.to).await?,
        };
        stream.write_all(request).await?;
        let answer = read_answer(&mut stream, &mut self.buffer).await?;
        if answer.keeps {
            self.stream = Some(stream);
        }
        Ok(answer.status)
    }
}

async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

struct Answer {
    status: u16,
    keeps: bool,
}

/// Reads one answer: its head, and as many bytes as the head says.
async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<Answer> {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += read;
        let text = &buffer[..filled];
        let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = str::from_utf8(&text[..end]).map_err(io::Error::other)?;
        let mut lines = head.lines();
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let mut length = 0;
        let mut keeps = true;
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().map_err(io::Error::other)?;
            } else if name.eq_ignore_ascii_case("connection") {
                keeps = !value.eq_ignore_ascii_case("close");
            }
        }
        if filled >= end + 4 + length {
            let status = status.ok_or(io::ErrorKind::InvalidData)?;
            return Ok(Answer { status, keeps });
        }
    }
}

/// A model server that answers 200 bytes to every [`call`], on a thread of its own.
pub fn start_model() -> SocketAddr {
    let (tell_address, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            tell_address
                .send(listener.local_addr().expect("an address"))
                .expect("somebody waits for it");
            let mut callers = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                callers.spawn(answer_always(stream));
            }
        });
    });
    address.recv().expect("the model server starts")
}

async fn answer_always(mut stream: TcpStream) {
    let answer = format!("{ANSWER}{}", "x".repeat(200));
    let _ = stream.set_nodelay(true);
    let mut buffer = vec![0; 8192];
    let mut filled = 0;
    while let Ok(read @ 1..) = stream.read(&mut buffer[filled..]).await {
        filled += read;
        let whole = buffer[..filled]
            .windows(4)
            .position(|four| four == b"\r\n\r\n");
        if whole.is_some_and(|end| filled >= end + 4 + BODY.len()) {
            filled = 0;
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}
