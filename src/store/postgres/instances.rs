//! The running servers, and how far each has followed the log. Each statement may be run twice.

use std::time::Duration;

use sqlx::postgres::PgRow;

use super::error::Fault;
use super::lane::{Lease, Session};
use super::sql;
use crate::store::{InstanceId, InstanceReport};

/// Writes an instance's row, and takes away what others have left behind.
pub async fn report(session: &mut impl Session, report: &InstanceReport) -> Result<(), Fault> {
    session
        .query(sql::REPORT_INSTANCE)
        .bind(report.id.to_string())
        .bind(report.name.to_string())
        .bind(as_stored(report.up_for.as_secs()))
        .bind(as_stored(report.applied.seq()))
        .bind(millis(report.heard_for))
        .bind(millis(report.serves_for))
        .execute(&mut **session)
        .await?;
    Ok(())
}

/// Takes an instance's row away.
pub async fn remove(lease: &mut Lease<'_>, id: InstanceId) -> Result<(), Fault> {
    let query = lease.query(sql::REMOVE_INSTANCE).bind(id.to_string());
    query.execute(&mut **lease).await?;
    Ok(())
}

/// The rows of the instances that may serve keys.
pub async fn list(lease: &mut Lease<'_>) -> Result<Vec<PgRow>, Fault> {
    Ok(lease.query(sql::INSTANCES).fetch_all(&mut **lease).await?)
}

/// Asks for reports, for `time` at least.
pub async fn want_positions(lease: &mut Lease<'_>, time: Duration) -> Result<(), Fault> {
    let twice = millis(time).saturating_mul(2);
    let query = lease.query(sql::WANT_POSITIONS).bind(twice);
    query.execute(&mut **lease).await?;
    Ok(())
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn as_stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
