//! The keys of an upstream: as written, and checked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::credential::{CredentialLocation, HeaderNameText, LiveSecret, PlainValue, SecretValue};
use crate::key::ModelPattern;
use crate::tls::{ClientTls, UpstreamTlsConfig};
use crate::upstream::keys::check_service_account;

/// The most keys of one upstream.
pub const MOST_KEYS: usize = 64;

/// Whose API an upstream speaks, and so where a key of it is put.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// `Authorization: Bearer`, as nearly everybody has it.
    #[default]
    Openai,
    /// `x-api-key`.
    Anthropic,
    /// `api-key`.
    Azure,
    /// `x-goog-api-key`.
    Vertex,
    /// `Authorization: Bearer`.
    Bedrock,
    /// `Authorization: Bearer`.
    Huggingface,
    /// `Authorization: Bearer`.
    Baseten,
}

impl Provider {
    /// Its name, as written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Openai => "openai",
            Self::Anthropic => "anthropic",
            Self::Azure => "azure",
            Self::Vertex => "vertex",
            Self::Bedrock => "bedrock",
            Self::Huggingface => "huggingface",
            Self::Baseten => "baseten",
        }
    }

    /// Where the text of a key is put.
    #[must_use]
    pub fn location(self) -> CredentialLocation {
        let header = |name| CredentialLocation::Header {
            name: HeaderNameText::from_static(name),
            schemes: Vec::new(),
        };
        match self {
            Self::Anthropic => header("x-api-key"),
            Self::Azure => header("api-key"),
            Self::Vertex => header("x-goog-api-key"),
            Self::Openai | Self::Bedrock | Self::Huggingface | Self::Baseten => {
                CredentialLocation::Authorization {
                    schemes: vec!["Bearer".to_owned()],
                }
            }
        }
    }
}

/// One key of an upstream, as written. The names are those of Bifrost's settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamKeyConfig {
    /// What it is called in lists and metrics: unique in its upstream.
    pub id: String,
    /// What people call it; its id when absent.
    pub name: Option<String>,
    /// Its text.
    pub value: Option<SecretValue>,
    /// Which models it may call: exact ids, or beginnings that end in `*`.
    #[serde(default = "every_model")]
    pub models: Vec<String>,
    /// Which of them it may not.
    #[serde(default)]
    pub denied_models: Vec<String>,
    /// Its share of the calls.
    #[serde(default)]
    pub weight: KeyWeight,
    /// Whether it is used at all.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Whether it may be used for batches and files.
    #[serde(default)]
    pub use_for_batch_api: bool,
    /// How the tokens that it stands for are fetched, when that is not as usual.
    pub tokens: Option<TokensConfig>,
    /// What Azure needs.
    pub azure_key_config: Option<AzureKeyConfig>,
    /// What Vertex needs.
    pub vertex_key_config: Option<VertexKeyConfig>,
    /// What Bedrock needs.
    pub bedrock_key_config: Option<BedrockKeyConfig>,
    /// What Hugging Face needs.
    pub huggingface_key_config: Option<HuggingfaceKeyConfig>,
}

/// How the tokens that a key stands for are fetched, as written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokensConfig {
    /// How long one attempt may take, connecting included.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub timeout: Duration,
    /// Whom we trust to give them, and what we show there, when that is at a url that begins with `https`.
    pub tls: Option<UpstreamTlsConfig>,
}

impl Default for TokensConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            tls: None,
        }
    }
}

fn every_model() -> Vec<String> {
    vec!["*".to_owned()]
}

const fn yes() -> bool {
    true
}

/// A share of the calls: finite, and not negative.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub struct KeyWeight(f64);

/// A number that is no share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a number from 0 to 1_000_000")]
pub struct NotAWeight;

impl KeyWeight {
    /// The share.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// It holds no NaN.
impl Eq for KeyWeight {}

impl Default for KeyWeight {
    fn default() -> Self {
        Self(1.0)
    }
}

impl TryFrom<f64> for KeyWeight {
    type Error = NotAWeight;

