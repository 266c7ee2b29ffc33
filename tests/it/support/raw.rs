//! HTTP/1.1 to the byte: writes what it is given, and reads answers without mending them.

use std::io;
use std::net::SocketAddr;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::within;

/// One TCP connection: a caller's, or one that [`RawUpstream`](super::raw_upstream::RawUpstream) accepted. Every wait has the limit of [`within`].
#[derive(Debug)]
pub struct RawConnection {
    stream: TcpStream,
    /// Received, and not yet handed out.
    pending: Vec<u8>,
}

/// The head of a request or an answer, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// `GET /a HTTP/1.1`, `HTTP/1.1 200 OK`.
    pub start: String,
    /// Names and values as they stood, in order.
    pub fields: Vec<(String, String)>,
    /// Every byte, the blank line included.
    pub bytes: Vec<u8>,
}

/// A body, taken out of its framing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawBody {
    pub bytes: Vec<u8>,
    /// What followed the last chunk.
    pub trailers: Vec<(String, String)>,
    /// Whether its end was said: the last chunk, the last counted byte, or the close where nothing else tells.
    pub is_complete: bool,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct RawAnswer {
    pub head: Head,
    pub body: RawBody,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With a FIN.
    Closed,
    /// With a reset.
    Reset,
}

impl RawConnection {
    /// Connects as a caller.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = within("a connection is made", TcpStream::connect(address)).await;
        Self::over(stream.expect("somebody listens there"))
    }

    /// Takes over a connection that was made.
    pub fn over(stream: TcpStream) -> Self {
        stream
            .set_nodelay(true)
            .expect("a new socket takes options");
        Self {
            stream,
            pending: Vec::new(),
        }
    }

    /// Writes all of it.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_write(bytes)
            .await
            .expect("the other side still reads");
    }

    /// Writes all of it, unless the other side has closed.
    pub async fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within("bytes are written", self.stream.write_all(bytes.as_ref())).await
    }

    /// Writes all of it, however long the other side takes.
    pub async fn write_all_patiently(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Says that nothing more comes from here (FIN); reading goes on.
    pub fn finish(&self) {
        SockRef::from(&self.stream)
            .shutdown(std::net::Shutdown::Write)
            .expect("the connection is still there");
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        SockRef::from(&self.stream)
            .set_linger(Some(std::time::Duration::ZERO))
            .expect("the connection is still there");
    }

    /// Sends a request and reads the answer to it.
    pub async fn call(&mut self, request: impl AsRef<[u8]>) -> RawAnswer {
        let request = request.as_ref();
        self.write(request).await;
        self.read_answer_to(request).await
    }

    /// Reads an answer, to a request that was no `HEAD`.
    pub async fn read_answer(&mut self) -> RawAnswer {
        self.read_answer_to(b"").await
    }

    async fn read_answer_to(&mut self, request: &[u8]) -> RawAnswer {
        let head = self.read_head().await;
        if request.starts_with(b"HEAD ") {
            let body = RawBody::none();
            return RawAnswer { head, body };
        }
        let body = self.read_body(&head).await;
        RawAnswer { head, body }
    }

    /// Reads a head; the connection must not end before.
    pub async fn read_head(&mut self) -> Head {
        let head = self.try_read_head().await;
        head.unwrap_or_else(|| panic!("closed before a whole head: {:?}", text(&self.pending)))
    }

    /// Reads a head, unless the connection ends before.
    pub async fn try_read_head(&mut self) -> Option<Head> {
        let bytes = self.read_past(b"\r\n\r\n").await?;
        let lines = text(&bytes);
        let mut lines = lines.trim_end_matches("\r\n").split("\r\n");
        let start = lines.next().expect("split yields at least one").to_owned();
        Some(Head {
            start,
            fields: lines.map(field).collect(),
            bytes,
        })
    }

    /// Reads the body that `head` announces; one that breaks off is returned as far as it came.
    pub async fn read_body(&mut self, head: &Head) -> RawBody {
        if head.has_no_body() {
            return RawBody::none();
        }
        if head.field("transfer-encoding").is_some() {
            return self.read_chunks().await;
        }
        if let Some(length) = head.field("content-length") {
            let length = length.parse().expect("a content-length that can be read");
            let is_complete = self.fill(length).await;
            let bytes = self
                .pending
                .drain(..length.min(self.pending.len()))
                .collect();
            return RawBody {
                bytes,
                trailers: Vec::new(),
                is_complete,
            };
        }
        let (bytes, ending) = self.until_closed().await;
        RawBody {
            bytes,
            trailers: Vec::new(),
            is_complete: ending == Ending::Closed,
        }
    }

    async fn read_chunks(&mut self) -> RawBody {
        let mut body = RawBody::default();
        while let Some(chunk) = self.read_chunk().await {
            if chunk.is_empty() {
                let mut line = self.read_past(b"\r\n").await;
                while let Some(trailer) = line.as_deref().filter(|line| *line != b"\r\n") {
                    body.trailers
                        .push(field(text(trailer).trim_end_matches("\r\n")));
                    line = self.read_past(b"\r\n").await;
                }
                body.is_complete = line.is_some();
                break;
            }
            body.bytes.extend(chunk);
        }
        body
    }

    /// Reads one chunk; an empty one is the last. `None` when the connection ends before its end.
    pub async fn read_chunk(&mut self) -> Option<Vec<u8>> {
        let line = self.read_past(b"\r\n").await?;
        let size = text(&line);
        let size = size
            .trim_end_matches("\r\n")
            .split(';')
            .next()
            .expect("split yields at least one");
        let size = usize::from_str_radix(size, 16).expect("a chunk size that can be read");
        if size == 0 {
            return Some(Vec::new());
        }
        let is_whole = self.fill(size + 2).await;
        is_whole.then(|| {
            let chunk: Vec<u8> = self.pending.drain(..size + 2).collect();
            assert!(
                chunk.ends_with(b"\r\n"),
                "a chunk without its line end: {:?}",
                text(&chunk)
            );
            chunk[..size].to_vec()
        })
    }

    /// Reads so many bytes, whatever they are.
    pub async fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        assert!(
            self.fill(count).await,
            "closed after {:?}",
            text(&self.pending)
        );
        self.pending.drain(..count).collect()
    }

    /// Reads so many bytes, unless the connection ends before.
    pub async fn try_read_exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        self.fill(count)
            .await
            .then(|| self.pending.drain(..count).collect())
    }

    /// Reads to the end of the connection: what still came, and how it ended.
    pub async fn until_closed(&mut self) -> (Vec<u8>, Ending) {
        let ending = loop {
            match self.read_more().await {
                Ok(0) => break Ending::Closed,
                Ok(_) => {}
                Err(_) => break Ending::Reset,
            }
        };
        (std::mem::take(&mut self.pending), ending)
    }

    /// Whether nothing has come that was not handed out, and the connection has not ended, as far as is known now.
    pub fn is_quiet(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.stream.try_read(&mut buffer) {
            Ok(count) => self.pending.extend(&buffer[..count]),
            Err(error) => {
                return error.kind() == io::ErrorKind::WouldBlock && self.pending.is_empty();
            }
        }
        false
    }

    /// Takes in what has come, for whoever reads later; whether the connection has ended.
    pub fn take_in(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.try_read(&mut buffer) {
                Ok(0) => return true,
                Ok(count) => self.pending.extend(&buffer[..count]),
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
    }

    /// Everything up to and with `end`; `None` when the connection ends before.
    async fn read_past(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self
                .pending
                .windows(end.len())
                .position(|window| window == end)
            {
                return Some(self.pending.drain(..at + end.len()).collect());
            }
            if !matches!(self.read_more().await, Ok(1..)) {
                return None;
            }
        }
    }

    /// Whether so many bytes could be had.
    async fn fill(&mut self, count: usize) -> bool {
        while self.pending.len() < count {
            if !matches!(self.read_more().await, Ok(1..)) {
                return false;
            }
        }
        true
    }

    async fn read_more(&mut self) -> io::Result<usize> {
        let so_far = format!("bytes come after {:?}", text(&self.pending));
        within(&so_far, self.stream.read_buf(&mut self.pending)).await
    }
}

impl Head {
    /// The status of an answer.
    pub fn status(&self) -> u16 {
        let status = self
            .start
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        status.unwrap_or_else(|| panic!("not the first line of an answer: {:?}", self.start))
    }

    /// The value of a field, its name in any case; the first when there are several.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.all(name).into_iter().next()
    }

    /// Every value of a field, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self
            .fields
            .iter()
            .filter(|(each, _)| each.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    fn has_no_body(&self) -> bool {
        if self.start.starts_with("HTTP/") {
            return matches!(self.status(), 100..200 | 204 | 304);
        }
        self.field("transfer-encoding").is_none() && self.field("content-length").is_none()
    }
}

impl RawBody {
    fn none() -> Self {
        Self {
            is_complete: true,
            ..Self::default()
        }
    }
}

impl RawAnswer {
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        text(&self.body.bytes)
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body.bytes)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {:?}", self.text()))
    }
}

fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    (name.to_owned(), value.trim_matches([' ', '\t']).to_owned())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
