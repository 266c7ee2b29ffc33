//! The same over a real SQLite file: made, changed and deleted by us, by another connection, by another process, and
//! by hand.

use std::process::Command;

use keyward::key::{KeyFilter, KeySelector, KeyUpdate, NewSecret, Purpose, Rotation};
use keyward::store::KeyStore;
use keyward::usage::{UsageConfig, UsageRecorder};
use rstest::rstest;

use super::*;
use crate::support::store::{Database, new_key, new_secret, open};

/// A cache that follows a file.
struct Live {
    database: Database,
    clock: Clock,
    cache: KeyCache,
    front: WorkerFront,
    stop: CancellationToken,
}

impl Live {
    async fn start() -> Self {
        let database = Database::sqlite().await;
        let clock = Clock::system();
        let (cache, tasks) = KeyCache::new(
            Arc::clone(&database.store),
            &CacheConfig::default(),
            clock.clone(),
            Metrics::unrecorded().cache,
        );
        let stop = CancellationToken::new();
        Handle::current().spawn(tasks.follower.run(stop.clone()));
        Handle::current().spawn(tasks.loader.run(stop.clone()));
        within(cache.filled()).await;
        Self {
            front: cache.front(),
            database,
            clock,
            cache,
            stop,
        }
    }

    fn store(&self) -> &dyn KeyStore {
        &*self.database.store
    }

    async fn make(&self) -> (NewSecret, ApiKey) {
        make(self.store()).await
    }

    async fn ask(&self, secret: &NewSecret) -> Result<LocalGrant, LookupError> {
        self.front.grant(presented(secret.reveal())).await
    }

    /// What a caller may do for model `m1`.
    async fn may(&self, secret: &NewSecret) -> bool {
        let Ok(grant) = self.ask(secret).await else {
            return false;
        };
        let model = NamedModel::Named(ModelId::new("m1"));
        grant
            .permit(Purpose::Calling, model, self.clock.unix_time())
            .is_ok()
    }

    /// Returns when what a caller may do has become that.
    async fn comes_to(&self, secret: &NewSecret, may: bool) {
        let becomes = async {
            while self.may(secret).await != may {
                sleep(Duration::from_millis(1)).await;
            }
        };
        within(becomes).await;
    }

