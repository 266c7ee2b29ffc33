//! What hundreds of sidecars ask of one database: the parts of them that ask it, all in this process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use keyward::cache::{CacheConfig, Identity, KeyCache};
use keyward::clock::Clock;
use keyward::key::KeySelector;
use keyward::store::{InstanceId, KeyStore, PostgresStore};
use keyward::telemetry::metrics::Metrics;
use sqlx::postgres::PgConnection;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::fleet::{Fleet, PATIENCE};
use crate::postgres::Postgres;
use crate::{percentiles, tell};

const FOLLOWERS: usize = 300;
const WATCHED: Duration = Duration::from_secs(40);
const REVOCATIONS: usize = 400;
const REVOCATION_EVERY: Duration = Duration::from_millis(100);
/// What a start needs is given back by then.
const SETTLED: Duration = Duration::from_secs(45);

const SESSIONS: &str = "SELECT count(*) FROM pg_stat_activity \
    WHERE datname = current_database() AND pid <> pg_backend_pid()";
const TRANSACTIONS: &str =
    "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";

/// At rest, and while keys are revoked.
pub async fn run() {
    // While they start, each may have two connections beside the one that listens.
    let postgres = Postgres::own(&["max_connections=999"]).expect("the drill needs a Postgres");
    let fleet = Fleet::start_on(postgres, 0, "").await;
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let mut caches = Vec::new();
    for number in 0..FOLLOWERS {
        let store = PostgresStore::open(&fleet.store_config(), Metrics::unrecorded().store).await;
        let store: Arc<dyn KeyStore> = Arc::new(store.expect("the database opens"));
        let config = CacheConfig::default();
        let metrics = Metrics::unrecorded().cache;
        let (cache, kept) = KeyCache::new(Arc::clone(&store), &config, Clock::system(), metrics);
        let identity = Identity {
            id: InstanceId::new(uuid::Uuid::now_v7()),
            name: format!("follower-{number}").parse().expect("a name"),
            report_every: Duration::from_secs(5),
        };
        let presence = cache.presence(store, identity, &config);
        tasks.spawn(kept.follower.run(stop.clone()));
        tasks.spawn(kept.loader.run(stop.clone()));
        tasks.spawn(presence.run(stop.clone()));
        caches.push(cache);
    }
    join_all(caches.iter().map(KeyCache::filled)).await;
    let mut session = fleet.session().await;
    sleep(SETTLED).await;
    let sessions = number(&mut session, SESSIONS).await;
    let rest = rate(&mut session, async { sleep(WATCHED).await }).await;
    tell(&format!(
        "\n## {FOLLOWERS} followers of one Postgres\n\n\
         | | sessions | transactions/s | applied everywhere: p50 | p99 | max |\n|---|---|---|---|---|---|\n\
         | at rest | {sessions} | {rest:.0} | | | |"
    ));

    let mut keys = Vec::new();
    for _ in 0..REVOCATIONS {
        keys.push(fleet.keys.create(&["llama"]).await);
    }
    sleep(Duration::from_secs(5)).await;
    let mut times = Vec::new();
    let revoking = async {
        let mut due = interval(REVOCATION_EVERY);
        for key in keys {
            due.tick().await;
            let which = KeySelector::Prefix(key.prefix.parse().expect("a prefix"));
            let begun = Instant::now();
            let (_, place) = fleet.store.delete(&which).await.expect("the key is there");
            let applied = caches.iter().map(|cache| async move {
                let mut applied = cache.applied();
                let applied = applied.wait_for(|applied| *applied >= place);
                let applied = timeout(PATIENCE, applied).await;
                applied.expect("in time").expect("the cache is there");
                begun.elapsed()
            });
            times.extend(join_all(applied).await);
        }
    };
    let busy = rate(&mut session, revoking).await;
    let sessions_busy = number(&mut session, SESSIONS).await;
    let [p50, p99, max] = percentiles(&mut times);
    tell(&format!(
        "| {:.0} revocations/s | {sessions_busy} | {busy:.0} | {p50:.1?} | {p99:.1?} | {max:.1?} |",
        1.0 / REVOCATION_EVERY.as_secs_f64()
    ));
    stop.cancel();
    tasks.join_all().await;
}

async fn number(session: &mut PgConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql)
        .fetch_one(session)
        .await
        .expect("a number")
}

/// Transactions per second meanwhile.
async fn rate(session: &mut PgConnection, work: impl Future<Output = ()>) -> f64 {
    let before = number(session, TRANSACTIONS).await;
    let begun = Instant::now();
    work.await;
    // The sessions' own counts come to the database's within a second.
    sleep(Duration::from_secs(1)).await;
    let after = number(session, TRANSACTIONS).await;
    let count = u32::try_from(after - before).expect("not so many");
    f64::from(count) / begun.elapsed().as_secs_f64()
}
