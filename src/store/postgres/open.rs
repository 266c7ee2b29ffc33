//! Makes sure that a database is surely ours and of a version that we can live with; migrates it when told to.

use sqlx::{Executor, Row, SqlSafeStr};
use uuid::Uuid;

use super::error::{Fault, advice, code, passes};
use super::lane::{Lane, Lease, Session, ask};
use super::place::Place;
use super::sql;
use crate::store::{Migrated, StoreError};

/// One step of the schema.
struct Migration {
    version: i64,
    name: &'static str,
    /// The oldest program that can live with it, by the newest migration that program knew. Programs of two versions
    /// run side by side while an installation is renewed, so that a step which makes this its own number is made in two
    /// releases: first one that adds, then, when nobody runs the old program any more, one that takes away.
    min_reader: i64,
    text: &'static str,
}

/// The migrations, oldest first. One that has been released is never changed.
///
/// To add one: a file beside the others, a line here with the next number, what each user of the database may do with
/// a new table in deploy/postgres/roles.sql, and the same step for SQLite (`sqlite/open.rs`).
const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "keys",
        min_reader: 1,
        text: include_str!("migrations/0001_keys.sql"),
    },
    Migration {
        version: 2,
        name: "instances",
        min_reader: 1,
        text: include_str!("migrations/0002_instances.sql"),
    },
    Migration {
        version: 3,
        name: "audit",
        min_reader: 1,
        text: include_str!("migrations/0003_audit.sql"),
    },
    Migration {
        version: 4,
        name: "ends calls",
        min_reader: 1,
        text: include_str!("migrations/0004_ends_calls.sql"),
    },
    Migration {
        version: 5,
        name: "audit of others",
        min_reader: 1,
        text: include_str!("migrations/0005_audit_of_others.sql"),
    },
];

/// The triggers without which a change would not be followed.
const TRIGGERS: [&str; 9] = [
    "api_keys_deleted",
    "api_keys_inserted",
    "api_keys_lock",
    "api_keys_truncated",
    "api_keys_update_lock",
    "api_keys_updated",
    "teams_deleted",
    "teams_lock",
    "teams_updated",
];

/// What the first team is called.
const DEFAULT_TEAM: &str = "default";

/// What a transaction that migrates is told at its beginning: a statement may take as long as it takes, and waits a
/// minute for a lock, or for another one that migrates.
const AT_LEISURE: &str = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 60000; \
                          SET LOCAL idle_in_transaction_session_timeout = 60000";

const LACKS: &str = "it lacks what the change log needs: advisory locks, triggers for each statement and transition \
                     tables, as PostgreSQL has since version 12";

const LOCKS_DO_NOTHING: &str = "its advisory locks have no effect: two sessions had the same one at once. Changes of \
                                keys would be followed out of order, so it is not used; use PostgreSQL";

const TRIGGERS_DO_NOTHING: &str = "its triggers for each statement have no effect: a change did not take the lock of \
                                   the change log. Changes of keys would be followed out of order, so it is not used; \
                                   use PostgreSQL";

/// The newest migration that this program knows.
fn newest() -> i64 {
    let versions = MIGRATIONS.iter().map(|migration| migration.version);
    versions.max().unwrap_or(0)
}

/// Makes sure that the database is a migrated one that this program can live with. Changes nothing.
///
/// A server that cannot be reached is [`StoreError::Away`]; one that was reached and is not as it must be is
/// [`StoreError::Open`]: somebody has to look at it.
pub async fn check(lane: &Lane) -> Result<(), StoreError> {
    let place = lane.place();
    let versions = ask!(lane, |lease| versions(&mut lease)).await;
    let versions = match versions {
        Ok(versions) => versions,
        Err(Fault::Sqlx(cause)) if code(&cause).as_deref() == Some("42P01") => {
            return Err(place.refusal(
                "there are no tables of keyward in it yet; make them with `keyward database migrate`",
                None,
            ));
        }
        Err(fault) => return Err(cannot_open(place, fault)),
    };
    judge(place, versions)?;
    let present = ask!(lane, |lease| triggers(&mut lease)).await;
    let present = present.map_err(|fault| cannot_open(place, fault))?;
    if let Some(missing) = TRIGGERS
        .iter()
        .find(|name| !present.iter().any(|is| is == *name))
    {
        return Err(place.refusal(
            format!("the trigger `{missing}`, which helps to write the change log, is missing or switched off"),
            None,
        ));
    }
    locks_hold(lane).await
}

/// What the database was migrated to.
#[derive(Clone, Copy)]
struct Versions {
    version: i64,
    min_reader: i64,
}

async fn versions(lease: &mut Lease<'_>) -> Result<Versions, Fault> {
    let row = lease.query(sql::SCHEMA_VERSION).fetch_one(&mut **lease);
    let row = row.await?;
    Ok(Versions {
        version: row.try_get("version")?,
        min_reader: row.try_get("min_reader")?,
    })
}

fn judge(place: &Place, is: Versions) -> Result<(), StoreError> {
    let knows = newest();
    if is.version < knows {
        return Err(place.refusal(
            format!(
                "its tables are of version {}, and this program needs version {knows}; bring them there with \
                 `keyward database migrate`",
                is.version
            ),
            None,
        ));
    }
    if is.min_reader > knows {
        return Err(place.refusal(
            format!(
                "its tables are of version {}, with which only programs that know version {} can live; this one knows \
                 {knows}. Run a newer keyward",
                is.version, is.min_reader
            ),
            None,
        ));
    }
    Ok(())
}

