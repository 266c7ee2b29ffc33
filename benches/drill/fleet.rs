//! A throw-away Postgres and sidecars as real processes, ended with this one.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyward::clock::Clock;
use keyward::key::{ENTROPY_BYTES, KeyCategory, ModelScope, NewSecret};
use keyward::registry::{self, CreateKey, KeyRegistry, Outcome};
use keyward::store::{KeyStore, PostgresStore, StoreConfig};
use keyward::telemetry::metrics::Metrics;
use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::PgConnection;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::address::free_address;
use crate::detour::Detour;
use crate::postgres::Postgres;
use crate::wire::start_model;

const KEYWARD: &str = env!("CARGO_BIN_EXE_keyward");
/// The admin token of every sidecar.
const TOKEN: &str = "drill-admin-token-0123456789abcdef";
/// How long anything that must happen may take.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A database with everything around it.
pub struct Fleet {
    pub postgres: Postgres,
    pub sidecars: Vec<Sidecar>,
    /// What the sidecars listen for changes through.
    pub bell: Detour,
    /// The operator's own way to the database.
    pub store: Arc<dyn KeyStore>,
    /// Makes keys in the database.
    pub keys: KeyMaker,
    database: String,
    _directory: TempDir,
}

/// A key as its holder knows it.
#[derive(Debug, Clone)]
pub struct Key {
    pub prefix: String,
    pub text: String,
}

impl Fleet {
    /// A new database, and so many ready sidecars with these further lines of settings.
    pub async fn start(sidecars: usize, settings: &str) -> Self {
        let postgres = Postgres::own(&[]).expect("the drill needs a Postgres");
        Self::start_on(postgres, sidecars, settings).await
    }

    /// The same on this server.
    pub async fn start_on(postgres: Postgres, sidecars: usize, settings: &str) -> Self {
        let database = postgres.new_database().await;
        let url = postgres.tcp_url("postgres", &database);
        let bell = Detour::to(postgres.address()).await;
        let config = StoreConfig {
            url: url.clone(),
            ..StoreConfig::default()
        };
        PostgresStore::migrate(&config)
            .await
            .expect("a new database can be migrated");
        let store = PostgresStore::open(&config, Metrics::unrecorded().store).await;
        let store: Arc<dyn KeyStore> = Arc::new(store.expect("a migrated database opens"));
        let registry = KeyRegistry::new(Arc::clone(&store), Clock::system(), None);
        let keys = KeyMaker(Arc::new(registry));
        let directory = tempfile::tempdir().expect("a directory");
        let model = start_model();
        let bell_url = format!("postgres://postgres@{}/{database}", bell.address());
        let sidecars = (0..sidecars).map(|number| {
            let place = directory.path().join(number.to_string());
            fs::create_dir(&place).expect("the directory is ours");
            let ports = [(); 3].map(|()| free_address());
            let file = place.join("keyward.toml");
            fs::write(
                &file,
                write_settings(&url, &bell_url, model, ports, settings),
            )
            .expect("the directory is ours");
            let [proxy, admin, probes] = ports;
            let mut sidecar = Sidecar {
                proxy,
                admin,
                probes,
                place,
                process: None,
            };
            sidecar.start();
            sidecar
        });
        let fleet = Self {
            sidecars: sidecars.collect(),
            postgres,
            bell,
            store,
            keys,
            database,
            _directory: directory,
        };
        for sidecar in &fleet.sidecars {
            sidecar.until_ready().await;
        }
        fleet
    }

    /// A session of somebody who knows nothing of keyward.
    pub async fn session(&self) -> PgConnection {
        self.postgres.connect(&self.database).await
    }

    /// Settings that lead to the database.
    pub fn store_config(&self) -> StoreConfig {
        StoreConfig {
            url: self.postgres.tcp_url("postgres", &self.database),
            ..StoreConfig::default()
        }
    }
}

/// Makes keys straight in the database.
#[derive(Clone)]
pub struct KeyMaker(Arc<KeyRegistry>);

impl KeyMaker {
    /// A new key of these models, made straight in the database.
    pub async fn create(&self, models: &[&str]) -> Key {
        let wish = CreateKey {
            name: None,
            category: KeyCategory::WorkspaceInvoke,
            operation: None,
            scope: ModelScope::from_request(Some(models)).expect("model ids"),
            team: None,
            expires_at: None,
            ends_calls: false,
        };
        let made = registry::Command::Create(wish);
        let outcome = self.0.execute(&registry::Caller::OPERATOR, made);
        let Ok(Outcome::Created { key, secret }) = outcome.await else {
            unreachable!("the database takes a key");
        };
        Key {
            prefix: key.prefix.as_str().to_owned(),
            text: secret.reveal().to_owned(),
        }
    }
}

