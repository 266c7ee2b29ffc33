use std::cell::Cell;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

/// So many in a second, and how many there were beside them. For one worker.
#[derive(Default)]
pub(in crate::proxy) struct PerSecond {
    second: Cell<u64>,
    admitted: Cell<u32>,
    left_out: Cell<u64>,
    /// There was none left out, and now there is one.
    begun: Notify,
}

impl PerSecond {
    /// Whether one more is within the `most` of this second; one that is not is counted.
    pub(in crate::proxy) fn admits(&self, now: Duration, most: u32) -> bool {
        if self.second.replace(now.as_secs()) != now.as_secs() {
            self.admitted.set(0);
        }
        let admitted = self.admitted.get();
        if admitted < most {
            self.admitted.set(admitted + 1);
            return true;
        }
        let left_out = self.left_out.get();
        if left_out == 0 {
            self.begun.notify_one();
        }
        self.left_out.set(left_out + 1);
        false
    }

    /// Waits until some were left out and a second has passed since: how many.
    pub(in crate::proxy) async fn left_out(&self) -> u64 {
        loop {
            self.begun.notified().await;
            sleep(Duration::from_secs(1)).await;
            match self.take_left_out() {
                // They were told of meanwhile.
                0 => {}
                count => return count,
            }
        }
    }

    /// How many were left out since this was asked last.
    pub(in crate::proxy) fn take_left_out(&self) -> u64 {
        self.left_out.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_its_own_number() {
        let bound = PerSecond::default();
        let admitted = |second, count: u32| {
            let now = Duration::from_secs(second);
            (0..count).filter(|_| bound.admits(now, 3)).count()
        };
        assert_eq!(admitted(1, 10), 3);
        assert_eq!(admitted(2, 2), 2);
        assert_eq!(admitted(2, 2), 1);
        assert_eq!(bound.take_left_out(), 8);
        assert_eq!(bound.take_left_out(), 0);
        assert_eq!(admitted(9, 4), 3);
        assert_eq!(bound.take_left_out(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_left_out_is_told_once_a_second_and_again_later() {
        let bound = PerSecond::default();
        for second in 0..3 {
            for _ in 0..5 {
                bound.admits(Duration::from_secs(second), 2);
            }
            assert_eq!(bound.left_out().await, 3);
        }
    }
}
