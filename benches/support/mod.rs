//! What the benches share: a key set made by counting, and the admission of one request.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::header::HOST;
use http::{Method, Request};
use keyward::cache::{CacheConfig, KeyCache, WorkerFront};
use keyward::clock::Clock;
use keyward::credential::{CredentialLocations, Reading};
use keyward::key::{
    Actor, ApiKey, Denial, ENTROPY_BYTES, KeyCategory, KeyDigest, KeyFilter, KeyId, KeySelector,
    KeyUpdate, ModelId, ModelScope, Name, NamedModel, NewApiKey, NewSecret, OrgId, Permit,
    PresentedKey, Purpose, Team, TeamId, TeamRef, UnixTime,
};
use keyward::message::{RequestHead, Value};
use keyward::proxy::ProxyConfig;
use keyward::route::{ErrorForm, RequestHost, RouteTable, baseten};
use keyward::store::{
    AuditEntry, ChangeBatch, Changes, Cursor, Import, Imported, Instance, InstanceId,
    InstanceReport, KeyPage, KeyStore, ListMark, ListPage, PageMark, SnapshotEnd, StoreError,
};
use keyward::telemetry::metrics::Metrics;
use keyward::usage::{UsageConfig, UsageRecorder};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64_with_seed;

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

/// The text of key number `number`.
pub fn secret(number: u32) -> NewSecret {
    let mut entropy = [0; ENTROPY_BYTES];
    for (place, bytes) in (0_u64..).zip(entropy.chunks_mut(8)) {
        let random = xxh3_64_with_seed(&number.to_le_bytes(), place);
        bytes.copy_from_slice(&random.to_le_bytes());
    }
    NewSecret::from_entropy(&entropy).expect("hashes are spread evenly enough")
}

fn key(number: u32, team: &TeamRef) -> ApiKey {
    let secret = secret(number);
    ApiKey {
        id: KeyId::new(Uuid::from_u128(u128::from(number) + 1)),
        prefix: secret.prefix(),
        digest: secret.digest(),
        old: None,
        name: format!("service-{number}").parse().ok(),
        category: KeyCategory::WorkspaceInvoke,
        operation: None,
        scope: ModelScope::from_request(Some(&["llama"])).expect("a model id"),
        org: OrgId::new(Uuid::from_u128(1)),
        team: Some(team.clone()),
        owner: None,
        created_at: NOW,
        expires_at: None,
        disabled_at: None,
        ends_calls: false,
        last_used_at: Some(NOW),
    }
}

/// A database that holds the first so many keys, and never changes.
struct CountedStore {
    keys: u32,
}

#[async_trait]
impl KeyStore for CountedStore {
    async fn snapshot(
        &self,
        each: &mut (dyn FnMut(ApiKey) + Send),
    ) -> Result<SnapshotEnd, StoreError> {
        let team = TeamRef {
            id: TeamId::new(Uuid::from_u128(1)),
            name: "default".parse().expect("a name"),
        };
        for number in 0..self.keys {
            each(key(number, &team));
        }
        Ok(SnapshotEnd {
            cursor: Cursor::new(1),
            set_aside: Vec::new(),
            database_time: Duration::from_secs(NOW.as_secs()),
        })
    }

    async fn changes(&self, cursor: Cursor) -> Result<Changes, StoreError> {
        Ok(Changes::Read(ChangeBatch {
            changes: Vec::new(),
            cursor,
            oldest_at: None,
            revoked_at: Vec::new(),
            more: false,
            set_aside: Vec::new(),
            database_time: Duration::from_secs(NOW.as_secs()),
            positions_wanted: false,
        }))
    }

    async fn changed(&self) -> Result<(), StoreError> {
        std::future::pending().await
    }

    async fn find(&self, _: &KeyDigest) -> Result<Option<ApiKey>, StoreError> {
        Ok(None)
    }

    async fn list(&self, _: &KeyFilter) -> Result<Vec<ApiKey>, StoreError> {
        Ok(Vec::new())
    }

    async fn get(&self, _: &KeySelector) -> Result<Option<ApiKey>, StoreError> {
        Ok(None)
    }

    async fn insert(&self, _: &NewApiKey) -> Result<(ApiKey, Cursor), StoreError> {
        Err(StoreError::DigestTaken)
    }

    async fn import(&self, _: &Import) -> Result<Imported, StoreError> {
        Err(StoreError::DigestTaken)
    }

    async fn page(&self, _: Option<&PageMark>) -> Result<KeyPage, StoreError> {
        Err(StoreError::NoSuchKey)
    }

    async fn list_page(
        &self,
        _: &KeyFilter,
        _: Option<&ListMark>,
        _: usize,
    ) -> Result<ListPage, StoreError> {
        Err(StoreError::NoSuchKey)
    }

    async fn audit(&self, _: Option<u64>, _: usize) -> Result<Vec<AuditEntry>, StoreError> {
        Ok(Vec::new())
    }

