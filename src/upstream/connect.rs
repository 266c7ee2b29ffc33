//! The pool of connections to one server of an upstream: the only file that names the HTTP client.

use std::cell::RefCell;
use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::TryFutureExt;
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

use super::{Executor, UpstreamError, UpstreamLimits};
use crate::telemetry::causes;
use crate::tls::ClientTls;

/// Kept-alive connections to one server, for one worker: never shared between threads.
#[derive(Debug)]
pub(super) struct Pool<B> {
    builder: Builder,
    connector: Bounded<Secure>,
    client: RefCell<Client<Bounded<Secure>, B>>,
}

/// A request that was not answered.
#[derive(Debug)]
pub(super) struct Unanswered {
    /// Why not.
    pub(super) why: UpstreamError,
    /// Whether nothing of it can have been read, because there was never a connection for it.
    pub(super) is_unsent: bool,
}

impl<B> Pool<B>
where
    B: Body<Data: Send, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    /// An empty pool. Connections are made when they are needed, inside of TLS when there is `tls`.
    ///
    /// The client sends a request again only when it met a connection that had died unused, so nothing of the request
    /// was read by anybody (SECURITY P6).
    pub(super) fn new(
        limits: &UpstreamLimits,
        tls: Option<Arc<ClientTls>>,
        executor: impl Executor,
    ) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // Shared between the addresses of a name, so that one that is dead leaves time for the next.
        tcp.set_connect_timeout(Some(limits.connect_timeout));
        tcp.set_keepalive(Some(Duration::from_mins(1)));
        let connector = Bounded {
            connector: Secure { tcp, tls },
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
        Self {
            client: RefCell::new(builder.build(connector.clone())),
            builder,
            connector,
        }
    }

    /// Uses none of the connections again that are kept or in use now. Calls that are under way go on.
    pub(super) fn forget(&self) {
        let fresh = self.builder.build(self.connector.clone());
        self.client.replace(fresh);
    }

    /// Sends a request whose target is absolute; gives the answer's head, the body to be read.
    pub(super) fn send(
        &self,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<Incoming>, Unanswered>> + use<B> {
        let answer = self.client.borrow().request(request);
        answer.map_err(|error| {
            // Said of looking a name up, connecting and shaking hands; what comes after may have been read.
            let is_unsent = error.is_connect();
            let why = if is_tls(&error) {
                UpstreamError::Tls(Box::new(error))
            } else if !is_unsent {
                UpstreamError::Broken(Box::new(error))
            } else if is_timeout(&error) {
                UpstreamError::ConnectTimeout
            } else {
                UpstreamError::Connect(Box::new(error))
            };
            Unanswered { why, is_unsent }
        })
    }
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
    tls: Option<Arc<ClientTls>>,
}

impl Service<Uri> for Secure {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let Some(tls) = &self.tls else {
            let connecting = self.tcp.call(to);
            return Box::pin(async move { Ok(MaybeHttpsStream::Http(connecting.await?)) });
        };
        let name: Arc<dyn ResolveServerName + Send + Sync> = match tls.server_name() {
            Some(name) => Arc::new(FixedServerNameResolver::new(name.clone())),
            None => Arc::new(DefaultServerNameResolver::default()),
        };
        HttpsConnector::new(self.tcp.clone(), tls.current(), true, name).call(to)
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
