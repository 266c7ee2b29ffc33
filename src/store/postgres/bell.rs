//! The bell: rings when a key has changed, whoever changed it.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::postgres::{PgArguments, PgConnection, PgListener, PgPool, PgPoolOptions, Postgres};
use sqlx::query::Query;
use sqlx::{Acquire, Executor};
use tokio::sync::{Mutex, MutexGuard, Notify};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::error::Fault;
use super::lane::{LIFETIME, Session};
use super::place::Place;
use super::sql;

/// The channel that the triggers notify. Other keys in the same database may ring it, too: for nothing.
const CHANNEL: &str = "keyward";

/// How long a question may take on the connection that listens (or as long as it took to make that, for a server that is
/// far away), and how long it may be in other hands before. After that a connection of the lane is asked, until this one
/// has answered: a change must be in force everywhere a little after the next poll, even when this connection is the only
/// one that was cut.
const LENT_FOR: Duration = Duration::from_millis(150);

/// Listens on a connection, and lends it to what an instance asks again and again: so a quiet instance has one session.
///
/// What is heard says only "look". Whenever it is not sure that everything was heard, it rings as well: after every
/// connection that was made anew, and by the error of one that could not be made.
pub struct Bell {
    /// Nowhere: there is only the poll.
    place: Option<Place>,
    /// Whether keys are read there, too.
    is_lent: bool,
    heartbeat: Duration,
    patience: Duration,
    /// A change of our own, where nothing else would tell of it before the poll.
    written: Notify,
    closed: CancellationToken,
    ear: Mutex<Ear>,
    /// Whether the connection that listens still owes an answer, and is not lent until it has given it.
    is_late: AtomicBool,
    /// Whoever waits for the ear stands here, so that who listens does not take it back first.
    turn: Mutex<()>,
    wanted: Notify,
}

/// The connection.
enum Ear {
    /// Not there, and not to be made before this.
    Off(Instant),
    /// Being made. Kept here, for whoever waits may stop waiting.
    Connecting(BoxFuture<'static, Result<Listening, sqlx::Error>>),
    On(Listening),
}

/// What the connection has to say.
enum Heard {
    /// There may be news.
    Notice,
    /// It lives.
    Life,
    /// Somebody else wants it.
    Wanted,
}

struct Listening {
    listener: PgListener,
    pool: PgPool,
    made_at: Instant,
    /// How long a question may take.
    answers_within: Duration,
    /// When it last answered.
    lived_at: Instant,
    /// Since when it has owed an answer that nobody waits for any more.
    late_since: Option<Instant>,
}

impl Bell {
    /// A bell at `place` that is asked every `heartbeat` whether it lives, and given up when it takes longer than
    /// `patience` to answer. `is_lent` says that keys may be asked for there.
    pub fn new(
        place: Option<Place>,
        is_lent: bool,
        heartbeat: Duration,
        patience: Duration,
    ) -> Self {
        Self {
            place,
            is_lent,
            heartbeat,
            patience,
            written: Notify::new(),
            closed: CancellationToken::new(),
            ear: Mutex::new(Ear::Off(Instant::now())),
            is_late: AtomicBool::new(false),
            turn: Mutex::default(),
            wanted: Notify::new(),
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
        let mut ear = self.ear.lock().await;
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
            let heard = match &mut *ear {
                Ear::Off(until) => {
                    let until = *until;
                    tokio::select! {
                        biased;
                        () = self.closed.cancelled() => continue,
                        () = sleep_until(until) => {}
                    }
                    let made = Listening::begin(place.clone(), self.patience).boxed();
                    *ear = Ear::Connecting(made);
                    continue;
                }
                Ear::Connecting(made) => {
                    // Cancelled with the rest: a connection that was not made can be dropped.
                    let made = tokio::select! {
                        biased;
                        () = self.closed.cancelled() => continue,
                        made = made => made,
                    };
                    *ear = Ear::Off(Instant::now());
                    *ear = Ear::On(made?);
                    self.is_late.store(false, Ordering::Release);
                    return Ok(());
                }
                Ear::On(listening) if listening.made_at.elapsed() >= LIFETIME => {
                    *ear = Ear::Off(Instant::now());
                    continue;
                }
                Ear::On(listening) => {
                    let beat = listening.next_beat(self.heartbeat);
                    tokio::select! {
                        biased;
                        () = self.closed.cancelled() => continue,
                        heard = listening.rings() => heard,
                        () = self.wanted.notified() => Ok(Heard::Wanted),
                        () = sleep_until(beat) => listening.lives(beat + self.patience).await,
                    }
                }
            };
            match heard {
                Ok(Heard::Notice) => return Ok(()),
                Ok(Heard::Life) => self.is_late.store(false, Ordering::Release),
                Ok(Heard::Wanted) => {
                    drop(ear);
                    drop(self.turn.lock().await);
                    ear = self.ear.lock().await;
                }
                // What was told meanwhile is lost: a new connection rings, or fails, and both make the follower look.
                Err(error) => {
                    tracing::debug!(%error, "the connection that listens for changes is made anew");
                    *ear = Ear::Off(Instant::now());
                }
            }
        }
    }

