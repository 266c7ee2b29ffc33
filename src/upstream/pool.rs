//! The connections that are kept to one server, by one worker: never shared between threads.
//!
//! Over HTTP/1.1 a call has a connection to itself, and the one that was used last is used next, so that those that are
//! not needed grow old and go. Over HTTP/2 calls share connections ([`Lanes`]).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use http::Request;
use tokio::time::Instant;

use super::connect::{NotOpened, Opener, Tasks};
use super::deadline::HeadDeadline;
use super::http1::{Connection, Exchange, NotAnswered};
use super::lanes::{Lanes, OnLane};
use super::lent::{Lent, Outbound};
use super::{AnswerSource, UpstreamError, UpstreamLimits};
use crate::clock::turn;
use crate::message::Response;

/// Kept connections to one server.
pub(super) struct Pool {
    opener: Rc<Opener>,
    /// Another one once what it keeps must not be used again.
    idle: RefCell<Rc<Idle>>,
    lanes: Lanes<Lent>,
}

/// A call's connection, or its place on one.
pub(super) enum Lease {
    Alone(Alone),
    OnLane(OnLane<Lent>),
}

/// A connection of HTTP/1.1, which takes no other call meanwhile. It is kept when the call has come to its end.
pub(super) struct Alone {
    connection: Box<Connection>,
    was_kept: bool,
    home: Rc<Idle>,
}

/// A request that was not answered.
pub(super) enum Unanswered {
    /// Here it is again: its connection ended before anything of it was written (SECURITY P6).
    Unsent(Box<Outbound>, UpstreamError),
    /// It may have been read.
    Broken(UpstreamError),
}

impl Pool {
    /// An empty pool. Connections are made when they are needed.
    pub(super) fn new(opener: Opener) -> Self {
        let limits = opener.limits();
        let idle = Idle::new(limits, opener.tasks());
        Self {
            idle: RefCell::new(Rc::new(idle)),
            lanes: Lanes::new(limits.http2_streams, limits.pool_idle_timeout),
            opener: Rc::new(opener),
        }
    }

    /// A connection for a call at `now`: the one that was used last, or a new one. One that must be `apart` is new.
    ///
    /// # Errors
    ///
    /// When none can be made. Nothing was sent.
    pub(super) async fn reach(&self, apart: bool, now: Instant) -> Result<Lease, NotOpened> {
        if self.opener.is_http2() {
            let place = Box::pin(self.lanes.reach(&self.opener, apart)).await?;
            return Ok(Lease::OnLane(place));
        }
        let home = Rc::clone(&self.idle.borrow());
        let kept = if apart { None } else { home.take(now) };
        let was_kept = kept.is_some();
        let connection = match kept {
            Some(connection) => connection,
            // Seldom, and large.
            None => Box::new(Box::pin(self.opener.open()).await?),
        };
        Ok(Lease::Alone(Alone {
            connection,
            was_kept,
            home,
        }))
    }

    /// Uses none of the connections again that are kept or in use now. Calls that are under way go on.
    pub(super) fn forget(&self) {
        let idle = self.idle.borrow().empty();
        self.idle.replace(Rc::new(idle));
        self.lanes.forget();
    }

    /// Closes what nobody has used for too long. It would not be used again either way.
    pub(super) fn sweep(&self) {
        self.idle.borrow().sweep();
        self.lanes.sweep();
    }
}

impl Lease {
    /// Sends a request, and gives the answer's head and where its body comes from, which holds the connection until it has
    /// come to its end. Dropping the future ends the call, and over HTTP/1.1 its connection.
    pub(super) async fn send(
        self,
        request: Box<Outbound>,
        deadline: &HeadDeadline,
    ) -> Result<Response<AnswerSource>, Unanswered> {
        match self {
            Self::Alone(alone) => {
                let answer = Exchange::new(alone.connection, request, deadline, alone.home);
                Ok(answer.await?.map(AnswerSource::Alone))
            }
            Self::OnLane(place) => Box::pin(place.send(request, deadline)).await,
        }
    }

