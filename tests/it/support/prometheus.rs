//! A real Prometheus that scrapes what a test says, and answers queries.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::admin::Ask;
use super::postgres::free_port;
use super::tools::tool;
use super::{source, within};

/// A running Prometheus; gone when it is dropped.
pub struct Prometheus {
    address: SocketAddr,
    child: Child,
    _directory: TempDir,
}

impl Prometheus {
    /// Scrapes `target` ten times a second as the job `keyward`, with the rules of `deploy/prometheus`.
    pub async fn scraping(target: SocketAddr) -> Option<Self> {
        let program = tool("prometheus", "prometheus")?;
        let directory = TempDir::new().expect("a temporary directory");
        let rules = source::package().join("deploy/prometheus/alerts.yaml");
        let settings = format!(
            "global: {{ scrape_interval: 100ms, evaluation_interval: 100ms }}\nrule_files: [\"{}\"]\n\
             scrape_configs: [{{ job_name: keyward, static_configs: [{{ targets: [\"{target}\"] }}] }}]\n",
            rules.display()
        );
        let file = directory.path().join("prometheus.yml");
        fs::write(&file, settings).expect("the directory is ours");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let child = Command::new(program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--web.listen-address={address}"))
            .arg(format!(
                "--storage.tsdb.path={}",
                directory.path().join("data").display()
            ))
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("prometheus runs");
        let mut started = Self {
            address,
            child,
            _directory: directory,
        };
        started.ready().await;
        Some(started)
    }

    /// Waits until it answers queries.
    async fn ready(&mut self) {
        within("prometheus is ready", async {
            loop {
                let ended = self.child.try_wait().expect("it is our child");
                assert!(ended.is_none(), "prometheus ended: {ended:?}");
                if TcpStream::connect(self.address).await.is_ok() {
                    let ask = Ask::new(self.address, Method::GET, "/-/ready");
                    if ask.send().await.status == StatusCode::OK {
                        return;
                    }
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// What the series that `expression` comes to are now: for each its labels and its value.
    pub async fn query(&self, expression: &str) -> Vec<(Value, f64)> {
        let path = format!("/api/v1/query?query={}", encoded(expression));
        let answer = self.get(&path).await;
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        let series = answer["data"]["result"].as_array().expect("a vector");
        let value = |one: &Value| one["value"][1].as_str().expect("a value").parse();
        series
            .iter()
            .map(|one| (one["metric"].clone(), value(one).expect("a number")))
            .collect()
    }

    /// Every rule, as Prometheus sees it.
    pub async fn rules(&self) -> Vec<Value> {
        let answer = self.get("/api/v1/rules").await;
        let groups = answer["data"]["groups"].as_array().expect("groups");
        let rules = groups.iter().map(|group| group["rules"].as_array());
        rules.flatten().flatten().cloned().collect()
    }

    async fn get(&self, path: &str) -> Value {
        let answer = Ask::new(self.address, Method::GET, path).send().await;
        answer.json()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Every byte but letters and digits as `%XX`.
fn encoded(text: &str) -> String {
    let each = text.bytes().map(|byte| {
        if byte.is_ascii_alphanumeric() {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    });
    each.collect()
}
