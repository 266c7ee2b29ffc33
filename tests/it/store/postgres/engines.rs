//! Servers that speak as Postgres does and lack what the change log stands on: made of a real one, in which a schema of
//! the search path has functions of the same names.

use keyward::store::{StoreConfig, StoreError};
use keyward::telemetry::metrics::Metrics;
use rstest::rstest;
use sqlx::Connection;

use crate::support::postgres::Postgres;
use crate::support::store::Database;

/// Advisory locks that can be asked for and keep nobody out.
const LOCKS_DO_NOTHING: &str = "
    CREATE FUNCTION fake.pg_advisory_xact_lock(integer, integer) RETURNS void LANGUAGE sql AS 'SELECT';
    CREATE FUNCTION fake.pg_try_advisory_xact_lock(integer, integer) RETURNS boolean LANGUAGE sql AS 'SELECT true';";

/// Advisory locks that are known and not there, as where they say so.
const LOCKS_ARE_REFUSED: &str = "
    CREATE FUNCTION fake.pg_advisory_xact_lock(integer, integer) RETURNS void LANGUAGE plpgsql AS
      $$ BEGIN RAISE 'not supported yet' USING ERRCODE = 'feature_not_supported'; END $$;";

/// A trigger for each statement that can be made and is never run.
const TRIGGERS_DO_NOTHING: &str = "
    CREATE FUNCTION fake.forget_triggers() RETURNS event_trigger LANGUAGE plpgsql AS $$
      DECLARE name text;
      BEGIN
        FOR name IN SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass('public.api_keys')
                       AND NOT tgisinternal AND tgenabled = 'A' LOOP
          EXECUTE format('ALTER TABLE public.api_keys DISABLE TRIGGER %I', name);
        END LOOP;
      END $$;
    CREATE EVENT TRIGGER forget ON ddl_command_end WHEN TAG IN ('ALTER TABLE')
      EXECUTE FUNCTION fake.forget_triggers();";

/// The server's own functions come last.
const PATH: &str = "?options[search_path]=public,fake,pg_catalog";

fn told(error: &StoreError, advice: &str) {
    assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
    assert!(error.to_string().contains(advice), "{error}");
}

#[rstest]
#[case::locks_do_nothing(LOCKS_DO_NOTHING, "its advisory locks have no effect")]
#[case::locks_are_refused(LOCKS_ARE_REFUSED, "it lacks what the change log needs")]
#[case::triggers_do_nothing(TRIGGERS_DO_NOTHING, "its triggers for each statement have no effect")]
#[tokio::test]
async fn an_engine_that_keeps_no_order_is_not_migrated(#[case] fake: &str, #[case] advice: &str) {
    let Some(server) = Postgres::shared() else {
        return;
    };
    let name = server.new_database().await;
    let mut hand = server.connect(&name).await;
    let fake = format!("CREATE SCHEMA fake; {fake}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(fake))
        .execute(&mut hand)
        .await
        .unwrap();
    let config = StoreConfig {
        url: server.url(&name) + PATH,
        ..StoreConfig::default()
    };
    let error = keyward::store::migrate(&config).await.unwrap_err();
    told(&error, advice);
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname IN ('public', 'fake')";
    let tables: i64 = sqlx::query_scalar(tables)
        .fetch_one(&mut hand)
        .await
        .unwrap();
    assert_eq!(tables, 0);
    hand.close().await.unwrap();
    server.forget(&name);
}

/// The tables may have been copied there from a server that does.
#[rstest]
#[case::locks_do_nothing(LOCKS_DO_NOTHING, "its advisory locks have no effect")]
#[case::locks_are_refused(LOCKS_ARE_REFUSED, "it lacks what the change log needs")]
#[tokio::test]
async fn a_server_does_not_start_on_one_either(#[case] fake: &str, #[case] advice: &str) {
    let Some(database) = Database::postgres().await else {
        return;
    };
    database
        .by_hand(&format!("CREATE SCHEMA fake; {fake}"))
        .await;
    let mut config = database.config.clone();
    config.url.push_str(PATH);
    let opened = keyward::store::open(&config, Metrics::unrecorded().store).await;
    told(&opened.err().expect("it is refused"), advice);
}