    async fn delete_by(
        &self,
        _: &KeySelector,
        _: Option<&Actor>,
    ) -> Result<(ApiKey, Cursor), StoreError> {
        Err(StoreError::NoSuchKey)
    }

    async fn update(&self, _: &KeySelector, _: &KeyUpdate) -> Result<(ApiKey, Cursor), StoreError> {
        Err(StoreError::NoSuchKey)
    }

    async fn record_last_used(&self, _: &[(KeyId, UnixTime)]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn org(&self) -> Result<OrgId, StoreError> {
        Ok(OrgId::new(Uuid::from_u128(1)))
    }

    async fn teams(&self) -> Result<Vec<Team>, StoreError> {
        Ok(Vec::new())
    }

    async fn insert_team_by(&self, _: &Name, _: Option<&Actor>) -> Result<Team, StoreError> {
        Err(StoreError::NoSuchTeam)
    }

    async fn admin_token(&self) -> Result<Option<KeyDigest>, StoreError> {
        Ok(None)
    }

    async fn keep_admin_token_by(
        &self,
        digest: &KeyDigest,
        _: Option<&Actor>,
    ) -> Result<KeyDigest, StoreError> {
        Ok(*digest)
    }

    async fn report_instance(&self, _: &InstanceReport) -> Result<(), StoreError> {
        Ok(())
    }

    async fn remove_instance(&self, _: InstanceId) -> Result<(), StoreError> {
        Ok(())
    }

    async fn instances(&self) -> Result<Vec<Instance>, StoreError> {
        Ok(Vec::new())
    }

    async fn want_positions(&self, _: Duration) -> Result<(), StoreError> {
        Ok(())
    }

    async fn close(&self) {}
}

/// Which keys the requests of a bench present.
#[derive(Debug, Clone, Copy)]
pub enum Draw {
    /// 512 keys, all alike.
    Hot,
    /// Few keys often, many seldom: Zipf's law with exponent 1.
    Zipf,
    /// Every key alike.
    Uniform,
}

impl Draw {
    pub fn name(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Zipf => "zipf",
            Self::Uniform => "uniform",
        }
    }
}

/// Everything that admits a request, with memory filled.
pub struct Admission {
    keys: u32,
    routes: RouteTable,
    locations: CredentialLocations,
    front: WorkerFront,
    usage: UsageRecorder,
    clock: Clock,
    _runtime: tokio::runtime::Runtime,
}

/// Requests to be presented again and again, in a fixed order that no processor can guess.
pub struct Requests {
    different: Vec<RequestHead>,
    order: Vec<u32>,
    next: usize,
}

impl Requests {
    /// All of them, in their order, once.
    pub fn all(&self) -> impl Iterator<Item = &RequestHead> {
        self.order
            .iter()
            .map(|place| &self.different[*place as usize])
    }

    pub fn next(&mut self) -> &RequestHead {
        self.next = (self.next + 1) % self.order.len();
        &self.different[self.order[self.next] as usize]
    }
}

/// A call of model `llama` with this key.
pub fn request(key: &str) -> RequestHead {
    let request = Request::builder()
        .method(Method::POST)
        .uri("/models/llama/predict")
        .header("host", "127.0.0.1:8080")
        .header("user-agent", "bench/1.0")
        .header("accept", "*/*")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .header("content-length", "200")
        .body(())
        .expect("a request");
    request.into_parts().0.into()
}

