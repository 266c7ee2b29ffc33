//! What the log says of refusals, and how much of it.

use std::rc::Rc;

use super::Rejection;
use crate::clock::Clock;
use crate::proxy::access::PerSecond;
use crate::proxy::trace::Trace;
use crate::telemetry::chain;
use crate::upstream::UpstreamError;

/// So many refusals a worker tells of in a second: enough to see what is wrong, and no flood in the log when there is one
/// of calls.
const TOLD_PER_SECOND: u32 = 100;

/// What one worker says of refusals, at debug: the precise reason, which the caller is not told.
#[derive(Default)]
pub struct RefusalLog(PerSecond);

impl RefusalLog {
    /// Tells how many were left out, for as long as it is polled.
    pub async fn attend(self: Rc<Self>) {
        loop {
            let count = self.0.left_out().await;
            tracing::debug!(count, "more requests were refused than are told of");
        }
    }

    /// One line for a refusal, if there are not too many; two when the upstream is the reason.
    pub(in crate::proxy) fn tell(&self, why: &Rejection, trace: &Trace, clock: &Clock) {
        if !tracing::enabled!(tracing::Level::DEBUG)
            || !self.0.admits(clock.elapsed_at_turn(), TOLD_PER_SECOND)
        {
            return;
        }
        let id = trace.id();
        tracing::debug!(
            request.id = id,
            reason = why.outcome().as_str(),
            detail = %why,
            "request refused"
        );
        let Rejection::Upstream(error) = why else {
            return;
        };
        if let UpstreamError::NoKey
        | UpstreamError::KeysResting { .. }
        | UpstreamError::TooLargeToSign { .. }
        | UpstreamError::NoRoom = error
        {
            return;
        }
        let chain = chain(error);
        if let Some(failure) = error.failure() {
            let reason = failure.as_str();
            tracing::debug!(request.id = id, reason, error = %chain, "upstream did not answer");
        } else {
            tracing::debug!(request.id = id, error = %chain, "the request body broke off");
        }
    }
}