    async fn applied(&self, place: Cursor) {
        let mut applied = self.cache.applied();
        within(applied.wait_for(|applied| *applied >= place))
            .await
            .expect("the cache lives");
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn make(store: &dyn KeyStore) -> (NewSecret, ApiKey) {
    let secret = new_secret();
    let mut new = new_key();
    new.prefix = secret.prefix();
    new.digest = secret.digest();
    let (key, _) = store.insert(&new).await.unwrap();
    (secret, key)
}

/// Who does something to the file.
#[derive(Debug, Clone, Copy)]
enum By {
    AnotherConnection,
    AnotherProcess,
    Hand,
}

/// Runs our own command line on the file.
async fn command(live: &Live, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyward"));
    command
        .args(["org", "api-key"])
        .args(args)
        .args(["--database", &live.database.config.url]);
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn what_we_delete_is_refused_once_it_is_applied() {
    let live = Live::start().await;
    for _ in 0..20 {
        let (secret, key) = live.make().await;
        assert!(live.may(&secret).await);
        let which = KeySelector::Id(key.id);
        let (_, place) = live.store().delete(&which).await.unwrap();
        live.applied(place).await;
        assert_eq!(got(live.ask(&secret).await), Err(LookupError::Unknown));
    }
}

#[rstest]
#[tokio::test]
async fn what_others_delete_is_refused(
    #[values(By::AnotherConnection, By::AnotherProcess, By::Hand)] by: By,
) {
    let live = Live::start().await;
    let (secret, key) = live.make().await;
    let (other, _) = live.make().await;
    assert!(live.may(&secret).await);
    match by {
        By::AnotherConnection => {
            let store = open(&live.database.config).await;
            store.delete(&KeySelector::Id(key.id)).await.unwrap();
        }
        By::AnotherProcess => {
            command(&live, &["delete", "--prefix", key.prefix.as_str()]).await;
        }
        By::Hand => {
            let sql = format!("DELETE FROM api_keys WHERE id = '{}'", key.id);
            live.database.by_hand(&sql).await;
        }
    }
    live.comes_to(&secret, false).await;
    assert_eq!(got(live.ask(&secret).await), Err(LookupError::Unknown));
    assert!(live.may(&other).await);
}

#[rstest]
#[case::tombstone("UPDATE api_keys SET deleted_at = unixepoch()")]
#[case::disabled("UPDATE api_keys SET disabled_at = unixepoch()")]
#[case::expired("UPDATE api_keys SET expires_at = unixepoch() - 1")]
#[case::scope("UPDATE api_keys SET scope = '[\"m2\"]'")]
#[case::category("UPDATE api_keys SET category = 'WORKSPACE_EXPORT_METRICS'")]
#[case::another_text("UPDATE api_keys SET digest = randomblob(32)")]
#[case::row_that_is_no_key("UPDATE api_keys SET scope = 'nonsense'")]
#[case::lost_log("UPDATE api_keys SET deleted_at = 1; DELETE FROM key_changes")]
#[case::replaced(
    "INSERT OR REPLACE INTO api_keys (id, prefix, digest, category, org_id)
     SELECT id, prefix, randomblob(32), category, org_id FROM api_keys"
)]
#[tokio::test]
async fn what_is_changed_by_hand_is_in_force(#[case] sql: &str) {
    let live = Live::start().await;
    let (secret, _) = live.make().await;
    live.comes_to(&secret, true).await;
    live.database.by_hand(sql).await;
    live.comes_to(&secret, false).await;
}

#[tokio::test]
async fn what_is_given_back_by_hand_works_again() {
    let live = Live::start().await;
    let (secret, _) = live.make().await;
    for _ in 0..5 {
        live.database
            .by_hand("UPDATE api_keys SET disabled_at = 1")
            .await;
        live.comes_to(&secret, false).await;
        live.database
            .by_hand("UPDATE api_keys SET disabled_at = NULL")
            .await;
        live.comes_to(&secret, true).await;
    }
}

#[tokio::test]
async fn a_key_made_by_another_process_works_at_once() {
    let live = Live::start().await;
    for _ in 0..3 {
        let answer = command(&live, &["create", "--type", "personal", "-o", "json"]).await;
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        let text = answer["api_key"].as_str().unwrap();
        assert!(live.front.grant(presented(text)).await.is_ok());
    }
}

#[tokio::test]
async fn a_rotated_key_has_two_texts_until_its_grace_ends_and_none_after_its_deletion() {
    let live = Live::start().await;
    let (old, key) = live.make().await;
    let new = new_secret();
    let rotation = KeyUpdate {
        rotate: Some(Rotation {
            digest: new.digest(),
            prefix: new.prefix(),
            grace_secs: 2,
        }),
        ..KeyUpdate::default()
    };
    let which = KeySelector::Id(key.id);
    let (_, place) = live.store().update(&which, &rotation).await.unwrap();
    live.applied(place).await;
    assert!(live.may(&new).await);
    assert!(live.may(&old).await);
    assert!(live.ask(&old).await.unwrap().is_old_text());
    live.comes_to(&old, false).await;
    assert!(live.may(&new).await);
    let (_, place) = live.store().delete(&which).await.unwrap();
    live.applied(place).await;
    assert_eq!(got(live.ask(&new).await), Err(LookupError::Unknown));
    assert_eq!(got(live.ask(&old).await), Err(LookupError::Unknown));
}

#[tokio::test]
async fn a_first_use_is_seen_in_the_list_within_two_seconds() {
    let live = Live::start().await;
    let (recorder, flusher) = UsageRecorder::new(
        Arc::clone(&live.database.store),
        &UsageConfig::default(),
        Metrics::unrecorded().usage,
    );
    Handle::current().spawn(flusher.run(live.stop.clone()));
    let (secret, _) = live.make().await;
    let grant = live.ask(&secret).await.unwrap();
    let now = live.clock.unix_time();
    let permit = grant
        .permit(Purpose::Calling, NamedModel::NotNeeded, now)
        .unwrap();
    recorder.touch(&permit, now);
    let began = tokio::time::Instant::now();
    let seen = async {
        loop {
            let keys = live.store().list(&KeyFilter::default()).await.unwrap();
            if keys[0].last_used_at == Some(now) {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    within(seen).await;
    assert!(began.elapsed() < Duration::from_secs(2));
}
