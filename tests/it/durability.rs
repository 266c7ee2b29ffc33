//! kill -9 under load: what was answered stays, whatever the process was at (SECURITY E1).
//!
//! The system's page cache outlives the process, so that this shows what keyward promises, and not what a disk does
//! when the power fails: for that SQLite syncs (`store/sqlite/file.rs`).

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::Method;
use keyward::key::KeyDigest;
use keyward::server::Addresses;
use rustix::process::Signal;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tokio::sync::watch;

use crate::support::admin::TOKEN;
use crate::support::keyward::KeywardProcess;
use crate::support::raw::{RawAnswer, RawConnection};

const ROUNDS: usize = 50;
const CLIENTS: u64 = 6;
/// A round ends after so many changes were answered, or fewer.
const MOST_CHANGES: u64 = 80;
/// What a start may take.
const START: Duration = Duration::from_secs(5);

#[tokio::test]
async fn fifty_kills_lose_no_answered_key_and_undo_no_answered_deletion() {
    let seed = {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).unwrap();
        u64::from_le_bytes(bytes)
    };
    println!("seed {seed:#x}");
    let mut dice = Dice(seed);
    let settings = "usage.flush_every = \"20ms\"\nusage.first_within = \"10ms\"\n";
    let mut keyward = KeywardProcess::start(settings).await;
    keyward.kill();
    let ledger = Ledger::default();
    for round in 0..ROUNDS {
        if dice.below(5) == 0 {
            keyward.spawn_again();
            pause(dice.below(150_000)).await;
            keyward.kill();
        }
        start(&mut keyward, &ledger, &mut dice).await;
        let changes = 1 + dice.below(MOST_CHANGES);
        let further_micros = dice.below(15_000);
        println!("round {round}: killed {further_micros} µs after {changes} answered changes");
        let addresses = keyward.addresses;
        let clients = (0..CLIENTS).map(|_| work(addresses, &ledger, Dice(dice.next())));
        let killer = async {
            ledger.answered(changes).await;
            pause(further_micros).await;
            ledger.state().is_killed = true;
            keyward.kill();
        };
        tokio::join!(join_all(clients), killer);
        ledger.settle(&Kept::look(&keyward).await);
    }
    start(&mut keyward, &ledger, &mut dice).await;
    keyward.signal(Signal::TERM);
    assert_eq!(keyward.exit_code().await, Some(0));
    ledger.settle(&Kept::look(&keyward).await);
}

/// How a round begins: in time, and everything there as it was answered.
async fn start(keyward: &mut KeywardProcess, ledger: &Ledger, dice: &mut Dice) {
    let began = Instant::now();
    keyward.spawn_again();
    keyward.ready_again().await;
    let took = began.elapsed();
    assert!(took < START, "the start took {took:?}");
    let list = keyward.administer(Method::GET, "/v1/api_keys").send().await;
    let list = list.json();
    let listed = list["keys"].as_array().expect("a list of keys");
    let listed = listed.iter().filter_map(|key| key["prefix"].as_str());
    let listed: BTreeSet<String> = listed.map(str::to_owned).collect();
    assert_eq!(listed, ledger.state().listed);
    let mut data = keyward.raw().await;
    for _ in 0..4 {
        let (live, deleted) = {
            let state = ledger.state();
            (
                dice.pick(&state.live).cloned(),
                dice.pick(&state.deleted).cloned(),
            )
        };
        for (key, status) in [(live, 200), (deleted, 401)] {
            let Some(key) = key else { continue };
            assert_eq!(data.call(calling(&key)).await.status(), status, "{key}");
        }
    }
}

/// Does what clients do, until the process is gone.
async fn work(addresses: Addresses, ledger: &Ledger, mut dice: Dice) {
    let (Some(mut admin), Some(mut data)) = (
        ledger.connect(addresses.admin).await,
        ledger.connect(addresses.proxy).await,
    ) else {
        return;
    };
    loop {
        let went_on = match dice.below(10) {
            0..5 => create(&mut admin, &mut data, ledger).await,
            5..7 => delete(&mut admin, &mut data, ledger, &mut dice).await,
            _ => call(&mut data, ledger, &mut dice).await,
        };
        if went_on.is_none() {
            return;
        }
    }
}

