//! What is asked often stays cheap while the tables grow, however little the planner knows of them.

use keyward::store::postgres::{PLANNED_ONCE, sql};
use rstest::rstest;
use sqlx::{AssertSqlSafe, Executor};

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

/// What is planned once must go by the right index before there is anything that the planner could know.
#[rstest]
#[case::look(sql::CHANGES, "(5, 1000)", 2)]
#[case::last_used(sql::RECORD_LAST_USED, "('{a}', '{1}')", 2)]
#[tokio::test]
async fn what_is_planned_once_goes_by_an_index(
    #[case] statement: &str,
    #[case] binds: &str,
    #[case] visits: usize,
    #[values(0, 20_000)] keys: usize,
) {
    let Some(database) = Database::postgres().await else {
        return;
    };
    if keys > 0 {
        database.insert_many(keys).await;
    }
    let postgres = database.postgres.as_ref().unwrap();
    let mut session = postgres.server.connect(&postgres.name).await;
    for (name, value) in PLANNED_ONCE {
        let set = AssertSqlSafe(format!("SET {name} = {value}"));
        session.execute(set).await.unwrap();
    }
    let prepare = AssertSqlSafe(format!("PREPARE asked AS {statement}"));
    session.execute(sqlx::raw_sql(prepare)).await.unwrap();
    let explain = AssertSqlSafe(format!("EXPLAIN EXECUTE asked {binds}"));
    let plan: Vec<String> = sqlx::query_scalar(explain)
        .fetch_all(&mut session)
        .await
        .unwrap();
    let mut found = 0;
    for (line, next) in plan.iter().zip(&plan[1..]) {
        if line.contains(" on api_keys ") && !line.contains("Update on") {
            found += 1;
            assert!(line.contains("Index Scan using"), "{plan:#?}");
            assert!(next.contains("Index Cond"), "{plan:#?}");
        }
    }
    assert_eq!(found, visits, "{plan:#?}");
}

/// An import looks for what stands in the way of thousands of keys at once, in a table that it has just made large.
#[tokio::test]
async fn an_import_reads_no_table_from_end_to_end() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    database.insert_many(20_000).await;
    let postgres = database.postgres.as_ref().unwrap();
    let mut session = postgres.server.connect(&postgres.name).await;
    let prepare = AssertSqlSafe(format!("PREPARE asked AS {}", sql::IMPORT_CLASHES));
    session.execute(sqlx::raw_sql(prepare)).await.unwrap();
    let kinds = "text text bytea bytea bigint text text text text text bigint bigint bigint bigint text boolean";
    let columns = kinds
        .split(' ')
        .map(|kind| format!("array_fill(NULL::{kind}, ARRAY[8000])"))
        .collect::<Vec<_>>()
        .join(", ");
    let explain = AssertSqlSafe(format!("EXPLAIN EXECUTE asked ({columns})"));
    let explain = sqlx::query_scalar(explain).fetch_all(&mut session);
    let plan: Vec<String> = explain.await.unwrap();
    let looks = plan.iter().filter(|line| line.contains(" on api_keys "));
    let ways = looks
        .map(|line| {
            line.split(" on ")
                .next()
                .unwrap()
                .trim()
                .trim_start_matches("->")
        })
        .map(str::trim)
        .collect::<Vec<_>>();
    let expected = [
        "Index Scan using api_keys_digest_key",
        "Index Only Scan using api_keys_old_digest_key",
        "Index Only Scan using api_keys_digest_key",
        "Index Only Scan using api_keys_old_digest_key",
        "Index Only Scan using api_keys_prefix_key",
        "Index Only Scan using api_keys_pkey",
        "Index Scan using api_keys_name",
        "Index Scan using api_keys_personal_name",
    ];
    assert_eq!(ways, expected, "{plan:#?}");
}
