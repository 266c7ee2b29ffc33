//! Every statement can be run against a migrated database: nothing else checks them before they are used.

use keyward::store::{postgres, sqlite};
use sqlx::{Executor, SqlSafeStr};

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
