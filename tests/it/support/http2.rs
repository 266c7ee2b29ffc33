//! A caller that speaks HTTP/2 by prior knowledge over plain TCP.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::stream::TestBody;
use super::within;

/// One HTTP/2 connection; it closes when this is dropped.
#[derive(Debug)]
pub struct Http2Caller {
    sender: SendRequest<TestBody>,
    connection: JoinSet<hyper::Result<()>>,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct WholeAnswer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

impl Http2Caller {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = within("a connection is made", TcpStream::connect(address)).await;
        let io = TokioIo::new(stream.expect("somebody listens there"));
        let shaken = within("the preface is sent", handshake(TokioExecutor::new(), io)).await;
        let (sender, connection) = shaken.expect("our own settings are taken");
        let mut connections = JoinSet::new();
        connections.spawn(connection);
        Self {
            sender,
            connection: connections,
        }
    }

    /// Sends a request; its URI must be absolute (`http://host/path`), for `:scheme` and `:authority` come from it.
    /// Several may be under way at once.
    pub async fn send(&self, request: Request<TestBody>) -> hyper::Result<Response<Incoming>> {
        let mut sender = self.sender.clone();
        within("the connection takes a request", sender.ready()).await?;
        within("the head of an answer comes", sender.send_request(request)).await
    }

    /// Sends a request and reads the whole answer; both must succeed.
    pub async fn call(&self, request: Request<TestBody>) -> WholeAnswer {
        whole_answer(self.send(request).await.expect("an answer comes")).await
    }

    /// The same, unless the other side takes no more requests: `None` when it was not sent for that reason.
    pub async fn call_unless_closing(&self, request: Request<TestBody>) -> Option<WholeAnswer> {
        let mut sender = self.sender.clone();
        within("the connection takes a request", sender.ready())
            .await
            .ok()?;
        let sent = sender.try_send_request(request);
        match within("the head of an answer comes", sent).await {
            Ok(response) => Some(whole_answer(response).await),
            Err(mut error) => {
                // Of what came after its last stream the other side says that it was not looked at (RFC 9113, 6.8).
                let told = format!("{:?}", error.error());
                let is_unsent = error.take_message().is_some() || told.contains("NO_ERROR, Remote");
                assert!(is_unsent, "a request was sent and not answered: {told}");
                None
            }
        }
    }

    /// Waits until the other side has closed the connection.
    pub async fn closed(&mut self) -> hyper::Result<()> {
        let ended = within("the connection closes", self.connection.join_next()).await;
        ended
            .expect("it is waited for once")
            .expect("it neither panics nor is cancelled")
    }
}

/// Reads the whole of an answer, which must come to its end.
async fn whole_answer(response: Response<Incoming>) -> WholeAnswer {
    let (parts, body) = response.into_parts();
    let body = within("the body of an answer comes", body.collect()).await;
    let body = body.expect("the body comes to its end");
    let trailers = body.trailers().cloned();
    WholeAnswer {
        status: parts.status,
        headers: parts.headers,
        body: body.to_bytes(),
        trailers,
    }
}
