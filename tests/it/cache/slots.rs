//! What a worker keeps of memory for itself: keys, also when two want the same place, and texts that are none.

use std::collections::HashMap;
use std::time::Duration;

use keyward::cache::{CacheConfig, LookupError};
use keyward::key::{ApiKey, LocalGrant};

use super::{Rig, settle};
use crate::support::keys::key;

/// As in `cache/front.rs`.
const SLOTS: u64 = 4096;
const ABSENT: u64 = 64;

/// Who comes seldom gets what it asks for and does not put out who comes often; who comes as often as the other takes its
/// place in the end.
#[tokio::test(start_paused = true)]
async fn who_comes_seldom_does_not_put_out_who_comes_often() {
    let [often, seldom] = in_one_of(SLOTS);
    let rig = Rig::with(CacheConfig::default(), &[often.clone(), seldom.clone()]).await;

    let kept = rig.grant(&often).await.unwrap();
    for _ in 0..3 {
        assert!(is_same(&kept, &rig.grant(&often).await.unwrap()));
    }
    let other = rig.grant(&seldom).await.unwrap();
    assert_eq!(other.id(), seldom.id);
    assert!(is_same(&kept, &rig.grant(&often).await.unwrap()), "put out");

    // All are held, so that none of them stands where another stood.
    let mut asked = vec![other];
    for _ in 0..8 {
        asked.push(rig.grant(&seldom).await.unwrap());
    }
    let [.., last_but_one, last] = asked.as_slice() else {
        unreachable!("nine of them");
    };
    assert!(is_same(last_but_one, last), "it never takes the place");
    assert!(!is_same(&kept, &rig.grant(&often).await.unwrap()));
}

/// Memory itself holds one such text here.
#[tokio::test(start_paused = true)]
async fn a_text_that_is_no_key_is_remembered_until_it_may_be_one() {
    const UNKNOWN: LookupError = LookupError::Unknown;

    let config = CacheConfig {
        unknown_keys: 1,
        ..CacheConfig::default()
    };
    let unknown_for = config.unknown_for;
    let rig = Rig::with(config, &[key(1)]).await;
    let texts = [2, 3, 4].map(key);
    let ask_all = async || {
        for text in &texts {
            assert_eq!(rig.ask(text).await, Err(UNKNOWN));
        }
        rig.finds()
    };
    let before = ask_all().await;
    // Memory does its housekeeping.
    rig.store.ring_for_nothing();
    settle().await;
    assert_eq!(ask_all().await, before);

    // One of them is made elsewhere: from then on all of them may be keys.
    rig.applied(rig.store.put(&texts[0])).await;
    assert_eq!(rig.ask(&texts[0]).await, Ok(texts[0].id));
    assert_eq!(rig.ask(&texts[1]).await, Err(UNKNOWN));
    assert_eq!(rig.ask(&texts[1]).await, Err(UNKNOWN));
    assert_eq!(rig.finds(), before + 1);

    rig.applied(rig.store.delete(texts[0].id)).await;
    let before = ask_all().await;
    rig.pass(unknown_for.saturating_sub(Duration::from_millis(100)))
        .await;
    assert_eq!(ask_all().await, before);
    rig.pass(Duration::from_millis(100)).await;
    assert_eq!(ask_all().await, before + 3);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_found_where_a_text_is_remembered_that_is_none() {
    let rig = Rig::start().await;
    let [text, made] = in_one_of(ABSENT);
    assert_eq!(rig.ask(&text).await, Err(LookupError::Unknown));
    // Memory has not heard of it yet.
    rig.store.put_unlogged(&made);
    assert_eq!(rig.ask(&made).await, Ok(made.id));
}

/// Two keys that have the same one of so many places.
fn in_one_of(count: u64) -> [ApiKey; 2] {
    let mut places = HashMap::new();
    let pair = (0..).find_map(|number| {
        let key = key(number);
        let other = places.insert(key.digest.bucket() % count, number);
        other.map(|other| [other, number])
    });
    pair.expect("more keys than places").map(key)
}

/// Whether the second is a copy of the first, and was not made anew from memory.
fn is_same(one: &LocalGrant, other: &LocalGrant) -> bool {
    std::ptr::eq(one.shared(), other.shared())
}
