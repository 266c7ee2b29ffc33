//! Opening connections to one server of an upstream, for the pool or for one request.

use std::error::Error;
use std::future::Future;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use http::uri::PathAndQuery;
use http::{Request, Response, Uri};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor as _;
use hyper_rustls::{
    DefaultServerNameResolver, FixedServerNameResolver, HttpsConnector, MaybeHttpsStream,
    ResolveServerName,
};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::Service;

use super::http1::{Connection, Http1Error};
use super::{
    Executor, Task, UpstreamError, UpstreamLimits, UpstreamPlan, UpstreamProtocol, UpstreamServer,
};
use crate::telemetry::causes;
use crate::tls::ClientTls;

/// Where connections lead, and what is spoken on them.
#[derive(Debug, Clone)]
pub(super) struct Place {
    uri: Uri,
    tls: Option<Arc<ClientTls>>,
    protocol: UpstreamProtocol,
}

impl Place {
    /// `server` of `plan`.
    pub(super) fn of(
        plan: &UpstreamPlan,
        server: &UpstreamServer,
        protocol: UpstreamProtocol,
    ) -> Self {
        Self {
            uri: server.uri(server.authority.clone(), PathAndQuery::from_static("/")),
            tls: plan.tls_of(server),
            protocol,
        }
    }

    /// Wherever `uri` leads, over HTTP/1.1.
    pub(super) const fn at(uri: Uri, tls: Option<Arc<ClientTls>>) -> Self {
        Self {
            uri,
            tls,
            protocol: UpstreamProtocol::Http1,
        }
    }
}

/// Why there is no connection. Nothing was sent.
#[derive(Debug, Clone)]
pub(super) struct NotOpened(Arc<dyn Error + Send + Sync>);

impl From<BoxError> for NotOpened {
    fn from(error: BoxError) -> Self {
        Self(error.into())
    }
}

impl From<NotOpened> for UpstreamError {
    fn from(NotOpened(error): NotOpened) -> Self {
        if is_tls(&*error) {
            Self::Tls(Box::new(error))
        } else if is_timeout(&*error) {
            Self::ConnectTimeout
        } else {
            Self::Connect(Box::new(error))
        }
    }
}

/// What became of a request that was given to a connection.
impl From<hyper::Error> for UpstreamError {
    fn from(error: hyper::Error) -> Self {
        if is_tls(&error) {
            Self::Tls(Box::new(error))
        } else if is_refusal(&error) {
            Self::Refused(Box::new(error))
        } else {
            Self::Broken(Box::new(error))
        }
    }
}

/// The same over HTTP/1.1. The body is the caller's to break off, too: whoever sent it knows.
impl From<Http1Error> for UpstreamError {
    fn from(error: Http1Error) -> Self {
        if is_tls(&error) {
            Self::Tls(Box::new(error))
        } else {
            Self::Broken(Box::new(error))
        }
    }
}

/// Makes connections to one place, whatever host a request names.
pub(super) struct Opener {
    connector: Secure,
    limits: UpstreamLimits,
    tasks: Tasks,
}

/// A connection of HTTP/2; copies are the same one.
pub(super) struct Http2<B> {
    pub(super) requests: http2::SendRequest<B>,
    most_calls: Arc<dyn Fn() -> usize + Send + Sync>,
}

impl<B> Http2<B> {
    /// How many calls at once the server takes, as far as it has said by now; none once the connection has ended.
    pub(super) fn most_calls(&self) -> usize {
        (self.most_calls)()
    }
}

impl<B> Clone for Http2<B> {
    fn clone(&self) -> Self {
        Self {
            requests: self.requests.clone(),
            most_calls: Arc::clone(&self.most_calls),
        }
    }
}

/// Runs what is behind connections.
#[derive(Clone)]
pub(super) struct Tasks(Arc<dyn hyper::rt::Executor<Task> + Send + Sync>);

impl Tasks {
    /// Runs one more.
    pub(super) fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.execute(Box::pin(task));
    }
}

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.run(task);
    }
}

