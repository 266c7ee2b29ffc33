//! A key set in a file: what is in it, when it is written, and what a start without the database makes of it.

mod refused;
mod written;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use keyward::key::{OldDigest, Purpose, UnixTime};
use keyward::telemetry::install;
use rstest::rstest;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::*;
use crate::support::store::Log;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

/// A machine with a database and a disk, on which one process after the other runs.
struct Machine {
    store: Arc<GatedStore>,
    /// The database's clock.
    clock: Clock,
    directory: TempDir,
    config: CacheConfig,
    /// How far the machine's own clock is ahead of the database's.
    ahead_secs: u64,
}

/// One process.
struct Process {
    rig: Rig,
    database_clock: Clock,
    tasks: JoinSet<()>,
    sealer: JoinSet<()>,
    stop_sealer: CancellationToken,
}

impl Machine {
    fn new(keys: &[ApiKey]) -> Self {
        let clock = Clock::manual(START);
        let directory = TempDir::new().unwrap();
        let machine = Self {
            store: Arc::new(GatedStore::new(clock.clone())),
            clock,
            config: CacheConfig {
                seal: Some(directory.path().join("set")),
                ..CacheConfig::default()
            },
            directory,
            ahead_secs: 0,
        };
        for key in keys {
            machine.store.put(key);
        }
        machine
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("set")
    }

    /// Which file it is: another each time the whole set is written.
    fn inode(&self) -> u64 {
        fs::metadata(self.path()).unwrap().ino()
    }

    /// The names in its directory.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Starts a process.
    fn start(&self) -> Process {
        let now = START.as_secs() + self.clock.elapsed().as_secs() + self.ahead_secs;
        let clock = Clock::manual(UnixTime::from_secs(now));
        let (metrics, renderer) = install();
        let (cache, parts) = KeyCache::new(
            Arc::clone(&self.store) as _,
            &self.config,
            clock.clone(),
            metrics.cache,
        );
        let (stop, stop_sealer) = (CancellationToken::new(), CancellationToken::new());
        let (mut tasks, mut sealer) = (JoinSet::new(), JoinSet::new());
        tasks.spawn(parts.follower.run(stop.clone()));
        tasks.spawn(parts.loader.run(stop.clone()));
        let sealing = parts.sealer.expect("a file is named");
        sealer.spawn(sealing.run(stop_sealer.clone()));
        let rig = Rig {
            front: Rc::new(cache.front()),
            store: Arc::clone(&self.store),
            counted: Counted(renderer),
            clock,
            cache,
            stop,
        };
        Process {
            rig,
            database_clock: self.clock.clone(),
            tasks,
            sealer,
            stop_sealer,
        }
    }

    /// Starts a process, fills memory, ends it: the set is sealed.
    async fn seal(&self) {
        let process = self.start();
        within(process.rig.cache.filled()).await;
        process.end().await;
        assert_eq!(self.files(), ["set"]);
    }

    /// Starts a process when the database is gone, `later`.
    async fn start_without_database(&self, later: Duration) -> Process {
        self.clock.advance(later);
        self.store.break_down(true);
        let process = self.start();
        within(process.rig.cache.filled()).await;
        process
    }
}

impl Process {
    /// Lets time pass, for the database, too.
    async fn pass(&self, time: Duration) {
        let step = Duration::from_millis(100);
        for _ in 0..time.as_millis() / step.as_millis() {
            self.database_clock.advance(step);
            self.rig.pass(step).await;
        }
    }

    /// Ends it in good order: the set is sealed once more.
    async fn end(mut self) {
        self.stop_sealer.cancel();
        while let Some(ended) = within(self.sealer.join_next()).await {
            ended.unwrap();
        }
    }

    /// Ends it as kill -9 does.
    async fn kill(mut self) {
        self.sealer.shutdown().await;
        self.tasks.shutdown().await;
    }

    async fn ask(&self, key: &ApiKey) -> Got {
        self.rig.ask(key).await
    }

    /// The value of a series of `/metrics`.
    fn metric(&self, series: &str) -> u32 {
        let text = self.rig.counted.0.render();
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value
            .unwrap_or_else(|| panic!("no {series}"))
            .parse()
            .unwrap()
    }

    fn writes(&self, result: &str) -> u32 {
        self.metric(&format!("keyward_seal_writes_total{{result=\"{result}\"}}"))
    }

    fn loads(&self, result: &str) -> u32 {
        self.metric(&format!("keyward_seal_loads_total{{result=\"{result}\"}}"))
    }

