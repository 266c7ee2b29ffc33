//! A start without the database, from a sealed set of a million keys.

use std::fs;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use crate::fleet::{Fleet, PATIENCE, nobodys};
use crate::tell;
use crate::wire::{Caller, call};

const KEYS: u64 = 1_000_000;
const SETTINGS: &str = "[cache]\nkeys = 1200000\nseal = \"keyward.seal\"\nseal_every = \"1s\"";
/// How long a set that must not be taken is given.
const LONG_ENOUGH: Duration = Duration::from_secs(5);

const MANY: &str = "INSERT INTO api_keys (id, prefix, digest, category, scope, org_id, team_id) \
    SELECT '01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'), 'old-' || n, sha256(n::text::bytea), \
           'WORKSPACE_INVOKE', '[\"llama\"]', t.org_id, t.id \
    FROM generate_series(1, $1::bigint) n, teams t WHERE t.is_default";

/// The start, and what is refused.
pub async fn run() {
    let mut fleet = Fleet::start(1, SETTINGS).await;
    let key = fleet.keys.create(&["llama"]).await;
    let mut session = fleet.session().await;
    let made = sqlx::query(MANY)
        .bind(KEYS.cast_signed())
        .execute(&mut session);
    made.await.expect("room for a million keys");
    let sidecar = &mut fleet.sidecars[0];
    // It starts anew, so that memory is filled and not followed into.
    sidecar.kill();
    let seal = sidecar.path("keyward.seal");
    fs::remove_file(&seal).expect("the empty set was sealed");
    let begun = Instant::now();
    sidecar.start();
    sidecar.until_ready().await;
    let filled = begun.elapsed();
    let sealed = async {
        // A million records of a digest and what it may.
        while fs::metadata(&seal).map_or(0, |file| file.len()) < 32 * KEYS {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, sealed)
        .await
        .unwrap_or_else(|_| unreachable!("the set is not sealed: {}", sidecar.log()));
    let bytes = fs::metadata(&seal).map_or(0, |file| file.len());
    sidecar.kill();
    fleet.postgres.stop();

    let begun = Instant::now();
    sidecar.start();
    sidecar.until_ready().await;
    let started = begun.elapsed();
    let memory = sidecar.resident_bytes() / 1_000_000;
    let mut caller = Caller::new(sidecar.proxy);
    let known = caller.send(call("llama", &key.text).as_bytes()).await;
    let unknown = caller.send(call("llama", &nobodys(1)[0]).as_bytes()).await;
    tell(&format!(
        "\n## Cold start with {KEYS} keys\n\n| | |\n|---|---|\n\
         | ready, filled from Postgres | {filled:.2?} |\n| sealed set | {bytes} bytes |\n\
         | ready, from the sealed set, Postgres stopped | {started:.2?} |\n| resident | {memory} MB |\n\
         | known key | {known:?} |\n| unknown key | {unknown:?} |"
    ));
    sidecar.kill();
    let whole = fs::read(&seal).expect("it is ours");
    let mut altered = whole.clone();
    altered[whole.len() / 2] ^= 1;
    for (what, bytes) in [("torn", &whole[..whole.len() / 2]), ("altered", &altered)] {
        fs::write(&seal, bytes).expect("it is ours");
        sidecar.start();
        let ready = timeout(LONG_ENOUGH, sidecar.until_ready()).await.is_ok();
        tell(&format!(
            "| {what} set taken within {LONG_ENOUGH:.0?} | {ready} |"
        ));
        sidecar.kill();
    }
    fleet.postgres.start_again();
}
