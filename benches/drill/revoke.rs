//! How long a change takes to be in force on every instance, while calls go on.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use keyward::key::{KeySelector, KeyUpdate, ModelScope};
use sqlx::postgres::PgConnection;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::fleet::{Fleet, Key, PATIENCE};
use crate::load::Load;
use crate::wire::{Caller, call};
use crate::{percentiles, tell};

/// So many calls in a row must be answered the new way before a trial ends.
const SETTLED: usize = 20;
const CALLS_PER_SECOND: u32 = 5_000;

/// A change of a key, and by whom.
#[derive(Debug, Clone, Copy)]
enum Change {
    DeleteByApi,
    DeleteBySql,
    Create,
    Narrow,
}

impl Change {
    fn name(self) -> &'static str {
        match self {
            Self::DeleteByApi => "revoked by API",
            Self::DeleteBySql => "revoked by SQL",
            Self::Create => "created",
            Self::Narrow => "scope narrowed",
        }
    }

    /// The answers before and after it.
    fn answers(self) -> (u16, u16) {
        match self {
            Self::DeleteByApi | Self::DeleteBySql => (200, 401),
            Self::Create => (401, 200),
            Self::Narrow => (200, 403),
        }
    }
}

/// Each change `trials` times with the bell, and then with a bell that nobody hears.
pub async fn run(trials: u32) {
    let fleet = Fleet::start(3, "").await;
    let mut known = Vec::new();
    for _ in 0..100 {
        known.push(fleet.keys.create(&["llama"]).await.text);
    }
    let addresses: Vec<SocketAddr> = fleet.sidecars.iter().map(|each| each.proxy).collect();
    let load = Load::start(&addresses, &known, CALLS_PER_SECOND);
    tell(&format!(
        "\n## Changes, {trials} trials each, under {CALLS_PER_SECOND} calls/s\n\nFrom sending the change to the answer of \
         the last call that was judged as before it.\n\n\
         | change | bell | instance | p50 | p99 | max |\n|---|---|---|---|---|---|"
    ));
    let mut session = fleet.session().await;
    let all = [
        Change::DeleteByApi,
        Change::DeleteBySql,
        Change::Create,
        Change::Narrow,
    ];
    for (bell, blocked) in [("rings", false), ("black-holed", true)] {
        fleet.bell.block(blocked);
        for change in all {
            let mut times = vec![Vec::new(); fleet.sidecars.len()];
            for _ in 0..trials {
                let trial = timeout(PATIENCE, trial(&fleet, &mut session, change)).await;
                let took = trial.expect("a change comes into force");
                for (times, took) in times.iter_mut().zip(took) {
                    times.push(took);
                }
            }
            for (number, times) in times.iter_mut().enumerate() {
                let [p50, p99, max] = percentiles(times);
                let name = change.name();
                tell(&format!(
                    "| {name} | {bell} | {} | {p50:.1?} | {p99:.1?} | {max:.1?} |",
                    number + 1
                ));
            }
        }
    }
    fleet.bell.block(false);
    let calls = load.end();
    let wrong = calls.iter().filter(|call| call.status != 200).count();
    tell(&format!(
        "\nCalls meanwhile: {}, of which not answered 200: {wrong}.",
        calls.len()
    ));
}

/// One change; how long each instance went on as before.
async fn trial(fleet: &Fleet, session: &mut PgConnection, change: Change) -> Vec<Duration> {
    let (before, after) = change.answers();
    if let Change::Create = change {
        // The text is not known before the key is there, so that only the time after the commit can be seen.
        let key = fleet.keys.create(&["llama"]).await;
        let begun = Instant::now();
        let (watching, _) = watch(fleet, &key, before, after);
        return last_before(watching, begun).await;
    }
    let key = fleet.keys.create(&["llama"]).await;
    let (watching, mut accepted) = watch(fleet, &key, before, after);
    for _ in &fleet.sidecars {
        accepted
            .recv()
            .await
            .expect("every instance accepts the key");
    }
    let begun = Instant::now();
    match change {
        Change::DeleteByApi => {
            let path = format!("/v1/api_keys/{}", key.prefix);
            let (status, said) = fleet.sidecars[0].administer("DELETE", &path, "").await;
            assert_eq!(status, 200, "{said}");
        }
        Change::DeleteBySql => delete_by_sql(session, &key).await,
        Change::Narrow => narrow(fleet, &key).await,
        Change::Create => unreachable!("done above"),
    }
    last_before(watching, begun).await
}

/// As somebody does who knows nothing of keyward.
pub async fn delete_by_sql(session: &mut PgConnection, key: &Key) {
    let delete =
        "UPDATE api_keys SET deleted_at = extract(epoch FROM now())::bigint WHERE prefix = $1";
    let deleted = sqlx::query(delete).bind(&key.prefix).execute(session).await;
    assert_eq!(deleted.expect("a deletion").rows_affected(), 1);
}

/// Takes the model away from the key that callers call.
async fn narrow(fleet: &Fleet, key: &Key) {
    let update = KeyUpdate {
        scope: Some(ModelScope::from_request(Some(&["another"])).expect("a model id")),
        ..KeyUpdate::default()
    };
    let which = KeySelector::Prefix(key.prefix.parse().expect("a prefix"));
    let updated = fleet.store.update(&which, &update).await;
    updated.expect("the key is there");
}

type Watching = JoinSet<(usize, Option<Instant>)>;

/// Calls every instance with `key` until it is answered the new way for good; says once when an instance gives the old
/// answer.
fn watch(fleet: &Fleet, key: &Key, before: u16, after: u16) -> (Watching, mpsc::Receiver<()>) {
    let mut watching = JoinSet::new();
    let (tell, told) = mpsc::channel(fleet.sidecars.len());
    for (number, sidecar) in fleet.sidecars.iter().enumerate() {
        let mut caller = Caller::new(sidecar.proxy);
        let request = call("llama", &key.text);
        let tell = tell.clone();
        watching.spawn(async move {
            let mut last_before = None;
            let mut settled = 0;
            // Straight after its creation, nobody may know the key.
            while settled < SETTLED {
                let status = caller.send(request.as_bytes()).await.expect("an answer");
                if status == after && (last_before.is_some() || before == 401) {
                    settled += 1;
                } else if status == before {
                    if last_before.is_none() {
                        let _ = tell.send(()).await;
                    }
                    last_before = Some(Instant::now());
                    settled = 0;
                } else {
                    assert_eq!(status, 401, "neither {before} nor {after}");
                }
                sleep(Duration::from_millis(1)).await;
            }
            (number, last_before)
        });
    }
    (watching, told)
}

async fn last_before(watching: Watching, begun: Instant) -> Vec<Duration> {
    let mut seen = watching.join_all().await;
    seen.sort_by_key(|(number, _)| *number);
    let last = seen.into_iter().map(|(_, last)| last);
    last.map(|last| last.map_or(Duration::ZERO, |last| last.saturating_duration_since(begun)))
        .collect()
}
