//! Calls that are under way and end when their key does, where the settings say so.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::Rejection;
use crate::cache::{LookupError, WorkerFront};
use crate::clock::Clock;
use crate::key::{Denial, KeyDigest, LocalGrant, ModelId, NamedModel, Purpose, UnixTime};
use crate::telemetry::metrics::ProxyMetrics;
use crate::upstream::AnswerBody;

/// How long a key may have ended before that is looked for; changes that the database tells of are looked for at once.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The watched calls of one worker: one look goes over all of them, whatever their number.
#[derive(Clone, Default)]
pub struct OpenStreams(Rc<Open>);

#[derive(Default)]
struct Open {
    streams: RefCell<Vec<Weak<Stream>>>,
    /// There was none, and now there is one.
    begun: Notify,
}

/// One watched call. What it is answered is kept here, so that it can be ended without waiting for its caller.
pub(super) struct Stream {
    digest: KeyDigest,
    purpose: Purpose,
    model: KnownModel,
    grant: RefCell<LocalGrant>,
    /// Memory does not hold the key, and the database has not been asked since the last change.
    is_unsure: Cell<bool>,
    answer: RefCell<Option<AnswerBody>>,
    ended: Cell<Option<KeyEnd>>,
    waker: RefCell<Option<Waker>>,
}

/// What a call was decided on, kept for deciding again.
enum KnownModel {
    Named(Box<str>),
    NotNamed,
    NotNeeded,
}

/// How a key ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyEnd {
    /// There is no such key any more.
    Gone,
    /// It may no longer do what it was presented for.
    Denied(Denial),
}

impl OpenStreams {
    /// Watches a call that was permitted by `grant`, which is known by `digest`, until what is returned is dropped.
    pub(super) fn watch(
        &self,
        digest: KeyDigest,
        grant: LocalGrant,
        purpose: Purpose,
        model: NamedModel<'_>,
    ) -> Rc<Stream> {
        let stream = Rc::new(Stream {
            digest,
            purpose,
            model: model.into(),
            grant: RefCell::new(grant),
            is_unsure: Cell::new(false),
            answer: RefCell::new(None),
            ended: Cell::new(None),
            waker: RefCell::new(None),
        });
        self.0.streams.borrow_mut().push(Rc::downgrade(&stream));
        self.0.begun.notify_one();
        stream
    }

    /// Ends the calls whose keys end, for as long as it is polled.
    ///
    /// A change of any key costs a look in memory for every watched call; without one only the time is compared. A key that
    /// memory has forgotten is looked up in the database, at most once for each change.
    pub async fn end_with_their_keys(
        self,
        keys: Rc<WorkerFront>,
        clock: Clock,
        metrics: ProxyMetrics,
    ) {
        let mut changes = keys.changes();
        loop {
            while self.is_empty() {
                self.0.begun.notified().await;
            }
            // The cache is ours as well, so there is always somebody to tell of changes.
            let has_news = timeout(LOOK_EVERY, changes.changed()).await.is_ok();
            let now = clock.unix_time();
            let streams = self.all();
            for stream in &streams {
                if has_news {
                    stream.remember(&keys);
                }
                if stream.decide(now) {
                    metrics.call_ended_with_key();
                }
            }
            let unsure = streams.iter().filter(|stream| stream.is_unsure.get());
            for ended in join_all(unsure.map(|stream| stream.look_up(&keys, now))).await {
                if ended {
                    metrics.call_ended_with_key();
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        let mut streams = self.0.streams.borrow_mut();
        streams.retain(|stream| stream.strong_count() > 0);
        streams.is_empty()
    }

    fn all(&self) -> Vec<Rc<Stream>> {
        let streams = self.0.streams.borrow();
        streams.iter().filter_map(Weak::upgrade).collect()
    }
}

impl From<NamedModel<'_>> for KnownModel {
    fn from(model: NamedModel<'_>) -> Self {
        match model {
            NamedModel::Named(model) => Self::Named(model.as_str().into()),
            NamedModel::NotNeeded => Self::NotNeeded,
            // What names two models is never permitted.
            NamedModel::NotNamed | NamedModel::Differ => Self::NotNamed,
        }
    }
}

impl KnownModel {
    fn as_named(&self) -> NamedModel<'_> {
        match self {
            Self::Named(model) => NamedModel::Named(ModelId::new(model)),
            Self::NotNamed => NamedModel::NotNamed,
            Self::NotNeeded => NamedModel::NotNeeded,
        }
    }
}

impl KeyEnd {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "unknown_key",
            Self::Denied(denial) => denial.as_str(),
        }
    }
}

impl Stream {
    /// Takes over what memory holds about the key by now.
    fn remember(&self, keys: &WorkerFront) {
        let held = keys.held(&self.digest);
        self.is_unsure.set(held.is_none());
        if let Some(grant) = held {
            self.grant.replace(grant.into());
        }
    }

    /// Ends the call when its key may not do this any more; `true` when that is news. Nobody knows which model a key for all
    /// of them called: its call ends when it becomes one for some.
    fn decide(&self, now: UnixTime) -> bool {
        let model = self.model.as_named();
        let permitted = self.grant.borrow().check(self.purpose, model, now);
        permitted.is_err_and(|denial| self.end(KeyEnd::Denied(denial)))
    }

    /// Asks the database about a key that memory does not hold. When it cannot say, it will be asked again.
    async fn look_up(&self, keys: &WorkerFront, now: UnixTime) -> bool {
        match keys.known_by(self.digest).await {
            Ok(grant) => {
                self.grant.replace(grant);
                self.is_unsure.set(false);
                self.decide(now)
            }
            Err(LookupError::Unknown) => {
                self.is_unsure.set(false);
                self.end(KeyEnd::Gone)
            }
            Err(LookupError::Unavailable { .. }) => false,
        }
    }

    /// Ends the call, whatever its caller does: the upstream hears of it at once. `false` when it had ended.
    fn end(&self, end: KeyEnd) -> bool {
        if self.ended.replace(Some(end)).is_some() {
            return false;
        }
        tracing::debug!(reason = end.as_str(), "a call was ended with its key");
        drop(self.answer.take());
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        true
    }

    /// Whether the key has ended; if not, `cx` is woken when it does.
    pub(super) fn poll_end(&self, cx: &mut Context<'_>) -> Poll<KeyEnd> {
        if let Some(end) = self.ended.get() {
            return Poll::Ready(end);
        }
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Keeps what the call is answered.
    pub(super) fn keep(&self, answer: AnswerBody) {
        self.answer.replace(Some(answer));
    }

    /// What the call is answered, unless it has ended with its key.
    pub(super) fn with_answer<T>(&self, look: impl FnOnce(&mut AnswerBody) -> T) -> Option<T> {
        self.answer.borrow_mut().as_mut().map(look)
    }
}

/// Waits for the key's end of a call that is watched.
pub(super) async fn key_ends(stream: Option<&Stream>) -> KeyEnd {
    match stream {
        Some(stream) => poll_fn(|cx| stream.poll_end(cx)).await,
        None => pending().await,
    }
}

/// What `answered` gives, unless the key of its call ends before.
pub(super) async fn unless_ended<T>(
    stream: Option<&Stream>,
    answered: Pin<&mut impl Future<Output = Result<T, Rejection>>>,
) -> Result<T, Rejection> {
    if stream.is_none() {
        return answered.await;
    }
    let ends = pin!(key_ends(stream));
    // An answer that comes too late is none.
    match select(ends, answered).await {
        Either::Left((end, _)) => Err(end.into()),
        Either::Right((answer, _)) => answer,
    }
}
