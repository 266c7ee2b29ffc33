//! Calls at a steady rate, whatever becomes of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use crate::wire::{Caller, call};

/// Connections to each sidecar.
const CONNECTIONS: usize = 8;
/// A call that takes longer was not answered.
const LONGEST: Duration = Duration::from_secs(5);
/// What the timer of the one who calls may add.
const GRAIN: Duration = Duration::from_millis(2);

/// Calls that go on until they are ended.
pub struct Load {
    stop: Arc<AtomicBool>,
    phase: Arc<AtomicUsize>,
    thread: JoinHandle<Vec<Call>>,
}

/// One call.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// What was going on when it began.
    pub phase: usize,
    /// 0 when there was no answer.
    pub status: u16,
    /// From when it was due, if it could not be sent then.
    pub took: Duration,
}

impl Load {
    /// So many calls a second over all of these sidecars, each with one of these keys, from a thread of its own.
    pub fn start(to: &[SocketAddr], keys: &[String], per_second: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let phase = Arc::new(AtomicUsize::new(0));
        let callers = to.len() * CONNECTIONS;
        let every = Duration::from_secs(1) * u32::try_from(callers).expect("few") / per_second;
        let requests: Arc<[String]> = keys.iter().map(|key| call("llama", key)).collect();
        let to = to.to_vec();
        let (told, now) = (Arc::clone(&stop), Arc::clone(&phase));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let mut running = JoinSet::new();
                for number in 0..callers {
                    let caller = Caller::new(to[number % to.len()]);
                    let first = Instant::now() + every * u32::try_from(number).expect("few") / 24;
                    let (told, now) = (Arc::clone(&told), Arc::clone(&now));
                    let requests = Arc::clone(&requests);
                    running.spawn(again_and_again(
                        caller, requests, number, first, every, told, now,
                    ));
                }
                running.join_all().await.concat()
            })
        });
        Self {
            stop,
            phase,
            thread,
        }
    }

    /// Says what is going on from now on.
    pub fn phase(&self, number: usize) {
        self.phase.store(number, Ordering::Relaxed);
    }

    /// Ends the calls: all of them.
    pub fn end(self) -> Vec<Call> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("callers do not fail")
    }
}

async fn again_and_again(
    mut caller: Caller,
    requests: Arc<[String]>,
    mut number: usize,
    first: Instant,
    every: Duration,
    stop: Arc<AtomicBool>,
    phase: Arc<AtomicUsize>,
) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut due = first;
    while !stop.load(Ordering::Relaxed) {
        sleep_until(due.into()).await;
        let sent = Instant::now();
        // A caller that was kept waiting counts the wait, and does not make up for it with a flood.
        let from = if sent > due + GRAIN { due } else { sent };
        let phase = phase.load(Ordering::Relaxed);
        number = (number + 1) % requests.len();
        let answer = timeout(LONGEST, caller.send(requests[number].as_bytes())).await;
        let status = answer.ok().and_then(Result::ok).unwrap_or(0);
        calls.push(Call {
            phase,
            status,
            took: from.elapsed(),
        });
        due = (due + every).max(sent);
    }
    calls
}
