//! The keys of an upstream: what each needs, read and put together.

use std::sync::Arc;

use crate::credential::{LiveSecret, PlainValue, SecretSource, SecretText, SecretValue};
use crate::key::ModelPattern;
use crate::telemetry::chain;
use crate::tls::ClientTls;
use crate::upstream::{
    AzureKey, AzureKeyConfig, BedrockKey, BedrockKeyConfig, CloudKey, CredentialConfig, KeyRules,
    KeyValue, MOST_KEYS, Provider, TokenRules, UpstreamConfig, UpstreamCredential, UpstreamKey,
    UpstreamKeyConfig, VertexKey, VertexKeyConfig,
};

use super::environment::Environment;
use super::path::Path;
use super::secret;
use super::servers::name;
use super::values::{Checks, TIMES};

/// The keys of `upstream` at `path`, each complete; nothing when something is missing.
pub fn plan(
    upstream: &UpstreamConfig,
    path: &Path,
    environment: &Environment,
    checks: &mut Checks<'_>,
) -> Option<Vec<Arc<UpstreamKey>>> {
    let keys = path.key("keys");
    rules(&upstream.key_rules, &path.key("key_rules"), checks);
    if upstream.keys.is_empty() {
        return Some(Vec::new());
    }
    if upstream.credential != (CredentialConfig::None {}) {
        checks.wrong(
            &keys,
            "stand beside `credential`: say in one way what is presented",
        );
    }
    if upstream.keys.len() > MOST_KEYS {
        checks.wrong(&keys, format!("are more than {MOST_KEYS}"));
    }
    let servers = upstream.servers.values().map(|server| &*server.url);
    let urls: Vec<&str> = upstream.url.as_deref().into_iter().chain(servers).collect();
    let planned: Vec<_> = upstream
        .keys
        .iter()
        .enumerate()
        .map(|(place, config)| {
            let at = keys.index(place);
            name(&config.id, &at.key("id"), checks);
            let before = &upstream.keys[..place];
            if let Some(other) = before.iter().position(|other| other.id == config.id) {
                let message = format!("is the id of `{}`, too", keys.index(other));
                checks.wrong(&at.key("id"), message);
            }
            let mut reader = Reader {
                provider: upstream.provider,
                enabled: config.enabled,
                path: at,
                urls: &urls,
                environment,
                checks: &mut *checks,
            };
            reader.key(config).map(Arc::new).ok()
        })
        .collect();
    planned.into_iter().collect()
}

fn rules(rules: &KeyRules, path: &Path, checks: &mut Checks<'_>) {
    checks.within(&path.key("attempts"), rules.attempts, 1..=MOST_KEYS, "keys");
    checks.time(&path.key("rest"), rules.rest, TIMES);
    checks.time(&path.key("longest_rest"), rules.longest_rest, TIMES);
    if rules.longest_rest < rules.rest {
        let message = "must not be shorter than `rest`, the first one";
        checks.wrong(&path.key("longest_rest"), message);
    }
    let again = path.key("sent_again_bytes");
    checks.within(&again, rules.sent_again_bytes, 0..=1024 * 1024, "bytes");
    let signed = path.key("signed_body_bytes");
    checks.within(
        &signed,
        rules.signed_body_bytes,
        0..=64 * 1024 * 1024,
        "bytes",
    );
}

/// A mistake that was noted.
struct Noted;

/// Reads one key.
struct Reader<'r, 'c> {
    provider: Provider,
    enabled: bool,
    path: Path,
    /// Where the upstream's servers are.
    urls: &'r [&'r str],
    environment: &'r Environment,
    checks: &'r mut Checks<'c>,
}

