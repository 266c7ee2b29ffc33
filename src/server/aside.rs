//! The listeners beside the data listener: admin, probes and metrics. Few callers, short answers, axum's routers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::io::{CallerIo, Silences};
use crate::proxy::ConnectionLoad;

/// How long silence may last before, inside and between requests: whoever says nothing must not keep a place from
/// whoever has something to ask, such as whether we are alive.
const QUIET: Duration = Duration::from_secs(10);
/// How long a whole connection may last: nobody needs one for longer, and a forgotten one gives its place back.
const LONGEST: Duration = Duration::from_mins(5);
/// How long answers may take once the listener closes.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long to wait when the system has no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` until stopped; more than `connections` at once wait to be accepted.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    connections: usize,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(connections));
    let graceful = GracefulShutdown::new();
    let tasks = TaskTracker::new();
    let mut protocols = auto::Builder::new(TokioExecutor::new());
    protocols
        .http1()
        .timer(TokioTimer::new())
        // Silences are CallerIo's matter.
        .header_read_timeout(None)
        .max_buf_size(32 * 1024);
    protocols
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(32)
        .max_header_list_size(32 * 1024)
        .keep_alive_interval(Duration::from_secs(20));
    let protocols = Arc::new(protocols);
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            next = next => next,
        };
        let (Ok(place), Ok((stream, peer))) = (place, accepted) else {
            sleep(PAUSE).await;
            continue;
        };
        let router = router.clone();
        let load = ConnectionLoad::default();
        let io = CallerIo::new(stream, load.clone(), Silences::brief(QUIET, LONGEST));
        let service = service_fn(move |mut request: http::Request<Incoming>| {
            request
                .extensions_mut()
                .insert(ConnectInfo::<SocketAddr>(peer));
            let busy = load.begin();
            let answered = router.clone().oneshot(request);
            async move {
                let answer = answered.await;
                drop(busy);
                answer
            }
        });
        let connection = protocols
            .serve_connection(TokioIo::new(io), service)
            .into_owned();
        let connection = graceful.watch(connection);
        tasks.spawn(async move {
            // What a caller breaks off is its own matter.
            let _ = timeout(LONGEST, connection).await;
            drop(place);
        });
    }
    let _ = timeout(LAST_WORDS, graceful.shutdown()).await;
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::Instant;

    use super::*;

    /// Whether a listener with one place comes to answer, on a clock that runs by itself, though somebody took the
    /// place before, said `said`, and says no more.
    async fn is_answered_in_time_after(said: &[u8]) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(async || "here"));
        let serving = serve(listener, router, 1, CancellationToken::new());
        let asking = async {
            let begun = Instant::now();
            let mut silent = TcpStream::connect(address).await.unwrap();
            silent.write_all(said).await.unwrap();
            let mut asker = TcpStream::connect(address).await.unwrap();
            let question = b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
            asker.write_all(question).await.unwrap();
            let mut answer = String::new();
            asker.read_to_string(&mut answer).await.unwrap();
            assert!(answer.ends_with("here"), "{answer}");
            begun.elapsed() < 3 * QUIET
        };
        tokio::select! {
            biased;
            in_time = asking => in_time,
            () = serving => false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_says_nothing_more_keeps_no_place() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        for said in [&b""[..], b"P", b"GET / HT", preface] {
            assert!(is_answered_in_time_after(said).await, "{said:?}");
        }
    }
}