async fn create(
    admin: &mut RawConnection,
    data: &mut RawConnection,
    ledger: &Ledger,
) -> Option<()> {
    ledger.state().creations_in_flight += 1;
    let wish = r#"{"type":"WORKSPACE_INVOKE"}"#;
    let answer = ledger
        .ask(admin, managing("POST", "/v1/api_keys", wish))
        .await?;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let json = answer.json();
    let key = json["api_key"].as_str().expect("a key").to_owned();
    ledger.created(&key);
    let answer = ledger.ask(data, calling(&key)).await?;
    // Another client may have deleted it already.
    assert!(matches!(answer.status(), 200 | 401), "{}", answer.text());
    Some(())
}

async fn delete(
    admin: &mut RawConnection,
    data: &mut RawConnection,
    ledger: &Ledger,
    dice: &mut Dice,
) -> Option<()> {
    let Some(key) = ledger.leave(dice) else {
        return Some(());
    };
    let path = format!("/v1/api_keys/{}", prefix_of(&key));
    let answer = ledger.ask(admin, managing("DELETE", &path, "")).await?;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    ledger.deleted(&key);
    let answer = ledger.ask(data, calling(&key)).await?;
    assert_eq!(answer.status(), 401, "{}", answer.text());
    Some(())
}

async fn call(data: &mut RawConnection, ledger: &Ledger, dice: &mut Dice) -> Option<()> {
    let key = dice.pick(&ledger.state().deleted).cloned();
    let Some(key) = key else { return Some(()) };
    let answer = ledger.ask(data, calling(&key)).await?;
    assert_eq!(answer.status(), 401, "{}", answer.text());
    Some(())
}

fn managing(method: &str, path: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Api-Key {TOKEN}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn calling(key: &str) -> String {
    format!(
        "POST /models/m1/predict HTTP/1.1\r\nhost: localhost\r\nauthorization: Api-Key {key}\r\n\
         content-length: 2\r\n\r\n{{}}"
    )
}

/// What was answered, over all rounds; what was asked and not answered, in this one.
#[derive(Default)]
struct Ledger {
    state: Mutex<State>,
    changes_answered: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    live: Vec<String>,
    deleted: Vec<String>,
    /// Their deletion was asked for and not answered.
    leaving: Vec<String>,
    creations_in_flight: usize,
    /// Keys that are there though their creation was not answered: nobody knows their text.
    nameless: Vec<KeyDigest>,
    /// The prefixes of all that live.
    listed: BTreeSet<String>,
    is_killed: bool,
}

impl Ledger {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics with it")
    }

    /// Connects; nothing once the process was killed.
    async fn connect(&self, address: SocketAddr) -> Option<RawConnection> {
        match tokio::net::TcpStream::connect(address).await {
            Ok(stream) => Some(RawConnection::over(stream)),
            Err(error) => {
                assert!(self.state().is_killed, "{error}");
                None
            }
        }
    }

    /// The whole answer, or nothing because the process was killed.
    async fn ask(&self, connection: &mut RawConnection, request: String) -> Option<RawAnswer> {
        let answer = async {
            connection.try_write(request).await.ok()?;
            let head = connection.try_read_head().await?;
            let body = connection.read_body(&head).await;
            body.is_complete.then_some(RawAnswer { head, body })
        };
        let answer = answer.await;
        assert!(
            answer.is_some() || self.state().is_killed,
            "the connection broke while the process ran"
        );
        answer
    }

    fn created(&self, key: &str) {
        let mut state = self.state();
        state.creations_in_flight -= 1;
        state.live.push(key.to_owned());
        self.changes_answered.send_modify(|count| *count += 1);
    }

    /// A key whose deletion is going to be asked for.
    fn leave(&self, dice: &mut Dice) -> Option<String> {
        let mut state = self.state();
        let count = state.live.len() as u64;
        if count == 0 {
            return None;
        }
        let place = usize::try_from(dice.below(count)).expect("a place");
        let key = state.live.swap_remove(place);
        state.leaving.push(key.clone());
        Some(key)
    }

    fn deleted(&self, key: &str) {
        let mut state = self.state();
        state.leaving.retain(|each| each != key);
        state.deleted.push(key.to_owned());
        self.changes_answered.send_modify(|count| *count += 1);
    }

    /// Waits until so many changes were answered in this round.
    async fn answered(&self, changes: u64) {
        let mut answered = self.changes_answered.subscribe();
        let enough = answered.wait_for(|count| *count >= changes).await;
        drop(enough.expect("we hold the sender"));
    }

    /// Compares what is kept with what was answered; what was not answered is from now on as it is kept.
    fn settle(&self, kept: &Kept) {
        assert_eq!(kept.integrity, ["ok"]);
        let mut state = self.state();
        let state = &mut *state;
        for key in std::mem::take(&mut state.leaving) {
            match kept.is_deleted(&key) {
                Some(true) => state.deleted.push(key),
                _ => state.live.push(key),
            }
        }
        for key in &state.live {
            assert_eq!(kept.is_deleted(key), Some(false), "lost: {key}");
        }
        for key in &state.deleted {
            assert_eq!(kept.is_deleted(key), Some(true), "undone: {key}");
        }
        let answered = state.live.iter().chain(&state.deleted);
        let mut known: BTreeSet<Vec<u8>> = answered.map(|key| digest_of(key)).collect();
        known.extend(
            state
                .nameless
                .iter()
                .map(|digest| digest.as_bytes().to_vec()),
        );
        let of_nobody = kept.keys.keys().filter(|digest| !known.contains(*digest));
        let of_nobody: Vec<KeyDigest> = of_nobody
            .map(|digest| KeyDigest::from_bytes(digest.as_slice().try_into().expect("32 bytes")))
            .collect();
        assert!(of_nobody.len() <= state.creations_in_flight);
        state.nameless.extend(of_nobody);
        state.creations_in_flight = 0;
        state.is_killed = false;
        self.changes_answered.send_replace(0);
        for digest in &state.nameless {
            let is_deleted = kept.keys.get(digest.as_bytes().as_slice());
            assert_eq!(is_deleted, Some(&false), "lost, though it was there");
        }
        for (digest, is_deleted) in &kept.keys {
            let entries = kept.log.get(digest).copied().unwrap_or_default();
            assert_eq!(
                entries,
                1 + i64::from(*is_deleted),
                "entries of the change log"
            );
        }
        assert_eq!(kept.log.len(), kept.keys.len(), "the log names other keys");
        state.listed.clone_from(&kept.listed);
    }
}

