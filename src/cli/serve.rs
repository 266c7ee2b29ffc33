//! `keyward serve`: the sidecar itself.

use std::path::Path;

use anyhow::Context as _;
use clap::Args;

use super::config::SettingsArgs;
use super::{Common, print};
use crate::clock::Clock;
use crate::config::{Config, Loaded, Settings, Sources};
use crate::credential::SecretText;
use crate::key::NewSecret;
use crate::server::{self, Server, Signals};
use crate::telemetry::logging::{self, LogControl};
use crate::telemetry::{Telemetry, VERSION, chain};

/// `keyward serve`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Output:
  the log on standard error, as the settings say; at the first start the admin token, once. Nothing on standard output
Exit codes: 0 it was told to end, and did; 1 a port or the key database cannot be opened; 2 mistakes in the settings or in \
            the arguments
Example: keyward serve --upstream http://127.0.0.1:8000 --database sqlite:///var/lib/keyward/keyward.db")]
pub struct ServeArgs {
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Serves until told to close.
///
/// # Errors
///
/// [`ConfigError`](crate::config::ConfigError) when the settings are wrong; nothing was opened then. Anything else
/// when a port or the database cannot be opened.
pub fn run(args: &ServeArgs, common: &Common) -> anyhow::Result<()> {
    let sources = args.settings.sources(common);
    let loaded = Config::load(&sources)?;
    let log = logging::start(&loaded.config.log)?;
    let file = loaded.file.as_deref().unwrap_or(Path::new("none"));
    tracing::info!(version = VERSION, file = %file.display(), "starting");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("keyward-aside")
        .enable_all()
        .build()
        .context("starting")?;
    let served = runtime.block_on(serve(loaded.config, loaded.settings, sources, log));
    // What still runs was told to end and did not in time.
    runtime.shutdown_background();
    served
}

async fn serve(
    config: Config,
    settings: Settings,
    sources: Sources,
    log: LogControl,
) -> anyhow::Result<()> {
    let mut signals = Signals::listen().context("listening to signals")?;
    let telemetry = Telemetry::new();
    let server = tokio::select! {
        biased;
        started = Server::start(&config, &telemetry, Clock::system()) => started?,
        // Told to close before there was anything to close; what has begun ends with the process.
        () = signals.close() => return Ok(()),
    };
    let show = |token: &NewSecret| {
        print::words(&format!(
            "Admin token: {}\nSave this token now. It will not be shown again.",
            token.reveal()
        ));
    };
    let reloading = Reloading {
        sources,
        settings,
        admin_token: config.admin_token,
        log,
    };
    Ok(server::until_told(server, signals, || reloading.reload(), show).await?)
}

/// The setting whose text may change while it says the same: a file, or a variable.
const ADMIN_TOKEN: &str = "admin.token";

/// What a reload starts from.
struct Reloading {
    sources: Sources,
    /// Those of the start, with which everything was built that does not change.
    settings: Settings,
    /// That of the start, which no setting shows.
    admin_token: Option<SecretText>,
    log: LogControl,
}

impl Reloading {
    /// Reads the settings again. Wrong ones are refused, and the old ones stay in force.
    fn reload(&self) -> Option<Config> {
        match Config::load(&self.sources) {
            Ok(Loaded {
                config, settings, ..
            }) => {
                let mut waiting = self.settings.needs_restart(&settings);
                // Both are our own settings, read on a signal: how long comparing them takes tells nobody anything.
                let is_told = waiting.iter().any(|path| path.starts_with(ADMIN_TOKEN));
                if self.admin_token != config.admin_token && !is_told {
                    waiting.push(ADMIN_TOKEN.to_owned());
                }
                for setting in waiting {
                    tracing::warn!(setting, "changed, and counts from the next start on");
                }
                if let Err(error) = self.log.set(&config.log) {
                    tracing::warn!(error, "the log goes on as before");
                }
                tracing::info!("settings read again");
                Some(config)
            }
            Err(error) => {
                tracing::error!(error = %chain(&error), "settings are wrong; the old ones stay in force");
                None
            }
        }
    }
}
