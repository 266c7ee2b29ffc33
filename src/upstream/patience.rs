use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// How long one side may be silent while something is awaited from it.
///
/// Only awaited silence counts: a body that nobody asks for, because the other side is slow to take it, may rest for as
/// long as that lasts. There is no timer until the first silence.
#[derive(Debug)]
pub struct Patience {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
}

impl Patience {
    /// Patience for `limit`, which has not begun.
    #[must_use]
    pub const fn of(limit: Duration) -> Self {
        Self {
            limit,
            timer: None,
            is_waiting: false,
        }
    }

    /// Something came: the next silence begins anew.
    pub fn renew(&mut self) {
        self.is_waiting = false;
    }

    /// Nothing came though it was asked for: is ready once that has lasted too long, and wakes whoever asked then.
    pub fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        if !self.is_waiting {
            self.is_waiting = true;
            timer.as_mut().reset(Instant::now() + limit);
        }
        timer.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);

    async fn waits(patience: &mut Patience) -> Duration {
        let begun = Instant::now();
        poll_fn(|cx| patience.poll_over(cx)).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_a_limit_after_the_silence_began() {
        let mut patience = Patience::of(LIMIT);
        assert!(
            timeout(Duration::from_secs(1), waits(&mut patience))
                .await
                .is_err()
        );
        assert_eq!(waits(&mut patience).await.as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_that_nobody_awaits_does_not_count() {
        let mut patience = Patience::of(LIMIT);
        assert!(
            timeout(Duration::from_secs(1), waits(&mut patience))
                .await
                .is_err()
        );
        patience.renew();
        tokio::time::advance(LIMIT * 10).await;
        assert_eq!(waits(&mut patience).await, LIMIT);
    }
}