/// What the database file holds.
struct Kept {
    integrity: Vec<String>,
    /// By digest: whether the key is deleted.
    keys: HashMap<Vec<u8>, bool>,
    /// The prefixes of keys that are not.
    listed: BTreeSet<String>,
    /// By digest: how many entries the change log has.
    log: HashMap<Vec<u8>, i64>,
}

impl Kept {
    /// Looks at a copy, so that the next start finds what the kill left and not what we made of it.
    async fn look(keyward: &KeywardProcess) -> Self {
        let copy = keyward.path("copy.db");
        fs::copy(keyward.path("keyward.db"), &copy).expect("a database is there");
        let (log, copied_log) = (keyward.path("keyward.db-wal"), keyward.path("copy.db-wal"));
        if log.exists() {
            fs::copy(log, copied_log).expect("the directory is ours");
        } else {
            assert!(!copied_log.exists(), "closing the last copy took it in");
        }
        let options = SqliteConnectOptions::new().filename(&copy);
        let mut connection = options.connect().await.unwrap();
        let integrity = sqlx::query_scalar("PRAGMA integrity_check")
            .fetch_all(&mut connection)
            .await;
        let keys: Vec<(Vec<u8>, String, bool)> =
            sqlx::query_as("SELECT digest, prefix, deleted_at IS NOT NULL FROM api_keys")
                .fetch_all(&mut connection)
                .await
                .unwrap();
        let log: Vec<(Vec<u8>, i64)> =
            sqlx::query_as("SELECT digest, count(*) FROM key_changes GROUP BY digest")
                .fetch_all(&mut connection)
                .await
                .unwrap();
        connection.close().await.unwrap();
        let live = keys.iter().filter(|(.., is_deleted)| !is_deleted);
        Self {
            integrity: integrity.unwrap(),
            listed: live.map(|(_, prefix, _)| prefix.clone()).collect(),
            keys: keys
                .into_iter()
                .map(|(digest, _, is_deleted)| (digest, is_deleted))
                .collect(),
            log: log.into_iter().collect(),
        }
    }

    /// Nothing when the key is not there at all.
    fn is_deleted(&self, key: &str) -> Option<bool> {
        self.keys.get(&digest_of(key)).copied()
    }
}

fn digest_of(key: &str) -> Vec<u8> {
    KeyDigest::of(key.as_bytes()).as_bytes().to_vec()
}

fn prefix_of(key: &str) -> &str {
    key.split('.').next().expect("split yields at least one")
}

/// A moment that the dice chose: nothing is waited for.
async fn pause(micros: u64) {
    tokio::time::sleep(Duration::from_micros(micros)).await;
}

/// Numbers that look random and are the same for one seed (`SplitMix64`).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn pick<'t, T>(&mut self, from: &'t [T]) -> Option<&'t T> {
        let place = self.next() % (from.len().max(1) as u64);
        from.get(usize::try_from(place).expect("a place"))
    }
}
