//! Real processes on one database.

use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::support::keyward::KeywardProcess;
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
