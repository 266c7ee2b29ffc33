//! The listener of probes and metrics.

use std::sync::Arc;

use http::Method;
use keyward::admin::probe::{self, ProbeState, Readiness};
use tokio::task::JoinSet;

use crate::support::admin::{Answer, Ask, serve};

struct Probes {
    readiness: Readiness,
    address: std::net::SocketAddr,
    _tasks: JoinSet<()>,
}

impl Probes {
    async fn start() -> Self {
        let readiness = Readiness::default();
        let state = ProbeState {
            readiness: readiness.clone(),
            metrics: Arc::new(|| "# TYPE a counter\na 1\n".to_owned()),
        };
        let mut tasks = JoinSet::new();
        let address = serve(&mut tasks, probe::router(state)).await;
        Self {
            readiness,
            address,
            _tasks: tasks,
        }
    }

    async fn get(&self, path: &str) -> Answer {
        Ask::new(self.address, Method::GET, path).send().await
    }

    /// The status and text of each probe: live, ready, started.
    async fn tell(&self) -> [(u16, String); 3] {
        let mut told = Vec::new();
        for path in ["/livez", "/readyz", "/startupz"] {
            let answer = self.get(path).await;
            told.push((answer.status.as_u16(), answer.body));
        }
        told.try_into().unwrap()
    }
}

fn told(live: (u16, &str), ready: (u16, &str), started: (u16, &str)) -> [(u16, String); 3] {
    [live, ready, started].map(|(status, text)| (status, format!("{text}\n")))
}

#[tokio::test]
async fn a_process_starts_is_ready_and_drains() {
    let probes = Probes::start().await;
    let starting = told((200, "ok"), (503, "starting"), (503, "starting"));
    assert_eq!(probes.tell().await, starting);
    probes.readiness.started();
    assert_eq!(
        probes.tell().await,
        told((200, "ok"), (200, "ok"), (200, "ok"))
    );
    probes.readiness.drain();
    let draining = told((200, "ok"), (503, "draining"), (200, "ok"));
    assert_eq!(probes.tell().await, draining);
    assert_eq!(probes.get("/healthz").await.body, "draining\n");
}

#[tokio::test]
async fn trouble_is_told_and_makes_nothing_unready() {
    let probes = Probes::start().await;
    probes.readiness.started();
    probes
        .readiness
        .trouble("key database", Some("it has not answered for 12 s"));
    probes
        .readiness
        .trouble("usage", Some("nothing could be written"));
    probes.readiness.trouble("usage", None);
    assert_eq!(probes.get("/readyz").await.body, "ok\n");
    for query in ["?verbose", "?verbose=1", "?x&verbose"] {
        let answer = probes.get(&format!("/readyz{query}")).await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.body,
            "ok\nkey database: it has not answered for 12 s\n"
        );
    }
}

#[tokio::test]
async fn metrics_are_in_the_format_that_is_scraped() {
    let probes = Probes::start().await;
    let answer = probes.get("/metrics").await;
    assert_eq!(
        answer.headers["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    assert_eq!(answer.body, "# TYPE a counter\na 1\n");
}

#[tokio::test]
async fn there_is_nothing_else() {
    let probes = Probes::start().await;
    assert_eq!(probes.get("/v1/api_keys").await.status, 404);
    let posted = Ask::new(probes.address, Method::POST, "/livez")
        .send()
        .await;
    assert_eq!(posted.status, 405);
}
