use tokio::sync::watch;

/// A point in a double where a test can stop whoever comes by, see that somebody waits, and let them go on.
///
/// Open at first.
#[derive(Debug)]
pub struct Gate(watch::Sender<State>);

#[derive(Debug, Default)]
struct State {
    stops_all: bool,
    stops_next: bool,
    waiting: usize,
    passes: usize,
}

impl Gate {
    pub fn new() -> Self {
        Self(watch::Sender::new(State::default()))
    }

    /// Stops whoever comes from now on.
    pub fn close(&self) {
        self.0.send_modify(|state| state.stops_all = true);
    }

    /// Stops the next one to come, and nobody after.
    pub fn stop_next(&self) {
        self.0.send_modify(|state| state.stops_next = true);
    }

    /// Lets everybody go on.
    pub fn open(&self) {
        self.0.send_modify(|state| {
            state.stops_all = false;
            state.stops_next = false;
            state.passes = state.waiting;
        });
    }

    /// Lets one of those who wait go on.
    pub fn let_one_pass(&self) {
        self.0.send_modify(|state| {
            assert!(state.waiting > state.passes, "nobody waits");
            state.passes += 1;
        });
    }

    /// Returns when somebody waits.
    pub async fn somebody_waits(&self) {
        let mut state = self.0.subscribe();
        let waits = state.wait_for(|state| state.waiting > state.passes);
        waits.await.expect("the sender is ours");
    }

    /// Comes by.
    pub async fn pass(&self) {
        let stopped = self.0.send_if_modified(|state| {
            let stopped = state.stops_all || state.stops_next;
            state.stops_next = false;
            state.waiting += usize::from(stopped);
            stopped
        });
        if !stopped {
            return;
        }
        let _waiting = Waiting(self);
        let mut state = self.0.subscribe();
        loop {
            let passing = state.wait_for(|state| state.passes > 0);
            drop(passing.await.expect("the sender is ours"));
            // Another may have been quicker.
            let passed = self.0.send_if_modified(|state| {
                let passed = state.passes > 0;
                state.passes -= usize::from(passed);
                passed
            });
            if passed {
                return;
            }
        }
    }
}

/// Somebody who was stopped: leaves when it passes, or when it gives up.
struct Waiting<'g>(&'g Gate);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.0.send_modify(|state| {
            state.waiting -= 1;
            state.passes = state.passes.min(state.waiting);
        });
    }
}
