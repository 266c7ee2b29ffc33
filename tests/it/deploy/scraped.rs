//! A real Prometheus on a running keyward: the board's panels show something, the alerts are silent, and one fires.

use super::dashboard::{Asked, asked};
use crate::support::keyward::TestKeyward;
use crate::support::prometheus::Prometheus;
use crate::support::within;

/// Panels that show nothing while all is well, or where nobody speaks TLS.
const EMPTY: [&str; 1] = ["Certificates end in"];

#[tokio::test]
async fn the_board_shows_what_a_running_keyward_does() {
    let keyward = TestKeyward::start().await;
    let Some(prometheus) = Prometheus::scraping(keyward.addresses.probes).await else {
        return;
    };
    let key = keyward.key_for(&["m1"]).await;
    for Asked { panel, expression } in asked("5s") {
        if EMPTY.contains(&&*panel) {
            assert!(prometheus.query(&expression).await.is_empty(), "{panel}");
            continue;
        }
        within(&format!("{panel}: {expression}"), async {
            // Rates need something that goes on.
            while !shows(&prometheus, &expression).await {
                assert_eq!(keyward.call(&key, "m1").await.status(), 200);
                assert_eq!(keyward.call(&key, "m2").await.status(), 403);
                let revoked = keyward.key().await;
                keyward.delete_key(&revoked).await;
            }
        })
        .await;
    }
    for (expression, expected) in [
        ("keyward_ready", 1.0),
        ("count(keyward_build_info)", 1.0),
        ("keyward_cache_complete", 1.0),
        ("up", 1.0),
    ] {
        let series = prometheus.query(expression).await;
        assert_eq!(series.len(), 1, "{expression}");
        assert!((series[0].1 - expected).abs() < 1e-9, "{expression}");
    }

    // Every rule could be judged, and none of them fires.
    let evaluated = within("the rules are judged", async {
        loop {
            let rules = prometheus.rules().await;
            if rules.iter().all(|rule| rule["health"] == "ok") {
                return rules;
            }
        }
    });
    for rule in evaluated.await {
        assert_eq!(rule["state"], "inactive", "{rule}");
    }
}

async fn shows(prometheus: &Prometheus, expression: &str) -> bool {
    let series = prometheus.query(expression).await;
    series.iter().any(|(_, value)| value.is_finite())
}

#[tokio::test]
async fn an_alert_is_pending_while_the_database_is_gone() {
    let keyward = TestKeyward::start().await;
    let Some(prometheus) = Prometheus::scraping(keyward.addresses.probes).await else {
        return;
    };
    let database = keyward.database_url().replace("sqlite://", "");
    std::fs::rename(&database, format!("{database}.away")).expect("it is there");
    within("the alert of the database is pending", async {
        loop {
            let rules = prometheus.rules().await;
            let alert = rules
                .iter()
                .find(|rule| rule["name"] == "KeywardDatabaseDown");
            // It fires two minutes later; promtool's tests show that.
            if alert.is_some_and(|alert| alert["state"] == "pending") {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}
