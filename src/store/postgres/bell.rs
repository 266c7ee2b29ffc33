//! The bell: rings when a key has changed, whoever changed it.

use std::time::Duration;

use futures_util::FutureExt;
use sqlx::Executor;
use sqlx::postgres::{PgListener, PgPool, PgPoolOptions};
use tokio::sync::{Mutex, Notify};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::place::Place;
use super::sql;

/// The channel that the triggers notify. Other keys in the same database may ring it, too: for nothing.
const CHANNEL: &str = "keyward";

/// Listens on a connection of its own, which is none of those that keys are read on.
///
/// What is heard says only "look". Whenever it is not sure that everything was heard, it rings as well: after every
/// connection that was made anew, and by the error of one that could not be made.
pub struct Bell {
    /// Nowhere: there is only the poll.
    place: Option<Place>,
    heartbeat: Duration,
    patience: Duration,
    /// A change of our own, where nothing else would tell of it before the poll.
    written: Notify,
    closed: CancellationToken,
    listening: Mutex<Option<Listening>>,
}

/// What the connection has to say.
enum Heard {
    /// There may be news.
    Notice,
    /// It lives.
    Life,
}

struct Listening {
    listener: PgListener,
    pool: PgPool,
}

impl Bell {
    /// A bell at `place` that is asked every `heartbeat` whether it lives, and given up when it takes longer than
    /// `patience` to answer.
    pub fn new(place: Option<Place>, heartbeat: Duration, patience: Duration) -> Self {
        Self {
            place,
            heartbeat,
            patience,
            written: Notify::new(),
            closed: CancellationToken::new(),
            listening: Mutex::default(),
        }
    }

    /// Makes the one who waits look now, unless the database will tell it to.
    pub fn look_now(&self) {
        if self.place.is_none() {
            self.written.notify_one();
        }
    }

    /// Waits until a key may have changed since the last ring. Rings at once where it is not known what has changed:
    /// the first time, and whenever the connection had to be made anew.
    ///
    /// One follower waits at a time; a second one waits for its turn. Dropping the future loses no ring: what has
    /// arrived stays in the connection until it is read.
    pub async fn wait(&self) -> Result<(), sqlx::Error> {
        let mut listening = self.listening.lock().await;
        loop {
            if self.closed.is_cancelled() {
                return Err(sqlx::Error::PoolClosed);
            }
            let Some(place) = &self.place else {
                self.own_change().await;
                if self.closed.is_cancelled() {
                    continue;
                }
                return Ok(());
            };
            let Some(ear) = listening.as_mut() else {
                // Cancelled with the rest: a connection that was not made can be dropped.
                let made = tokio::select! {
                    biased;
                    () = self.closed.cancelled() => continue,
                    made = timeout(self.patience, Listening::begin(place, self.patience)) => made,
                };
                *listening = Some(made.unwrap_or(Err(sqlx::Error::PoolTimedOut))?);
                return Ok(());
            };
            let heard = tokio::select! {
                biased;
                () = self.closed.cancelled() => continue,
                heard = ear.rings() => heard,
                () = sleep(self.heartbeat) => ear.lives(self.patience).await,
            };
            match heard {
                Ok(Heard::Notice) => return Ok(()),
                Ok(Heard::Life) => {}
                // What was told meanwhile is lost: a new connection rings, or fails, and both make the follower look.
                Err(error) => {
                    tracing::debug!(%error, "the connection that listens for changes is made anew");
                    *listening = None;
                }
            }
        }
    }

    async fn own_change(&self) {
        tokio::select! {
            biased;
            () = self.closed.cancelled() => {}
            () = self.written.notified() => {}
        }
    }

    /// Ends the wait and closes the connection.
    pub async fn close(&self) {
        self.closed.cancel();
        // Whoever waits lets go at once, but may not be polled any more.
        let listening = timeout(self.patience, self.listening.lock()).await;
        if let Ok(Some(Listening { listener, pool })) = listening.map(|mut held| held.take()) {
            // It gives its connection back to the pool, which closes it.
            drop(listener);
            let _ = timeout(self.patience, pool.close()).await;
        }
    }
}

impl Listening {
    /// Connects, and listens from now on.
    async fn begin(place: &Place, patience: Duration) -> Result<Self, sqlx::Error> {
        // A listener of sqlx wants a pool to take its connection from: one of its own, so that it is never without, and
        // takes none from those who ask.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(patience)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(place.options().clone());
        let mut listener = PgListener::connect_with(&pool).await?;
        // It would reconnect by itself and not always say so (`try_recv` passes an error of that on, and then goes on as
        // if nothing had been missed). We make a new one, which rings.
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok(Self { listener, pool })
    }

    /// Waits for the next notice, and takes those that have come with it. An error when the connection is not what it
    /// was. Dropped half-way, it loses nothing.
    async fn rings(&mut self) -> Result<Heard, sqlx::Error> {
        let mut heard = self.listener.try_recv().await?;
        while heard.is_some() {
            match self.listener.try_recv().now_or_never() {
                None => return Ok(Heard::Notice),
                Some(more) => heard = more?,
            }
        }
        Err(sqlx::Error::WorkerCrashed)
    }

    /// Asks whether the other end lives: an error when it does not say so. A server that went away without a word, or a
    /// link that was cut, says nothing at all to somebody who only listens. What is told meanwhile is heard after it.
    async fn lives(&mut self, patience: Duration) -> Result<Heard, sqlx::Error> {
        let beat = self.listener.execute(sql::HEARTBEAT);
        let beat = timeout(patience, beat).await;
        beat.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
        Ok(Heard::Life)
    }
}
