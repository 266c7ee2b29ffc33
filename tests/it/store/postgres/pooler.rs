//! Behind PgBouncer in transaction mode, where each transaction may get another session.

use keyward::store::{BellKind, Migrated, StoreConfig, StoreError};
use keyward::telemetry::metrics::Metrics;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};

use crate::store::contract;
use crate::support::keyward::KeywardProcess;
use crate::support::pgbouncer::PgBouncer;
use crate::support::postgres::Postgres;
use crate::support::store::{Database, new_key, open};
use crate::support::within;

/// A server, and a pooler before it.
fn both() -> Option<(&'static Postgres, PgBouncer)> {
    let server = Postgres::shared()?;
    Some((server, PgBouncer::before(server)?))
}

/// A session through the pooler, with nothing that was said to it before.
async fn through(pooler: &PgBouncer, database: &str) -> PgConnection {
    let options: PgConnectOptions = pooler.url(database).parse().unwrap();
    let options = options.extra_float_digits(None).statement_cache_capacity(0);
    options.connect().await.unwrap()
}

/// A revocation by plain SQL is waited for in two processes with these settings.
async fn assert_a_revocation_by_hand_is_followed(server: &Postgres, name: &str, settings: &str) {
    let settings = &format!("{settings}upstreams.default.url = \"{{upstream}}\"\n");
    let one = KeywardProcess::start(settings).await;
    let other = KeywardProcess::start(settings).await;
    let key = one.key().await;
    for keyward in [&one, &other] {
        within("the key works", async {
            while keyward.call(&key, "m1").await.status() != 200 {}
        })
        .await;
    }
    let mut psql = server.connect(name).await;
    let revoke = format!(
        "UPDATE api_keys SET disabled_at = 1 WHERE prefix = '{}'",
        key.prefix
    );
    psql.execute(AssertSqlSafe(revoke)).await.unwrap();
    for keyward in [&one, &other] {
        within("the key is dead", async {
            while keyward.call(&key, "m1").await.status() != 401 {}
        })
        .await;
    }
}

#[tokio::test]
async fn behind_a_pooler_the_whole_contract_holds_with_the_bell_by_its_own_url() {
    let Some((_, pooler)) = both() else { return };
    Box::pin(contract::every(async || {
        let database = Database::on_postgres(|config| {
            let name = config.url.rsplit_once('/').expect("a database").1;
            let indirect = pooler.url(name);
            config.bell_url = Some(std::mem::replace(&mut config.url, indirect));
        });
        database.await.expect("Postgres is there")
    }))
    .await;
}

#[tokio::test]
async fn with_a_bell_of_its_own_a_change_is_heard_before_any_poll() {
    let Some((server, pooler)) = both() else {
        return;
    };
    let database = Database::postgres().await.unwrap();
    let name = &database.postgres.as_ref().unwrap().name;
    let settings = format!(
        "store.url = \"{}\"\nstore.bell_url = \"{}\"\ncache.poll_every = \"1m\"\ncache.max_lag = \"2m\"\n",
        pooler.url(name),
        server.url(name)
    );
    assert_a_revocation_by_hand_is_followed(server, name, &settings).await;
}

#[tokio::test]
async fn with_the_poll_alone_everything_goes_through_the_pooler() {
    let Some((server, pooler)) = both() else {
        return;
    };
    let name = server.new_database().await;
    let config = StoreConfig {
        url: pooler.url(&name),
        bell: BellKind::Poll,
        ..StoreConfig::default()
    };
    let migrated = keyward::store::migrate(&config).await.unwrap();
    assert_eq!(migrated, Migrated { was: 0, is: 5 });
    let settings = format!(
        "store.url = \"{}\"\nstore.bell = \"poll\"\ncache.poll_every = \"50ms\"\n",
        config.url
    );
    assert_a_revocation_by_hand_is_followed(server, &name, &settings).await;
    server.forget(&name);
}

#[tokio::test]
async fn nothing_of_ours_stays_in_a_session_for_the_next_one() {
    let Some((server, pooler)) = both() else {
        return;
    };
    let name = server.new_database().await;
    let config = StoreConfig {
        url: pooler.url(&name),
        bell: BellKind::Poll,
        ..StoreConfig::default()
    };
    keyward::store::migrate(&config).await.unwrap();
    let store = open(&config).await;
    let (key, _) = store.insert(&new_key()).await.unwrap();
    for _ in 0..10 {
        let (one, other) = tokio::join!(store.find(&key.digest), store.find(&key.digest));
        assert!(one.unwrap().is_some() && other.unwrap().is_some());
    }
    assert!(matches!(
        store.insert(&new_key_like(&key)).await,
        Err(StoreError::PrefixTaken(_))
    ));
    let mut next = through(&pooler, &name).await;
    let left: String = sqlx::query_scalar(
        "SELECT concat_ws(' ', current_setting('statement_timeout'), current_setting('lock_timeout'),
                          current_setting('jit'), current_setting('search_path'),
                          (SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%api_keys%' AND name <> ''),
                          (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database =
                             (SELECT oid FROM pg_database WHERE datname = current_database())))",
    )
    .persistent(false)
    .fetch_one(&mut next)
    .await
    .unwrap();
    assert_eq!(left, "0 0 on \"$user\", public 0 0");
    store.close().await;
    server.forget(&name);
}

fn new_key_like(key: &keyward::key::ApiKey) -> keyward::key::NewApiKey {
    keyward::key::NewApiKey {
        prefix: key.prefix.clone(),
        ..new_key()
    }
}

#[tokio::test]
async fn a_pooler_that_nobody_told_us_of_is_refused_with_what_to_do() {
    let Some((server, pooler)) = both() else {
        return;
    };
    let name = server.new_database().await;
    let config = StoreConfig {
        url: pooler.url(&name),
        ..StoreConfig::default()
    };
    let opened = keyward::store::open(&config, Metrics::unrecorded().store).await;
    let Err(error @ StoreError::Open { .. }) = opened else {
        panic!("{:?}", opened.err());
    };
    assert!(
        error
            .to_string()
            .contains("a pooler in transaction mode needs `store.bell_url`"),
        "{error}"
    );
    server.forget(&name);
}
