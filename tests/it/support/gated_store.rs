//! A key database in memory that a test can stop at every point, break, trim and put back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use keyward::clock::Clock;
use keyward::key::{
    Actor, ApiKey, KeyDigest, KeyFilter, KeyId, KeySelector, KeyUpdate, Name, NewApiKey, OrgId,
    Team, UnixTime,
};
use keyward::store::{
    AuditEntry, BadRow, ChangeBatch, Changes, Cursor, Import, Imported, Instance, InstanceId,
    InstanceReport, KeyChange, KeyPage, KeyStore, ListMark, ListPage, PageMark, SnapshotEnd,
    StoreError,
};
use tokio::sync::watch;

use super::gate::Gate;

/// The most changes in one batch.
pub const MAX_BATCH: usize = 100;

/// No test waits for the bell so often.
const TOO_OFTEN: usize = 10_000;

pub struct GatedStore {
    data: Mutex<Data>,
    rung: watch::Sender<u64>,
    heard: Mutex<u64>,
    clock: Clock,
    pub gates: Gates,
    pub calls: Calls,
}

/// Before a call has read anything, and when it has read everything and not returned it.
pub struct Gates {
    pub find: Gate,
    pub found: Gate,
    pub snapshot: Gate,
    /// After the place in the log was read, before any key was.
    pub snapshot_place: Gate,
    /// After the keys were read, before the first was given away.
    pub snapshot_keys: Gate,
    pub snapshot_done: Gate,
    pub changes: Gate,
    pub changes_done: Gate,
    pub record: Gate,
    pub report: Gate,
}

#[derive(Debug, Default)]
pub struct Calls {
    pub find: AtomicUsize,
    pub snapshot: AtomicUsize,
    pub changes: AtomicUsize,
    pub changed: AtomicUsize,
    pub record: AtomicUsize,
}

#[derive(Default)]
struct Data {
    keys: BTreeMap<KeyId, ApiKey>,
    /// Number, digest, and when it was written.
    log: Vec<(u64, KeyDigest, Duration)>,
    next_seq: u64,
    /// Entries up to this one are trimmed.
    trimmed: u64,
    bad: Vec<BadRow>,
    used: BTreeMap<KeyId, UnixTime>,
    written: Vec<Vec<(KeyId, UnixTime)>>,
    reports: Vec<InstanceReport>,
    removed: Vec<InstanceId>,
    positions_wanted: bool,
    broken: Broken,
    bell: Bell,
    ahead: Duration,
}

#[derive(Default, PartialEq, Eq)]
enum Broken {
    #[default]
    No,
    Once,
    Yes,
}

#[derive(Default, PartialEq, Eq)]
enum Bell {
    #[default]
    Rings,
    Deaf,
    Broken,
}

impl GatedStore {
    pub fn new(clock: Clock) -> Self {
        let gate = Gate::new;
        Self {
            data: Mutex::default(),
            rung: watch::Sender::new(0),
            heard: Mutex::new(0),
            clock,
            gates: Gates {
                find: gate(),
                found: gate(),
                snapshot: gate(),
                snapshot_place: gate(),
                snapshot_keys: gate(),
                snapshot_done: gate(),
                changes: gate(),
                changes_done: gate(),
                record: gate(),
                report: gate(),
            },
            calls: Calls::default(),
        }
    }

    /// Stores a key as it is now, and logs it; returns the place of its last entry.
    pub fn put(&self, key: &ApiKey) -> Cursor {
        let mut data = self.data();
        let before = data.keys.insert(key.id, key.clone());
        let mut digests = digests_of(key);
        digests.extend(before.iter().flat_map(digests_of));
        self.commit(data, digests)
    }

    /// Deletes a key, and logs it.
    pub fn delete(&self, id: KeyId) -> Cursor {
        let mut data = self.data();
        let key = data.keys.remove(&id).expect("a live key");
        self.commit(data, digests_of(&key))
    }

    /// Stores a key that the log does not name: as if memory had had to let it go.
    pub fn put_unlogged(&self, key: &ApiKey) {
        self.data().keys.insert(key.id, key.clone());
    }

    /// Deletes a key, and the log does not name it.
    pub fn delete_unlogged(&self, id: KeyId) {
        self.data().keys.remove(&id);
    }

    /// Forgets the log up to its end, and one entry that nobody has read.
    pub fn lose_log(&self) {
        let mut data = self.data();
        data.next_seq += 1;
        data.trimmed = data.next_seq;
        data.log.clear();
        self.ring(&data);
    }

    /// Adds a row that is no key.
    pub fn spoil(&self, digest: KeyDigest, row: BadRow) -> Cursor {
        let mut data = self.data();
        data.bad.push(row);
        self.commit(data, vec![digest])
    }

    /// Makes every call fail, or answer again.
    pub fn break_down(&self, is_broken: bool) {
        self.data().broken = if is_broken { Broken::Yes } else { Broken::No };
    }

    /// Makes the next call that gets to the data fail.
    pub fn fail_next(&self) {
        self.data().broken = Broken::Once;
    }

