//! The settings: a flag, then the environment, then the file, then the default.
//!
//! [`Config::load`] reads all of them into one tree of values that know where they came from, gives the tree types
//! ([`ConfigFile`]), and checks what the types cannot say. Every mistake is told at once, with its place and its path,
//! and no message quotes a value that may be a secret. What comes out is complete: nothing is left to look up.

mod check;
pub mod environment;
mod explain;
mod file;
mod keys;
mod mistake;
mod path;
mod read;
mod routes;
mod secret;
mod servers;
mod settings;
mod tree;
mod values;

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

pub use environment::Environment;
pub use explain::{AskedCall, Explanation};
pub use file::ConfigFile;
pub use mistake::ConfigError;
pub use settings::Settings;

use crate::admin::{AdminConfig, ProbesConfig};
use crate::cache::CacheConfig;
use crate::credential::{CredentialLocations, SecretText};
use crate::proxy::ProxyConfig;
use crate::route::RouteTable;
use crate::server::{ServerConfig, ShutdownConfig};
use crate::store::StoreConfig;
use crate::telemetry::{AccessLogConfig, LogConfig};
use crate::tls::ServerTls;
use crate::upstream::UpstreamPlan;
use crate::usage::UsageConfig;

use mistake::Mistakes;
use path::Path;
use tree::{Node, Origin, Value};
use values::Checks;

/// The variable that names the settings' file.
const FILE_VARIABLE: &str = "KEYWARD_CONFIG";

/// Where settings come from.
#[derive(Clone, Default)]
pub struct Sources {
    /// What the command line says.
    pub flags: Overrides,
    /// The file that `--config` names.
    pub file: Option<PathBuf>,
    /// The environment.
    pub environment: Environment,
}

/// Settings given as flags.
#[derive(Clone, Default)]
pub struct Overrides(Vec<(&'static str, Path, String)>);

impl Overrides {
    /// Sets the setting at `path`, such as `proxy.listen`, as the flag `flag`, such as `--listen`, said. An absent
    /// value sets nothing.
    #[must_use]
    pub fn with(mut self, flag: &'static str, path: &str, value: Option<String>) -> Self {
        if let Some(value) = value {
            self.0.push((flag, Path::dotted(path), value));
        }
        self
    }

    fn overlay(&self, tree: &mut Node) {
        for (flag, path, value) in &self.0 {
            let node = Node {
                origin: Origin::Flag(flag),
                value: Value::Raw(value.clone()),
            };
            tree.put(path, node);
        }
    }
}

/// The settings, checked and complete: what the rooms need. Never changed; a reload makes another one.
#[derive(Debug)]
pub struct Config {
    /// The data listener. Its routes are those in force: with those of its profiles, and the built-in table when there is
    /// neither.
    pub proxy: ProxyConfig,
    /// What callers are met with, when that is TLS: the files were read.
    pub tls: Option<Arc<ServerTls>>,
    /// Where requests lead. An upstream's id is its place in `upstreams`.
    pub routes: Arc<RouteTable>,
    /// Where callers' keys may sit.
    pub credentials: CredentialLocations,
    /// The model servers, in the order of their names.
    pub upstreams: Vec<UpstreamPlan>,
    /// The key database.
    pub store: StoreConfig,
    /// What is remembered about keys.
    pub cache: CacheConfig,
    /// When keys were last used.
    pub usage: UsageConfig,
    /// The listener of probes and metrics.
    pub probes: ProbesConfig,
    /// The admin listener.
    pub admin: AdminConfig,
    /// The admin token, when the settings give one.
    pub admin_token: Option<SecretText>,
    /// This process among others.
    pub server: ServerConfig,
    /// How the process closes.
    pub shutdown: ShutdownConfig,
    /// What is logged.
    pub log: LogConfig,
    /// What is told of calls.
    pub access_log: AccessLogConfig,
}

/// Settings that were read, and what is known about them.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// The same as they were written: what to show, and what to compare when they are read again.
    pub settings: Settings,
    /// The file they were read from, if there was one.
    pub file: Option<PathBuf>,
}

impl Config {
    /// Reads the settings from everywhere and checks them. Reads files (the settings' own, secrets), opens nothing else.
    ///
    /// # Errors
    ///
    /// Every mistake at once.
    pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
        let mut mistakes = Mistakes::default();
        let (written, tree, file) = read_all(sources, &mut mistakes)?;
        let config = check::check(written, &tree, &sources.environment, &mut mistakes);
        match config {
            Some(config) if mistakes.is_empty() => Ok(Loaded {
                settings: Settings::of(&tree, &config.proxy),
                config,
                file,
            }),
            _ => Err(mistakes.into()),
        }
    }

    /// The same for the key database alone, for whoever needs nothing else: what is missing elsewhere is not asked for.
    ///
    /// # Errors
    ///
    /// Every mistake of form, wherever it is, and every mistake about the key database.
    pub fn load_store(sources: &Sources) -> Result<StoreConfig, ConfigError> {
        let mut mistakes = Mistakes::default();
        let (written, tree, _) = read_all(sources, &mut mistakes)?;
        Checks::new(&tree, &mut mistakes).store(&written.store);
        if mistakes.is_empty() {
            return Ok(written.store);
        }
        Err(mistakes.into())
    }
}

/// What was written everywhere, and the tree that it was read from.
fn read_all(
    sources: &Sources,
    mistakes: &mut Mistakes,
) -> Result<(ConfigFile, Node, Option<PathBuf>), ConfigError> {
    let environment = &sources.environment;
    let named = match (&sources.file, environment.get(FILE_VARIABLE)) {
        (Some(path), _) => Some((path.as_path(), "--config")),
        (None, Some(path)) => Some((FilePath::new(path), FILE_VARIABLE)),
        (None, None) => None,
    };
    let (mut tree, file) = file::find(named)?;
    environment.overlay(&mut tree, mistakes);
    sources.flags.overlay(&mut tree);
    let written = read::read(&mut tree, mistakes);
    Ok((written, tree, file))
}
