//! Many callers, many keys, and keys nobody made.

use futures_util::future::join_all;
use keyward::key::{ENTROPY_BYTES, NewSecret};
use rstest::rstest;

use super::*;

/// Room for few keys, and nothing remembered for a test's length that should not be.
fn small(keys: u64) -> CacheConfig {
    CacheConfig {
        keys,
        ..CacheConfig::default()
    }
}

/// Memory over more keys than it has room for.
async fn partial(config: CacheConfig) -> Rig {
    let more = u128::from(config.keys) + 4;
    let rig = Rig::with(config, &keys(1..more)).await;
    rig.pass(Duration::from_millis(100)).await;
    assert!(!rig.cache.state().is_complete);
    rig
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_callers_with_one_cold_key_make_one_query() {
    let rig = partial(small(4)).await;
    let cold = key(99);
    rig.store.put_unlogged(&cold);
    let before = rig.finds();
    let callers = (0..10_000).map(|_| rig.ask(&cold));
    for got in join_all(callers).await {
        assert_eq!(got, Ok(cold.id));
    }
    assert_eq!(rig.finds() - before, 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_about_a_key_that_memory_has_learned_of_since() {
    let config = CacheConfig {
        lookups_per_second: 10,
        ..small(4)
    };
    let rig = partial(config).await;
    // These spend what may be asked at once.
    for n in 200..202 {
        assert_eq!(rig.ask(&key(n)).await, Err(LookupError::Unknown));
    }
    let before = rig.finds();
    let mut caller = rig.asking(&key(99)).await;
    rig.applied(rig.store.put(&key(99))).await;
    assert!(!caller.has_answer().await);
    rig.pass(Duration::from_millis(200)).await;
    assert_eq!(caller.answer().await, Ok(key(99).id));
    assert_eq!(rig.finds() - before, 0);
}

#[tokio::test(start_paused = true)]
async fn a_worker_keeps_a_key_that_memory_does_not_take_in() {
    let rig = partial(small(4)).await;
    // Who is asked for this often is not put out for a newcomer.
    for _ in 0..1_000 {
        for n in 4..8 {
            assert_eq!(rig.ask(&key(n)).await, Ok(key(n).id));
        }
    }
    rig.store.put_unlogged(&key(99));
    let before = rig.finds();
    for _ in 0..10 {
        assert_eq!(rig.ask(&key(99)).await, Ok(key(99).id));
        // Memory does its housekeeping.
        rig.pass(Duration::from_secs(1)).await;
    }
    assert_eq!(rig.finds() - before, 1);
    let digest = presented(&text_of(&key(99))).digest();
    assert!(rig.front.held(&digest).is_none());
    // What it keeps ends with the next change, as all copies do.
    rig.store.delete_unlogged(key(99).id);
    rig.applied(rig.store.put(&key(7))).await;
    assert_eq!(rig.ask(&key(99)).await, Err(LookupError::Unknown));
}

#[tokio::test(start_paused = true)]
async fn a_look_up_goes_on_when_its_caller_goes_away() {
    let rig = partial(small(4)).await;
    let cold = key(99);
    rig.store.put_unlogged(&cold);
    let before = rig.finds();
    rig.store.gates.found.stop_next();
    let caller = rig.asking(&cold).await;
    within(rig.store.gates.found.somebody_waits()).await;
    drop(caller);
    rig.store.gates.found.open();
    settle().await;
    assert_eq!(rig.ask(&cold).await, Ok(cold.id));
    assert_eq!(rig.finds() - before, 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_waits_for_its_look_up_no_longer_than_it_may() {
    let rig = Rig::start().await;
    rig.store.gates.found.close();
    let began = tokio::time::Instant::now();
    assert_eq!(rig.ask(&key(1)).await, Err(UNAVAILABLE));
    assert_eq!(began.elapsed(), CacheConfig::default().lookup_timeout);
}

/// Bytes that look random and are the same in every run (`SplitMix64`).
fn entropy(seed: u64) -> [u8; ENTROPY_BYTES] {
    let mut state = seed.wrapping_mul(0x0123_4567_89ab_cdef);
    let mut bytes = [0; ENTROPY_BYTES];
    for chunk in bytes.chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        chunk.copy_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    bytes
}

fn secret(seed: u64) -> NewSecret {
    NewSecret::from_entropy(&entropy(seed)).expect("enough of them in the alphabet")
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_malformed_keys_make_no_query() {
    let rig = partial(small(4)).await;
    let before = rig.finds();
    for seed in 0..100_000 {
        let secret = secret(seed);
        let mut text = secret.reveal().as_bytes().to_vec();
        let checksum = text.last_mut().expect("a text has 50 characters");
        *checksum = if *checksum == b'0' { b'1' } else { b'0' };
        assert!(PresentedKey::parse(&text).is_err());
    }
    assert_eq!(rig.finds(), before);
}

#[rstest]
#[case::partial(4, UNAVAILABLE)]
#[case::complete(100, LookupError::Unknown)]
#[tokio::test(start_paused = true)]
async fn well_formed_random_keys_make_no_more_queries_than_the_budget(
    #[case] room: u64,
    #[case] over_budget: LookupError,
) {
    let budget = 100;
    let config = CacheConfig {
        lookups_per_second: 100,
        ..small(room)
    };
    let rig = Rig::with(config, &keys(1..9)).await;
    rig.pass(Duration::from_millis(100)).await;
    assert_eq!(rig.cache.state().is_complete, room == 100);
    let began = rig.clock.elapsed();
    let before = rig.finds();
    let mut refused = 0;
    for wave in 0..40 {
        let secrets: Vec<_> = (0..2_500).map(|n| secret(wave * 2_500 + n)).collect();
        let callers = secrets
            .iter()
            .map(|secret| rig.front.grant(presented(secret.reveal())));
        for answer in rig.passing(join_all(callers)).await {
            let error = answer.expect_err("nobody made that key");
            refused += usize::from(error == over_budget);
            assert!(
                error == over_budget || error == LookupError::Unknown,
                "{error}"
            );
        }
    }
    let queries = rig.finds() - before;
    let tenths = rig.clock.elapsed().saturating_sub(began).as_millis() / 100;
    let earned = budget / 10 * usize::try_from(tenths).expect("a short test");
    assert!(
        queries <= earned + budget / 10 + 1,
        "{queries}, not {earned}"
    );
    assert!(queries >= earned * 9 / 10, "{queries}, not {earned}");
    assert!(refused > 90_000);
    // Known keys are not disturbed, and a new one is still found.
    rig.pass(Duration::from_secs(1)).await;
    rig.store.put_unlogged(&key(99));
    assert_eq!(rig.ask(&key(99)).await, Ok(key(99).id));
}

#[tokio::test(start_paused = true)]
async fn known_keys_are_served_while_look_ups_are_refused() {
    let rig = Rig::with(small(100), &keys(1..9)).await;
    rig.store.gates.find.close();
    let mut callers = Vec::new();
    for n in 100..200 {
        callers.push(rig.asking(&key(n)).await);
    }
    // What may be asked at once is asked; for the rest complete memory is answer enough.
    let waiting = callers.iter().filter(|caller| caller.got.is_none()).count();
    assert!((1..=51).contains(&waiting), "{waiting}");
    let refused = callers.iter().filter_map(|caller| caller.got.as_ref());
    assert!(refused.clone().all(|got| *got == Err(LookupError::Unknown)));
    assert_eq!(refused.count() + waiting, 100);
    for n in 1..9 {
        assert_eq!(rig.asking(&key(n)).await.got, Some(Ok(key(n).id)));
    }
}

#[tokio::test(start_paused = true)]
async fn while_memory_is_partial_as_many_wait_as_may() {
    let rig = partial(small(4)).await;
    rig.store.gates.find.close();
    let mut callers = Vec::new();
    for n in 100..200 {
        callers.push(rig.asking(&key(n)).await);
    }
    let waiting = callers.iter().filter(|caller| caller.got.is_none()).count();
    assert_eq!(waiting, CacheConfig::default().lookups_waiting);
    let refused = callers.iter().filter_map(|caller| caller.got.as_ref());
    assert!(refused.clone().all(|got| *got == Err(UNAVAILABLE)));
}

#[tokio::test(start_paused = true)]
async fn a_text_that_is_no_key_is_asked_about_once_a_second() {
    let rig = partial(small(4)).await;
    let before = rig.finds();
    for _ in 0..100 {
        assert_eq!(rig.ask(&key(99)).await, Err(LookupError::Unknown));
    }
    assert_eq!(rig.finds() - before, 1);
    rig.pass(CacheConfig::default().unknown_for).await;
    assert_eq!(rig.ask(&key(99)).await, Err(LookupError::Unknown));
    assert_eq!(rig.finds() - before, 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_made_after_it_was_unknown_works_at_once() {
    let rig = Rig::start().await;
    assert_eq!(rig.ask(&key(1)).await, Err(LookupError::Unknown));
    rig.applied(rig.store.put(&key(1))).await;
    assert_eq!(rig.ask(&key(1)).await, Ok(key(1).id));
}

#[tokio::test(start_paused = true)]
async fn memory_that_is_too_small_is_partial_and_answers_for_every_key() {
    let rig = partial(small(4)).await;
    for _ in 0..3 {
        for key in keys(1..8) {
            assert_eq!(rig.ask(&key).await, Ok(key.id));
        }
    }
    assert!(rig.finds() >= 3);
}

#[tokio::test(start_paused = true)]
async fn a_hot_key_stays_in_partial_memory_though_the_front_answers_for_it() {
    let rig = partial(small(16)).await;
    let hot = key(1);
    for n in 100..300 {
        for _ in 0..640 {
            assert_eq!(rig.ask(&hot).await, Ok(hot.id));
        }
        let cold = key(n);
        rig.store.put_unlogged(&cold);
        for _ in 0..8 {
            assert_eq!(rig.passing(rig.ask(&cold)).await, Ok(cold.id));
        }
    }
    // A change of another key: no front counts any more.
    rig.applied(rig.store.delete(key(2).id)).await;
    let before = rig.finds();
    assert_eq!(rig.ask(&hot).await, Ok(hot.id));
    assert_eq!(rig.finds(), before);
}

#[tokio::test(start_paused = true)]
async fn memory_is_partial_before_the_key_too_many_is_in_it() {
    let rig = Rig::with(small(4), &keys(1..5)).await;
    assert!(rig.cache.state().is_complete);
    rig.applied(rig.store.put(&key(5))).await;
    assert!(!rig.cache.state().is_complete);
}

#[tokio::test(start_paused = true)]
async fn partial_memory_is_filled_again_when_all_keys_fit_and_not_before() {
    let rig = partial(small(4)).await;
    rig.pass(Duration::from_mins(10)).await;
    assert_eq!(count(&rig.store.calls.snapshot), 1);
    for n in 1..5 {
        rig.store.delete(key(n).id);
    }
    rig.pass(Duration::from_secs(2)).await;
    assert_eq!(count(&rig.store.calls.snapshot), 2);
    assert!(rig.cache.state().is_complete);
    let before = rig.finds();
    for n in 5..8 {
        assert_eq!(rig.ask(&key(n)).await, Ok(key(n).id));
    }
    assert_eq!(rig.finds(), before);
}

#[tokio::test(start_paused = true)]
async fn keys_that_come_and_go_at_the_limit_make_few_refills() {
    let rig = Rig::with(small(4), &keys(1..5)).await;
    for n in 10..200 {
        rig.store.put(&key(n));
        rig.pass(Duration::from_millis(500)).await;
        rig.store.delete(key(n).id);
        rig.pass(Duration::from_millis(500)).await;
    }
    let fills = count(&rig.store.calls.snapshot);
    assert!((2..=5).contains(&fills), "{fills} fills in three minutes");
}
