//! The same through sockets: callers, the whole program, and a model server that keeps what it sees.

use super::rows::{self, End, Expected, Row};
use crate::support::keyward::TestKeyward;
use crate::support::raw::{Ending, RawAnswer};
use crate::support::upstream::BodyEnd;

#[tokio::test]
async fn every_row_is_answered_as_it_says_and_nothing_else_reaches_the_upstream() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let mut wrong = Vec::new();
    for row in rows::all() {
        let before = keyward.upstream.requests().len();
        let complaint = play(&keyward, &row, &key.text).await;
        let reached = whole_bodies(&keyward, before).await;
        let expected: Vec<Vec<u8>> = row.answers.iter().filter_map(forwarded).collect();
        if let Some(complaint) = complaint {
            wrong.push(format!("{}: {complaint}", row.name));
        }
        if reached != expected {
            wrong.push(format!("{}: {reached:?} reached the upstream", row.name));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert_eq!(keyward.call(&key, "m").await.status(), 200);
}

#[tokio::test]
async fn a_head_that_stops_coming_is_told_so_and_silence_is_not() {
    let keyward = TestKeyward::with("proxy.limits.head_timeout = \"200ms\"\n").await;
    let mut stopped = keyward.raw().await;
    stopped.write("GET /v1/models HTTP/1.1\r\nHost").await;
    let answer = stopped.read_answer().await;
    assert_eq!(answer.status(), 408);
    assert_eq!(complaint_about(&answer), None);
    for said in ["", "\r\n"] {
        let mut silent = keyward.raw().await;
        silent.write(said).await;
        assert_eq!(silent.until_closed().await, (Vec::new(), Ending::Closed));
    }
    assert_eq!(keyward.counted.outcomes()["caller_gone"], 1);
}

#[tokio::test]
async fn what_is_wrong_is_counted_and_hyper_is_not_met() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    for row in rows::all() {
        let End::Guard(reason) = row.end else {
            continue;
        };
        let before = keyward.counted.outcomes();
        drop(play(&keyward, &row, &key.text).await);
        let after = keyward.counted.outcomes();
        let last = row.answers.last();
        let outcome = match last {
            Some(Expected::Refused(414 | 431)) => "head_too_large",
            _ => "malformed_framing",
        };
        let count = |outcomes: &std::collections::BTreeMap<String, u64>| {
            outcomes.get(outcome).copied().unwrap_or(0)
        };
        assert_eq!(count(&after), count(&before) + 1, "{} {reason}", row.name);
    }
}

#[tokio::test]
async fn a_preface_in_pieces_begins_http2() {
    let keyward = TestKeyward::start().await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for at in [1, 3, 14, 18, 23] {
        let mut caller = keyward.raw().await;
        let (first, second) = preface.split_at(at);
        caller.write(first).await;
        // Another caller's whole call lies between the two.
        assert_eq!(keyward.raw().await.call(NEXT).await.status(), 404);
        caller.write(second).await;
        // An empty SETTINGS frame, and then theirs.
        caller.write([0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
        let frame = caller.read_exactly(9).await;
        assert_eq!(frame[3], 4, "{at}: {frame:?}");
    }
}

fn forwarded(expected: &Expected) -> Option<Vec<u8>> {
    match expected {
        Expected::Forwarded(body) => Some(body.clone()),
        Expected::Refused(_) => None,
    }
}

/// What is sent behind a row that goes on.
const NEXT: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// Sends a row on a connection of its own; what was not as expected.
async fn play(keyward: &TestKeyward, row: &Row, key: &str) -> Option<String> {
    let mut caller = keyward.raw().await;
    // Somebody who is refused early may not hear the rest.
    drop(caller.try_write(row.bytes(key)).await);
    for (number, expected) in row.answers.iter().enumerate() {
        let Some(head) = caller.try_read_head().await else {
            return Some(format!("closed before answer {number}"));
        };
        let body = caller.read_body(&head).await;
        let answer = RawAnswer { head, body };
        let is_right = match expected {
            Expected::Forwarded(_) => answer.status() == 200,
            Expected::Refused(status) => answer.status() == *status,
        };
        if !is_right {
            return Some(format!("{} {}", answer.head.start, answer.text()));
        }
        let is_last = number + 1 == row.answers.len();
        if is_last
            && matches!(row.end, End::Guard(_))
            && let Some(complaint) = complaint_about(&answer)
        {
            return Some(complaint);
        }
    }
    match row.end {
        End::GoesOn => {
            let next = caller.call(NEXT).await.status();
            return (next != 404).then(|| format!("the next request is answered {next}"));
        }
        End::Open => caller.finish(),
        End::Guard(_) | End::Hyper | End::Last => {}
    }
    let (rest, ending) = caller.until_closed().await;
    let rest = String::from_utf8_lossy(&rest).into_owned();
    let is_quiet = rest.is_empty() || (row.end == End::Open && !rest.contains(" 200 "));
    (!is_quiet || ending != Ending::Closed).then(|| format!("at the end {ending:?}, {rest:?}"))
}

/// A refusal of the guard is one whole answer, and says that it is the last.
fn complaint_about(answer: &RawAnswer) -> Option<String> {
    let head = &answer.head;
    let is_json = serde_json::from_slice::<serde_json::Value>(&answer.body.bytes).is_ok();
    let is_whole = head.start.starts_with("HTTP/1.1 ")
        && head.field("connection") == Some("close")
        && head.all("x-request-id").len() == 1
        && head.field("date").is_some()
        && head
            .field("content-type")
            .is_some_and(|kind| kind.contains("json"))
        && is_json;
    (!is_whole).then(|| format!("{head:?} {:?}", answer.text()))
}

/// The bodies of the requests that came to their ends since there were `before`.
async fn whole_bodies(keyward: &TestKeyward, before: usize) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    for seen in keyward.upstream.requests().into_iter().skip(before) {
        if seen.body_end().await == BodyEnd::Complete {
            bodies.push(seen.body());
        }
    }
    bodies
}
