use std::sync::Arc;

use http::HeaderValue;
use http::header::HOST;
use http::uri::Authority;

use super::aim::aim;
use super::connect::{Opener, Place};
use super::health::Health;
use super::keys::Prepared;
use super::pool::Pool;
use super::{
    Call, Executor, Fleet, Handshake, HostHeader, UpstreamPlan, UpstreamProtocol, UpstreamServer,
};
use crate::message::{RequestHead, Value};
use crate::route::RequestHost;

/// One of an upstream's model servers.
pub(super) struct Server {
    pub(super) place: UpstreamServer,
    host: HeaderValue,
    pool: Pool,
    /// For the handshakes of a WebSocket, where other calls go over HTTP/2.
    websockets: Option<Pool>,
    pub(super) health: Arc<Health>,
}

impl Server {
    pub(super) fn new(
        plan: &UpstreamPlan,
        place: &UpstreamServer,
        fleet: &Fleet,
        executor: &impl Executor,
    ) -> Self {
        let pool = |protocol| {
            let to = Place::of(plan, place, protocol);
            Pool::new(Opener::new(&plan.limits, to, executor))
        };
        let is_http2 = plan.protocol == UpstreamProtocol::Http2;
        Self {
            host: HeaderValue::from_str(place.authority.as_str())
                .expect("an authority is always a header value"),
            pool: pool(plan.protocol),
            websockets: is_http2.then(|| pool(UpstreamProtocol::Http1)),
            health: fleet.health(plan, place),
            place: place.clone(),
        }
    }

    /// Closes connections that have been unused for too long.
    pub(super) fn sweep(&self) {
        self.pool.sweep();
        if let Some(websockets) = &self.websockets {
            websockets.sweep();
        }
    }

    /// Where a call's connections are.
    pub(super) fn pool_for(&self, call: &Call) -> &Pool {
        let websockets = self.websockets.as_ref();
        websockets
            .filter(|_| call.handshake.is_some())
            .unwrap_or(&self.pool)
    }

    /// Gives the request its target, its version, its host and our credential. To address it once more gives the same.
    pub(super) fn address(
        &self,
        plan: &UpstreamPlan,
        call: &Call,
        key: Option<&Prepared>,
        head: &mut RequestHead,
    ) {
        let host = self.host_for(plan.host, head);
        let target = key.map_or(&call.target, Prepared::target).clone();
        if call.handshake.is_some() {
            aim(head, &self.place, UpstreamProtocol::Http1, target, host);
            Handshake::restore(&mut head.headers);
        } else {
            aim(head, &self.place, plan.protocol, target, host);
        }
        match key {
            None => plan.credential.write(head),
            Some(key) => key.write(head),
        }
    }

    /// The one `Host` that goes on. A caller of HTTP/2 asks for its host in the target alone. An upstream that finds the
    /// model by it is sent the form that was decided on, so that it cannot find another (SECURITY S5).
    fn host_for(&self, header: HostHeader, request: &RequestHead) -> HeaderValue {
        let asked = || {
            let named = request.headers.get(&HOST).and_then(Value::to_str);
            let in_target = || request.uri.authority().map(Authority::as_str);
            let host = RequestHost::parse(named.or_else(in_target)?)?;
            HeaderValue::try_from(host.canonical()).ok()
        };
        match header {
            HostHeader::Upstream => self.host.clone(),
            HostHeader::Caller => asked().unwrap_or_else(|| self.host.clone()),
        }
    }
}
