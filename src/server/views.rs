//! What the admin listener shows of rooms that it may not reach.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::time::interval;

use super::group::Group;
use super::identity;
use super::plan::ServingPlan;
use crate::admin::{ExampleCall, MemoryFreshness, ThisInstance, Views};
use crate::cache::{Freshness, KeyCache};
use crate::clock::Clock;
use crate::config::Config;
use crate::proxy::ProxyPlan;
use crate::telemetry::Telemetry;
use crate::telemetry::metrics::RequestOutcome;
use crate::telemetry::refusals::{Refusals, Refused};
use crate::telemetry::traffic::{LOOK_EVERY, Traffic, TrafficSample};

/// The views of a server that runs.
pub(super) struct ServerViews {
    /// What people call this instance.
    name: String,
    /// Where calls come in.
    calls_at: String,
    /// How calls are served now.
    plan: ArcSwap<ProxyPlan>,
    keys: KeyCache,
    refusals: Refusals,
    traffic: Traffic,
}

impl ServerViews {
    /// Of a server with these settings, whose data listener is at `calls`.
    pub(super) fn new(
        config: &Config,
        calls: SocketAddr,
        plan: &ServingPlan,
        keys: &KeyCache,
        telemetry: &Telemetry,
    ) -> Self {
        let scheme = if config.tls.is_some() {
            "https"
        } else {
            "http"
        };
        Self {
            name: identity::of(&config.server).name.to_string(),
            calls_at: format!("{scheme}://{calls}"),
            plan: ArcSwap::new(Arc::clone(&plan.proxy)),
            keys: keys.clone(),
            refusals: telemetry.refusals.clone(),
            traffic: telemetry.traffic.clone(),
        }
    }

    /// From now on calls are served by `plan`.
    pub(super) fn adopt(&self, plan: &ServingPlan) {
        self.plan.store(Arc::clone(&plan.proxy));
    }
}

impl Views for ServerViews {
    fn this_instance(&self) -> ThisInstance {
        let state = self.keys.state();
        let example = self.plan.load().example();
        ThisInstance {
            name: self.name.clone(),
            memory: match state.freshness {
                Freshness::Empty => MemoryFreshness::Empty,
                Freshness::Fresh => MemoryFreshness::Fresh,
                Freshness::Degraded => MemoryFreshness::Degraded,
                Freshness::Stale => MemoryFreshness::Stale,
            },
            age: state.age,
            is_complete: state.is_complete,
            is_sealed: state.is_sealed,
            calls_at: self.calls_at.clone(),
            example: example.map(|(path, body)| ExampleCall { path, body }),
        }
    }

    fn refusals(&self) -> Vec<Refused> {
        self.refusals.latest()
    }

    fn outcomes(&self) -> Vec<(RequestOutcome, u64)> {
        self.traffic.outcomes()
    }

    fn traffic(&self) -> Vec<TrafficSample> {
        self.traffic.samples()
    }
}

/// Begins to look at the traffic, again and again.
pub(super) fn begin(telemetry: &Telemetry, clock: &Clock, group: &Group) {
    let (telemetry, clock) = (telemetry.clone(), clock.clone());
    let looking = async move {
        let mut looks = interval(LOOK_EVERY);
        loop {
            looks.tick().await;
            let now = clock.unix_time().as_secs();
            telemetry.traffic.look(clock.elapsed(), now);
        }
    };
    group.spawn_until_stopped("traffic", looking);
}
