//! What a worker keeps of memory for itself, when two keys want the same place.

use std::collections::HashMap;

use keyward::cache::CacheConfig;
use keyward::key::LocalGrant;

use super::Rig;
use crate::support::keys::key;

/// As in `cache/front.rs`.
const SLOTS: u64 = 4096;

/// Who comes seldom gets what it asks for and does not put out who comes often; who comes as often as the other takes its
/// place in the end.
#[tokio::test(start_paused = true)]
async fn who_comes_seldom_does_not_put_out_who_comes_often() {
    let mut places = HashMap::new();
    let pair = (0..).find_map(|number| {
        let key = key(number);
        let other = places.insert(key.digest.bucket() % SLOTS, number);
        other.map(|other| (other, number))
    });
    let (often, seldom) = pair.expect("more keys than places");
    let [often, seldom] = [often, seldom].map(key);
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

/// Whether the second is a copy of the first, and was not made anew from memory.
fn is_same(one: &LocalGrant, other: &LocalGrant) -> bool {
    std::ptr::eq(one.shared(), other.shared())
}
