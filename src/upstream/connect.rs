//! The pool of connections to one server of an upstream: the only file that names the HTTP client.

use std::cell::RefCell;
use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::TryFutureExt;
use http::uri::PathAndQuery;
use http::{Request, Response, Uri};
use http_body::Body;
use hyper::body::Incoming;
use hyper_rustls::{
    DefaultServerNameResolver, FixedServerNameResolver, HttpsConnector, MaybeHttpsStream,
    ResolveServerName,
};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Builder, Client};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::Service;

use super::{
    Executor, UpstreamError, UpstreamLimits, UpstreamPlan, UpstreamProtocol, UpstreamServer,
};
use crate::telemetry::causes;
use crate::tls::ClientTls;

/// Kept-alive connections to one server, for one worker: never shared between threads.
#[derive(Debug)]
pub(super) struct Pool<B> {
    builder: Builder,
    connector: Bounded<Secure>,
    /// Never empty, and one alone for HTTP/1.1, whose calls each have a connection.
    lanes: RefCell<Vec<Lane<B>>>,
    /// How many calls a lane takes.
    most: usize,
}

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
}

impl Place {
    /// Wherever `uri` leads, over HTTP/1.1.
    pub(super) const fn at(uri: Uri, tls: Option<Arc<ClientTls>>) -> Self {
        Self {
            uri,
            tls,
            protocol: UpstreamProtocol::Http1,
        }
    }
}

/// A client that has one connection of HTTP/2, or as many of HTTP/1.1 as it has calls.
#[derive(Debug)]
struct Lane<B> {
    client: Client<Bounded<Secure>, B>,
    calls: Arc<AtomicUsize>,
}

/// A call's place on a connection of HTTP/2; dropping it gives the place to another.
#[derive(Debug)]
pub(super) struct Stream(Arc<AtomicUsize>);

impl Stream {
    fn on(calls: &Arc<AtomicUsize>) -> Self {
        // Relaxed: it is a count, and orders nothing.
        calls.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(calls))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that was not answered.
#[derive(Debug)]
pub(super) struct Unanswered {
    /// Why not.
    pub(super) why: UpstreamError,
    pub(super) again: Again,
}

/// Whether a request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// It may have been read.
    Never,
    /// There was never a connection for it.
    Elsewhere,
    /// It was sent, and the server says that it did not look at it; what is not empty may be gone by then.
    Once,
}

impl<B> Pool<B>
where
    B: Body<Data: Send, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    /// An empty pool. Connections are made when they are needed, and to `place`, whatever host a request names.
    ///
    /// A connection of HTTP/2 takes as many calls as the limits say, and the next call gets another: an upstream that
    /// takes fewer at once than are sent lets the others wait without a word.
    ///
    /// The client sends a request again only when it met a connection that had died unused, so nothing of the request
    /// was read by anybody (SECURITY P6).
    pub(super) fn new(limits: &UpstreamLimits, place: Place, executor: impl Executor) -> Self {
        let protocol = place.protocol;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // Shared between the addresses of a name, so that one that is dead leaves time for the next.
        tcp.set_connect_timeout(Some(limits.connect_timeout));
        tcp.set_keepalive(Some(Duration::from_mins(1)));
        let connector = Bounded {
            connector: Secure { tcp, place },
            limit: limits.connect_timeout,
        };
        let mut builder = Client::builder(executor);
        builder
            .pool_idle_timeout(limits.pool_idle_timeout)
            .pool_max_idle_per_host(limits.pool_idle_connections)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .http1_max_buf_size(limits.response_head_bytes)
            .set_host(false);
        let most = match protocol {
            UpstreamProtocol::Http1 => usize::MAX,
            UpstreamProtocol::Http2 => {
                speak_http2(&mut builder, limits);
                limits.http2_streams
            }
        };
        let pool = Self {
            lanes: RefCell::default(),
            builder,
            connector,
            most,
        };
        pool.forget();
        pool
    }

    /// Uses none of the connections again that are kept or in use now. Calls that are under way go on.
    pub(super) fn forget(&self) {
        self.lanes.replace(vec![self.lane()]);
    }

    fn lane(&self) -> Lane<B> {
        Lane {
            client: self.builder.build(self.connector.clone()),
            calls: Arc::default(),
        }
    }

    /// Does something with the first lane that has room, so that those behind it become idle and go; with a new one when it
    /// must be `apart` from all connections there are.
    fn on_lane<T>(&self, apart: bool, does: impl FnOnce(&Lane<B>) -> T) -> T {
        let mut lanes = self.lanes.borrow_mut();
        let calls = |lane: &Lane<B>| lane.calls.load(Ordering::Relaxed);
        while let [_, .., last] = &lanes[..]
            && calls(last) == 0
        {
            lanes.pop();
        }
        let free = lanes.iter().position(|lane| calls(lane) < self.most);
        let place = free.filter(|_| !apart).unwrap_or_else(|| {
            lanes.push(self.lane());
            lanes.len() - 1
        });
        does(&lanes[place])
    }

    /// Sends a request whose target is absolute; gives the answer's head, the body to be read, and what is to be kept
    /// until that has come to its end. What goes `apart` goes on a new connection.
    pub(super) fn send(
        &self,
        request: Request<B>,
        apart: bool,
    ) -> impl Future<Output = Result<(Response<Incoming>, Option<Stream>), Unanswered>> + use<B>
    {
        let (answer, stream) = self.on_lane(apart, |lane| {
            let stream = (self.most < usize::MAX).then(|| Stream::on(&lane.calls));
            (lane.client.request(request), stream)
        });
        let answer = answer.map_ok(|answer| (answer, stream));
        answer.map_err(|error| {
            // Said of looking a name up, connecting and shaking hands; what comes after may have been read.
            let again = if error.is_connect() {
                Again::Elsewhere
            } else if is_refusal(&error) {
                Again::Once
            } else {
                Again::Never
            };
            let why = if is_tls(&error) {
                UpstreamError::Tls(Box::new(error))
            } else {
                match again {
                    Again::Never => UpstreamError::Broken(Box::new(error)),
                    Again::Once => UpstreamError::Refused(Box::new(error)),
                    Again::Elsewhere if is_timeout(&error) => UpstreamError::ConnectTimeout,
                    Again::Elsewhere => UpstreamError::Connect(Box::new(error)),
                }
            };
            Unanswered { why, again }
        })
    }
}