impl Admission {
    /// Memory filled with `keys` keys; all of them fit.
    pub fn with_keys(keys: u32) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let clock = Clock::system();
        let metrics = Metrics::unrecorded();
        let store = Arc::new(CountedStore { keys });
        let config = CacheConfig {
            keys: u64::from(keys) + 1,
            ..CacheConfig::default()
        };
        let (cache, tasks) =
            KeyCache::new(store.clone(), &config, clock.clone(), metrics.cache.clone());
        let stop = CancellationToken::new();
        runtime.spawn(tasks.follower.run(stop.clone()));
        runtime.spawn(tasks.loader.run(stop));
        runtime.block_on(cache.filled());
        let (usage, _) = UsageRecorder::new(store, &UsageConfig::default(), metrics.usage);
        let routes = RouteTable::compile(&baseten("model"), ErrorForm::Problem, &["model"]);
        let locations = ProxyConfig::default().credentials;
        Self {
            keys,
            routes: routes.expect("the built-in table compiles"),
            locations: CredentialLocations::new(locations).expect("two places"),
            front: cache.front(),
            usage,
            clock,
            _runtime: runtime,
        }
    }

    /// Requests of up to 100,000 different keys.
    pub fn requests(&self, draw: Draw) -> Requests {
        let different = match draw {
            Draw::Hot => self.keys.min(512),
            Draw::Zipf | Draw::Uniform => self.keys.min(100_000),
        };
        // Spread over the whole set, so that neighbours in time are none in memory.
        let step = self.keys / different;
        let requests = (0..different)
            .map(|number| request(secret(number * step).reveal()))
            .collect();
        let order = (0..(1_u64 << 17)).map(|draw_number| {
            let random = xxh3_64_with_seed(&draw_number.to_le_bytes(), 7);
            match draw {
                Draw::Hot | Draw::Uniform => {
                    u32::try_from(random % u64::from(different)).expect("below a u32")
                }
                Draw::Zipf => zipf(random, different),
            }
        });
        Requests {
            different: requests,
            order: order.collect(),
            next: 0,
        }
    }

    /// One request, from its route to its permit.
    pub fn admit(&self, request: &RequestHead) -> Permit {
        let now = self.clock.unix_time();
        let host = request.headers.get(&HOST).and_then(Value::to_str);
        let host = host.and_then(RequestHost::parse);
        let host = host.expect("a valid host");
        let matched = self.routes.find(&request.method, host, request.uri.path());
        let matched = matched.expect("a route");
        self.verify(self.presented(request), matched.model(), now)
    }

    /// What a request presents.
    pub fn presented<'r>(&self, request: &'r RequestHead) -> PresentedKey<'r> {
        match self.locations.read(&request.headers, &request.uri) {
            Reading::Found(presented) => presented,
            Reading::Absent | Reading::Malformed => unreachable!("every request presents a key"),
        }
    }

    /// The verification alone: from the key's text to the permit, and the note of its use.
    pub fn verify(
        &self,
        presented: PresentedKey<'_>,
        model: NamedModel<'_>,
        now: UnixTime,
    ) -> Permit {
        let grant = at_once(self.front.grant(presented)).expect("memory holds the key");
        let permit: Result<Permit, Denial> = grant.permit(Purpose::Calling, model, now);
        let permit = permit.expect("the key may call the model");
        self.usage.touch(&permit, now);
        permit
    }

    /// The verification of a call of model `llama`, now.
    pub fn verify_llama(&self, presented: PresentedKey<'_>) -> Permit {
        let model = NamedModel::Named(ModelId::new("llama"));
        self.verify(presented, model, self.clock.unix_time())
    }

    /// Such verifications, each timed by itself with two readings of the clock, in order. A key's text is looked at before: that of a
    /// call has just come from its caller.
    pub fn verifications(&self, presented: &[PresentedKey<'_>]) -> Vec<Duration> {
        let time = |key: &PresentedKey<'_>| {
            black_box(key.digest());
            let began = Instant::now();
            black_box(self.verify_llama(black_box(*key)));
            began.elapsed()
        };
        let mut times: Vec<Duration> = presented.iter().map(time).collect();
        times.sort_unstable();
        times
    }

    /// One request whose text cannot be a key.
    pub fn refuse(&self, request: &RequestHead) {
        let host = request.headers.get(&HOST).and_then(Value::to_str);
        let host = host.and_then(RequestHost::parse);
        let host = host.expect("a valid host");
        let matched = self.routes.find(&request.method, host, request.uri.path());
        assert!(matched.is_ok());
        let reading = self.locations.read(&request.headers, &request.uri);
        assert!(matches!(reading, Reading::Malformed));
    }
}

/// The head of a usual call, up to where more fields may stand: 400 bytes.
pub fn usual_head() -> String {
    let head = "POST /models/llama-3/predict HTTP/1.1\r\n\
        host: model-llama-3.api.example.com\r\n\
        user-agent: Mozilla/5.0 (X11; Linux x86_64) python-requests/2.32.3\r\n\
        accept: application/json, text/event-stream\r\n\
        accept-encoding: gzip, deflate, br\r\n\
        content-type: application/json\r\n\
        authorization: Bearer kw_AAAAAAAA.BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBCCCCCC\r\n\
        traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    head.to_owned()
}

/// The result of a future that need not wait.
fn at_once<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => unreachable!("a known key waits for nothing"),
    }
}

/// A number below `count`, small ones oftener: the inverse of the harmonic sum, by its logarithm.
fn zipf(random: u64, count: u32) -> u32 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a draw needs no more than 52 bits"
    )]
    let share = random as f64 / u64::MAX as f64;
    let drawn = f64::from(count).powf(share) - 1.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and count"
    )]
    let drawn = drawn as u32;
    drawn.min(count - 1)
}

/// Fills memory in this process, and says what the process grew by for each key.
pub fn print_bytes_per_key(keys: u32) {
    let before = resident_bytes();
    let begun = std::time::Instant::now();
    let admission = Admission::with_keys(keys);
    let took = begun.elapsed();
    let grown = resident_bytes().saturating_sub(before);
    let each = grown / u64::from(keys);
    crate::tell(&format!(
        "memory: {keys} keys, {each} bytes per key, filled in {took:.2?} from a store that costs nothing"
    ));
    drop(admission);
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}
