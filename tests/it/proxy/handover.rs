//! Processes that follow one another under load: an upgrade in place hands the listening sockets over, and a rolling
//! restart goes from instance to instance. No call fails, and no stream is cut (SECURITY E8).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::Request;
use rustix::process::Signal;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::keyward::{Doors, KeywardProcess, TestKey, post};
use crate::support::raw::{Head, RawConnection};
use crate::support::stream::{Stream, whole};
use crate::support::upstream::{Answer, FakeUpstream};
use crate::support::{eventually, within};

const PREDICT: &str = "/models/m/predict";
/// Every caller calls many times within the delay, and so hears that its connection ends.
const HANDOVER: &str = "server.handover = \"handover.sock\"\nshutdown.delay = \"1s\"\n";

/// An instance that callers may choose, and whether it says that it is ready.
#[derive(Clone)]
struct Choice {
    doors: Doors,
    is_ready: Arc<AtomicBool>,
}

/// Callers that call without a pause until they are told to stop. The first failure ends the test.
struct Callers {
    tasks: JoinSet<()>,
    answered: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Callers {
    /// So many callers, half of them over HTTP/2, each on a connection that it keeps for as long as it may.
    fn start(count: usize, choices: &[Choice], key: &TestKey) -> Self {
        let mut callers = Self {
            tasks: JoinSet::new(),
            answered: Arc::default(),
            stop: Arc::default(),
        };
        for number in 0..count {
            let mut choices = choices.to_vec();
            let places = choices.len();
            choices.rotate_left(number % places);
            let (stop, answered) = (Arc::clone(&callers.stop), Arc::clone(&callers.answered));
            let key = key.clone();
            callers.tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let Some(choice) = choices.iter().find(|choice| choice.is_ready()) else {
                        sleep(Duration::from_millis(1)).await;
                        continue;
                    };
                    let goes_on = || !stop.load(Ordering::Relaxed) && choice.is_ready();
                    if number % 2 == 0 {
                        call_over_http1(choice, &key, &answered, goes_on).await;
                    } else {
                        call_over_http2(choice, &key, &answered, goes_on).await;
                    }
                }
            });
        }
        callers
    }

    /// Waits until so many more calls were answered.
    async fn go_on(&mut self, calls: usize) {
        let enough = self.answered.load(Ordering::Relaxed) + calls;
        let (tasks, answered) = (&mut self.tasks, &self.answered);
        eventually("calls are answered", || {
            assert!(
                tasks.try_join_next().is_none(),
                "a caller ends only by failing"
            );
            (answered.load(Ordering::Relaxed) >= enough).then_some(())
        })
        .await;
    }

    /// How many calls were answered, each of them well.
    async fn stop(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = within("a caller stops", self.tasks.join_next()).await {
            ended.expect("no call failed");
        }
        self.answered.load(Ordering::Relaxed)
    }
}

impl Choice {
    fn always(doors: Doors) -> Self {
        let is_ready = Arc::new(AtomicBool::new(true));
        Self { doors, is_ready }
    }

    fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }
}

/// Calls on one connection until it is said to end.
async fn call_over_http1(
    choice: &Choice,
    key: &TestKey,
    answered: &AtomicUsize,
    goes_on: impl Fn() -> bool,
) {
    let mut caller = choice.doors.raw().await;
    let mut number = 0;
    while goes_on() {
        number += 1;
        let body = format!("call {number}");
        let answer = caller.call(post(PREDICT, key, &body)).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(answer.json()["body"], body);
        answered.fetch_add(1, Ordering::Relaxed);
        if answer.head.field("connection") == Some("close") {
            return;
        }
    }
}

