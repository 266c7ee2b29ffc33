//! JSON bodies: no reading that takes one finds another model than the one that we judged.

use crate::readers::reading::by_hand::{by_hand, by_serde};
use crate::readers::reading::{judge, serde, written};

/// How a body is cut changes nothing, and other readers that take it read the same.
pub fn law(input: &[u8]) {
    let judged = judge([input]);
    let told = || input.escape_ascii();
    assert_eq!(judge(input.chunks(1)), judged, "{}", told());
    let judged = judged.ok();
    assert_eq!(by_hand(input), judged, "{}", told());
    let Some(model) = judged else {
        return;
    };
    assert_eq!(by_serde(input).as_ref(), Some(&model), "{}", told());
    let judged = written(&model);
    for reading in serde::readings(input) {
        assert!(reading == judged || reading == "-", "{reading}: {}", told());
    }
}
