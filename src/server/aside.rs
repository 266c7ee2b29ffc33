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

/// How long the head of a request, and silence between requests, may last.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
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
        .header_read_timeout(HEAD_TIMEOUT)
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
        let service = service_fn(move |mut request: http::Request<Incoming>| {
            request
                .extensions_mut()
                .insert(ConnectInfo::<SocketAddr>(peer));
            router.clone().oneshot(request)
        });
        let connection = protocols
            .serve_connection(TokioIo::new(stream), service)
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