impl Opener {
    /// Nothing is opened yet. Of `limits` those count that are about connections.
    pub(super) fn new(limits: &UpstreamLimits, place: Place, executor: &impl Executor) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // Shared between the addresses of a name, so that one that is dead leaves time for the next.
        tcp.set_connect_timeout(Some(limits.connect_timeout));
        tcp.set_keepalive(Some(Duration::from_mins(1)));
        Self {
            connector: Secure { tcp, place },
            limits: limits.clone(),
            tasks: Tasks(Arc::new(executor.clone())),
        }
    }

    pub(super) const fn limits(&self) -> &UpstreamLimits {
        &self.limits
    }

    pub(super) fn is_http2(&self) -> bool {
        self.connector.place.protocol == UpstreamProtocol::Http2
    }

    /// What runs what is behind connections.
    pub(super) fn tasks(&self) -> Tasks {
        self.tasks.clone()
    }

    /// A connection of HTTP/1.1, for a call's exchange and the next.
    ///
    /// # Errors
    ///
    /// When there is none within the limit for all of it: looking a name up, connecting and shaking hands.
    pub(super) async fn open(&self) -> Result<Connection, NotOpened> {
        let stream = self.within_limit(self.connector.connect()).await?;
        Ok(Connection::new(
            stream.into(),
            self.limits.response_head_bytes,
        ))
    }

    /// A connection of HTTP/1.1, for one question of our own.
    ///
    /// # Errors
    ///
    /// As those of [`Opener::open`].
    async fn open_http1<B>(&self) -> Result<http1::SendRequest<B>, NotOpened>
    where
        B: Body<Data: Send, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(self.limits.response_head_bytes);
        let opening = async {
            let stream = self.connector.connect().await?;
            Ok(builder.handshake(stream).await?)
        };
        let (requests, connection) = self.within_limit(opening).await?;
        // How it ends is told to the call that it carries.
        self.tasks.execute(connection.map(drop));
        Ok(requests)
    }

    /// A connection of HTTP/2.
    ///
    /// # Errors
    ///
    /// As those of [`Opener::open`], and when the server does not agree to HTTP/2.
    pub(super) async fn open_http2<B>(&self) -> Result<Http2<B>, NotOpened>
    where
        B: Body<Data: Send, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        let builder = self.http2();
        let opening = async {
            let stream = self.connector.connect().await?;
            Ok(builder.handshake(stream).await?)
        };
        let (requests, connection) = self.within_limit(opening).await?;
        // It is asked while it is carried: when the server says how many it takes, nobody is told.
        let connection = Arc::new(Mutex::new(connection));
        let asked = Arc::downgrade(&connection);
        let most_calls = move || {
            let connection = asked.upgrade();
            connection.map_or(0, |connection| lock(&connection).current_max_send_streams())
        };
        let carrying = poll_fn(move |cx| lock(&connection).poll_unpin(cx).map(drop));
        self.tasks.execute(carrying);
        Ok(Http2 {
            requests,
            most_calls: Arc::new(most_calls),
        })
    }

    /// Sends one request on a connection of its own, and gives the answer's head and body.
    ///
    /// # Errors
    ///
    /// When it is not answered.
    pub(super) async fn ask<B>(
        &self,
        request: Request<B>,
    ) -> Result<Response<Incoming>, UpstreamError>
    where
        B: Body<Data: Send, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        Ok(if self.is_http2() {
            self.open_http2()
                .await?
                .requests
                .send_request(request)
                .await?
        } else {
            self.open_http1().await?.send_request(request).await?
        })
    }

    async fn within_limit<T>(
        &self,
        opening: impl Future<Output = Result<T, BoxError>>,
    ) -> Result<T, NotOpened> {
        let late = |_| Err(io::Error::from(io::ErrorKind::TimedOut).into());
        let opened = timeout(self.limits.connect_timeout, opening).await;
        Ok(opened.unwrap_or_else(late)?)
    }

    /// HTTP/2 with every limit of ours.
    fn http2(&self) -> http2::Builder<Tasks> {
        const LARGEST_WINDOW: u64 = (1 << 31) - 1;
        let limits = &self.limits;
        let all = u64::from(limits.http2_stream_window_bytes) * limits.http2_streams as u64;
        // At least what it begins with, which cannot be taken back (RFC 9113, 6.9.2).
        let connection = u32::try_from(all.clamp(65_535, LARGEST_WINDOW)).unwrap_or(u32::MAX >> 1);
        let head = u32::try_from(limits.response_head_bytes).unwrap_or(u32::MAX);
        let mut builder = http2::Builder::new(self.tasks.clone());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(limits.http2_stream_window_bytes)
            // Calls share it: one whose caller does not read must leave the others theirs (SECURITY P10).
            .initial_connection_window_size(connection)
            .max_frame_size(16 * 1024)
            .max_header_list_size(head)
            .keep_alive_interval(limits.http2_ping_interval)
            .keep_alive_timeout(limits.http2_ping_timeout);
        builder
    }
}

