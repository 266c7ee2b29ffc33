//! A timer that is looked at often and seldom rings.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::task::coop::has_budget_remaining;
use tokio::time::{Instant, Sleep, sleep_until};

/// Rings at a moment, which can be moved.
///
/// To look at tokio's timer is to leave with it by what to be woken, in four locked steps, though it is mostly the same each
/// time. This one remembers what it has left there.
#[derive(Debug)]
pub struct Alarm {
    timer: Pin<Box<Sleep>>,
    /// Whom the timer wakes, where that is known.
    wakes: Option<Waker>,
}

impl Alarm {
    /// One that rings at `deadline`.
    #[must_use]
    pub fn at(deadline: Instant) -> Self {
        Self {
            timer: Box::pin(sleep_until(deadline)),
            wakes: None,
        }
    }

    /// When it rings.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.timer.deadline()
    }

    /// Lets it ring at `deadline` and not before, though it may have rung already.
    pub fn reset(&mut self, deadline: Instant) {
        self.timer.as_mut().reset(deadline);
        // A timer that has rung wakes nobody any more.
        self.wakes = None;
    }

    /// Is ready once it has rung; otherwise whoever asked last is woken when it does.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let wakes = self.wakes.as_ref();
        let is_known = wakes.is_some_and(|waker| waker.will_wake(cx.waker()));
        if is_known && !self.timer.is_elapsed() {
            return Poll::Pending;
        }
        // The timer hears nothing from a task that has used its turn up.
        let hears = has_budget_remaining();
        let rung = self.timer.as_mut().poll(cx);
        self.wakes = (hears && rung.is_pending()).then(|| cx.waker().clone());
        rung
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::time::Duration;

    use tokio::task::coop::consume_budget;
    use tokio::task::yield_now;
    use tokio::time::{advance, timeout};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    /// Whoever waits, as often as it was woken.
    #[derive(Default)]
    struct Sleeper(AtomicUsize);

    impl Wake for Sleeper {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Sleeper {
        fn looks_at(self: &Arc<Self>, alarm: &mut Alarm) -> Poll<()> {
            alarm.poll(&mut Context::from_waker(&Arc::clone(self).into()))
        }

        fn woken(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    async fn use_turn_up() {
        while has_budget_remaining() {
            consume_budget().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asked_last_is_woken() {
        let mut alarm = Alarm::at(Instant::now() + LIMIT);
        let (before, now) = (Arc::<Sleeper>::default(), Arc::default());
        for sleeper in [&before, &before, &now, &before, &now] {
            assert!(Sleeper::looks_at(sleeper, &mut alarm).is_pending());
        }
        advance(LIMIT).await;
        assert_eq!((before.woken(), now.woken()), (0, 1));
        assert!(now.looks_at(&mut alarm).is_ready());
        assert!(now.looks_at(&mut alarm).is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_that_is_moved_rings_then_whether_it_has_rung_before_or_not() {
        let mut alarm = Alarm::at(Instant::now() + LIMIT);
        let sleeper = Arc::<Sleeper>::default();
        assert!(sleeper.looks_at(&mut alarm).is_pending());
        alarm.reset(Instant::now() + LIMIT * 2);
        assert_eq!(alarm.deadline(), Instant::now() + LIMIT * 2);
        assert!(sleeper.looks_at(&mut alarm).is_pending());
        advance(LIMIT).await;
        assert_eq!(sleeper.woken(), 0);
        advance(LIMIT).await;
        assert_eq!(sleeper.woken(), 1);
        // Nobody has looked meanwhile.
        alarm.reset(Instant::now() + LIMIT);
        assert!(sleeper.looks_at(&mut alarm).is_pending());
        advance(LIMIT).await;
        assert_eq!(sleeper.woken(), 2);
        assert!(sleeper.looks_at(&mut alarm).is_ready());
        alarm.reset(Instant::now() + LIMIT);
        assert!(sleeper.looks_at(&mut alarm).is_pending());
        advance(LIMIT).await;
        assert_eq!(sleeper.woken(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn who_had_used_its_turn_up_when_it_asked_first_is_woken_in_time() {
        let begun = Instant::now();
        let mut alarm = Alarm::at(begun + LIMIT);
        let asking = async {
            use_turn_up().await;
            poll_fn(|cx| alarm.poll(cx)).await;
        };
        timeout(LIMIT * 2, asking).await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), LIMIT.as_secs());
    }

    /// A task without a turn is woken whenever it looks at tokio's timer, which takes nothing down.
    #[tokio::test(start_paused = true)]
    async fn the_timer_is_asked_once_for_each_who_waits() {
        let mut alarm = Alarm::at(Instant::now() + LIMIT);
        let (known, unknown) = (Arc::<Sleeper>::default(), Arc::<Sleeper>::default());
        assert!(known.looks_at(&mut alarm).is_pending());
        use_turn_up().await;
        assert!(known.looks_at(&mut alarm).is_pending());
        assert!(unknown.looks_at(&mut alarm).is_pending());
        yield_now().await;
        assert_eq!((known.woken(), unknown.woken()), (0, 1));
    }
}