impl<'c> Reader<'_, 'c> {
    fn key(&mut self, config: &UpstreamKeyConfig) -> Result<UpstreamKey, Noted> {
        let location = self.provider.location();
        let can_stand = move |secret: &SecretText| {
            let fixed = UpstreamCredential::fixed(secret.clone(), location.clone());
            fixed.map(drop).map_err(|error| error.to_string())
        };
        let value = config.value.as_ref().map(|SecretValue(source)| source);
        let value = self.read("value", value, can_stand);
        let models = self.patterns("models", &config.models);
        let denied = self.patterns("denied_models", &config.denied_models);
        let cloud = self.cloud(config);
        let (value, cloud) = (value?, cloud?);
        self.opens_something(value.is_some(), &cloud);
        let tokens = self.tokens(config, &cloud);
        Ok(UpstreamKey {
            id: config.id.clone(),
            name: config.name.clone().unwrap_or_else(|| config.id.clone()),
            value,
            models: models?,
            denied_models: denied?,
            weight: config.weight,
            enabled: config.enabled,
            use_for_batch_api: config.use_for_batch_api,
            tokens: tokens?,
            cloud,
        })
    }

    /// How tokens are fetched, for a key that stands for some. One that is not used may lack its files.
    fn tokens(
        &mut self,
        config: &UpstreamKeyConfig,
        cloud: &CloudKey,
    ) -> Result<Option<TokenRules>, Noted> {
        let at = self.path.key("tokens");
        if !cloud.stands_for_a_token() {
            if config.tokens.is_some() {
                let message =
                    "are for keys that stand for some, by `client_secret` or `auth_credentials`";
                self.checks.wrong(&at, message);
            }
            return Ok(None);
        }
        let tokens = config.tokens.clone().unwrap_or_default();
        self.checks.time(&at.key("timeout"), tokens.timeout, TIMES);
        let at = at.key("tls");
        let azure = config.azure_key_config.as_ref();
        let url = azure.and_then(|azure| azure.token_url.as_deref());
        if tokens.tls.is_some() && url.is_some_and(|url| url.starts_with("http://")) {
            let message = "is for a `token_url` that begins with `https`";
            self.checks.wrong(&at, message);
        }
        match ClientTls::open(&tokens.tls.unwrap_or_default()) {
            Ok(tls) => Ok(Some(TokenRules {
                timeout: tokens.timeout,
                tls: Arc::new(tls),
            })),
            Err(_) if !self.enabled => Ok(None),
            Err(error) => {
                let told = chain(&error).to_string();
                self.checks.wrong(&at.key(error.setting()), told);
                Err(Noted)
            }
        }
    }

    /// Notes that a key cannot open anything.
    fn opens_something(&mut self, has_value: bool, cloud: &CloudKey) {
        let lacks = match cloud {
            CloudKey::None | CloudKey::Huggingface(_) => "lacks `value`",
            CloudKey::Azure(_) => "lacks `value`, or `client_id`, `client_secret` and `tenant_id`",
            CloudKey::Vertex(_) => "lacks `value`, or `auth_credentials`",
            CloudKey::Bedrock(_) => "lacks `value`, or `access_key` and `secret_key`",
        };
        let has_other = match cloud {
            CloudKey::None | CloudKey::Huggingface(_) => false,
            CloudKey::Azure(key) => key.client_secret.is_some(),
            CloudKey::Vertex(key) => key.auth_credentials.is_some(),
            CloudKey::Bedrock(key) => key.secret_key.is_some(),
        };
        let is_told = self.checks.is_mistaken(&self.path.key("value"));
        if self.enabled && !has_value && !has_other && !is_told {
            self.checks.wrong(&self.path, lacks);
        }
    }

    fn cloud(&mut self, config: &UpstreamKeyConfig) -> Result<CloudKey, Noted> {
        let blocks = [
            (
                "azure_key_config",
                Provider::Azure,
                config.azure_key_config.is_some(),
            ),
            (
                "vertex_key_config",
                Provider::Vertex,
                config.vertex_key_config.is_some(),
            ),
            (
                "bedrock_key_config",
                Provider::Bedrock,
                config.bedrock_key_config.is_some(),
            ),
            (
                "huggingface_key_config",
                Provider::Huggingface,
                config.huggingface_key_config.is_some(),
            ),
        ];
        for (name, provider, is_there) in blocks {
            if is_there && provider != self.provider {
                let message = format!("is for `provider = \"{}\"`", provider.as_str());
                self.checks.wrong(&self.path.key(name), message);
            }
        }
        Ok(match self.provider {
            Provider::Openai | Provider::Anthropic | Provider::Baseten => CloudKey::None,
            Provider::Azure => {
                let azure = config.azure_key_config.clone().unwrap_or_default();
                CloudKey::Azure(Box::new(self.azure(azure)?))
            }
            Provider::Vertex => {
                let vertex = config.vertex_key_config.clone().unwrap_or_default();
                CloudKey::Vertex(Box::new(self.vertex(vertex)?))
            }
            Provider::Bedrock => {
                let bedrock = config.bedrock_key_config.clone().unwrap_or_default();
                CloudKey::Bedrock(Box::new(self.bedrock(bedrock)?))
            }
            Provider::Huggingface => {
                let config = config.huggingface_key_config.clone();
                CloudKey::Huggingface(config.unwrap_or_default())
            }
        })
    }

    fn azure(&mut self, config: AzureKeyConfig) -> Result<AzureKey, Noted> {
        let mut at = self.inside("azure_key_config");
        let endpoint = at.plain("endpoint", config.endpoint.as_ref());
        let api_version = at.plain("api_version", config.api_version.as_ref());
        let client_id = at.plain("client_id", config.client_id.as_ref());
        let client_secret = at.secret("client_secret", config.client_secret.as_ref());
        let tenant_id = at.plain("tenant_id", config.tenant_id.as_ref());
        if let Ok(Some(endpoint)) = &endpoint {
            let same = |url: &&str| {
                let endpoint = endpoint.secret.current();
                let endpoint = endpoint.reveal().trim_end_matches('/');
                endpoint.eq_ignore_ascii_case(url.trim_end_matches('/'))
            };
            if at.enabled && !at.urls.iter().any(same) {
                let message =
                    "is not where the upstream's url leads; another resource is another upstream";
                at.checks.wrong(&at.path.key("endpoint"), message);
            }
        }
        if let Some(url) = &config.token_url
            && !(url.starts_with("https://") || url.starts_with("http://"))
        {
            let message = "must be a url that begins with `https://`";
            at.checks.wrong(&at.path.key("token_url"), message);
        }
        let parts = [
            ("client_id", config.client_id.is_some()),
            ("client_secret", config.client_secret.is_some()),
            ("tenant_id", config.tenant_id.is_some()),
        ];
        at.all_or_none(&parts);
        Ok(AzureKey {
            endpoint: endpoint?,
            deployments: config.deployments,
            api_version: api_version?,
            client_id: client_id?,
            client_secret: client_secret?,
            tenant_id: tenant_id?,
            scopes: config.scopes,
            token_url: config.token_url,
        })
    }

    fn vertex(&mut self, config: VertexKeyConfig) -> Result<VertexKey, Noted> {
        let mut at = self.inside("vertex_key_config");
        let project_id = at.plain("project_id", config.project_id.as_ref());
        let project_number = at.plain("project_number", config.project_number.as_ref());
        let region = at.plain("region", config.region.as_ref());
        let credentials = config.auth_credentials.as_ref();
        let credentials = credentials.map(|SecretValue(source)| source);
        let auth_credentials = at.read("auth_credentials", credentials, |text| {
            VertexKeyConfig::check_credentials(text.reveal())
        });
        if config.auth_credentials.is_some() {
            let parts = [
                ("project_id", config.project_id.is_some()),
                ("region", config.region.is_some()),
            ];
            at.needs("auth_credentials", &parts);
        }
        Ok(VertexKey {
            project_id: project_id?,
            project_number: project_number?,
            region: region?,
            auth_credentials: auth_credentials?,
            deployments: config.deployments,
        })
    }

    fn bedrock(&mut self, config: BedrockKeyConfig) -> Result<BedrockKey, Noted> {
        let mut at = self.inside("bedrock_key_config");
        let access_key = at.secret("access_key", config.access_key.as_ref());
        let secret_key = at.secret("secret_key", config.secret_key.as_ref());
        let session_token = at.secret("session_token", config.session_token.as_ref());
        let region = at.plain("region", config.region.as_ref());
        let arn = at.plain("arn", config.arn.as_ref());
        let parts = [
            ("access_key", config.access_key.is_some()),
            ("secret_key", config.secret_key.is_some()),
        ];
        at.all_or_none(&parts);
        if config.secret_key.is_some() {
            at.needs("secret_key", &[("region", config.region.is_some())]);
        }
        if config.session_token.is_some() {
            at.needs("session_token", &parts);
        }
        Ok(BedrockKey {
            access_key: access_key?,
            secret_key: secret_key?,
            session_token: session_token?,
            region: region?,
            arn: arn?,
            deployments: config.deployments,
            batch_s3_config: config.batch_s3_config,
        })
    }

    /// The same for what is written in `block`.
    fn inside(&mut self, block: &str) -> Reader<'_, 'c> {
        Reader {
            provider: self.provider,
            enabled: self.enabled,
            path: self.path.key(block),
            urls: self.urls,
            environment: self.environment,
            checks: &mut *self.checks,
        }
    }

    /// Notes what is missing of things that are of use together only.
    fn all_or_none(&mut self, parts: &[(&str, bool)]) {
        if let Some((there, _)) = parts.iter().find(|(_, is_there)| *is_there) {
            self.needs(there, parts);
        }
    }

    /// Notes what is missing of what `there` needs.
    fn needs(&mut self, there: &str, parts: &[(&str, bool)]) {
        for (name, _) in parts.iter().filter(|(_, is_there)| !is_there) {
            let message = format!("is missing: `{there}` needs it");
            self.checks.wrong(&self.path.key(name), message);
        }
    }

    fn patterns(&mut self, name: &str, texts: &[String]) -> Result<Vec<ModelPattern>, Noted> {
        let at = self.path.key(name);
        let patterns: Vec<_> = texts
            .iter()
            .enumerate()
            .map(|(place, text)| {
                let pattern: Result<ModelPattern, _> = text.parse();
                if let Err(error) = &pattern {
                    self.checks.wrong(&at.index(place), error.to_string());
                }
                pattern.map_err(|_| Noted)
            })
            .collect();
        patterns.into_iter().collect()
    }

    fn plain(&mut self, name: &str, value: Option<&PlainValue>) -> Result<Option<KeyValue>, Noted> {
        self.read(name, value.map(|PlainValue(source)| source), |_| Ok(()))
    }

    fn secret(
        &mut self,
        name: &str,
        value: Option<&SecretValue>,
    ) -> Result<Option<KeyValue>, Noted> {
        self.read(name, value.map(|SecretValue(source)| source), |_| Ok(()))
    }

    /// The value that `source`, written as `name`, stands for; nothing when there is none. One in a file is read again
    /// later. A key that is not used may lack its value.
    fn read(
        &mut self,
        name: &str,
        source: Option<&SecretSource>,
        is_good: impl Fn(&SecretText) -> Result<(), String> + Send + Sync + 'static,
    ) -> Result<Option<KeyValue>, Noted> {
        let Some(source) = source else {
            return Ok(None);
        };
        let variable = match source {
            SecretSource::Env(variable) => Some(variable.clone()),
            SecretSource::Inline(_) | SecretSource::File(_) => None,
        };
        // The JSON of a service account has lines.
        let resolve = match name {
            "auth_credentials" => secret::resolve_lines,
            _ => secret::resolve,
        };
        let read = resolve(source, self.environment);
        let read = read.and_then(|text| is_good(&text).map(|()| text));
        let text = match read {
            Ok(text) => text,
            Err(_) if !self.enabled => SecretText::new(String::new()),
            Err(message) => {
                self.checks.wrong(&self.path.key(name), message);
                return Err(Noted);
            }
        };
        let secret = match source {
            SecretSource::File(_) => {
                let source = source.clone();
                LiveSecret::reread(text, move || {
                    let text = resolve(&source, &Environment::default())?;
                    is_good(&text).map(|()| text)
                })
            }
            SecretSource::Inline(_) | SecretSource::Env(_) => LiveSecret::fixed(text),
        };
        Ok(Some(KeyValue { secret, variable }))
    }
}
