//! What is asked often stays cheap while the tables grow, however little the planner knows of them.

use keyward::store::postgres::sql;
use sqlx::AssertSqlSafe;

use crate::support::store::Database;

#[tokio::test]
async fn a_look_is_quick_on_tables_that_grew_after_the_first_ones() {
    // With the limits of a real one: the server itself ends what takes longer. It never gathers statistics here.
    let Some(database) = Database::on_postgres_as_configured(|_| {}).await else {
        return;
    };
    let store = &database.store;
    database.insert_many(20).await;
    let key = database.fill().await.remove(0);
    let young = database.end_of_log().await;
    // So often that a session would settle on a plan.
    for _ in 0..20 {
        assert_eq!(database.changes(young).await, []);
        assert!(store.find(&key.digest).await.unwrap().is_some());
    }
    database.by_hand("DELETE FROM api_keys").await;
    let before = database.end_of_log().await;
    database.insert_many(20_000).await;
    let batch = database.read_changes(before).await;
    assert_eq!(batch.changes.len(), 1000);
    assert!(batch.more);
}

#[tokio::test]
async fn a_page_of_a_fill_walks_the_keys_in_their_order() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    database.insert_many(20_000).await;
    let postgres = database.postgres.as_ref().unwrap();
    let mut session = postgres.server.connect(&postgres.name).await;
    let page = sql::PAGE
        .replace("$1::text", "''")
        .replace("$2::bigint", "1000");
    let explain = sqlx::query_scalar(AssertSqlSafe(format!("EXPLAIN {page}")));
    let plan: Vec<String> = explain.fetch_all(&mut session).await.unwrap();
    let walks = plan
        .iter()
        .any(|line| line.contains("Index Scan using api_keys_pkey"));
    assert!(walks, "{plan:#?}");
}
