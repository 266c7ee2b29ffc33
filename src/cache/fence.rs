use std::sync::{PoisonError, RwLock};

/// Keeps an answer that a change has overtaken out of memory.
///
/// A look-up takes the epoch before it asks the database. Whoever changes memory raises the epoch first. The answer is
/// put under the fence, and only if the epoch is still the one it started under; raising waits for puts under way. So
/// when [`Fence::raise`] returns, every put of an older answer is either in memory already, where the change that
/// follows finds it, or never comes.
#[derive(Debug, Default)]
pub(super) struct Fence(RwLock<Epoch>);

/// The time between two changes of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Epoch(u64);

impl Fence {
    /// The present epoch.
    pub fn epoch(&self) -> Epoch {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the next epoch, and runs `with` before any put of that epoch.
    pub fn raise(&self, with: impl FnOnce()) {
        let mut epoch = self.0.write().unwrap_or_else(PoisonError::into_inner);
        epoch.0 += 1;
        with();
    }

    /// Runs `put` if the epoch is still `since`; it cannot be raised until `put` has returned.
    ///
    /// `put` must be short and must not wait.
    pub fn unless_raised<T>(&self, since: Epoch, put: impl FnOnce() -> T) -> Option<T> {
        let epoch = self.0.read().unwrap_or_else(PoisonError::into_inner);
        (*epoch == since).then(put)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_put_only_in_the_epoch_it_was_asked_in() {
        let fence = Fence::default();
        let before = fence.epoch();
        assert_eq!(fence.unless_raised(before, || 1), Some(1));
        fence.raise(|| {});
        assert_eq!(fence.unless_raised(before, || 1), None);
        assert_eq!(fence.unless_raised(fence.epoch(), || 1), Some(1));
    }

    #[test]
    fn raising_waits_for_a_put_under_way() {
        let fence = Fence::default();
        let (inside, entered) = std::sync::mpsc::channel();
        let (leave, left) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let since = fence.epoch();
            let fence = &fence;
            let putting = scope.spawn(move || {
                fence.unless_raised(since, || {
                    inside.send(()).unwrap();
                    left.recv().unwrap();
                })
            });
            entered.recv().unwrap();
            assert!(fence.0.try_write().is_err());
            leave.send(()).unwrap();
            assert!(putting.join().unwrap().is_some());
            fence.raise(|| {});
            assert_ne!(fence.epoch(), since);
        });
    }
}
