//! The keys of all upstreams as they may be shown: masked, always.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::key::ModelPattern;
use crate::upstream::{BatchS3Config, CloudKey, KeyValue, UpstreamKey, UpstreamPlan};

/// What the upstreams in force are, and their keys, masked. Copies tell the same.
#[derive(Clone)]
pub struct KeyCatalogue(watch::Receiver<Arc<[UpstreamPlan]>>);

/// An upstream.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownUpstream {
    /// Its name in the settings.
    pub name: String,
    /// Whose API it speaks.
    pub provider: &'static str,
    /// Where its first server is: scheme, host and port.
    pub url: String,
    /// Its keys, in the order of the settings.
    pub keys: Vec<ShownKey>,
}

/// A key of an upstream.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "they are those of UpstreamKeyConfig")]
pub struct ShownKey {
    pub id: String,
    pub name: String,
    pub value: ShownValue,
    pub models: Vec<String>,
    pub denied_models: Vec<String>,
    pub weight: f64,
    pub enabled: bool,
    pub use_for_batch_api: bool,
    pub cloud: ShownCloud,
}

/// What the cloud of a key needs.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "they are those of UpstreamKeyConfig")]
pub enum ShownCloud {
    None,
    Azure {
        endpoint: ShownValue,
        deployments: BTreeMap<String, String>,
        api_version: ShownValue,
        client_id: ShownValue,
        client_secret: ShownValue,
        tenant_id: ShownValue,
        scopes: Vec<String>,
    },
    Vertex {
        project_id: ShownValue,
        project_number: ShownValue,
        region: ShownValue,
        auth_credentials: ShownValue,
        deployments: BTreeMap<String, String>,
    },
    Bedrock {
        access_key: ShownValue,
        secret_key: ShownValue,
        session_token: ShownValue,
        region: ShownValue,
        arn: ShownValue,
        deployments: BTreeMap<String, String>,
        batch_s3_config: BatchS3Config,
    },
    Huggingface {
        deployments: BTreeMap<String, String>,
    },
}

/// A value of a key, masked, and where it came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShownValue {
    /// Empty when there is none.
    pub masked: String,
    /// The environment variable that held it.
    pub variable: Option<String>,
}

impl KeyCatalogue {
    /// Of whatever `plans` are in force.
    #[must_use]
    pub const fn of(plans: watch::Receiver<Arc<[UpstreamPlan]>>) -> Self {
        Self(plans)
    }

    /// Of nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self(watch::channel(Arc::default()).1)
    }

    /// The upstreams in force, in the order of their names.
    #[must_use]
    pub fn upstreams(&self) -> Vec<ShownUpstream> {
        let plans = Arc::clone(&self.0.borrow());
        let shown = plans.iter().map(|plan| {
            let server = &plan.servers[0];
            ShownUpstream {
                name: plan.name.clone(),
                provider: plan.provider.as_str(),
                url: format!("{}://{}", server.scheme, server.authority),
                keys: plan.keys.iter().map(|key| ShownKey::of(key)).collect(),
            }
        });
        shown.collect()
    }
}

impl ShownKey {
    fn of(key: &UpstreamKey) -> Self {
        let texts = |patterns: &[ModelPattern]| {
            let texts = patterns.iter().map(|pattern| pattern.as_str().to_owned());
            texts.collect()
        };
        Self {
            id: key.id.clone(),
            name: key.name.clone(),
            value: shown(key.value.as_ref()),
            models: texts(&key.models),
            denied_models: texts(&key.denied_models),
            weight: key.weight.get(),
            enabled: key.enabled,
            use_for_batch_api: key.use_for_batch_api,
            cloud: ShownCloud::of(&key.cloud),
        }
    }
}

impl ShownCloud {
    fn of(cloud: &CloudKey) -> Self {
        match cloud {
            CloudKey::None => Self::None,
            CloudKey::Azure(key) => Self::Azure {
                endpoint: shown(key.endpoint.as_ref()),
                deployments: key.deployments.clone(),
                api_version: shown(key.api_version.as_ref()),
                client_id: shown(key.client_id.as_ref()),
                client_secret: shown(key.client_secret.as_ref()),
                tenant_id: shown(key.tenant_id.as_ref()),
                scopes: key.scopes.clone(),
            },
            CloudKey::Vertex(key) => Self::Vertex {
                project_id: shown(key.project_id.as_ref()),
                project_number: shown(key.project_number.as_ref()),
                region: shown(key.region.as_ref()),
                auth_credentials: shown(key.auth_credentials.as_ref()),
                deployments: key.deployments.clone(),
            },
            CloudKey::Bedrock(key) => Self::Bedrock {
                access_key: shown(key.access_key.as_ref()),
                secret_key: shown(key.secret_key.as_ref()),
                session_token: shown(key.session_token.as_ref()),
                region: shown(key.region.as_ref()),
                arn: shown(key.arn.as_ref()),
                deployments: key.deployments.clone(),
                batch_s3_config: key.batch_s3_config.clone().unwrap_or_default(),
            },
            CloudKey::Huggingface(config) => Self::Huggingface {
                deployments: config.deployments.clone(),
            },
        }
    }
}

fn shown(value: Option<&KeyValue>) -> ShownValue {
    value.map_or_else(ShownValue::default, |value| ShownValue {
        masked: mask(value.secret.current().reveal()),
        variable: value.variable.clone(),
    })
}

/// A text that may be shown in place of `secret` (CONTRACTS 8): as many stars as it has characters, up to eight; of a
/// longer one the first four and the last four, and 24 stars between them, however long it is.
fn mask(secret: &str) -> String {
    let length = secret.chars().count();
    if length <= 8 {
        return "*".repeat(length);
    }
    let first = secret.chars().take(4);
    let last = secret.chars().skip(length - 4);
    first.chain("*".repeat(24).chars()).chain(last).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("", "")]
    #[case("a", "*")]
    #[case("12345678", "********")]
    #[case("123456789", "1234************************6789")]
    #[case("sk-proj-abcdefghijklmnop", "sk-p************************mnop")]
    #[case("schlüsse", "********")]
    #[case("äöüßäöüßx", "äöüß************************öüßx")]
    fn a_secret_is_masked_exactly(#[case] secret: &str, #[case] masked: &str) {
        assert_eq!(mask(secret), masked);
    }
}
