//! Asking servers how they do, where the settings say so.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::request::Parts;
use http::{HeaderValue, Request};
use http_body_util::Empty;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Executor;
use super::aim::aim;
use super::config::{HealthPlan, ProbePlan, UpstreamPlan, UpstreamServer};
use super::connect::{Opener, Place};
use super::health::{Fleet, Health};
use crate::message::RequestHead;

/// Asks every server of `plans` that is to be asked, again and again, and notes in `fleet` what it says; other servers
/// once there are other plans. Ends when nobody can give others any more. Dropping the future leaves what was noted.
pub async fn probe(
    fleet: Fleet,
    mut plans: watch::Receiver<Arc<[UpstreamPlan]>>,
    executor: impl Executor,
) {
    loop {
        let now = Arc::clone(&plans.borrow_and_update());
        let mut probes = Vec::new();
        for upstream in &*now {
            if let Some(plan) = &upstream.health.probe {
                for server in &upstream.servers {
                    probes.push(Probe::new(upstream, server, plan, &fleet, &executor).run());
                }
            }
        }
        let asking = async {
            join_all(probes).await;
            // There was nobody to be asked.
            pending::<()>().await;
        };
        tokio::select! {
            biased;
            others = plans.changed() => if others.is_err() {
                return;
            },
            () = asking => {}
        }
    }
}

/// What one server is asked.
struct Probe {
    question: Parts,
    every: Duration,
    timeout: Duration,
    health: Arc<Health>,
    plan: HealthPlan,
    /// Nothing is kept, so that connecting is asked for, too.
    opener: Opener,
}

impl Probe {
    fn new(
        upstream: &UpstreamPlan,
        server: &UpstreamServer,
        probe: &ProbePlan,
        fleet: &Fleet,
        executor: &impl Executor,
    ) -> Self {
        Self {
            question: question(upstream, server, probe),
            every: probe.every,
            timeout: probe.timeout,
            health: fleet.health(upstream, server),
            plan: upstream.health.clone(),
            opener: Opener::new(
                &upstream.limits,
                Place::of(upstream, server, upstream.protocol),
                executor,
            ),
        }
    }

    async fn run(self) {
        let mut times = interval(self.every);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            times.tick().await;
            let question = Request::from_parts(self.question.clone(), Empty::<Bytes>::new());
            let answer = timeout(self.timeout, self.opener.ask(question)).await;
            let is_good = matches!(answer, Ok(Ok(answer)) if answer.status().is_success());
            self.health.probed(is_good, &self.plan);
        }
    }
}

/// As a call comes, with our credential, for a server may ask everybody for it.
fn question(upstream: &UpstreamPlan, server: &UpstreamServer, probe: &ProbePlan) -> Parts {
    let mut question = RequestHead::default();
    let authority = server.authority.as_str();
    let host = HeaderValue::from_str(authority).expect("an authority is always a header value");
    let path = probe.path.clone();
    aim(&mut question, server, upstream.protocol, path, host);
    upstream.credential.write(&mut question);
    question.into()
}
