//! The pool of connections to one upstream: the only file that names the HTTP client.

use std::cell::RefCell;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Builder, Client};
use hyper_util::rt::TokioTimer;

use super::{Executor, RequestBody, UpstreamError, UpstreamLimits};
use crate::telemetry::causes;

/// Kept-alive connections to one upstream, for one worker: never shared between threads.
#[derive(Debug)]
pub(super) struct Pool {
    builder: Builder,
    connector: HttpsConnector<HttpConnector>,
    client: RefCell<Client<HttpsConnector<HttpConnector>, RequestBody>>,
}

impl Pool {
    /// An empty pool. Connections are made when they are needed.
    ///
    /// The client sends a request again only when it met a connection that had died unused, so nothing of the request
    /// was read by anybody (SECURITY P6).
    pub(super) fn new(limits: &UpstreamLimits, executor: impl Executor) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(limits.connect_timeout));
        tcp.set_keepalive(Some(Duration::from_mins(1)));
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .expect("the provider supports the default protocol versions")
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
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
    pub(super) async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let answer = self.client.borrow().request(request);
        answer.await.map_err(|error| {
            if !error.is_connect() {
                UpstreamError::Broken(Box::new(error))
            } else if is_timeout(&error) {
                UpstreamError::ConnectTimeout
            } else {
                UpstreamError::Connect(Box::new(error))
            }
        })
    }
}

fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    causes(error)
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::TimedOut)
}
