//! Connections that are used in turns.

use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use sqlx::postgres::{PgArguments, PgConnection, Postgres};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, Executor};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::error::{Fault, is_lost};
use super::place::Place;
use super::sql;

/// How long a connection may be idle.
const IDLE: Duration = Duration::from_secs(30);

/// How long a connection is used: after a failover, all are those of the new server within this time.
pub const LIFETIME: Duration = Duration::from_mins(30);

/// A few connections: at most `size` are out at once, and whoever wants one waits in order.
///
/// Not a pool of sqlx, which takes a connection back whose user was dropped half-way and then waits until the server
/// has ended the statement: a server that is stopped, or behind a link that is cut, would so keep every place for as
/// long as the system's own timeouts. Here a connection comes back only when its user says that it is as it was, and is
/// closed otherwise; the server ends what nobody reads any more by its own limits (`place.rs`).
///
/// The one that came back last goes out first, and none is kept for longer than [`IDLE`]: what a quiet instance asks
/// again and again goes over the connection that listens (`bell.rs`), if that leads here. A connection is not tried before it is used, which would cost a miss a second round trip; where the server
/// has closed it meanwhile, the question is asked again on a new one ([`ask`]).
pub struct Lane {
    place: Place,
    /// What begins a transaction.
    begin: String,
    patience: Duration,
    size: u32,
    turns: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: PgConnection,
    made: Instant,
    since: Instant,
}

impl Lane {
    /// A lane of `size` connections, each opened when it is first needed, that are waited for as long as `patience`.
    pub fn new(place: Place, size: u32, patience: Duration) -> Self {
        let begin = sql::BEGIN.to_owned() + &place.transaction_settings();
        Self {
            place,
            begin,
            patience,
            size,
            turns: Semaphore::new(size as usize),
            idle: Mutex::default(),
        }
    }

