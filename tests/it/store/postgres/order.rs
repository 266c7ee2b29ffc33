//! What is written at the same time by several: the order of the log, and moments of use.

use keyward::key::{KeyId, UnixTime};
use keyward::store::{Cursor, KeyChange};

use crate::support::store::{Database, in_time, new_key, open};

/// How many wait for a lock in the database now.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND datname = current_database()";

#[tokio::test]
async fn a_number_that_is_taken_first_and_committed_later_is_never_passed_over() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    for ending in ["COMMIT", "ROLLBACK"] {
        let (first, _) = database.store.insert(&new_key()).await.unwrap();
        let (second, before) = database.store.insert(&new_key()).await.unwrap();
        let delete = |key: KeyId| format!("DELETE FROM api_keys WHERE id = '{key}'");
        // It has its place in the log, and nobody can see it yet.
        let mut slow = database.begin_by_hand(&delete(first.id)).await;
        let delete_second = delete(second.id);
        let hasty = database.try_by_hand(&delete_second);
        let meanwhile = async {
            while database.number(WAITING).await == 0 {}
            assert_eq!(database.changes(before).await, []);
            slow.run(ending).await.unwrap();
        };
        let (done, ()) = tokio::join!(Box::pin(in_time(hasty)), Box::pin(in_time(meanwhile)));
        done.unwrap();
        let gone = |key: &keyward::key::ApiKey| KeyChange::Gone(key.digest);
        let expected = match ending {
            "COMMIT" => vec![gone(&first), gone(&second)],
            _ => vec![gone(&second)],
        };
        let batch = database.read_changes(before).await;
        assert_eq!(batch.changes, expected, "{ending}");
        // And no number was left out, which would look like a log that was trimmed.
        assert_eq!(
            batch.cursor,
            Cursor::new(before.seq() + expected.len() as u64)
        );
    }
}

#[tokio::test]
async fn many_writers_of_the_same_moments_never_deadlock_and_never_move_one_back() {
    const KEYS: usize = 300;
    const ROUNDS: u64 = 15;
    let Some(database) = Database::postgres().await else {
        return;
    };
    database.insert_many(KEYS).await;
    let mut ids: Vec<KeyId> = database.fill().await.iter().map(|key| key.id).collect();
    ids.sort_unstable();
    let end = database.end_of_log().await;
    // Each on connections of its own, in an order of its own, with moments that go up, down, and across.
    let writers = (0..4_u64).map(|writer| {
        let (config, mut ids) = (database.config.clone(), ids.clone());
        async move {
            let store = open(&config).await;
            for round in 0..ROUNDS {
                match writer {
                    0 => ids.rotate_left(17),
                    1 => ids.reverse(),
                    _ => ids.sort_unstable_by_key(|id| {
                        let bits = id.as_uuid().as_u128();
                        bits.wrapping_mul(u128::from(round * 2 + writer))
                    }),
                }
                let at = match writer {
                    0 => 1000 + round,
                    1 => 1000 + ROUNDS - round,
                    _ => 1000 + (round * 7 + writer) % ROUNDS,
                };
                let batch: Vec<_> = ids
                    .iter()
                    .map(|id| (*id, UnixTime::from_secs(at)))
                    .collect();
                store.record_last_used(&batch).await.unwrap();
            }
            store.close().await;
        }
    });
    in_time(futures_util::future::join_all(writers)).await;
    let latest = Some(UnixTime::from_secs(1000 + ROUNDS));
    for key in database.fill().await {
        assert_eq!(key.last_used_at, latest);
    }
    assert_eq!(database.end_of_log().await, end);
}
