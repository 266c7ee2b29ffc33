//! Floods through sockets: what the real program asks its database, and what it keeps of them (SECURITY 3.6).

use futures_util::future::join_all;
use keyward::key::{ENTROPY_BYTES, NewSecret};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::support::keyward::{KeywardProcess, TestKey, post};

/// Memory holds two of the keys. Few callers may wait for a look-up: the others are refused at once.
const SETTINGS: &str = "cache.keys = 2\ncache.unknown_keys = 1000\ncache.lookups_per_second = 100\n\
    cache.lookups_waiting = 4\ncache.lookup_timeout = \"30s\"\n";
const FIND: &str = r#"keyward_store_query_duration_seconds_count{query="find"}"#;
const CONNECTIONS: usize = 50;
/// What an allocator may keep for itself, in bytes. A flood that was remembered would take 100 bytes a text at least,
/// 8 MB in all.
const NOISE: u64 = 4 * 1024 * 1024;

/// A text that is formed as a key, or one whose checksum is wrong.
fn text(number: u64, is_well_formed: bool) -> TestKey {
    let mut entropy = [0; ENTROPY_BYTES];
    for (place, bytes) in (0_u64..).zip(entropy.chunks_mut(8)) {
        bytes.copy_from_slice(&xxh3_64_with_seed(&number.to_le_bytes(), place).to_le_bytes());
    }
    let secret = NewSecret::from_entropy(&entropy).expect("hashes are spread evenly enough");
    let mut text = secret.reveal().to_owned();
    if !is_well_formed {
        let last = text.pop().expect("a text is not empty");
        text.push(if last == '0' { '1' } else { '0' });
    }
    TestKey {
        prefix: secret.prefix().to_string(),
        text,
    }
}

/// Calls with these keys, over many connections and on each without waiting for an answer; all answers' statuses.
async fn call_at_once(keyward: &KeywardProcess, keys: &[TestKey]) -> Vec<u16> {
    let calls = keys.chunks(keys.len().div_ceil(CONNECTIONS));
    let calls = calls.map(|keys| async move {
        let mut connection = keyward.raw().await;
        let mut statuses = Vec::with_capacity(keys.len());
        for some in keys.chunks(20) {
            let requests: Vec<String> = some
                .iter()
                .map(|key| post("/models/beta/predict", key, ""))
                .collect();
            connection.write(requests.concat()).await;
            for _ in some {
                statuses.push(connection.read_answer().await.status());
            }
        }
        statuses
    });
    join_all(calls).await.concat()
}

fn resident_bytes(keyward: &KeywardProcess) -> u64 {
    let statm = format!("/proc/{}/statm", keyward.pid().as_raw_nonzero());
    let statm = std::fs::read_to_string(statm).expect("the process runs");
    let pages = statm.split(' ').nth(1).expect("the second is what resides");
    pages.parse::<u64>().expect("a number") * 4096
}

#[tokio::test]
async fn ten_thousand_calls_at_once_with_one_cold_key_make_one_query() {
    let keyward = KeywardProcess::start(SETTINGS).await;
    let mut keys = Vec::new();
    for _ in 0..5 {
        keys.push(keyward.key_for(&["alpha"]).await);
    }
    assert!(keyward.metric("keyward_cache_complete").await < 0.5);
    let mut cold = 0;
    for key in keys {
        let before = keyward.metric(FIND).await;
        // Refused after the key is known, so that no upstream counts.
        let statuses = call_at_once(&keyward, &vec![key; 10_000]).await;
        assert_eq!(statuses, vec![403; 10_000]);
        let queries = keyward.metric(FIND).await - before;
        assert!(queries < 1.5, "{queries}");
        cold += u32::from(queries > 0.5);
    }
    // Memory held two of them at most.
    assert!(cold >= 3, "{cold}");
}

#[tokio::test]
async fn a_hundred_thousand_random_keys_make_few_queries_and_leave_memory_flat() {
    let keyward = KeywardProcess::start(SETTINGS).await;
    for (is_well_formed, waves) in [(false, 2), (true, 10)] {
        let begun = std::time::Instant::now();
        let before = keyward.metric(FIND).await;
        let mut resident = 0;
        for wave in 0..waves {
            let from = wave * 10_000;
            let keys: Vec<TestKey> = (from..from + 10_000)
                .map(|number| text(number, is_well_formed))
                .collect();
            let statuses = call_at_once(&keyward, &keys).await;
            let is_refused = |status: &u16| *status == 401 || (is_well_formed && *status == 503);
            assert!(statuses.iter().all(is_refused), "{statuses:?}");
            // What serving takes at all is there after the first.
            if wave == 1 {
                resident = resident_bytes(&keyward);
            }
        }
        let queries = keyward.metric(FIND).await - before;
        let budget = if is_well_formed {
            // A second's worth may have been saved up.
            100.0 * (begun.elapsed().as_secs_f64() + 1.0) + 1.0
        } else {
            0.0
        };
        assert!(queries <= budget, "{queries}, not {budget}");
        let grown = resident_bytes(&keyward).saturating_sub(resident);
        assert!(grown < NOISE, "{grown} bytes");
    }
}
