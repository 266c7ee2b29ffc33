//! The members of what is answered.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::Refusal;
use crate::upstream::{BatchS3Config, S3Bucket, ShownCloud, ShownKey, ShownUpstream, ShownValue};

/// A key that is presented to an upstream. What only other providers need is null.
#[derive(Serialize, ToSchema)]
#[schema(as = BifrostKey)]
pub struct UpstreamKey {
    /// Which key: unique among those of its provider.
    pub id: String,
    /// The same, under the name that newer versions of Bifrost have for it.
    pub key_id: String,
    /// What people call it.
    pub name: String,
    /// The upstream that it is presented to.
    pub provider: String,
    /// Its text, masked.
    pub value: Masked,
    /// The models that it may be used for: exact ids, or beginnings that end in `*`.
    pub models: Vec<String>,
    /// Those of them that it may not.
    pub blacklisted_models: Vec<String>,
    /// Its share of the calls.
    pub weight: f64,
    /// What Azure needs.
    #[schema(required)]
    pub azure_key_config: Option<AzureConfig>,
    /// What Vertex needs.
    #[schema(required)]
    pub vertex_key_config: Option<VertexConfig>,
    /// What Bedrock needs.
    #[schema(required)]
    pub bedrock_key_config: Option<BedrockConfig>,
    /// What Hugging Face needs.
    #[schema(required)]
    pub huggingface_key_config: Option<HuggingfaceConfig>,
    /// Whether it is used at all.
    pub enabled: bool,
    /// Whether it may be used for batches and files.
    pub use_for_batch_api: bool,
}

/// A value of a key, masked.
#[derive(Serialize, ToSchema)]
#[schema(as = BifrostValue)]
pub struct Masked {
    /// Nothing when there is none; up to eight stars for as many characters; or the first four characters, 24 stars, and
    /// the last four.
    pub value: String,
    /// `env.NAME` when it came from that environment variable, else empty.
    pub env_var: String,
    /// Whether it came from the environment.
    pub from_env: bool,
}

/// What Azure needs.
#[derive(Serialize, ToSchema)]
#[schema(as = BifrostAzureKeyConfig)]
pub struct AzureConfig {
    /// The resource.
    pub endpoint: Masked,
    /// The deployment of each model that has another name there.
    pub deployments: BTreeMap<String, String>,
    /// The version of the API.
    pub api_version: Masked,
    /// The application.
    pub client_id: Masked,
    /// Its secret.
    pub client_secret: Masked,
    /// Whose application it is.
    pub tenant_id: Masked,
    /// What its tokens are for.
    pub scopes: Vec<String>,
}

/// What Vertex needs.
#[derive(Serialize, ToSchema)]
#[schema(as = BifrostVertexKeyConfig)]
pub struct VertexConfig {
    /// The project.
    pub project_id: Masked,
    /// Its number.
    pub project_number: Masked,
    /// The region.
    pub region: Masked,
    /// The service account.
    pub auth_credentials: Masked,
    /// The model or the endpoint of each model that has another name there.
    pub deployments: BTreeMap<String, String>,
}

/// What Bedrock needs.
#[derive(Serialize, ToSchema)]
#[schema(as = BifrostBedrockKeyConfig)]
pub struct BedrockConfig {
    /// The access key.
    pub access_key: Masked,
    /// Its secret.
    pub secret_key: Masked,
    /// The token of its session.
    pub session_token: Masked,
    /// The region.
    pub region: Masked,
    /// What stands before the id of a model.
    pub arn: Masked,
    /// The inference profile of each model that has one.
    pub deployments: BTreeMap<String, String>,
    /// Where batches are kept.
    pub batch_s3_config: BatchS3,
}

/// Where batches are kept.
#[derive(Serialize, ToSchema)]
#[schema(as = BifrostBatchS3Config)]
pub struct BatchS3 {
    /// The buckets.
    pub buckets: Vec<S3Place>,
}

/// A bucket.
#[derive(Serialize, ToSchema)]
#[schema(as = BifrostS3BucketConfig)]
pub struct S3Place {
    /// Its name.
    pub bucket_name: String,
    /// What keys in it begin with.
    pub prefix: String,
    /// Whether it is the one that is used unless another is named.
    pub is_default: bool,
}

/// What Hugging Face needs.
#[derive(Serialize, ToSchema)]
#[schema(as = BifrostHuggingFaceKeyConfig)]
pub struct HuggingfaceConfig {
    /// The endpoint of each model that has another name there.
    pub deployments: BTreeMap<String, String>,
}

impl UpstreamKey {
    /// `key`, one of the upstream called `provider`.
    pub fn new(provider: &str, key: ShownKey) -> Self {
        let (mut azure, mut vertex, mut bedrock, mut huggingface) = (None, None, None, None);
        match key.cloud {
            ShownCloud::None => {}
            ShownCloud::Azure {
                endpoint,
                deployments,
                api_version,
                client_id,
                client_secret,
                tenant_id,
                scopes,
            } => {
                azure = Some(AzureConfig {
                    endpoint: endpoint.into(),
                    deployments,
                    api_version: api_version.into(),
                    client_id: client_id.into(),
                    client_secret: client_secret.into(),
                    tenant_id: tenant_id.into(),
                    scopes,
                });
            }
            ShownCloud::Vertex {
                project_id,
                project_number,
                region,
                auth_credentials,
                deployments,
            } => {
                vertex = Some(VertexConfig {
                    project_id: project_id.into(),
                    project_number: project_number.into(),
                    region: region.into(),
                    auth_credentials: auth_credentials.into(),
                    deployments,
                });
            }
            ShownCloud::Bedrock {
                access_key,
                secret_key,
                session_token,
                region,
                arn,
                deployments,
                batch_s3_config,
            } => {
                bedrock = Some(BedrockConfig {
                    access_key: access_key.into(),
                    secret_key: secret_key.into(),
                    session_token: session_token.into(),
                    region: region.into(),
                    arn: arn.into(),
                    deployments,
                    batch_s3_config: batch_s3_config.into(),
                });
            }
            ShownCloud::Huggingface { deployments } => {
                huggingface = Some(HuggingfaceConfig { deployments });
            }
        }
        Self {
            key_id: key.id.clone(),
            id: key.id,
            name: key.name,
            provider: provider.to_owned(),
            value: key.value.into(),
            models: key.models,
            blacklisted_models: key.denied_models,
            weight: key.weight,
            azure_key_config: azure,
            vertex_key_config: vertex,
            bedrock_key_config: bedrock,
            huggingface_key_config: huggingface,
            enabled: key.enabled,
            use_for_batch_api: key.use_for_batch_api,
        }
    }
}