/// The same; of HTTP/2 it is said by a GOAWAY.
async fn call_over_http2(
    choice: &Choice,
    key: &TestKey,
    answered: &AtomicUsize,
    goes_on: impl Fn() -> bool,
) {
    let caller = choice.doors.http2().await;
    while goes_on() {
        let request = Request::post(format!("http://h{PREDICT}"))
            .header("authorization", format!("Bearer {}", key.text));
        let request = request.body(whole("{}")).expect("a request");
        let Some(answer) = caller.call_unless_closing(request).await else {
            return;
        };
        assert_eq!(answer.status, 200);
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// Streams that have begun, each with what its caller holds of it.
struct Streams(Vec<(Stream, RawConnection, Head)>);

impl Streams {
    async fn begin(count: usize, doors: &Doors, upstream: &FakeUpstream, key: &TestKey) -> Self {
        let mut begun = Vec::new();
        for number in 0..count {
            let stream = Stream::new();
            let path = format!("/models/{}{number}/predict", doors.addresses.proxy.port());
            upstream.on(&path, Answer::events(&stream));
            let mut caller = doors.raw().await;
            caller.write(post(&path, key, "{}")).await;
            let head = caller.read_head().await;
            assert_eq!(head.status(), 200);
            stream.send("data: begun\n\n");
            begun.push((stream, caller, head));
        }
        Self(begun)
    }

    /// Ends them; each must come whole.
    async fn finish(self) {
        for (stream, mut caller, head) in self.0 {
            stream.send("data: ended\n\n");
            stream.finish();
            let body = caller.read_body(&head).await;
            assert_eq!(body.bytes, b"data: begun\n\ndata: ended\n\n");
            assert!(body.is_complete);
        }
    }
}

/// Waits until so many processes have said that they close.
async fn are_relieved(processes: usize, keyward: &KeywardProcess) {
    eventually("the next process takes over", || {
        let said = keyward.said();
        let closing = said.matches("closing: requests in flight").count();
        (closing == processes).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_in_place_fails_no_call_and_cuts_no_stream() {
    let mut keyward = KeywardProcess::start(HANDOVER).await;
    let key = keyward.key().await;
    let choices = [Choice::always(*keyward)];
    let mut callers = Callers::start(8, &choices, &key);
    callers.go_on(50).await;
    // The one that took over hands over as well.
    for round in 1..=2 {
        let streams = Streams::begin(20, &keyward, &keyward.upstream, &key).await;
        let next = keyward.next();
        are_relieved(round, &keyward).await;
        callers.go_on(50).await;
        // Whoever asks is answered by the one that stays.
        assert_eq!(keyward.readiness().await, 200);
        assert!(keyward.runs(), "streams hold it up");
        streams.finish().await;
        assert_eq!(keyward.succeeded_by(next).await, Some(0));
        callers.go_on(50).await;
    }
    let answered = callers.stop().await;
    assert!(answered > 200, "{answered}");
    keyward.signal(Signal::TERM);
    assert_eq!(keyward.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_process_that_does_not_get_ready_takes_nothing_over() {
    let mut keyward = KeywardProcess::start(HANDOVER).await;
    let key = keyward.key().await;
    // Memory cannot be filled from a database that is not there.
    let away = format!("{HANDOVER}store.url = \"postgres://nobody@127.0.0.1:1/none\"\n");
    keyward.write_settings(&away);
    let next = keyward.next();
    eventually("it has the sockets", || {
        keyward.said().contains("may take over").then_some(())
    })
    .await;
    for _ in 0..5 {
        assert_eq!(keyward.call(&key, "m").await.status(), 200);
        assert_eq!(keyward.readiness().await, 200);
    }
    drop(next);
    eventually("its end is seen", || {
        keyward.said().contains("without taking over").then_some(())
    })
    .await;
    assert_eq!(keyward.call(&key, "m").await.status(), 200);
    keyward.write_settings(HANDOVER);
    let next = keyward.next();
    assert_eq!(keyward.succeeded_by(next).await, Some(0));
    assert_eq!(keyward.call(&key, "m").await.status(), 200);
}

#[tokio::test]
async fn a_socket_that_a_dead_process_left_behind_is_no_hindrance() {
    let mut keyward = KeywardProcess::start(HANDOVER).await;
    let key = keyward.key().await;
    keyward.kill();
    keyward.spawn_again();
    keyward.ready_again().await;
    assert_eq!(keyward.call(&key, "m").await.status(), 200);
    let next = keyward.next();
    assert_eq!(keyward.succeeded_by(next).await, Some(0));
    assert_eq!(keyward.call(&key, "m").await.status(), 200);
}

/// A second signal means "now" for a process that was relieved, for the first may come from whoever starts the next.
#[tokio::test]
async fn a_signal_to_a_process_that_was_relieved_cuts_nothing_and_a_second_one_does() {
    let mut keyward = KeywardProcess::start(HANDOVER).await;
    let key = keyward.key().await;
    let streams = Streams::begin(2, &keyward, &keyward.upstream, &key).await;
    let next = keyward.next();
    are_relieved(1, &keyward).await;
    keyward.signal(Signal::TERM);
    // The next process serves; the first one is still there.
    for _ in 0..20 {
        assert_eq!(keyward.call(&key, "m").await.status(), 200);
    }
    assert!(keyward.runs());
    keyward.signal(Signal::TERM);
    for (_stream, mut caller, head) in streams.0 {
        assert!(!caller.read_body(&head).await.is_complete);
    }
    assert_eq!(keyward.succeeded_by(next).await, Some(0));
}

#[tokio::test]
async fn something_that_is_no_socket_is_left_as_it_is() {
    let keyward = KeywardProcess::start("").await;
    let file = keyward.path("handover.sock");
    std::fs::write(&file, "mine").expect("the directory is ours");
    keyward.write_settings(HANDOVER);
    assert_eq!(keyward.next().exit_code().await, Some(1));
    let said = keyward.said();
    assert!(
        said.contains("there is something that is no socket"),
        "{said}"
    );
    assert_eq!(std::fs::read(&file).expect("it is there"), b"mine");
}

/// Follows what each instance says about itself, as a balancer does.
fn follow_readiness(choices: &[Choice]) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for choice in choices.iter().cloned() {
        tasks.spawn(async move {
            loop {
                let is_ready = choice.doors.is_ready_now().await;
                choice.is_ready.store(is_ready, Ordering::Relaxed);
                sleep(Duration::from_millis(10)).await;
            }
        });
    }
    tasks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_no_call_and_cuts_no_stream() {
    let one = KeywardProcess::start("shutdown.delay = \"1s\"\n").await;
    let database = format!(
        "store.url = \"sqlite://{}\"\n",
        one.path("keyward.db").display()
    );
    let other = KeywardProcess::start(&format!("shutdown.delay = \"1s\"\n{database}")).await;
    let key = one.key().await;
    let choices = [Choice::always(*one), Choice::always(*other)];
    let _followed = follow_readiness(&choices);
    let mut callers = Callers::start(8, &choices, &key);
    callers.go_on(50).await;
    let mut instances = [one, other];
    for instance in &mut instances {
        let streams = Streams::begin(20, instance, &instance.upstream, &key).await;
        instance.signal(Signal::TERM);
        within("readiness ends", async {
            while instance.is_ready_now().await {}
        })
        .await;
        callers.go_on(50).await;
        streams.finish().await;
        assert_eq!(instance.exit_code().await, Some(0));
        instance.spawn_again();
        instance.ready_again().await;
        callers.go_on(50).await;
    }
    assert!(callers.stop().await > 200);
}
