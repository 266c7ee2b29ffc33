//! From the settings as written to the settings as used: the only validation. Every mistake at once.

use std::sync::Arc;

use http::uri::Scheme;

use crate::credential::{CredentialLocations, SecretSource, SecretText};
use crate::proxy::ProxyConfig;
use crate::telemetry::chain;
use crate::tls::{ClientTls, ServerTls, TlsError, UpstreamTlsConfig};
use crate::upstream::{
    CredentialConfig, UpstreamConfig, UpstreamCredential, UpstreamPlan, UpstreamServer,
};

use super::Config;
use super::environment::Environment;
use super::file::ConfigFile;
use super::keys;
use super::mistake::Mistakes;
use super::path::Path;
use super::routes;
use super::secret;
use super::servers;
use super::tree::{Node, Origin};
use super::values::Checks;

/// Makes the settings complete; nothing when something is missing. What is wrong goes to `mistakes`.
///
/// `file` was read from `tree`, in which what could not be read is marked.
pub fn check(
    mut file: ConfigFile,
    tree: &Node,
    environment: &Environment,
    mistakes: &mut Mistakes,
) -> Option<Config> {
    let mut checks = Checks::new(tree, mistakes);
    checks.all(&file);
    let routes = routes::complete(&mut file.proxy, tree, &mut checks);
    told_to_nobody(&file, tree, &mut checks);
    let credentials = credentials(&file.proxy, &mut checks);
    let tls = file.proxy.tls.as_ref().map(ServerTls::open);
    let tls = opened(tls, &Path::dotted("proxy.tls"), &mut checks);
    let upstreams: Vec<_> = file
        .upstreams
        .into_iter()
        .map(|(name, upstream)| plan_upstream(name, upstream, environment, &mut checks))
        .collect();
    let token = file.admin.token.as_ref();
    let admin_token = token.and_then(|token| {
        let path = Path::dotted("admin.token");
        secret_at(&path, token, environment, &mut checks)
    });
    Some(Config {
        tls: tls.ok()?,
        routes: Arc::new(routes?),
        credentials: credentials?,
        proxy: file.proxy,
        upstreams: upstreams.into_iter().collect::<Option<_>>()?,
        store: file.store,
        cache: file.cache,
        usage: file.usage,
        probes: file.probes,
        admin: file.admin,
        admin_token,
        server: file.server,
        shutdown: file.shutdown,
        log: file.log,
        access_log: file.access_log,
    })
}

/// An upstream that a flag or a variable named, and that no route leads to: whoever said it would wonder.
fn told_to_nobody(file: &ConfigFile, tree: &Node, checks: &mut Checks<'_>) {
    for name in file.upstreams.keys() {
        let path = Path::dotted("upstreams").key(name).key("url");
        let origin = tree.at(&path).map(|node| &node.origin);
        let is_told = matches!(origin, Some(Origin::Flag(_) | Origin::Environment(_)));
        let is_used = file
            .proxy
            .routes
            .iter()
            .any(|route| route.upstream == *name);
        if is_told && !is_used && !checks.is_mistaken(&Path::dotted("proxy.routes")) {
            checks.wrong(&path, format!("no route leads to `{name}`"));
        }
    }
}

fn credentials(proxy: &ProxyConfig, checks: &mut Checks<'_>) -> Option<CredentialLocations> {
    match CredentialLocations::new(proxy.credentials.clone()) {
        Ok(locations) => Some(locations),
        Err(messages) => {
            for message in messages {
                checks.wrong(&Path::dotted("proxy.credentials"), message);
            }
            None
        }
    }
}

/// One upstream, complete; nothing when something is missing.
fn plan_upstream(
    name: String,
    upstream: UpstreamConfig,
    environment: &Environment,
    checks: &mut Checks<'_>,
) -> Option<UpstreamPlan> {
    let path = Path::dotted("upstreams").key(&name);
    servers::name(&name, &path, checks);
    let servers = servers::plan(&name, &upstream, &path, checks);
    let keys = keys::plan(&upstream, &path, environment, checks);
    let health = servers::health(upstream.health, &path.key("health"), checks);
    let credential = plan_credential(upstream.credential, &path, environment, checks);
    let servers = servers?;
    let is_https = |server: &UpstreamServer| server.scheme == Scheme::HTTPS;
    let is_secure = servers.iter().any(is_https);
    let tls = client_tls(is_secure, upstream.tls, &path.key("tls"), checks);
    Some(UpstreamPlan {
        name,
        servers,
        tls: tls.ok()?,
        host: upstream.host,
        protocol: upstream.protocol,
        credential: credential?,
        provider: upstream.provider,
        keys: keys?,
        key_rules: upstream.key_rules,
        limits: upstream.limits,
        health: health?,
    })
}

/// How the upstream whose settings of TLS stand at `path` is met.
fn client_tls(
    is_secure: bool,
    config: Option<UpstreamTlsConfig>,
    path: &Path,
    checks: &mut Checks<'_>,
) -> Result<Option<Arc<ClientTls>>, Noted> {
    if is_secure {
        let tls = ClientTls::open(&config.unwrap_or_default());
        return opened(Some(tls), path, checks);
    }
    if config.is_some() {
        checks.wrong(path, "is for a url that begins with `https`");
    }
    Ok(None)
}

/// A mistake that was noted.
struct Noted;

/// What was opened, or why not, at the setting that names what is wrong.
fn opened<T>(
    tls: Option<Result<T, TlsError>>,
    path: &Path,
    checks: &mut Checks<'_>,
) -> Result<Option<Arc<T>>, Noted> {
    tls.transpose()
        .map(|tls| tls.map(Arc::new))
        .map_err(|error| {
            checks.wrong(&path.key(error.setting()), chain(&error).to_string());
            Noted
        })
}

/// What is presented to the upstream at `path`, its secret read.
fn plan_credential(
    credential: CredentialConfig,
    path: &Path,
    environment: &Environment,
    checks: &mut Checks<'_>,
) -> Option<UpstreamCredential> {
    let CredentialConfig::Fixed { secret, at } = credential else {
        return Some(UpstreamCredential::none());
    };
    let path = path.key("credential");
    if let Err(message) = at.check() {
        checks.wrong(&path.key("at"), message);
    }
    let text = secret_at(&path.key("secret"), &secret, environment, checks)?;
    let credential = UpstreamCredential::fixed(text, at);
    if let Err(error) = &credential {
        checks.wrong(&path.key("secret"), error.to_string());
    }
    credential.ok()
}

/// The secret that `source` at `path` stands for.
fn secret_at(
    path: &Path,
    source: &SecretSource,
    environment: &Environment,
    checks: &mut Checks<'_>,
) -> Option<SecretText> {
    match secret::resolve(source, environment) {
        Ok(secret) => Some(secret),
        Err(message) => {
            checks.wrong(path, message);
            None
        }
    }
}
