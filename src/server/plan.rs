//! What the settings say about serving calls: replaced as a whole when they are read again.

use std::sync::Arc;

use crate::config::Config;
use crate::proxy::{AccessRules, ProxyPlan};
use crate::upstream::UpstreamPlan;

/// Everything that may change while serving. Cheap to copy.
#[derive(Clone)]
pub(super) struct ServingPlan {
    pub(super) proxy: Arc<ProxyPlan>,
    pub(super) upstreams: Arc<[UpstreamPlan]>,
}

impl ServingPlan {
    /// What `config` says.
    pub(super) fn of(config: &Config) -> Self {
        Self {
            proxy: Arc::new(ProxyPlan {
                routes: Arc::clone(&config.routes),
                locations: config.credentials.clone(),
                forwarded: config.proxy.forwarded,
                calls_of_ended_keys: config.proxy.calls_of_ended_keys,
                limits: config.proxy.limits.clone(),
                bodies: config.proxy.body_rules(),
                door: config.proxy.forward_auth.clone(),
                access: AccessRules {
                    sample: config.access_log.sample,
                    refusals_per_second: config.access_log.refusals_per_second,
                    client_address: config.access_log.client_address,
                    upstreams: config
                        .upstreams
                        .iter()
                        .map(|upstream| upstream.name.as_str().into())
                        .collect(),
                },
            }),
            upstreams: config.upstreams.clone().into(),
        }
    }
}
