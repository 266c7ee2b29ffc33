//! What the fake upstream saw of one request.

use std::sync::Mutex;
use std::time::Instant;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Version};
use serde_json::json;
use tokio::sync::watch;

use crate::support::within;

/// One request, from its head on; what came later is asked with the methods.
#[derive(Debug)]
pub struct Seen {
    pub method: String,
    /// As it stood in the request line; over HTTP/2 the path and query.
    pub target: String,
    pub version: Version,
    /// What an HTTP/2 request was aimed at: `:authority`.
    pub authority: Option<String>,
    /// Names in lower case; fields of one name stand together where its first stood.
    pub headers: Vec<(String, String)>,
    /// Which connection brought it, counted from 0.
    pub connection: usize,
    /// When its head was there.
    pub at: Instant,
    pub(super) progress: Progress,
}

/// What became of the request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEnd {
    /// It came to its end.
    Complete,
    /// It broke off.
    Broken,
}

/// What became of our answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerEnd {
    /// Its last byte was handed to the socket.
    Complete,
    /// Nobody waited for its end: the connection closed, or the stream was reset.
    Dropped,
}

#[derive(Debug, Default)]
pub(super) struct Progress {
    chunks: Mutex<Vec<(Instant, Bytes)>>,
    trailers: Mutex<Option<Vec<(String, String)>>>,
    body_end: watch::Sender<Option<BodyEnd>>,
    answer_end: watch::Sender<Option<AnswerEnd>>,
    news: watch::Sender<()>,
}

impl Seen {
    pub(super) fn new(parts: &Parts, connection: usize) -> Self {
        let authority = parts
            .uri
            .authority()
            .filter(|_| parts.version < Version::HTTP_2);
        let target = match authority {
            Some(_) => parts.uri.to_string(),
            None => parts
                .uri
                .path_and_query()
                .map_or("*", |target| target.as_str())
                .to_owned(),
        };
        Self {
            method: parts.method.to_string(),
            target,
            version: parts.version,
            authority: parts
                .uri
                .authority()
                .filter(|_| parts.version == Version::HTTP_2)
                .map(ToString::to_string),
            headers: pairs(&parts.headers),
            connection,
            at: Instant::now(),
            progress: Progress::default(),
        }
    }

    /// The value of a header; the first when there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_all(name).into_iter().next()
    }

    /// Every value of a header, in order.
    pub fn header_all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(each, _)| each == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The body so far.
    pub fn body(&self) -> Vec<u8> {
        self.chunks()
            .into_iter()
            .flat_map(|(_, chunk)| chunk)
            .collect()
    }

    /// The body so far, in the pieces in which it came.
    pub fn chunks(&self) -> Vec<(Instant, Bytes)> {
        self.progress
            .chunks
            .lock()
            .expect("no test panics with it")
            .clone()
    }

    /// The trailers, once they are there.
    pub fn trailers(&self) -> Option<Vec<(String, String)>> {
        self.progress
            .trailers
            .lock()
            .expect("no test panics with it")
            .clone()
    }

    /// Waits until that many bytes of the body are there.
    pub async fn body_reaches(&self, bytes: usize) {
        let mut news = self.progress.news.subscribe();
        within("the body arrives", async {
            while self.body().len() < bytes {
                news.changed().await.expect("we hold the sender");
            }
        })
        .await;
    }

    /// Waits for the end of the body.
    pub async fn body_end(&self) -> BodyEnd {
        within("the body ends", end(&self.progress.body_end)).await
    }

    /// Waits for the end of our answer.
    pub async fn answer_end(&self) -> AnswerEnd {
        within("the answer ends", end(&self.progress.answer_end)).await
    }

    pub(super) fn add_chunk(&self, chunk: Bytes) {
        let mut chunks = self.progress.chunks.lock().expect("no test panics with it");
        chunks.push((Instant::now(), chunk));
        drop(chunks);
        self.progress.news.send_replace(());
    }

    pub(super) fn set_trailers(&self, trailers: &HeaderMap) {
        *self
            .progress
            .trailers
            .lock()
            .expect("no test panics with it") = Some(pairs(trailers));
    }

    pub(super) fn end_body(&self, how: BodyEnd) {
        self.progress.body_end.send_replace(Some(how));
    }

    /// The first word stands.
    pub(super) fn end_answer(&self, how: AnswerEnd) {
        self.progress.answer_end.send_if_modified(|end| {
            let first = end.is_none();
            end.get_or_insert(how);
            first
        });
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        json!({
            "method": self.method,
            "target": self.target,
            "version": format!("{:?}", self.version),
            "headers": self.headers,
            "body": String::from_utf8_lossy(&self.body()),
            "trailers": self.trailers(),
        })
    }
}

async fn end<T: Copy>(of: &watch::Sender<Option<T>>) -> T {
    let mut told = of.subscribe();
    let end = told
        .wait_for(Option::is_some)
        .await
        .expect("we hold the sender");
    end.expect("that is what was waited for")
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect()
}
