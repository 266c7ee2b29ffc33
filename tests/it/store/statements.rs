//! Every statement can be run against a migrated database: nothing else checks them before they are used.

use keyward::store::sqlite::sql;
use keyward::store::{postgres, sqlite};
use rstest::rstest;
use sqlx::{Executor, Row, SqlSafeStr};

use crate::support::store::Database;

#[tokio::test]
async fn every_statement_prepares_against_a_migrated_sqlite_database() {
    let database = Database::sqlite().await;
    let mut connection = database.plain_connection().await;
    for (name, text) in sqlite::sql::ALL {
        let prepared = connection.prepare(text.into_sql_str()).await;
        assert!(prepared.is_ok(), "{name}: {:?}", prepared.err());
    }
}

#[tokio::test]
async fn every_statement_prepares_against_a_migrated_postgres_database() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let on = database.postgres.as_ref().unwrap();
    let mut connection = on.server.connect(&on.name).await;
    for (name, text) in postgres::sql::ALL {
        let prepared = connection.prepare(text.into_sql_str()).await;
        assert!(prepared.is_ok(), "{name}: {:?}", prepared.err());
    }
}

/// A statement that is run for every key of an import, or for every change, looks its keys up one by one: it does not
/// walk all keys, nor all keys of the organisation, of which there is one.
#[rstest]
#[case::find(sql::FIND)]
#[case::by_id(sql::GET_BY_ID)]
#[case::by_prefix(sql::GET_BY_PREFIX)]
#[case::changes(sql::CHANGES)]
#[case::import(sql::IMPORT_CLASHES)]
#[case::insert(sql::IMPORT)]
#[case::delete(sql::DELETE)]
#[case::update(sql::UPDATE)]
#[case::last_used(sql::RECORD_LAST_USED)]
#[tokio::test]
async fn what_is_asked_for_each_key_walks_no_index(#[case] text: &str) {
    let database = Database::sqlite().await;
    let mut connection = database.plain_connection().await;
    let explain = format!("EXPLAIN QUERY PLAN {text}");
    let plan = sqlx::query(sqlx::AssertSqlSafe(explain))
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let steps: Vec<String> = plan.iter().map(|step| step.get("detail")).collect();
    let walks = |step: &&String| {
        ["SCAN k", "SCAN api_keys"].contains(&step.as_str())
            || step.starts_with("SCAN k USING")
            || step.starts_with("SCAN api_keys USING")
            || step.ends_with("(org_id=?)")
    };
    let walking: Vec<&String> = steps.iter().filter(walks).collect();
    assert!(!steps.is_empty() && walking.is_empty(), "{steps:#?}");
}
