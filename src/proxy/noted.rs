//! What whoever watches is told of a refusal.

use super::{Proxy, Rejection, target};
use crate::credential::Reading;
use crate::message::RequestHead;
use crate::route::Route;
use crate::telemetry::refusals::Refused;

impl Proxy {
    /// Writes the refusal of `request` for `why` down, on `route` where that is known, if not enough of them were lately.
    ///
    /// Only then is anything looked up, in memory alone: a request that goes on pays nothing for this, and of those that
    /// do not so many in a second do.
    pub(super) fn note(
        &self,
        why: &Rejection,
        route: Option<&Route>,
        request: Option<&RequestHead>,
    ) {
        self.refusals
            .note(why.outcome(), self.now.elapsed_at_turn(), || Refused {
                at_secs: self.now.unix_time().as_secs(),
                reason: why.outcome(),
                route: match (route, request) {
                    (Some(route), _) => Some(route.written.clone()),
                    (None, Some(request)) => {
                        self.route_of(request).map(|route| route.written.clone())
                    }
                    (None, None) => None,
                },
                prefix: request.and_then(|request| self.prefix_of(request)),
            });
    }

    fn route_of(&self, request: &RequestHead) -> Option<&Route> {
        let host = target::host_of(request)?;
        let found = self
            .plan
            .routes
            .find(&request.method, host, request.uri.path());
        found.ok().map(|found| found.route)
    }

    /// The prefix of the key that `request` presents, if memory holds that key: nothing of a text that is none of ours is
    /// ever written down.
    fn prefix_of(&self, request: &RequestHead) -> Option<Box<str>> {
        let locations = &self.plan.locations;
        let Reading::Found(presented) = locations.read(&request.headers, &request.uri) else {
            return None;
        };
        let grant = self.keys.held(&presented.digest())?;
        Some(grant.identity().prefix().into())
    }
}
