//! The connections that are kept to one server, by one worker: never shared between threads.
//!
//! Over HTTP/1.1 a call has a connection to itself, and the one that was used last is used next, so that those that are
//! not needed grow old and go. Over HTTP/2 calls share connections ([`Lanes`]).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use futures_util::TryFutureExt;
use futures_util::future::Either;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use tokio::time::Instant;

use super::connect::{BoxError, NotOpened, Opener};
use super::lanes::{Lanes, OnLane};

/// Kept connections to one server.
pub(super) struct Pool<B> {
    opener: Rc<Opener>,
    /// Another one once what it keeps must not be used again.
    idle: RefCell<Rc<Idle<B>>>,
    lanes: Lanes<B>,
}

/// A call's connection, or its place on one, until it is dropped.
pub(super) enum Lease<B> {
    Alone(Alone<B>),
    OnLane(OnLane<B>),
}

/// A connection of HTTP/1.1, which takes no other call meanwhile. It is kept when the call has come to its end.
pub(super) struct Alone<B> {
    /// There until it is kept.
    connection: Option<http1::SendRequest<B>>,
    was_kept: bool,
    home: Rc<Idle<B>>,
}

/// A request that was not answered.
pub(super) enum Unanswered<B> {
    /// Here it is again: its connection ended before anything of it was written (SECURITY P6).
    Unsent(Box<Request<B>>, hyper::Error),
    /// It may have been read.
    Broken(hyper::Error),
}

impl<B> From<TrySendError<Request<B>>> for Unanswered<B> {
    fn from(mut error: TrySendError<Request<B>>) -> Self {
        match error.take_message() {
            Some(request) => Self::Unsent(Box::new(request), error.into_error()),
            None => Self::Broken(error.into_error()),
        }
    }
}

impl<B> Pool<B>
where
    B: Body<Data: Send, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    /// An empty pool. Connections are made when they are needed.
    pub(super) fn new(opener: Opener) -> Self {
        let limits = opener.limits();
        let idle = Idle::new(limits.pool_idle_connections, limits.pool_idle_timeout);
        Self {
            idle: RefCell::new(Rc::new(idle)),
            lanes: Lanes::new(limits.http2_streams, limits.pool_idle_timeout),
            opener: Rc::new(opener),
        }
    }

    /// A connection for a call: the one that was used last, or a new one. One that must be `apart` is new.
    ///
    /// # Errors
    ///
    /// When none can be made. Nothing was sent.
    pub(super) async fn reach(&self, apart: bool) -> Result<Lease<B>, NotOpened> {
        if self.opener.is_http2() {
            let place = Box::pin(self.lanes.reach(&self.opener, apart)).await?;
            return Ok(Lease::OnLane(place));
        }
        let home = Rc::clone(&self.idle.borrow());
        let kept = if apart { None } else { home.take() };
        let was_kept = kept.is_some();
        let connection = match kept {
            Some(connection) => connection,
            // Seldom, and large.
            None => Box::pin(self.opener.open_http1()).await?,
        };
        Ok(Lease::Alone(Alone {
            connection: Some(connection),
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

impl<B: Body + 'static> Lease<B> {
    /// Sends a request, and gives the answer's head and the body to be read; the lease is to be kept until that has
    /// come to its end. Dropping the future ends the call, and over HTTP/1.1 its connection.
    pub(super) fn send(
        &mut self,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<Incoming>, Unanswered<B>>> {
        let answer = match self {
            Self::Alone(alone) => {
                let connection = alone.connection.as_mut();
                let connection = connection.expect("it is there until this is dropped");
                Either::Left(connection.try_send_request(request))
            }
            Self::OnLane(place) => {
                Either::Right(place.connection.requests.try_send_request(request))
            }
        };
        answer.map_err(Unanswered::from)
    }

    /// Whether it was used before: then it may be one that the server is closing just now.
    pub(super) const fn was_kept(&self) -> bool {
        match self {
            Self::Alone(alone) => alone.was_kept,
            Self::OnLane(place) => place.was_open,
        }
    }
}

impl<B> Drop for Alone<B> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.home.keep(connection);
        }
    }
}

/// Connections of HTTP/1.1 that nobody uses.
struct Idle<B> {
    /// Those that were used last at the back.
    kept: RefCell<VecDeque<(http1::SendRequest<B>, Instant)>>,
    most: usize,
    timeout: Duration,
}

impl<B> Idle<B> {
    const fn new(most: usize, timeout: Duration) -> Self {
        Self {
            kept: RefCell::new(VecDeque::new()),
            most,
            timeout,
        }
    }

    /// One that keeps as much as this, and nothing yet.
    const fn empty(&self) -> Self {
        Self::new(self.most, self.timeout)
    }

    /// The one that was used last and can be used.
    fn take(&self) -> Option<http1::SendRequest<B>> {
        let mut kept = self.kept.borrow_mut();
        let (connection, since) = loop {
            let last = kept.pop_back()?;
            if last.0.is_ready() {
                break last;
            }
        };
        if since.elapsed() < self.timeout {
            return Some(connection);
        }
        // Those before it are older still.
        kept.clear();
        None
    }

    /// Keeps one, unless its call was broken off or it was the server's wish to close it.
    fn keep(&self, connection: http1::SendRequest<B>) {
        let mut kept = self.kept.borrow_mut();
        if connection.is_ready() && kept.len() < self.most {
            kept.push_back((connection, Instant::now()));
        }
    }

    fn sweep(&self) {
        let is_young = |(connection, since): &(http1::SendRequest<B>, Instant)| {
            connection.is_ready() && since.elapsed() < self.timeout
        };
        self.kept.borrow_mut().retain(is_young);
    }
}