    /// Makes the bell silent.
    pub fn deafen(&self) {
        self.data().bell = Bell::Deaf;
    }

    /// Makes waiting for the bell fail at once.
    pub fn break_bell(&self) {
        self.data().bell = Bell::Broken;
        self.rung.send_modify(|rung| *rung += 1);
    }

    /// Sets the database's clock, ahead of the test's.
    pub fn set_ahead(&self, ahead: Duration) {
        self.data().ahead = ahead;
    }

    /// Rings the bell for nothing.
    pub fn ring_for_nothing(&self) {
        self.rung.send_modify(|rung| *rung += 1);
    }

    /// When a key was last used, as far as it was written.
    pub fn last_used(&self, id: KeyId) -> Option<UnixTime> {
        self.data().used.get(&id).copied()
    }

    /// Every batch of moments, as it was written.
    pub fn written(&self) -> Vec<Vec<(KeyId, UnixTime)>> {
        self.data().written.clone()
    }

    /// What the instance has said of itself so far.
    pub fn reports(&self) -> Vec<InstanceReport> {
        self.data().reports.clone()
    }

    /// The instances that have said that they ended.
    pub fn removed(&self) -> Vec<InstanceId> {
        self.data().removed.clone()
    }

    /// Says whether somebody waits for positions, and rings.
    pub fn set_positions_wanted(&self, wanted: bool) {
        let mut data = self.data();
        data.positions_wanted = wanted;
        self.ring(&data);
    }

    /// The last place in the log.
    pub fn end(&self) -> Cursor {
        Cursor::new(self.data().next_seq)
    }

    fn commit(&self, mut data: MutexGuard<'_, Data>, digests: Vec<KeyDigest>) -> Cursor {
        for digest in digests {
            data.next_seq += 1;
            let seq = data.next_seq;
            let at = self.time(&data);
            data.log.push((seq, digest, at));
        }
        self.ring(&data);
        Cursor::new(data.next_seq)
    }

    fn ring(&self, data: &Data) {
        if data.bell != Bell::Deaf {
            self.rung.send_modify(|rung| *rung += 1);
        }
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().expect("no test panics in here")
    }

    fn answering(&self, query: &'static str) -> Result<MutexGuard<'_, Data>, StoreError> {
        let mut data = self.data();
        match data.broken {
            Broken::No => return Ok(data),
            Broken::Once => data.broken = Broken::No,
            Broken::Yes => {}
        }
        Err(StoreError::TimedOut { query })
    }

    fn time(&self, data: &Data) -> Duration {
        Duration::from_secs(1_000_000) + self.clock.elapsed() + data.ahead
    }
}

/// When every test begins, by the database's clock.
pub const START: UnixTime = UnixTime::from_secs(1_000_000);

/// The refusal of what no task that is tested with this store asks for.
fn not_served(query: &'static str) -> StoreError {
    StoreError::TimedOut { query }
}

fn digests_of(key: &ApiKey) -> Vec<KeyDigest> {
    std::iter::once(key.digest)
        .chain(key.old.map(|old| old.digest))
        .collect()
}

impl Data {
    fn live(&self, digest: &KeyDigest) -> Option<ApiKey> {
        let known_by = |key: &&ApiKey| digests_of(key).contains(digest);
        self.keys.values().find(known_by).cloned()
    }
}

fn count(calls: &AtomicUsize) {
    calls.fetch_add(1, Ordering::Relaxed);
}

#[async_trait]
impl KeyStore for GatedStore {
    async fn snapshot(
        &self,
        each: &mut (dyn FnMut(ApiKey) + Send),
    ) -> Result<SnapshotEnd, StoreError> {
        count(&self.calls.snapshot);
        self.gates.snapshot.pass().await;
        let end = {
            let data = self.answering("snapshot")?;
            SnapshotEnd {
                cursor: Cursor::new(data.next_seq),
                set_aside: data.bad.clone(),
                database_time: self.time(&data),
            }
        };
        self.gates.snapshot_place.pass().await;
        let keys: Vec<_> = self.answering("snapshot")?.keys.values().cloned().collect();
        self.gates.snapshot_keys.pass().await;
        for key in keys {
            each(key);
        }
        self.gates.snapshot_done.pass().await;
        self.answering("snapshot").map(|_| end)
    }

    async fn changes(&self, cursor: Cursor) -> Result<Changes, StoreError> {
        count(&self.calls.changes);
        self.gates.changes.pass().await;
        let changes = {
            let data = self.answering("changes")?;
            if cursor.seq() < data.trimmed || cursor.seq() > data.next_seq {
                Changes::Lost
            } else {
                let mut after = data.log.iter().filter(|(seq, ..)| *seq > cursor.seq());
                let entries: Vec<_> = after.by_ref().take(MAX_BATCH).collect();
                let change = |(_, digest, _): &&(u64, KeyDigest, _)| match data.live(digest) {
                    Some(key) => KeyChange::Put(Box::new(key)),
                    None => KeyChange::Gone(*digest),
                };
                let gone = entries
                    .iter()
                    .filter(|(_, digest, _)| data.live(digest).is_none());
                let last = entries.last().map_or(cursor.seq(), |(seq, ..)| *seq);
                Changes::Read(ChangeBatch {
                    changes: entries.iter().map(change).collect(),
                    cursor: Cursor::new(last),
                    oldest_at: None,
                    revoked_at: gone.map(|(_, _, at)| *at).collect(),
                    more: after.next().is_some(),
                    set_aside: data.bad.clone(),
                    database_time: self.time(&data),
                    positions_wanted: data.positions_wanted,
                })
            }
        };
        self.gates.changes_done.pass().await;
        Ok(changes)
    }