impl From<ShownValue> for Masked {
    fn from(value: ShownValue) -> Self {
        Self {
            value: value.masked,
            from_env: value.variable.is_some(),
            env_var: value
                .variable
                .map(|name| format!("env.{name}"))
                .unwrap_or_default(),
        }
    }
}

impl From<BatchS3Config> for BatchS3 {
    fn from(config: BatchS3Config) -> Self {
        let bucket = |bucket: S3Bucket| S3Place {
            bucket_name: bucket.bucket_name,
            prefix: bucket.prefix,
            is_default: bucket.is_default,
        };
        Self {
            buckets: config.buckets.into_iter().map(bucket).collect(),
        }
    }
}

/// The keys of one provider.
#[derive(Serialize, ToSchema)]
#[schema(as = BifrostProviderKeys)]
pub struct ProviderKeys {
    /// The keys.
    pub keys: Vec<UpstreamKey>,
    /// How many they are.
    pub total: usize,
}

/// The providers.
#[derive(Serialize, ToSchema)]
#[schema(as = BifrostProviders)]
pub struct Providers {
    /// The providers, by their names.
    pub providers: Vec<Upstream>,
    /// How many they are.
    pub total: usize,
}

/// An upstream. What it has no settings for says what it does.
#[derive(Serialize, ToSchema)]
#[schema(as = BifrostProvider)]
pub struct Upstream {
    /// Its name in the settings.
    pub name: String,
    /// Where it is.
    pub network_config: NetworkConfig,
    /// How many calls at once it may be busy with.
    pub concurrency_and_buffer_size: Concurrency,
    /// Always null: upstreams are called without a proxy between.
    #[schema(required, value_type = Option<String>)]
    pub proxy_config: Option<()>,
    /// Always false: answers hold what the upstream answered, and nothing else.
    pub send_back_raw_request: bool,
    /// Always false.
    pub send_back_raw_response: bool,
    /// Whose API it speaks, when it is not called like that.
    #[schema(required)]
    pub custom_provider_config: Option<CustomProvider>,
    /// Always `active`.
    #[schema(example = "active")]
    pub provider_status: &'static str,
}

/// Where an upstream is.
#[derive(Serialize, ToSchema)]
#[schema(as = BifrostNetworkConfig)]
pub struct NetworkConfig {
    /// Scheme, host and port; of the first of several servers.
    pub base_url: String,
}

/// How many calls at once an upstream may be busy with.
#[derive(Serialize, ToSchema)]
#[schema(as = BifrostConcurrencyAndBufferSize)]
pub struct Concurrency {
    /// Always 0: no limit of its own.
    pub concurrency: u32,
    /// Always 0: nothing waits.
    pub buffer_size: u32,
}

/// Whose API an upstream speaks.
#[derive(Serialize, ToSchema)]
#[schema(as = BifrostCustomProviderConfig)]
pub struct CustomProvider {
    /// `openai`, `anthropic`, `azure`, `vertex`, `bedrock`, `huggingface` or `baseten`.
    #[schema(example = "openai")]
    pub base_provider_type: &'static str,
    /// Whether it has no keys.
    pub is_key_less: bool,
}

impl From<ShownUpstream> for Upstream {
    fn from(upstream: ShownUpstream) -> Self {
        let is_custom = upstream.name != upstream.provider;
        Self {
            custom_provider_config: is_custom.then_some(CustomProvider {
                base_provider_type: upstream.provider,
                is_key_less: upstream.keys.is_empty(),
            }),
            name: upstream.name,
            network_config: NetworkConfig {
                base_url: upstream.url,
            },
            concurrency_and_buffer_size: Concurrency {
                concurrency: 0,
                buffer_size: 0,
            },
            proxy_config: None,
            send_back_raw_request: false,
            send_back_raw_response: false,
            provider_status: "active",
        }
    }
}

/// Why the API did not do what was asked.
#[derive(Serialize, ToSchema)]
#[schema(as = BifrostError)]
pub struct ErrorBody {
    /// Always false: so Bifrost marks what it did not make itself.
    pub is_bifrost_error: bool,
    /// The status of the answer.
    pub status_code: u16,
    /// What is wrong.
    pub error: ErrorField,
    /// Always empty.
    pub extra_fields: BTreeMap<String, String>,
}

/// What is wrong.
#[derive(Serialize, ToSchema)]
#[schema(as = BifrostErrorField)]
pub struct ErrorField {
    /// For a person.
    pub message: String,
}

impl ErrorBody {
    /// The refusal in this form.
    pub fn new(refusal: &Refusal) -> Self {
        Self {
            is_bifrost_error: false,
            status_code: refusal.status.as_u16(),
            error: ErrorField {
                message: refusal.message.to_string(),
            },
            extra_fields: BTreeMap::new(),
        }
    }
}
