//! What the fake upstream is told to answer.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use tokio::sync::watch;

use crate::support::stream::Stream;

/// One answer. Made by a constructor, refined by the methods after it; the same answer may be given many times, unless
/// it holds a [`Stream`].
#[derive(Debug, Clone)]
pub struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) payload: Payload,
    pub(super) reading: Reading,
    pub(super) gate: Option<Gate>,
    /// Written before the head, as they are.
    pub(super) aside: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(super) enum Payload {
    Echo,
    Whole(Bytes),
    Streamed(Stream),
    /// No head ever comes.
    Silence,
    /// The connection closes before the head: with a FIN, or with a reset.
    HangUp {
        reset: bool,
    },
}

/// What becomes of the request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// It is read to its end, then comes the answer.
    First,
    /// The answer comes at once; the body is read beside it.
    Beside,
    /// The answer comes at once; the body is never read.
    Never,
}

impl Answer {
    /// The request as it was seen, as JSON: `method`, `target`, `version`, `headers` (pairs, in order), `body`,
    /// `trailers`.
    pub fn echo() -> Self {
        Self::with(StatusCode::OK, Payload::Echo).header("content-type", "application/json")
    }

    /// A status and a body.
    pub fn new(status: u16, body: impl Into<Bytes>) -> Self {
        let status = StatusCode::from_u16(status).expect("a test's status is one");
        Self::with(status, Payload::Whole(body.into()))
    }

    /// 200, and a body that goes on as `stream` tells. Given once.
    pub fn streamed(stream: &Stream) -> Self {
        Self::with(StatusCode::OK, Payload::Streamed(stream.clone()))
    }

    /// As [`Answer::streamed`], as a stream of events.
    pub fn events(stream: &Stream) -> Self {
        Self::streamed(stream)
            .header("content-type", "text/event-stream")
            .header("cache-control", "no-cache")
    }

    /// No answer: the request is read, the connection stays, no head comes.
    pub fn silence() -> Self {
        Self::with(StatusCode::OK, Payload::Silence)
    }

    /// No answer: the connection is closed before the head.
    pub fn hang_up() -> Self {
        Self::with(StatusCode::OK, Payload::HangUp { reset: false })
    }

    /// No answer: the connection is reset before the head.
    pub fn reset() -> Self {
        Self::with(StatusCode::OK, Payload::HangUp { reset: true })
    }

    fn with(status: StatusCode, payload: Payload) -> Self {
        Self {
            status,
            headers: Vec::new(),
            payload,
            reading: Reading::First,
            gate: None,
            aside: Vec::new(),
        }
    }

    /// With one header more.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("a test's header value is one");
        self.headers.push((HeaderName::from_static(name), value));
        self
    }

    /// The head comes once the gate is open.
    pub fn behind(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    /// The answer comes while the request's body is still coming; the body is read beside it.
    pub fn early(mut self) -> Self {
        self.reading = Reading::Beside;
        self
    }

    /// The answer comes at once, and the request's body is never read.
    pub fn unread(mut self) -> Self {
        self.reading = Reading::Never;
        self
    }

    /// An informational answer (1xx) goes before; only over HTTP/1.
    pub fn after_informational(mut self, status: u16, headers: &[(&str, &str)]) -> Self {
        use std::io::Write;
        write!(self.aside, "HTTP/1.1 {status} Informational\r\n").expect("memory takes it");
        for (name, value) in headers {
            write!(self.aside, "{name}: {value}\r\n").expect("memory takes it");
        }
        self.aside.extend(b"\r\n");
        self
    }
}

/// Closed until it is opened, then open for good; copies are the same gate.
#[derive(Debug, Clone)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    pub fn closed() -> Self {
        Self(watch::Sender::new(false))
    }

    pub fn open(&self) {
        self.0.send_replace(true);
    }

    pub async fn passed(&self) {
        let open = self.0.subscribe().wait_for(|open| *open).await.is_ok();
        assert!(open, "a gate outlives whoever waits at it");
    }
}