    fn try_from(weight: f64) -> Result<Self, NotAWeight> {
        // No comparison holds for NaN.
        let is_share = (0.0..=1_000_000.0).contains(&weight);
        is_share.then_some(Self(weight)).ok_or(NotAWeight)
    }
}

/// What a key of Azure needs, as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AzureKeyConfig {
    /// The resource, which must be where the upstream's url leads.
    pub endpoint: Option<PlainValue>,
    /// The deployment of each model that has another name there.
    pub deployments: BTreeMap<String, String>,
    /// The version that is asked for where a call asks for none.
    pub api_version: Option<PlainValue>,
    /// The application that calls, instead of a key.
    pub client_id: Option<PlainValue>,
    /// Its secret.
    pub client_secret: Option<SecretValue>,
    /// Whose application it is.
    pub tenant_id: Option<PlainValue>,
    /// What its tokens are for.
    pub scopes: Vec<String>,
    /// Where they are fetched, when that is not Entra's usual place.
    pub token_url: Option<String>,
}

/// What a key of Vertex needs, as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VertexKeyConfig {
    /// The project that pays.
    pub project_id: Option<PlainValue>,
    /// Its number, by which tuned models are found.
    pub project_number: Option<PlainValue>,
    /// Where its models are.
    pub region: Option<PlainValue>,
    /// The JSON of a service account, instead of a key.
    pub auth_credentials: Option<SecretValue>,
    /// The model or the endpoint of each model that has another name there.
    pub deployments: BTreeMap<String, String>,
}

/// What a key of Bedrock needs, as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BedrockKeyConfig {
    /// The access key id, instead of a key.
    pub access_key: Option<SecretValue>,
    /// Its secret.
    pub secret_key: Option<SecretValue>,
    /// The token of a session, where they are temporary.
    pub session_token: Option<SecretValue>,
    /// Where the models are.
    pub region: Option<PlainValue>,
    /// What stands before a model's id.
    pub arn: Option<PlainValue>,
    /// The inference profile of each model that has one.
    pub deployments: BTreeMap<String, String>,
    /// Where batches are kept. It is shown, and nothing else: batches of Bedrock name their own places.
    pub batch_s3_config: Option<BatchS3Config>,
}

/// Where batches of Bedrock are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchS3Config {
    /// The buckets.
    pub buckets: Vec<S3Bucket>,
}

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Bucket {
    /// Its name.
    pub bucket_name: String,
    /// What keys in it begin with.
    #[serde(default)]
    pub prefix: String,
    /// Whether it is the one that is used unless another is named.
    #[serde(default)]
    pub is_default: bool,
}

/// What a key of Hugging Face needs, as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HuggingfaceKeyConfig {
    /// The endpoint of each model that has another name there.
    pub deployments: BTreeMap<String, String>,
}

/// How the keys of an upstream are used.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyRules {
    /// How many keys one call is tried with.
    pub attempts: usize,
    /// For how long a key that was refused is left alone, the first time; each further refusal doubles it.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub rest: Duration,
    /// For how long at most, whatever the upstream says.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub longest_rest: Duration,
    /// How large a body is that can be sent again with another key, in bytes: it is remembered until the answer begins.
    pub sent_again_bytes: usize,
    /// How large a body is that can be signed, in bytes: it is held whole before anything of it is sent.
    pub signed_body_bytes: usize,
}

impl Default for KeyRules {
    fn default() -> Self {
        Self {
            attempts: 3,
            rest: Duration::from_secs(10),
            longest_rest: Duration::from_mins(5),
            sent_again_bytes: 64 * 1024,
            signed_body_bytes: 1024 * 1024,
        }
    }
}

/// One key of an upstream, checked and complete.
#[derive(Debug)]
pub struct UpstreamKey {
    /// What it is called in lists and metrics.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Its text, if it has one.
    pub value: Option<KeyValue>,
    /// Which models it may call.
    pub models: Vec<ModelPattern>,
    /// Which of them it may not.
    pub denied_models: Vec<ModelPattern>,
    /// Its share of the calls.
    pub weight: KeyWeight,
    /// Whether it is used at all.
    pub enabled: bool,
    /// Whether it may be used for batches and files.
    pub use_for_batch_api: bool,
    /// How tokens are fetched for it, if it stands for some.
    pub tokens: Option<TokenRules>,
    /// What its cloud needs.
    pub cloud: CloudKey,
}

