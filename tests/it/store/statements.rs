//! Every statement can be run against a migrated database: nothing else checks them before they are used.

use keyward::store::sqlite::sql;
use sqlx::Executor;

use crate::support::store::Database;

#[tokio::test]
async fn every_statement_prepares_against_a_migrated_database() {
    let database = Database::sqlite().await;
    let mut connection = database.plain_connection().await;
    for (name, text) in sql::ALL {
        let prepared = connection
            .prepare(sqlx::SqlSafeStr::into_sql_str(*text))
            .await;
        assert!(prepared.is_ok(), "{name}: {:?}", prepared.err());
    }
}