    /// The connection that listens, for one question about keys; none where it leads elsewhere, is not there, has not
    /// answered the last one, or is in other hands for too long.
    pub async fn lend(&self) -> Option<Lent<'_>> {
        if !self.is_lent || self.is_late.load(Ordering::Acquire) {
            return None;
        }
        let lent = timeout(LENT_FOR, async {
            let turn = self.turn.lock().await;
            self.wanted.notify_one();
            let ear = self.ear.lock().await;
            matches!(*ear, Ear::On(_)).then_some(Lent {
                ear,
                is_late: &self.is_late,
                is_sound: false,
                _turn: turn,
            })
        });
        lent.await.ok().flatten()
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
        let Ok(mut ear) = timeout(self.patience, self.ear.lock()).await else {
            return;
        };
        let was = std::mem::replace(&mut *ear, Ear::Off(Instant::now()));
        if let Ear::On(Listening { listener, pool, .. }) = was {
            // It gives its connection back to the pool, which closes it.
            drop(listener);
            let _ = timeout(self.patience, pool.close()).await;
        }
    }
}

/// The connection that listens, lent. Not lent again when it is dropped, until it has shown that it lives, unless it was
/// said to be [`Lent::sound`].
pub struct Lent<'b> {
    ear: MutexGuard<'b, Ear>,
    is_late: &'b AtomicBool,
    is_sound: bool,
    _turn: MutexGuard<'b, ()>,
}

impl Lent<'_> {
    /// How long to wait for an answer before somebody else is asked, and what to ask on.
    pub async fn session(&mut self) -> Result<(Instant, LentSession<'_>), Fault> {
        let Ear::On(listening) = &mut *self.ear else {
            return Err(sqlx::Error::WorkerCrashed.into());
        };
        let until = Instant::now() + listening.answers_within;
        Ok((until, LentSession(listening.listener.acquire().await?)))
    }

    /// It has answered.
    pub fn sound(mut self) {
        if let Ear::On(listening) = &mut *self.ear {
            listening.lived_at = Instant::now();
        }
        self.is_sound = true;
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if self.is_sound {
            return;
        }
        // Not given up: a server that is slow, because hundreds ask at once, is not helped by new sessions, and would
        // be heard by nobody meanwhile. What it still owes is read, and thrown away, before the next question.
        if let Ear::On(listening) = &mut *self.ear {
            listening.late_since = Some(Instant::now());
            self.is_late.store(true, Ordering::Release);
        }
    }
}

/// The session of the connection that listens.
pub struct LentSession<'l>(&'l mut PgConnection);

impl Session for LentSession<'_> {
    fn query(&self, statement: &'static str) -> Query<'static, Postgres, PgArguments> {
        sqlx::query(statement)
    }
}

impl Deref for LentSession<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.0
    }
}

impl DerefMut for LentSession<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.0
    }
}

impl Listening {
    /// Connects, and listens from now on.
    async fn begin(place: Place, patience: Duration) -> Result<Self, sqlx::Error> {
        let made = timeout(patience, Self::connect(&place, patience)).await;
        made.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    async fn connect(place: &Place, patience: Duration) -> Result<Self, sqlx::Error> {
        // A listener of sqlx wants a pool to take its connection from: one of its own, so that it is never without, and
        // takes none from those who ask.
        let begun = Instant::now();
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(patience)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(place.listening_options());
        let mut listener = PgListener::connect_with(&pool).await?;
        // It would reconnect by itself and not always say so (`try_recv` passes an error of that on, and then goes on as
        // if nothing had been missed). We make a new one, which rings.
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        let now = Instant::now();
        Ok(Self {
            listener,
            pool,
            made_at: now,
            answers_within: LENT_FOR.max(now - begun),
            lived_at: now,
            late_since: None,
        })
    }

    /// When it is to be asked whether it lives: at once if it owes an answer.
    fn next_beat(&self, heartbeat: Duration) -> Instant {
        self.late_since.unwrap_or(self.lived_at + heartbeat)
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

    /// Asks whether the other end lives: an error when it has not said so by `until`. A server that went away without a word, or a
    /// link that was cut, says nothing at all to somebody who only listens. What is told meanwhile is heard after it.
    ///
    /// Who waits may stop and begin again in the middle of it: what counts is when it last lived.
    async fn lives(&mut self, until: Instant) -> Result<Heard, sqlx::Error> {
        let beat = self.listener.execute(sql::HEARTBEAT);
        let beat = timeout_at(until, beat).await;
        beat.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
        self.lived_at = Instant::now();
        self.late_since = None;
        Ok(Heard::Life)
    }
}
