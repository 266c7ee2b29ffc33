//! Memory against a database that can be stopped at every point.
//!
//! Time stands still (tokio's is paused, the clock is manual) and passes only where a test says so.

mod flood;
mod following;
mod outage;
mod presence;
mod resurrection;
mod sealed;
mod slots;
mod sqlite;

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use keyward::cache::{CacheConfig, CacheTasks, Freshness, KeyCache, LookupError, WorkerFront};
use keyward::clock::Clock;
use keyward::key::{
    ApiKey, KeyDigest, KeyId, LocalGrant, ModelId, ModelScope, NamedModel, PresentedKey, Purpose,
};
use keyward::store::Cursor;
use keyward::telemetry::metrics::Metrics;
use tokio::runtime::Handle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::support;
use crate::support::counted::Counted;
use crate::support::gated_store::{GatedStore, START};
use crate::support::keys::{key, text_of};

const UNAVAILABLE: LookupError = LookupError::Unavailable {
    retry_after: Duration::from_secs(1),
};

/// A cache over a gated store, with its tasks running.
struct Rig {
    store: Arc<GatedStore>,
    counted: Counted,
    clock: Clock,
    cache: KeyCache,
    front: Rc<WorkerFront>,
    stop: CancellationToken,
}

/// What a caller got, in a form that can be compared.
type Got = Result<KeyId, LookupError>;

impl Rig {
    /// Over an empty database, filled.
    async fn start() -> Self {
        Self::with(CacheConfig::default(), &[]).await
    }

    /// Over a database with these keys, filled.
    async fn with(config: CacheConfig, keys: &[ApiKey]) -> Self {
        let rig = Self::unfilled(&config, keys);
        rig.cache.filled().await;
        rig
    }

    /// Over a database with these keys, with its tasks just begun.
    fn unfilled(config: &CacheConfig, keys: &[ApiKey]) -> Self {
        Self::over(config, keys, |_| {})
    }

    fn over(config: &CacheConfig, keys: &[ApiKey], prepare: impl FnOnce(&GatedStore)) -> Self {
        let clock = Clock::manual(START);
        let store = Arc::new(GatedStore::new(clock.clone()));
        for key in keys {
            store.put(key);
        }
        prepare(&store);
        let (metrics, renderer) = keyward::telemetry::install();
        let metrics = metrics.cache;
        let (cache, tasks) = KeyCache::new(Arc::clone(&store) as _, config, clock.clone(), metrics);
        let CacheTasks {
            follower, loader, ..
        } = tasks;
        let stop = CancellationToken::new();
        Handle::current().spawn(follower.run(stop.clone()));
        Handle::current().spawn(loader.run(stop.clone()));
        Self {
            front: Rc::new(cache.front()),
            store,
            counted: Counted(renderer),
            clock,
            cache,
            stop,
        }
    }

    /// Asks as a caller of a worker does.
    async fn ask(&self, key: &ApiKey) -> Got {
        got(self.front.grant(presented(&text_of(key))).await)
    }

    /// Asks on the same worker, and has asked when this returns; the answer may come later.
    async fn asking(&self, key: &ApiKey) -> Asking {
        let front = Rc::clone(&self.front);
        let text = text_of(key);
        let mut asking = Asking {
            call: Box::pin(async move { got(front.grant(presented(&text)).await) }),
            got: None,
        };
        asking.look().await;
        asking
    }

    /// The grant itself, for what it permits.
    async fn grant(&self, key: &ApiKey) -> Result<LocalGrant, LookupError> {
        self.front.grant(presented(&text_of(key))).await
    }

    async fn permits(&self, key: &ApiKey, model: &str) -> bool {
        let grant = self.grant(key).await.expect("a known key");
        let model = NamedModel::Named(ModelId::new(model));
        grant
            .permit(Purpose::Calling, model, self.clock.unix_time())
            .is_ok()
    }

    /// Waits until memory has applied everything up to `place`.
    async fn applied(&self, place: Cursor) {
        let mut applied = self.cache.applied();
        let reached = applied.wait_for(|applied| *applied >= place);
        within(reached).await.expect("the cache lives");
    }

    /// Lets time pass, for the clock and for every timer, in small steps.
    async fn pass(&self, time: Duration) {
        let step = Duration::from_millis(100);
        let mut passed = Duration::ZERO;
        while passed < time {
            self.clock.advance(step);
            sleep(step).await;
            passed += step;
        }
    }

    /// Lets time pass until something has happened.
    async fn passing<T>(&self, until: impl Future<Output = T>) -> T {
        let time = async {
            loop {
                self.pass(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            biased;
            done = until => done,
            never = time => never,
        }
    }

    /// Stops the process, and the time in it, as SIGSTOP does: when it wakes, the clock has gone on and nothing ran.
    fn pause(&self, time: Duration) {
        self.clock.advance(time);
    }

    fn finds(&self) -> usize {
        count(&self.store.calls.find)
    }
}

/// A caller who waits.
struct Asking {
    call: Pin<Box<dyn Future<Output = Got>>>,
    got: Option<Got>,
}

impl Asking {
    /// Whether the answer has come, when everything that can run has run.
    async fn has_answer(&mut self) -> bool {
        settle().await;
        self.look().await;
        self.got.is_some()
    }

    async fn look(&mut self) {
        let call = &mut self.call;
        let got = &mut self.got;
        let look = poll_fn(|context| {
            if got.is_none()
                && let Poll::Ready(answer) = call.as_mut().poll(context)
            {
                *got = Some(answer);
            }
            Poll::Ready(())
        });
        look.await;
    }

    async fn answer(self) -> Got {
        match self.got {
            Some(got) => got,
            None => within(self.call).await,
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn count(calls: &AtomicUsize) -> usize {
    calls.load(Ordering::Relaxed)
}

/// Lets everything run until all of it waits.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    support::within("what the test waits for", future).await
}

fn got(answer: Result<LocalGrant, LookupError>) -> Got {
    answer.map(|grant| grant.id())
}

fn presented(text: &str) -> PresentedKey<'_> {
    PresentedKey::parse(text.as_bytes()).expect("a foreign key")
}

fn keys(numbers: std::ops::Range<u128>) -> Vec<ApiKey> {
    numbers.map(key).collect()
}