    /// Where it leads.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Waits for a turn, and for a connection.
    ///
    /// # Errors
    ///
    /// [`Fault::Late`] when that takes too long; else when the lane is closed, or no connection can be opened.
    pub async fn lease(&self) -> Result<Lease<'_>, Fault> {
        let leased = timeout(self.patience, async {
            let turn = self.turns.acquire().await;
            let turn = turn.map_err(|_| sqlx::Error::PoolClosed)?;
            let kept = self.take_idle();
            let is_new = kept.is_none();
            let (connection, made) = match kept {
                Some(idle) => (idle.connection, idle.made),
                None => (self.place.options().connect().await?, Instant::now()),
            };
            Ok(Lease {
                connection,
                made,
                is_new,
                lane: self,
                _turn: turn,
            })
        });
        leased.await.unwrap_or(Err(Fault::Late))
    }

    /// A connection for one question: see [`ask`].
    pub async fn lease_to_ask(&self) -> Result<Lease<'_>, Fault> {
        let mut lease = self.lease().await?;
        if self.place.is_pooled {
            match self.bounded(lease.begin(None)).await {
                Err(fault) if !lease.was_lost(&fault) => return Err(fault),
                // Found out by the question itself.
                _ => {}
            }
        }
        Ok(lease)
    }

    /// Ends a question: with its answer, or with nothing when it is to be asked again because the server had closed
    /// the connection before.
    pub async fn answered<T>(
        &self,
        mut lease: Lease<'_>,
        answer: Result<T, Fault>,
    ) -> Option<Result<T, Fault>> {
        let answer = match answer {
            Ok(answer) if self.place.is_pooled => {
                let committed = self.bounded(lease.run(sql::COMMIT)).await;
                committed.map(|()| answer)
            }
            answer => answer,
        };
        match answer {
            Ok(answer) => {
                lease.give_back();
                Some(Ok(answer))
            }
            Err(fault) if lease.was_lost(&fault) => {
                // What the server closed with it was opened before, too.
                self.forget_idle();
                None
            }
            Err(fault) => Some(Err(fault)),
        }
    }

    /// Begins a transaction: with `lock`, a statement that waits for a lock and takes it.
    ///
    /// # Errors
    ///
    /// Those of [`Lane::lease`], and [`Fault::Late`] when it takes longer than a statement may. A transaction that was not begun has done nothing, so that it, too, is begun once more.
    pub async fn begin(&self, lock: Option<&'static str>) -> Result<Lease<'_>, Fault> {
        loop {
            let mut lease = self.lease().await?;
            match self.bounded(lease.begin(lock)).await {
                Ok(()) => return Ok(lease),
                Err(fault) if lease.was_lost(&fault) => self.forget_idle(),
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Gives up when `work` takes longer than a statement may: a little longer than on the server, whose limit leaves
    /// the connection as it was.
    pub async fn bounded<T>(
        &self,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let limit = self.place.limit;
        let ended = timeout(limit + limit / 8, work).await;
        ended.unwrap_or(Err(Fault::Late))
    }

    /// Lets those who have or wait for a turn finish, for at most `patience`, then closes every connection that is not
    /// out. Later leases fail.
    pub async fn close(&self, patience: Duration) {
        let every_turn = self.turns.acquire_many(self.size);
        let every_turn = timeout(patience, every_turn).await;
        self.turns.close();
        let idle = std::mem::take(&mut *self.lock_idle());
        let closing = idle.into_iter().map(|idle| idle.connection.close());
        // A server that does not answer is not told.
        let _ = timeout(patience, futures_util::future::join_all(closing)).await;
        drop(every_turn);
    }

    /// Closes what nobody has needed for long, when nobody else would: whoever gives a connection back does so.
    pub fn tidy(&self) {
        close_old(&mut self.lock_idle(), Instant::now());
    }

    /// The connection that came back last, unless it is too old.
    fn take_idle(&self) -> Option<Idle> {
        loop {
            let idle = self.lock_idle().pop()?;
            if idle.made.elapsed() < LIFETIME {
                return Some(idle);
            }
            say_goodbye(idle.connection);
        }
    }

    fn forget_idle(&self) {
        self.lock_idle().clear();
    }

    fn lock_idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks a question, which changes nothing or may be done twice, on a connection of a lane; once more on a new one if the
/// server had closed the one that was kept. Where sessions change hands, all of it is one transaction.
///
/// A macro, for a closure that borrows its arguments cannot be known to be `Send` yet (rust-lang/rust#64552).
macro_rules! ask {
    ($lane:expr, |$lease:ident| $question:expr) => {
        async {
            loop {
                let mut $lease = $lane.lease_to_ask().await?;
                let answer = $lane.bounded($question).await;
                if let Some(answer) = $lane.answered($lease, answer).await {
                    break answer;
                }
            }
        }
    };
}
pub(super) use ask;

/// A turn with a connection. Dropping it closes the connection, and so undoes its transaction.
pub struct Lease<'l> {
    connection: PgConnection,
    made: Instant,
    /// Whether it was opened for this turn.
    is_new: bool,
    lane: &'l Lane,
    _turn: SemaphorePermit<'l>,
}

/// What questions are asked on.
pub trait Session: DerefMut<Target = PgConnection> + Send {
    /// A statement, to be bound and run here.
    ///
    /// A session keeps what it has prepared, so that a statement is one message and one answer. That matters over TCP,
    /// where sqlx 0.9.0 leaves Nagle's algorithm on: a second message would wait for the acknowledgement of the first,
    /// some 40 ms. Where sessions change hands nothing is prepared under a name, for it would be another one's.
    fn query(&self, statement: &'static str) -> Query<'static, Postgres, PgArguments>;
}

impl Session for Lease<'_> {
    fn query(&self, statement: &'static str) -> Query<'static, Postgres, PgArguments> {
        sqlx::query(statement).persistent(!self.lane.place.is_pooled)
    }
}

impl Lease<'_> {
    /// Runs statements without binds in one message.
    ///
    /// # Errors
    ///
    /// When one of them fails; those after it are not run.
    pub async fn run(&mut self, statements: &'static str) -> Result<(), Fault> {
        self.connection.execute(statements).await?;
        Ok(())
    }

    /// Whether the fault is that of a connection which the server had closed while it was kept.
    fn was_lost(&self, fault: &Fault) -> bool {
        !self.is_new && matches!(fault, Fault::Sqlx(cause) if is_lost(cause))
    }

    async fn begin(&mut self, lock: Option<&'static str>) -> Result<(), Fault> {
        let mut text = self.lane.begin.clone();
        if let Some(lock) = lock {
            text.push_str("; ");
            text.push_str(lock);
        }
        // Constants, and numbers that we have written.
        self.connection.execute(AssertSqlSafe(text)).await?;
        Ok(())
    }

    /// Ends the turn: the connection has no open transaction and may serve the next one.
    pub fn give_back(self) {
        if self.lane.turns.is_closed() {
            return say_goodbye(self.connection);
        }
        let now = Instant::now();
        let mut kept = self.lane.lock_idle();
        kept.push(Idle {
            connection: self.connection,
            made: self.made,
            since: now,
        });
        close_old(&mut kept, now);
    }
}

/// Closes what nobody has needed for long. The oldest are in front.
fn close_old(kept: &mut Vec<Idle>, now: Instant) {
    let is_old = |idle: &&Idle| now.duration_since(idle.since) > IDLE;
    let old = kept.iter().take_while(is_old).count();
    for idle in kept.drain(..old) {
        say_goodbye(idle.connection);
    }
}

/// Closes a connection that nobody waits for: the word of farewell goes out if there is room for it at once, as there
/// is on a quiet connection.
fn say_goodbye(connection: PgConnection) {
    let _ = connection.close().now_or_never();
}

impl Deref for Lease<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Lease<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