    fn age(&self) -> Duration {
        self.rig.cache.state().age.expect("memory is filled")
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_without_the_database_serves_the_keys_that_were_sealed() {
    let log = Log::default();
    let _listening = log.listen();
    let machine = Machine::new(&keys(1..1_000));
    machine.seal().await;
    let process = machine.start_without_database(10 * SECOND).await;
    for key in &keys(1..1_000) {
        assert_eq!(process.ask(key).await, Ok(key.id));
    }
    let state = process.rig.cache.state();
    assert!(state.is_sealed && !state.is_complete);
    assert_eq!(state.age, Some(10 * SECOND));
    assert_eq!(state.freshness, Freshness::Degraded);
    assert_eq!(process.loads("loaded"), 1);
    assert_eq!(process.metric("keyward_cache_sealed"), 1);
    let said = log.text();
    assert_eq!(said.matches("served from the sealed set").count(), 1);
    assert!(said.contains("confirmed_secs_ago=10"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_not_sealed_is_unavailable_and_never_unknown() {
    let machine = Machine::new(&keys(1..3));
    machine.seal().await;
    let process = machine.start_without_database(SECOND).await;
    for _ in 0..3 {
        assert_eq!(process.ask(&key(9)).await, Err(UNAVAILABLE));
        process.pass(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_set_so_young_that_it_is_fresh_is_no_proof_that_a_key_is_unknown() {
    let machine = Machine::new(&keys(1..3));
    machine.seal().await;
    machine.store.gates.find.close();
    let process = machine.start_without_database(Duration::ZERO).await;
    assert_eq!(process.rig.cache.state().freshness, Freshness::Fresh);
    let mut asking = Vec::new();
    for n in 100..300 {
        asking.push(process.rig.asking(&key(n)).await);
    }
    // Past the budget for look-ups a whole and fresh memory would say that there is no such key.
    let mut answered = 0;
    for asking in &mut asking {
        if asking.has_answer().await {
            assert_eq!(asking.got, Some(Err(UNAVAILABLE)));
            answered += 1;
        }
    }
    assert!(answered > 100, "{answered}");
}

#[tokio::test(start_paused = true)]
async fn a_sealed_key_permits_what_it_did_and_expires_by_the_databases_clock() {
    let at = |secs| UnixTime::from_secs(START.as_secs() + secs);
    let (mut scoped, mut disabled, mut expiring, mut rotated) = (key(1), key(2), key(3), key(4));
    scoped.scope = ModelScope::from_request(Some(&["m1", "meta/*"])).unwrap();
    disabled.disabled_at = Some(START);
    expiring.expires_at = Some(at(7_200 + 60));
    rotated.old = Some(OldDigest {
        digest: KeyDigest::of(b"old-text"),
        until: at(7_200 + 30),
    });
    let mut machine = Machine::new(&[scoped, disabled, expiring, rotated]);
    // The database's clock is two hours ahead of everybody's.
    machine.store.set_ahead(2 * HOUR);
    machine.seal().await;
    for ahead_secs in [0, 20] {
        // And this machine's is set a little otherwise, which makes the set as much older.
        machine.ahead_secs = ahead_secs;
        let process = machine.start_without_database(SECOND).await;
        let rig = &process.rig;
        let old = rig.front.grant(presented("old-text")).await.unwrap();
        let may_old = || {
            old.check(
                Purpose::Calling,
                NamedModel::NotNeeded,
                rig.clock.unix_time(),
            )
        };
        assert!(old.is_old_text() && may_old().is_ok());
        assert!(rig.permits(&key(1), "m1").await && rig.permits(&key(1), "meta/x").await);
        assert!(!rig.permits(&key(1), "m2").await);
        assert!(!rig.permits(&key(2), "m1").await);
        assert!(rig.permits(&key(3), "m1").await && rig.permits(&key(4), "m1").await);
        if ahead_secs == 20 {
            process.pass(10 * SECOND).await;
            assert!(may_old().is_err());
            assert!(rig.permits(&key(3), "m1").await);
            process.pass(30 * SECOND).await;
            assert!(!rig.permits(&key(3), "m1").await);
            assert!(rig.permits(&key(4), "m1").await);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sealed_set_is_served_until_max_stale_counted_from_its_confirmation() {
    let mut machine = Machine::new(&keys(1..3));
    machine.config.max_stale = 100 * SECOND;
    machine.seal().await;
    let process = machine.start_without_database(60 * SECOND).await;
    process.pass(39 * SECOND).await;
    assert_eq!(process.ask(&key(1)).await, Ok(key(1).id));
    process.pass(2 * SECOND).await;
    assert_eq!(process.ask(&key(1)).await, Err(UNAVAILABLE));
    assert_eq!(process.rig.cache.state().freshness, Freshness::Stale);
    // A restart gives it no new life.
    process.kill().await;
    let process = machine.start();
    process.pass(10 * SECOND).await;
    assert_eq!(process.ask(&key(1)).await, Err(UNAVAILABLE));
    assert_eq!(process.loads("too_old"), 1);
}

#[tokio::test(start_paused = true)]
async fn one_start_after_the_other_without_the_database_makes_a_set_no_younger() {
    let machine = Machine::new(&keys(1..3));
    machine.seal().await;
    for round in 1..6 {
        let process = machine.start_without_database(60 * SECOND).await;
        process.pass(40 * SECOND).await;
        assert_eq!(process.age(), round * 100 * SECOND);
        if round % 2 == 0 {
            process.kill().await;
        } else {
            process.end().await;
        }
    }
}

#[rstest]
#[tokio::test(start_paused = true)]
async fn a_key_deleted_before_the_set_was_confirmed_is_never_accepted(
    #[values(0, 1, 5, 29, 31, 45, 90)] secs: u64,
    #[values(true, false)] killed: bool,
) {
    let machine = Machine::new(&keys(1..4));
    let process = machine.start();
    within(process.rig.cache.filled()).await;
    process.pass(20 * SECOND).await;
    process.rig.applied(machine.store.delete(key(1).id)).await;
    process.pass(Duration::from_secs(secs)).await;
    if killed {
        process.kill().await;
    } else {
        process.end().await;
    }
    let process = machine.start_without_database(SECOND).await;
    assert_eq!(process.ask(&key(2)).await, Ok(key(2).id));
    match process.ask(&key(1)).await {
        // What was sealed is from before the deletion, and says so.
        Ok(_) => assert!(killed && process.age() > Duration::from_secs(secs)),
        refused => assert_eq!(refused, Err(UNAVAILABLE)),
    }
    if secs > 31 {
        assert_eq!(process.ask(&key(1)).await, Err(UNAVAILABLE));
    }
}

#[tokio::test(start_paused = true)]
async fn a_database_that_comes_back_takes_over_without_a_moment_without_keys() {
    let machine = Machine::new(&keys(1..4));
    machine.seal().await;
    machine.store.put_unlogged(&key(4));
    machine.store.delete_unlogged(key(1).id);
    let process = machine.start_without_database(SECOND).await;
    process.pass(20 * SECOND).await;
    let gates = &machine.store.gates;
    let steps = [
        &gates.snapshot,
        &gates.snapshot_place,
        &gates.snapshot_keys,
        &gates.snapshot_done,
    ];
    for gate in steps {
        gate.close();
    }
    machine.store.break_down(false);
    let snapshots = count(&machine.store.calls.snapshot);
    for gate in steps {
        process.rig.passing(gate.somebody_waits()).await;
        for n in 1..4 {
            assert_eq!(process.rig.asking(&key(n)).await.got, Some(Ok(key(n).id)));
        }
        assert!(process.rig.cache.state().is_sealed);
        gate.open();
    }
    process.pass(SECOND).await;
    assert!(count(&machine.store.calls.snapshot) - snapshots <= 2);
    assert_eq!(process.ask(&key(1)).await, Err(LookupError::Unknown));
    for n in 2..5 {
        assert_eq!(process.ask(&key(n)).await, Ok(key(n).id));
    }
    let state = process.rig.cache.state();
    assert!(!state.is_sealed && state.is_complete);
    assert_eq!(state.freshness, Freshness::Fresh);
    assert_eq!(process.metric("keyward_cache_sealed"), 0);
    process.pass(2 * SECOND).await;
    assert_eq!(process.writes("written"), 1);
}

#[tokio::test(start_paused = true)]
async fn many_processes_with_a_sealed_set_do_not_come_back_together() {
    let machine = Machine::new(&keys(1..3));
    machine.seal().await;
    let mut processes = Vec::new();
    for _ in 0..20 {
        processes.push(machine.start_without_database(Duration::ZERO).await);
    }
    processes[0].pass(10 * SECOND).await;
    machine.store.break_down(false);
    let snapshots = count(&machine.store.calls.snapshot);
    let mut each_step = Vec::new();
    for _ in 0..20 {
        processes[0].pass(Duration::from_millis(100)).await;
        each_step.push(count(&machine.store.calls.snapshot) - snapshots);
    }
    // Each fills once, all within a second, and not all in the same moment.
    assert_eq!(each_step.last(), Some(&20));
    assert!(each_step[0] < 20, "{each_step:?}");
    for process in &processes {
        assert_eq!(process.ask(&key(1)).await, Ok(key(1).id));
        assert!(!process.rig.cache.state().is_sealed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_after_a_sealed_start_is_looked_into_before_anything_is_accepted() {
    let machine = Machine::new(&keys(1..3));
    machine.seal().await;
    let process = machine.start_without_database(SECOND).await;
    process.pass(10 * SECOND).await;
    assert_eq!(process.ask(&key(1)).await, Ok(key(1).id));
    machine.store.break_down(false);
    machine.store.deafen();
    machine.store.delete(key(1).id);
    process.rig.pause(10 * SECOND);
    assert_eq!(process.ask(&key(1)).await, Err(LookupError::Unknown));
    assert_eq!(process.ask(&key(2)).await, Ok(key(2).id));
}

#[tokio::test(start_paused = true)]
async fn a_pause_after_a_sealed_start_that_ends_in_the_outage_costs_one_short_wait() {
    let machine = Machine::new(&keys(1..3));
    machine.seal().await;
    let process = machine.start_without_database(SECOND).await;
    process.pass(10 * SECOND).await;
    process.rig.pause(10 * SECOND);
    let mut caller = process.rig.asking(&key(1)).await;
    assert!(caller.got.is_none());
    process.pass(SECOND).await;
    assert!(caller.has_answer().await);
    assert_eq!(caller.answer().await, Ok(key(1).id));
    assert_eq!(process.rig.asking(&key(1)).await.got, Some(Ok(key(1).id)));
}