/// Nobody waits for it: one thread carries a connection and asks for it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an error is, where a type must say only that.
pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// Makes connections, and shakes hands on them with what the files of certificates hold just then.
#[derive(Debug, Clone)]
struct Secure {
    tcp: HttpConnector,
    place: Place,
}

/// The upstream goes on without having agreed on a protocol, so it would take HTTP/2 for nonsense.
#[derive(Debug, thiserror::Error)]
#[error("the upstream does not agree to HTTP/2")]
struct NoHttp2;

impl Secure {
    async fn connect(&self) -> Result<MaybeHttpsStream<TokioIo<TcpStream>>, BoxError> {
        let to = self.place.uri.clone();
        let mut tcp = self.tcp.clone();
        let Some(tls) = &self.place.tls else {
            // It is always ready.
            return Ok(MaybeHttpsStream::Http(tcp.call(to).await?));
        };
        let name: Arc<dyn ResolveServerName + Send + Sync> = match tls.server_name() {
            Some(name) => Arc::new(FixedServerNameResolver::new(name.clone())),
            None => Arc::new(DefaultServerNameResolver::default()),
        };
        let (config, is_http2) = match self.place.protocol {
            UpstreamProtocol::Http1 => (tls.for_http1(), false),
            UpstreamProtocol::Http2 => (tls.for_http2(), true),
        };
        let stream = HttpsConnector::new(tcp, config, true, name)
            .call(to)
            .await?;
        if let MaybeHttpsStream::Https(tls) = &stream
            && is_http2
            && tls.inner().get_ref().1.alpn_protocol() != Some(b"h2")
        {
            return Err(NoHttp2.into());
        }
        Ok(stream)
    }
}

/// Whether TLS was the trouble. An error of I/O holds its cause where `source` does not look.
fn is_tls(error: &(dyn Error + 'static)) -> bool {
    let inner = |error: &(dyn Error + 'static)| {
        let mut inner = error.downcast_ref::<io::Error>()?.get_ref()?;
        while let Some(further) = inner.downcast_ref::<io::Error>() {
            inner = further.get_ref()?;
        }
        inner.is::<rustls::Error>().then_some(())
    };
    causes(error).any(|error| error.is::<rustls::Error>() || inner(error).is_some())
}

fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    causes(error)
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::TimedOut)
}

/// Whether a server of HTTP/2 says that it did not look at a request (RFC 9113, 8.7): it reset the stream as refused, or went
/// away naming a last stream before it. Of a GOAWAY no other request hears: those up to the last one go on, and break when the
/// connection does.
fn is_refusal(error: &(dyn Error + 'static)) -> bool {
    causes(error)
        .filter_map(|error| error.downcast_ref::<h2::Error>())
        .any(|error| {
            let is_refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
            error.is_remote() && (is_refused || error.is_go_away())
        })
}

#[cfg(test)]
mod tests {
    use hyper_util::rt::TokioExecutor;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_to_an_upstream_holds_no_small_packet_back_and_is_looked_after() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", server.local_addr().unwrap());
        let place = Place::at(uri.parse().unwrap(), None);
        let limits = UpstreamLimits::default();
        let opener = Opener::new(&limits, place, &TokioExecutor::new());
        let MaybeHttpsStream::Http(stream) = opener.connector.connect().await.unwrap() else {
            unreachable!("no certificate was asked for");
        };
        let stream = stream.inner();
        assert!(stream.nodelay().unwrap());
        let socket = socket2::SockRef::from(stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap().as_secs(), 60);
    }
}
