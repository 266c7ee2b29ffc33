//! The TLS handshake with a caller, within its time, and what becomes of one that fails.

use std::io;
use std::net::SocketAddr;

use rustls::{Error, HandshakeKind};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::io::{CallerIo, Silences};
use crate::proxy::ConnectionLoad;
use crate::telemetry::metrics::{TlsHandshake, TlsMetrics};
use crate::tls::ServerTls;

/// What a TLS connection begins with: a record of the handshake (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;

/// What a caller is told that speaks plain HTTP where TLS is spoken.
const PLAIN: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n\
    content-length: 54\r\n\r\n{\"error\":\"this port speaks TLS: call it with https\"}\r\n";

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Http {
    /// HTTP/1, or HTTP/2 by prior knowledge: the first bytes tell.
    Either,
    /// HTTP/1, agreed on.
    One,
    /// HTTP/2, agreed on.
    Two,
}

/// A caller's connection inside TLS. In a box: its state is a page, and moves with every future that holds it.
pub(super) type Secured = Box<TlsStream<TcpStream>>;

/// Shakes hands with a caller; `None` when that fails, which is counted, and answered where there is an answer.
///
/// Dropping the future closes the connection.
pub(super) async fn shake_hands(
    stream: TcpStream,
    peer: SocketAddr,
    tls: &ServerTls,
    silences: Silences,
    metrics: &TlsMetrics,
) -> Option<(Secured, Http)> {
    let fail = |result: TlsHandshake, error: Option<&io::Error>| {
        metrics.shaken(result);
        let error = error.map(tracing::field::display);
        tracing::debug!(result = result.as_str(), %peer, error, "no TLS with a caller");
    };
    let deadline = Instant::now() + tls.handshake_timeout();
    let mut first = [0];
    match timeout_at(deadline, stream.peek(&mut first)).await {
        Err(_) => {
            fail(TlsHandshake::TimedOut, None);
            return None;
        }
        Ok(Ok(1)) if first[0] == HANDSHAKE => {}
        Ok(Ok(1)) => {
            fail(TlsHandshake::NotTls, None);
            let is_http = first[0].is_ascii_uppercase();
            let answer = if is_http { PLAIN } else { &[] };
            close(stream, silences, answer).await;
            return None;
        }
        Ok(Ok(_)) => {
            fail(TlsHandshake::Closed, None);
            return None;
        }
        Ok(Err(error)) => {
            fail(TlsHandshake::Closed, Some(&error));
            return None;
        }
    }
    let acceptor = TlsAcceptor::from(tls.current());
    let accepting = acceptor.accept(stream).into_fallible();
    match timeout_at(deadline, accepting).await {
        Ok(Ok(stream)) => {
            let (_, session) = stream.get_ref();
            metrics.shaken(match session.handshake_kind() {
                Some(HandshakeKind::Resumed) => TlsHandshake::Resumed,
                _ => TlsHandshake::Full,
            });
            let http = match session.alpn_protocol() {
                Some(b"h2") => Http::Two,
                // RFC 9113, 3.2: nobody speaks HTTP/2 in TLS who has not said so.
                _ => Http::One,
            };
            Some((Box::new(stream), http))
        }
        Ok(Err((error, stream))) => {
            fail(why(&error), Some(&error));
            // The alert that says why was written.
            close(stream, silences, &[]).await;
            None
        }
        Err(_) => {
            fail(TlsHandshake::TimedOut, None);
            None
        }
    }
}

/// Says its last words, and closes so that they are read.
async fn close<S: AsyncRead + AsyncWrite + Unpin>(stream: S, silences: Silences, words: &[u8]) {
    let mut io = CallerIo::new(stream, ConnectionLoad::default(), silences);
    // A caller that has gone needs no words.
    if io.write_all(words).await.is_ok() {
        let _ = io.shutdown().await;
    }
}

fn why(error: &io::Error) -> TlsHandshake {
    let inner = error.get_ref();
    let Some(error) = inner.and_then(|inner| inner.downcast_ref::<Error>()) else {
        return TlsHandshake::Closed;
    };
    match error {
        Error::NoCertificatesPresented => TlsHandshake::NoCertificate,
        Error::InvalidCertificate(_) => TlsHandshake::BadCertificate,
        Error::PeerIncompatible(_) | Error::NoApplicationProtocol => TlsHandshake::Incompatible,
        Error::AlertReceived(_) => TlsHandshake::Rejected,
        _ => TlsHandshake::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_plain_http_says_its_own_length() {
        let text = str::from_utf8(PLAIN).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())));
    }
}