/// Texts that are formed as keys and are nobody's.
pub fn nobodys(count: u64) -> Vec<String> {
    let texts = (0..count).map(|number| {
        let mut entropy = [0; ENTROPY_BYTES];
        for (place, bytes) in (0_u64..).zip(entropy.chunks_mut(8)) {
            let random = xxh3_64_with_seed(&number.to_le_bytes(), place);
            bytes.copy_from_slice(&random.to_le_bytes());
        }
        let text = NewSecret::from_entropy(&entropy);
        text.expect("hashes are spread evenly enough")
            .reveal()
            .to_owned()
    });
    texts.collect()
}

fn write_settings(
    url: &str,
    bell_url: &str,
    model: SocketAddr,
    [proxy, admin, probes]: [SocketAddr; 3],
    more: &str,
) -> String {
    let shutdown = if more.contains("[shutdown]") {
        ""
    } else {
        "[shutdown]\ndelay = \"1ms\"\n"
    };
    format!(
        "[proxy]\nlisten = \"{proxy}\"\nworkers = 1\n[admin]\nlisten = \"{admin}\"\n\
         [probes]\nlisten = \"{probes}\"\n[upstreams.default]\nurl = \"http://{model}\"\n\
         {shutdown}[store]\nurl = \"{url}\"\nbell_url = \"{bell_url}\"\n{more}\n"
    )
}

/// `keyward serve`, killed when dropped.
pub struct Sidecar {
    pub proxy: SocketAddr,
    admin: SocketAddr,
    pub probes: SocketAddr,
    place: PathBuf,
    process: Option<Child>,
}

impl Sidecar {
    /// Starts it, or starts it again.
    pub fn start(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.place.join("log"));
        let process = Command::new(KEYWARD)
            .args(["serve", "--config", "keyward.toml"])
            .env_clear()
            .env("KEYWARD_ADMIN__TOKEN", TOKEN)
            .current_dir(&self.place)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("the directory is ours"))
            .spawn();
        self.process = Some(process.expect("the program starts"));
    }

    /// Ends it as a failing machine would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it is our own child");
            process.wait().expect("it is our own child");
        }
    }

    /// Tells it to end, and waits until it has; its exit code.
    pub async fn end(&mut self) -> Option<i32> {
        let process = self.process.take()?;
        kill_process(Pid::from_child(&process), Signal::TERM).expect("it is our own child");
        ended(process).await
    }

    /// Starts the next process beside this one, which hands over to it, and waits until this one has ended; its exit code.
    pub async fn succeed(&mut self) -> Option<i32> {
        let before = self.process.take()?;
        self.start();
        ended(before).await
    }

    /// Its file `name`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    /// Waits until it is ready; how long that took.
    pub async fn until_ready(&self) -> Duration {
        let begun = Instant::now();
        let ready = async {
            while !self.is_ready().await {
                sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, ready).await.unwrap_or_else(|_| {
            unreachable!("a sidecar is not ready: {}", self.log());
        });
        begun.elapsed()
    }

    /// Whether it is ready now.
    pub async fn is_ready(&self) -> bool {
        is_ready(self.probes).await
    }

    /// The sum of all series of a metric.
    pub async fn metric(&self, name: &str) -> f64 {
        let (_, text) = fetch(self.probes, "GET", "/metrics", "")
            .await
            .expect("it answers probes");
        let values = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = rest.rsplit_once(' ')?;
            (labels.is_empty() || labels.starts_with('{')).then(|| value.parse::<f64>().ok())?
        });
        values.sum()
    }

    /// Asks its admin listener, as the administrator.
    pub async fn administer(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        fetch(self.admin, method, path, body)
            .await
            .expect("it answers its administrator")
    }

    /// The memory it has, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let pid = self.process.as_ref().map_or(0, Child::id);
        let statm = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
        let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
        pages.unwrap_or(0) * 4096_u64
    }

    /// What it has said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.place.join("log")).unwrap_or_default()
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until a process of ours has ended; its exit code.
async fn ended(mut process: Child) -> Option<i32> {
    let begun = Instant::now();
    loop {
        if let Some(status) = process.try_wait().expect("it is our own child") {
            return status.code();
        }
        if begun.elapsed() > PATIENCE {
            process.kill().expect("it is our own child");
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Whether who answers probes there is ready now.
pub async fn is_ready(probes: SocketAddr) -> bool {
    let asked = fetch(probes, "GET", "/readyz", "").await;
    asked.is_ok_and(|(status, _)| status == 200)
}

/// One request on a connection of its own: status and body.
async fn fetch(to: SocketAddr, method: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
    let asked = async {
        let mut stream = TcpStream::connect(to).await?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {to}\r\nauthorization: Bearer {TOKEN}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Ok((status.ok_or(io::ErrorKind::InvalidData)?, body.to_owned()))
    };
    timeout(Duration::from_secs(10), asked)
        .await
        .unwrap_or(Err(io::ErrorKind::TimedOut.into()))
}