/// Sets HTTP/2 up, every limit of ours with it.
fn speak_http2(builder: &mut Builder, limits: &UpstreamLimits) {
    const LARGEST_WINDOW: u64 = (1 << 31) - 1;
    let all = u64::from(limits.http2_stream_window_bytes) * limits.http2_streams as u64;
    // At least what it begins with, which cannot be taken back (RFC 9113, 6.9.2).
    let connection = u32::try_from(all.clamp(65_535, LARGEST_WINDOW)).unwrap_or(u32::MAX >> 1);
    let head = u32::try_from(limits.response_head_bytes).unwrap_or(u32::MAX);
    builder
        .http2_only(true)
        .http2_initial_stream_window_size(limits.http2_stream_window_bytes)
        // Calls share it: one whose caller does not read must leave the others theirs (SECURITY P10).
        .http2_initial_connection_window_size(connection)
        .http2_max_frame_size(16 * 1024)
        .http2_max_header_list_size(head)
        .http2_keep_alive_interval(limits.http2_ping_interval)
        .http2_keep_alive_timeout(limits.http2_ping_timeout);
}

/// Makes connections within a limit for all of it: the name's look-up and the TLS handshake have none of their own.
#[derive(Debug, Clone)]
struct Bounded<C> {
    connector: C,
    limit: Duration,
}

type BoxError = Box<dyn Error + Send + Sync>;

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

impl Service<Uri> for Secure {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let to = self.place.uri.clone();
        let Some(tls) = &self.place.tls else {
            let connecting = self.tcp.call(to);
            return Box::pin(async move { Ok(MaybeHttpsStream::Http(connecting.await?)) });
        };
        let name: Arc<dyn ResolveServerName + Send + Sync> = match tls.server_name() {
            Some(name) => Arc::new(FixedServerNameResolver::new(name.clone())),
            None => Arc::new(DefaultServerNameResolver::default()),
        };
        let (config, is_http2) = match self.place.protocol {
            UpstreamProtocol::Http1 => (tls.for_http1(), false),
            UpstreamProtocol::Http2 => (tls.for_http2(), true),
        };
        let connecting = HttpsConnector::new(self.tcp.clone(), config, true, name).call(to);
        Box::pin(async move {
            let stream = connecting.await?;
            if let MaybeHttpsStream::Https(tls) = &stream
                && is_http2
                && tls.inner().get_ref().1.alpn_protocol() != Some(b"h2")
            {
                return Err(NoHttp2.into());
            }
            Ok(stream)
        })
    }
}

impl<C> Service<Uri> for Bounded<C>
where
    C: Service<Uri, Error = BoxError>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connected = timeout(self.limit, self.connector.call(to));
        Box::pin(async move {
            let late = |_| Err(io::Error::from(io::ErrorKind::TimedOut).into());
            connected.await.unwrap_or_else(late)
        })
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
