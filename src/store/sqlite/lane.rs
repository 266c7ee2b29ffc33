//! Connections that take turns.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection as _};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::file::OpenFile;

/// How many steps a statement takes between two looks whether anybody still waits for it: some tens of microseconds.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;

/// A few connections of one kind: at most `size` are out at once, and whoever wants one waits in order.
///
/// Not a pool of sqlx: a connection comes back only when its user says that it is as it was. Whoever is dropped
/// half-way, by a timeout or a cancelled caller, takes the connection with it: its statement is interrupted, its
/// transaction rolled back, and the next user gets a new connection, in a state that is known.
pub struct Lane {
    file: Arc<OpenFile>,
    options: SqliteConnectOptions,
    size: u32,
    turns: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

impl Lane {
    /// A lane of `size` connections, each opened when it is first needed.
    pub fn new(file: Arc<OpenFile>, options: SqliteConnectOptions, size: u32) -> Self {
        Self {
            file,
            options,
            size,
            turns: Semaphore::new(size as usize),
            idle: Mutex::default(),
        }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    ///
    /// When the lane is closed, the file is no longer the one it was, or no connection can be opened.
    pub async fn lease(&self) -> Result<Lease<'_>, sqlx::Error> {
        let turn = self.turns.acquire().await;
        let turn = turn.map_err(|_| sqlx::Error::PoolClosed)?;
        self.file.check()?;
        let idle = self.lock_idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => Connection::open(&self.options).await?,
        };
        Ok(Lease {
            connection,
            lane: self,
            _turn: turn,
        })
    }

    /// Lets those who have or wait for a turn finish, for at most `patience`, then closes every connection that is not
    /// out. Later leases fail.
    pub async fn close(&self, patience: Duration) {
        let every_turn = self.turns.acquire_many(self.size);
        let every_turn = tokio::time::timeout(patience, every_turn).await;
        self.turns.close();
        let idle = std::mem::take(&mut *self.lock_idle());
        for connection in idle {
            connection.close().await;
        }
        drop(every_turn);
    }

    fn lock_idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A turn with a connection. Dropping it ends the connection.
pub struct Lease<'l> {
    connection: Connection,
    lane: &'l Lane,
    _turn: SemaphorePermit<'l>,
}

impl Lease<'_> {
    /// Ends the turn: the connection has no open transaction and may serve the next one.
    pub fn give_back(self) {
        if !self.lane.turns.is_closed() {
            self.lane.lock_idle().push(self.connection);
        }
    }
}

impl Deref for Lease<'_> {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection.inner
    }
}

impl DerefMut for Lease<'_> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection.inner
    }
}

/// A connection that interrupts its statement when it is dropped. sqlx gives each a thread of its own, which would
/// otherwise go on to the statement's end.
pub struct Connection {
    abandoned: Abandoned,
    inner: SqliteConnection,
}

struct Abandoned(Arc<AtomicBool>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Connection {
    /// Opens a connection.
    pub async fn open(options: &SqliteConnectOptions) -> Result<Self, sqlx::Error> {
        let mut inner = options.connect().await?;
        let abandoned = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&abandoned);
        inner
            .lock_handle()
            .await?
            .set_progress_handler(STEPS_BETWEEN_LOOKS, move || !seen.load(Ordering::Relaxed));
        Ok(Self {
            abandoned: Abandoned(abandoned),
            inner,
        })
    }

    /// Closes it and waits until it is closed; the last one of a file takes what the WAL holds into the file.
    pub async fn close(self) {
        let Self { abandoned, inner } = self;
        if let Err(error) = inner.close().await {
            tracing::warn!(%error, "a connection to the key database did not close well");
        }
        drop(abandoned);
    }
}

impl Deref for Connection {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.inner
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.inner
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::store::sqlite::file::Place;

    const ENDLESS: &str =
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

    fn lane(directory: &TempDir, size: u32, thread: &'static str) -> Lane {
        let url = format!("sqlite://{}/lane.db", directory.path().display());
        let place = Place::parse(&url, Duration::from_secs(5)).unwrap();
        std::fs::write(place.path(), "").unwrap();
        let options = place.writer().thread_name(move |_| thread.to_owned());
        Lane::new(Arc::new(OpenFile::at(place).unwrap()), options, size)
    }

    /// How many threads of this process are called `name`.
    fn threads(name: &str) -> usize {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let names =
            tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.filter(|comm| comm.trim_end() == name).count()
    }

    async fn until_ended(thread: &str) {
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while threads(thread) > 0 {
            assert!(std::time::Instant::now() < deadline, "{thread} goes on");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    #[tokio::test]
    async fn a_statement_that_nobody_waits_for_ends() {
        let directory = TempDir::new().unwrap();
        let lane = lane(&directory, 1, "test-abandoned");
        let call = async {
            let mut lease = lane.lease().await.unwrap();
            sqlx::query(ENDLESS).execute(&mut *lease).await
        };
        let given_up = tokio::time::timeout(Duration::from_millis(50), call).await;
        assert!(given_up.is_err());
        until_ended("test-abandoned").await;
    }

    #[tokio::test]
    async fn a_connection_that_was_not_given_back_serves_nobody_else() {
        let directory = TempDir::new().unwrap();
        let lane = lane(&directory, 1, "test-dropped");
        for _ in 0..3 {
            let mut lease = lane.lease().await.unwrap();
            sqlx::query("BEGIN IMMEDIATE")
                .execute(&mut *lease)
                .await
                .unwrap();
        }
        until_ended("test-dropped").await;
        lane.lease().await.unwrap().give_back();
        assert_eq!(threads("test-dropped"), 1);
        lane.lease().await.unwrap().give_back();
        assert_eq!(threads("test-dropped"), 1);
    }

    #[tokio::test]
    async fn closing_waits_for_whoever_has_a_turn_and_admits_nobody_after() {
        let directory = TempDir::new().unwrap();
        let lane = lane(&directory, 2, "test-closed");
        let lease = lane.lease().await.unwrap();
        let closing = lane.close(Duration::from_secs(20));
        tokio::pin!(closing);
        tokio::select! {
            biased;
            () = &mut closing => panic!("it did not wait"),
            () = std::future::ready(()) => {}
        }
        lease.give_back();
        closing.await;
        until_ended("test-closed").await;
        assert!(matches!(
            lane.lease().await.err(),
            Some(sqlx::Error::PoolClosed)
        ));
    }
}