/// How the tokens that a key stands for are fetched.
#[derive(Debug)]
pub struct TokenRules {
    /// How long one attempt may take, connecting included.
    pub timeout: Duration,
    /// How who gives them is met.
    pub tls: Arc<ClientTls>,
}

/// A value of a key, and where it came from.
#[derive(Debug, Clone)]
pub struct KeyValue {
    /// The value.
    pub secret: LiveSecret,
    /// The environment variable that held it.
    pub variable: Option<String>,
}

/// What the cloud of a key needs.
#[derive(Debug)]
pub enum CloudKey {
    /// Nothing.
    None,
    /// Azure.
    Azure(Box<AzureKey>),
    /// Vertex.
    Vertex(Box<VertexKey>),
    /// Bedrock.
    Bedrock(Box<BedrockKey>),
    /// Hugging Face.
    Huggingface(HuggingfaceKeyConfig),
}

impl CloudKey {
    /// Whether a token is presented for it, in place of what it is.
    #[must_use]
    pub const fn stands_for_a_token(&self) -> bool {
        match self {
            Self::Azure(key) => key.client_secret.is_some(),
            Self::Vertex(key) => key.auth_credentials.is_some(),
            Self::None | Self::Bedrock(_) | Self::Huggingface(_) => false,
        }
    }
}

/// What a key of Azure needs, checked; see [`AzureKeyConfig`].
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "they are those of AzureKeyConfig")]
pub struct AzureKey {
    pub endpoint: Option<KeyValue>,
    pub deployments: BTreeMap<String, String>,
    pub api_version: Option<KeyValue>,
    pub client_id: Option<KeyValue>,
    pub client_secret: Option<KeyValue>,
    pub tenant_id: Option<KeyValue>,
    pub scopes: Vec<String>,
    pub token_url: Option<String>,
}

/// What a key of Vertex needs, checked; see [`VertexKeyConfig`].
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "they are those of VertexKeyConfig")]
pub struct VertexKey {
    pub project_id: Option<KeyValue>,
    pub project_number: Option<KeyValue>,
    pub region: Option<KeyValue>,
    pub auth_credentials: Option<KeyValue>,
    pub deployments: BTreeMap<String, String>,
}

/// What a key of Bedrock needs, checked; see [`BedrockKeyConfig`].
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "they are those of BedrockKeyConfig")]
pub struct BedrockKey {
    pub access_key: Option<KeyValue>,
    pub secret_key: Option<KeyValue>,
    pub session_token: Option<KeyValue>,
    pub region: Option<KeyValue>,
    pub arn: Option<KeyValue>,
    pub deployments: BTreeMap<String, String>,
    pub batch_s3_config: Option<BatchS3Config>,
}

impl VertexKeyConfig {
    /// Checks the text of `auth_credentials`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words, and nothing of what it holds.
    pub fn check_credentials(text: &str) -> Result<(), String> {
        check_service_account(text)
    }
}

impl UpstreamKey {
    /// Every value that it has, whatever for.
    pub fn values(&self) -> impl Iterator<Item = &KeyValue> {
        let of_cloud = match &self.cloud {
            CloudKey::None | CloudKey::Huggingface(_) => [None; 6],
            CloudKey::Azure(key) => [
                key.endpoint.as_ref(),
                key.api_version.as_ref(),
                key.client_id.as_ref(),
                key.client_secret.as_ref(),
                key.tenant_id.as_ref(),
                None,
            ],
            CloudKey::Vertex(key) => [
                key.project_id.as_ref(),
                key.project_number.as_ref(),
                key.region.as_ref(),
                key.auth_credentials.as_ref(),
                None,
                None,
            ],
            CloudKey::Bedrock(key) => [
                key.access_key.as_ref(),
                key.secret_key.as_ref(),
                key.session_token.as_ref(),
                key.region.as_ref(),
                key.arn.as_ref(),
                None,
            ],
        };
        self.value.iter().chain(of_cloud.into_iter().flatten())
    }
}