    async fn changed(&self) -> Result<(), StoreError> {
        count(&self.calls.changed);
        // A broken bell answers at once, so whoever asks again at once never lets time pass: no test would end.
        let asked = self.calls.changed.load(Ordering::Relaxed);
        assert!(asked < TOO_OFTEN, "the bell is asked again and again");
        let mut rung = self.rung.subscribe();
        let heard = *self.heard.lock().expect("no test panics in here");
        if self.data().bell == Bell::Broken {
            return Err(StoreError::TimedOut { query: "changed" });
        }
        let now = *rung
            .wait_for(|rung| *rung > heard)
            .await
            .expect("the sender is ours");
        *self.heard.lock().expect("no test panics in here") = now;
        if self.data().bell == Bell::Broken {
            return Err(StoreError::TimedOut { query: "changed" });
        }
        Ok(())
    }

    async fn find(&self, digest: &KeyDigest) -> Result<Option<ApiKey>, StoreError> {
        count(&self.calls.find);
        self.gates.find.pass().await;
        let found = self.answering("find")?.live(digest);
        self.gates.found.pass().await;
        Ok(found)
    }

    async fn record_last_used(&self, batch: &[(KeyId, UnixTime)]) -> Result<(), StoreError> {
        count(&self.calls.record);
        self.gates.record.pass().await;
        let mut data = self.answering("record_last_used")?;
        for (id, moment) in batch {
            let used = data.used.entry(*id).or_insert(*moment);
            *used = (*used).max(*moment);
        }
        data.written.push(batch.to_vec());
        Ok(())
    }

    async fn list(&self, _: &KeyFilter) -> Result<Vec<ApiKey>, StoreError> {
        Err(not_served("list"))
    }

    async fn get(&self, _: &KeySelector) -> Result<Option<ApiKey>, StoreError> {
        Err(not_served("get"))
    }

    async fn insert(&self, _: &NewApiKey) -> Result<(ApiKey, Cursor), StoreError> {
        Err(not_served("insert"))
    }

    async fn import(&self, _: &Import) -> Result<Imported, StoreError> {
        Err(not_served("import"))
    }

    async fn page(&self, _: Option<&PageMark>) -> Result<KeyPage, StoreError> {
        Err(not_served("page"))
    }

    async fn list_page(
        &self,
        filter: &KeyFilter,
        _: Option<&ListMark>,
        _: usize,
    ) -> Result<ListPage, StoreError> {
        Ok(ListPage {
            keys: self.list(filter).await?,
            next: None,
            set_aside: Vec::new(),
        })
    }

    async fn audit(&self, _: Option<u64>, _: usize) -> Result<Vec<AuditEntry>, StoreError> {
        Ok(Vec::new())
    }

    async fn delete_by(
        &self,
        _: &KeySelector,
        _: Option<&Actor>,
    ) -> Result<(ApiKey, Cursor), StoreError> {
        Err(not_served("delete"))
    }

    async fn update(&self, _: &KeySelector, _: &KeyUpdate) -> Result<(ApiKey, Cursor), StoreError> {
        Err(not_served("update"))
    }

    async fn org(&self) -> Result<OrgId, StoreError> {
        Err(not_served("org"))
    }

    async fn teams(&self) -> Result<Vec<Team>, StoreError> {
        Err(not_served("teams"))
    }

    async fn insert_team_by(&self, _: &Name, _: Option<&Actor>) -> Result<Team, StoreError> {
        Err(not_served("insert_team"))
    }

    async fn admin_token(&self) -> Result<Option<KeyDigest>, StoreError> {
        Err(not_served("admin_token"))
    }

    async fn keep_admin_token_by(
        &self,
        _: &KeyDigest,
        _: Option<&Actor>,
    ) -> Result<KeyDigest, StoreError> {
        Err(not_served("keep_admin_token"))
    }

    async fn report_instance(&self, report: &InstanceReport) -> Result<(), StoreError> {
        self.gates.report.pass().await;
        self.answering("instances")?.reports.push(report.clone());
        Ok(())
    }

    async fn remove_instance(&self, id: InstanceId) -> Result<(), StoreError> {
        self.answering("instances")?.removed.push(id);
        Ok(())
    }

    async fn instances(&self) -> Result<Vec<Instance>, StoreError> {
        Err(not_served("instances"))
    }

    async fn want_positions(&self, _: Duration) -> Result<(), StoreError> {
        Err(not_served("want_positions"))
    }

    async fn close(&self) {}
}
