//! The model servers: one pool of connections to each, for each worker.

mod body;
mod config;
mod connect;
mod error;
mod framing;
mod held;
mod judged;
mod patience;

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use http::header::HOST;
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use tokio::time::Instant;

pub use body::{HoldLimits, Progress, RequestBody, TrailerFilter, UnknownModel};
pub use config::{
    CredentialConfig, HostHeader, UpstreamConfig, UpstreamCredential, UpstreamLimits, UpstreamPlan,
};
pub use error::UpstreamError;
pub use held::HeldBodies;
pub use patience::Patience;

use crate::key::Permit;
use crate::route::{RequestHost, UpstreamId};
use crate::telemetry::chain;
use crate::telemetry::metrics::UpstreamMetrics;
use connect::Pool;

/// What runs the tasks behind connections. `server` gives it, so that nothing else spawns.
pub trait Executor:
    hyper::rt::Executor<Pin<Box<dyn Future<Output = ()> + Send>>> + Clone + Send + Sync + 'static
{
}

impl<E> Executor for E where
    E: hyper::rt::Executor<Pin<Box<dyn Future<Output = ()> + Send>>>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// The model servers, as one worker reaches them.
pub struct Upstreams {
    upstreams: Vec<Upstream>,
}

struct Upstream {
    plan: UpstreamPlan,
    host: HeaderValue,
    pool: Pool,
    metrics: UpstreamMetrics,
    /// When the log was last told that there is no TLS.
    told: Cell<Option<Instant>>,
}

/// How often the log is told, by each worker: a certificate is wrong for every call, and somebody has to act.
const TELL_EVERY: Duration = Duration::from_mins(1);

impl Upstreams {
    /// Empty pools for `plans`, in the order in which [`UpstreamId`]s count them.
    pub fn new(
        plans: &[UpstreamPlan],
        metrics: impl Fn(&str) -> UpstreamMetrics,
        executor: &impl Executor,
    ) -> Self {
        let upstreams = plans.iter().map(|plan| Upstream {
            host: HeaderValue::from_str(plan.authority.as_str())
                .expect("an authority is always a header value"),
            pool: Pool::new(&plan.limits, plan.tls.clone(), executor.clone()),
            metrics: metrics(&plan.name),
            told: Cell::new(None),
            plan: plan.clone(),
        });
        Self {
            upstreams: upstreams.collect(),
        }
    }

    /// Sends one permitted call, and gives the answer's head.
    ///
    /// `target` is the path and query that go on. The caller's secret must be off the request already; ours is put on
    /// here. The request goes as HTTP/1.1 with exactly one `Host` (SECURITY F18). Dropping the future, or later the
    /// answer's body, ends the call at the upstream.
    ///
    /// # Errors
    ///
    /// When the upstream does not answer in time, or breaks off. Nothing is sent twice unless nothing was read.
    pub async fn send(
        &self,
        _permit: Permit,
        to: UpstreamId,
        target: PathAndQuery,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let upstream = &self.upstreams[to.0];
        let started = Instant::now();
        let progress = request.body().progress();
        let request = upstream.address(target, request);
        let late = body::lateness(&progress, upstream.plan.limits.head_timeout);
        let answer = tokio::select! {
            // An answer that is there is never late.
            biased;
            answer = upstream.pool.send(request) => answer,
            () = late => Err(UpstreamError::HeadTimeout),
        };
        let answer = match answer {
            Ok(answer) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => {
                Err(UpstreamError::UnaskedUpgrade)
            }
            Ok(answer) if !framing::is_sound(answer.headers()) => {
                // What its connection holds now is anybody's guess.
                upstream.pool.forget();
                Err(UpstreamError::Framing)
            }
            // The caller's side of TLS may be what broke, too.
            Err(UpstreamError::Broken(cause) | UpstreamError::Tls(cause))
                if progress.is_broken() =>
            {
                Err(progress.blame(cause))
            }
            answer => answer,
        };
        match &answer {
            Ok(_) => upstream.metrics.answered(started.elapsed()),
            Err(error) => {
                if let Some(failure) = error.failure() {
                    upstream.metrics.failed(failure);
                }
                if let UpstreamError::Tls(_) = error {
                    upstream.tell_of_tls(error);
                }
            }
        }
        answer
    }
}

impl Upstream {
    fn tell_of_tls(&self, error: &UpstreamError) {
        let now = Instant::now();
        let is_told = self.told.get().is_some_and(|told| now < told + TELL_EVERY);
        if !is_told {
            self.told.set(Some(now));
            let error = chain(error);
            tracing::error!(upstream = self.plan.name, %error, "an upstream cannot be called");
        }
    }

    /// Gives the request its absolute target, its version, its `Host` and our credential.
    fn address(&self, target: PathAndQuery, request: Request<RequestBody>) -> Request<RequestBody> {
        let (mut parts, body) = request.into_parts();
        let host = self.host_for(&parts);
        parts.headers.insert(HOST, host);
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(self.plan.scheme.clone());
        uri.authority = Some(self.plan.authority.clone());
        uri.path_and_query = Some(target);
        parts.uri =
            Uri::from_parts(uri).expect("a scheme, an authority and a path are always a URI");
        parts.version = Version::HTTP_11;
        self.plan.credential.write(&mut parts);
        Request::from_parts(parts, body)
    }

    /// The one `Host` that goes on. A caller of HTTP/2 asks for its host in the target alone. An upstream that finds the
    /// model by it is sent the form that was decided on, so that it cannot find another (SECURITY S5).
    fn host_for(&self, request: &Parts) -> HeaderValue {
        let asked = || {
            let named = request
                .headers
                .get(HOST)
                .and_then(|host| host.to_str().ok());
            let in_target = || request.uri.authority().map(Authority::as_str);
            let host = RequestHost::parse(named.or_else(in_target)?)?;
            HeaderValue::try_from(host.canonical()).ok()
        };
        match self.plan.host {
            HostHeader::Upstream => self.host.clone(),
            HostHeader::Caller => asked().unwrap_or_else(|| self.host.clone()),
        }
    }
}
