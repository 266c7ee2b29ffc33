//! How long a key lives on after somebody else has deleted it: two processes on one SQLite file.
//!
//! `keyward serve` is one; the other deletes keys behind its back, by plain SQL and by `keyward --database … org
//! api-key delete`. A trial is timed from the moment the deletion was done (the statement had returned, the command had
//! ended) until a call with the key was refused. Run with `cargo bench --bench revocation`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyward::clock::Clock;
use keyward::key::{KeyCategory, KeyPrefix, ModelScope};
use keyward::registry::{Caller, Command as Ask, CreateKey, KeyRegistry, Outcome};
use keyward::store::{self, StoreConfig};
use keyward::telemetry::metrics::Metrics;
use sqlx::SqlitePool;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

#[path = "support/address.rs"]
mod address;

use address::free_address;

const TRIALS: usize = 200;
const KEYWARD: &str = env!("CARGO_BIN_EXE_keyward");
const DELETE: &str =
    "UPDATE api_keys SET deleted_at = unixepoch() WHERE prefix = ?1 AND deleted_at IS NULL";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("keyward.db");
    let url = format!("sqlite://{}", file.display());
    let config = StoreConfig {
        url: url.clone(),
        ..StoreConfig::default()
    };
    let store = store::open(&config, Metrics::unrecorded().store)
        .await
        .expect("a database");
    let registry = KeyRegistry::new(Arc::clone(&store), Clock::system(), None);
    let served = Served::start(directory.path(), &url);
    let plain_sql = SqlitePool::connect(&url)
        .await
        .expect("a second connection");

    let mut by_sql = Vec::new();
    let mut by_command = Vec::new();
    for _ in 0..TRIALS {
        let (prefix, key) = make(&registry).await;
        served.until(&key, b"502").await;
        sqlx::query(DELETE)
            .bind(prefix.as_str())
            .execute(&plain_sql)
            .await
            .expect("a deletion");
        by_sql.push(served.until(&key, b"401").await);

        let (prefix, key) = make(&registry).await;
        served.until(&key, b"502").await;
        let mut delete = Command::new(KEYWARD);
        delete.args([
            "--database",
            &url,
            "org",
            "api-key",
            "delete",
            "--prefix",
            prefix.as_str(),
        ]);
        let deleted = delete.stderr(Stdio::null()).status();
        assert!(
            deleted.is_ok_and(|status| status.success()),
            "the command failed"
        );
        by_command.push(served.until(&key, b"401").await);
    }
    tell("plain SQL", &mut by_sql);
    tell("`keyward --database … delete`", &mut by_command);
    store.close().await;
}

async fn make(registry: &KeyRegistry) -> (KeyPrefix, String) {
    let wish = CreateKey {
        name: None,
        category: KeyCategory::WorkspaceInvoke,
        operation: None,
        scope: ModelScope::Every,
        team: None,
        expires_at: None,
        ends_calls: false,
    };
    let outcome = registry.execute(&Caller::OPERATOR, Ask::Create(wish)).await;
    let Ok(Outcome::Created { key, secret }) = outcome else {
        unreachable!("the database takes a key");
    };
    (key.prefix, secret.reveal().to_owned())
}

/// `keyward serve`, ended when dropped. Nobody listens behind it: a known key is told by 502, an unknown one by 401.
struct Served {
    process: Child,
    address: SocketAddr,
}

impl Served {
    fn start(directory: &Path, url: &str) -> Self {
        let [address, admin, probes, model] = [(); 4].map(|()| free_address());
        let process = Command::new(KEYWARD)
            .current_dir(directory)
            .args(["--database", url, "serve", "--listen", &address.to_string()])
            .args(["--admin-listen", &admin.to_string()])
            .args(["--upstream", &format!("http://{model}")])
            .env("KEYWARD_PROBES__LISTEN", probes.to_string())
            .stderr(Stdio::null())
            .spawn();
        Self {
            process: process.expect("the program starts"),
            address,
        }
    }

    /// Calls with `key` until the answer has this status; how long that took.
    async fn until(&self, key: &str, status: &[u8; 3]) -> Duration {
        let begun = Instant::now();
        let asked = async {
            while self.ask(key).await.as_ref() != Some(status) {
                sleep(Duration::from_micros(500)).await;
            }
        };
        timeout(Duration::from_secs(10), asked)
            .await
            .expect("an answer in time");
        begun.elapsed()
    }

    async fn ask(&self, key: &str) -> Option<[u8; 3]> {
        let mut stream = TcpStream::connect(self.address).await.ok()?;
        let request = format!(
            "POST /models/m/predict HTTP/1.1\r\nhost: k\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\
             content-length: 0\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut line = [0; 12];
        stream.read_exact(&mut line).await.ok()?;
        line.last_chunk().copied()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[expect(clippy::print_stdout, reason = "a bench tells its figures")]
fn tell(how: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    println!(
        "deleted by {how}: {} trials, median {:.1?}, p99 {:.1?}, longest {:.1?}",
        times.len(),
        at(50),
        at(99),
        at(100)
    );
}
