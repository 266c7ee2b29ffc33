//! What time it is for a task that has its turn: read once, when somebody first asks.
//!
//! To ask the system costs some 30 ns, and a request would ask a dozen times: when it came, when its key was looked for, when
//! its connections were last used. Between two waits all these moments are one. Who measures how long
//! something took within a turn asks the clock itself.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::time::Instant;

thread_local! {
    static TURN: Cell<Turn> = const { Cell::new(Turn::Nobodys) };
}

#[derive(Clone, Copy)]
enum Turn {
    /// No task's: every look is a new one.
    Nobodys,
    /// Nobody has asked yet.
    NotAsked,
    Asked(Instant),
}

/// What time it is: the same for as long as the turn lasts of the task that asks, where it is one of [`in_turns`].
#[must_use]
pub fn now() -> Instant {
    match TURN.get() {
        Turn::Asked(now) => now,
        Turn::Nobodys => Instant::now(),
        Turn::NotAsked => {
            let now = Instant::now();
            TURN.set(Turn::Asked(now));
            now
        }
    }
}

/// Whoever asks next is told anew: something else begins within the turn.
pub fn renew() {
    if let Turn::Asked(_) = TURN.get() {
        TURN.set(Turn::NotAsked);
    }
}

/// A task for which time stands still while it has its turn.
pub const fn in_turns<F: Future>(task: F) -> InTurns<F> {
    InTurns { task }
}

pin_project! {
    /// See [`in_turns`].
    #[derive(Debug)]
    pub struct InTurns<F> {
        #[pin]
        task: F,
    }
}

impl<F: Future> Future for InTurns<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _outer = Outer(TURN.replace(Turn::NotAsked));
        self.project().task.poll(cx)
    }
}

/// Whose turn it was before; it is again, however this one ends.
struct Outer(Turn);

impl Drop for Outer {
    fn drop(&mut self) {
        TURN.set(self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::task::yield_now;
    use tokio::time::advance;

    use super::*;

    const STEP: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn time_stands_still_for_a_turn_and_no_longer() {
        let begun = Instant::now();
        in_turns(async {
            assert_eq!(now(), begun);
            advance(STEP).await;
            // Which has waited: this is the next turn.
            assert_eq!(now(), begun + STEP);
        })
        .await;
        advance(STEP).await;
        assert_eq!(now(), begun + 2 * STEP);
    }

    /// Moves time on without a wait of whoever asks.
    async fn advance_within() {
        let mut moved = std::pin::pin!(advance(STEP));
        std::future::poll_fn(|cx| {
            let _ = moved.as_mut().poll(cx);
            Poll::Ready(())
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_when_something_else_begins_and_for_everybody_else() {
        let begun = Instant::now();
        in_turns(async {
            assert_eq!(now(), begun);
            advance_within().await;
            assert_eq!(now(), begun);
            renew();
            assert_eq!(now(), begun + STEP);
            advance_within().await;
            in_turns(async { assert_eq!(now(), begun + 2 * STEP) }).await;
            assert_eq!(now(), begun + STEP);
            yield_now().await;
            assert_eq!(now(), begun + 2 * STEP);
        })
        .await;
        renew();
        advance_within().await;
        assert_eq!(now(), begun + 3 * STEP);
        advance_within().await;
        assert_eq!(now(), begun + 4 * STEP);
    }
}