    /// Whether it was used before: then it may be one that the server is closing just now.
    pub(super) const fn was_kept(&self) -> bool {
        match self {
            Self::Alone(alone) => alone.was_kept,
            Self::OnLane(place) => place.was_open,
        }
    }
}

impl From<NotAnswered> for Unanswered {
    fn from(why: NotAnswered) -> Self {
        match why {
            NotAnswered::Unsent(request, error) => Self::Unsent(request, error.into()),
            NotAnswered::Broken(error) => Self::Broken(error.into()),
            NotAnswered::Late => Self::Broken(UpstreamError::HeadTimeout),
        }
    }
}

impl OnLane<Lent> {
    /// The same over HTTP/2.
    async fn send(
        mut self,
        request: Box<Outbound>,
        deadline: &HeadDeadline,
    ) -> Result<Response<AnswerSource>, Unanswered> {
        // Over HTTP/2 all fields are in one table.
        let Outbound { head, joins, body } = *request;
        debug_assert!(joins.is_empty(), "lines are for HTTP/1 alone");
        let request = Request::from_parts((*head).into(), body);
        let answer = self.connection.requests.try_send_request(request);
        // An answer that is there is never late.
        match select(pin!(answer), pin!(deadline.passed())).await {
            Either::Left((Ok(answer), _)) => {
                let answer = Response::from(answer);
                Ok(answer.map(|incoming| AnswerSource::OnLane(Box::new((incoming, self)))))
            }
            Either::Left((Err(mut error), _)) => Err(match error.take_message() {
                Some(request) => {
                    let (head, body) = request.into_parts();
                    let (head, joins) = (Box::new(head.into()), joins);
                    let unsent = Box::new(Outbound { head, joins, body });
                    Unanswered::Unsent(unsent, error.into_error().into())
                }
                None => Unanswered::Broken(error.into_error().into()),
            }),
            Either::Right(_) => Err(Unanswered::Broken(UpstreamError::HeadTimeout)),
        }
    }
}

/// Connections of HTTP/1.1 that nobody uses.
pub(super) struct Idle {
    /// Those that were used last at the back.
    kept: RefCell<VecDeque<(Box<Connection>, Instant)>>,
    most: usize,
    timeout: Duration,
    tasks: Tasks,
}

impl Idle {
    /// One that keeps as much as `limits` say, and nothing yet.
    pub(super) fn new(limits: &UpstreamLimits, tasks: Tasks) -> Self {
        Self {
            kept: RefCell::default(),
            most: limits.pool_idle_connections,
            timeout: limits.pool_idle_timeout,
            tasks,
        }
    }

    /// One that keeps as much as this, and nothing yet.
    fn empty(&self) -> Self {
        Self {
            kept: RefCell::default(),
            most: self.most,
            timeout: self.timeout,
            tasks: self.tasks.clone(),
        }
    }

    /// What runs what goes on behind an answer's beginning.
    pub(super) const fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// The one that was used last and can be used `now`.
    pub(super) fn take(&self, now: Instant) -> Option<Box<Connection>> {
        let mut kept = self.kept.borrow_mut();
        let (connection, since) = loop {
            let (mut connection, since) = kept.pop_back()?;
            if connection.is_usable() {
                break (connection, since);
            }
        };
        if now.duration_since(since) < self.timeout {
            return Some(connection);
        }
        // Those before it are older still.
        kept.clear();
        None
    }

    /// Keeps one whose call has come to its end.
    pub(super) fn keep(&self, connection: Box<Connection>) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() < self.most {
            kept.push_back((connection, turn::now()));
        }
    }

    fn sweep(&self) {
        let is_young = |(connection, since): &mut (Box<Connection>, Instant)| {
            since.elapsed() < self.timeout && connection.is_usable()
        };
        self.kept.borrow_mut().retain_mut(is_young);
    }
}
