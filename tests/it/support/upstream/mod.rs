//! A model server of our own: answers by script, and keeps everything it saw.
//!
//! It lives on a thread and a runtime of its own, so that a test that blocks or measures does not hold it up, and
//! speaks HTTP/1.1 and HTTP/2 by prior knowledge. What hyper would not send is sent by [`super::raw_upstream::RawUpstream`].

mod answer;
mod seen;
mod serve;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::{mpsc as tokio_mpsc, oneshot, watch};

pub use answer::{Answer, Gate};
pub use seen::{AnswerEnd, BodyEnd, Seen};

use super::wire::Wire;
use super::within;

/// A model server on a free loopback port; gone when it is dropped.
#[derive(Debug)]
pub struct FakeUpstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    orders: Option<tokio_mpsc::UnboundedSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

/// What the test tells the server's thread.
#[derive(Debug)]
enum Order {
    CloseIdle(oneshot::Sender<()>),
    Stop(oneshot::Sender<()>),
    StartAgain(oneshot::Sender<()>),
}

/// What the test and the server's thread both hold.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    news: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    seen: Vec<Arc<Seen>>,
    wires: Vec<Arc<Wire>>,
    next: VecDeque<Answer>,
    by_path: Vec<(String, Answer)>,
    requests_per_connection: Option<usize>,
}

impl FakeUpstream {
    /// Starts one that echoes ([`Answer::echo`]) whatever it is asked.
    pub fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let (orders, received) = tokio_mpsc::unbounded_channel();
        let (tell_address, address) = mpsc::channel();
        let theirs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || serve::run(&theirs, received, &tell_address));
        Self {
            address: address.recv().expect("the server's thread binds a port"),
            shared,
            orders: Some(orders),
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:port`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers every request whose path (without the query) is `path` so, from now on.
    pub fn on(&self, path: &str, answer: Answer) {
        let mut state = self.shared.state();
        state.by_path.retain(|(each, _)| each != path);
        state.by_path.push((path.to_owned(), answer));
    }

    /// Answers the next request that has no answer yet so, whatever its path; before [`FakeUpstream::on`].
    pub fn next(&self, answer: Answer) {
        self.shared.state().next.push_back(answer);
    }

    /// Ends every connection with its `count`th request, whose answer says `Connection: close`.
    pub fn close_after(&self, count: usize) {
        self.shared.state().requests_per_connection = Some(count);
    }

    /// The requests whose heads have come so far, in that order.
    pub fn requests(&self) -> Vec<Arc<Seen>> {
        self.shared.state().seen.clone()
    }

    /// Waits for the request that came as number `number`, counted from 0.
    pub async fn request(&self, number: usize) -> Arc<Seen> {
        let mut news = self.shared.news.subscribe();
        within("a request reaches the upstream", async {
            loop {
                if let Some(seen) = self.shared.state().seen.get(number) {
                    return Arc::clone(seen);
                }
                news.changed().await.expect("we hold the sender");
            }
        })
        .await
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.shared.state().wires.len()
    }

    /// How many of them are still there.
    pub fn open_connections(&self) -> usize {
        self.shared
            .state()
            .wires
            .iter()
            .filter(|wire| !wire.is_closed())
            .count()
    }

    /// Every byte that connection `number` brought, counted from 0.
    pub fn received(&self, number: usize) -> Vec<u8> {
        let pieces = self.received_pieces(number);
        pieces.into_iter().flat_map(|(_, piece)| piece).collect()
    }

    /// The same, in the pieces in which they were read, each with its moment.
    pub fn received_pieces(&self, number: usize) -> Vec<(Instant, Vec<u8>)> {
        self.shared.state().wires[number].received()
    }

    /// From now on connection `number` ends with a reset (RST), whatever ends it.
    pub fn reset_when_closed(&self, number: usize) {
        self.shared.state().wires[number].reset_when_closed();
    }

    /// Closes every connection that carries no request, without a word, as servers do with idle ones; the others
    /// close after their answer.
    pub async fn close_idle(&self) {
        self.order(Order::CloseIdle).await;
    }

    /// Cuts every connection and refuses new ones.
    pub async fn stop(&self) {
        self.order(Order::Stop).await;
    }

    /// Accepts connections again, on the same port.
    pub async fn start_again(&self) {
        self.order(Order::StartAgain).await;
    }

    async fn order(&self, order: impl FnOnce(oneshot::Sender<()>) -> Order) {
        let (done, is_done) = oneshot::channel();
        let orders = self.orders.as_ref().expect("they are there until drop");
        orders.send(order(done)).expect("the server's thread runs");
        within("the upstream obeys", is_done)
            .await
            .expect("the server's thread runs");
    }
}

impl Drop for FakeUpstream {
    fn drop(&mut self) {
        self.orders.take();
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(
                matches!(ended, Some(Ok(()))),
                "the fake upstream's thread panicked"
            );
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics with it")
    }
}
