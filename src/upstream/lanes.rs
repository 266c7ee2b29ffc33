//! Connections of HTTP/2 to one server: each takes as many calls as both sides allow, and the next call gets another.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared, WeakShared};
use http_body::Body;
use tokio::time::Instant;

use super::connect::{BoxError, Http2, NotOpened, Opener};

/// The connections there are. Calls go to the first that has room, so that those behind it become idle and go.
pub(super) struct Lanes<B> {
    all: RefCell<Vec<Rc<Lane<B>>>>,
    most_calls: usize,
    idle_timeout: Duration,
}

/// A call's connection, and its place there, which is another's once this is dropped.
pub(super) struct OnLane<B> {
    pub(super) connection: Http2<B>,
    pub(super) was_open: bool,
    _place: Place<B>,
}

struct Place<B>(Rc<Lane<B>>);

struct Lane<B> {
    calls: Cell<usize>,
    unused_since: Cell<Instant>,
    state: RefCell<State<B>>,
}

enum State<B> {
    /// All calls that are to go over it wait for this, and it is given up when none does any more.
    Opening(WeakShared<Opening<B>>),
    Open(Http2<B>),
}

type Opening<B> = LocalBoxFuture<'static, Result<Http2<B>, NotOpened>>;

/// Where a call's connection comes from.
enum Found<B> {
    Open(Http2<B>),
    Opening(Shared<Opening<B>>),
}

impl<B> Lanes<B>
where
    B: Body<Data: Send, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    /// None yet. Each takes `most_calls` at once, or fewer if the server says so, and is closed when it had none for
    /// `idle_timeout`.
    pub(super) const fn new(most_calls: usize, idle_timeout: Duration) -> Self {
        Self {
            all: RefCell::new(Vec::new()),
            most_calls,
            idle_timeout,
        }
    }

    /// A place on a connection, on a new one if it must be `apart`.
    ///
    /// # Errors
    ///
    /// When no connection can be made: then all calls that waited for it hear the same.
    pub(super) async fn reach(
        &self,
        opener: &Rc<Opener>,
        apart: bool,
    ) -> Result<OnLane<B>, NotOpened> {
        let (place, found) = self.find(opener, apart);
        let was_open = matches!(found, Found::Open(_));
        let connection = match found {
            Found::Open(connection) => connection,
            Found::Opening(opening) => {
                let connection = opening.await?;
                place.0.state.replace(State::Open(connection.clone()));
                connection
            }
        };
        Ok(OnLane {
            connection,
            was_open,
            _place: place,
        })
    }

    fn find(&self, opener: &Rc<Opener>, apart: bool) -> (Place<B>, Found<B>) {
        self.sweep();
        let mut lanes = self.all.borrow_mut();
        if !apart {
            let found = lanes.iter().find_map(|lane| {
                let found = lane.found(self.most_calls)?;
                Some((Place::on(lane), found))
            });
            if let Some(found) = found {
                return found;
            }
        }
        let opener = Rc::clone(opener);
        let opening = async move { opener.open_http2().await };
        let opening = opening.boxed_local().shared();
        let lane = Rc::new(Lane {
            calls: Cell::new(0),
            unused_since: Cell::new(Instant::now()),
            state: RefCell::new(State::Opening(
                opening.downgrade().expect("it was not polled yet"),
            )),
        });
        let place = Place::on(&lane);
        lanes.push(lane);
        (place, Found::Opening(opening))
    }

    /// Uses none of those again that there are.
    pub(super) fn forget(&self) {
        self.all.take();
    }

    /// Closes those that are of no use any more.
    pub(super) fn sweep(&self) {
        let mut lanes = self.all.borrow_mut();
        lanes.retain(|lane| !lane.is_over(self.idle_timeout));
    }
}

impl<B> Lane<B> {
    /// Its connection, if there is room.
    fn found(&self, most_calls: usize) -> Option<Found<B>> {
        match &*self.state.borrow() {
            State::Open(connection) => {
                let most = most_calls.min(connection.most_calls());
                // Of a server that takes none we wait for it to take some.
                (self.calls.get() < most.max(1)).then(|| Found::Open(connection.clone()))
            }
            State::Opening(opening) if self.calls.get() < most_calls => {
                opening.upgrade().map(Found::Opening)
            }
            State::Opening(_) => None,
        }
    }

    /// Whether no call should go over it any more.
    fn is_over(&self, idle_timeout: Duration) -> bool {
        match &*self.state.borrow() {
            State::Open(connection) => {
                let is_unused = self.calls.get() == 0;
                let is_old = || self.unused_since.get().elapsed() >= idle_timeout;
                connection.requests.is_closed() || (is_unused && is_old())
            }
            // Of one that failed, those who waited are about to hear.
            State::Opening(opening) => opening
                .upgrade()
                .is_none_or(|opening| opening.peek().is_some_and(Result::is_err)),
        }
    }
}

impl<B> Place<B> {
    fn on(lane: &Rc<Lane<B>>) -> Self {
        lane.calls.set(lane.calls.get() + 1);
        Self(Rc::clone(lane))
    }
}

impl<B> Drop for Place<B> {
    fn drop(&mut self) {
        let calls = self.0.calls.get().saturating_sub(1);
        self.0.calls.set(calls);
        if calls == 0 {
            self.0.unused_since.set(Instant::now());
        }
    }
}
