//! Whether a request may go on, and where to: everything that is decided before anything is sent.

use std::rc::Rc;
use std::time::Duration;

use http::HeaderValue;

use super::access::Told;
use super::prepare::model_header;
use super::streams::Stream;
use super::target::Target;
use super::{CallsOfEndedKeys, Forwarded, Proxy, Rejection};
use crate::credential::Reading;
use crate::key::{Denial, Grant, NamedModel, Permit, UnixTime};
use crate::message::RequestHead;
use crate::route::{Forward, Matched, Route};
use crate::upstream::{HoldLimits, RequestBody};

/// A request that may go on.
pub(super) struct Admitted<'p> {
    pub(super) permit: Permit,
    pub(super) route: &'p Route,
    /// The path that goes on, when it is another than came.
    pub(super) path: Option<String>,
    /// The model it names.
    pub(super) model: Option<HeaderValue>,
    /// The same for the upstream's keys, when it has some.
    pub(super) asked: Option<String>,
    /// The host it asked for, when the upstream is to learn it.
    pub(super) host: Option<HeaderValue>,
    /// How long its body was waited for: its caller's time, not ours.
    pub(super) reading: Duration,
    /// There when it ends with its key.
    pub(super) watched: Option<Rc<Stream>>,
}

impl Proxy {
    /// Decides whether a request may go on, and where to; `found` is the route, as soon as there is one. Nothing is sent, and
    /// all is decided without waiting, but for a key that memory does not hold and for a model that must be read in the body.
    /// Who cannot show the body is refused where it must be read.
    pub(super) async fn admit<'p>(
        &'p self,
        request: &RequestHead,
        body: Option<&mut RequestBody>,
        now: UnixTime,
        told: &mut Told,
        found: &mut Option<&'p Route>,
    ) -> Result<Admitted<'p>, Rejection> {
        let plan = &*self.plan;

        // Where is this going?                                              400, 404, 405, 414, 431
        let target = Target::of(request, &plan.locations, &plan.limits)?;
        let mut matched = plan
            .routes
            .find(&request.method, target.host, target.path)?;
        told.goes_by(matched.route);
        *found = Some(matched.route);

        // Who is calling?                                                   401
        let presented = match plan.locations.read(&request.headers, &request.uri) {
            Reading::Found(presented) => presented,
            Reading::Absent => return Err(Rejection::MissingKey),
            Reading::Malformed => return Err(Rejection::MalformedKey),
        };

        // Do we know this key? In memory, or once in the database.          401, 503
        let digest = presented.digest();
        let mut grant = self.keys.known_by(digest).await?;
        told.is_by(&grant);

        // Which model does it name, in the head?                            400
        matched
            .read_head(&request.headers, request.uri.query())
            .map_err(Rejection::Ambiguous)?;

        // And in the body, where it is a scoped key's, or decides what the upstream is shown?
        //                                                        400, 401, 403, 413, 415, 503
        let mut now = now;
        let mut reading = Duration::ZERO;
        let must_read = !grant.is_for_every_model();
        let upstream = matched.route.upstream;
        if matched.route.names_model_in_body()
            && (must_read || (body.is_some() && self.upstreams.needs_model(upstream)))
        {
            let body = body.ok_or(Rejection::Denied(Denial::ModelNotNamed))?;
            let begun = self.now.elapsed_at_turn();
            Box::pin(self.read_model(request, body, &mut matched, &grant, now)).await?;
            let ended = self.now.elapsed_at_turn();
            reading = ended.saturating_sub(begun);
            // While the body came, the key may have changed.
            now = self.now.unix_time_at(ended);
            grant = self.keys.known_by(digest).await?;
            told.is_by(&grant);
        }
        told.names(matched.model());

        // May it call this model, now?                                      401, 403
        let purpose = matched.route.class.purpose();
        let permit = grant.permit(purpose, matched.model(), now);
        let permit = permit.map_err(Rejection::Denied)?;

        Ok(Admitted {
            permit,
            route: matched.route,
            path: match &matched.forward {
                Forward::AsItCame => None,
                Forward::Rewritten(path) => Some(path.path_and_query(None)),
            },
            model: model_header(matched.model()),
            asked: match matched.model() {
                NamedModel::Named(model) if self.upstreams.has_keys(upstream) => {
                    Some(model.as_str().to_owned())
                }
                _ => None,
            },
            host: match plan.forwarded {
                Forwarded::Remove => None,
                Forwarded::Replace => HeaderValue::from_str(target.host.name()).ok(),
            },
            reading,
            // Nothing is awaited between the grant and this, so that no end of it is missed.
            watched: (plan.calls_of_ended_keys == CallsOfEndedKeys::End || grant.ends_calls())
                .then(|| self.open.watch(digest, grant, purpose, matched.model())),
        })
    }

    /// Reads the model in the body, for a key that may call whatever else the request names: nobody is asked to send a
    /// body that cannot go on (SECURITY P3).
    async fn read_model(
        &self,
        request: &RequestHead,
        body: &mut RequestBody,
        matched: &mut Matched<'_, '_>,
        grant: &Grant,
        now: UnixTime,
    ) -> Result<(), Rejection> {
        let so_far = match matched.model() {
            NamedModel::NotNamed => NamedModel::NotNeeded,
            named => named,
        };
        let purpose = matched.route.class.purpose();
        let verdict = grant.check(purpose, so_far, now);
        verdict.map_err(Rejection::Denied)?;
        let limits = &self.plan.limits;
        let Some(scanner) = matched.scanner(&request.headers, &self.plan.bodies)? else {
            return Ok(());
        };
        let hold = HoldLimits {
            whole_bytes: limits.judged_whole_bytes,
            most_bytes: limits.held_body_bytes,
            all_bytes: limits.held_bodies_bytes,
        };
        let model = body.read_model(scanner, hold, &self.held).await?;
        matched.also_names(model.into());
        Ok(())
    }
}
