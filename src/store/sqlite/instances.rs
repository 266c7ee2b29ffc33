//! The running servers, and how far each has followed the log.

use std::time::Duration;

use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::error::Fault;
use super::sql;
use crate::key::Name;
use crate::store::{InstanceId, InstanceReport};

/// Writes an instance's row, and takes away what others have left behind.
pub async fn report(
    connection: &mut SqliteConnection,
    report: &InstanceReport,
) -> Result<(), Fault> {
    sqlx::query(sql::FORGET_INSTANCES)
        .execute(&mut *connection)
        .await?;
    sqlx::query(sql::REPORT_INSTANCE)
        .bind(report.id.to_string())
        .bind(Name::as_str(&report.name))
        .bind(as_stored(report.up_for.as_secs()))
        .bind(as_stored(report.applied.seq()))
        .bind(millis(report.heard_for))
        .bind(millis(report.serves_for))
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes an instance's row away.
pub async fn remove(connection: &mut SqliteConnection, id: InstanceId) -> Result<(), Fault> {
    sqlx::query(sql::REMOVE_INSTANCE)
        .bind(id.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

/// The rows of the instances that may serve keys.
pub async fn list(connection: &mut SqliteConnection) -> Result<Vec<SqliteRow>, Fault> {
    Ok(sqlx::query(sql::INSTANCES).fetch_all(connection).await?)
}

/// Asks for reports, for `time` at least; whether that had to be written.
pub async fn want_positions(
    connection: &mut SqliteConnection,
    time: Duration,
) -> Result<bool, Fault> {
    let written = sqlx::query(sql::WANT_POSITIONS)
        .bind(millis(time).saturating_mul(2))
        .execute(connection)
        .await?;
    Ok(written.rows_affected() > 0)
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn as_stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
