//! The settings as they are written, and the file they are written in.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use crate::admin::{AdminConfig, ProbesConfig};
use crate::cache::CacheConfig;
use crate::proxy::ProxyConfig;
use crate::server::{ServerConfig, ShutdownConfig};
use crate::store::StoreConfig;
use crate::telemetry::{AccessLogConfig, LogConfig};
use crate::upstream::UpstreamConfig;
use crate::usage::UsageConfig;

use super::mistake::{ConfigError, Mistakes};
use super::path::Path;
use super::tree::{self, Node};

/// Where a file is looked for when none is named, in this order.
const SEARCHED: [&str; 2] = ["keyward.toml", "/etc/keyward/keyward.toml"];

/// Every setting, as written. What is absent has its default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConfigFile {
    /// The data listener.
    pub proxy: ProxyConfig,
    /// The model servers, by name.
    pub upstreams: BTreeMap<String, UpstreamConfig>,
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
    /// This process among others.
    pub server: ServerConfig,
    /// How the process closes.
    pub shutdown: ShutdownConfig,
    /// What is logged.
    pub log: LogConfig,
    /// What is told of calls.
    pub access_log: AccessLogConfig,
}

/// Reads the file `named`, or else the first of the searched ones that is there. Returns it with its name.
///
/// # Errors
///
/// When the file cannot be read or is no TOML. A named file that is missing is an error, a searched one is not.
pub fn find(
    named: Option<(&FilePath, &'static str)>,
) -> Result<(Node, Option<PathBuf>), ConfigError> {
    let (candidates, how) = match named {
        Some((path, how)) => (vec![path], Some(how)),
        None => (SEARCHED.iter().map(FilePath::new).collect(), None),
    };
    for path in candidates {
        match std::fs::read_to_string(path) {
            Ok(text) => return Ok((parse(&text, path)?, Some(path.to_owned()))),
            Err(error) if error.kind() == ErrorKind::NotFound && how.is_none() => {}
            Err(error) => {
                let message = format!("cannot read `{}`: {error}", path.display());
                let mut mistakes = Mistakes::default();
                mistakes.add(how.map(str::to_owned), Path::root(), message);
                return Err(mistakes.into());
            }
        }
    }
    Ok((Node::empty(), None))
}

/// The tree that `text` writes.
///
/// # Errors
///
/// Every mistake in its shape.
pub fn parse(text: &str, path: &FilePath) -> Result<Node, ConfigError> {
    tree::parse(text, &Arc::new(path.to_owned())).map_err(|wrong| {
        let mut mistakes = Mistakes::default();
        for tree::SyntaxMistake { line, message } in wrong {
            let place = format!("{}:{line}", path.display());
            mistakes.add(Some(place), Path::root(), message);
        }
        mistakes.into()
    })
}
