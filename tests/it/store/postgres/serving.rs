//! Real processes on one database.

use http::Method;
use rustix::process::Signal;
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::support::keyward::{KeywardProcess, post};
use crate::support::store::Database;
use crate::support::within;

#[tokio::test]
async fn a_key_revoked_by_plain_sql_is_dead_in_every_process() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let settings = format!("store.url = \"{}\"\n", database.config.url);
    let one = KeywardProcess::start(&settings).await;
    let other = KeywardProcess::start(&settings).await;
    let key = one.key().await;
    let lives = one.key().await;
    for keyward in [&one, &other] {
        within("the key works", async {
            while keyward.call(&key, "m1").await.status() != 200 {}
        })
        .await;
    }
    let on = database.postgres.as_ref().unwrap();
    let mut psql = on.server.connect(&on.name).await;
    let revoke = format!(
        "UPDATE api_keys SET disabled_at = 1 WHERE prefix = '{}'",
        key.prefix
    );
    psql.execute(AssertSqlSafe(revoke)).await.unwrap();
    psql.close().await.unwrap();
    for keyward in [&one, &other] {
        within("the key is dead", async {
            while keyward.call(&key, "m1").await.status() != 401 {}
        })
        .await;
        // And stays so; the other one never was.
        assert_eq!(keyward.call(&key, "m1").await.status(), 401);
        assert_eq!(keyward.call(&lives, "m1").await.status(), 200);
    }
}

/// A process is stopped and goes on, as with SIGSTOP or a frozen machine, with calls that wait for it: what it answers first
/// is of after the pause.
#[tokio::test]
async fn a_key_revoked_during_a_pause_is_dead_when_the_process_goes_on() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let settings = format!(
        "store.url = \"{}\"\nstore.bell = \"poll\"\n\
         [cache]\npoll_every = \"500ms\"\nmax_lag = \"1s\"\n",
        database.config.url
    );
    let one = KeywardProcess::start(&settings).await;
    let paused = KeywardProcess::start(&settings).await;
    let [key, lives] = [one.key().await, one.key().await];
    let calls = [&key, &lives].map(|key| post("/models/m1/predict", key, "{}"));
    let mut callers = Vec::new();
    for _ in 0..16 {
        let mut caller = paused.raw().await;
        for call in &calls {
            assert_eq!(caller.call(call).await.status(), 200);
        }
        callers.push(caller);
    }
    paused.signal(Signal::STOP);
    // Answered when an instance has said nothing for two seconds.
    let path = format!("/v1/api_keys/{}?wait=all", key.prefix);
    let deleted = one.administer(Method::DELETE, &path).send().await.json();
    assert_eq!(deleted["in_force"]["everywhere"], false, "{deleted}");
    for caller in &mut callers {
        caller.write(calls.concat()).await;
    }
    paused.signal(Signal::CONT);
    for caller in &mut callers {
        assert_eq!(caller.read_answer().await.status(), 401);
        assert_eq!(caller.read_answer().await.status(), 200);
    }
}
