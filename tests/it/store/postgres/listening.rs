//! The connection that listens: cut, silent, or never there. The log says what it could not.

use keyward::store::KeyChange;
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{AssertSqlSafe, Executor};

use crate::support::keyward::{KeywardProcess, TestKey};
use crate::support::store::{Database, OnPostgres, in_time, new_key};
use crate::support::within;

/// The sessions that listen.
const LISTENERS: &str =
    "pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()";

fn on(database: &Database) -> &OnPostgres {
    database.postgres.as_ref().expect("it is on Postgres")
}

async fn listeners(database: &Database) -> Vec<i32> {
    let mut hand = on(database).server.connect(&on(database).name).await;
    let pids = sqlx::query_scalar(AssertSqlSafe(format!("SELECT {LISTENERS}")));
    pids.fetch_all(&mut hand).await.unwrap()
}

/// Every session of keyward in the database, stopped where it is: the one that listens among them.
struct Silent(Vec<Pid>);

impl Silent {
    async fn all_of(database: &Database) -> Self {
        let mut hand = on(database).server.connect(&on(database).name).await;
        let pids: Vec<i32> = sqlx::query_scalar(
            "SELECT pid FROM pg_stat_activity
             WHERE application_name = 'keyward' AND datname = current_database()",
        )
        .fetch_all(&mut hand)
        .await
        .unwrap();
        let silent = Self(pids.into_iter().filter_map(Pid::from_raw).collect());
        assert!(!silent.0.is_empty());
        silent.signal(Signal::STOP);
        silent
    }

    fn signal(&self, signal: Signal) {
        for pid in &self.0 {
            // One may have ended by itself.
            let _ = kill_process(*pid, signal);
        }
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.signal(Signal::CONT);
    }
}

/// Switches the key off by plain SQL, and waits until it is refused.
async fn assert_a_revocation_is_followed(
    database: &Database,
    keyward: &KeywardProcess,
    key: &TestKey,
) {
    let mut psql = on(database).server.connect(&on(database).name).await;
    let revoke = format!(
        "UPDATE api_keys SET disabled_at = 1 WHERE prefix = '{}'",
        key.prefix
    );
    psql.execute(AssertSqlSafe(revoke)).await.unwrap();
    within("the key is dead", async {
        while keyward.call(key, "m1").await.status() != 401 {}
    })
    .await;
}

#[tokio::test]
async fn what_changes_while_the_listener_is_cut_off_is_rung_and_found() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let store = &database.store;
    let (key, before) = store.insert(&new_key()).await.unwrap();
    in_time(store.changed()).await.unwrap();
    // Nobody hears of the change: the session that listens is gone before it.
    let mut hand = on(&database).server.connect(&on(&database).name).await;
    let cut = format!("SELECT pg_terminate_backend(pid), {LISTENERS}");
    hand.execute(AssertSqlSafe(cut)).await.unwrap();
    while !listeners(&database).await.is_empty() {}
    database.by_hand("DELETE FROM api_keys").await;
    in_time(store.changed()).await.unwrap();
    assert_eq!(
        database.changes(before).await,
        [KeyChange::Gone(key.digest)]
    );
    // It listens again.
    let new = new_key();
    let (rung, made) = tokio::join!(in_time(store.changed()), store.insert(&new));
    rung.unwrap();
    made.unwrap();
}

#[tokio::test]
async fn the_poll_runs_though_every_session_there_was_says_nothing_any_more() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    // It would be asked whether it lives after the test.
    let settings = format!(
        "store.url = \"{}\"\nstore.postgres.heartbeat = \"1h\"\ncache.poll_every = \"100ms\"\n",
        database.config.url
    );
    let keyward = KeywardProcess::start(&settings).await;
    let key = keyward.key().await;
    assert_eq!(keyward.call(&key, "m1").await.status(), 200);
    let _silent = Silent::all_of(&database).await;
    assert_a_revocation_is_followed(&database, &keyward, &key).await;
}

#[tokio::test]
async fn where_nobody_can_listen_the_poll_carries_every_change() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    // Nothing listens at port 1.
    let settings = format!(
        "store.url = \"{}\"\nstore.bell_url = \"postgres://postgres@127.0.0.1:1/nowhere\"\n\
         cache.poll_every = \"50ms\"\nupstreams.default.url = \"{{upstream}}\"\n",
        database.config.url
    );
    let keyward = KeywardProcess::start(&settings).await;
    let key = keyward.key().await;
    within("the key works", async {
        while keyward.call(&key, "m1").await.status() != 200 {}
    })
    .await;
    assert_a_revocation_is_followed(&database, &keyward, &key).await;
    assert_eq!(listeners(&database).await, [0; 0]);
}
