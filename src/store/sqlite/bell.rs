//! The bell: rings when the file has changed, whoever changed it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use super::file::OpenFile;
use super::lane::Connection;
use super::sql;

/// Looks at `PRAGMA data_version` on a connection of its own, which moves when any other connection has committed.
pub struct Bell {
    file: Arc<OpenFile>,
    every: Duration,
    patience: Duration,
    /// A commit of our own: no need to wait for the next look.
    written: Notify,
    closed: CancellationToken,
    listening: Mutex<Option<Listening>>,
}

struct Listening {
    connection: Connection,
    version: i64,
}

impl Bell {
    /// A bell that looks every `every` while somebody waits, and gives up a look after `patience`.
    pub fn new(file: Arc<OpenFile>, every: Duration, patience: Duration) -> Self {
        Self {
            file,
            every,
            patience,
            written: Notify::new(),
            closed: CancellationToken::new(),
            listening: Mutex::default(),
        }
    }

    /// Makes the one who waits look now.
    pub fn look_now(&self) {
        self.written.notify_one();
    }

    /// Waits until the file has changed since the last ring. Rings at once where it is not known what has changed: the
    /// first time, and after a look that failed.
    ///
    /// One follower waits at a time; a second one waits for its turn. Dropping the future loses no ring.
    pub async fn wait(&self) -> Result<(), sqlx::Error> {
        let mut listening = self.listening.lock().await;
        loop {
            if self.closed.is_cancelled() {
                return Err(sqlx::Error::PoolClosed);
            }
            let before = listening.as_ref().map(|listening| listening.version);
            let looked = tokio::time::timeout(self.patience, self.look(&mut listening)).await;
            match looked.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
                Ok(now) if Some(now) == before => {}
                Ok(_) => return Ok(()),
                Err(error) => {
                    *listening = None;
                    return Err(error);
                }
            }
            tokio::select! {
                biased;
                () = self.closed.cancelled() => {}
                () = self.written.notified() => {}
                () = tokio::time::sleep(self.every) => {}
            }
        }
    }

    async fn look(&self, listening: &mut Option<Listening>) -> Result<i64, sqlx::Error> {
        self.file.check()?;
        let Some(listening) = listening else {
            let mut connection = Connection::open(&self.file.place.reader()).await?;
            let version = data_version(&mut connection).await?;
            *listening = Some(Listening {
                connection,
                version,
            });
            return Ok(version);
        };
        listening.version = data_version(&mut listening.connection).await?;
        Ok(listening.version)
    }

    /// Ends the wait and closes the connection.
    pub async fn close(&self) {
        self.closed.cancel();
        // Whoever waits lets go at once, but may not be polled any more.
        let listening = tokio::time::timeout(self.patience, self.listening.lock()).await;
        if let Ok(Some(listening)) = listening.map(|mut listening| listening.take()) {
            listening.connection.close().await;
        }
    }
}

async fn data_version(connection: &mut Connection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(sql::DATA_VERSION)
        .fetch_one(&mut **connection)
        .await
}