async fn triggers(lease: &mut Lease<'_>) -> Result<Vec<String>, Fault> {
    let rows = lease.query(sql::TRIGGERS).fetch_all(&mut **lease).await?;
    let names = rows.iter().map(|row| row.try_get("name"));
    Ok(names.collect::<Result<_, _>>()?)
}

/// Takes a lock in one session and tries it in another: there are servers that know the function and do nothing.
async fn locks_hold(lane: &Lane) -> Result<(), StoreError> {
    let place = lane.place();
    // A lock of nobody else's, so that many may look at once.
    let [.., a, b, c, d] = *Uuid::now_v7().as_bytes();
    let key = i32::from_be_bytes([a, b, c, d]);
    let looked = async {
        let mut holder = lane.begin(None).await?;
        let mut other = lane.begin(None).await?;
        let taken = holder.query(sql::PROBE_LOCK).bind(key);
        taken.execute(&mut *holder).await?;
        let tried = other.query(sql::PROBE_LOCK_IS_FREE).bind(key);
        let free: bool = tried.fetch_one(&mut *other).await?.try_get(0)?;
        for mut lease in [holder, other] {
            lease.run(sql::ROLLBACK).await?;
            lease.give_back();
        }
        Ok(free)
    };
    match lane.bounded(looked).await {
        Ok(false) => Ok(()),
        Ok(true) => Err(place.refusal(LOCKS_DO_NOTHING, None)),
        Err(fault) => Err(cannot_open(place, fault)),
    }
}

/// Brings the schema up to date and makes the first organisation and team, all in one transaction: of two processes
/// that migrate at once, the second finds everything done.
pub async fn migrate(lane: &Lane) -> Result<Migrated, StoreError> {
    locks_hold(lane).await?;
    let place = lane.place();
    let done = async {
        let mut lease = lane.begin(None).await?;
        lease.run(AT_LEISURE).await?;
        lease.run(sql::LOCK_MIGRATIONS).await?;
        lease.query(sql::PIN_SCHEMA).execute(&mut *lease).await?;
        lease.run(sql::MAKE_MIGRATIONS).await?;
        let was = versions(&mut lease).await?;
        let due = MIGRATIONS
            .iter()
            .filter(|migration| migration.version > was.version);
        for migration in due {
            apply(&mut lease, migration).await?;
        }
        begin_with_one_team(&mut lease).await?;
        let is = versions(&mut lease).await?;
        if log_is_free(lane, &mut lease).await? {
            return Err(place.refusal(TRIGGERS_DO_NOTHING, None).into());
        }
        lease.run(sql::COMMIT).await?;
        lease.give_back();
        Ok((was, is))
    };
    let (was, is) = done
        .await
        .map_err(|fault: Fault| cannot_open(place, fault))?;
    if is.min_reader > newest() {
        judge(place, is)?;
    }
    Ok(Migrated {
        was: was.version,
        is: is.version,
    })
}

async fn apply(lease: &mut Lease<'_>, migration: &Migration) -> Result<(), Fault> {
    lease.execute(migration.text.into_sql_str()).await?;
    lease
        .query(sql::MIGRATED)
        .bind(migration.version)
        .bind(migration.name)
        .bind(migration.min_reader)
        .execute(&mut **lease)
        .await?;
    Ok(())
}

async fn begin_with_one_team(lease: &mut Lease<'_>) -> Result<(), Fault> {
    let org = lease.query(sql::FIRST_ORG).bind(Uuid::now_v7().to_string());
    org.execute(&mut **lease).await?;
    let team = lease.query(sql::FIRST_TEAM);
    let team = team.bind(Uuid::now_v7().to_string()).bind(DEFAULT_TEAM);
    team.execute(&mut **lease).await?;
    Ok(())
}

/// Whether a statement that would change keys leaves the lock of the change log to others.
async fn log_is_free(lane: &Lane, lease: &mut Lease<'_>) -> Result<bool, Fault> {
    lease.run(sql::PROBE_CHANGE).await?;
    let mut other = lane.begin(None).await?;
    let tried = other.query(sql::PROBE_LOG_IS_FREE);
    let free = tried.fetch_one(&mut *other).await?.try_get(0)?;
    other.run(sql::ROLLBACK).await?;
    other.give_back();
    Ok(free)
}

fn cannot_open(place: &Place, fault: Fault) -> StoreError {
    match fault {
        Fault::Answer(answer) => answer,
        Fault::Late => place.away(
            "it did not answer in time; check that the server runs",
            None,
        ),
        Fault::Sqlx(cause) if passes(&cause) => place.away(advice(&cause), Some(cause)),
        Fault::Sqlx(cause) => {
            let advice = match code(&cause).as_deref() {
                // feature_not_supported, syntax_error, undefined_function, undefined_table (a catalogue)
                Some("0A000" | "42601" | "42883" | "42P01") => LACKS,
                _ => advice(&cause),
            };
            place.refusal(advice, Some(cause))
        }
    }
}
