//! The tasks of the process, in the groups in which they are stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A group of tasks that is stopped, and waited for, together.
pub(super) struct Group {
    pub(super) stop: CancellationToken,
    tasks: TaskTracker,
    /// Shared by all groups; see [`Alarm`].
    broken: CancellationToken,
}

impl Group {
    pub(super) fn new(broken: &CancellationToken) -> Self {
        Self {
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            broken: broken.clone(),
        }
    }

    pub(super) fn spawn(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let alarm = Alarm {
            task: name,
            stop: self.stop.clone(),
            broken: self.broken.clone(),
        };
        self.tasks.spawn(async move {
            task.await;
            alarm.task_ended();
        });
    }

    /// The same, but the task begins when it is our turn to accept callers.
    pub(super) fn spawn_in_turn(
        &self,
        name: &'static str,
        turn: &CancellationToken,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let (turn, stop) = (turn.clone(), self.stop.clone());
        self.spawn(name, async move {
            if stop.run_until_cancelled(turn.cancelled()).await.is_some() {
                task.await;
            }
        });
    }

    /// The same for a task that has nothing to do once it is stopped, wherever it is.
    pub(super) fn spawn_until_stopped(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let stop = self.stop.clone();
        self.spawn(name, async move {
            stop.run_until_cancelled(task).await;
        });
    }

    /// Stops the tasks and waits until they have ended.
    pub(super) async fn end(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Tells when a task ends that nobody stopped: it panicked, which is a mistake of ours. Without the follower, deleted
/// keys would be served on; without the acceptor, nobody. So the process closes, and whoever started it starts it again.
struct Alarm {
    task: &'static str,
    stop: CancellationToken,
    broken: CancellationToken,
}

impl Alarm {
    fn task_ended(&self) {
        if !self.stop.is_cancelled() {
            tracing::error!(task = self.task, "a task has ended that must not");
            self.broken.cancel();
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.task_ended();
        }
    }
}

/// Whether answers should say that their connections will close. Every answer asks; to ask takes no lock.
#[derive(Clone, Default)]
pub(super) struct Draining(Arc<AtomicBool>);

impl Draining {
    /// From now on.
    pub(super) fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(super) fn has_begun(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What is closed, in this order.
pub(super) struct Closing {
    /// Answers on the data listener say that the connection will close.
    pub(super) draining: Draining,
    /// New callers.
    pub(super) acceptor: Group,
    /// What keeps memory in step.
    pub(super) followers: Group,
    /// The recorder of last uses and the sealer of the key set, which write once more.
    pub(super) writers: Group,
    /// Admin and probes.
    pub(super) aside: Group,
    /// Cancelled when a task of any group has ended and must not have.
    pub(super) broken: CancellationToken,
}

impl Closing {
    pub(super) fn new() -> Self {
        let broken = CancellationToken::new();
        Self {
            draining: Draining::default(),
            acceptor: Group::new(&broken),
            followers: Group::new(&broken),
            writers: Group::new(&broken),
            aside: Group::new(&broken),
            broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn breaks_after(task: impl Future<Output = ()> + Send + 'static) -> bool {
        let closing = Closing::new();
        closing.followers.spawn("task", task);
        closing.followers.tasks.close();
        closing.followers.tasks.wait().await;
        closing.broken.is_cancelled()
    }

    #[tokio::test]
    async fn a_task_that_ends_unasked_is_noticed_however_it_ends() {
        assert!(breaks_after(async { std::panic::panic_any("a mistake of ours") }).await);
        assert!(breaks_after(async {}).await);
    }

    #[tokio::test]
    async fn a_task_that_is_stopped_breaks_nothing() {
        let closing = Closing::new();
        let stop = closing.aside.stop.clone();
        closing
            .aside
            .spawn("task", async move { stop.cancelled().await });
        closing.aside.end().await;
        assert!(!closing.broken.is_cancelled());
    }
}
