//! What is asked often, or of many keys, does not look at every key.

use keyward::store::sqlite::sql;
use rstest::rstest;
use sqlx::{AssertSqlSafe, Row};

use crate::support::store::Database;

#[rstest]
#[case::find(sql::FIND)]
#[case::get_by_id(sql::GET_BY_ID)]
#[case::get_by_prefix(sql::GET_BY_PREFIX)]
#[case::changes(sql::CHANGES)]
#[case::insert(sql::INSERT)]
#[case::import(sql::IMPORT)]
#[case::import_clashes(sql::IMPORT_CLASHES)]
#[case::page(sql::PAGE)]
#[case::list_page(sql::LIST_PAGE)]
#[case::update(sql::UPDATE)]
#[case::delete(sql::DELETE)]
#[case::record_last_used(sql::RECORD_LAST_USED)]
#[tokio::test]
async fn a_statement_looks_at_no_more_keys_than_it_must(#[case] statement: &'static str) {
    let plan = plan(statement).await;
    for table in ["SCAN k", "SCAN api_keys", "SCAN key_changes"] {
        assert!(!plan.contains(table), "{plan}");
    }
}

#[rstest]
#[case::list(sql::LIST)]
#[case::list_page(sql::LIST_PAGE)]
#[case::snapshot(sql::SNAPSHOT)]
#[case::snapshot_packed(sql::SNAPSHOT_PACKED)]
#[case::page(sql::PAGE)]
#[case::changes(sql::CHANGES)]
#[tokio::test]
async fn rows_come_in_their_order_without_being_sorted(#[case] statement: &'static str) {
    let plan = plan(statement).await;
    assert!(!plan.contains("TEMP B-TREE"), "{plan}");
}

async fn plan(statement: &'static str) -> String {
    let database = Database::sqlite().await;
    let mut connection = database.plain_connection().await;
    let explain = format!("EXPLAIN QUERY PLAN {statement}");
    let steps = sqlx::query(AssertSqlSafe(explain))
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let steps = steps.iter().map(|step| step.get::<String, _>("detail"));
    steps.collect::<Vec<_>>().join("\n")
}
